"""What can be known to be wrong is refused before data are read, and nothing is left behind."""

from __future__ import annotations

import os
import sys

import pytest

import reparam as rp
from reparam.presets import PRESETS, Preset
from reparam.presets.registry import FAMILIES, NOT_YET


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fit", "vae", "nowhere", "name=x"], "name: no parameter of vae"),
        (["fit", "vae", "nowhere", "space=x"], "space: no parameter of vae"),
        (["fit", "vae", "nowhere", "self=x"], "self: no parameter of vae"),
        (["fit", "vae", "nowhere", "latent_dim=0"], "latent_dim: expected a whole number"),
        (["fit", "ffjord", "nowhere"], "ffjord: continuous and residual flows are not here yet"),
        (["compare", "nowhere", "--model", "vea"], "vea: no such model (did you mean vae?)"),
        (["compare", "nowhere", "--model", "vae k=3"], "k: no parameter of vae"),
        (["compare", "nowhere", "--model", "pca", "--seeds", "1000000000"], "expected 1 to 1000"),
        (["compare", "nowhere", "--model", "pca", "--jobs", "1000000000"], "expected 1 to 1000"),
        (["fit", "vae", "nowhere", "--device", "meta"], "device: 'meta' is not available here"),
    ],
)
def test_one_line_at_once(reparam, tmp_path, words, said):
    code, _, error = reparam(*words, "-o", tmp_path / "r")
    assert code == 2 and said in error, error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "r").exists()


def test_empty_paths_are_refused(reparam, tmp_path, monkeypatch):
    """An empty path would be the folder that one stands in."""
    monkeypatch.chdir(tmp_path)
    for words in (
        ["fit", "pca", "digits", "-o", ""],
        ["compare", "digits", "--model", "pca", "-o", ""],
        ["resume", ""],
        ["evaluate", ""],
    ):
        code, _, error = reparam(*words)
        assert code == 2 and "expected a path, got an empty one" in error, error
    data = rp.load_data("digits")
    with pytest.raises(ValueError, match="expected a path, got an empty one"):
        rp.fit(rp.build("pca", data.space), data, out="")
    with pytest.raises(ValueError, match="got an empty one"):
        rp.compare(data, ["pca"], out="")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "darwin", reason="its file systems take no such names")
def test_names_that_weights_cannot_be_read_from_are_refused_before_training(tmp_path):
    folder, data = os.fsdecode(os.fsencode(tmp_path) + b"/\xff"), rp.load_data("digits")
    model = rp.build("pca", data.space)
    for use in (
        lambda: rp.fit(model, data, out=folder),
        lambda: rp.compare(data, ["pca"], out=folder),
        lambda: rp.save(model, folder),
        lambda: rp.load(folder),
    ):
        with pytest.raises(ValueError, match="its name is not in UTF-8"):
            use()
    assert not os.path.exists(folder)


def test_names_of_the_field_are_answered(reparam):
    """Each is no preset, and what is named instead is one."""
    for family, (names, instead) in NOT_YET.items():
        assert not set(names) & PRESETS.keys(), family
        assert set(instead.replace(",", "").split()) & PRESETS.keys(), instead
    with pytest.raises(ValueError, match="StyleGAN: adversarial models are not here yet; nearest"):
        rp.build("StyleGAN", rp.Space((4,), "real"))


def test_models_are_listed_by_family(reparam):
    code, out, _ = reparam("models")
    assert code == 0
    firsts = [line.split("  ")[0].strip() for line in out.splitlines()]
    assert {preset.family for preset in PRESETS.values()} <= set(firsts)
    assert "Others" not in firsts
    for name, preset in PRESETS.items():
        above = firsts[: firsts.index(name)]
        families = [one for one in above if one in {p.family for p in PRESETS.values()}]
        assert families[-1] == preset.family, name


def test_families_are_listed_in_the_order_of_a_reader(reparam, monkeypatch):
    """What the order does not know stands last; what is known stands together, however it came."""

    def one_more(space: rp.Space) -> rp.PCA:
        """A model of a file without a family."""
        return rp.PCA(space, 1)

    monkeypatch.setitem(PRESETS, "one-more", Preset("one-more", one_more, "no paper"))
    monkeypatch.setitem(PRESETS, "also-ae", Preset("also-ae", PRESETS["ae"].build, "no paper"))
    _, out, _ = reparam("models")
    families = {preset.family for preset in PRESETS.values()}
    headings = [line.strip() for line in out.splitlines() if line.strip() in families]
    assert headings[: len(FAMILIES)] == list(FAMILIES)
    assert headings[0] == "Linear projections" and headings[-1] == "Others"
    assert len(headings) == len(families)
