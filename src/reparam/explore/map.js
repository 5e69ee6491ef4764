// The latent map: examples where their codes lie, and a marker that a pointer or keys move.
const STEP = 0.02, NEAR = 14;  // of the map by an arrow key; pixels within which a point is meant
const NAMED = 30;  // classes at most whose names are written into the map

class LatentMap {
  constructor(state, engine) {
    Object.assign(this, { state, engine, codes: state.codes });
    this.points = unpack(this.codes.points);
    this.real = this.codes.kind !== "indices";
    this.flat = this.codes.width === 1 && this.real;
    if (this.real) {
      this.center = unpack(this.codes.center);
      this.axes = unpack(this.codes.plane);
    }
    this.labels = state.facts.examples.labels;
    this.dots = make("canvas", { "aria-hidden": "true" });
    this.over = make("canvas", {
      id: "map", tabIndex: 0, role: "application", "aria-roledescription": "latent map",
      "aria-label": "Latent map. Arrow keys move the code within the plane, Enter starts from the nearest example, Home goes back to where it started.",
    });
    this.thumb = make("div.thumb", { hidden: true });
    this.box = make("div.map", {}, this.dots, this.over, this.thumb);
    this.backdrop = null;
    this.beginning = new Latest((row) => begin(state, engine, row));
    this.place();
    this.listen();
    new ResizeObserver(() => this.draw()).observe(this.box);
    state.onchange((what) => {
      if (what === "view") this.place();
      else this.markSoon();
    });
  }

  // Once for each frame of the display: the picture does not wait for it.
  markSoon() {
    if (this.marking) return;
    this.marking = requestAnimationFrame(() => { this.marking = 0; this.drawMarker(); });
  }

  // Where a code lies on the plane that is shown.
  project(code) {
    const { plane } = this.state;
    if (plane) return [code[plane[0]], code[plane[1]]];
    let x = 0, y = 0;
    for (let i = 0; i < code.length; i++) {
      const off = code[i] - this.center[i];
      x += off * this.axes[i][0];
      y += off * this.axes[i][1];
    }
    return [x, y];
  }

  // The code over a point of the plane, off it where the current one is.
  lift([x, y]) {
    const code = Float32Array.from(this.state.code), { plane } = this.state;
    if (plane) {
      [code[plane[0]], code[plane[1]]] = [x, y];
    } else {
      const [x0, y0] = this.project(code);
      for (let i = 0; i < code.length; i++) {
        code[i] += (x - x0) * this.axes[i][0] + (this.flat ? 0 : (y - y0) * this.axes[i][1]);
      }
    }
    return code;
  }

  // Points of the plane that is shown, and the part of it that is in sight.
  place() {
    const { all, plane } = this.state;
    this.shown = plane && all ? all.map((code) => [code[plane[0]], code[plane[1]]]) : this.points;
    if (this.flat) this.shown = this.shown.map(([x], row) => [x, ((row * 0.618034) % 1) - 0.5]);
    const ends = [0, 1].map((axis) => {
      const sorted = this.shown.map((point) => point[axis]).sort((a, b) => a - b);
      const at = (share) => sorted[Math.round(share * (sorted.length - 1))];
      const inner = at(0.99) - at(0.01) || 1;
      const low = Math.max(sorted[0], at(0.01) - 0.4 * inner);
      const high = Math.min(sorted[sorted.length - 1], at(0.99) + 0.4 * inner);
      const room = 0.07 * (high - low || 2);
      return [low - room, high + room];
    });
    this.frame = ends;
    this.draw();
  }

  get size() { return [this.box.clientWidth, this.box.clientHeight]; }

  pixel(point) {
    const [[x0, x1], [y0, y1]] = this.frame, [width, height] = this.size;
    return [(point[0] - x0) / (x1 - x0) * width, (y1 - point[1]) / (y1 - y0) * height];
  }

  point([left, top]) {
    const [[x0, x1], [y0, y1]] = this.frame, [width, height] = this.size;
    return [x0 + left / width * (x1 - x0), y1 - top / height * (y1 - y0)];
  }

  fit(canvas) {
    const [width, height] = this.size, ratio = devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    return pen;
  }

  draw() {
    const [width, height] = this.size;
    if (!width) return;
    const pen = this.fit(this.dots), style = getComputedStyle(this.box);
    if (this.backdrop && !this.state.plane) {
      pen.imageSmoothingEnabled = false;
      pen.globalAlpha = 0.7;
      pen.drawImage(this.backdrop, 0, 0, width, height);
      pen.globalAlpha = 1;
    }
    pen.strokeStyle = style.getPropertyValue("--line");
    const [left, top] = this.pixel([0, 0]).map((value) => Math.round(value) + 0.5);
    pen.stroke(new Path2D(`M${left} 0V${height}${this.flat ? "" : `M0 ${top}H${width}`}`));
    const radius = Math.max(1.7, Math.min(3.4, 0.0045 * width * Math.sqrt(1000 / (this.shown.length + 200))));
    const ringed = Boolean(this.backdrop);
    pen.globalAlpha = ringed ? 1 : 0.72;
    pen.strokeStyle = style.getPropertyValue("--page");
    pen.lineWidth = 0.6;
    const order = this.shown.map((_, row) => row);
    for (const row of order) {
      const label = this.labels ? this.labels[row] : null;
      if (this.state.hidden.has(label)) continue;
      const [x, y] = this.pixel(this.shown[row]);
      pen.fillStyle = this.color(label, style);
      pen.beginPath();
      pen.arc(x, y, ringed ? radius + 0.7 : radius, 0, 7);
      pen.fill();
      if (ringed) pen.stroke();
    }
    pen.globalAlpha = 1;
    this.drawNames(pen, style);
    this.drawMarker();
  }

  // The name of each class at the median of its points, as long as there are few.
  drawNames(pen, style) {
    const { classes } = this.state.facts;
    if (!this.labels || classes.length > NAMED || this.state.hidden.size === classes.length) return;
    Object.assign(pen, { font: "600 17px system-ui, sans-serif", textAlign: "center", textBaseline: "middle", lineJoin: "round", lineWidth: 4 });
    pen.strokeStyle = style.getPropertyValue("--page");
    pen.fillStyle = style.getPropertyValue("--ink");
    classes.forEach(({ name }, label) => {
      const mine = this.shown.filter((_, row) => this.labels[row] === label);
      if (!mine.length || this.state.hidden.has(label)) return;
      const [x, y] = this.pixel([0, 1].map((axis) => {
        const sorted = mine.map((point) => point[axis]).sort((a, b) => a - b);
        return sorted[sorted.length >> 1];
      }));
      const text = name.length > 14 ? `${name.slice(0, 13)}…` : name;
      pen.strokeText(text, x, y);
      pen.fillText(text, x, y);
    });
  }

  color(label, style = getComputedStyle(this.box)) {
    const classes = this.state.facts.classes;
    if (label === null || !classes[label]) return style.getPropertyValue("--dot");
    const dark = style.getPropertyValue("color-scheme").includes("dark");
    return classes[label][dark ? "dark" : "light"];
  }

  drawMarker() {
    const { state } = this, [width, height] = this.size;
    if (!width || !state.code) return;
    const pen = this.fit(this.over), style = getComputedStyle(this.box);
    const ink = style.getPropertyValue("--ink"), page = style.getPropertyValue("--card");
    const pins = this.real ? [["A", state.a], ["B", state.b]].filter(([, pin]) => pin) : [];
    if (pins.length === 2) this.drawWay(pen, ink);
    for (const [name, pin] of pins) this.drawPin(pen, name, this.clip(this.pixel(this.project(pin.code))), ink, page);
    const here = this.here();
    if (!here) return;
    const [x, y] = this.clip(this.pixel(here));
    const pinned = pins.some(([, pin]) => Math.hypot(...this.pixel(this.project(pin.code)).map((at, i) => at - [x, y][i])) < 4);
    const radius = pinned ? 14 : 9;
    for (const [color, line] of [[page, 5], [ink, 2]]) {
      pen.strokeStyle = color;
      pen.lineWidth = line;
      pen.beginPath();
      pen.arc(x, y, radius, 0, 7);
      pen.stroke();
    }
    if (pinned) return;
    pen.fillStyle = ink;
    pen.beginPath();
    pen.arc(x, y, 2, 0, 7);
    pen.fill();
  }

  // Where the marker stands; of indices on the example that it started from.
  here() {
    const { start, code } = this.state;
    if (!this.real) return start.kind === "example" ? this.shown[start.row] : null;
    const [x, y] = this.project(code);
    return this.flat ? [x, 0] : [x, y];
  }

  clip([x, y]) {
    const [width, height] = this.size;
    return [Math.min(width - 6, Math.max(6, x)), Math.min(height - 6, Math.max(6, y))];
  }

  drawWay(pen, ink) {
    const { a, b, path } = this.state;
    pen.strokeStyle = ink;
    pen.lineWidth = 1.5;
    pen.setLineDash([4, 4]);
    pen.beginPath();
    for (let step = 0; step <= 40; step++) {
      const [x, y] = this.pixel(this.project(blend(a.code, b.code, step / 40, path)));
      if (step) pen.lineTo(x, y); else pen.moveTo(x, y);
    }
    pen.stroke();
    pen.setLineDash([]);
  }

  drawPin(pen, name, [x, y], ink, page) {
    pen.fillStyle = ink;
    pen.beginPath();
    pen.arc(x, y, 10, 0, 7);
    pen.fill();
    pen.fillStyle = page;
    pen.font = "600 12px system-ui, sans-serif";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.fillText(name, x, y + 1);
  }

  // The example nearest to a place, if one is near enough and not hidden.
  nearest(place, most = Infinity) {
    let best = null, distance = most;
    this.shown.forEach((point, row) => {
      if (this.labels && this.state.hidden.has(this.labels[row])) return;
      const [x, y] = this.pixel(point), apart = Math.hypot(x - place[0], y - place[1]);
      if (apart < distance) [best, distance] = [row, apart];
    });
    return best;
  }

  listen() {
    const { over } = this;
    const at = (event) => {
      const box = over.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    let pressed = null;
    over.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      over.setPointerCapture(event.pointerId);
      this.hover(null);
      pressed = at(event);
      const row = this.nearest(pressed, event.pointerType === "touch" ? NEAR : NEAR / 2);
      if (row === null || !this.real) this.go(pressed);
      else this.beginAt(row);
    });
    over.addEventListener("pointermove", (event) => {
      const place = at(event);
      if (pressed === null) return event.pointerType === "touch" ? null : this.hover(place);
      if (Math.hypot(place[0] - pressed[0], place[1] - pressed[1]) > 3) {
        pressed = [-99, -99];  // it is a drag from here on
        this.go(place);
      }
      return null;
    });
    for (const name of ["pointerup", "pointercancel"]) over.addEventListener(name, () => { pressed = null; });
    over.addEventListener("pointerleave", () => this.hover(null));
    over.addEventListener("keydown", (event) => this.key(event));
  }

  go(place) {
    if (this.real) this.state.move(this.lift(this.point(this.clipped(place))), "map");
    else this.beginAt(this.nearest(place));
  }

  clipped([x, y]) {
    const [width, height] = this.size;
    return [Math.min(width, Math.max(0, x)), Math.min(height, Math.max(0, y))];
  }

  beginAt(row) {
    const { start, facts, drawn } = this.state;
    if (row === null || (!this.real && start.row === row)) return;
    if (facts.examples.count) this.beginning.ask(row);
    else this.state.begin("draw", drawn[row]);
  }

  key(event) {
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const way = ways[event.key], here = this.here();
    if (way && here) {
      const [width, height] = this.size, step = STEP * (event.shiftKey ? 5 : 1);
      const [x, y] = this.pixel(here);
      const place = [x + way[0] * step * width, y + way[1] * step * height];
      if (this.real) this.go(place);
      else this.beginAt(this.beside(place, way));
    } else if (way && !this.real) this.beginAt(this.nearest(this.size.map((side) => side / 2)));
    else if (event.key === "Enter" && here) this.beginAt(this.nearest(this.pixel(here)));
    else if (event.key === "Home") this.state.reset();
    else return;
    event.preventDefault();
  }

  // Of indices: the nearest example that lies that way.
  beside(place, way) {
    const { row } = this.state.start, [x, y] = this.pixel(this.shown[row]);
    let best = null, distance = Infinity;
    this.shown.forEach((point, other) => {
      const [left, top] = this.pixel(point);
      const along = (left - x) * way[0] + (top - y) * way[1];
      if (other === row || along <= 0 || (this.labels && this.state.hidden.has(this.labels[other]))) return;
      const apart = Math.hypot(left - place[0], top - place[1]);
      if (apart < distance) [best, distance] = [other, apart];
    });
    return best;
  }

  // The example under the pointer: its picture or its first columns, its class and number.
  hover(place) {
    const { facts } = this.state, { examples } = facts;
    const row = place && examples.count ? this.nearest(place, NEAR) : null;
    this.over.classList.toggle("on", row !== null);
    if (row === null) { this.thumb.hidden = true; return; }
    const label = this.labels ? facts.classes[this.labels[row]].name : null;
    this.thumb.replaceChildren(...this.glimpse(row), make("span", {}, `${label === null ? "" : `${label} · `}example ${examples.numbers[row]}`));
    this.thumb.style.borderColor = this.color(this.labels ? this.labels[row] : null);
    const [x, y] = this.pixel(this.shown[row]), [width, height] = this.size;
    this.thumb.hidden = false;
    const box = this.thumb.getBoundingClientRect();
    this.thumb.style.left = `${Math.min(width - box.width - 4, Math.max(4, x - box.width / 2))}px`;
    this.thumb.style.top = `${y > height / 2 ? y - box.height - 14 : y + 14}px`;
  }

  glimpse(row) {
    const { facts } = this.state, { sheet, rows } = facts.examples;
    if (sheet) return [thumbnail(sheet, row, 72)];
    if (!rows) return [];
    this.rows ||= unpack(rows);
    return facts.x.columns.slice(0, 6).map((column, i) => make("span", {}, `${column.name}: ${cellText(column, this.rows[row][i])}`));
  }
}

// A small picture cut out of the sheet of all of them.
function thumbnail(sheet, row, side) {
  const scale = side / Math.max(sheet.width, sheet.height);
  const [width, height] = [sheet.width * scale, sheet.height * scale];
  const found = make("i.tile");
  found.style.width = `${width}px`;
  found.style.height = `${height}px`;
  found.style.backgroundImage = `url(${sheet.source})`;
  found.style.backgroundSize = `${sheet.columns * width}px auto`;
  found.style.backgroundPosition = `${-(row % sheet.columns) * width}px ${-Math.floor(row / sheet.columns) * height}px`;
  return found;
}

// What 2-D codes decode to, over all of the map that is in sight.
async function manifold(map, engine, about, side = 15) {
  const [[x0, x1], [y0, y1]] = map.frame, codes = [];
  for (let row = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      codes.push(Float32Array.of(x0 + (column + 0.5) / side * (x1 - x0), y1 - (row + 0.5) / side * (y1 - y0)));
    }
  }
  const found = await engine.decodeAll(codes, map.state.c);
  const gap = Math.max(1, Math.round(about.width / 12)), [wide, high] = [about.width + gap, about.height + gap];
  const sheet = make("canvas", { width: side * wide - gap, height: side * high - gap });
  const pen = sheet.getContext("2d"), tile = make("canvas");
  found.forEach((pixels, i) => {
    paint(tile, pixels, about);
    pen.drawImage(tile, (i % side) * wide, Math.floor(i / side) * high);
  });
  return sheet;
}
