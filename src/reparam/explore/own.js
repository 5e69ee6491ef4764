// An own image: dropped or picked, read as the training data were, and never stored.
const MOST_BYTES = 10 * 1024 * 1024;

function ownCard(state, engine) {
  const { facts } = state, { x } = facts;
  const result = make("div.result");
  const input = make("input", { type: "file", accept: "image/png,image/jpeg,image/webp,image/bmp", id: "file", className: "hidden" });
  const zone = make("label.zone", { htmlFor: "file" }, make("b", {}, "Choose an image"), " or drop one here. It does not leave this machine.", input);
  const read = async (file) => {
    if (!file) return;
    if (file.size > MOST_BYTES) { say("The image has more than 10 MB."); return; }
    result.replaceChildren(make("p.note", {}, "Reading …"));
    try {
      await show(file);
    } catch (error) {
      result.replaceChildren();
      say(error.message);
    }
  };
  const show = async (file) => {
    const c = facts.condition ? state.c ?? facts.condition.values[0] : null;
    const found = await engine.upload(file, { c });
    const parts = [figure("As the model gets it", canvasOf(x, "Your image", bytesOf(found.x)))];
    let code = null;
    if (found.code) {
      [code] = unpack(found.code);
      const decoded = await engine.decode(code, c, null);
      parts.push(figure("Reconstruction", canvasOf(x, "Its reconstruction", decoded)));
    }
    const number = make("p.number");
    result.replaceChildren(make("div.pair", {}, ...parts), ...found.notes.map((note) => make("p.note", {}, note)), number);
    if (code) state.begin("own", code, { c });
    if (facts.density) number.textContent = "log p(x) …";
    if (facts.density) number.replaceChildren(...likelihood(await engine.upload(file, { c, likelihood: true })));
  };
  const work = new Latest(read);
  input.addEventListener("change", () => { work.ask(input.files[0]); input.value = ""; });
  for (const name of ["dragover", "dragenter"]) zone.addEventListener(name, (event) => { event.preventDefault(); zone.classList.add("over"); });
  for (const name of ["dragleave", "drop"]) zone.addEventListener(name, () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => { event.preventDefault(); work.ask(event.dataTransfer.files[0]); });
  return card("Own image", zone, result);
}

const figure = (caption, ...inside) => make("figure", {}, ...inside, make("figcaption", {}, caption));

function likelihood({ value, sign, percentile, of }) {
  const text = value === null ? "−∞" : value.toFixed(1).replace("-", "−");
  const place = percentile < 1 ? "among the lowest hundredth" : percentile > 99
    ? "among the highest hundredth" : `higher than ${percentile.toFixed(0)} %`;
  return [make("b", {}, `log p(x) ${sign} ${text} nats`), `, ${place} of ${of} test examples.`];
}
