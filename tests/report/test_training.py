"""How models were trained and ended, and what that does to sentences about winners."""

from __future__ import annotations

import re

import pytest
from torch import nn

from reparam.config import TrainConfig
from reparam.evaluation.scores import Score
from reparam.model import Space
from reparam.models.autoencoder import Autoencoder
from reparam.presets import build
from reparam.report.endings import ending, still_improving, training_rows
from reparam.report.page import write_page
from reparam.report.summary import findings
from reparam.report.trained import TrainedModel
from reparam.train.history import History

SPACE = Space((6,), "real")
MODEL = build("vae", SPACE, latent_dim=2, seed=0)


def history(bounds, ended="budget used up", **fields):
    """A row for every value of the bound; the objective goes the other way about."""
    rows = [
        {"epoch": float(i + 1), "step": 50.0 * (i + 1), "valid/objective": b, "valid/bound": b}
        for i, b in enumerate(bounds)
    ]
    return History(rows, ended=ended, **fields)


def peak(at, of):
    """Bounds that rise to their best at one place, and fall from there."""
    return [-abs(i - at) for i in range(of)]


def test_improving_is_a_best_value_among_the_last_tenth():
    assert still_improving(MODEL, history(peak(18, 20)))
    assert not still_improving(MODEL, history(peak(17, 20)))
    assert still_improving(MODEL, history(peak(4, 5)))
    assert not still_improving(MODEL, history(peak(3, 5)))
    assert still_improving(MODEL, history(peak(19, 20), "all epochs"))
    assert not still_improving(MODEL, history(peak(19, 20), "no further improvement"))


def test_improving_is_judged_as_the_weights_are():
    """By the distortion here, wherever the bound is best."""
    ended = history(peak(19, 20), judge="distortion")
    for best, improving in ((9, False), (19, True)):
        for row, value in zip(ended.rows, peak(best, 20), strict=True):
            row["valid/distortion"] = -value
        assert still_improving(MODEL, ended) == improving
    for row in ended.rows:
        row["valid/bound"] *= -1
    assert still_improving(MODEL, ended)


def test_of_the_last_weights_nothing_is_said():
    """Their objective moves with the weights: no validation is better than an earlier one."""
    ended = history(peak(19, 20), "all epochs", best_epoch=20.0, keeps="last")
    assert not still_improving(MODEL, ended)
    (row,) = training_rows([TrainedModel("l-vae", MODEL, {}, ended, TrainConfig(epochs=20))])
    assert row.cells[:3] == ["all 20 epochs", "20", "last"]


def test_a_single_validation_shows_no_improvement():
    assert not still_improving(MODEL, history([-1.0])) and not still_improving(MODEL, history([]))


def test_a_row_whose_values_were_not_finite_is_no_best_one():
    ended = history(peak(19, 20))
    for name in ("valid/bound", "valid/objective"):
        del ended.rows[-1][name]
    assert still_improving(MODEL, ended)  # by the one before
    del ended.rows[18]["valid/bound"], ended.rows[18]["valid/objective"]
    assert not still_improving(MODEL, ended)


@pytest.mark.parametrize(
    ("ended", "fields", "best", "text"),
    [
        ("solved", {}, 0, "solved in closed form"),
        ("budget used up", {"budget": 40.0}, 19, "stopped by the clock, still improving"),
        ("budget used up", {"budget": 40.0}, 9, "stopped by the clock"),
        ("no further improvement", {"patience": 20}, 9, "no better for 20 validations"),
        ("no further improvement", {"patience": 1}, 9, "no better for 1 validation"),
        ("all epochs", {"epochs": 10}, 9, "all 10 epochs"),
        ("all epochs", {"epochs": 1}, 19, "its one epoch, still improving"),
        ("all epochs", {}, 9, "all epochs"),
    ],
)
def test_how_a_training_ended(ended, fields, best, text):
    assert ending(MODEL, TrainConfig(**fields), history(peak(best, 20), ended)) == text


def test_a_row_for_every_training():
    pca = build("pca", SPACE, latent_dim=2)
    config = TrainConfig(budget=40.0, patience=20, lr=0.01, batch_size=64, save_every=1.0)
    again = TrainConfig(epochs=20, seed=1)
    entries = [
        TrainedModel("PCA", pca, {}, History(ended="solved", seconds=0.04), TrainConfig()),
        TrainedModel(
            "VAE",
            MODEL,
            {},
            history(peak(9, 20), seconds=40.13, best_epoch=10.0),
            config,
            ((again, history(peak(19, 20), "all epochs", seconds=12.0, best_epoch=20.0)),),
        ),
        TrainedModel("from memory", MODEL, {}, History()),
    ]
    rows = training_rows(entries)
    assert [(row.model, row.seed) for row in rows] == [(0, ""), (1, "seed 0"), (1, "seed 1")]
    assert rows[0].cells == ["solved in closed form", "", "", "0.0", "", ""]
    stopped = ["20", "10", "40.1", "40 s, patience 20", "lr 0.01, batch size 64"]
    assert rows[1].cells == ["stopped by the clock", *stopped]
    over = ["20", "20", "12.0", "20 epochs", "lr 0.001"]
    assert rows[2].cells == ["all 20 epochs, still improving", *over]


def test_the_last_of_several_descents_is_judged():
    codec = Autoencoder(SPACE, nn.Linear(6, 1), nn.Linear(1, 6), 1)
    stage = codec.stages[-1]
    codec.__class__ = type("Twice", (Autoencoder,), {"stages": (stage, stage)})
    both = History([*history(peak(9, 10)).rows, *history(peak(0, 10)).rows], ended="all epochs")
    assert not still_improving(codec, both)
    both.rows[:] = [*history(peak(0, 10)).rows, *history(peak(9, 10)).rows]
    assert still_improving(codec, both)
    assert training_rows([TrainedModel("two", codec, {}, both)])[0].cells[1] == "10 + 10"


def scored(label, value, *runs):
    """A model with a likelihood and its trainings."""
    pairs = [(TrainConfig(seed=seed), run) for seed, run in enumerate(runs)]
    scores = {} if value is None else {"log_likelihood": Score(value, "nats", 9, "test", 0.1)}
    return TrainedModel(label, MODEL, scores, pairs[0][1], pairs[0][0], tuple(pairs[1:]))


def said(*entries):
    (only,) = findings(entries)
    return only.text.partition("nats.")[2].strip()


DONE, CUT = history(peak(3, 20), "no further improvement"), history(peak(19, 20))
OVER = history(peak(19, 20), "all epochs")


def test_sentences_about_winners_name_those_that_were_cut_off():
    assert said(scored("A", -1.0, DONE), scored("B", -9.0, DONE)) == ""
    behind = said(scored("A", -1.0, DONE), scored("B", -9.0, CUT), scored("C", -8.0, CUT))
    assert behind == "B and C were still improving when the clock stopped them."
    both = said(scored("A", -1.0, CUT), scored("B", -9.0, CUT))
    assert both == "All of them were still improving when the clock stopped them."
    third = said(scored("B", -9.0, CUT), scored("A", -1.0, CUT), scored("C", -8.0, DONE))
    assert third == "It and B were still improving when the clock stopped them."
    leading = said(scored("A", -1.0, CUT), scored("B", -9.0, OVER))
    assert leading == (
        "It was still improving when the clock stopped it. "
        "B was still improving when the epochs were over for it."
    )


def test_one_of_several_seeds_is_enough_and_models_without_the_score_do_not_matter():
    seeds = scored("B", -9.0, DONE, DONE, CUT)
    assert said(scored("A", -1.0, DONE), seeds, scored("C", None, CUT)) == (
        "B was still improving when the clock stopped it."
    )


def test_the_page_shows_it(tmp_path):
    import reparam as rp

    data = rp.load_data("digits")
    model = rp.build("vae", data.space, latent_dim=2, hidden=(4,), seed=0).eval()
    config = TrainConfig(budget=3.0)
    entry = TrainedModel("<VAE>", model, {}, history(peak(19, 20), seconds=3.02), config)
    html = write_page(tmp_path / "r.html", data, [entry]).read_text("utf-8")
    section = html[html.index('<section id="training"') :]
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", section[: section.index("</table>")]))
    assert "&lt;VAE&gt; stopped by the clock, still improving 20 — 3.0 3 s lr 0.001" in text
    assert "the best validation is among the last tenth" in text
