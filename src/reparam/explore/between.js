// Between two: A and B are pinned, a slider walks from one to the other, and it plays.
const SECONDS = 3, STILL_STEPS = 8;  // from A to B; steps where motion is not wanted

function betweenCard(state, engine, picture) {
  const { x } = state.facts;
  state.path = state.codes.kind === "noise" ? "spherical" : "linear";
  const pins = ["a", "b"].map((name) => {
    const shown = x.image ? canvasOf(x, `Picture pinned as ${name.toUpperCase()}`) : make("span.note");
    shown.classList.add("pinned");
    const pin = () => {
      state[name] = { code: Float32Array.from(state.code), c: state.c };
      if (x.image && picture.now) paint(shown, picture.now, x);
      else shown.textContent = state.origin;
      shown.classList.add("set");
      ready();
      state.changed("pin");
    };
    const title = name.toUpperCase();
    return make("div.pin", {}, shown, button(`Pin ${title}`, pin, { id: `pin-${name}` }));
  });
  const walk = make("input", { type: "range", min: 0, max: 1, step: 0.005, value: 0, id: "walk", "aria-label": "Between A and B", disabled: true });
  const play = button("Play", () => (playing ? stop() : begin()), { id: "play", disabled: true });
  const path = make("select", { "aria-label": "Path between the codes", onchange: () => { state.path = path.value; go(); } },
    make("option", { value: "linear" }, "linear"), make("option", { value: "spherical" }, "spherical"));
  path.value = state.path;
  let playing = 0, way = 1;

  const ready = () => { walk.disabled = play.disabled = !(state.a && state.b); };
  const go = () => {
    if (walk.disabled) return;
    const t = Number(walk.value);
    state.c = t < 0.5 ? state.a.c : state.b.c;
    state.move(blend(state.a.code, state.b.code, t, state.path), "walk");
  };
  walk.addEventListener("input", () => { stop(); go(); });
  function stop() {
    cancelAnimationFrame(playing);
    clearInterval(playing);
    playing = 0;
    play.textContent = "Play";
  }
  function step(share) {
    let t = Number(walk.value) + way * share;
    if (t >= 1 || t <= 0) { t = Math.min(1, Math.max(0, t)); way = -way; }
    walk.value = t;
    go();
  }
  function begin() {
    play.textContent = "Stop";
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
      playing = setInterval(() => step(1 / STILL_STEPS), 1000);
      return;
    }
    let before = performance.now();
    const frame = (now) => {
      step(Math.max(0, now - before) / 1000 / SECONDS);
      before = now;
      playing = requestAnimationFrame(frame);
    };
    playing = requestAnimationFrame(frame);
  }
  state.onchange((what) => { if (playing && what !== "walk") stop(); });
  return card("Between two", make("div.between", {}, pins[0], make("div.way", {}, walk, make("div.row", {}, play, path)), pins[1]));
}
