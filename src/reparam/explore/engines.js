// What decodes: the server that the page came from, or the program inside the page.
const SHORT = 64;  // numbers of a code

class Served {
  constructor(facts) {
    this.facts = facts;
    this.token = new URLSearchParams(location.search).get("token");
  }

  headers(more = {}) { return this.token ? { ...more, "X-Token": this.token } : more; }

  async ask(path, options = {}) {
    let answer;
    try {
      answer = await fetch(path, options);
    } catch (error) {
      throw new Error("The server does not answer; is reparam explore still running?");
    }
    if (!answer.ok) throw new Error(await answer.text());
    return answer;
  }

  async post(path, body) {
    const headers = this.headers({ "Content-Type": "application/json" });
    const answer = await this.ask(path, { method: "POST", headers, body: JSON.stringify(body) });
    return answer.arrayBuffer();
  }

  // A short code is sent as JSON, a long one as bytes, of which a request holds more.
  async decode(code, c, draw) {
    const asked = draw === null ? { c } : { c, draw };
    if (code.length <= SHORT) return this.shown(await this.post("/decode", { code: Array.from(code), ...asked }))[0];
    return this.shown(await (await this.send("/decode", Float32Array.from(code), asked)).arrayBuffer())[0];
  }

  async decodeAll(codes, c) {
    return this.shown(await this.post("/decode", { codes: codes.map((code) => Array.from(code)), c }));
  }

  async example(row) { return new Float32Array(await this.post("/encode", { example: row })); }

  async original(row) { return this.shown(await this.post("/example", { example: row }))[0]; }

  async random(state) {
    return new Float32Array(await this.post("/encode", { seed: anySeed(), c: state.c }));
  }

  async sample(n, c, seed) { return this.shown(await this.post("/sample", { n, c, seed })); }

  async complete(asked) { return this.shown(await this.post("/complete", asked)); }

  async upload(file, asked) { return (await this.send("/upload", file, asked)).json(); }

  // Bytes, and in the query what is asked of them.
  async send(path, body, asked) {
    const query = new URLSearchParams({ asked: JSON.stringify(asked) });
    const headers = this.headers({ "Content-Type": "application/octet-stream" });
    return this.ask(`${path}?${query}`, { method: "POST", headers, body });
  }

  // One after the other: pixels of images, numbers of rows.
  shown(buffer) { return split(this.facts.x, new Uint8Array(buffer)); }
}

class InPage {
  constructor(facts, program) { this.facts = facts; this.program = program; }

  async decode(code, c) { return this.visible(this.program.run(code, c)); }

  async decodeAll(codes, c) {
    const found = [];
    for (const code of codes) {
      found.push(await this.decode(code, c));
      await new Promise((done) => setTimeout(done));  // the page stays alive meanwhile
    }
    return found;
  }

  async example() { throw new Error("This file holds no codes of its examples."); }

  async random(state) {
    return state.drawn[Math.floor(Math.random() * state.drawn.length)];
  }

  // Numbers in data units (C, H, W) as pixels (H, W, C), from black to white as on the server.
  visible(x) {
    const about = this.facts.x;
    if (!about.image) return Float64Array.from(x);
    const plane = about.height * about.width;
    const bands = about.bands || [...Array(Math.min(about.channels, 3)).keys()];
    const shown = about.channels === 1 ? [0] : bands.slice(0, 3);
    const out = new Uint8Array(plane * (shown.length === 1 ? 1 : 3));
    const scale = 1 / (about.high - about.low), step = shown.length === 1 ? 1 : 3;
    shown.forEach((channel, place) => {
      for (let i = 0; i < plane; i++) {
        const unit = Math.min(1, Math.max(0, (x[channel * plane + i] - about.low) * scale));
        out[i * step + place] = Math.floor(unit * 255 + 0.5);
      }
    });
    return out;
  }
}

function split(about, bytes) {
  const size = about.image
    ? about.height * about.width * (about.channels === 1 ? 1 : 3) : 8 * about.columns.length;
  return Array.from({ length: bytes.length / size }, (_, i) => {
    const part = bytes.slice(i * size, (i + 1) * size);
    return about.image ? part : new Float64Array(part.buffer);
  });
}
