"""Plots of one score beside another, named directly."""

from __future__ import annotations

import itertools

import pytest
import torch
from pages import entry

import reparam as rp
from reparam.evaluation.scores import Score
from reparam.report import plots
from reparam.report.direct_labels import APART, DOT, Box, Point, label_points, places_of
from reparam.report.plots import lay_out  # before other tests do without
from reparam.report.progress_of_training import seconds_to_most
from reparam.report.section import Shown
from reparam.report.sections import trade_offs
from reparam.report.trained import TrainedModel
from reparam.train.history import History

DATA = rp.load_data("digits")
VAE = rp.build("vae", DATA.space, latent_dim=2, hidden=(4,))
GAN = rp.build("gan", DATA.space)
AE = rp.build("ae", DATA.space, latent_dim=2, hidden=(4,))


def score(value, **about):
    return Score(value, "", 100, "test", 0.1, **about)


@pytest.mark.parametrize("seed", range(5))
def test_names_cover_neither_each_other_nor_points(seed):
    generator = torch.Generator().manual_seed(seed)
    at = (torch.rand(9, 2, generator=generator) * torch.tensor([260.0, 170.0]) + 20).tolist()
    names = ["pca", "ae-gmm", "vae", "vq-vae", "made", "real-nvp", "gan", "ebm", "beta-vae"]
    places = places_of(names, at, Box(0, 0, 300, 210), 11)
    wide = [place._replace(right=place.right + APART) for place in places]
    assert not any(a.overlap(b) for a, b in itertools.combinations(wide, 2))
    dots = [Box(x - DOT, y - DOT, x + DOT, y + DOT) for x, y in at]
    assert not any(place.overlap(dot) for place in places for dot in dots)


def test_names_lie_on_no_error_bar():
    at = [(100.0, 100.0), (150.0, 100.0)]
    bars = [Box(60, 98, 190, 102)]
    places = places_of(["made", "vae"], at, Box(0, 0, 300, 200), 11, bars)
    assert not any(place.overlap(bars[0]) for place in places)


def test_nine_points_in_one_place_still_have_nine_places():
    places = places_of(["model"] * 9, [(150.0, 100.0)] * 9, Box(0, 0, 300, 200), 11)
    assert not any(a.overlap(b) for a, b in itertools.combinations(places, 2))


def shown(*entries, **about):
    return Shown(DATA, entries, **about)


def test_likelihoods_are_of_densities_with_their_marks_and_others_are_named():
    vae = entry(
        "vae", VAE, log_likelihood=score(-90.0, kind="lower bound"), frechet_distance=score(4.0)
    )
    twin = entry(
        "twin", VAE, log_likelihood=score(-80.0, kind="exact"), frechet_distance=score(9.0)
    )
    gan = entry("gan", GAN, frechet_distance=score(2.0))
    about = shown(vae, twin, gan, reference={"frechet_distance": score(1.6)})
    found = trade_offs.likelihood_and_distance(about)
    assert "≥ vae" in found.plot and "= twin" in found.plot
    assert (found.why, found.absent) == ("Without a log p(x)", ["gan"])
    assert "gan" not in found.plot and "1.6" in found.caption
    assert trade_offs.likelihood_and_distance(shown(vae, gan)) is None


def test_every_plot_has_what_it_is_of():
    scores = {
        name: score(0.5)
        for name in (
            "log_likelihood",
            "frechet_distance",
            "samples_per_second",
            "sample_precision",
            "sample_recall",
            "sample_sharpness",
            "reconstruction_mse",
            "linear_probe_accuracy",
            "nearest_training",
            "near_copies",
        )
    }
    rows = [{"epoch": t, "seconds": float(t), "valid/bound": -10.0 / t} for t in (1, 2, 3)]
    history = History(rows, best_epoch=3, judge="bound")
    by_seed = ({"frechet_distance": score(4.0)}, {"frechet_distance": score(6.0)})
    twice = history, None, ((None, history),), by_seed
    vae, gan = (TrainedModel(n, m, scores, *twice) for n, m in (("vae", VAE), ("gan", GAN)))
    found = trade_offs.build(shown(vae, entry("ae", AE, **scores), gan, families=True))
    assert [one.title for one in found] == [
        "Likelihood against samples",
        "Samples against speed",
        "Precision against recall",
        "Sharpness of draws",
        "What codes keep",
        "Nearest training examples",
        "Time to nine tenths",
        "Spread over seeds",
    ]
    assert found[6].absent == ["ae"] and found[7].absent == ["ae"]
    assert not trade_offs.SECTION.applies(shown(vae))
    assert all(one.absent == [] for one in trade_offs.build(shown(vae, gan)))
    assert trade_offs.build(shown(vae)) == []  # a model alone is traded for nothing


def test_one_seed_has_no_spread():
    assert trade_offs.seeds(shown(entry("vae", VAE, frechet_distance=score(4.0)))) is None


def test_nine_tenths_of_the_way_whichever_direction_is_better():
    def history(values, judge="nll", **about):
        rows = [
            {"epoch": t, "seconds": 2.0 * t, f"valid/{judge}": v} for t, v in enumerate(values, 1)
        ]
        return History(rows, best_epoch=len(values), judge=judge, **about)

    assert seconds_to_most(history([100, 50, 11, 10, 0])) == 8
    assert seconds_to_most(history([-100, -50, -11, -10, 0], "bound")) == 8
    assert seconds_to_most(history([5, 6, 7])) is None  # no fall
    assert seconds_to_most(history([5, 4])) is None
    assert seconds_to_most(history([5, 4, 3], keeps="last")) is None
    assert seconds_to_most(History()) is None


def test_names_are_placed_once_the_figure_is_laid_out(monkeypatch):
    """Labels of the axes fit in it, and nothing moves after the places are chosen."""
    monkeypatch.setattr(plots, "lay_out", lay_out)
    points = [Point(k, 1e6 * k, f"model {k}", "black") for k in range(5)]
    with plots.style():
        figure, axis = plots.panel(3.0, 2.2)
        axis.plot([p.x for p in points], [p.y for p in points], "o")
        axis.set(xlabel="seconds", ylabel="parameters\nof the model")
        axis.yaxis.set_major_formatter("{x:,.0f}")
        label_points(figure, axis, points)
        figure.draw_without_rendering()
    before = axis.get_position().bounds
    for label in (axis.xaxis.label, axis.yaxis.label):
        assert label.get_window_extent().min.min() >= 0
    at = axis.transData.transform([(p.x, p.y) for p in points])
    for said in axis.texts:
        box = said.get_window_extent()
        assert not any(box.contains(*point) for point in at)
    plots.svg(figure, "models")
    assert axis.get_position().bounds == before
