"""Splines: at and beyond their knots, with logits of any size, in both precisions."""

from __future__ import annotations

import pytest
import torch

from reparam.bijections.spline import spline, spline_inverse, spline_knots

F64 = torch.float64
BINS, BOUND = 8, 5.0
WAYS = {"forward": (spline, 0), "inverse": (spline_inverse, 1)}


def raw(size: float, rows: int = 200, dtype: torch.dtype = F64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randn(rows, 3 * BINS - 1, 3, generator=generator, dtype=F64)
    return (size * numbers).to(dtype).requires_grad_()


def points(rows: int, dtype: torch.dtype = F64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return (3 * torch.randn(rows, 3, generator=generator, dtype=F64)).to(dtype)


@pytest.mark.parametrize("size", [0, 1, 3, 10, 100])
def test_knots_rise_from_bound_to_bound_and_the_slopes_are_positive(size):
    x, y, slopes = spline_knots(raw(size), BINS, BOUND)
    for ticks in (x, y):
        assert (ticks[:, 0] == -BOUND).all() and (ticks[:, -1] == BOUND).all()
        assert (ticks.diff(dim=1) > 0.99 * 2 * BOUND * 1e-2 / BINS).all()
    assert (slopes > 0).all() and (slopes[:, [0, -1]] == 1).all()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [0, 1, 3])
def test_value_slope_and_ladj_are_continuous_across_the_knots(size, way):
    function, axis = WAYS[way]
    knots = spline_knots(raw(size), BINS, BOUND).detach()
    repeated = knots.repeat_interleave(BINS + 1, 3)

    def around(step):
        """Value, slope and ladj, and how fast ladj changes there."""
        at = (knots[axis].movedim(1, 2) + step).flatten(1).requires_grad_()
        value, ladj = function(at, repeated, BOUND)
        (slope,) = torch.autograd.grad(value.sum(), at, retain_graph=True)
        steepness = torch.autograd.grad(ladj.sum(), at)[0].abs()
        torch.testing.assert_close(slope.log(), ladj, rtol=1e-7, atol=1e-7)
        return value.detach(), ladj.detach(), steepness

    value, ladj, _ = around(0.0)
    torch.testing.assert_close(value, knots[1 - axis].movedim(1, 2).flatten(1), rtol=0, atol=1e-12)
    step = 1e-12
    for side in (-step, step):  # inwards and outwards of the bounds, too
        near, near_ladj, steepness = around(side)
        assert ((near - value).abs() <= 1e-6).all()
        assert ((near_ladj - ladj).abs() <= 1e-6 + 2 * step * steepness).all()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("size", [1, 3, 10, 100])
def test_values_and_gradients_are_finite_inside_on_and_far_outside(size, dtype, way):
    function, axis = WAYS[way]
    numbers = raw(size, dtype=dtype)
    knots = spline_knots(numbers, BINS, BOUND)
    far = torch.tensor([-1e6, -BOUND, BOUND, 1e6], dtype=dtype)
    ticks = knots[axis].detach().movedim(1, 0)  # every knot, in turn
    for at in (*ticks, points(200, dtype), *(v.expand(200, 3) for v in far)):
        at = at.clone().requires_grad_()
        value, ladj = function(at, knots, BOUND)
        gradients = torch.autograd.grad(value.sum() + ladj.sum(), (at, numbers), retain_graph=True)
        assert all(t.isfinite().all() for t in (value, ladj, *gradients))
        assert value.dtype == ladj.dtype == dtype
        outside = at.detach().abs() >= BOUND
        assert torch.equal(value[outside], at[outside]) and not ladj[outside].any()


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize(("size", "units"), [(0, 2), (1, 6), (3, 12)])
def test_round_trips_err_by_a_few_roundings_per_unit_of_slope(size, units, dtype):
    """In units of eps · bound · slope, whatever the precision."""
    x = points(2000, dtype)
    knots = spline_knots(raw(size, 2000, dtype), BINS, BOUND).detach()
    unit = BOUND * torch.finfo(dtype).eps
    for first, second in ((spline, spline_inverse), (spline_inverse, spline)):
        y, there = first(x, knots, BOUND)
        again, back = second(y, knots, BOUND)
        assert ((again - x).abs() <= units * unit * back.exp().clamp(min=1)).all()


def test_zeros_are_the_identity():
    x = points(100)
    for function, _ in WAYS.values():
        value, ladj = function(
            x, spline_knots(torch.zeros(1, 3 * BINS - 1, 3, dtype=F64), BINS, BOUND), BOUND
        )
        torch.testing.assert_close(value, x, rtol=0, atol=1e-14)
        assert ladj.abs().max() < 1e-14
