"""The probability flow against the density of a mixture of normals, whose score is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from exact_denoisers import F64, Best, Normal, diffusion, one
from noise import noise_from
from torch import Tensor

import reparam as rp
from reparam.diffusion.flow import carry, log_density, velocity_of
from reparam.diffusion.schedules import VE, VP, DiscreteSchedule, Schedule, SubVP
from reparam.diffusion.steps import Estimate
from reparam.evaluation.likelihood import usual_samples
from reparam.model import Batch, Solve, Space

WEIGHTS = torch.tensor([0.5, 0.3, 0.2], dtype=F64)
MEANS = torch.tensor([[-1.5, 0.0], [1.0, 1.0], [0.5, -1.5]], dtype=F64)
VARIANCES = torch.tensor([0.04, 0.1, 0.25], dtype=F64)


def parts(x: Tensor, signal: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log of weight times density of each component of p_t (B, 3), x − its mean, its variance."""
    variance = signal**2 * VARIANCES + noise**2
    away = x[:, None] - signal * MEANS
    log_p = -away.square().sum(2) / (2 * variance) - torch.log(2 * math.pi * variance)
    return WEIGHTS.log() + log_p, away, variance


def log_p(schedule: Schedule, x: Tensor, t: float) -> Tensor:
    level = schedule(torch.tensor(t, dtype=F64))
    return parts(x, *level)[0].logsumexp(1)


def estimator(schedule: Schedule):
    """ε* = −σ ∇log p_t."""

    def estimate(state: Tensor, t: Tensor) -> Estimate:
        level = schedule(t[0])
        log_each, away, variance = parts(state, *level)
        shares = log_each.softmax(1)[:, :, None]
        noise = level.noise * (shares * away / variance[:, None]).sum(1)
        return Estimate((state - level.noise * noise) / level.signal, noise)

    return estimate


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def draws(rows: int = 400) -> Tensor:
    generator = seeded()
    which = torch.multinomial(WEIGHTS, rows, True, generator=generator)
    noise = torch.randn(rows, 2, generator=generator, dtype=F64)
    return MEANS[which] + VARIANCES[which].sqrt()[:, None] * noise


def errors(schedule: Schedule, steps: int, method: str, prior: bool = False) -> Tensor:
    """Of log p_0, which for VE is p with noise of 0.01; ``prior`` puts p_1 in the place of N."""
    x, velocity = draws(), velocity_of(schedule, estimator(schedule))
    found = log_density(velocity, schedule, x, schedule.grid(steps), method)
    if prior:
        found = found + misfit(schedule, velocity, x, steps, method)
    return found - log_p(schedule, x, 0.0)


def misfit(schedule: Schedule, velocity, x: Tensor, steps: int, method: str) -> Tensor:
    """log p_1 − log N(0, scale²) at the noise of x."""
    times = schedule.grid(steps).flip(0)
    start, end = schedule(times[0]), schedule(times[-1])
    noise = carry(velocity, schedule, x / start.norm, times, method) * end.norm
    scale = schedule.prior_scale
    normal = torch.distributions.Normal(0, scale).log_prob(noise).sum(1)
    return log_p(schedule, noise, 1.0) - normal


def test_the_likelihood_of_a_mixture():
    """VP, with the exact score and divergence; what remains with N(0, I) is the prior's misfit."""
    heun = errors(VP(), 200, "heun")
    assert abs(heun.mean()) < 1e-3 and heun.abs().max() < 0.01
    fourth = errors(VP(), 100, "rk4", prior=True)
    assert fourth.abs().max() < 1e-3
    assert abs(fourth.mean()) < 1e-5 and fourth.std() < 0.1 * errors(VP(), 100, "rk4").std()


def test_the_likelihood_of_a_mixture_under_less_noise():
    assert errors(SubVP(), 100, "rk4", prior=True).abs().max() < 1e-3
    assert errors(SubVP(), 200, "heun").abs().max() < 0.03


def test_the_likelihood_of_a_mixture_under_exploding_noise():
    """Against p convolved with N(0, 0.01²); the prior is N(0, σ_max²)."""
    found = errors(VE(50.0), 100, "rk4")
    assert abs(found.mean()) < 5e-3 and found.abs().max() < 0.1
    assert errors(VE(50.0), 200, "rk4", prior=True).abs().max() < found.abs().max()


@pytest.mark.parametrize("order, method", [(2, "heun"), (4, "rk4")])
def test_solvers_have_their_order(order: int, method: str):
    law = one(4.0)
    model = diffusion(law, SubVP())
    x = torch.tensor([[1.0]], dtype=F64)

    def code(steps: int) -> float:
        return model.as_codec(sampling_steps=steps, method=method).encode(x).item()

    level = model.schedule(torch.ones((), dtype=F64))
    exact = law.of_state(level).sqrt().item() / 2  # a normal is scaled to its deviation at t = 1
    ratio = (code(10) - exact) / (code(20) - exact)
    assert math.log2(abs(ratio)) == pytest.approx(order, abs=0.5)


@pytest.mark.parametrize("schedule", [VP(), SubVP(), VE(50.0)], ids=["vp", "sub-vp", "ve"])
def test_the_model_says_how_probable_normal_data_are(schedule: Schedule):
    covariance = torch.tensor([[2.0, 0.6], [0.6, 0.5]], dtype=F64)
    law = Normal(covariance)
    model, x = diffusion(law, schedule), law.draw(50)
    found = model.log_prob(x)
    least = schedule(torch.zeros((), dtype=F64)).noise
    wider = covariance + least**2 * torch.eye(2, dtype=F64)
    exact = torch.distributions.MultivariateNormal(torch.zeros(2, dtype=F64), wider).log_prob(x)
    assert found.kind == "estimate" and model.approximation == "flow solver"
    torch.testing.assert_close(found.value, exact, rtol=0, atol=1e-2)
    fourth = model.as_codec(method="rk4").log_prob(x)
    torch.testing.assert_close(fourth.value, exact, rtol=0, atol=5e-3)
    assert fourth.kind == "estimate"


def test_traces_by_random_signs_have_the_exact_mean():
    """Of more than 32 dimensions; on independent entries ∂v/∂y is diagonal, and signs are exact."""
    covariance = torch.diag(torch.linspace(0.3, 3, 40, dtype=F64))
    law, x = Normal(covariance), Normal(covariance).draw(3)
    found = diffusion(law, VP()).log_prob(x, samples=2).value
    exact = torch.distributions.MultivariateNormal(torch.zeros(40, dtype=F64), covariance)
    torch.testing.assert_close(found, exact.log_prob(x), rtol=0, atol=0.05)
    # Of dependent ones they are not: with more probes they come nearer.
    mix = torch.linalg.qr(torch.randn(40, 40, generator=torch.Generator().manual_seed(0)))[
        0
    ].double()
    law = Normal(mix @ covariance @ mix.T)
    exact = torch.distributions.MultivariateNormal(torch.zeros(40, dtype=F64), law.covariance)
    x = law.draw(1).expand(30, 40)

    def found_by(samples: int) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        codec = diffusion(law, VP()).as_codec(sampling_steps=20)
        return codec.log_prob(x, samples=samples, generator=generator).value

    few, many = found_by(1), found_by(16)
    assert many.std() < 0.5 * few.std()
    assert abs(few.mean() - many.mean()) < 4 * few.std() / 30**0.5


@pytest.mark.parametrize("dimension", [2, 33])
def test_where_x_asks_for_gradients_they_are_the_score(dimension: int):
    """−S⁻¹ x of normal data, by the exact divergence and by random signs."""
    variances = torch.linspace(0.5, 3, dimension, dtype=F64)
    law = Normal(torch.diag(variances))
    x = law.draw(3).requires_grad_()
    found = diffusion(law, VP()).as_codec(sampling_steps=40).log_prob(x).value
    (gradient,) = torch.autograd.grad(found.sum(), x)
    torch.testing.assert_close(gradient, -x.detach() / variances, rtol=0, atol=2e-2)
    assert not diffusion(law, VP()).as_codec(sampling_steps=2).log_prob(x.detach()).value.grad_fn


@pytest.mark.parametrize("extra", [1, 32])
@pytest.mark.parametrize("schedule", [VP(), VE(50.0)], ids=["vp", "ve"])
def test_constants_are_no_part_of_the_estimate(schedule: Schedule, extra: int):
    """log p of the entries that vary, whose noise says nothing of them; codes bring them back."""
    varying = torch.tensor([1.0, 1.0] + extra * [0.0], dtype=F64)
    x = 3 + 2 * torch.randn(200, 2 + extra, dtype=F64, generator=seeded()) * varying
    space = Space((2 + extra,), "real")
    network = Best(Normal(torch.diag(varying)), schedule, "noise")
    model = rp.Diffusion(space, network, schedule).double().eval()
    for stage in model.stages:
        if isinstance(stage, Solve) and stage.name != "largest noise":
            stage.solve(model, [Batch(x)])
    y, ladj = model.units(x[:20])
    deviation = (1 + schedule(torch.zeros((), dtype=F64)).noise ** 2).sqrt()
    exact = torch.distributions.Normal(0, deviation).log_prob(y[:, :2]).sum(1) + ladj
    found = model.log_prob(x[:20], generator=seeded())
    torch.testing.assert_close(found.value, exact, rtol=0, atol=2e-2)
    codec = model.as_codec(sampling_steps=50)
    code = codec.encode(x[:20])
    assert (code[:, 2:] == 0).all()
    code[:, 2:] = 1.7  # as of noise that a draw starts from
    torch.testing.assert_close(codec.decode(code), x[:20], rtol=0, atol=2e-2)


def test_means_of_whole_numbers_are_within_their_range():
    space = Space((3,), "levels", 5)
    units = rp.build("score-sde", space, hidden=(8, 8), blocks=1).units
    far = torch.tensor([[-1.4, 0.0, 3.0]])
    assert units.mean(far).tolist() == units.back(far).tolist() == [[0, 2, 4]]


@pytest.mark.parametrize("kind, levels", [("binary", None), ("levels", 5)])
def test_whole_numbers_are_dequantized_in_continuous_time(kind: str, levels: int | None):
    """−1 … 1 in the units of noise, with log |dy/dx| of 2/K an entry."""
    model = rp.build("score-sde", rp.Space((3,), kind, levels), hidden=(8, 8), blocks=1).double()
    x = torch.zeros(2, 3, dtype=F64)
    y, ladj = model.units(x, torch.Generator().manual_seed(0))
    count = levels or 2
    assert ((y >= -1) & (y < 2 / count - 1)).all()
    torch.testing.assert_close(ladj, torch.full((2,), 3 * math.log(2 / count), dtype=F64))
    found = model.log_prob(x)
    assert found.kind == "estimate" and found.value.isfinite().all()


class Coins(torch.nn.Module):
    """The best x̂ of independent coins, −1 and 1, in discrete time: tanh(α x_t/σ² + logit/2)."""

    def __init__(self, logits: Tensor, schedule: Schedule) -> None:
        super().__init__()
        self.logits, self.schedule = logits, schedule

    def forward(self, unit: Tensor, t: Tensor) -> Tensor:
        signal, noise = (part[:, None] for part in self.schedule(t))
        return torch.tanh(signal * unit / noise**2 + 0.5 * self.logits)


@pytest.mark.parametrize("kind, levels", [("binary", None), ("levels", 2)])
def test_whole_numbers_are_dequantized_by_the_first_noise_in_discrete_time(
    kind: str, levels: int | None
):
    """Against quadrature over x_1 of one coin, whose p(x_1) is a mixture of two normals.

    The first of the times adds noise of 0.8, so that both coins are possible of nearly all x_1.
    """
    betas = torch.cat([torch.tensor([0.64], dtype=F64), torch.linspace(1e-3, 0.2, 199).double()])
    schedule, logit, scale = DiscreteSchedule(betas), torch.tensor([0.8], dtype=F64), 0.6
    network = Coins(logit, schedule)
    model = rp.Diffusion(Space((1,), kind, levels), network, schedule, "x").double().eval()
    assert model.bound is not None
    model.bound.log_scale.fill_(math.log(scale))
    first = torch.tensor([1 / 200], dtype=F64)
    level, normal = schedule(first), torch.distributions.Normal

    def log_first(state: Tensor) -> Tensor:
        """log p(x_1), (B,)."""
        each = [normal(sign * level.signal, level.noise).log_prob(state) for sign in (-1, 1)]
        log_weights = torch.nn.functional.logsigmoid(logit * torch.tensor([-1.0, 1.0]))
        return (torch.cat(each, 1) + log_weights).logsumexp(1)

    def last(y: Tensor, state: Tensor) -> Tensor:
        """P(x|x_1), (B,): the bins of −1 and 1 meet at 0."""
        mean = network(state / level.norm, first.expand(len(state)))
        return normal(0, 1).cdf(y * mean / scale)[:, 0]

    nodes, weights = (torch.tensor(part) for part in np.polynomial.hermite_e.hermegauss(80))
    x = torch.tensor([0.0, 1.0], dtype=F64).repeat_interleave(80)[:, None]
    y, noise = 2 * x - 1, nodes.repeat(2)[:, None]
    state = level.signal * y + level.noise * noise
    log_q = normal(level.signal * y, level.noise).log_prob(state)[:, 0]
    wanted = log_first(state) + last(y, state).log() - log_q
    with noise_from(lambda like: noise):
        found = model.as_codec(sampling_steps=200).log_prob(x)
    assert found.kind == "estimate"
    law = weights / weights.sum()
    quadrature, estimated = ((law * each.view(2, 80)).sum(1) for each in (wanted, found.value))
    torch.testing.assert_close(estimated, quadrature, rtol=0, atol=1e-4)
    # It lies below log P(x) of the model, an integral over all x_1.
    grid = torch.linspace(-8, 8, 4001, dtype=F64)[:, None]
    coins = torch.tensor([-1.0, 1.0], dtype=F64)
    p = torch.stack([(log_first(grid).exp() * last(one, grid)).sum() * 16 / 4000 for one in coins])
    assert p.sum().item() == pytest.approx(1, abs=1e-6)
    gap = p.log() - estimated
    assert ((gap > 1e-3) & (gap < 0.1)).all()


@pytest.mark.parametrize("method", ["heun", "ddim"])
@pytest.mark.parametrize("kind, drawn", [("real", False), ("levels", True)])
def test_a_codec_says_what_its_density_and_its_draws_cost(kind: str, drawn: bool, method: str):
    """Also where the model's own bound, which measures some of its times, costs otherwise."""
    space = Space((2,), kind, 5 if kind == "levels" else None)
    model = rp.build("ddpm", space, times=6, seed=0, hidden=(8, 8), blocks=1).eval()
    codec, passes = model.as_codec(sampling_steps=4, method=method), []
    assert model.log_prob_draws and codec.log_prob_draws is drawn and not codec.tightens
    model.network.register_forward_hook(lambda *_: passes.append(1))
    codec.sample(3)
    assert len(passes) == codec.passes_per_draw == 4 * (2 if method == "heun" else 1)
    passes.clear()
    x = torch.tensor([[0.0, 1.0], [2.0, 4.0]])
    one_draw, other = (codec.log_prob(x, samples=n).value for n in (1, 3))
    assert torch.equal(one_draw, other) is not drawn
    # Passes of both, and of each two gradients, which cost two; of whole numbers the last step.
    assert len(passes) == 2 * (2 * 4 + drawn)
    assert codec.passes_per_sample == model.pass_cost * 2 * 4 * (1 + 2 * 2)
    assert usual_samples(codec, 100) == 1
    if drawn:  # of all times, the first one is where x_1 is: there is a step less to go
        passes.clear()
        model.as_codec().log_prob(x)
        assert len(passes) == 2 * (6 - 1) + 1
