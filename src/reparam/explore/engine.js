"use strict";

/* Decodes in the page: runs a program of few operations on preallocated arrays.
   new Program(header, buffer).run(code, c) gives the entries of x in data units.
   Loops are ordered and blocked so that accumulators stay in registers. */

const Program = (() => {
  const halves = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    const sign = bits >> 15 ? -1 : 1;
    if (exponent === 31) halves[bits] = fraction ? NaN : sign * Infinity;
    else if (exponent === 0) halves[bits] = sign * fraction * 2 ** -24;
    else halves[bits] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }

  const roundHalfEven = (x) => {
    const down = Math.floor(x);
    const rest = x - down;
    if (rest !== 0.5) return rest < 0.5 ? down : down + 1;
    return down % 2 === 0 ? down : down + 1;
  };

  /* erf by its series where |x| is small and by a continued fraction beyond. */
  const erf = (x) => {
    const square = x * x;
    if (square > 36) return Math.sign(x);
    if (square < 4) {
      let term = x;
      let total = x;
      for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(total); n++) {
        term *= -square / n;
        total += term / (2 * n + 1);
      }
      return (2 / Math.sqrt(Math.PI)) * total;
    }
    let fraction = 0;
    for (let n = 40; n > 0; n--) fraction = n / 2 / (Math.abs(x) + fraction);
    const tail = Math.exp(-square) / (Math.sqrt(Math.PI) * (Math.abs(x) + fraction));
    return Math.sign(x) * (1 - tail);
  };

  /* Loops of their own for what decoders do most: a shared loop would call a function per entry. */
  const MAP_LOOPS = {
    relu(out, x) { for (let i = 0; i < out.length; i++) out[i] = x[i] > 0 ? x[i] : 0; },
    silu(out, x) { for (let i = 0; i < out.length; i++) out[i] = x[i] / (1 + Math.exp(-x[i])); },
    sigmoid(out, x) { for (let i = 0; i < out.length; i++) out[i] = 1 / (1 + Math.exp(-x[i])); },
    exp(out, x) { for (let i = 0; i < out.length; i++) out[i] = Math.exp(x[i]); },
    tanh(out, x) { for (let i = 0; i < out.length; i++) out[i] = Math.tanh(x[i]); },
    round(out, x) { for (let i = 0; i < out.length; i++) out[i] = roundHalfEven(x[i]); },
  };

  const MAPS = {
    log: Math.log,
    neg: (x) => -x,
    abs: Math.abs,
    sqrt: Math.sqrt,
    rsqrt: (x) => 1 / Math.sqrt(x),
    reciprocal: (x) => 1 / x,
    floor: Math.floor,
    ceil: Math.ceil,
    trunc: Math.trunc,
    sign: Math.sign,
    erf,
    ndtr: (x) => 0.5 * (1 + erf(x / Math.SQRT2)),
    expm1: Math.expm1,
    log1p: Math.log1p,
    sin: Math.sin,
    cos: Math.cos,
    isinf: (x) => (Math.abs(x) === Infinity ? 1 : 0),
    isnan: (x) => (x === x ? 0 : 1),
    logical_not: (x) => (x === 0 ? 1 : 0),
    gelu: (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
    gelu_tanh: (x) => 0.5 * x * (1 + Math.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))),
    softplus: (x, [beta, most]) =>
      x * beta > most ? x : Math.log1p(Math.exp(x * beta)) / beta,
    elu: (x, [alpha, scale, inner]) =>
      x > 0 ? scale * x : scale * alpha * Math.expm1(inner * x),
    leaky_relu: (x, [slope]) => (x > 0 ? x : slope * x),
  };

  /* n entries of out from o on, of those of a from p on by steps of s, and of b from q by t. */
  const ZIP_LOOPS = {
    add(out, o, n, a, p, s, b, q, t) {
      for (const end = o + n; o < end; o++, p += s, q += t) out[o] = a[p] + b[q];
    },
    sub(out, o, n, a, p, s, b, q, t) {
      for (const end = o + n; o < end; o++, p += s, q += t) out[o] = a[p] - b[q];
    },
    mul(out, o, n, a, p, s, b, q, t) {
      for (const end = o + n; o < end; o++, p += s, q += t) out[o] = a[p] * b[q];
    },
    div(out, o, n, a, p, s, b, q, t) {
      for (const end = o + n; o < end; o++, p += s, q += t) out[o] = a[p] / b[q];
    },
  };

  const ZIPS = {
    pow: (a, b) => a ** b,
    floor_divide: (a, b) => Math.floor(a / b),
    remainder: (a, b) => a - Math.floor(a / b) * b,
    maximum: (a, b) => Math.max(a, b),
    minimum: (a, b) => Math.min(a, b),
    lt: (a, b) => (a < b ? 1 : 0),
    le: (a, b) => (a <= b ? 1 : 0),
    gt: (a, b) => (a > b ? 1 : 0),
    ge: (a, b) => (a >= b ? 1 : 0),
    eq: (a, b) => (a === b ? 1 : 0),
    ne: (a, b) => (a !== b ? 1 : 0),
    logical_and: (a, b) => (a !== 0 && b !== 0 ? 1 : 0),
    logical_or: (a, b) => (a !== 0 || b !== 0 ? 1 : 0),
  };

  function map(out, [x], { f, p }) {
    const loop = MAP_LOOPS[f];
    if (loop) return () => loop(out, x);
    const g = MAPS[f];
    return () => {
      for (let i = 0; i < out.length; i++) out[i] = g(x[i], p);
    };
  }

  /* Calls visit(start in the output, starts in the operands) for each run of the last dimension. */
  function runs(dims, starts, visit) {
    const outer = dims.slice(0, -1);
    const inner = dims[dims.length - 1][0];
    const at = starts.slice();
    let start = 0;
    const descend = (d) => {
      if (d === outer.length) {
        visit(start, at);
        start += inner;
        return;
      }
      const [size, ...strides] = outer[d];
      for (let i = 0; i < size; i++) {
        descend(d + 1);
        for (let k = 0; k < at.length; k++) at[k] += strides[k];
      }
      for (let k = 0; k < at.length; k++) at[k] -= size * strides[k];
    };
    descend(0);
  }

  function zip(out, [a, b, c], { f, dims, starts }) {
    const [n, s, t, u] = dims[dims.length - 1];
    const loop = ZIP_LOOPS[f];
    const g = ZIPS[f];
    const visit = (o, [p, q, r]) => {
      if (loop) loop(out, o, n, a, p, s, b, q, t);
      else if (g) for (let i = 0; i < n; i++) out[o + i] = g(a[p + i * s], b[q + i * t]);
      else for (let i = 0; i < n; i++) out[o + i] = a[p + i * s] ? b[q + i * t] : c[r + i * u];
    };
    return () => runs(dims, starts, visit);
  }

  function gather(out, [x], { offsets }) {
    let table = [0];
    for (const list of offsets) table = table.flatMap((at) => list.map((more) => at + more));
    const from = Int32Array.from(table);
    return () => {
      for (let i = 0; i < out.length; i++) out[i] = x[from[i]];
    };
  }

  function rows(out, [table, index], { width }) {
    return () => {
      for (let r = 0; r < index.length; r++) {
        const at = index[r] * width + (index[r] < 0 ? table.length : 0);
        for (let i = 0; i < width; i++) out[r * width + i] = table[at + i];
      }
    };
  }

  function cat(out, inputs, { sizes }) {
    const whole = sizes.reduce((a, b) => a + b, 0);
    return () => {
      let from = 0;
      inputs.forEach((x, k) => {
        for (let i = 0, o = from; i < x.length; i += sizes[k], o += whole)
          out.set(x.subarray(i, i + sizes[k]), o);
        from += sizes[k];
      });
    };
  }

  function reduce(out, [x], { f, count }) {
    const n = out.length;
    if (f === "argmax") {
      return () => {
        for (let i = 0; i < n; i++) {
          let best = 0;
          for (let k = 1; k < count; k++) if (x[k * n + i] > x[best * n + i]) best = k;
          out[i] = best;
        }
      };
    }
    const total = new Float64Array(n);
    const g = { max: Math.max, min: Math.min }[f];
    return () => {
      total.set(x.subarray(0, n));
      for (let k = 1; k < count; k++) {
        const at = k * n;
        if (f === "sum") for (let i = 0; i < n; i++) total[i] += x[at + i];
        else for (let i = 0; i < n; i++) total[i] = g(total[i], x[at + i]);
      }
      out.set(total);
    };
  }

  function matmul(out, [a, b], { batch, rows: m, inner, columns }) {
    return () => {
      out.fill(0);
      for (let r = 0; r < batch * m; r++) {
        const start = Math.floor(r / m) * inner * columns;
        for (let k = 0; k < inner; k++) {
          const w = a[r * inner + k];
          for (let j = 0, at = start + k * columns; j < columns; j++, at++)
            out[r * columns + j] += w * b[at];
        }
      }
    };
  }

  function linear(out, [x, w, bias], { rows: count, inputs, outputs }) {
    return () => {
      for (let r = 0; r < count; r++) {
        const from = r * inputs;
        const to = r * outputs;
        let o = 0;
        for (; o + 4 <= outputs; o += 4) {
          let at0 = o * inputs;
          let at1 = at0 + inputs;
          let at2 = at1 + inputs;
          let at3 = at2 + inputs;
          let s0 = 0;
          let s1 = 0;
          let s2 = 0;
          let s3 = 0;
          for (let i = from; i < from + inputs; i++) {
            const value = x[i];
            s0 += w[at0++] * value;
            s1 += w[at1++] * value;
            s2 += w[at2++] * value;
            s3 += w[at3++] * value;
          }
          out[to + o] = s0;
          out[to + o + 1] = s1;
          out[to + o + 2] = s2;
          out[to + o + 3] = s3;
        }
        for (; o < outputs; o++) {
          let s = 0;
          for (let i = 0; i < inputs; i++) s += w[o * inputs + i] * x[from + i];
          out[to + o] = s;
        }
        if (bias) for (let j = 0; j < outputs; j++) out[to + j] += bias[j];
      }
    };
  }

  const ROWS = 4;
  const COLUMNS = 3;

  /* Weights (outputs, inner) so that those of ROWS outputs stand beside each other. */
  function packed(weights, outputs, inner) {
    const blocks = Math.ceil(outputs / ROWS);
    const made = new Float32Array(blocks * ROWS * inner);
    for (let o = 0; o < outputs; o++)
      for (let k = 0; k < inner; k++)
        made[(Math.floor(o / ROWS) * inner + k) * ROWS + (o % ROWS)] = weights[o * inner + k];
    return made;
  }

  /* tile[row of a block, column] += weights × panel, of ROWS outputs and COLUMNS positions. */
  function product(tile, weights, from, panel, inner) {
    let a0 = 0, a1 = 0, a2 = 0, b0 = 0, b1 = 0, b2 = 0;
    let c0 = 0, c1 = 0, c2 = 0, d0 = 0, d1 = 0, d2 = 0;
    let at = from;
    for (let p = 0; p < COLUMNS * inner; p += COLUMNS) {
      const x = panel[p];
      const y = panel[p + 1];
      const z = panel[p + 2];
      let w = weights[at];
      a0 += w * x; a1 += w * y; a2 += w * z;
      w = weights[at + 1];
      b0 += w * x; b1 += w * y; b2 += w * z;
      w = weights[at + 2];
      c0 += w * x; c1 += w * y; c2 += w * z;
      w = weights[at + 3];
      d0 += w * x; d1 += w * y; d2 += w * z;
      at += ROWS;
    }
    tile[0] = a0; tile[1] = a1; tile[2] = a2;
    tile[3] = b0; tile[4] = b1; tile[5] = b2;
    tile[6] = c0; tile[7] = c1; tile[8] = c2;
    tile[9] = d0; tile[10] = d1; tile[11] = d2;
  }

  function conv(out, [x, weights, bias], sizes) {
    const { input: [depth, height, width], output: [outputs, high, wide], groups } = sizes;
    const { kernel: [kh, kw], stride: [sy, sx], padding: [py, px], dilation: [dy, dx] } = sizes;
    const channels = depth / groups;
    const each = outputs / groups;
    const inner = channels * kh * kw;
    const padW = Math.max(width + 2 * px, (wide + COLUMNS) * sx + (kw - 1) * dx);
    const padH = height + 2 * py;
    const padded = new Float32Array(depth * padH * padW);
    const panel = new Float32Array(COLUMNS * inner);
    const tile = new Float64Array(ROWS * COLUMNS);
    const parts = Array.from({ length: groups }, (_, g) =>
      packed(weights.subarray(g * each * inner, (g + 1) * each * inner), each, inner));

    const fill = (group, y, column) => {
      let p = 0;
      for (let c = group * channels; c < (group + 1) * channels; c++)
        for (let i = 0; i < kh; i++) {
          const row = (c * padH + y * sy + i * dy) * padW + column * sx;
          for (let j = 0; j < kw; j++) {
            const at = row + j * dx;
            panel[p++] = padded[at];
            panel[p++] = padded[at + sx];
            panel[p++] = padded[at + 2 * sx];
          }
        }
    };
    const store = (channel, rowCount, y, column) => {
      const valid = Math.min(COLUMNS, wide - column);
      for (let r = 0; r < rowCount; r++) {
        const shift = bias ? bias[channel + r] : 0;
        const to = ((channel + r) * high + y) * wide + column;
        for (let j = 0; j < valid; j++) out[to + j] = tile[r * COLUMNS + j] + shift;
      }
    };
    return () => {
      for (let c = 0; c < depth; c++)
        for (let y = 0; y < height; y++) {
          const from = (c * height + y) * width;
          padded.set(x.subarray(from, from + width), (c * padH + y + py) * padW + px);
        }
      for (let group = 0; group < groups; group++)
        for (let y = 0; y < high; y++)
          for (let column = 0; column < wide; column += COLUMNS) {
            fill(group, y, column);
            for (let o = 0; o < each; o += ROWS) {
              product(tile, parts[group], o * inner, panel, inner);
              store(group * each + o, Math.min(ROWS, each - o), y, column);
            }
          }
    };
  }

  const STEPS = { map, zip, gather, rows, cat, reduce, matmul, linear, conv };

  function constant(target, entry, bytes) {
    const n = target.length;
    if ("f32" in entry) target.set(new Float32Array(bytes, entry.f32, n));
    else if ("f64" in entry) target.set(new Float64Array(bytes, entry.f64, n));
    else if ("u8" in entry) target.set(new Uint8Array(bytes, entry.u8, n));
    else {
      const half = new Uint16Array(bytes, entry.f16, n);
      for (let i = 0; i < n; i++) target[i] = halves[half[i]];
    }
    if (!("rows" in entry)) return;
    const factors = new Float32Array(bytes, entry.rows, entry.count);
    const each = n / factors.length;
    for (let i = 0; i < n; i++) target[i] *= factors[Math.floor(i / each)];
  }

  return class Program {
    constructor(header, buffer) {
      this.header = header;
      this.arrays = header.buffers.map(([size, kind]) =>
        new (kind === "f64" ? Float64Array : Float32Array)(size));
      for (const entry of header.constants) constant(this.arrays[entry.buffer], entry, buffer);
      this.steps = header.steps.map(([name, out, inputs, parameters]) =>
        STEPS[name](this.arrays[out], inputs.map((at) => this.arrays[at]), parameters));
    }

    static fromBase64(header, text) {
      return new Program(header, Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
    }

    run(code, c = null) {
      const { code: input, condition, output } = this.header;
      this.arrays[input.buffer].set(code);
      if (condition) this.arrays[condition.buffer].set(condition.kind === "label" ? [c] : c);
      for (const step of this.steps) step();
      return this.arrays[output.buffer].slice();
    }
  };
})();
