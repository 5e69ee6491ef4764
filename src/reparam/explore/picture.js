// x as it looks: pixels on a canvas, or the columns of a row as bars in their units.
const channelsOf = (about) => (about.channels === 1 ? 1 : 3);

function paint(canvas, pixels, about) {
  const { width, height } = about, channels = channelsOf(about);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const image = new ImageData(width, height), { data } = image;
  for (let i = 0, at = 0; i < data.length; i += 4, at += channels) {
    data[i] = pixels[at];
    data[i + 1] = pixels[channels === 1 ? at : at + 1];
    data[i + 2] = pixels[channels === 1 ? at : at + 2];
    data[i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function canvasOf(about, label, pixels = null) {
  const canvas = make("canvas.x", { width: about.width, height: about.height, role: "img", "aria-label": label });
  if (Math.max(about.width, about.height) < 100) canvas.classList.add("crisp");
  if (pixels) paint(canvas, pixels, about);
  return canvas;
}

// A cell in words: the name of its level, a whole number, or a few digits.
function cellText(column, value) {
  if (Number.isNaN(value)) return "missing";
  if (column.names) return column.names[Math.round(value - column.base)] ?? told(value);
  return column.whole && Number.isInteger(value) ? String(value) : told(value);
}

// A row of a table: one line per column, a bar from its smallest to its largest value in training.
class Bars {
  constructor(about, label) {
    this.columns = about.columns;
    this.element = make("div.bars", { role: "table", "aria-label": label });
    this.rows = this.columns.map((column) => {
      const bar = make("i.fill"), middle = make("i.middle"), value = make("span.value", { role: "cell" });
      const track = make("span.track", { "aria-hidden": "true" }, bar, middle);
      middle.style.left = `${100 * this.share(column, column.middle)}%`;
      if (column.names && column.names.length > 2) track.classList.add("named");
      const name = make("span.column", { role: "rowheader" }, column.name);
      const row = make("div.bar", { role: "row" }, name, track, value);
      this.element.append(row);
      return { bar, value };
    });
  }

  share(column, value) {
    const range = column.high - column.low;
    return range > 0 ? Math.min(1, Math.max(0, (value - column.low) / range)) : 0.5;
  }

  show(row) {
    this.columns.forEach((column, i) => {
      this.rows[i].bar.style.width = `${100 * (Number.isNaN(row[i]) ? 0 : this.share(column, row[i]))}%`;
      this.rows[i].value.textContent = cellText(column, row[i]);
    });
  }
}

// The large picture, or the large row; `paints` counts what was shown.
class Picture {
  constructor(about, label) {
    this.about = about;
    this.bars = about.image ? null : new Bars(about, label);
    this.element = about.image ? canvasOf(about, label) : this.bars.element;
    this.element.classList.add("large");
    this.element.id = "picture";
    this.paints = 0;
    this.now = null;
  }

  show(x) {
    this.now = x;
    if (this.bars) this.bars.show(x);
    else paint(this.element, x, this.about);
    this.element.dataset.paints = ++this.paints;
  }

  save(name) {
    const file = (blob, type) => {
      const link = make("a", { href: URL.createObjectURL(blob), download: `${name}.${type}` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    };
    if (!this.bars) return this.element.toBlob((blob) => file(blob, "png"));
    const quoted = (text) => `"${String(text).replaceAll('"', '""')}"`;
    const lines = [this.about.columns.map((c) => quoted(c.name)), this.about.columns.map((c, i) =>
      (c.names ? quoted(cellText(c, this.now[i])) : this.now[i]))];
    return file(new Blob([lines.map((line) => line.join(",")).join("\n") + "\n"], { type: "text/csv" }), "csv");
  }
}
