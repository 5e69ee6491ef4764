"""The section of images unlike the data."""

from __future__ import annotations

import math

import pytest
import torch
from pages import build, entry

import reparam as rp
from reparam.evaluation.scores import mean_score
from reparam.evaluation.shifted import Told
from reparam.report import page, write_page
from reparam.report.section import Shown
from reparam.report.sections import out_of_distribution as section


@pytest.fixture(scope="module")
def shown():
    data = rp.load_data("digits")
    names = ("vae", "pca", "ae")
    return Shown(data, [entry(name, build(name, data)) for name in names])


def test_every_density_has_a_card_and_all_one_scale(shown, tmp_path, monkeypatch):
    ends, plotted = [], section.stacked

    def keep(sets, usual, at, *others):
        ends.append(at)
        return plotted(sets, usual, at, *others)

    monkeypatch.setattr(section, "stacked", keep)
    content = section.build(shown)
    assert [card.label for card in content.cards] == ["vae", "pca"] and len({*ends}) == 1
    vae, pca = content.cards
    sets = ["Test", "Blank", "Eroded", "Mirrored", "Inverted", "Half contrast"]
    assert [row.name for row in vae.rows] == sets == [name for name, _ in content.pictures]
    assert (vae.images, vae.draws, pca.draws) == (100, section.MOST_DRAWS, None)
    assert (vae.rows[0].low, pca.rows[4].low, pca.rows[4].atypical) == ("—", "1.00", "1.00")
    means = {row.name: float(row.mean.replace("−", "-")) for row in pca.rows}
    assert means["Half contrast"] > means["Test"] > max(means["Blank"], means["Inverted"])
    assert pca.likelier == ["half contrast"]
    monkeypatch.setattr(page, "SECTIONS", (section.SECTION,))
    text = write_page(tmp_path / "page.html", shown.data, shown.entries).read_text("utf-8")
    assert '<section id="shifted"' in text and "Nalisnick et al. 2019" in text
    assert "100 images of each set, log&nbsp;p by 10 draws" in text and "Without a p(x): ae" in text


def test_dear_models_are_asked_less(shown, monkeypatch):
    vae = shown.entries[0].model
    monkeypatch.setattr(vae, "passes_per_sample", 500)
    assert section._told(shown, vae)["test"].log_p.samples == 2
    monkeypatch.setattr(section, "MOST_PASSED", 1)
    dear = section._told(shown, vae)["test"].log_p
    assert (dear.n, dear.samples) == (section.FEWEST_ROWS, 1)


def test_values_beyond_the_scale_and_of_no_probability():
    def told(*values):
        return Told(mean_score(torch.tensor(values), "nats", "test", kind="exact"), 0.5, math.nan)

    sets = {"test": told(-4.0, -2.0), "blank": told(-1.0, -3.0), "inverted": told(-math.inf, -99.0)}
    low, high = section._ends({0: sets})
    assert -9 < low < -7.5 and high == -1  # twice the spread below, and no further than values are
    plot = section._histograms(sets, (low, high), 0, "<one>")
    assert plot.count("←") == 1 and "→" not in plot and "&lt;one&gt;" in plot
    row = section._row("inverted", sets["inverted"])
    assert (row.mark, row.mean, row.low, row.atypical) == ("=", "−∞", "0.50", "—")
    # Likelier by less than two standard errors is not said, nor of what has no probability.
    assert section._likelier(told(-1.0, -0.9), sets["test"])
    assert not section._likelier(told(-1.0, -4.9), sets["test"])
    assert not section._likelier(sets["inverted"], sets["test"])
    nowhere = {"test": told(math.nan, -math.inf)}
    assert section._ends({0: nowhere}) == (0, 1)
    section._histograms(nowhere, (0.0, 1.0), 0, "none")


def test_tables_have_no_such_section():
    assert section.images(Shown(rp.load_data("digits"), []))
    assert not section.SECTION.applies(Shown(rp.load_data("checkerboard"), []))
    assert section.build(Shown(rp.load_data("digits"), [])) is None
