"""Traversals: every latent dimension once, strongest first, on a page that stays small."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
import torch
from PIL import Image

import reparam as rp
from reparam.data import Data, Split
from reparam.evaluation.latents import importance
from reparam.evaluation.modes import evaluating
from reparam.evaluation.scores import Score
from reparam.model import Space
from reparam.report import TrainedModel, write_page
from reparam.report.section import Shown
from reparam.report.sections import rates, traversals
from reparam.train.history import History

IMAGES, TABLE = Space((1, 9, 7), "levels", 17), Space((5,), "real")


def made(space, rows=60):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, *space.shape, generator=generator)
    if space.kind == "levels":
        x = (4 * x + 8).clamp(0, 16).to(torch.uint8)
    part = Split(x)
    return Data(part, part, part, space, "made")


def vae(data, latent_dim, idle=()):
    """An untrained VAE whose codes spread, but for some dimensions whose posterior is the prior."""
    torch.manual_seed(0)
    model = rp.build("vae", data.space, latent_dim=latent_dim, hidden=(8,), network="mlp")
    with torch.no_grad():
        last = [m for m in model.encoder.modules() if isinstance(m, torch.nn.Linear)][-1]
        last.weight.mul_(20)
        rows = [*idle, *(latent_dim + d for d in idle)]  # of means and log-scales
        last.weight[rows] = 0
        last.bias[rows] = 0
    return TrainedModel("VAE", model.eval(), {}, History())


def card_of(data, entry):
    with evaluating([entry.model]):
        (card,) = traversals.build(Shown(data, [entry]))
    return card


def numbers(texts):
    return [int(re.match(r"z(\d+)", text)[1]) for text in texts]


def everything(card):
    texts = [d.name for d in card.dimensions] + [text for text, _ in card.small] + card.undrawn
    return numbers(texts)


@pytest.mark.parametrize("space", [IMAGES, TABLE])
def test_every_dimension_once_used_ones_by_rate_and_the_idle_last(space):
    data, idle = made(space), (1, 4)
    entry = vae(data, 12, idle)
    card = card_of(data, entry)
    shown = everything(card)
    assert sorted(shown) == list(range(12))
    with evaluating([entry.model]):
        codes = entry.model.encode(data.test.x)
        axes = importance(entry.model, data.test, codes, 0)
    rates = axes.amount[shown[:10]]
    assert set(shown[10:]) == set(idle) and bool((rates.diff() <= 0).all())
    assert len(card.dimensions) == 5 and card.note == "5 of 12 dimensions by rate, in nats"
    assert card.others == "5 weaker dimensions and 2 idle ones"
    assert card.small[-1][0].endswith(" nats (idle)") and "idle" not in card.small[0][0]


def test_walks_start_at_the_code_nearest_to_the_mean(monkeypatch):
    seen = []
    monkeypatch.setattr(
        traversals,
        "grid",
        lambda x, *a, grid=traversals.grid, **k: seen.append(x) or grid(x, *a, **k),
    )
    data = made(IMAGES)
    entry = vae(data, 10, idle=(3,))
    card = card_of(data, entry)
    model = entry.model
    with evaluating([model]):
        codes = model.encode(data.test.x)
        mean, deviation = codes.mean(0), codes.std(0, correction=0)
        nearest = int((codes - mean).square().sum(1).argmin())
        for dimension, walk in zip(everything(card), seen, strict=True):
            steps = torch.linspace(-2.5, 2.5, len(walk))
            values = mean[dimension] + steps * deviation[dimension]
            moved = codes[nearest].repeat(len(walk), 1)
            moved[:, dimension] = values
            # The same networks on other numbers of rows: float32 rounding of means up to 16.
            torch.testing.assert_close(walk, model.decode(moved), rtol=1e-5, atol=1e-4)
    assert {len(walk) for walk in seen} == {7, 5}


def test_the_idle_are_those_that_the_rates_call_so():
    """Also one whose mean varies a little: an active unit, that carries next to nothing."""
    data = made(TABLE)
    entry = vae(data, 4, idle=(1,))
    model = entry.model
    last = [m for m in model.encoder.modules() if isinstance(m, torch.nn.Linear)][-1]
    with torch.no_grad(), evaluating([model]):
        # Of dimension 2 the mean varies by 0.011, worth 0.0055 nats at a scale of 1; of dimension
        # 3 it does not vary, and the scale of 0.5 is worth 0.3 nats.
        last.weight[2] *= (0.011 / model.encode(data.test.x)[:, 2].var(correction=0)).sqrt()
        last.bias[2] -= model.encode(data.test.x)[:, 2].mean()
        last.weight[[3, 6, 7]] = 0
        last.bias[[3, 6, 7]] = torch.tensor([0.0, 0.0, -0.7])
        codes = model.encode(data.test.x)
        axes = importance(model, data.test, codes, 0)
        shown = rates.build(Shown(data, [entry]))
    assert (codes.var(0, correction=0) > 0.01).tolist() == [True, False, True, False]
    assert axes.alive.tolist() == [True, False, False, True]
    assert shown.idle[0][2].startswith("2 of 4 dimensions (z1, z2)") and not shown.collapsed
    assert axes.order.endswith("idle: less than 0.01")


def test_codes_without_rates_of_their_own_are_idle_where_they_are_no_active_units():
    data = made(TABLE)
    torch.manual_seed(0)
    model = rp.build("hierarchical-vae", TABLE, latent_dims=(3, 2), hidden=(4,)).eval()
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.mul_(1e-3)  # all of z collapsed, and some of it more than the rest
        codes = model.encode(data.test.x)
        axes = importance(model, data.test, codes, 0)
    assert codes.var(0).max() > 0 and not axes.alive.any()
    assert axes.order.endswith("no active unit") and axes.unit == "variance"


def test_all_idle():
    data = made(IMAGES)
    card = card_of(data, vae(data, 3, idle=(0, 1, 2)))
    assert card.dimensions == [] and sorted(everything(card)) == [0, 1, 2]
    assert card.others == "3 idle dimensions" and card.note.endswith("all are idle")


def test_only_a_collapse_is_a_warning(tmp_path):
    data = made(TABLE)
    some, collapsed = vae(data, 3, idle=(1,)), vae(data, 3, idle=(0, 1, 2))
    path = write_page(tmp_path / "r.html", data, [some, replace(collapsed, label="gone")])
    (warned,) = re.findall(r'<ul class="warnings">(.*?)</ul>', path.read_text("utf-8"))
    assert "gone" in warned and "all 3 dimensions are idle" in warned and "VAE" not in warned
    (noted,) = re.findall(r'<ul class="note">(.*?)</ul>', path.read_text("utf-8"))
    assert "VAE" in noted and "1 of 3 dimensions (z1) is idle" in noted


def test_a_collapse_is_told_beside_what_a_model_is_praised_for(tmp_path):
    data = made(IMAGES)
    some, gone = vae(data, 3, idle=(1,)), replace(vae(data, 3, idle=(0, 1, 2)), label="gone")
    scores = [{"log_likelihood": Score(value, "nats", 9, "test", 0.1)} for value in (-9.0, -8.0)]
    both = [replace(m, scores=s) for m, s in zip((some, gone), scores, strict=True)]
    for entries, told in ((both, 2), ([gone], 1), (both[:1], 0)):
        text = write_page(tmp_path / "r.html", data, entries).read_text("utf-8")
        lines = re.findall(r"<li.*?</li>", text[text.index("<header>") : text.index("</header>")])
        assert len(lines) == told and all(">gone<" in line for line in lines)
        if told:
            assert lines[0].startswith('<li class="warning">')
            assert "collapsed: z carries 0 nats in all" in lines[0]


@pytest.mark.parametrize("channels, side", [(1, 28), (3, 64)])
def test_hundreds_of_dimensions_stay_small(channels, side, monkeypatch):
    monkeypatch.setattr(traversals, "ROOM", 50_000)
    data = made(Space((channels, side, side), "levels", 17), rows=12)
    card = card_of(data, vae(data, 300))
    assert sorted(everything(card)) == list(range(300))
    sizes = [Image.open(io.BytesIO(walk.data)).size for _, walk in card.small]
    room = sum(width * height * channels for width, height in sizes)
    assert 0.5 * traversals.ROOM < room <= traversals.ROOM
    assert all(height >= traversals.SMALL_SIDE for _, height in sizes)
    assert numbers(card.undrawn) and card.unit == "nats"


def test_the_page_folds_the_others_away(tmp_path, monkeypatch):
    monkeypatch.setattr(traversals, "MOST_SMALL", 5)
    data = made(TABLE)
    text = write_page(tmp_path / "r.html", data, [vae(data, 15)]).read_text("utf-8")
    section = text[text.index('<section id="traversals"') :]
    section = section[: section.index("</section>")]
    front, folded = section.split("<details>")
    assert front.count('class="dimension"') == 5 and folded.count("<figure>") == 5
    assert "10 weaker dimensions" in folded and "Without a picture" in folded
    assert len(re.findall(r"z\d+: ", folded)) == 10
    columns = re.findall(r"<li>(x\d+)</li>", front)  # each once, beside all walks
    assert columns == [f"x{i + 1}" for i in range(TABLE.dimension)]
