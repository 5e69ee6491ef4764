"""What holds for every bijection: there and back, Jacobians, where each starts, what is refused."""

from __future__ import annotations

import inspect
import math
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import reparam as rp
from reparam.bijections.__main__ import concrete, table
from reparam.bijections.base import Frozen
from reparam.bijections.coupling import alternating, channels, checkerboard, coupled_shapes, halves

F64 = torch.float64
ROWS = 20


class Dense(nn.Module):
    """One layer from an image and a context to numbers of an image, as couplings ask for them."""

    def __init__(self, inputs, outputs, context=0):
        super().__init__()
        self.context_features, self.outputs = context, outputs
        self.layer = nn.Linear(math.prod(inputs) + context, math.prod(outputs))
        for parameter in self.layer.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x, context=None):
        seen = x.flatten(1) if context is None else torch.cat([x.flatten(1), context], 1)
        return torch.tanh(self.layer(seen)).view(-1, *self.outputs)


def coupling(transform, split, context=0):
    seen, moved = coupled_shapes(split)
    outputs = (transform.parameters * moved[0], *moved[1:])
    if split.ndim == 1:
        network = rp.CouplingMLP(*seen, *outputs, (16,), context)
    else:
        network = Dense(seen, outputs, context)
    return rp.Coupling(transform, network, split)


def autoregressive(transform, hidden=(16,), context=0):
    network = rp.MADE((4,), transform.parameters, hidden, context=context, gain=0)
    return rp.AutoregressiveTransform(transform, network)


SPLINE = rp.Spline(bins=5, bound=3.0)
# Name: what makes it, given the size of a context where it takes one, and the shape of x.
COUPLINGS = {
    "nice": (lambda c: coupling(rp.Additive(), halves(5), c), (5,)),
    "real-nvp": (lambda c: coupling(rp.Affine(), alternating(4, odd=True), c), (4,)),
    "spline coupling": (lambda c: coupling(SPLINE, halves(3, swapped=True), c), (3,)),
    "checkerboard": (lambda c: coupling(rp.Affine(), checkerboard((2, 2, 2)), c), (2, 2, 2)),
    "odd checkerboard": (lambda c: coupling(SPLINE, checkerboard((1, 3, 2), True), c), (1, 3, 2)),
    "channels": (lambda c: coupling(rp.Affine(), channels((3, 2, 1)), c), (3, 2, 1)),
    "spline channels": (lambda c: coupling(SPLINE, channels((2, 1, 3), True), c), (2, 1, 3)),
}
AUTOREGRESSIVE = {
    "linear": (lambda c: rp.MaskedAffine(3, (), c), (3,)),
    "masked": (lambda c: rp.MaskedAffine(3, (16,), c), (3,)),
    "maf": (lambda c: autoregressive(rp.Affine(), (12, 12), c), (4,)),
    "spline autoregressive": (lambda c: autoregressive(SPLINE, (16,), c), (4,)),
    "spline alone": (
        lambda c: rp.AutoregressiveTransform(SPLINE, rp.MADE((1,), 14, (), context=c, gain=0)),
        (1,),
    ),
}
WITH_OR_WITHOUT = COUPLINGS | AUTOREGRESSIVE
WITH_OR_WITHOUT |= {
    "scales": (lambda c: rp.Elementwise(rp.Affine(), (2, 1, 2), c), (2, 1, 2)),
    "own spline": (lambda c: rp.Elementwise(SPLINE, (2,), c), (2,)),
    "own planar": (lambda c: rp.Own(rp.Planar(3), c), (3,)),
    "own radial": (lambda c: rp.Own(rp.Radial(3), c), (3,)),
    "inverse": (lambda c: rp.Inverse(rp.MaskedAffine(3, (16,), c)), (3,)),
    "shared": (
        lambda c: rp.Chain(
            coupling(rp.Affine(), halves(4), c),
            rp.LULinear(4, rotated=True),
            autoregressive(SPLINE, (8,), c),
            rp.Permutation(4, seed=3),
            rp.Own(rp.Planar(4), c),
            context="shared",
        ),
        (4,),
    ),
}
OTHERS = {
    "reverse": (lambda c: rp.Reverse(), (3,)),
    "permutation": (lambda c: rp.Permutation(5, seed=2), (5,)),
    "lu": (lambda c: rp.LULinear(4), (4,)),
    "rotated lu": (lambda c: rp.LULinear(5, seed=1, rotated=True), (5,)),
    "1x1": (lambda c: rp.Invertible1x1((3, 1, 2)), (3, 1, 2)),
    "planar": (lambda c: rp.Planar(3), (3,)),
    "radial": (lambda c: rp.Radial(3), (3,)),
    "chain": (
        lambda c: rp.Chain(
            rp.Planar(3), rp.Reverse(), rp.MaskedAffine(3, (8,), 2), rp.Radial(3), rp.Planar(3)
        ),
        (3,),
    ),
}
MAPS = OTHERS | WITH_OR_WITHOUT
MAPS |= {f"{name} with context": maps for name, maps in WITH_OR_WITHOUT.items()}
WAYS = ("forward", "inverse")


@contextmanager
def float64():
    """Weights in double precision from the start: rounded ones are no rotation to 1e-13."""
    torch.set_default_dtype(F64)
    yield
    torch.set_default_dtype(torch.float32)


def made(name: str, jitter: float = 0.3) -> tuple[rp.Bijection, Tensor, Tensor | None]:
    torch.manual_seed(4)
    make, shape = MAPS[name]
    with float64():
        bijection = make(3 if name.endswith("context") else 0)
    for parameter in bijection.parameters():  # away from the identity
        parameter.data += jitter * torch.randn_like(parameter)
    features = bijection.context_features
    assert bool(features) == (name.endswith("context") or name in ("planar", "radial", "chain"))
    context = 1.5 * torch.randn(ROWS, features, dtype=F64) if features else None
    return bijection, 2 * torch.randn(ROWS, *shape, dtype=F64), context


def jacobian(way, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """z, ladj and dz/dx (B, D, D) of rows that do not know of each other."""
    x = x.detach().requires_grad_()
    z, ladj = way(x, context)
    z = z + 0 * x.sum()  # of what does not depend on x at all, too
    slopes = [
        torch.autograd.grad(entry.sum(), x, retain_graph=True)[0].flatten(1)
        for entry in z.flatten(1).unbind(1)
    ]
    return z.detach(), ladj.detach(), torch.stack(slopes, 1)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MAPS)
def test_there_and_back_with_the_log_determinant_of_the_jacobian(name, way):
    bijection, x, context = made(name)
    there, back = (getattr(bijection, w) for w in (way, *{*WAYS} - {way}))
    y, ladj, slopes = jacobian(there, x, context)
    assert ladj.shape == (ROWS,) and y.shape == x.shape and ladj.dtype == F64
    torch.testing.assert_close(ladj, torch.linalg.slogdet(slopes)[1], rtol=1e-9, atol=1e-9)
    again, against = back(y, context)
    # An error of y comes back times the slope of the way back.
    steepness = torch.linalg.inv(slopes).abs().sum(2).amax(1).clamp(min=1)
    assert ((again - x).abs().flatten(1).amax(1) <= 1e-10 * steepness).all()
    assert ((ladj + against).abs() <= 1e-9 * steepness).all()
    with torch.no_grad():  # the walk in place of passes
        for ours, theirs in zip(there(x, context), (y, ladj), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("context", ["", " with context"])
@pytest.mark.parametrize("name", COUPLINGS)
def test_jacobians_of_couplings_are_triangular(name, context):
    bijection, x, c = made(name + context)
    slopes, kept = jacobian(bijection.forward, x, c)[2], bijection.split.flatten()
    assert torch.equal(
        slopes[:, kept][:, :, kept], torch.eye(int(kept.sum()), dtype=F64).expand(ROWS, -1, -1)
    )
    assert not slopes[:, kept][:, :, ~kept].any()
    moved = slopes[:, ~kept][:, :, ~kept]
    assert torch.equal(moved, torch.diag_embed(moved.diagonal(0, 1, 2)))
    assert (moved.diagonal(0, 1, 2) > 0).all()
    assert slopes[:, ~kept][:, :, kept].any(0).all()  # what moves knows all that stays


@pytest.mark.parametrize("context", ["", " with context"])
@pytest.mark.parametrize("name", AUTOREGRESSIVE)
def test_autoregressive_maps_see_no_later_entry(name, context):
    bijection, x, c = made(name + context)
    for way in (bijection.forward, bijection.inverse):
        slopes = jacobian(way, x, c)[2]
        assert not slopes.triu(1).any()
        assert (slopes.diagonal(0, 1, 2) > 0).all()


@pytest.mark.parametrize("context", ["", " with context"])
@pytest.mark.parametrize("name", AUTOREGRESSIVE)
def test_the_cached_inverse_is_that_of_as_many_passes_as_entries(name, context, monkeypatch):
    bijection, z, c = made(name + context)
    with torch.no_grad():
        wanted = bijection.inverse_by_passes(z, c)
        monkeypatch.setattr(bijection.network, "forward", None)  # no pass is taken
        found = bijection.inverse(z, c)
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_a_graph_of_an_autoregressive_inverse_takes_any_number_of_rows():
    """By passes: which units a walk computes when, no graph can ask."""
    bijection, z, _ = made("masked")
    bijection.forward, inverse = bijection.inverse, bijection.inverse
    with torch.no_grad():
        rows = ({0: torch.export.Dim("rows")}, None)
        graph = torch.export.export(bijection, (z, None), dynamic_shapes=rows).module()
        for found, wanted in zip(graph(z[:7], None), inverse(z[:7]), strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", ["planar", "radial", "masked with context", "chain"])
def test_gradients_pass_the_way_that_is_solved(name):
    """Of the numeric or sequential direction, in x and context, against finite differences."""
    bijection, x, context = made(name)
    inputs = (x[:2].requires_grad_(), context[:2].clone().requires_grad_())
    for way in (bijection.forward, bijection.inverse):
        assert torch.autograd.gradcheck(way, inputs, eps=1e-6, atol=1e-5, rtol=1e-4)


FRESH = [n for n in MAPS if n.split(" with")[0] not in ("linear", "masked", "inverse")]


@pytest.mark.parametrize("name", [n for n in FRESH if n not in ("planar", "radial", "chain")])
def test_a_fresh_bijection_keeps_the_density_of_a_standard_normal(name):
    """The identity, a permutation or a rotation, whatever the context."""
    bijection, x, context = made(name, jitter=0)
    z, ladj = bijection(x, context)
    length = z.flatten(1).square().sum(1)
    torch.testing.assert_close(length, x.flatten(1).square().sum(1), rtol=1e-13, atol=0)
    assert ladj.abs().max() < 1e-13
    if not any(
        isinstance(b, rp.LULinear | rp.Permutation | rp.Reverse) for b in bijection.modules()
    ):
        torch.testing.assert_close(z, x, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("make", [rp.LULinear, lambda d, **k: rp.Invertible1x1((d, 2, 2), **k)])
def test_matrices_have_the_determinant_of_their_parts_and_start_by_seed(make):
    torch.manual_seed(0)
    for rotated in (False, True):
        mixing = make(6, seed=1, rotated=rotated).double()
        weight = mixing.weight
        torch.testing.assert_close(weight @ weight.T, torch.eye(6, dtype=F64), rtol=0, atol=1e-6)
        assert bool((weight == 0).any()) != rotated
        assert torch.equal(weight, make(6, seed=1, rotated=rotated).double().weight)
        assert not torch.equal(weight, make(6, seed=2, rotated=rotated).double().weight)
        mixing.parts.data += 0.3 * torch.randn(6, 6)
        ladj = mixing(torch.randn(1, 6, *mixing.takes[1:], dtype=F64))[1]
        pixels = math.prod(mixing.takes[1:])
        wanted = pixels * torch.linalg.slogdet(mixing.weight)[1]
        torch.testing.assert_close(ladj[0], wanted, rtol=1e-12, atol=1e-12)


def test_log_determinants_of_many_entries_are_summed_as_in_float64():
    torch.manual_seed(0)
    shape = (3, 32, 32)
    scales = rp.Elementwise(rp.Affine(), shape)
    scales.parameter.start.data.normal_()
    x = torch.randn(2, *shape)
    found = scales(x)[1].double()
    assert (found - scales.double()(x.double())[1]).abs().max() < 1e-3


def test_couplings_need_entries_of_both_kinds():
    network = rp.CouplingMLP(1, 1)
    with pytest.raises(ValueError, match="split: expected two entries or more.*use spline-1d"):
        rp.Coupling(rp.Additive(), network, halves(1))
    with pytest.raises(ValueError, match="entries that stay and entries that move"):
        rp.Coupling(rp.Additive(), network, torch.ones(3, dtype=torch.bool))
    with pytest.raises(ValueError, match="entries that stay and entries that move"):
        rp.Coupling(rp.Additive(), network, channels((1, 2, 2)))


def test_chains_refuse_shapes_and_contexts_that_do_not_fit():
    with pytest.raises(
        ValueError, match=r"LULinear takes rows of \(4,\), and Permutation .* \(3,\)"
    ):
        rp.Chain(rp.Permutation(3), rp.Reverse(), rp.LULinear(4))
    parts = (rp.MaskedAffine(3, (), 2), rp.Permutation(3), rp.MaskedAffine(3, (), 4))
    assert rp.Chain(*parts).context_features == 6
    with pytest.raises(ValueError, match=r"shared context cannot have \[2, 4\]"):
        rp.Chain(*parts, context="shared")
    with pytest.raises(ValueError, match="bijection: expected one with a context"):
        rp.Own(rp.Reverse())


def test_what_a_shared_context_says_reaches_every_member():
    bijection, x, context = made("shared with context")
    assert bijection.context_features == 3
    z, total = x, 0
    for part in bijection.bijections:
        z, ladj = part(z, context if part.context_features else None)
        total = total + ladj
    found, ladj = bijection(x, context)
    assert torch.equal(found, z) and torch.equal(ladj, total)


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


def subclasses(cls):
    return {cls}.union(*map(subclasses, cls.__subclasses__()))


def test_the_guide_has_the_costs_of_every_bijection():
    found = {c for c in subclasses(rp.Bijection) if c.__module__.startswith("reparam.")}
    assert {c for c in found if not inspect.isabstract(c)} == set(concrete())
    guide = (Path(__file__).parents[2] / "docs" / "flows.md").read_text(encoding="utf-8")
    assert f"\n\n{table()}\n\n" in guide, "python -m reparam.bijections"
    assert all(f"`{cls.__name__}`" in table() for cls in concrete())


def test_what_is_said_to_only_move_entries_has_no_log_determinant():
    said = [name for name in MAPS if made(name)[0].costs.ladj == "0"]
    assert said
    for name in said:
        bijection, x, context = made(name)
        z, ladj = bijection(x, context)
        assert not ladj.any() and torch.equal(z.sort(1).values, x.sort(1).values)
