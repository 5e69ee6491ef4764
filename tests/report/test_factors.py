"""The section of known factors: matrix, gaps, codes by level, scores of seeds; named traversals."""

import dataclasses
import re

import numpy as np
import pytest
import torch

import reparam as rp
from reparam.data import Data, Split
from reparam.evaluation.modes import evaluating
from reparam.evaluation.scores import Score
from reparam.measures import SCORES
from reparam.model import Space
from reparam.report import TrainedModel, write_page
from reparam.report.section import Shown
from reparam.report.sections import factors, traversals
from reparam.train.history import History

LEVELS = np.stack(np.meshgrid(range(2), range(6), range(8), indexing="ij"), -1).reshape(-1, 3)
NAMES = ("kind", "size", "turn <of it>")


def made(x=None, **known):
    """Rows that are their factors, each level three times."""
    levels = torch.tensor(LEVELS.repeat(3, 0))
    x = levels.float() if x is None else x
    part = Split(x, factors=levels)
    return Data(part, part, part, Space((x.shape[1],), "real"), "made", factor_names=NAMES, **known)


def linear(data, weight, label="AE", scores=(), by_seed=()):
    """An autoencoder whose codes are x times a matrix (L, D)."""
    model = rp.build("linear-ae", data.space, latent_dim=len(weight))
    with torch.no_grad():
        model.encoder.first.weight.copy_(torch.tensor(weight))
        model.encoder.first.bias.zero_()
    return TrainedModel(label, model.eval(), dict(scores), History(), by_seed=tuple(by_seed))


SIZE_AND_TURN = [[0.0, 0.0, 3.0], [0.0, -1.0, 0.0], [0.0, 0.0, 0.0]]


def section(text, name):
    start = text.index(f'<section id="{name}"')
    return text[start : text.index("</section>", start)]


def test_the_matrix_has_latents_by_what_they_carry_with_winners_and_gaps():
    data = made()
    with evaluating([]):
        found = factors.build(Shown(data, [linear(data, SIZE_AND_TURN)]))
    (card,) = found.cards
    assert [row.name for row in card.rows] == ["z0", "z1", "z2"] and card.unit == "deviation"
    assert [row.dead for row in card.rows] == [False, False, True]
    assert card.factors == NAMES and card.about == "288 test examples; 2 of 3 latents live"
    # z0 is the turn three times, z1 minus the size: each tells all of its factor, none another.
    texts = [[cell.text for cell in row.cells] for row in card.rows]
    assert texts == [["0", "0", "1"], ["0", "1", "0"], ["0", "0", "0"]]
    assert [cell.wins for cell in card.rows[1].cells] == [False, True, False]
    assert card.gaps == ["0", "1", "1"] and card.rows[0].amount == "6.9"  # 3 √(63/12)
    assert [caption[:2] for caption in card.profiles][1:] == [
        ("size", "z1 tells 1"),
        ("turn <of it>", "z0 tells 1"),
    ]
    assert found.strips == []  # of a single training


def test_the_page_shows_the_section_only_where_there_are_factors_and_codes(tmp_path):
    data = made(factor_kinds={NAMES[2]: "circular"}, level_names={"kind": ("left", "right")})
    entries = [linear(data, SIZE_AND_TURN), TrainedModel("Flow", flow(data), {}, History())]
    entries.append(TrainedModel("MADE", rp.build("made", data.space, hidden=(4,)), {}, History()))
    text = section(write_page(tmp_path / "r.html", data, entries).read_text("utf-8"), "factors")
    assert "levels that turn are angles" in text and "turn &lt;of it&gt;" in text
    assert ">left<" in re.sub(r"\s", "", text)
    assert re.search(r'<td class="wins"[^>]*>1<span class="hidden"> \(most\)', text)
    assert '<tr class="dead"><th scope="row">z2' in text
    assert "Without codes that factors can be compared with: MADE." in text
    bare = [dataclasses.replace(split, factors=None) for split in data.splits.values()]
    bare = Data(*bare, data.space, "bare")
    page = write_page(tmp_path / "b.html", bare, entries).read_text("utf-8")
    assert '<section id="factors"' not in page and "factor that" not in page
    page = write_page(tmp_path / "m.html", data, entries[2:]).read_text("utf-8")
    assert '<section id="factors"' not in page


def flow(data):
    return rp.build("real-nvp", data.space, layers=2, hidden=(4,)).eval()


def test_seeds_are_dots_on_one_scale_beside_their_mean(tmp_path):
    data = made()

    def scored(value, **errors):
        return {"mig": Score(value, "", 288, "test", **errors)}

    seeds = [scored(0.1), scored(0.16)]
    mean = scored(0.13, stderr=0.003, seed_stderr=0.004)
    entries = [
        linear(data, SIZE_AND_TURN, "A", mean, seeds),
        linear(data, SIZE_AND_TURN, "B", scored(0.18, stderr=0.01)),
        linear(data, SIZE_AND_TURN, "C"),
    ]
    with evaluating([]):
        found = factors.build(Shown(data, entries))
    (strip,) = found.strips
    assert strip.title == "MIG" and strip.top == "0.2" and strip.dots[2] is None
    several, alone = strip.dots[:2]
    assert (several.at, several.low, several.high) == (65, 62.5, 67.5)  # ± √(.003² + .004²)
    assert several.seeds == [50, 80] and "single seeds .10, .16" in several.alt
    assert (alone.at, alone.low, alone.high, alone.seeds) == (90, 85, 95, [])
    text = section(write_page(tmp_path / "r.html", data, entries).read_text("utf-8"), "factors")
    assert text.count('class="seed"') == 2 and text.count('class="mean"') == 2
    with evaluating([]):
        assert factors.build(Shown(data, entries[:1])).strips  # two trainings of one model
        assert not factors.build(Shown(data, entries[1:2])).strips


def test_every_score_of_factors_that_has_a_direction_is_a_strip():
    data = made()
    names = [name for name, about in SCORES.items() if about.group == "Factors"]
    scores = {name: Score(0.5, "", 9, "test") for name in (*names, "psnr")}
    entries = [linear(data, SIZE_AND_TURN, label, scores) for label in "AB"]
    with evaluating([]):
        titles = [strip.title for strip in factors.build(Shown(data, entries)).strips]
    assert titles[:2] == ["MIG", "Modularity"] and titles[-1] == "UDR"
    assert "Dead latents" not in titles and "PSNR" not in titles


def test_of_many_latents_those_that_win_are_shown():
    """20 latents of noise that vary more, and one that tells the size."""
    generator = torch.Generator().manual_seed(0)
    levels = torch.tensor(LEVELS.repeat(3, 0))
    noise = 10 * torch.randn(len(levels), 20, generator=generator)
    data = made(torch.cat([noise, levels[:, 1:2].float()], 1))
    with evaluating([]):
        (card,) = factors.build(Shown(data, [linear(data, torch.eye(21).tolist())])).cards
    names = [row.name for row in card.rows]
    winners = [row.name for row in card.rows if any(cell.wins for cell in row.cells)]
    assert names[-1] == "z20" and "z20" in winners and len(names) <= factors.MOST_SHOWN + 3
    assert card.hidden.startswith(f"{21 - len(names)} latents that carry less tell .")
    assert "dead" not in card.hidden


def test_traversals_are_named_with_the_factor_that_a_latent_follows(tmp_path):
    data = made()
    entries = [linear(data, SIZE_AND_TURN)]
    with evaluating([]):
        (card,) = traversals.build(Shown(data, entries))
    assert [(d.name, d.follows) for d in card.dimensions] == [
        ("z0", "turn <of it>"),
        ("z1", "size"),
    ]
    text = section(write_page(tmp_path / "r.html", data, entries).read_text("utf-8"), "traversals")
    assert '<span class="hidden">follows </span>size</small>' in text
    assert "0.2 of its entropy beyond chance" in " ".join(text.split())
    # Of two alike the first is named; a mixture of all follows none.
    twice = [[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]
    with evaluating([]):
        (card,) = traversals.build(Shown(data, [linear(data, twice)]))
    assert [d.follows for d in card.dimensions] == ["size", ""]


def test_small_walks_say_what_they_follow(monkeypatch):
    monkeypatch.setattr(traversals, "SHOWN", 1)
    data = made()
    with evaluating([]):
        (card,) = traversals.build(Shown(data, [linear(data, SIZE_AND_TURN)]))
    assert [text.partition(", ")[2] for text, _ in card.small] == ["follows size", ""]


@pytest.mark.parametrize("largest, top", [(0.0, 0.1), (0.21, 0.3), (0.95, 1.0), (1.4, 1.0)])
def test_scales_end_at_round_numbers(largest, top):
    assert factors._scale(largest) == top
