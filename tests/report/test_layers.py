"""The section of layers: images of flows of which a part of the code is drawn anew."""

from __future__ import annotations

import pytest
import torch

import reparam as rp
from reparam.data import Data, Split
from reparam.model import Space
from reparam.report.section import Shown
from reparam.report.sections import interpolations, layers
from reparam.report.trained import TrainedModel
from reparam.train.history import History

SPACE = Space((1, 8, 8), "real", classes=2)
SMALL = {"layers": 1, "channels": 4}


@pytest.fixture
def data():
    x = 5 + 3 * torch.randn(20, *SPACE.shape, generator=torch.Generator().manual_seed(0))
    part = Split(x, torch.arange(20) % 2)
    return Data(part, part, part, SPACE, "noise")


def shown(data, preset, **options):
    model = rp.build(preset, data.space, seed=0, **options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return Shown(data, [TrainedModel(preset, model.eval(), {}, History())]), model


def tiles_of(monkeypatch, about):
    seen = []
    monkeypatch.setattr(layers, "grid", lambda x, *a, **k: seen.append(x))
    with torch.no_grad():
        return layers.build(about), seen


@pytest.mark.parametrize("conditional", [False, True])
def test_a_test_image_keeps_its_coarse_or_fine_scales(data, monkeypatch, conditional):
    base = "class" if conditional else "normal"
    about, model = shown(data, "glow", conditional=conditional, base=base, **SMALL)
    found, (coarse, fine) = tiles_of(monkeypatch, about)
    captions = [caption for caption, _ in found.cards[0].figures]
    assert captions[0] == "Coarsest 1 of 2 scales kept: 32 of 64 numbers"
    assert captions[1] == "Finest 1 of 2 scales kept: 32 of 64 numbers" and found.of_tests
    for tiles, kept, redrawn in (
        (coarse, slice(32), slice(32, 64)),
        (fine, slice(32, 64), slice(32)),
    ):
        rows = tiles.unflatten(0, (layers.ROWS, layers.COLUMNS + 1))
        assert all(any(torch.equal(row[0], x) for x in data.test.x) for row in rows)
        label = [int((data.test.x == row[0]).flatten(1).all(1).nonzero()) % 2 for row in rows]
        c = torch.tensor(label).repeat_interleave(layers.COLUMNS + 1) if conditional else None
        with torch.no_grad():
            code = model.encode(tiles, c).view(layers.ROWS, layers.COLUMNS + 1, -1)
        torch.testing.assert_close(
            code[:, 1:, kept], code[:, :1, kept].expand(-1, layers.COLUMNS, -1), rtol=0, atol=1e-3
        )
        others = code[:, 1:, redrawn]
        assert others.std(1).min() > 0.1 and (others - code[:, :1, redrawn]).abs().mean() > 0.3


def test_scales_that_hang_together_and_codes_of_one_scale_have_no_pictures(data, monkeypatch):
    for options in ({"base": "mixture"}, {"scales": 1}):
        assert tiles_of(monkeypatch, shown(data, "glow", **options, **SMALL)[0])[0] is None


def test_codes_between_those_of_a_flow_keep_their_length(data):
    _, model = shown(data, "glow", **SMALL)
    first, last = torch.arange(5), torch.arange(5, 10)
    with torch.no_grad():
        x = interpolations.interpolate(model, data.test, first, last)
        length = model.encode(x.flatten(0, 1)).norm(dim=1).view(5, interpolations.STEPS)
    lowest = torch.minimum(length[:, 0], length[:, -1])
    assert (length > 0.95 * lowest[:, None]).all()  # on a line, halfway, it is 0.7 of them
