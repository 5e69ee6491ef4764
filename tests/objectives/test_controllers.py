"""ControlVAE and DynamicVAE on plants whose rate is a known function of β."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import reparam as rp
from reparam.train import fit

TARGET = 16.0


def run(
    controller: rp.PIController | rp.IncrementalPIController,
    plant: Callable[[Tensor], Any],
    steps: int,
) -> tuple[Tensor, Tensor]:
    """Errors C − rate and β, (steps, plants), over steps in which the rates answer β at once."""
    errors, betas = [], []
    rows = torch.tensor(32.0, dtype=torch.float64)
    for _ in range(steps):
        rate = torch.as_tensor(plant(controller.beta()), dtype=torch.float64)
        errors.append(TARGET - rate)
        controller.after_step({"rate": rate * rows, "rows": rows}, "model")
        betas.append(controller.beta().clone())
    return torch.stack(errors), torch.stack(betas)


def decreasing(beta: Any) -> Any:
    """f(1) = 40 > C = 16 > f(100) ≈ 0.4, as rates of VAEs are."""
    return 40 / beta


def controlled(*firsts: float, **settings: float) -> rp.PIController:
    """A controller from its own start, or several at once, one from each first β."""
    controller = rp.PIController(TARGET, steps=1, **settings).double()
    if firsts:
        controller.weight = torch.tensor(firsts, dtype=torch.float64)
        controller.integral = controller.weight - controller.low
        controller.error = torch.zeros_like(controller.weight)
    return controller


def test_control_brings_the_rate_to_its_set_point_from_both_sides():
    start = controlled(1.0, 2.0, 30.0, 100.0, i_gain=0.01)  # there sooner than by default
    errors, betas = run(start, decreasing, 1500)
    assert errors.shape == (1500, 4) and errors[-400:].abs().max() < 1e-6
    assert betas[-1].tolist() == pytest.approx([40 / TARGET] * 4, rel=1e-6)


def test_control_is_stable_up_to_its_stated_slope():
    """K_i|f′| + ½K_p|f′| < 2 with K_p = .01 and K_i = .001: |f′| < 333⅓."""
    center, slopes = 50.0, torch.tensor([330.0, 340.0], dtype=torch.float64)
    start = controlled(center + 1e-4, center + 1e-4)
    errors, _ = run(start, lambda beta: TARGET - slopes * (beta - center), 4000)
    below, above = errors[-500:].abs().amax(0)
    assert below < 1e-6 and above > 1e-2


def test_only_the_steps_of_the_model_move_beta():
    for controller in (controlled(2.0), rp.IncrementalPIController(TARGET).double()):
        before = {name: value.clone() for name, value in controller.state_dict().items()}
        given = {"rate": torch.tensor(9.0), "rows": torch.tensor(1.0)}
        controller.after_step(given, "another player")
        assert all(torch.equal(v, before[name]) for name, v in controller.state_dict().items())
        controller.after_step(given, "model")
        assert not torch.equal(controller.weight, before["weight"])


def test_the_integral_does_not_wind_up_and_does_not_freeze_at_a_limit():
    """A target out of reach for long leaves nothing to unwind, and β leaves its limit at once."""
    controller = controlled(low=1.0, high=3.0)
    run(controller, lambda beta: 100.0, 2000)  # far too much rate whatever β
    assert controller.beta().item() == 3.0
    assert controller.integral.item() < 2.0 + 0.001 * 84 + 1e-9  # within a step of the limit
    _, betas = run(controller, lambda beta: 5.0, 400)  # 11 nats too few: 0.011 a step downwards
    assert betas[9] < 3.0
    assert betas[-1] == 1.0
    assert controller.integral.item() >= -0.02
    _, betas = run(controller, lambda beta: 40.0, 10)
    assert betas[-1] > 1.1


def test_the_first_steps_from_the_equation():
    controller = rp.PIController(
        TARGET, steps=4, p_gain=0.5, i_gain=0.1, low=1.0, high=9.0
    ).double()
    integral = 0.0
    for step, rate in enumerate((20.0, 7.0, 11.0, 30.0, 16.5), 1):
        controller.after_step({"rate": torch.tensor(rate), "rows": torch.tensor(1.0)}, "model")
        error = TARGET * min(step / 4, 1) - rate
        integral += -0.1 * error
        raw = 1 + 0.5 / (1 + math.exp(error)) + integral
        assert controller.beta().item() == pytest.approx(min(max(raw, 1), 9), rel=1e-6)


def test_a_step_without_a_finite_rate_changes_nothing():
    for controller in (controlled(), rp.IncrementalPIController(TARGET).double()):
        run(controller, decreasing, 20)
        before = {name: value.clone() for name, value in controller.state_dict().items()}
        bad = {"rate": torch.tensor(math.nan), "rows": torch.tensor(8.0)}
        controller.after_step(bad, "model")
        after = controller.state_dict()
        counted = {"count"} if isinstance(controller, rp.PIController) else set()
        assert all(torch.equal(after[name], before[name]) for name in before.keys() - counted)


# ------------------------------------------------------------------------------ DynamicVAE


@pytest.mark.parametrize("first", [0.1, 2.0, 50.0])
def test_dynamic_control_reaches_its_set_point(first):
    controller = rp.IncrementalPIController(TARGET).double()
    controller.weight.fill_(first)
    errors, betas = run(controller, decreasing, 1500)
    assert errors[-300:].abs().max() < 1e-6
    assert betas[-1].item() == pytest.approx(40 / TARGET, rel=1e-6)


def largest_root(slope: float, p_gain: float = 0.01, i_gain: float = 0.005) -> float:
    """Of the linearized loop: e = slope · δ, δ the error of β one step before, e averaged over 5.

    δ_k = δ_{k−1} − (K_p/4) (ē_k − ē_{k−1}) − K_i ē_k with ē_k = slope · mean(δ_{k−1} … δ_{k−5}),
    as 1/(1+eᵉ) has slope −1/4 at 0. Its polynomial in z has degree 6.
    """
    mean = np.array([0, 1, 1, 1, 1, 1, 0]) / 5  # coefficients of z⁰, z⁻¹ … z⁻⁶
    later = np.roll(mean, 1)
    loop = np.array([1.0, -1, 0, 0, 0, 0, 0])
    loop += slope * (p_gain / 4 * (mean - later) + i_gain * mean)
    return float(abs(np.roots(loop)).max())


def test_dynamic_control_is_stable_up_to_the_slope_of_its_loop():
    """The stability limit of the smoothed loop, found from its polynomial, is where it oscillates.

    By K_p = .01 and K_i = .005 it is near |f′| = 108, a quarter of the unsmoothed loop's 400.
    """
    low, high = 1.0, 1000.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if largest_root(middle) < 1 else (low, middle)
    for slope, converges in ((0.97 * low, True), (1.03 * low, False)):
        controller = rp.IncrementalPIController(TARGET).double()
        controller.weight.fill_(20.0 + 1e-5)
        controller.recent.fill_(TARGET)
        controller.count.fill_(5)
        plant = lambda beta, slope=slope: TARGET - slope * (beta - 20.0)  # noqa: E731
        errors, _ = run(controller, plant, 6000)
        late = errors[-500:].abs().max()
        assert late < 1e-6 if converges else late > 1e-3, (slope, late)


def test_dynamic_control_starts_above_and_averages_the_first_rates_that_there_are():
    controller = rp.IncrementalPIController(TARGET).double()
    assert controller.beta().item() == 50.0
    beta, before, rates = 50.0, None, []
    for rate in (1.0, 3.0, 2.0, 8.0, 30.0, 40.0, 10.0):
        controller.after_step({"rate": torch.tensor(rate), "rows": torch.tensor(1.0)}, "model")
        rates.append(rate)
        recent = rates[-5:]
        error = TARGET - sum(recent) / len(recent)
        before = error if before is None else before
        beta += 0.01 * (1 / (1 + math.exp(error)) - 1 / (1 + math.exp(before))) - 0.005 * error
        beta = min(max(beta, 0.1), 50.0)
        assert controller.beta().item() == pytest.approx(beta, rel=1e-6)
        before = error


# ------------------------------------------------------------------------------ in training


@pytest.mark.parametrize("name", ["control-vae", "dynamic-vae"])
def test_training_ends_at_the_rate_that_was_asked_for(name):
    data = rp.load_data("digits", binarize=0.5)
    torch.manual_seed(0)
    gains = {"i_gain": 0.01, "high": 6.0, "low": 0.0, "target": 2.0}
    gains |= {"steps": 50} if name == "control-vae" else {}
    model = rp.build(name, data.space, latent_dim=4, hidden=(32,), **gains)
    rows = fit(model, data, epochs=50, progress=False).rows
    assert rows[-1]["train/rate"] == pytest.approx(2.0, abs=0.2)
    assert rows[-1]["train/beta"] != pytest.approx(1.0, abs=0.05), "a VAE would not do"
    assert rp.evaluate(model, data, samples=2)["beta"].value == model.objective.weighting.beta()


def test_limits_that_are_whole_numbers_control_as_finely():
    """β of limits 1 and 100 is what it is of 1.0 and 100.0."""
    found = []
    for low, high in ((1, 100), (1.0, 100.0)):
        control = rp.PIController(target=5.0, low=low, high=high)
        rate = torch.full((4, 1), 9.0)
        for _ in range(50):
            control.after_step(control.statistics(torch.zeros(4), rate), "model")
        found.append(control.weight.item())
    assert found[0] == found[1] and found[0] != round(found[0])


# ----------------------------------------------------------------------------- when it settles


def test_dynamic_control_has_settled_when_the_rate_is_what_was_asked_for():
    """From β = 50 down at 0.08 a step: unsettled all the way, however many steps that takes."""
    controller = rp.IncrementalPIController(TARGET).double()
    assert (
        controller.unsettled == "the rate is 0 nats where 16 were asked for, beta 50, its largest"
    )
    waits = []
    for _ in range(40):
        run(controller, decreasing, 50)
        rate = decreasing(controller.beta().item())
        waits.append((abs(rate - TARGET) > 0.1 * TARGET, bool(controller.unsettled)))
    # Its rate is that of five steps: it may lag behind by one look.
    assert sum(off != said for off, said in waits) <= 1
    assert waits[0][1] and not waits[-1][1]


def test_control_has_settled_after_its_ramp_and_near_its_target():
    controller = rp.PIController(TARGET, steps=500).double()
    run(controller, lambda beta: TARGET, 499)
    assert controller.unsettled == "step 499 of 500"
    run(controller, lambda beta: TARGET, 1)
    assert controller.unsettled == ""
    run(controller, lambda beta: 5.0, 500)  # too little rate at the least β there is
    assert controller.unsettled == "the rate is 5 nats where 16 were asked for, beta 1, its least"


def test_a_run_says_that_its_controller_has_not_settled():
    data = rp.load_data("digits", binarize=0.5)
    model = rp.build("dynamic-vae", data.space, latent_dim=2, hidden=(8,), target=3.0)
    with pytest.warns(RuntimeWarning, match="before the objective settled: the rate is .*beta 4"):
        history = fit(model, data, epochs=10, progress=False)
    assert history.best_epoch == 10.0
