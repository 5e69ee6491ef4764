"""The bound of a diffusion against what is known of normal data."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from exact_denoisers import F64, Normal, diffusion, one, with_best_variances
from noise import noise_from
from torch import Tensor

from reparam.bijections.units import Units
from reparam.diffusion.bound import Bound, shares_of_times
from reparam.diffusion.schedules import DiscreteSchedule, Level, cosine, linear
from reparam.diffusion.steps import step_back
from reparam.distributions.densities import NormalDensity
from reparam.distributions.hierarchies import LayeredPrior, TopDownPosterior
from reparam.model import Space
from reparam.models.diffusion import Diffusion
from reparam.nets.hierarchy import Path

TIMES = torch.arange(2, 1001, dtype=F64) / 1000


@contextmanager
def signs(law: Normal) -> Iterator[Tensor]:
    """Rows ±√S, each with noise ±1: over them quadratics have their expectation."""
    sign = torch.tensor([1.0, -1.0], dtype=F64)
    x, noise = sign.repeat_interleave(2)[:, None], sign.repeat(2)

    def of(like: Tensor) -> Tensor:
        return noise.repeat_interleave(len(like) // 4).view(-1, *[1] * (like.ndim - 1))

    with noise_from(of):
        yield law.covariance.sqrt() * x


def gap(schedule: DiscreteSchedule, variance: float, kind: str) -> float:
    """−E bound − H, without a draw: every term is quadratic in x and the noise."""
    law = one(variance)
    model = with_best_variances(diffusion(law, schedule, variance=kind), law)
    with signs(law) as x:
        bound = model.log_prob(x, samples=schedule.times)
    assert bound.kind == "lower bound"
    return -bound.value.mean().item() - law.entropy


def kl(mean: float, variance: float, other_mean: float, other: float) -> float:
    """Of two normals, written out."""
    ratio = variance / other
    return 0.5 * (ratio - 1 - math.log(ratio) + (mean - other_mean) ** 2 / other)


@pytest.mark.parametrize("times", [2, 10, 100, 1000])
@pytest.mark.parametrize("variance", [0.3, 1.0, 4.0])
def test_with_optimal_variances_the_gap_is_that_of_the_prior(times: int, variance: float):
    """KL(N(0, v_T) ‖ N(0, 1)), v_T = ᾱ_T S + 1 − ᾱ_T, at every T: all steps back are exact."""
    schedule = cosine(times)
    last = one(variance).of_state(schedule(torch.tensor(1.0)))
    assert gap(schedule, variance, "optimal") == pytest.approx(kl(0, last.item(), 0, 1), abs=1e-9)


def test_of_few_times_the_gap_of_the_prior_is_seen():
    """Of wide data: else the fact above would be one of zeros."""
    schedule = linear(30)
    last = one(4e4).of_state(schedule(torch.tensor(1.0))).item()
    expected = kl(0, last, 0, 1)
    assert expected > 1e-4
    assert gap(schedule, 4e4, "optimal") == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    "times, beta, posterior",
    [(200, 0.004327, 0.922), (1000, 0.000853, 0.470), (5000, 0.000170, 0.339)],
)
def test_gaps_of_fixed_variances(times: int, beta: float, posterior: float):
    """Of S = 4, linear: with β it vanishes as T grows, with β̃ it goes to γ/2 a dimension."""
    assert gap(linear(times), 4.0, "beta") == pytest.approx(beta, abs=1e-6)
    assert gap(linear(times), 1.0, "beta") == pytest.approx(0, abs=1e-9)
    assert gap(linear(times), 4.0, "posterior") == pytest.approx(posterior, abs=1e-3)


def test_the_loss_of_posterior_variances_nears_half_of_eulers_constant():
    """Of the same β at all times, T · β = 10; measured: 0.0085 and 0.0030 more than γ/2."""
    errors = [
        gap(DiscreteSchedule(torch.full((times,), 10 / times, dtype=F64)), 4.0, "posterior")
        - 0.5772156649 / 2
        for times in (500, 2000)
    ]
    assert 0 < errors[1] < 0.5 * errors[0] and errors[1] < 0.005


@pytest.mark.parametrize("kind", ["beta", "posterior", "optimal"])
def test_a_term_is_the_divergence_of_two_normals(kind: str):
    """One x, one noise, one t: q(x_{t−1}|x_t, x) and p(x_{t−1}|x_t) written out as Ho et al. do."""
    schedule, law, t = linear(30), one(4.0), 12
    model = with_best_variances(diffusion(law, schedule, variance=kind), law)
    betas = torch.linspace(0.1 / 30, 20 / 30, 30, dtype=F64)
    kept = (1 - betas).cumprod(0)
    beta, now, before = betas[t - 1].item(), kept[t - 1].item(), kept[t - 2].item()
    x, noise = 1.7, -0.8
    state = math.sqrt(now) * x + math.sqrt(1 - now) * noise
    guess = math.sqrt(now) * 4 / (4 * now + 1 - now) * state

    def mean(x: float) -> float:
        pull = math.sqrt(before) * beta / (1 - now) * x
        return pull + math.sqrt(1 - beta) * (1 - before) / (1 - now) * state

    tilde = beta * (1 - before) / (1 - now)
    error = 4 * (1 - now) / (4 * now + 1 - now)
    wider = tilde + (math.sqrt(before) * beta / (1 - now)) ** 2 * error
    variance = {"beta": beta, "posterior": tilde, "optimal": wider}[kind]
    expected = kl(mean(x), tilde, mean(guess), variance)
    times, y = torch.tensor([t / 30], dtype=F64), torch.tensor([[x]], dtype=F64)
    found = model.process(None).estimate(torch.tensor([[state]], dtype=F64), times)
    assert found.x.item() == pytest.approx(guess, abs=1e-12)
    term = model.bound.of_step(y, found.x, times, kind).item()
    assert term == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("levels", [2, 17, 256])
@pytest.mark.parametrize("log_scale", [-6.0, -2.0, 1.0])
def test_a_discretized_last_step_sums_to_one(levels: int, log_scale: float):
    space = Space((1,), "levels", levels) if levels > 2 else Space((1,), "binary")
    bound = Bound(cosine(10), Units(space, dequantized=False)).double()
    bound.log_scale.fill_(log_scale)
    x = torch.arange(levels, dtype=F64)[:, None]
    y = 2 * x / (levels - 1) - 1
    for mean in (-1.3, -1.0, -0.21, 0.4, 1.0):
        log_mass = -bound.of_last(x, y, torch.full_like(x, mean))
        assert log_mass.exp().sum().item() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("samples", [1, 2, 3, 4, 5])
def test_few_times_are_unbiased_for_all(samples: int):
    """Between two neighbors of the offset's breaks the times chosen are the same: enumerate.

    Break points are where u + j crosses k times a cumulative share, j = 0 … k − 1.
    """
    times, law = 6, one(4.0)
    model = with_best_variances(diffusion(law, cosine(times)), law)
    x = torch.tensor([[1.3]], dtype=F64)
    shares = shares_of_times(times)[1:]  # the first step is always measured
    edges = (samples * (shares / shares.sum()).cumsum(0))[:-1]

    def at(offset: float, samples: int) -> float:
        def of(like: Tensor) -> Tensor:  # the one draw of shape (B,) is the offset
            return torch.full_like(like, offset if like.ndim == 1 else 0.7)

        with noise_from(of):
            return model.log_prob(x, samples=samples).value.item()

    breaks = sorted({0.0, 1.0, *(edges % 1).tolist()})
    values, chances = [], []
    for low, high in zip(breaks, breaks[1:], strict=False):
        values.append(at(0.5 * (low + high), samples))
        chances.append(high - low)
    mean = sum(v * p for v, p in zip(values, chances, strict=True))
    assert max(values) - min(values) > 0.01  # else nothing is enumerated
    assert mean == pytest.approx(at(0.3, times), abs=1e-10)
    assert at(0.3, times) == at(0.8, times + 5)


def test_few_times_say_much():
    """By chances that fall as the terms do a few times say what many do by even ones."""
    law = one(4.0)
    model = with_best_variances(diffusion(law, cosine(1000), variance="beta"), law)
    offset = torch.arange(500, dtype=F64) / 500
    terms = model.bound.of_step(
        torch.ones(999, 1, dtype=F64) * 0.1, torch.zeros(999, 1), TIMES, "beta"
    )
    index, weights = model.bound.chosen_times(20, offset)
    sums = (weights * terms[index - 2]).sum(1)
    torch.testing.assert_close(sums.mean(), terms.sum(), rtol=1e-2, atol=0)
    even = (999 / 20 * terms[(offset[:, None] + torch.arange(20)).mul(999 / 20).long()]).sum(1)
    assert sums.std() < 0.1 * even.std()


def test_training_on_the_bound_descends_minus_it():
    """Averaged over all times, with variances β and the scale of the noise at t = 1."""
    times, law = 6, one(4.0)
    model = diffusion(law, cosine(times), objective="vlb", variance="beta").train()
    x = torch.tensor([[1.3]], dtype=F64).expand(times, 1)  # so many rows: each has its own time
    with noise_from(lambda like: torch.full_like(like, 0.7)):
        loss = model.loss(x)
        bound = model.eval().log_prob(x[:1], samples=times).value.item()
    assert loss.objective.item() == pytest.approx(-bound, abs=1e-10)
    assert loss.terms["bound"].shape == (times,)


class ReversePath(Path):
    """x_T … x_1 as layers, coarsest first: p(x_T) = N(0, I), then a step back at a time."""

    def __init__(self, model: Diffusion, dimension: int) -> None:
        super().__init__()
        self.process, self.times = model.process(None), model.schedule.times
        self.sizes = (dimension,) * self.times

    def time(self, index: int) -> Tensor:
        return torch.tensor([(self.times - index) / self.times], dtype=F64)

    def first_state(self, given: Tensor) -> Tensor:
        return given.new_zeros(len(given), self.sizes[0])

    def layer(self, index: int, state: Tensor) -> tuple[Tensor, Tensor]:
        if index == 0:
            return state, state  # zeros: N(0, I)
        t = self.time(index - 1)
        step = step_back(self.process.schedule, t, self.time(index))
        x = self.process.estimate(state, t.expand(len(state))).x
        variance = step.variance(self.process.variance, self.process.error(t))
        mean = step.keep * state + step.pull * x
        return mean, (0.5 * variance.log()).expand_as(mean)

    def next_state(self, index: int, state: Tensor, z: Tensor) -> Tensor:
        return z


class PosteriorWalk(TopDownPosterior):
    """q(x_T|x), q(x_{t−1}|x_t, x): nothing is learned; the encoder's output is x itself."""

    def by_layer(self, outputs: Tensor) -> list[Tensor]:
        return [outputs] * len(self.paths[0].sizes)

    def evidence_of(self, index: int, of_layer: Tensor, state: Tensor) -> NormalDensity:
        (path,) = self.paths
        if index == 0:
            level = path.process.schedule(path.time(0))
            return NormalDensity(level.signal * of_layer, level.noise.log().expand_as(of_layer))
        step = step_back(path.process.schedule, path.time(index - 1), path.time(index))
        mean = step.keep * state + step.pull * of_layer
        return NormalDensity(mean, (0.5 * step.posterior.log()).expand_as(mean))

    def combine(self, evidence: NormalDensity, prior: NormalDensity) -> NormalDensity:
        return evidence


def test_a_diffusion_is_a_hierarchical_vae():
    """Layers x_T … x_1 with a fixed posterior give the rates and the bound of the diffusion."""
    covariance = torch.tensor([[2.0, 0.6, 0.0], [0.6, 0.5, -0.2], [0.0, -0.2, 4.0]], dtype=F64)
    times, rows, law = 20, 40_000, Normal(covariance)
    model = with_best_variances(diffusion(law, cosine(times)), law)
    path, x = ReversePath(model, 3), law.draw(rows)
    q = PosteriorWalk(path, 3)(x)
    prior = LayeredPrior(path)()
    z, rates = q.rsample_with_rate(prior, torch.Generator().manual_seed(0))
    assert rates.shape == (rows, times) and z.shape == (rows, 3 * times)
    first = torch.full((rows,), 1 / times, dtype=F64)
    last = model.bound.of_last(x, x, model.process(None).estimate(z[:, -3:], first).x)

    # E KL_t: the error of each step is trace Cov(x|x_t), of which the variance has the mean.
    expected = [0.5 * (_trace_and_rest(law, model.schedule(torch.ones((), dtype=F64)))).item()]
    for t in range(times, 1, -1):
        here = torch.tensor(t / times, dtype=F64)
        error = law.error(model.schedule(here))
        root = error.sqrt().expand(1, 3)
        term = model.bound.of_step(root, torch.zeros_like(root), here[None], "optimal")
        expected.append(term.item())
    for index, value in enumerate(expected):
        column = rates[:, index]
        assert abs(column.mean().item() - value) < 4 * (column.std() / rows**0.5).item() + 1e-12
    total = rates.sum(1) + last
    scale = 0.5 * model.bound.log_scale
    closed = sum(expected) + 1.5 * (1 + math.log(2 * math.pi)) + 3 * 2 * scale.item()
    assert abs(total.mean().item() - closed) < 4 * (total.std() / rows**0.5).item()
    # The model's own bound, of its own noise.
    own = -model.log_prob(x, samples=times, generator=torch.Generator().manual_seed(1)).value
    assert abs(own.mean().item() - closed) < 4 * (own.std() / rows**0.5).item()
    assert closed > law.entropy


def _trace_and_rest(law: Normal, level: Level) -> Tensor:
    """2 E KL(q(x_T|x) ‖ N(0, I))."""
    noise = level.noise.square()
    return level.signal**2 * law.covariance.trace() + 3 * (noise - 1 - noise.log())
