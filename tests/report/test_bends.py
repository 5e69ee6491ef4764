"""The gallery of planar and radial layers: what it draws are densities, in the order it says."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from reparam.report.bends import BASES, KINDS, density


def numbers_of(bend: str) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    size = 3, KINDS[bend](2).context_features
    return torch.randn(size, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("bend", ["planar", "radial"])
@pytest.mark.parametrize("base", BASES)
def test_mass_is_one(bend, base):
    side = torch.linspace(-12, 12, 601, dtype=torch.float64)
    grid = torch.cartesian_prod(side, side)
    mass = density(BASES[base], bend, numbers_of(bend), grid).sum() * (side[1] - side[0]) ** 2
    # The edge of the uniform, some 14 long, cuts through cells 0.04 wide that hold 1/12 per area.
    assert mass.item() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("bend", ["planar", "radial"])
def test_the_first_layer_bends_the_base_itself(bend):
    base, layer = BASES["Normal"], KINDS[bend](2)
    numbers = numbers_of(bend)
    x = z = base.draw(torch.Generator().manual_seed(0))[:50]
    gained = torch.zeros(50, dtype=torch.float64)
    for row in numbers:
        x, ladj = layer.inverse(x, row[None])
        gained += ladj
    wanted = (base.log_prob(z) - gained).exp()
    torch.testing.assert_close(density(base, bend, numbers, x), wanted, rtol=1e-6, atol=0)
