"""L-VAE and dL-VAE: stationary points, minima, floors, and weights that are exactly 1."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import optimize
from torch import Tensor

import reparam as rp
from reparam.train import fit

F64 = torch.float64


def costs(distortion: float, *rates: float) -> tuple[Tensor, Tensor]:
    """Two examples whose means are these."""
    spread = torch.tensor([[0.7], [-0.7]], dtype=F64)
    rate = torch.tensor([rates], dtype=F64).expand(2, -1) + spread * 0.1
    return distortion + spread[:, 0], rate


def l_objective(r: float, k: float, s0: float, s1: float) -> float:
    """R/σ₀² + K/σ₁² + σ₀² + σ₁² of variances."""
    return r / s0 + k / s1 + s0 + s1


def descend(weights: torch.nn.Module, distortion: Tensor, rate: Tensor, steps: int) -> None:
    """As training does: Adam on the weights alone, then ``after_step`` of their player.

    The learning rate falls to 0, so that a few hundred steps are near enough.
    """
    optimizer = torch.optim.Adam(weights.parameters(), lr=0.1)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / steps) ** 2
        optimizer.zero_grad()
        weights(distortion, rate).backward()
        optimizer.step()
        weights.after_step(weights.statistics(distortion, rate), "weights")


def at_optimum(
    weights: rp.LearnedWeights | rp.DimensionwiseLearnedWeights, *costs: float
) -> Tensor:
    """Put the weights at their optimum for the mean distortion and rates, within their range."""
    with torch.no_grad():
        weights.raw.copy_(weights.optimum(torch.tensor(costs, dtype=F64)))
    weights.project()
    return weights.raw


@pytest.mark.parametrize(("r", "k"), [(120.0, 9.0), (3.0, 40.0), (11.77, 14.9)])
def test_l_vae_is_stationary_at_the_roots_and_nowhere_lower(r, k):
    distortion, rate = costs(r, k / 3, 2 * k / 3)
    weights = rp.LearnedWeights(0).double()
    variances = at_optimum(weights, r, k).exp()
    torch.testing.assert_close(variances, torch.tensor([r, k], dtype=F64).sqrt())
    objective = weights(distortion, rate)
    (gradient,) = torch.autograd.grad(objective, weights.raw)
    assert gradient.abs().max() < 1e-12
    assert objective.item() == pytest.approx(2 * (math.sqrt(r) + math.sqrt(k)), rel=1e-12)
    assert weights.beta().item() == pytest.approx(math.sqrt(r / k), rel=1e-12)
    found = optimize.minimize(lambda s: l_objective(r, k, *np.exp(s)), [0.0, 0.0], tol=1e-12)
    assert found.fun == pytest.approx(objective.item(), rel=1e-8)


def test_l_vae_objective_is_its_equation_away_from_the_optimum():
    weights = rp.LearnedWeights(0).double()
    with torch.no_grad():
        weights.raw.copy_(torch.tensor([2.5, 0.4], dtype=F64).log())
    distortion, rate = costs(80.0, 3.0, 4.0)
    wanted = l_objective(80.0, 7.0, 2.5, 0.4)
    assert weights(distortion, rate).item() == pytest.approx(wanted, rel=1e-12)
    (gradient,) = torch.autograd.grad(weights(distortion, rate), weights.raw)
    wanted_gradient = [-80 / 2.5 + 2.5, -7 / 0.4 + 0.4]  # by log σ²
    assert gradient.tolist() == pytest.approx(wanted_gradient, rel=1e-12)


def test_scaling_the_distortion_moves_beta_by_the_root():
    betas = []
    for c in (1.0, 6.25):
        weights = rp.LearnedWeights(0).double()
        at_optimum(weights, c * 50.0, 9.0)
        betas.append(weights.beta().item())
    assert betas[1] / betas[0] == pytest.approx(2.5, rel=1e-12)


def test_the_literal_reading_of_the_slide_has_no_optimum():
    """−K/σ₁² falls without end as σ₁ → 0: why the signs are what they are."""
    values = [50 / 7 - 9 / s1 + 7 + s1 for s1 in (1.0, 1e-2, 1e-4)]
    assert values[0] > values[1] > values[2] and values[2] < -1e4


def test_the_floor_bounds_the_weight_of_a_vanishing_rate():
    weights = rp.LearnedWeights(0, floor=0.5).double()
    assert at_optimum(weights, 50.0, 0.0)[1].exp().item() == pytest.approx(0.5, rel=1e-12)
    distortion, rate = costs(50.0, 1e-9)
    descend(weights, distortion, rate, 100)
    assert weights.raw[1].exp().item() == pytest.approx(0.5, rel=1e-12)
    # The floor holds nothing back: when the rate grows, the weight follows.
    descend(weights, distortion, costs(50.0, 16.0)[1], 250)
    assert weights.raw[1].exp().item() == pytest.approx(4.0, rel=1e-3)


def test_own_learning_rate_converges_where_that_of_the_model_does_not():
    """From σ = 1 at R = 500, K = 20: at lr 1e-3 far off after 2000 steps, at ten times that not."""
    ends = []
    for lr in (1e-3, 1e-2):
        weights = rp.LearnedWeights(0, floor=1e-3).double()
        distortion, rate = costs(500.0, 20.0)
        optimizer = torch.optim.Adam(weights.parameters(), lr=lr)
        for _ in range(2000):
            optimizer.zero_grad()
            weights(distortion, rate).backward()
            optimizer.step()
        ends.append(weights.raw.exp()[0].item())
    truth = math.sqrt(500.0)
    assert abs(ends[0] / truth - 1) > 0.2
    assert ends[1] == pytest.approx(truth, rel=1e-3)


# ------------------------------------------------------------------------------- dL-VAE


def dl_weight(sigma: Tensor) -> Tensor:
    return 1 / (1 + torch.log1p(sigma.square()))


def test_the_weight_function_and_its_parameter():
    """w ∈ (0, 1], w(0) = 1, flat there in σ; in t = ln(1+σ²) it is 1/(1+t), which is not."""
    sigma = torch.linspace(-9, 9, 401, dtype=F64, requires_grad=True)
    w = dl_weight(sigma)
    assert ((w > 0) & (w <= 1)).all()
    zero = torch.zeros((), dtype=F64, requires_grad=True)
    assert dl_weight(zero).item() == 1.0
    (slope,) = torch.autograd.grad(dl_weight(zero), zero)
    assert slope.item() == 0.0
    weights = rp.DimensionwiseLearnedWeights(3, 0).double()
    with torch.no_grad():
        weights.raw.copy_(torch.log1p(torch.tensor([0.0, 0.3, 2.0, 30.0], dtype=F64).square()))
    torch.testing.assert_close(
        weights.weights(), dl_weight(torch.tensor([0.0, 0.3, 2.0, 30.0], dtype=F64))
    )


def test_dl_vae_objective_is_its_equation():
    weights = rp.DimensionwiseLearnedWeights(2, 0).double()
    sigmas = torch.tensor([1.5, 0.2, 3.0], dtype=F64)
    with torch.no_grad():
        weights.raw.copy_(torch.log1p(sigmas.square()))
    distortion, rate = costs(70.0, 0.8, 5.0)
    each = torch.tensor([70.0, 0.8, 5.0], dtype=F64)
    wanted = (each * dl_weight(sigmas) + sigmas.square()).sum()
    torch.testing.assert_close(weights(distortion, rate), wanted, rtol=1e-12, atol=0)
    assert weights.beta().item() == pytest.approx(
        (dl_weight(sigmas)[1:].mean() / dl_weight(sigmas)[0]).item()
    )


@pytest.mark.parametrize("k", [1e-3, 0.5, 1.0, 1.0001, 2.0, 9.0, 300.0])
def test_the_optimum_of_a_dimension_is_zero_up_to_one_nat(k):
    """s = 0 iff K ≤ 1, else (1+s)(1+ln(1+s))² = K: by minimization and by a root of that."""
    weights = rp.DimensionwiseLearnedWeights(1, 0).double()
    s = torch.expm1(at_optimum(weights, 0.0, k)[1]).item()
    grid = np.concatenate([[0.0], np.logspace(-8, 4, 400_001)])
    values = k / (1 + np.log1p(grid)) + grid
    best = grid[values.argmin()]
    assert s == pytest.approx(best, rel=1e-3, abs=1e-7 if k <= 1 else 1e-5)
    if k <= 1:
        assert s == 0.0
        assert weights.weights()[1].item() == 1.0
    else:
        root = optimize.brentq(lambda v: (1 + v) * (1 + math.log1p(v)) ** 2 - k, 0, 1e4)
        assert s == pytest.approx(root, rel=1e-6)


def test_descent_finds_the_optimum_and_keeps_weights_of_one_exactly():
    distortion, rate = costs(30.0, 0.2, 0.9, 1.5, 6.0)
    weights = rp.DimensionwiseLearnedWeights(4, 0).double()
    descend(weights, distortion, rate, 400)
    optimum = rp.DimensionwiseLearnedWeights(4, 0).double()
    at_optimum(optimum, 30.0, 0.2, 0.9, 1.5, 6.0)
    assert weights.weights()[1:3].tolist() == [1.0, 1.0]
    torch.testing.assert_close(weights.raw, optimum.raw, rtol=1e-4, atol=1e-6)
    # Unlike σ, t leaves 0 when a dimension comes to carry more than a nat.
    descend(weights, distortion, costs(30.0, 4.0, 0.9, 1.5, 6.0)[1], 400)
    moved = rp.DimensionwiseLearnedWeights(4, 0).double()
    at_optimum(moved, 30.0, 4.0, 0.9, 1.5, 6.0)
    torch.testing.assert_close(weights.raw, moved.raw, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("r", "k"), [(100.0, 0.0), (100.0, 1.5), (100.0, 4.0), (90.0, 25.0)])
def test_the_objective_under_a_floor_is_what_the_docstring_says(r, k):
    """By minimization over σ₀² and σ₁² ≥ f: K/f + f up to K = f², 2√K beyond; and its β."""
    f = 2.0
    found = optimize.minimize(
        lambda s: l_objective(r, k, *s), [5.0, 5.0], bounds=[(1e-3, None), (f, None)], tol=1e-14
    )
    rate_cost = k / f + f if k <= f * f else 2 * math.sqrt(k)
    assert found.fun == pytest.approx(2 * math.sqrt(r) + rate_cost, rel=1e-8)
    weights = rp.LearnedWeights(0, floor=f).double()
    at_optimum(weights, r, k)
    assert weights(*costs(r, k)).item() == pytest.approx(found.fun, rel=1e-8)
    assert weights.beta().item() == pytest.approx(math.sqrt(r) / max(math.sqrt(k), f), rel=1e-12)


# --------------------------------------------------------------------------- in training


def test_the_weights_are_one_until_they_jump_to_the_optimum_of_what_was_reached():
    """And without gradient till then, so that no momentum is left from that time."""
    for weights in (rp.LearnedWeights(3), rp.DimensionwiseLearnedWeights(2, 3)):
        weights.double()
        for step, r in enumerate((90.0, 60.0, 30.0)):
            distortion, rate = costs(r, 4.0, 5.0)
            objective = weights(distortion, rate)
            by_beta_one = r + 9.0 + (2 if isinstance(weights, rp.LearnedWeights) else 0)
            assert objective.item() == pytest.approx(by_beta_one, rel=1e-12)
            (gradient,) = torch.autograd.grad(objective, weights.raw)
            assert not gradient.any()
            assert weights.beta().item() == 1.0
            statistics = weights.statistics(distortion, rate)
            weights.after_step(statistics, "model")
            assert weights.count.item() == step
            weights.after_step(statistics, "weights")
        wanted = 60.0, *((9.0,) if isinstance(weights, rp.LearnedWeights) else (4.0, 5.0))
        found = weights.raw.detach().clone()
        torch.testing.assert_close(found, at_optimum(weights, *wanted).detach())
        assert weights(distortion, rate).requires_grad
        (gradient,) = torch.autograd.grad(weights(distortion, rate), weights.raw)
        assert gradient.any()


def test_a_step_without_finite_costs_is_left_out():
    weights = rp.LearnedWeights(10).double()
    for r in (50.0, math.inf, 70.0):
        weights.after_step(weights.statistics(*costs(r, 4.0)), "weights")
    # The mean of the first and the last, as of three steps of which one repeated the mean.
    assert weights.reached.tolist() == pytest.approx([50 + 20 / 3, 4.0])


@pytest.mark.parametrize("name", ["l-vae", "dl-vae"])
def test_a_trained_model_ends_at_the_optimum_of_its_weights(name):
    """The weights follow R and K: at the end they are what the formulas give for those reached."""
    data = rp.load_data("digits", binarize=0.5)
    torch.manual_seed(0)
    model = rp.build(name, data.space, latent_dim=4, hidden=(32,), steps=60)
    row = fit(model, data, epochs=35, progress=False).rows[-1]
    r, k, beta = (row[f"train/{term}"] for term in ("distortion", "rate", "beta"))
    assert math.isfinite(row["train/weights/objective"])
    if name == "l-vae":  # σ₁² at its floor of 2 where the rate is below four nats
        assert beta == pytest.approx(math.sqrt(r) / max(math.sqrt(k), 2.0), rel=0.05)
    else:
        at_least = rp.DimensionwiseLearnedWeights(4, 0).double()
        at_optimum(at_least, r, *[k / 4] * 4)
        assert beta == pytest.approx(at_least.beta().item(), rel=0.1)


def test_the_model_is_not_trained_by_the_player_of_the_weights(descent_of):
    data = rp.load_data("digits", binarize=0.5)
    model = rp.build("l-vae", data.space, latent_dim=2, hidden=(8,), steps=0)
    players = descent_of(model)
    assert set(players) == {"model", "weights"}
    ids = [{id(p) for p in parameters} for parameters in players.values()]
    assert not ids[0] & ids[1]
    assert ids[0] | ids[1] == {id(p) for p in model.parameters()}
    model.loss(data.train.x[:8], player="weights").objective.backward()
    assert all(p.grad is None for p in players["model"])
    assert model.objective.weighting.raw.grad.abs().min() > 0
