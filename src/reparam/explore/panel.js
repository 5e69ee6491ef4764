// What stands beside the map: the picture with its buttons, the condition, and the sliders.
const FIRST = 10;  // sliders that are seen at once

const card = (title, ...inside) => make("section.card", { "aria-label": title }, make("h2", {}, title), ...inside);
const button = (text, onclick, more = {}) => make("button", { type: "button", onclick, ...more }, text);

// One of a few, as buttons in a row; returns the element and a function that marks one.
function choice(label, options, onchoose) {
  const name = `choice-${choice.count = (choice.count || 0) + 1}`;
  const inputs = options.map(([value, text]) => {
    const input = make("input", { type: "radio", name, value: String(value), onchange: () => onchoose(value) });
    input.addEventListener("click", () => { if (input.dataset.on) onchoose(value, true); });
    return { value, input, element: make("label", {}, input, make("span", {}, text)) };
  });
  const element = make("div.choice", { role: "radiogroup", "aria-label": label }, ...inputs.map((one) => one.element));
  const mark = (chosen) => {
    for (const { value, input } of inputs) {
      input.checked = value === chosen;
      if (input.checked) input.dataset.on = "1"; else delete input.dataset.on;
    }
  };
  return { element, mark };
}

// A slider with its name and its value.
function slider({ name, note = "", low, high, share = null, oninput, title = "" }) {
  const value = make("output");
  const input = make("input", {
    type: "range", min: low, max: high, step: "any", "aria-label": `${name}${note ? `, ${note}` : ""}`,
  });
  const set = (now) => {
    input.value = now;
    value.textContent = told(now);
    input.setAttribute("aria-valuetext", told(now));
  };
  input.addEventListener("input", () => { set(Number(input.value)); oninput(Number(input.value)); });
  const head = make("span.who", title ? { title } : {}, make("b", {}, name), make("small", {}, note));
  if (share !== null) {
    const meter = make("i.meter");
    meter.style.setProperty("--share", share);
    head.append(meter);
  }
  return { element: make("div.slider", {}, head, input, value), set, input };
}

function pictureCard(state, engine, picture) {
  const origin = make("p.origin");
  const mode = choice("What is shown of p(x|z)", [["mean", "Mean"], ["draw", "One draw"]], (value) => {
    state.seed = value === "mean" ? null : anySeed();
    state.changed("seed");
  });
  const random = async () => {
    try {
      if (state.codes.prior) await state.beginLater("draw", engine.random(state));
      else await begin(state, engine, Math.floor(Math.random() * state.facts.examples.count));
    } catch (error) { say(error.message); }
  };
  const copy = async () => {
    const text = JSON.stringify({ code: Array.from(state.code), c: state.c });
    try { await navigator.clipboard.writeText(text); say("The code is in the clipboard, as JSON."); }
    catch (error) { say("The browser does not let this page use the clipboard."); }
  };
  const buttons = make("div.buttons", {},
    button(state.codes.prior ? "Random z" : "Random example", random, { id: "random" }),
    button("Reset", () => state.reset(), { id: "reset" }),
    button(state.facts.x.image ? "Save PNG" : "Save CSV", () => picture.save("decoded"), { id: "save" }),
    button("Copy code", copy, { id: "copy" }));
  const original = make("span.original");
  state.onchange(() => {
    origin.replaceChildren(make("span", {}, state.origin));
    const { kind, row } = state.start || {}, { sheet, labels } = state.facts.examples;
    const known = kind === "example";
    if (known && labels) origin.append(make("span.class", {}, ` (${state.facts.classes[labels[row]].name})`));
    original.replaceChildren(...(known && sheet ? [thumbnail(sheet, row, 56)] : []));
    mode.mark(state.seed === null ? "mean" : "draw");
  });
  const tools = make("div.tools", {}, make("div.from", {}, original, origin), conditionPart(state), state.facts.draws && engine instanceof Served ? mode.element : null, buttons);
  const place = make("div.shown", {}, make("div.frame", {}, picture.element), tools);
  return make("section.card", { id: "decoded", "aria-label": "Decoded" }, place);
}

// The class, or a number for each attribute, that decoding is told.
function conditionPart(state) {
  const { condition } = state.facts;
  if (!condition) return null;
  if (condition.kind === "class") {
    const chosen = (value) => { state.c = value; state.changed("c"); };
    if (condition.classes.length <= 12) {
      const each = choice("Class", condition.classes.map(({ value, name }) => [value, name]), chosen);
      state.onchange(() => each.mark(state.c));
      return make("div.condition", { id: "condition" }, make("span.label", {}, "Class"), each.element);
    }
    const select = make("select", { "aria-label": "Class", onchange: () => chosen(Number(select.value)) },
      ...condition.classes.map(({ value, name }) => make("option", { value }, name)));
    state.onchange(() => { select.value = state.c; });
    return make("label.condition", { id: "condition" }, make("span.label", {}, "Class"), select);
  }
  const sliders = condition.attributes.map((attribute, i) => slider({
    ...attribute,
    oninput: (value) => { state.c = state.c.map((other, j) => (j === i ? value : other)); state.changed("c"); },
  }));
  state.onchange(() => sliders.forEach((one, i) => one.set(state.c[i])));
  return make("div.condition", { id: "condition" }, make("span.label", {}, "Condition"), ...sliders.map((one) => one.element));
}

function slidersCard(state) {
  const { axes, alive, width, unit, order } = state.codes;
  const most = Math.max(...axes.map((axis) => axis.amount), 1e-12);
  const sliders = axes.map((axis) => ({
    index: axis.index, alive: axis.alive,
    ...slider({
      name: `z${axis.index}`, note: `${told(axis.amount)}${unit === "nats" ? " nats" : ""}`, low: axis.low, high: axis.high,
      share: axis.amount / most, oninput: (value) => state.moveEntry(axis.index, value),
    }),
  }));
  state.onchange(() => { for (const one of sliders) one.set(state.code[one.index]); });
  const used = sliders.filter((one) => one.alive), idle = sliders.filter((one) => !one.alive);
  const folded = (title, some) => some.length
    ? make("details", {}, make("summary", {}, title), ...some.map((one) => one.element)) : null;
  const rest = used.slice(FIRST);
  const cut = (count, there) => (count > there ? `, of which ${there} have sliders` : "");
  const found = card("Latents", make("p.note", {}, `${order.split(";")[0]}, the strongest first.`),
    ...used.slice(0, FIRST).map((one) => one.element),
    folded(`${Math.max(alive - FIRST, 0)} weaker${cut(alive - FIRST, rest.length)}`, rest),
    folded(`${width - alive} idle${cut(width - alive, idle.length)}`, idle));
  found.id = "sliders";
  return found;
}

// Sliders along directions of attributes: what is added stays while the rest of the code moves.
function attributesCard(state) {
  const { directions } = state.codes;
  if (!directions) return null;
  const vectors = unpack(directions.vectors);
  const sliders = directions.names.map((about, i) => ({ about, ...slider({
    name: about.name, note: about.note, title: `Strength 1: ${about.said}`, low: -about.reach, high: about.reach,
    oninput: (value) => {
      const added = value - (state.strengths[i] || 0);
      state.strengths[i] = value;
      state.move(state.code.map((entry, j) => entry + added * vectors[i][j]), "attribute");
    },
  }) }));
  state.onchange(() => sliders.forEach((one, i) => one.set(state.strengths[i] || 0)));
  const some = sliders.filter((one) => !one.about.group), classes = sliders.filter((one) => one.about.group);
  const inside = classes.map((one) => one.element);
  const group = !inside.length ? [] : some.length > 0
    ? [make("details", {}, make("summary", {}, `Toward a class: ${inside.length}`), ...inside)] : inside;
  const said = "Strength 1 is a standard deviation, of a class the whole way. A direction moves its attribute by so many strengths for each, and leaks as far as the others move with it.";
  const found = card("Attributes", make("p.note", {}, said), ...some.map((one) => one.element), ...group);
  found.classList.add("attributes");
  return found;
}

function legend(state) {
  const { classes } = state.facts;
  if (!classes.length || !state.facts.examples.labels) return null;
  const there = new Set(state.facts.examples.labels);
  const marks = classes.map(({ name }, label) => {
    if (!there.has(label)) return null;
    const chip = make("i.chip", { "aria-hidden": "true" });
    const found = button("", () => {
      if (!state.hidden.delete(label)) state.hidden.add(label);
      state.changed("view");
    });
    found.append(chip, name);
    return { label, chip, element: found };
  }).filter(Boolean);
  const paintChips = () => {
    const dark = getComputedStyle(document.documentElement).getPropertyValue("color-scheme").includes("dark");
    for (const { label, chip, element } of marks) {
      chip.style.background = classes[label][dark ? "dark" : "light"];
      element.setAttribute("aria-pressed", String(!state.hidden.has(label)));
    }
  };
  state.onchange((what) => { if (what === "view" || what === "theme") paintChips(); });
  paintChips();
  return make("div.legend", { role: "group", "aria-label": "Classes on the map" }, ...marks.map((one) => one.element));
}

function mapCard(state, engine, map) {
  const { codes } = state, { x } = state.facts;
  const said = make("p.note");
  const controls = make("div.controls");
  if (codes.axes.length > 2 && state.all) controls.append(planePart(state));
  if (codes.width === 2 && codes.kind !== "indices" && x.image) controls.append(manifoldPart(state, engine, map));
  const tell = () => {
    if (codes.kind === "indices") said.textContent = `${codes.said.replace(/^\d+-D codes/, "Codes, which are indices,")}. Between two indices lies nothing: choose an example.`;
    else if (state.plane) said.textContent = `The plane of z${state.plane[0]} → and z${state.plane[1]} ↑. Moving on it changes these two and keeps the rest of the code.`;
    else if (codes.width > 2) said.textContent = `${codes.said}. Moving changes the code within this plane and keeps the rest of it.`;
    else said.textContent = `${codes.said}. Click or drag anywhere.`;
    if (codes.kind === "noise") said.textContent += " No example has a code: the dots are draws z ~ p(z).";
  };
  state.onchange((what) => { if (what === "view") tell(); });
  tell();
  return make("section.card", { id: "latent", "aria-label": "Latent map" }, legend(state), map.box, controls, said);
}

function planePart(state) {
  const names = [...state.codes.axes].sort((a, b) => a.index - b.index).map((axis) => axis.index);
  const select = (label) => make("select", { "aria-label": label }, ...names.map((i) => make("option", { value: i }, `z${i}`)));
  const across = select("Latent across"), up = select("Latent upwards");
  const which = make("select", { "aria-label": "Plane of the map" },
    make("option", { value: "components" }, "Principal components"), make("option", { value: "latents" }, "Two latents"));
  const chosen = () => {
    const two = which.value === "latents";
    state.plane = two ? [Number(across.value), Number(up.value)] : null;
    state.changed("view");
  };
  for (const one of [which, across, up]) one.addEventListener("change", chosen);
  [across.value, up.value] = state.codes.axes.slice(0, 2).map((axis) => axis.index);
  const show = () => {
    which.value = state.plane ? "latents" : "components";
    across.hidden = up.hidden = !state.plane;
    if (state.plane) [across.value, up.value] = state.plane;
  };
  state.onchange((what) => { if (what === "view") show(); });
  show();
  return make("span.plane", {}, "Plane: ", which, across, up);
}

function manifoldPart(state, engine, map) {
  const box = make("input", { type: "checkbox", id: "manifold" });
  let c = null;
  const show = new Latest(async (wanted) => {
    c = state.c;
    const sheet = wanted ? await manifold(map, engine, state.facts.x) : null;
    map.backdrop = box.checked ? sheet : null;
    map.draw();
  });
  box.addEventListener("change", () => show.ask(box.checked));
  state.onchange(() => { if (box.checked && state.c !== c) show.ask(true); });
  return make("label", {}, box, " What the map decodes to");
}
