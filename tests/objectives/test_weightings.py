"""Schedules, capacity and free bits from their definitions; what no part can mean is refused."""

from __future__ import annotations

import math

import pytest
import torch

import reparam as rp
from reparam.model import Space
from reparam.train import fit

F64 = torch.float64
DISTORTION = torch.tensor([90.0, 110.0, 70.0], dtype=F64)
RATE = torch.tensor([[3.0, 0.0, 0.2], [5.0, 0.1, 0.0], [1.0, 0.2, 0.1]], dtype=F64)


def betas(schedule: rp.Schedule, steps: int) -> list[float]:
    values = []
    for _ in range(steps):
        values.append(schedule.beta().item())
        schedule.after_step({}, "another player")
        schedule.after_step({}, "model")
    return values


def test_a_linear_schedule_rises_evenly_and_stays():
    found = betas(rp.Schedule("linear", 10, 0.5, 2.5).double(), 14)
    assert found == pytest.approx([0.5 + 0.2 * min(t, 10) for t in range(14)], rel=1e-12)


def test_a_cosine_schedule_is_slow_at_both_ends():
    found = betas(rp.Schedule("cosine", 8).double(), 10)
    wanted = [math.sin(math.pi * min(t, 8) / 16) ** 2 for t in range(10)]
    assert found == pytest.approx(wanted, abs=1e-12)


def test_a_cyclic_schedule_rises_for_half_of_every_cycle_and_ends_high():
    found = betas(rp.Schedule("cyclic", 24, cycles=3).double(), 30)
    cycle = [0, 0.25, 0.5, 0.75, 1, 1, 1, 1]
    assert found == pytest.approx(cycle * 3 + [1] * 6, abs=1e-12)


def test_scheduled_objective_is_distortion_and_beta_times_rate():
    schedule = rp.Schedule("linear", 4, 0.0, 2.0).double()
    for step in range(6):
        wanted = DISTORTION.mean() + min(0.5 * step, 2.0) * RATE.sum() / 3
        torch.testing.assert_close(schedule(DISTORTION, RATE), wanted)
        schedule.after_step({}, "model")


def test_capacity_pulls_the_mean_rate_from_both_sides():
    """Its gradient of every rate is γ/B times the sign of the excess; C rises to its end."""
    capacity = rp.Capacity(8.0, gamma=5.0, steps=2).double()
    for wanted_capacity in (0.0, 4.0, 8.0, 8.0):
        rate = RATE.clone().requires_grad_()
        objective = capacity(DISTORTION, rate)
        excess = RATE.sum().item() / 3 - wanted_capacity
        assert objective.item() == pytest.approx(90.0 + 5 * abs(excess), rel=1e-12)
        (gradient,) = torch.autograd.grad(objective, rate)
        torch.testing.assert_close(
            gradient, torch.full_like(RATE, 5 / 3 * math.copysign(1, excess))
        )
        capacity.after_step({}, "model")


def test_free_bits_are_free_on_average_and_without_gradient():
    rate = RATE.clone().requires_grad_()
    objective = rp.FreeBits(0.15)(DISTORTION, rate)
    # Means 3, 0.1, 0.1: the second and third cost λ, though single examples have more.
    assert objective.item() == pytest.approx(90 + 3 + 2 * 0.15, rel=1e-12)
    (gradient,) = torch.autograd.grad(objective, rate)
    torch.testing.assert_close(gradient, torch.tensor([[1 / 3, 0.0, 0.0]] * 3, dtype=F64))
    assert rp.FreeBits(0.0)(DISTORTION, RATE).item() == pytest.approx(90 + RATE.sum().item() / 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rp.Beta(-1.0), "beta: .*-1"),
        (lambda: rp.Beta(math.nan), "beta: .*nan"),
        (lambda: rp.Schedule("square"), "curve: .*linear, cosine, cyclic.*square"),
        (lambda: rp.Schedule(steps=0), "steps: .*0"),
        (lambda: rp.Schedule(end=-2.0), "end: .*-2"),
        (lambda: rp.Schedule("cyclic", cycles=0), "cycles: .*0"),
        (lambda: rp.Capacity(gamma=-1.0), "gamma: .*-1"),
        (lambda: rp.FreeBits(-0.1), "nats: .*-0.1"),
        (lambda: rp.LearnedWeights(lr=0.0), "lr: .*0"),
        (lambda: rp.LearnedWeights(floor=0.0), "floor: .*0"),
        (lambda: rp.DimensionwiseLearnedWeights(0), "factors: .*0"),
        (lambda: rp.PIController(target=-1.0), "target: .*-1"),
        (lambda: rp.PIController(low=2.0, high=2.0), "high: .*low = 2.0.*2"),
        (lambda: rp.IncrementalPIController(i_gain=-1.0), "i_gain: .*-1"),
        (lambda: rp.IWAE(5, rp.FreeBits()), "weighting: .*draw by draw.*FreeBits"),
        (lambda: rp.DReG(5, rp.Capacity()), "weighting: .*draw by draw.*Capacity"),
        (lambda: rp.IWAE(5, rp.LearnedWeights()), "weighting: .*draw by draw.*LearnedWeights"),
    ],
)
def test_settings_that_mean_nothing_are_refused(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make()


@pytest.mark.parametrize("weighting", [rp.LearnedWeights(), rp.DimensionwiseLearnedWeights(2)])
def test_learned_weights_refuse_densities_of_real_data(weighting):
    space = Space((4,), "real")
    parts = rp.DiagonalNormal(2), rp.StandardNormal(2), rp.Normal(space)
    networks = torch.nn.Linear(4, 4), torch.nn.Linear(2, 4)
    with pytest.raises(ValueError, match="weighting: .* at least 0, got real data"):
        rp.VAE(space, *networks, *parts, rp.ELBO(weighting))


def test_factors_of_the_weights_are_those_of_the_posterior():
    space = Space((4,), "binary")
    parts = rp.DiagonalNormal(2), rp.StandardNormal(2), rp.Bernoulli(space)
    networks = torch.nn.Linear(4, 4), torch.nn.Linear(2, 4)
    with pytest.raises(ValueError, match="factors: expected 2, .* got 3"):
        rp.VAE(space, *networks, *parts, rp.ELBO(rp.DimensionwiseLearnedWeights(3)))


# ------------------------------------------------------------------------- while training


def digits() -> rp.Data:
    return rp.load_data("digits", binarize=0.5)


def small(name: str, **parameters: object) -> rp.Model:
    torch.manual_seed(0)
    return rp.build(name, digits().space, latent_dim=4, hidden=(32,), **parameters)


def test_weights_are_judged_when_the_annealing_has_ended():
    """With β near 0 the distortion is best and the bound poor; the reverse would be kept early."""
    data = digits()
    steps_per_row = 66  # at least 50 steps and whole epochs of 11
    model = small("annealed-vae", steps=150, end=1.0)
    history = fit(model, data, epochs=24, progress=False, seed=1)
    row = next(r for r in history.rows if r["epoch"] == history.best_epoch)
    assert row["step"] >= 150
    judged = [r["valid/bound"] for r in history.rows if r["step"] >= 150]
    assert row["valid/bound"] == max(judged)
    assert [r["step"] for r in history.rows][0] <= steps_per_row
    assert model.objective.weighting.beta().item() == 1.0


def test_a_run_that_ends_while_annealing_keeps_its_last_weights_and_says_so():
    data, model = digits(), small("annealed-vae", steps=100_000, end=5.0)
    with pytest.warns(
        RuntimeWarning, match="settled: step .* of 100000; the last weights are kept"
    ):
        history = fit(model, data, epochs=20, progress=False)
    assert history.best_epoch == 20.0
    assert model.objective.weighting.count.item() == history.rows[-1]["step"]


def test_patience_is_not_counted_while_annealing():
    model = small("annealed-vae", steps=400, start=0.0)
    history = fit(model, digits(), epochs=60, patience=1, lr=1e-30, progress=False)
    assert history.ended == "no further improvement"
    assert 400 <= history.rows[-1]["step"] < 550  # a best one, and the first that is no better


def test_beta_is_a_curve_and_a_score():
    data, model = digits(), small("annealed-vae", steps=100, end=3.0)
    history = fit(model, data, epochs=20, progress=False)
    assert history.rows[-1]["valid/beta"] == pytest.approx(3.0)
    assert history.curve("train/beta") == sorted(history.curve("train/beta"))
    assert 0 < history.rows[0]["train/beta"] < 3
    score = rp.evaluate(model, data, samples=2)["beta"]
    assert score.value == pytest.approx(3.0)
    assert "beta" not in rp.evaluate(small("beta-vae"), data, samples=2)


@pytest.mark.parametrize("name", ["vae", "hierarchical-vae"])
def test_presets_whose_rate_gains_weight_by_steps(name):
    """Over 4 steps from the distortion alone to the bound; without steps it is the bound."""
    space, x = Space((6,), "binary"), torch.ones(5, 6)
    model = rp.build(name, space, hidden=(8,), steps=4)
    assert model.unsettled == "step 0 of 4"
    for step in range(6):
        loss = model.loss(x)
        rate = loss.terms["rate"].sum(1)
        wanted = loss.terms["distortion"] + min(step / 4, 1) * rate
        torch.testing.assert_close(loss.objective, wanted.mean())
        torch.testing.assert_close(loss.terms["bound"], -loss.terms["distortion"] - rate)
        model.after_step(loss)
        assert model.unsettled == (f"step {step + 1} of 4" if step < 3 else "")
    model = rp.build(name, space, hidden=(8,))
    loss = model.loss(x)
    assert model.unsettled == ""
    torch.testing.assert_close(loss.objective, -loss.terms["bound"].mean())
