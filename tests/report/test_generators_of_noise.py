"""What a page shows of z where no x has a code, and of draws while training."""

from __future__ import annotations

import re

import pytest
import torch

import reparam as rp
from reparam.data import Data, Split
from reparam.evaluation.modes import evaluating
from reparam.model import Space
from reparam.report import TrainedModel, write_page
from reparam.report.section import Shown
from reparam.report.sections import interpolations, training_strip, traversals
from reparam.train.history import History

IMAGES, PLANE = Space((1, 5, 4), "levels", 17, classes=3), Space((2,), "real")


def made(space: Space, rows: int = 40) -> Data:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, *space.shape, generator=generator)
    if space.kind == "levels":
        x = (4 * x + 8).clamp(0, 16).to(torch.uint8)
    labels = torch.arange(rows) % space.classes if space.classes else None
    part = Split(x, labels)
    return Data(part, part, part, space, "made")


def trained(name: str, data: Data, **options: object) -> TrainedModel:
    model = rp.build(name, data.space, latent_dim=7, hidden=(8,), seed=0, **options)
    history = rp.fit(model, data, epochs=4, batch_size=10, seed=0, progress=False)
    return TrainedModel(name, model, {}, history)


def section(page: str, id: str) -> str:
    rest = page[page.index(f'<section id="{id}"') :]
    return " ".join(rest[: rest.index("</section>")].split())


@pytest.mark.parametrize("conditional", [False, True])
def test_walks_start_at_a_draw_and_go_along_what_changes_x_most(monkeypatch, conditional):
    walks = []

    def grid(x, *rest, original=traversals.grid, **options):
        walks.append(x)
        return original(x, *rest, **options)

    monkeypatch.setattr(traversals, "grid", grid)
    data = made(IMAGES)
    entry = trained("gan", data, conditional=conditional)
    model = entry.model
    with torch.no_grad():  # of z4 x does not know, of z2 much
        next(model.generator.parameters())[:, [4, 2]] *= torch.tensor([0.0, 30.0])
    with evaluating([model]):
        (card,) = traversals.build(Shown(data, [entry]))
    assert card.drawn and card.note == "5 of 7 dimensions by change of x"
    assert card.dimensions[0].name == "z2" and card.small[-1][0].startswith("z4: 0 change of x")
    assert card.others == "1 weaker dimension and 1 idle one"
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(1 + traversals.DRAWN, 7, generator=generator)[:1].repeat(7, 1)
    z[:, 2] = torch.linspace(-2.5, 2.5, 7)
    c = model.draw_condition(1, generator)
    expected = model.decode(z, None if c is None else c.expand(7))
    torch.testing.assert_close(walks[0], expected.detach(), rtol=1e-5, atol=1e-4)


def test_interpolations_lead_between_draws(monkeypatch):
    drawn = []

    def grid(x, *rest, original=interpolations.grid, **options):
        drawn.append(x)
        return original(x, *rest, **options)

    monkeypatch.setattr(interpolations, "grid", grid)
    data = made(IMAGES)
    entries = [trained("gan", data), trained("ae", data)]
    with evaluating([entry.model for entry in entries]):
        cards = interpolations.build(Shown(data, entries))
    assert [(card.model, card.drawn) for card in cards] == [(0, True), (1, False)]
    z = torch.randn(6, 7, generator=torch.Generator().manual_seed(0))
    paths = drawn[1].view(3, 10, *IMAGES.shape)  # those of images were drawn before
    for place, end in ((0, z[:3]), (-1, z[3:])):
        expected = entries[0].model.decode(end).detach()
        torch.testing.assert_close(paths[:, place], expected, rtol=1e-5, atol=1e-4)


def test_the_page_says_which_are_draws(tmp_path):
    data = made(IMAGES)
    entries = [trained("gan", data), trained("ae", data)]
    both = write_page(tmp_path / "both.html", data, entries).read_text("utf-8")
    alone = write_page(tmp_path / "alone.html", data, entries[:1]).read_text("utf-8")
    for id in ("traversals", "interpolations"):
        assert "Of gan no" in section(both, id) and "Of gan no" in section(alone, id)
        assert "test " in section(both, id) and "test code" not in section(alone, id)
    assert "between draws of z" in section(both, "interpolations")
    strip = section(both, "strip")
    assert strip.count('class="card"') == 1  # the autoencoder has curves that tell enough
    steps = [int(step) for step in re.findall(r"step </span>(\d+)<", strip)]
    assert steps == [0, 2, 4, 6, 8, 10, 12, 14, 16] == list(entries[0].history.strip)
    assert strip.count("<img") == len(steps)


def test_strips_of_points(tmp_path):
    data = made(PLANE)
    entry = trained("gan", data)
    with evaluating([entry.model]):
        (card,) = training_strip.build(Shown(data, [entry]))
    assert [int(step) for step, _ in card.figures] == list(entry.history.strip)
    page = write_page(tmp_path / "r.html", data, [entry]).read_text("utf-8")
    assert section(page, "strip").count("<svg") == 9


def test_what_a_vae_draws_is_called_means():
    data = made(IMAGES)
    entry = trained("vae-gan", data)
    (card,) = training_strip.build(Shown(data, [entry]))
    assert card.note.startswith("means")
    old = TrainedModel("gan", entry.model, {}, History())  # of a run that kept none
    assert training_strip.build(Shown(data, [old])) == []
