"""The planar map at the edge of what it can be."""

import pytest
import torch

from reparam.bijections.planar import Planar, Radial


def test_a_planar_map_without_direction_only_shifts():
    """w = 0 leaves a constant shift, whatever the context asks for: ladj is 0 and so is log|J|."""
    flow = Planar(2)
    context = torch.tensor([[0.3, -0.2, 0.0, 0.0, 0.5]])
    z = torch.tensor([[1.0, 2.0]])
    x, ladj = flow.inverse(z, context)
    jacobian = torch.autograd.functional.jacobian(lambda v: flow.inverse(v, context)[0], z)
    assert ladj.item() == torch.linalg.slogdet(jacobian[0, :, 0]).logabsdet.item() == 0
    assert torch.allclose(flow(x, context)[0], z)


@pytest.mark.parametrize("size", [1e-3, 1.0, 30.0, 1e3])
def test_planar_maps_stay_invertible_in_float32(size):
    """w·û ≥ −1 + δ however u and w lie: û against w for the largest part, in single precision."""
    torch.manual_seed(0)
    planar = Planar(5)
    w = torch.randn(4000, 5)
    u = -size * w / w.norm(dim=1, keepdim=True) + 0.1 * torch.randn(4000, 5)
    context = torch.cat([u, w, torch.randn(4000, 1)], 1)
    moved, w, b, slope = planar._given(context)
    assert (slope >= -1 + 1e-3 - 1e-6).all()
    along = (moved.double() * w.double()).sum(1)
    # û is rounded to float32 where it is added up: |û||w| roundings of 6e-8.
    rounding = 1e-6 * moved.norm(dim=1).double() * w.norm(dim=1).double()
    assert (along >= -1 + 1e-3 - rounding - 1e-6).all()
    z = torch.randn(4000, 5)
    x, ladj = planar.inverse(z, context)
    assert x.isfinite().all() and ladj.isfinite().all()
    assert (ladj >= torch.log(torch.tensor(0.9e-3))).all()


def test_radii_near_the_center_keep_their_digits():
    """α = .0035 and β = 6: the root is a small difference there, unless it is written otherwise."""
    context = torch.tensor([[0.0, 0.0, -6.0, 6.0]])
    x = torch.logspace(-5, 0, 50)[:, None] * torch.tensor([[0.6, 0.8]])
    z, ladj = Radial(2)(x, context)
    wanted, wanted_ladj = Radial(2)(x.double(), context.double())
    torch.testing.assert_close(z.double(), wanted, rtol=1e-5, atol=0)
    torch.testing.assert_close(ladj.double(), wanted_ladj, rtol=0, atol=2e-5)
