"""Completion by replacement: what resampling mends, on a normal of two dimensions."""

from __future__ import annotations

import pytest
import torch
from exact_denoisers import F64, Normal, diffusion, with_best_variances
from noise import noise_from
from torch import Tensor

import reparam as rp
from reparam.diffusion.completion import complete
from reparam.diffusion.schedules import cosine, linear
from reparam.diffusion.steps import step_back
from reparam.model import Space

LAW = Normal(torch.tensor([[1.0, 0.9], [0.9, 1.0]], dtype=F64))
GIVEN = torch.tensor([True, False])
TRUTH = 1.35, 0.19
TIMES = 200
# Resamplings and kind of variance: the mean and variance of x₂ where x₁ = 1.5.
FACTS = {
    ("optimal", 1): (0.93, 0.316),
    ("optimal", 5): (1.28, 0.210),
    ("optimal", 10): (1.32, 0.200),
    ("optimal", 20): (1.33, 0.195),
    ("posterior", 1): (None, 0.298),
    ("posterior", 5): (None, 0.182),
    ("posterior", 10): (None, 0.165),
    ("posterior", 20): (None, 0.153),
}


def moments(kind: str, resamplings: int, times: int = TIMES) -> tuple[float, float]:
    """Of x₂, by the recursion m ← A m + b, C ← A C Aᵀ + Q over all steps, written by hand."""
    schedule = linear(times)
    model = with_best_variances(diffusion(LAW, schedule), LAW)
    y, eye = torch.tensor([1.5, 0.0], dtype=F64), torch.eye(2, dtype=F64)
    known, free = torch.diag(GIVEN.double()), torch.diag((~GIVEN).double())
    mean, covariance = torch.zeros(2, dtype=F64), eye
    for t in range(times, 0, -1):
        late, early = (torch.tensor(i / times, dtype=F64) for i in (t, t - 1))
        step, level = step_back(schedule, late, early), schedule(early)
        back = step.keep * eye + step.pull * LAW.gain(schedule(late))
        error = model.bound.error(late)
        variance = step.variance(kind, error) if t > 1 else torch.zeros(())
        for turn in range(resamplings):
            mean = free @ back @ mean + known @ (level.signal * y)
            covariance = free @ (back @ covariance @ back.T + variance * eye) @ free
            covariance = covariance + level.noise**2 * known
            if t == 1 or turn == resamplings - 1:
                break
            ratio = schedule(late).signal / level.signal
            mean, covariance = ratio * mean, ratio**2 * covariance + step.beta * eye
    return mean[1].item(), covariance[1, 1].item()


@pytest.mark.parametrize("kind, resamplings", FACTS)
def test_resampling_mends_what_replacement_leaves(kind: str, resamplings: int):
    """With optimal variances; those of the posterior pass the truth and get worse."""
    mean, variance = moments(kind, resamplings)
    expected = FACTS[kind, resamplings]
    assert expected[0] is None or mean == pytest.approx(expected[0], abs=5e-3)
    assert variance == pytest.approx(expected[1], abs=1e-3)


def test_the_error_of_the_mean_shrinks():
    errors = [abs(moments("optimal", r)[0] - TRUTH[0]) for r in (1, 5, 10, 20)]
    assert errors == sorted(errors, reverse=True) and errors[2] < 0.06


@pytest.mark.parametrize("resamplings", [1, 3])
def test_completions_have_these_moments(resamplings: int):
    """Of the function itself: without noise its mean, with one noise at a time its variance."""
    model = with_best_variances(diffusion(LAW, linear(40)), LAW)
    process, times = model.process(None), model.schedule.grid()
    draws = 2 * (1 + (2 + 1) * 40 * resamplings)  # at most: entries of all noises
    count = [0]

    def of(like: Tensor) -> Tensor:
        values = torch.zeros_like(like)
        if len(values) > 1:
            values[count[0], 0] = values[count[0] + 1, 1] = 1
            count[0] += 2
        return values

    with noise_from(of):
        y = torch.tensor([[1.5, 0.0]], dtype=F64)
        center = complete(process, y, GIVEN[None], times, resamplings)
        many = complete(process, y.expand(draws, 2), GIVEN.expand(draws, 2), times, resamplings)
    mean, variance = moments("optimal", resamplings, 40)
    assert center[0, 0].item() == 1.5 and center[0, 1].item() == pytest.approx(mean, abs=1e-9)
    found = (many - center)[:, 1].square().sum().item()
    assert found == pytest.approx(variance, abs=1e-9)


@pytest.mark.parametrize("kind", ["real", "binary", "levels", "mixed"])
def test_given_entries_stay_bit_for_bit(kind: str):
    """Of any mask, one for all rows or one for each."""
    columns = (rp.Column("a", "real"), rp.Column("b", "levels", 4, low=2), rp.Column("c", "binary"))
    space = {
        "real": Space((3,), "real"),
        "binary": Space((3,), "binary"),
        "levels": Space((3,), "levels", 7),
        "mixed": Space((3,), "mixed", columns=columns),
    }[kind]
    model = rp.build("ddpm", space, times=6, hidden=(8, 8), blocks=1)
    x = torch.tensor([[0.1, 3.0, 1.0], [7e3, 2.0, 0.0]], dtype=F64)
    x = x if kind in ("real", "mixed") else x.clamp(0, 1).round()
    masks = (torch.tensor([True, False, True]), torch.tensor([[1, 1, 0], [1, 1, 1]]).bool())
    for mask in masks:
        drawn = model.complete(x, mask, generator=torch.Generator().manual_seed(0))
        assert (drawn[mask.expand(2, 3)] == x[mask.expand(2, 3)].to(drawn)).all()
        if kind in ("real", "mixed"):
            assert drawn.dtype == F64
        else:
            assert ((drawn == drawn.round()) & (drawn >= 0)).all()


def test_masks_that_do_not_fit_are_refused():
    model = diffusion(LAW, cosine(6))
    x = torch.zeros(3, 2, dtype=F64)
    with pytest.raises(ValueError, match=r"mask: expected bool of shape \(2,\) or \(3, 2\)"):
        model.complete(x, torch.ones(3, dtype=torch.bool))
    with pytest.raises(ValueError, match="mask: expected an entry that is not given"):
        model.complete(x, torch.ones(2, dtype=torch.bool))
