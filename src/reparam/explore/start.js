// The page begins: the theme, the facts, and the parts that this model has.
function theme(onswitch) {
  const root = document.documentElement;
  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("reparam-theme", root.dataset.theme); } catch (error) { /* private mode */ }
    onswitch();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", onswitch);
}

async function engineOf() {
  const inside = document.getElementById("inside");
  if (inside) {
    const { facts, program } = JSON.parse(inside.textContent);
    const weights = bytesOf(document.getElementById("weights").textContent.trim()).buffer;
    return new InPage(facts, new Program(program, weights));
  }
  const engine = new Served(null);
  engine.facts = await (await engine.ask("/facts", { headers: engine.headers() })).json();
  return engine;
}

async function withCodes(state, engine, main) {
  const { facts } = state, served = engine instanceof Served;
  const picture = new Picture(facts.x, "The decoded example");
  if (state.codes.kind === "noise" && state.codes.width > 2) state.plane = state.usualPlane = state.codes.axes.slice(0, 2).map((axis) => axis.index);
  const decode = new Latest(async ({ code, c, seed }) => picture.show(await engine.decode(code, c, seed)));
  const still = new Set(["view", "pin", "theme"]);
  // Before all others that listen, so that the map and the sliders are drawn while the picture is on its way.
  state.onchange((what) => { if (!still.has(what)) decode.ask({ code: state.code, c: state.c, seed: state.seed }); });
  const map = new LatentMap(state, engine);
  const real = state.codes.kind !== "indices";
  const left = make("div.side", {}, mapCard(state, engine, map), real ? betweenCard(state, engine, picture) : null);
  const right = make("div.side", {}, pictureCard(state, engine, picture), attributesCard(state), real ? slidersCard(state) : null);
  main.replaceChildren(make("div.two", {}, left, right));
  if (served && facts.x.image && facts.encodes) left.append(ownCard(state, engine));
  if (served && !real && facts.samples) right.append(samplesCard(state, engine));
  if (served && facts.completes) right.append(completionCard(state, engine));
  await state.read(engine);
  addEventListener("hashchange", () => state.read(engine).catch((error) => say(error.message)));
  theme(() => { map.draw(); state.changed("theme"); });
}

function withoutCodes(state, engine, main) {
  const { facts } = state;
  const own = facts.x.image && facts.density;
  const left = [facts.samples ? samplesCard(state, engine) : null, own ? ownCard(state, engine) : null];
  const right = [facts.completes ? completionCard(state, engine) : null];
  const shows = [facts.samples && "what it draws", facts.completes && "how it completes", own && "how probable it finds an image"].filter(Boolean);
  const listed = shows.length > 1 ? `${shows.slice(0, -1).join(", ")} and ${shows[shows.length - 1]}` : shows.join("");
  const said = `This model has no codes to move. The page shows ${listed}.`;
  const sides = [left, right].map((side) => side.filter(Boolean)).filter((side) => side.length);
  main.replaceChildren(make("p.lead", {}, said), make("div.two", {}, ...sides.map((side) => make("div.side", {}, ...side))));
  theme(() => {});
}

(async () => {
  const main = document.getElementById("main");
  try {
    const engine = await engineOf(), { facts } = engine;
    const state = new State(facts);
    const shape = facts.x.image ? `${facts.x.height} × ${facts.x.width}${facts.x.channels === 1 ? "" : ` × ${facts.x.channels}`}` : `${facts.x.columns.length} columns`;
    const codes = !facts.codes ? "" : facts.codes.kind === "indices" ? `, codes of ${facts.codes.width} indices` : `, ${facts.codes.width}-D codes`;
    document.getElementById("about").textContent = `${facts.model} on ${facts.data}: ${shape}${codes}`;
    document.getElementById("title").textContent = facts.name;
    if (facts.codes) await withCodes(state, engine, main);
    else withoutCodes(state, engine, main);
    document.documentElement.dataset.ready = "true";
  } catch (error) {
    main.replaceChildren(make("p.lead", {}, error.message));
    throw error;
  }
})();
