"""Bijections: there and back again, and their log-determinants against autograd."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import reparam as rp
from reparam.bijections.base import Frozen

F64 = torch.float64
MAPS = {
    "reverse": lambda: rp.Reverse(),
    "linear": lambda: rp.MaskedAffine(3, ()),
    "masked": lambda: rp.MaskedAffine(3, (16,)),
    "masked with context": lambda: rp.MaskedAffine(3, (16,), context=4),
    "inverse": lambda: rp.Inverse(rp.MaskedAffine(3, (16,), context=2)),
    "planar": lambda: rp.Planar(3),
    "radial": lambda: rp.Radial(3),
    "chain": lambda: rp.Chain(
        rp.Planar(3), rp.Reverse(), rp.MaskedAffine(3, (8,), 2), rp.Radial(3), rp.Planar(3)
    ),
}


def made(name: str) -> tuple[rp.Bijection, Tensor, Tensor | None]:
    torch.manual_seed(4)
    bijection = MAPS[name]().double()
    for parameter in bijection.parameters():  # away from the identity
        parameter.data += 0.3 * torch.randn_like(parameter)
    features = bijection.context_features
    context = 1.5 * torch.randn(40, features, dtype=F64) if features else None
    return bijection, 2 * torch.randn(40, 3, dtype=F64), context


@pytest.mark.parametrize("name", MAPS)
def test_there_and_back_in_both_orders(name):
    bijection, x, context = made(name)
    for first, second in (
        (bijection.forward, bijection.inverse),
        (bijection.inverse, bijection.forward),
    ):
        y, there = first(x, context)
        again, back = second(y, context)
        torch.testing.assert_close(again, x, rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(there, -back, rtol=1e-7, atol=1e-7)
        assert there.shape == (40,)


@pytest.mark.parametrize("way", ["forward", "inverse"])
@pytest.mark.parametrize("name", MAPS)
def test_log_determinants_are_those_of_the_jacobian(name, way):
    bijection, x, context = made(name)
    for row in range(5):
        own = None if context is None else context[row : row + 1]

        def one(v: Tensor, own: Tensor | None = own) -> Tensor:
            return getattr(bijection, way)(v[None], own)[0][0]

        jacobian = torch.autograd.functional.jacobian(one, x[row])
        ladj = getattr(bijection, way)(x[row : row + 1], own)[1].item()
        assert ladj == pytest.approx(torch.linalg.slogdet(jacobian)[1].item(), rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("name", ["planar", "radial", "masked with context", "chain"])
def test_gradients_pass_the_way_that_is_solved(name):
    """Of the numeric or sequential direction, in x and context, against finite differences."""
    bijection, x, context = made(name)
    inputs = (x[:2].requires_grad_(), context[:2].clone().requires_grad_())
    for way in (bijection.forward, bijection.inverse):
        assert torch.autograd.gradcheck(way, inputs, eps=1e-6, atol=1e-5, rtol=1e-4)


def test_masked_affine_is_autoregressive():
    bijection, x, _ = made("masked")
    jacobian = torch.autograd.functional.jacobian(lambda v: bijection(v[None])[0][0], x[0])
    assert not jacobian.triu(1).any()
    assert (jacobian.diagonal() > 0).all()


@pytest.mark.parametrize("size", [1e-3, 1.0, 30.0, 1e3])
def test_planar_maps_stay_invertible_in_float32(size):
    """w·û ≥ −1 + δ however u and w lie: û against w for the largest part, in single precision."""
    torch.manual_seed(0)
    planar = rp.Planar(5)
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


def test_a_frozen_bijection_is_the_same_map_without_gradient_of_its_own():
    bijection, x, context = made("chain")
    frozen = Frozen(bijection)
    x, context = x.requires_grad_(), context.requires_grad_()
    for way in ("forward", "inverse"):
        ours, theirs = (getattr(b, way)(x, context) for b in (frozen, bijection))
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
        by_x = torch.autograd.grad(ours[0].sum() + ours[1].sum(), x, retain_graph=True)[0]
        wanted = torch.autograd.grad(theirs[0].sum() + theirs[1].sum(), x, retain_graph=True)[0]
        torch.testing.assert_close(by_x, wanted)
        weights = list(bijection.parameters())
        found = torch.autograd.grad(ours[0].sum() + ours[1].sum(), weights, allow_unused=True)
        assert all(g is None for g in found)
    assert not list(frozen.parameters())
