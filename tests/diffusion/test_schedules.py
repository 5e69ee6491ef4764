"""Levels of noise, the steps between them, and the forms of what a network predicts."""

from __future__ import annotations

import itertools

import pytest
import torch
from exact_denoisers import F64, Normal, diffusion

from reparam.diffusion.schedules import (
    VE,
    VP,
    DiscreteSchedule,
    Schedule,
    SubVP,
    cosine,
    linear,
)
from reparam.diffusion.steps import at, step_back

SCHEDULES = {
    "linear": linear(1000),
    "cosine": cosine(1000),
    "vp": VP(),
    "sub-vp": SubVP(),
    "ve": VE(50.0),
}
COVARIANCE = torch.tensor([[2.0, 0.6, 0.0], [0.6, 0.5, -0.2], [0.0, -0.2, 4.0]], dtype=F64)


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_a_step_back_is_bayes_rule(schedule: Schedule):
    """q(x_s|x_t, x) ∝ q(x_t|x_s) q(x_s|x): precisions add up, means weighed by them."""
    t, s = torch.tensor([0.7, 0.3, 0.002], dtype=F64), torch.tensor([0.5, 0.299, 0.001], dtype=F64)
    late, early, step = schedule(t), schedule(s), step_back(schedule, t, s)
    ratio = late.signal / early.signal
    torch.testing.assert_close(
        step.beta + ratio**2 * early.noise**2, late.noise**2, rtol=1e-12, atol=0
    )
    precision = ratio**2 / step.beta + 1 / early.noise**2
    torch.testing.assert_close(step.posterior, 1 / precision, rtol=1e-9, atol=0)
    torch.testing.assert_close(step.keep, ratio / step.beta / precision, rtol=1e-9, atol=0)
    torch.testing.assert_close(
        step.pull, early.signal / early.noise**2 / precision, rtol=1e-9, atol=0
    )


def test_discrete_betas_come_back_from_the_levels():
    """β_t of linear is even from 1e-4 to 0.02 at T = 1000, of cosine 0.999 at most."""
    for schedule, first, last in ((linear(1000), 1e-4, 0.02), (cosine(1000), None, 0.999)):
        kept = schedule(schedule.grid().flip(0)).signal.square()
        betas = 1 - kept[1:] / kept[:-1]
        assert betas[-1].item() == pytest.approx(last, rel=1e-9)
        assert first is None or betas[0].item() == pytest.approx(first, rel=1e-9)
        if first is not None:
            torch.testing.assert_close(
                betas.diff(), betas.diff().mean().expand(999), rtol=1e-6, atol=0
            )


@pytest.mark.parametrize("schedule", [VP(), SubVP(), VE(50.0)], ids=["vp", "sub-vp", "ve"])
def test_the_time_of_an_angle_is_the_one_that_has_it(schedule: Schedule):
    t = torch.linspace(0.001, 1, 50, dtype=F64)
    torch.testing.assert_close(schedule.time_at(schedule(t).angle), t, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("schedule", [VP(), SubVP(), VE(50.0)], ids=["vp", "sub-vp", "ve"])
def test_continuous_levels_solve_their_equation(schedule: Schedule):
    """d(σ²)/dt = 2 (α'/α) σ² + g², with g² = β (VP), β (1 − α⁴) (sub-VP), d(σ²)/dt (VE)."""
    t = torch.linspace(0.05, 0.95, 7, dtype=F64).requires_grad_()
    level = schedule(t)
    log_slope, slope = (
        torch.autograd.grad(value.sum(), t, retain_graph=True, allow_unused=True)[0]
        for value in (level.signal.log() + 0 * t, level.noise.square())
    )
    beta = 0.1 + 19.9 * t
    if isinstance(schedule, VE):
        square = 2 * torch.log(torch.tensor(5000.0, dtype=F64)) * level.noise.square()
        drift = torch.zeros_like(t)
    else:
        drift = -0.5 * beta
        square = beta * (1 - level.signal**4 if isinstance(schedule, SubVP) else 1)
    torch.testing.assert_close(log_slope, drift)
    torch.testing.assert_close(slope, 2 * drift * level.noise.square() + square)


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_forms_of_a_prediction_turn_into_each_other(schedule: Schedule):
    """ε* = σ (α² S + σ² I)⁻¹ x_t, whichever form the network returns."""
    law = Normal(COVARIANCE)
    t = torch.tensor([0.01, 0.2, 0.5, 0.8], dtype=F64)
    state = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=F64)
    level = at(schedule(t), state)
    state = state * level.norm
    found = {
        name: diffusion(law, schedule, name).process(None).estimate(state, t)
        for name in ("noise", "x", "velocity")
    }
    noise = torch.stack(
        [
            one.noise * torch.linalg.solve(law.of_state(one), row)
            for row, one in zip(state, (schedule(time) for time in t), strict=True)
        ]
    )
    for estimate in found.values():
        torch.testing.assert_close(estimate.noise, noise, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(level.signal * estimate.x + level.noise * noise, state)
    for a, b in itertools.combinations(found.values(), 2):
        scale = 1 + level.noise / level.signal  # by which x̂ is far from its noise's rounding
        assert ((a.x - b.x) / scale).abs().max() < 1e-12
        # The noise of x̂ is divided by σ.
        assert ((a.noise - b.noise) * level.noise / level.norm).abs().max() < 1e-12


@pytest.mark.parametrize("times", [2, 7, 20])
def test_a_linear_schedule_of_too_few_times_is_refused(times: int):
    """Its last β would be 20/T ≥ 1."""
    with pytest.raises(ValueError, match=f"times: expected at least 21 .* got {times}"):
        linear(times)


def test_the_least_times():
    assert linear(21)(torch.tensor(1.0)).signal > 0
    assert cosine(2)(torch.tensor([0.0, 0.5, 1.0])).noise.shape == (3,)
    for make in (lambda: cosine(1), lambda: DiscreteSchedule(torch.tensor([0.5]))):
        with pytest.raises(ValueError, match="times: expected at least 2, got 1"):
            make()
    for beta in (0.0, 1.0):
        with pytest.raises(ValueError, match="betas: expected above 0 and below 1"):
            DiscreteSchedule(torch.tensor([0.5, beta]))


def test_grids_are_rounded_to_the_times_there_are():
    grid = linear(1000).grid(7)
    assert (1000 * grid).round().tolist() == [1000, 857, 714, 571, 429, 286, 143, 0]
    assert len(set(cosine(10).grid(10).tolist())) == 11
    with pytest.raises(ValueError, match="steps: expected at most 10, the model's times, got 11"):
        cosine(10).grid(11)


@pytest.mark.parametrize("schedule", [VP(), SubVP(), VE(50.0)], ids=["vp", "sub-vp", "ve"])
def test_grids_of_continuous_time_are_even_in_angle(schedule: Schedule):
    grid = schedule.grid(10)
    assert (grid[0], grid[-1], len(grid)) == (1, 0, 11) and (grid.diff() < 0).all()
    steps = schedule(grid).angle.diff()
    torch.testing.assert_close(steps, steps.mean().expand(10), rtol=1e-6, atol=0)
