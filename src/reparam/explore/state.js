// What is shown now, who wants to know when it changes, and how it is written into the address.
const SEEDS = 2 ** 31;
const anySeed = () => Math.floor(Math.random() * SEEDS);

class State {
  constructor(facts) {
    this.facts = facts;
    this.codes = facts.codes;
    this.all = this.codes && this.codes.all ? unpack(this.codes.all) : null;
    this.drawn = this.codes && this.codes.draws ? unpack(this.codes.draws) : [];
    this.code = null;       // Float32Array
    this.start = null;      // {kind: "example" | "draw" | "own", row, code, c}
    this.c = null;          // a class, or a list of numbers
    this.seed = null;       // of one draw of p(x|z); null: its mean
    this.strengths = {};    // of attribute directions, added since the start
    this.plane = null;      // [i, j], or null: the first two principal components
    this.usualPlane = null;
    this.hidden = new Set();
    this.a = null;
    this.b = null;
    this.turn = 0;          // counts codes that were set
    this.listeners = [];
  }

  onchange(listener) { this.listeners.push(listener); }

  changed(what) {
    for (const listener of this.listeners) listener(what);
    clearTimeout(this.writing);
    this.writing = setTimeout(() => this.write(), 250);
  }

  conditionOf(row) {
    const { condition } = this.facts;
    return condition && condition.values[row] !== undefined ? condition.values[row] : this.c;
  }

  // Another code to start from: what was added to the last one is forgotten.
  begin(kind, code, { row = null, c = this.c } = {}) {
    this.turn++;
    this.start = { kind, row, code: Float32Array.from(code), c };
    this.code = Float32Array.from(code);
    this.c = c;
    this.strengths = {};
    this.changed("start");
  }

  move(code, what = "code") {
    this.turn++;
    this.code = code;
    this.changed(what);
  }

  // A code that has to be fetched, unless another one was set before it came.
  async beginLater(kind, fetched, more) {
    const turn = ++this.turn, code = await fetched;
    if (turn === this.turn) this.begin(kind, code, more);
  }

  moveEntry(index, value) {
    const code = Float32Array.from(this.code);
    code[index] = value;
    this.move(code, "entry");
  }

  reset() {
    if (this.start) this.begin(this.start.kind, this.start.code, this.start);
  }

  get moved() {
    return this.code.some((value, i) => value !== this.start.code[i]);
  }

  // In words: where the code comes from.
  get origin() {
    if (!this.start) return "";
    const { kind, row } = this.start;
    const names = { draw: "a draw z\u00a0~\u00a0p(z)", own: "your image", link: "the code in the address" };
    const from = kind === "example" ? `test example ${this.facts.examples.numbers[row]}` : names[kind];
    return `${this.moved ? "Moved" : "Decoded"} from ${from}`;
  }

  write() {
    if (!this.code) return;
    const words = new URLSearchParams();
    if (this.start.kind === "example") words.set("example", this.start.row);
    if (this.moved || this.start.kind !== "example") {
      const different = [...this.code.keys()].filter((i) => this.code[i] !== this.start.code[i]);
      const digits = (value) => Number(value.toPrecision(6));
      if (this.start.kind === "example" && different.length < this.code.length / 2) {
        words.set("moved", different.map((i) => `${i}:${digits(this.code[i])}`).join(","));
      } else if (this.code.length <= 512) {
        words.set("z", Array.from(this.code, digits).join(","));
      }
    }
    if (this.c !== null) words.set("c", [this.c].flat().join(","));
    if (this.seed !== null) words.set("draw", this.seed);
    if (this.plane) words.set("plane", this.plane.join(","));
    if (this.hidden.size) words.set("hidden", [...this.hidden].join(","));
    history.replaceState(null, "", `#${words.toString().replaceAll("%2C", ",").replaceAll("%3A", ":")}`);
  }

  // What the address asks for, where it fits this model; else what the page begins with.
  async read(engine) {
    const words = new URLSearchParams(location.hash.slice(1));
    const numbers = (name) => (words.get(name) ? words.get(name).split(",").map(Number) : null);
    const { codes, classes, draws } = this.facts;
    const plane = numbers("plane"), seed = Number(words.get("draw") || NaN);
    const fits = plane && this.all && plane.length === 2 && plane.every((i) => Number.isInteger(i) && i >= 0 && i < codes.width);
    this.plane = fits ? plane : this.usualPlane;
    this.hidden = new Set((numbers("hidden") || []).filter((label) => classes[label]));
    this.seed = draws && Number.isInteger(seed) && seed >= 0 && seed < SEEDS ? seed : null;
    await this.readCode(engine, words, numbers);
    this.changed("view");
  }

  async readCode(engine, words, numbers) {
    const { codes, examples } = this.facts, row = Number(words.get("example") || 0), z = numbers("z");
    const known = Number.isInteger(row) && row >= 0 && row < examples.count;
    const asked = this.fitting(numbers("c")), c = asked ?? this.c ?? this.conditionOf(0);
    if (z && z.length === codes.width && z.every(Number.isFinite)) return this.begin("link", z, { c });
    if (!examples.count) return this.begin("draw", this.drawn[0], { c });
    await begin(this, engine, known ? row : 0);
    if (!known || !this.start) return null;
    if (asked !== null && words.get("example")) this.c = asked;
    const code = Float32Array.from(this.code);
    for (const pair of (words.get("moved") || "").split(",")) {
      const [index, value] = pair.split(":").map(Number);
      if (index in code && Number.isFinite(value)) code[index] = value;
    }
    return this.move(code);
  }

  // A condition in numbers as this model takes it, or null.
  fitting(c) {
    const { condition } = this.facts;
    if (!condition || !c || !c.every(Number.isFinite)) return null;
    if (condition.kind === "attributes") return c.length === condition.attributes.length ? c : null;
    return condition.classes.some((one) => one.value === c[0]) ? c[0] : null;
  }
}

// Start from an example of the map.
async function begin(state, engine, row) {
  const about = { row, c: state.conditionOf(row) };
  if (state.all) state.begin("example", state.all[row], about);
  else await state.beginLater("example", engine.example(row), about);
}
