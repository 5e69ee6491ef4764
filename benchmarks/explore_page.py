"""The page of `reparam explore` as one uses it: sliders, drags, opening; served and in one file.

From the input event to the bytes on the canvas it is the page's own clock; a display's frames come
on top. The server runs in a process of its own, as it does for users.
"""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import torch
from results import Quantity, Result, at_least, at_most, lacking

import reparam as rp
from reparam.data import Data, Split

CHROMIUM = "/usr/bin/chromium"
ROWS = 300
MODELS: dict[str, tuple[rp.Space, dict[str, Any]]] = {
    "digits": (rp.Space((1, 8, 8), "levels", 17), {"latent_dim": 2}),
    "28 × 28": (rp.Space((1, 28, 28), "binary"), {}),
    "64 × 64 × 3": (rp.Space((3, 64, 64), "levels", 256), {"network": "conv"}),
}
POSITIONS = 60  # of a drag
SERVED, INSIDE = "served", "in the page"
MOST = {"28 × 28": {SERVED: 15, INSIDE: 5}, "64 × 64 × 3": {SERVED: 60, INSIDE: 150}}
SHOWN = {
    (name, way): Quantity(f"explorer, slider to picture, {name}, {way}", at_most(most), "ms")
    for name, ways in MOST.items()
    for way, most in ways.items()
}
DRAGGED = {
    way: Quantity(f"explorer, pictures of a drag over {POSITIONS} positions, {way}", at_least(50))
    for way in (SERVED, INSIDE)
}
FILES = {
    name: Quantity(f"explorer, {name}: bytes of the file / allowed", at_most(1)) for name in MODELS
}

SLIDER = """async (rounds) => {
    const slider = document.querySelector("#sliders input[type=range]");
    const picture = document.getElementById("picture");
    const [low, high] = [Number(slider.min), Number(slider.max)];
    const taken = [];
    for (let round = 0; round < rounds + 10; round++) {
        const before = picture.dataset.paints;
        slider.value = low + Math.random() * (high - low);
        const shown = new Promise((done) => {
            const watch = new MutationObserver(() => {
                if (picture.dataset.paints === before) return;
                watch.disconnect();
                done(performance.now());
            });
            watch.observe(picture, {attributes: true});
        });
        const start = performance.now();
        slider.dispatchEvent(new Event("input", {bubbles: true}));
        const end = await shown;
        if (round >= 10) taken.push(end - start);
    }
    return taken;
}"""
PAINTS = "Number(document.getElementById('picture').dataset.paints)"


def data_of(space: rp.Space) -> Data:
    torch.manual_seed(0)
    x = torch.randint(space.level_count or 2, (ROWS, *space.shape)).to(torch.uint8)
    labels = torch.randint(10, (ROWS,))
    part = Split(x, labels)
    return Data(part, part, part, rp.Space(space.shape, space.kind, space.levels, 10), "made")


def subject_of(name: str, in_file: bool) -> Any:
    from reparam.explore.subject import Subject

    space, changes = MODELS[name]
    data = data_of(space)
    model = rp.build("vae", data.space, seed=0, **changes)
    return Subject(model, data, name, in_file=in_file)


def serving(name: str, told: Connection) -> None:
    from reparam.explore.server import Bound, application, listen, serve

    torch.set_num_threads(1)
    place = listen("127.0.0.1", 0)
    bound = Bound("127.0.0.1", place.getsockname()[1])
    serve(application(subject_of(name, False), bound), place, lambda: told.send(bound.address))


@contextmanager
def served(name: str) -> Iterator[str]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serving, args=(name, theirs), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


@contextmanager
def in_one_file(name: str, sizes: dict[str, float]) -> Iterator[str]:
    """The address of a file, of whose size the share of what is allowed is put down."""
    from reparam.explore.program import program_of
    from reparam.explore.rendering import page_file

    subject = subject_of(name, True)
    program = program_of(subject.model)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "explore.html")
        path.write_text(page_file(subject, program), encoding="utf-8")
        size, most = path.stat().st_size, 3 * program.weights + 400_000
        print(f"{name}: file of {size / 1000:.0f} kB, of {most / 1000:.0f} kB allowed")
        sizes[name] = size / most
        yield path.as_uri()


def pages(rounds: int, lacks: str) -> Iterator[Result]:
    """What each page takes, of each model, served and in one file."""
    if lacks:
        yield from lacking([*SHOWN.values(), *DRAGGED.values(), *FILES.values()], lacks)
        return
    from playwright.sync_api import sync_playwright

    sizes: dict[str, float] = {}
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for name in MODELS:
            for way, opened in ((SERVED, served(name)), (INSIDE, in_one_file(name, sizes))):
                with opened as address:
                    page = used(browser, address, rounds)
                print(f"{name}, {way}: {page}", flush=True)
                if (name, way) in SHOWN:
                    yield SHOWN[name, way].found(page.milliseconds)
                if name == "digits":
                    yield DRAGGED[way].found([page.pictures])
            yield FILES[name].found([sizes[name]])
        browser.close()


class Page(NamedTuple):
    """From events to pictures, in order; pictures of a drag and its seconds; seconds to open."""

    milliseconds: list[float]
    pictures: int
    drag: float
    opening: float

    def __str__(self) -> str:
        taken = self.milliseconds
        return (
            f"{statistics.median(taken):.1f} ms, 95 % below {taken[int(0.95 * len(taken))]:.1f}, "
            f"least {taken[0]:.1f}; {self.pictures} pictures in a drag over {POSITIONS} positions "
            f"in {self.drag:.1f} s; opens in {self.opening:.2f} s"
        )


def used(browser: Any, address: str, rounds: int) -> Page:
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    tab.set_default_timeout(600_000)
    start = time.perf_counter()
    tab.goto(address)
    while not tab.evaluate(f"document.getElementById('picture') ? {PAINTS} : 0"):
        time.sleep(0.01)
    opening = time.perf_counter() - start
    taken = sorted(tab.evaluate(SLIDER, rounds))
    box = tab.locator("#map").bounding_box()
    before = tab.evaluate(PAINTS)
    tab.mouse.move(box["x"] + 20, box["y"] + 20)
    tab.mouse.down()
    start = time.perf_counter()
    for step in range(POSITIONS):
        share = (step + 1) / POSITIONS
        tab.mouse.move(box["x"] + 20 + 400 * share, box["y"] + 20 + 300 * share)
        time.sleep(max(0.0, start + (step + 1) / POSITIONS - time.perf_counter()))
    drag = time.perf_counter() - start
    tab.mouse.up()
    tab.wait_for_timeout(500)
    pictures = tab.evaluate(PAINTS) - before
    tab.close()
    return Page(taken, pictures, drag, opening)
