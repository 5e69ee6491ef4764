// What is shown now, who wants to know when it changes, and how it is written into the address.
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
    this.hidden = new Set();
    this.a = null;
    this.b = null;
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
    this.start = { kind, row, code: Float32Array.from(code), c };
    this.code = Float32Array.from(code);
    this.c = c;
    this.strengths = {};
    this.changed("start");
  }

  move(code, what = "code") {
    this.code = code;
    this.changed(what);
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

  // What the address asks for, where it fits this model; else nothing of it.
  async read(engine) {
    const words = new URLSearchParams(location.hash.slice(1));
    const numbers = (name) => (words.get(name) ? words.get(name).split(",").map(Number) : null);
    const { codes, examples, condition } = this.facts;
    const row = Number(words.get("example") || 0);
    const known = Number.isInteger(row) && row >= 0 && row < examples.count;
    const plane = numbers("plane");
    if (plane && this.all && plane.length === 2 && plane.every((i) => Number.isInteger(i) && i >= 0 && i < codes.width)) this.plane = plane;
    for (const label of numbers("hidden") || []) this.hidden.add(label);
    const c = numbers("c");
    if (condition && c && c.every(Number.isFinite)) {
      if (condition.kind === "attributes" && c.length === condition.attributes.length) this.c = c;
      if (condition.kind === "class" && condition.classes.some((one) => one.value === c[0])) [this.c] = c;
    }
    const asked = this.c;
    if (this.facts.draws && words.get("draw")) this.seed = Number(words.get("draw")) >>> 1;
    const z = numbers("z");
    if (z && z.length === codes.width && z.every(Number.isFinite)) {
      if (this.c === null && condition) this.c = this.conditionOf(0);
      return this.begin("link", z);
    }
    if (!examples.count) return this.begin("draw", this.drawn[0]);
    await begin(this, engine, known ? row : 0);
    if (asked !== null && known && words.get("example")) this.c = asked;
    const code = Float32Array.from(this.code);
    for (const pair of (words.get("moved") || "").split(",")) {
      const [index, value] = pair.split(":").map(Number);
      if (index in code && Number.isFinite(value)) code[index] = value;
    }
    return this.move(code);
  }
}

// Start from an example of the map.
async function begin(state, engine, row) {
  const code = state.all ? state.all[row] : await engine.example(row);
  state.begin("example", code, { row, c: state.conditionOf(row) });
}
