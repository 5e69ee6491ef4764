"""The explorer in a real browser: what one does to it, and what its canvas then shows."""

import io
import json
import socket
import threading
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from browsers import HANGS
from PIL import Image

import reparam as rp
from reparam.explore.facts import facts
from reparam.explore.program import program_of
from reparam.explore.rendering import page_file
from reparam.explore.server import Bound, application, listen
from reparam.explore.subject import Subject

uvicorn = pytest.importorskip("uvicorn", reason="needs uvicorn")
EVIL = "<script>document.title = 'evil'</script>"


@pytest.fixture(scope="module")
def digits():
    data = rp.load_data("digits")
    names = (EVIL, *(data.class_names or ())[1:])
    return replace(data, class_names=names, name="<b>digits</b>")


def subject_of(name, data, in_file=False, **parameters):
    torch.manual_seed(0)
    model = rp.build(name, data.space, hidden=(16,), **parameters).eval()
    return Subject(model, data, f"a {EVIL} run", most=60, in_file=in_file)


@contextmanager
def served(subject):
    """The address of a server in a thread."""
    place = listen("127.0.0.1", 0)
    bound = Bound("127.0.0.1", place.getsockname()[1])
    app = application(subject, bound)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [place]}, daemon=True)
    thread.start()
    yield bound.address
    server.should_exit = True
    thread.join(20)
    place.close()


class Tab:
    """A tab that records what goes wrong, what is asked of whom, and what the picture is."""

    def __init__(self, browser, address, width=1280, height=900, scheme="light", **options):
        self.address = address
        self.context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, **options
        )
        self.tab = self.context.new_page()
        self.tab.set_default_timeout(HANGS)
        self.problems, self.requests, self.asked = [], [], []
        self.tab.on("console", self._said)
        self.tab.on("pageerror", lambda error: self.problems.append(str(error)))
        self.tab.on("request", self._record)
        self.tab.goto(address)
        self.tab.wait_for_selector("html[data-ready]")

    def _said(self, message):
        if "Multiple readback" not in message.text:  # it is these tests that read the canvas
            self.problems.append(message.text)

    def _record(self, request):
        self.requests.append(request.url)
        if request.url.endswith("/decode"):
            self.asked.append(json.loads(request.post_data))

    def after(self, action):
        """The pixels of the picture after what an action makes it show."""
        before = self.paints()
        action()
        self.until(lambda: self.paints() > before)
        return self.pixels()

    def until(self, holds):
        """Wait for something; not in the page, whose policy lets nobody evaluate text there."""
        for _ in range(HANGS // 20):
            if holds():
                return
            self.tab.wait_for_timeout(20)
        raise AssertionError("waited in vain")

    def paints(self):
        return self.tab.evaluate("Number(document.getElementById('picture').dataset.paints || 0)")

    def settle(self):
        self.until(self.paints)
        self.tab.wait_for_timeout(100)

    def pixels(self):
        """Red, green and blue of the canvas, (H, W, 3)."""
        found = self.tab.evaluate(
            """() => { const c = document.getElementById('picture');
            const data = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
            return [c.width, c.height, Array.from(data)]; }"""
        )
        return np.array(found[2], np.uint8).reshape(found[1], found[0], 4)[..., :3]

    def close(self, foreign=()):
        own = self.address.split("#")[0].rsplit("/", 1)[0]
        others = [u for u in self.requests if not u.startswith((own, "data:", "blob:"))]
        assert not self.problems and not others
        self.context.close()


def shown(subject, code, c=None):
    """The pixels of the model's own decode."""
    c = None if c is None else torch.tensor([c])
    x = subject.model.decode(torch.tensor([code]), c).detach()
    return subject.brightness.bytes(x)[0].repeat(3, -1)


@pytest.fixture(scope="module")
def cvae(digits):
    return subject_of("cvae", digits, latent_dim=3)


@pytest.fixture(scope="module")
def address(cvae):
    with served(cvae) as found:
        yield found


def test_what_one_does_is_what_the_model_decodes(cvae, address, browser, monkeypatch):
    outwards = []
    connect = socket.socket.connect
    monkeypatch.setattr(
        socket.socket, "connect", lambda s, to: (outwards.append(to), connect(s, to))[1]
    )
    page = Tab(browser, address)
    tab = page.tab
    page.settle()
    labels = cvae.examples.labels.tolist()
    assert (page.pixels() == shown(cvae, cvae.codes[0].tolist(), labels[0])).all()

    # Anywhere on the map: the decoder follows, within the plane.
    box = tab.locator("#map").bounding_box()
    corner = (box["x"] + 9, box["y"] + 9)  # where no example is
    clicked = page.after(lambda: tab.mouse.click(*corner))
    code = page.asked[-1]["code"]
    assert (clicked == shown(cvae, code, labels[0])).all()
    moved = torch.tensor(code).double() - cvae.codes[0].double()
    axes = cvae.projection.axes
    assert moved.norm() > 0.01
    assert (moved - axes @ (axes.T @ moved)).norm() < 1e-5 * moved.norm()

    # A drag decodes on the way and ends where it ends.
    asked = len(page.asked)
    tab.mouse.move(*corner)
    tab.mouse.down()
    for step in range(1, 8):
        tab.mouse.move(corner[0] + 40 * step, corner[1] + 30 * step)
    tab.mouse.up()
    tab.wait_for_timeout(300)
    assert len(page.asked) > asked
    assert (page.pixels() == shown(cvae, page.asked[-1]["code"], labels[0])).all()

    # On a point: that example, under its class.
    row, place = 7, point_of(cvae, 7, box)
    picture = page.after(lambda: tab.mouse.click(*place))
    assert page.asked[-1] == {"code": pytest.approx(cvae.codes[row].tolist()), "c": labels[row]}
    assert (picture == shown(cvae, cvae.codes[row].tolist(), labels[row])).all()

    # A slider moves its own entry alone.
    index = int(tab.locator("#sliders .slider b").first.inner_text()[1:])
    slider = tab.locator("#sliders input[type=range]").first
    high = float(slider.get_attribute("max"))
    moved = page.after(lambda: set_slider(slider, high))
    expected = cvae.codes[row].tolist()
    expected[index] = high
    assert page.asked[-1]["code"] == pytest.approx(expected, abs=1e-5)
    assert (moved == shown(cvae, page.asked[-1]["code"], labels[row])).all()

    # The class is what decoding is told; the code stays.
    other = (labels[row] + 3) % 10
    changed = page.after(lambda: tab.locator("#condition label").nth(other).click())
    assert page.asked[-1]["c"] == other and page.asked[-1]["code"] == pytest.approx(
        expected, abs=1e-5
    )
    assert (changed == shown(cvae, page.asked[-1]["code"], other)).all()

    # Back, at random, one draw.
    assert (
        page.after(lambda: tab.click("#reset"))
        == shown(cvae, cvae.codes[row].tolist(), labels[row])
    ).all()
    drawn = page.after(lambda: tab.click("text=Random z"))
    assert (drawn == shown(cvae, page.asked[-1]["code"], page.asked[-1]["c"])).all()
    noisy = page.after(lambda: tab.click("text=One draw"))
    assert page.asked[-1]["draw"] >= 0 and (noisy != drawn).any()
    assert (page.after(lambda: tab.click("text=Mean")) == drawn).all()

    # Between two.
    tab.click("#pin-a")
    page.after(lambda: tab.click("#reset"))
    first = page.asked[-1]["code"]
    page.after(lambda: tab.click("text=Random z"))
    tab.click("#pin-b")
    second = page.asked[-1]["code"]
    page.after(lambda: set_slider(tab.locator("#walk"), 1))
    assert page.asked[-1]["code"] == pytest.approx(second, abs=1e-6) and first != second
    page.after(lambda: tab.click("#play"))
    tab.click("#play")

    # The address keeps the view; names are text.
    tab.wait_for_timeout(400)
    again = Tab(browser, tab.url)
    again.settle()
    assert again.asked[-1]["code"] == pytest.approx(page.asked[-1]["code"], rel=1e-4, abs=1e-4)
    again.close()
    assert EVIL in tab.inner_text(".legend") and EVIL in tab.inner_text(".head")
    assert tab.title() != "evil" and tab.locator("b:text('digits')").count() == 0
    page.close()
    assert [to for to in outwards if to[0] not in ("127.0.0.1", "::1")] == []


def test_the_address_holds_all_of_a_view(cvae, address, browser):
    page = Tab(browser, address + "#example=3&moved=1:0.5&c=4&draw=123456789&plane=2,0&hidden=7")
    page.settle()
    tab = page.tab
    code = cvae.codes[3].tolist()
    code[1] = 0.5
    asked = page.asked[-1]
    assert asked == {"code": pytest.approx(code), "c": 4, "draw": 123456789}
    selects = tab.locator(".plane select")
    values = [selects.nth(i).input_value() for i in range(3)]
    assert values == ["latents", "2", "0"]
    pressed = "chips => chips.map(chip => chip.getAttribute('aria-pressed'))"
    expected = ["false" if label == 7 else "true" for label in range(10)]
    assert tab.eval_on_selector_all(".legend button", pressed) == expected
    tab.wait_for_timeout(400)  # until the page has written the address itself
    again = Tab(browser, tab.url)
    again.settle()
    assert again.asked[-1] == asked
    again.close()
    # Another address in the same tab is another view, and nothing of this one is left.
    page.after(lambda: tab.evaluate("() => { location.hash = 'example=5'; }"))
    label = cvae.examples.labels[5].item()
    tab.wait_for_timeout(300)
    assert page.asked[-1] == {"code": pytest.approx(cvae.codes[5].tolist()), "c": label}
    assert selects.nth(0).input_value() == "components"
    assert tab.eval_on_selector_all(".legend button", pressed) == ["true"] * 10
    page.close()


def test_a_slow_answer_does_not_undo_what_was_done_since(cvae, address, browser):
    page = Tab(browser, address)
    page.settle()
    held = []
    page.tab.route("**/encode", lambda route: held.append(route))
    page.tab.click("text=Random z")
    page.until(lambda: held)
    slider = page.tab.locator("#sliders input[type=range]").first
    moved = page.after(lambda: set_slider(slider, float(slider.get_attribute("max"))))
    asked = page.asked[-1]
    held[0].continue_()
    page.tab.wait_for_timeout(300)
    assert page.asked[-1] == asked and (page.pixels() == moved).all()
    page.close()


def test_what_the_map_decodes_to_follows_the_class_of_an_example(digits, browser):
    subject = subject_of("cvae", digits, latent_dim=2)
    labels = subject.examples.labels.tolist()
    other = next(row for row, label in enumerate(labels) if label != labels[0])
    with served(subject) as address:
        page = Tab(browser, address)
        page.settle()

        def backdrops():
            return [asked["c"] for asked in page.asked if "codes" in asked]

        page.tab.click("#manifold")
        page.until(backdrops)
        box = page.tab.locator("#map").bounding_box()
        page.tab.mouse.click(*point_of(subject, other, box))
        page.until(lambda: len(backdrops()) > 1)
        assert backdrops() == [labels[0], labels[other]]
        page.close()


def test_a_conditional_decoder_of_noise_begins_under_a_class(digits, browser):
    gan = subject_of("gan", digits, latent_dim=3, conditional=True)
    with served(gan) as address:
        page = Tab(browser, address)
        page.settle()
        asked = page.asked[-1]
        assert (page.pixels() == shown(gan, asked["code"], asked["c"])).all()
        page.close()


def test_indices_can_be_chosen_again_after_a_draw(digits, browser):
    with served(subject_of("vq-vae", digits)) as address:
        page = Tab(browser, address)
        page.settle()
        here = {"x": 200, "y": 200}
        first = page.after(lambda: page.tab.click("#map", position=here))
        page.after(lambda: page.tab.click("#random"))
        assert (page.after(lambda: page.tab.click("#map", position=here)) == first).all()
        page.after(lambda: page.tab.click("#random"))
        page.tab.focus("#map")
        page.after(lambda: page.tab.keyboard.press("ArrowRight"))
        page.close()


def point_of(subject, row, box):
    """Where the map draws an example, in pixels of the window, as map.js places it."""
    points = subject.projection(subject.codes).double().numpy()
    ends = []
    for values in points.T:
        ordered = np.sort(values)
        low, high = (ordered[round(share * (len(ordered) - 1))] for share in (0.01, 0.99))
        inner = high - low
        low, high = max(ordered[0], low - 0.4 * inner), min(ordered[-1], high + 0.4 * inner)
        ends.append((low - 0.07 * (high - low), high + 0.07 * (high - low)))
    (x0, x1), (y0, y1) = ends
    x, y = points[row]
    across, down = (x - x0) / (x1 - x0), (y1 - y) / (y1 - y0)
    return box["x"] + across * box["width"], box["y"] + down * box["height"]


def set_slider(slider, value):
    slider.evaluate(
        "(s, v) => { s.value = v; s.dispatchEvent(new Event('input', { bubbles: true })); }", value
    )


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_own_images(cvae, address, digits, browser):
    page = Tab(browser, address)
    page.settle()
    example = digits.test.x[3, 0].numpy()
    upload = {"name": "../../x.png", "mimeType": "image/png"}
    good = upload | {"buffer": png(np.rint(example * (255 / 16)))}
    picture = page.after(lambda: page.tab.set_input_files("#file", [good]))
    label = cvae.examples.labels[0].item()
    code = cvae.model.encode(digits.test.x[3:4], torch.tensor([label])).detach()
    assert page.asked[-1]["code"] == pytest.approx(code[0].tolist(), abs=1e-5)
    assert (picture == shown(cvae, page.asked[-1]["code"], label)).all()
    page.tab.wait_for_selector("text=of 200 test examples")
    assert "log p(x) ≥ −" in page.tab.inner_text(".number")
    assert page.tab.locator(".pair canvas").count() == 2
    assert "your image" in page.tab.inner_text(".origin")
    said = "() => document.getElementById('said').textContent"
    page.tab.set_input_files("#file", [upload | {"buffer": b"no image"}])
    page.until(lambda: "expected an image in PNG" in page.tab.evaluate(said))
    large = upload | {"buffer": bytes(10 * 1024 * 1024 + 1)}
    page.tab.set_input_files("#file", [large])
    page.until(lambda: "10 MB" in page.tab.evaluate(said))
    # The browser itself reports the 400 that the broken file got, and nothing else went wrong.
    assert len(page.problems) == 1 and "400" in page.problems.pop()
    page.close()


def test_by_keys_alone(cvae, address, browser):
    page = Tab(browser, address)
    page.settle()
    keys = page.tab.keyboard
    for _ in range(30):
        keys.press("Tab")
        if page.tab.evaluate("document.activeElement.id") == "map":
            break
    before = page.asked[-1]["code"]
    page.after(lambda: keys.press("Shift+ArrowRight"))
    right = page.asked[-1]["code"]
    plane = cvae.projection
    start, end = (plane(torch.tensor([code]))[0].tolist() for code in (before, right))
    assert end[0] > start[0] and end[1] == pytest.approx(start[1], abs=1e-4)
    page.after(lambda: keys.press("Home"))
    assert page.asked[-1]["code"] == pytest.approx(before)
    for _ in range(60):
        keys.press("Tab")
        if page.tab.evaluate("document.activeElement.type") == "range":
            break
    assert page.tab.evaluate("document.activeElement.getAttribute('aria-label')")
    page.after(lambda: keys.press("ArrowRight"))
    unnamed = page.tab.evaluate(
        """() => [...document.querySelectorAll('button, input, select, canvas[tabindex]')].filter(
        (e) => !e.getAttribute('aria-label') && !e.textContent.trim() && !e.closest('label'))
        .map((e) => e.outerHTML)"""
    )
    assert unnamed == []
    page.close()


def test_dark_and_narrow(cvae, address, browser):
    page = Tab(browser, address, width=390, height=844, scheme="dark")
    page.settle()
    background = "getComputedStyle(document.body).backgroundColor"
    assert page.tab.evaluate("document.documentElement.scrollWidth") == 390
    assert page.tab.evaluate(background) == "rgb(20, 22, 26)"
    picture, latents = (page.tab.locator(one).bounding_box() for one in ("#picture", "#map"))
    assert picture["y"] + picture["height"] < 844 and latents["y"] > picture["y"]
    page.tab.click("#theme")
    assert page.tab.evaluate(background) == "rgb(251, 250, 248)"
    page.close()


def test_the_page_in_one_file(digits, browser, tmp_path):
    subject = subject_of("cvae", digits, in_file=True, latent_dim=2)
    program = program_of(subject.model)
    path = tmp_path / "explore.html"
    path.write_text(page_file(subject, program), encoding="utf-8")
    assert path.stat().st_size <= 1.5 * 2 * program.weights + 400_000
    page = Tab(browser, path.as_uri() + "#z=0.5,-1.25&c=4")
    page.settle()
    expected = shown(subject, [0.5, -1.25], 4).astype(int)
    assert abs(page.pixels().astype(int) - expected).max() <= 1
    changed = page.after(lambda: page.tab.locator("#condition label").nth(7).click())
    assert abs(changed.astype(int) - shown(subject, [0.5, -1.25], 7)).max() <= 1
    page.after(lambda: page.tab.locator("#map").click(position={"x": 30, "y": 30}))
    page.after(lambda: page.tab.click("text=Random z"))
    page.tab.click("#manifold")
    assert page.tab.locator("#file").count() == 0  # nothing in it encodes
    assert EVIL in page.tab.inner_text(".legend") and page.tab.title() != "evil"
    policy = page.tab.locator("meta[http-equiv]").get_attribute("content")
    assert "connect-src 'none'" in policy
    page.close()


def test_a_file_has_the_codes_of_its_examples_however_wide(digits):
    model = rp.build("mae", digits.space, patch=1, width=64, layers=1).eval()
    found = facts(Subject(model, digits, "wide", in_file=True), in_file=True)
    assert found["codes"]["width"] == 64 * 64  # of which 90 kB have eleven in half precision
    assert found["codes"]["all"]["shape"] == [found["examples"]["count"], 64 * 64]
    assert "hidden patches alone" in found["codes"]["said"]


def test_rows_of_a_table(browser):
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(200, 3, generator=rng) * torch.tensor([1.0, 10.0, 1000.0]) + 5
    data = rp.load_data(x.numpy())
    torch.manual_seed(0)
    model = rp.build("pca", data.space, latent_dim=2)
    rp.fit(model, data, progress=False)
    subject = Subject(model.eval(), data, "rows", most=30)
    with served(subject) as address:
        page = Tab(browser, address)
        page.settle()
        values = page.tab.locator(".bar .value").all_inner_texts()
        code = subject.codes[:1].to(model.anchor)
        row = model.decode(code)[0].tolist()
        found = [float(v.replace("−", "-")) for v in values]
        assert found == pytest.approx(row, rel=0.02, abs=0.01)
        page.tab.locator("#map").click(position={"x": 30, "y": 30})
        page.tab.wait_for_timeout(200)
        assert page.tab.locator(".bar .value").all_inner_texts() != values
        page.close()


def test_a_model_without_codes(digits, browser):
    subject = subject_of("made", digits)
    with served(subject) as address:
        page = Tab(browser, address)
        page.tab.wait_for_selector("#samples canvas >> nth=7")
        assert page.tab.locator("#map").count() == 0
        box = page.tab.locator("#mask").bounding_box()
        page.tab.mouse.click(box["x"] + 5, box["y"] + 5)
        page.tab.click("#complete")
        said = "() => document.getElementById('said').textContent"
        completed = page.tab.locator("#completions canvas")
        page.until(lambda: completed.count() == 4 or page.tab.evaluate(said))
        assert page.tab.evaluate(said) == "" and completed.count() == 4
        gray = png(np.full((8, 8), 128))
        upload = {"name": "x.png", "mimeType": "image/png", "buffer": gray}
        page.tab.set_input_files("#file", [upload])
        page.tab.wait_for_selector("text=test examples")
        assert "log p(x) = −" in page.tab.inner_text(".number")
        page.close()
