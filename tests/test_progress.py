"""One bar for everything that takes long: what it says, and that it is for terminals only."""

import numpy as np
import pytest
from PIL import Image

import reparam as rp
from reparam.data.images import image_files
from reparam.data.images.image_reading import Reading
from reparam.progress import bar
from reparam.train import loop


@pytest.fixture
def terminal(monkeypatch):
    """The error stream as a terminal, for Rich."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")


def advance(visible=True):
    with bar("measuring", visible) as watch:
        watch("likelihood", 0.25)


def test_it_says_what_is_done_and_how_much(terminal, capsys):
    advance()
    err = capsys.readouterr().err
    assert all(word in err for word in ("measuring", "25%", "likelihood", "left"))


def test_it_is_silent_where_nobody_looks(monkeypatch, capsys):
    advance()
    assert capsys.readouterr().err == ""


def test_it_is_silent_where_it_is_not_wanted(terminal, capsys):
    advance(visible=False)
    assert capsys.readouterr().err == ""


def test_training_shows_what_judges_it(terminal, capsys, monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_NEWS", 0.0)
    data = rp.load_data(np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32))
    model = rp.build("ae", data.space, latent_dim=1, hidden=(2,))
    rp.fit(model, data, epochs=60)  # a row of the curves every 50 steps
    err = capsys.readouterr().err
    assert "ae" in err and "100%" in err and "valid/squared_error" in err


def test_reading_many_images_counts_each_twice(terminal, capsys, monkeypatch, tmp_path):
    """Its header, then its pixels."""
    monkeypatch.setattr(image_files, "MANY", 1)
    for i in range(4):
        Image.new("L", (2, 2)).save(tmp_path / f"{i}.png")
    image_files.decode_all(tmp_path, sorted(tmp_path.iterdir()), Reading())
    err = capsys.readouterr().err
    assert "reading images" in err and "100%" in err


def test_nothing_is_drawn_before_the_first_news(terminal, capsys):
    """So that an error at once stands alone."""
    with pytest.raises(ValueError), bar("measuring"):
        raise ValueError
    assert capsys.readouterr().err == ""
