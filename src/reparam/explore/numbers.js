// Numbers: out of base64, in few digits, and what is done with codes.
const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

const base64 = (bytes) => {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
};

function fromHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, rest = bits & 1023;
  if (exponent === 0) return sign * rest * 2 ** -24;
  if (exponent === 31) return rest ? NaN : sign * Infinity;
  return sign * (1 + rest / 1024) * 2 ** (exponent - 15);
}

// What Python packed: rows of equal width, each a Float32Array.
function unpack(packed) {
  const bytes = bytesOf(packed.data).buffer;
  const flat = packed.type === "f16"
    ? Float32Array.from(new Uint16Array(bytes), fromHalf) : new Float32Array(bytes);
  if (packed.shape.length === 1) return flat;
  const [count, width] = packed.shape;
  return Array.from({ length: count }, (_, row) => flat.subarray(row * width, (row + 1) * width));
}

function told(value) {
  if (!Number.isFinite(value)) return "—";
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 1e6 || size < 1e-3) return value.toExponential(1).replace("-", "−");
  const text = value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
  return (Number(text) === 0 ? "0" : text).replace("-", "−");
}

const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);

// Between two codes: a straight line, or along the great circle that both directions lie on; where
// there is none, as from a code of zeros, the line.
function blend(a, b, t, path) {
  if (path === "spherical") {
    const lengths = Math.sqrt(dot(a, a) * dot(b, b));
    const angle = Math.acos(Math.min(1, Math.max(-1, dot(a, b) / lengths)));
    const sine = Math.sin(angle);
    if (lengths > 0 && sine > 1e-6) {
      const from = Math.sin((1 - t) * angle) / sine, to = Math.sin(t * angle) / sine;
      return a.map((value, i) => from * value + to * b[i]);
    }
  }
  return a.map((value, i) => (t < 1 ? value + t * (b[i] - value) : b[i]));
}

// One piece of work at a time; of what is asked meanwhile only the newest is done.
class Latest {
  constructor(work) { this.work = work; this.busy = false; this.next = null; }

  ask(wanted) {
    this.next = { wanted };
    if (!this.busy) this.run();
  }

  async run() {
    this.busy = true;
    while (this.next) {
      const { wanted } = this.next;
      this.next = null;
      try { await this.work(wanted); } catch (error) { say(error.message); }
    }
    this.busy = false;
  }
}

// An element: its properties, then what is in it. Text is text, never markup.
function make(name, properties = {}, ...inside) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element && !key.startsWith("aria")) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...inside.filter((one) => one !== null));
  return element;
}

let saying = 0;
function say(text) {
  const place = document.getElementById("said");
  place.textContent = text;
  clearTimeout(saying);
  saying = setTimeout(() => { place.textContent = ""; }, 6000);
}
