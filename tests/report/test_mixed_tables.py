"""The page of mixed data: its sections, what they show, and those that hide."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import COLUMNS, random_x, tiny_model
from holes import with_holes

import reparam as rp
from reparam.data import Data, Split
from reparam.evaluation.association import association
from reparam.evaluation.column_scores import column_error
from reparam.model import Space
from reparam.report import TrainedModel, queries, summary, write_page
from reparam.report.associations import triangle
from reparam.report.colors import MODELS
from reparam.report.marginals import marginal
from reparam.report.queries import Samples
from reparam.report.section import Shown
from reparam.report.sections import SECTIONS, column_pairs, column_rows, imputed
from reparam.space import Column
from reparam.train.history import History

NAN = math.nan
NAMED = tuple(
    replace(c, names=("Bern", "<Chur>", "Genf")) if c.kind == "category" else c for c in COLUMNS
)
SPACE = Space((5,), "mixed", columns=NAMED)


def data_of(holes=False):
    x = [random_x(SPACE, n, seed) for seed, n in enumerate((60, 10, 30))]
    splits = [Split(with_holes(part) if holes else part) for part in x]
    return Data(*splits, SPACE, "mixed", columns=tuple(c.name for c in NAMED))


def entries(*names, space=SPACE):
    return [TrainedModel(n.upper(), tiny_model(n, space).eval(), {}, History()) for n in names]


def page(path, data, models):
    return write_page(path / "r.html", data, models).read_text("utf-8")


@pytest.mark.parametrize("holes", [False, True])
def test_mixed_data_have_sections_of_their_own(holes, tmp_path):
    data = data_of(holes)
    text = page(tmp_path, data, entries("ae", "vae", "made", "denoising-ae"))
    found = re.findall(r'<section id="(\w+)"', text)
    assert {"columns", "pairs", "denoising", "latent"} <= set(found)
    assert not {"reconstructions", "samples", "traversals", "filters", "entrywise"} & set(found)
    assert "rows of 5 columns" in text and "mixed: 1 real, 1 real by its logarithm" in text
    assert ("Missing cells</dt>" in text) == holes
    assert "&lt;Chur&gt;" in text and "<Chur>" not in text
    assert "Densities and probabilities" in text and "Bits per dimension" not in text
    assert not re.search(r"\bnan\b", text.split("<main")[1].split("<script>")[0].lower())


def test_tables_of_one_kind_keep_theirs():
    split = Split(torch.zeros(3, 2))
    shown = Shown(Data(split, split, split, Space((2,), "real"), "real"), [])
    found = {section.partial.partition(".")[0] for section in SECTIONS if section.applies(shown)}
    assert {"sampled_columns", "reconstructed_rows", "traversals"} <= found
    assert not {"column_rows", "column_pairs"} & found


def test_a_page_of_autoencoders_alone_shows_the_data(tmp_path):
    text = page(tmp_path, data_of(), entries("ae"))
    assert text.count('class="marginal"') == 5 and 'class="drawn"' not in text
    assert text.count('class="triangle"') == 1


def test_rows_say_what_columns_score():
    data = data_of(holes=True)
    models = entries("ae", "vae", "made")
    rows = column_rows.build(Shown(data, models))
    assert [row.kind for row in rows] == [
        "real",
        "whole numbers 2 … 5",
        "3 names",
        "flag: 0, 1",
        "real, by its logarithm",
    ]
    scores = rp.by_column(models[1].model, data)
    for row, score in zip(rows, scores, strict=True):
        ae, vae, made = row.lines
        assert (ae.log_prob, ae.given, made.error) == ("", "", "")
        assert re.fullmatch("± [0-9.]+ given z", vae.given) and made.given.endswith("those before")
        shown = float(vae.log_prob.replace("−", "-"))
        assert shown == pytest.approx(score.log_prob.value, abs=0.02)
        assert row.missing.startswith(f"{score.missing} of 30")
    assert rows[2].answers[0] == "Accuracy" and "%" in rows[2].lines[0].error
    assert rows[0].answers == ("Error", "rms") and "±" in rows[0].lines[0].within


def test_pairs_are_of_as_many_rows_as_the_data():
    shown = Shown(data_of(holes=True), entries("vae", "made"))
    cards = column_pairs.build(shown)
    assert [card.label for card in cards] == ["Test data", "VAE", "MADE"]
    wanted = association(shown.data.test.x, NAMED)
    assert f"correlation {wanted[1, 0]:.2f}</title>" in cards[0].figures[0][1]
    drawn = association(shown.drawn_rows[1][:30], NAMED)
    assert f"correlation {drawn[1, 0]:.2f}</title>" in cards[2].figures[0][1]
    alone = replace(SPACE, shape=(1,), columns=NAMED[:1])
    split = Split(torch.zeros(3, 1))
    assert column_pairs.build(Shown(Data(split, split, split, alone, "one"), [])) == []


def test_drawn_rows_of_conditional_models_are_not_sorted_by_their_labels(monkeypatch):
    labeled = replace(SPACE, classes=2)
    x = [random_x(labeled, n, seed) for seed, n in enumerate((60, 10, 30))]
    data = Data(*(Split(part, torch.arange(len(part)) % 2) for part in x), labeled, "mixed")
    entry = TrainedModel("C", tiny_model("cvae", labeled), {}, History())
    seen = []

    def sample(model, n, like, seed):
        seen.append(like.labels)
        return Samples(like.labels.float()[:, None].expand(-1, 5))

    monkeypatch.setattr(queries, "sample", sample)
    drawn = Shown(data, [entry]).drawn_rows[0][:, 0]
    assert (seen[0].diff() >= 0).all()
    assert drawn.diff().abs().sum() > 100


# -------------------------------------------------------------------------- drawings


def steps(svg, name):
    """The heights of the steps of a histogram above its base line."""
    path = re.search(rf'class="{name}"[^>]* d="M0.0 88([^"]*)V88Z?"', svg)[1]
    return [88 - float(y) for y in re.findall(r"V([\d.]+)H", path)]


def test_areas_of_histograms_are_shares():
    column = Column("rooms", "levels", 3, low=2)
    real, drawn = (
        torch.tensor([2.0, 2, 3, 4]),
        {0: torch.tensor([4.0, 4]), MODELS + 1: torch.zeros(0)},
    )
    svg = marginal(column, real, drawn, "rooms")
    assert steps(svg, "real") == pytest.approx([41, 20.5, 20.5])
    assert steps(svg, "drawn") == pytest.approx([0, 0, 82])
    assert "var(--model-1);stroke-dasharray" in svg
    assert re.findall(r">([^<]+)</text>", svg) == ["2", "3", "4"]


def test_labels_of_an_axis_differ():
    for values in ([0.0, 1, 2], [1.7e9 - 10, 1.7e9, 1.7e9 + 10], [0.001, 0.0012, 0.002]):
        svg = marginal(Column("a", "real"), torch.tensor(values, dtype=torch.float64), {}, "")
        labels = re.findall(r">([^<]+)</text>", svg)
        assert len(labels) >= 2 and len({*labels}) == len(labels)


def test_pairs_that_nobody_knows_are_not_far_apart():
    columns = (Column("a", "binary"), Column("b", "real"))
    x = torch.tensor([[1.0, 0.5], [1.0, 1.5], [1.0, 2.5]] * 9)
    split = Split(x)
    data = Data(split, split, split, Space((2,), "mixed", columns=columns), "two")
    cards = column_pairs.build(Shown(data, entries("vae", space=data.space)))
    assert not any("nan" in str(card.note).lower() for card in cards)


def test_what_lies_out_of_sight_counts_in_the_areas():
    column, real = Column("height", "real"), torch.linspace(0, 1, 600)
    inside = marginal(column, real, {0: real}, "")
    half = marginal(column, real, {0: torch.cat([real, real + 50])}, "")
    assert sum(steps(half, "drawn")) == pytest.approx(sum(steps(inside, "drawn")) / 2, rel=0.02)


def test_columns_by_their_logarithm_have_an_axis_of_it():
    svg = marginal(Column("income", "log"), torch.logspace(0, 6, 99), {}, "")
    places = [float(x) for x in re.findall(r'<text x="([\d.]+)"', svg)]
    assert np.diff(places) == pytest.approx(np.full(len(places) - 1, np.diff(places)[0]), abs=0.3)
    assert ">1,000<" in svg


def test_names_are_bars_with_dots_and_rare_ones_are_together():
    column = Column("city", "category", 14, tuple(f"city {i}" for i in range(14)))
    real = torch.arange(14).repeat_interleave(torch.arange(14, 0, -1)).float()
    svg = marginal(column, real, {2: torch.full((5,), 13.0)}, "")
    assert svg.count('class="real"') == svg.count('class="dot"') == 10
    assert "5 others" in svg and "city 8" in svg and "city 9<" not in svg
    assert f"{100 * 15 / 105:.3g} %" in svg  # 5 + 4 + 3 + 2 + 1 of the five
    flag = marginal(Column("owned", "binary", low=1), torch.tensor([1.0, 2, 2, 2]), {}, "")
    assert ">25 %<" in flag and ">75 %<" in flag and ">2<" in flag


def test_a_column_without_cells_is_drawn_empty():
    for column in COLUMNS:
        svg = marginal(column, torch.zeros(0), {}, "nothing")
        assert "nan" not in svg


def test_a_triangle_names_each_pair():
    found = torch.tensor([[1.0, -0.5, NAN], [-0.5, 1, 0.25], [NAN, 0.25, 1]])
    columns = (Column("a<b", "real"), Column("b", "real"), Column("c", "category", 2))
    svg = triangle(found, columns, "data")
    titles = re.findall(r"<title>([^<]*)</title>", svg)
    assert titles == ["b, a&lt;b: rank correlation -0.50", "c, a&lt;b: constant"] + [
        "c, b: correlation ratio 0.25"
    ]
    assert svg.count('class="below"') == 1 and "−.50" in svg
    many = [Column(f"c{i}", "real") for i in range(40)]
    assert "<text" not in triangle(torch.eye(40), many, "many")


# ---------------------------------------------------------------------------- facts


def test_facts_say_which_cells_are_missing():
    data = data_of(holes=True)
    facts = dict(summary.facts(data))
    x = torch.cat([split.x for split in data.splits.values()])
    share = x.isnan().double().mean(0)
    worst = NAMED[int(share.argmax())].name
    said = facts["Missing cells"].replace("\u00a0", " ")
    assert said.startswith(
        f"{100 * x.isnan().double().mean():.2g} %: {worst} {100 * share.max():.2g}"
    )
    assert said.endswith("and 1 more")
    assert "Missing cells" not in dict(summary.facts(data_of()))


# --------------------------------------------------------------------- missing cells


def test_filled_cells_are_shown_where_the_data_have_holes_and_a_model_fills_them(tmp_path):
    text = page(tmp_path, data_of(holes=True), entries("vae", "made"))
    section = text.partition('<section id="missing"')[2].partition("</section>")[0]
    assert "Of 30 test rows 20%" in section and "Iterative" in section
    assert "missing anywhere in a row: MADE." in section
    assert imputed.build(Shown(data_of(), entries("vae"))) is None
    assert imputed.build(Shown(data_of(holes=True), entries("ae", "made"))) is None


def test_the_best_way_to_fill_a_column_is_marked_by_its_kind():
    error, accuracy = column_error, Column("owned", "binary")
    x = torch.tensor([0.0, 1, 1, 0])
    scores = [error(accuracy, x, x, "test"), error(accuracy, 1 - x, x, "test"), None]
    assert [a.rank for a in imputed._answers(scores, lower=False)] == ["best", "", ""]
    height = Column("height", "real")
    scores = [error(height, x + by, x, "test") for by in (2, 1, torch.tensor([1, 1, 0.8, 1.3]))]
    assert [a.rank for a in imputed._answers(scores, lower=True)] == ["", "best", "tied"]
