// Models that draw: samples by class, and the rest of an example of which a part is given.
const SAMPLES = 8, COMPLETIONS = 4, SHOWN = 10;

// Several x side by side: pictures, or the rows of a table.
function several(found, { x }, label) {
  if (x.image) return make("div.several", {}, ...found.map((one, i) => canvasOf(x, `${label} ${i + 1}`, one)));
  const head = make("tr", {}, ...x.columns.map((column) => make("th", { scope: "col" }, column.name)));
  const rows = found.map((row) => make("tr", {}, ...x.columns.map((column, i) => make("td", {}, cellText(column, row[i])))));
  return make("div.scroll", { tabIndex: 0 }, make("table.rows", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
}

function samplesCard(state, engine) {
  const { facts } = state, { condition } = facts;
  const shown = make("div.drawn", { id: "samples" });
  let c = null;
  const work = new Latest(async () => {
    draw.disabled = true;
    shown.classList.add("waiting");
    try {
      shown.replaceChildren(several(await engine.sample(SAMPLES, c, anySeed()), facts, "Sample"));
      shown.dataset.paints = Number(shown.dataset.paints || 0) + 1;
    } finally {
      draw.disabled = false;
      shown.classList.remove("waiting");
    }
  });
  const draw = button(`Draw ${SAMPLES}`, () => work.ask(), { id: "draw" });
  const parts = [make("div.row", {}, draw), shown];
  if (condition && condition.kind === "class") {
    const options = [["any", "any"], ...condition.classes.map(({ value, name }) => [value, name])];
    const each = choice("Class of the samples", options, (value) => {
      c = value === "any" ? null : value;
      each.mark(value);
      work.ask();
    });
    each.mark("any");
    parts.unshift(make("div.condition", {}, make("span.label", {}, "Class"), each.element));
  }
  work.ask();
  return card("Samples", ...parts);
}

// An example with a brush: what is painted over is drawn anew.
function completionCard(state, engine) {
  const { facts } = state, { x, examples } = facts;
  if (!x.image) return columnsCard(state, engine);
  const { width, height } = x;
  const given = new Uint8Array(width * height).fill(1);
  const picture = canvasOf(x, "The example, of which you paint over what is to be drawn anew");
  const mask = make("canvas.mask", { width, height, id: "mask", role: "img", "aria-label": "Paint over what is drawn anew" });
  const shown = make("div.drawn", { id: "completions" });
  const size = make("input", { type: "range", min: 1, max: Math.max(3, Math.round(width / 4)), value: Math.max(2, Math.round(width / 9)), "aria-label": "Width of the brush" });
  let row = 0;
  const pick = async (other) => {
    row = other;
    each.forEach((one, i) => one.setAttribute("aria-pressed", String(rows[i] === row)));
    await show();
  };
  const show = async () => {
    const asked = row;
    try {
      const original = await engine.original(asked);
      if (asked === row) paint(picture, original, x);  // else another one was picked meanwhile
    } catch (error) { say(error.message); }
    drawMask();
  };
  const drawMask = () => {
    const image = new ImageData(width, height);
    given.forEach((one, i) => { if (!one) image.data.set([42, 98, 168, 200], 4 * i); });
    mask.getContext("2d").putImageData(image, 0, 0);
  };
  const brush = (event) => {
    const box = mask.getBoundingClientRect(), radius = Number(size.value) / 2;
    const [left, top] = [(event.clientX - box.left) / box.width * width, (event.clientY - box.top) / box.height * height];
    for (let y = 0; y < height; y++) {
      for (let one = 0; one < width; one++) {
        if (Math.hypot(one + 0.5 - left, y + 0.5 - top) <= radius) given[y * width + one] = 0;
      }
    }
    drawMask();
  };
  let painting = false;
  mask.addEventListener("pointerdown", (event) => { painting = true; mask.setPointerCapture(event.pointerId); brush(event); });
  mask.addEventListener("pointermove", (event) => { if (painting) brush(event); });
  for (const name of ["pointerup", "pointercancel"]) mask.addEventListener(name, () => { painting = false; });
  const work = new Latest(async () => {
    complete.disabled = true;
    try {
      const c = facts.condition ? facts.condition.values[row] : null;
      const asked = { example: row, mask: bits(given), n: COMPLETIONS, seed: anySeed(), c };
      shown.replaceChildren(several(await engine.complete(asked), facts, "Completion"));
    } finally { complete.disabled = false; }
  });
  const cover = (inside) => { given.fill(1).forEach((_, i) => { if (inside(i % width, Math.floor(i / width))) given[i] = 0; }); drawMask(); };
  const complete = button("Complete", () => work.ask(), { id: "complete" });
  // A few from all over the test split, which may be stored class by class.
  const few = Math.min(SHOWN, examples.count);
  const rows = Array.from({ length: few }, (_, i) => Math.floor(i * examples.count / few));
  const each = rows.map((other) => {
    const found = button("", () => pick(other), { "aria-label": `Example ${examples.numbers[other]}` });
    found.append(thumbnail(examples.sheet, other, 40));
    return found;
  });
  pick(0).then(() => cover((_, y) => y >= height / 2));
  const order = facts.in_order ? make("p.note", {}, "Pixels are drawn in the model's order: what is given after one does not act on it.") : null;
  return card("Completions", make("div.examples", {}, ...each),
    make("div.painting", {}, make("div.canvas", {}, picture, mask), make("div.tools", {},
      make("label", {}, "Brush ", size),
      make("div.buttons", {}, complete, button("Lower half", () => cover((_, y) => y >= height / 2)),
        button("Middle", () => cover((i, y) => Math.abs(i + 0.5 - width / 2) < width / 4 && Math.abs(y + 0.5 - height / 2) < height / 4)),
        button("Clear", () => cover(() => false))))), shown, order);
}

// Of a table: the columns that are given are ticked.
function columnsCard(state, engine) {
  const { facts } = state, { x, examples } = facts;
  const shown = make("div.drawn", { id: "completions" });
  const boxes = x.columns.map((column, i) => make("input", { type: "checkbox", checked: i < x.columns.length / 2 }));
  const which = make("input", { type: "number", min: 0, max: examples.count - 1, value: 0, "aria-label": "Which of the test examples" });
  const work = new Latest(async () => {
    const row = Number(which.value), given = Uint8Array.from(boxes, (box) => Number(box.checked));
    const c = facts.condition ? facts.condition.values[row] : null;
    shown.replaceChildren(several(await engine.complete({ example: row, mask: bits(given), n: COMPLETIONS, seed: anySeed(), c }), facts, "Completion"));
  });
  return card("Completions", make("p.note", {}, "Ticked columns are given, the others are drawn."),
    make("div.ticks", {}, ...x.columns.map((column, i) => make("label", {}, boxes[i], ` ${column.name}`))),
    make("div.row", {}, make("label", {}, "Row ", which), button("Complete", () => work.ask(), { id: "complete" })), shown);
}

// A mask as bits, the first in the highest place of the first byte.
function bits(given) {
  const bytes = new Uint8Array(Math.ceil(given.length / 8));
  given.forEach((one, i) => { if (one) bytes[i >> 3] |= 128 >> (i & 7); });
  return base64(bytes);
}
