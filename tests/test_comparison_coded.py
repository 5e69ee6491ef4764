"""Comparisons that measure files: asked for later, they are measured then and not trained again."""

import json
import re
import sys

import numpy as np
import pytest
from comparing import page_of_a_comparison, word_for_a_page  # noqa: F401

import reparam as rp
from reparam import comparison
from reparam.coding import leaves
from reparam.comparison import compare
from reparam.evaluation.file_length import CODED
from reparam.report.sections import file_costs

MODELS = ["vae latent_dim=2 hidden=4", "ae latent_dim=2 hidden=4"]
QUICK = {"epochs": 1, "samples": 2}


def test_files_are_measured_where_they_are_asked_for_and_once(tmp_path, monkeypatch):
    data = rp.load_data((np.random.default_rng(0).random((60, 5)) < 0.2).astype(np.uint8))
    asked = []
    evaluate = comparison.evaluate
    monkeypatch.setattr(
        comparison,
        "evaluate",
        lambda model, *a, **k: asked.append(type(model).__name__) or evaluate(model, *a, **k),
    )
    first = compare(data, MODELS, out=tmp_path, **QUICK)
    assert all(CODED not in entry.scores for entry in first.entries) and len(asked) == 2
    trained = first.entries[0].history.seconds
    second = compare(data, MODELS, out=tmp_path, coded=True, **QUICK)
    vae, ae = second.entries
    assert vae.scores[CODED].kind == "file" and vae.scores[CODED].values is not None
    assert CODED not in ae.scores  # which has no file, so that it is as it was
    assert asked[2:] == ["VAE"] and vae.history.seconds == trained
    third = compare(data, MODELS, out=tmp_path, coded=True, **QUICK)
    assert len(asked) == 3 and third.entries[0].scores[CODED] == vae.scores[CODED]
    written = json.loads((tmp_path / "scores.json").read_text())["models"][MODELS[0]][CODED]
    assert written["kind"] == "file" and written["notes"][0].startswith(f"{vae.scores[CODED].n} ")


def test_without_the_coder_nothing_is_trained(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "constriction", None)
    leaves.coder.cache_clear()
    data = rp.load_data((np.random.default_rng(0).random((60, 5)) < 0.2).astype(np.uint8))
    with pytest.raises(ValueError, match=re.escape("reparam[compress]")):
        compare(data, MODELS, out=tmp_path / "all", coded=True, **QUICK)
    assert not (tmp_path / "all").exists()
    leaves.coder.cache_clear()


def test_the_page_of_a_comparison_shows_files(tmp_path, page, monkeypatch):
    monkeypatch.setattr("reparam.report.page.SECTIONS", (file_costs.SECTION,))
    data = rp.load_data((np.random.default_rng(0).random((60, 5)) < 0.2).astype(np.uint8))
    compare(data, MODELS, out=tmp_path, coded=True, **QUICK)
    assert '<section id="file"' in page(tmp_path)
