"""The section of restorations: which models it is of, and what its pictures and numbers are."""

import io
import re

import numpy as np
import pytest
from PIL import Image

import reparam as rp
from reparam.evaluation import restoration
from reparam.model import Space
from reparam.report import TrainedModel, write_page
from reparam.report.section import Shown
from reparam.report.sections.restorations import COLUMNS, PICTURED, build, restores

SPACE = Space((1, 4, 4), "levels", 5)


@pytest.fixture(scope="module")
def data():
    x = np.random.default_rng(0).integers(0, 5, (60, 1, 4, 4)).astype(np.uint8)
    return rp.load_data((x, np.arange(60) % 2), kind="levels", levels=5)


def entry(data, name="cvae", **parameters):
    small = {"hidden": (4,)} if name != "gated-pixel-cnn" else {"width": 4, "layers": 1}
    model = rp.build(name, data.space, seed=0, **small, **parameters)
    history = rp.fit(model, data, epochs=1, progress=False)
    scores = rp.restoration_quality(model, data) if "given" in parameters else {}
    return TrainedModel(name, model, dict(scores), history)


def test_it_is_of_models_that_are_given_something(data, monkeypatch):
    monkeypatch.setattr(restoration, "MOST_EXAMPLES", 4)
    without, given = entry(data, "vae"), entry(data, "cvae", given="mask:half")
    assert not restores(Shown(data, [without]))
    shown = Shown(data, [without, given])
    assert restores(shown)
    (card,) = build(shown)
    assert (card.model, card.label, card.given) == (1, "cvae", "mask:half")
    assert [words for words, _ in card.numbers][:2] == ["error of draws", "of their mean"]
    assert dict(card.numbers)["error of what was given"] == "0"
    picture = card.figures[0][1]
    pixels = np.asarray(Image.open(io.BytesIO(picture.data)).convert("RGBA"))
    tile = 40
    step = (pixels.shape[1] - tile) // (len(COLUMNS) - 1)
    rows = (pixels.shape[0] - tile) // (PICTURED - 1)
    for row in range(PICTURED):
        top = row * rows
        tiles = [pixels[top : top + tile, at : at + tile] for at in range(0, 8 * step, step)]
        upper = [one[2 : tile // 2 - 2, 2:-2] for one in tiles]  # without frames
        for drawn in upper[1:-1]:  # y, the draws and their mean have what is given
            assert np.array_equal(drawn, upper[0])
        assert not upper[-1][..., :3].any()  # and nothing of it varies
    assert "mean" in picture.alt


def test_a_page_has_it_and_no_completions_by_models_that_are_told(data, tmp_path, monkeypatch):
    monkeypatch.setattr(restoration, "MOST_EXAMPLES", 4)
    entries = [
        entry(data, "regression", given="downscale:2"),
        entry(data, "gated-pixel-cnn", given="subsample:2"),
    ]
    page = write_page(tmp_path / "report.html", data, entries).read_text("utf-8")
    assert 'id="restorations"' in page
    assert 'id="completions"' not in page
    section = page[page.index('id="restorations"') :]
    section = section[: section.index("</section>")]
    assert section.count("<article") == 2
    assert "All draws of an example are alike." in section
    assert re.search(r"White is a σ of 0\.\d+ of the range", section)
    assert section.count("<svg") == 2


def test_models_that_are_given_something_are_no_models_of_classes(data, monkeypatch):
    from reparam.report.selection import drawn_classes

    model = rp.build("cvae", data.space, hidden=(4,), given="downscale:2")
    assert data.space.classes == 2
    assert drawn_classes(model, data) == []
    assert drawn_classes(rp.build("cvae", data.space, hidden=(4,)), data)
