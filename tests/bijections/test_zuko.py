"""Agreement with zuko, given the same parameters."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import reparam as rp
from reparam.bijections.coupling import alternating
from reparam.bijections.spline import spline, spline_inverse

zuko = pytest.importorskip("zuko")
F64 = torch.float64


def agree(ours, theirs, x):
    """Both directions with their log-determinants: theirs may be entry by entry."""
    for way, its in ((ours.forward, theirs), (ours.inverse, theirs.inv)):
        value, ladj = way(x)
        wanted, terms = its.call_and_ladj(x)
        torch.testing.assert_close(value, wanted, rtol=1e-9, atol=1e-9)
        total = terms if terms.shape == ladj.shape else terms.sum(1)
        torch.testing.assert_close(ladj, total, rtol=1e-9, atol=1e-9)


def affine(p):
    """zuko's y = e^a x + b, whose a is bounded in another way, of our (x − m) e^{−s}."""
    log_scale = -rp.Affine().log_scale(p[:, 1])
    unbounded = log_scale / (1 - log_scale.abs() / -math.log(1e-3))
    return zuko.transforms.MonotonicAffineTransform(-p[:, 0] * log_scale.exp(), unbounded)


def test_rational_quadratic_splines():
    torch.manual_seed(0)
    theirs = zuko.transforms.MonotonicRQSTransform(
        *(2 * torch.randn(500, 3, n, dtype=F64) for n in (8, 8, 7)), bound=4.0
    )
    parts = (theirs.horizontal, theirs.vertical, theirs.derivatives)
    knots = torch.stack(parts).movedim(3, 2)

    class Ours:
        forward = staticmethod(lambda x: spline(x, knots, 4.0))
        inverse = staticmethod(lambda z: spline_inverse(z, knots, 4.0))

    agree(Ours, theirs, 3 * torch.randn(500, 3, dtype=F64))


def jittered(network: nn.Module) -> nn.Module:
    torch.manual_seed(1)
    for parameter in network.parameters():
        parameter.data += 0.4 * torch.randn_like(parameter)
    return network.double()


def test_masked_autoregressive_flows():
    flow = rp.AutoregressiveTransform(rp.Affine(), jittered(rp.MADE((4,), 2, (16,))))
    theirs = zuko.transforms.AutoregressiveTransform(lambda x: affine(flow.network(x)), passes=4)
    agree(flow, theirs, torch.randn(50, 4, dtype=F64))


@pytest.mark.parametrize("transform", [rp.Additive(), rp.Affine()])
def test_couplings(transform):
    split = alternating(5)
    network = jittered(rp.CouplingMLP(3, 2 * transform.parameters, (16,)))

    def meta(kept):
        p = network(kept).view(len(kept), -1, 2)
        return zuko.transforms.AdditiveTransform(-p[:, 0]) if len(p[0]) == 1 else affine(p)

    theirs = zuko.transforms.CouplingTransform(meta, split)
    agree(rp.Coupling(transform, network, split), theirs, torch.randn(50, 5, dtype=F64))


def test_lu_matrices():
    """Theirs has the diagonal in L and no permutation: W = P L' D U' of ours."""
    torch.manual_seed(0)
    ours = jittered(rp.LULinear(5, rotated=True))
    lower, upper = ours._factors()
    diagonal = upper.diagonal()
    parts = lower * diagonal + (upper / diagonal[:, None]).triu(1)
    theirs = zuko.transforms.ComposedTransform(
        zuko.transforms.LULinearTransform(parts), zuko.transforms.PermutationTransform(ours.order)
    )
    agree(ours, theirs, torch.randn(50, 5, dtype=F64))
