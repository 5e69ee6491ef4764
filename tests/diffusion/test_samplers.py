"""What samplers draw, in closed form on normal data, and how guidance enters."""

from __future__ import annotations

import math

import pytest
import torch
from exact_denoisers import F64, Normal, diffusion, one, with_best_variances
from noise import noise_from

import reparam as rp
from reparam.diffusion.schedules import VE, VP, Level, Schedule, SubVP, cosine, linear

COVARIANCE = torch.tensor([[2.0, 0.6, 0.0], [0.6, 0.5, -0.2], [0.0, -0.2, 4.0]], dtype=F64)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def deviation(model: rp.Diffusion) -> float:
    """Of samples without noise: x_0 is a multiple of the noise it came from, whose mean is 0."""
    start = torch.ones(1, 1, dtype=F64)
    return list(model.walk(start))[-1].state.item()


def spread(model: rp.Diffusion, noises: int) -> float:
    """The deviation of samples: each row has one noise of 1, all others are 0."""
    call = iter(range(noises))

    def of(like: torch.Tensor) -> torch.Tensor:
        values = torch.zeros_like(like)
        values[next(call)] = 1
        return values

    with noise_from(of):
        first = of(torch.empty(noises, 1, dtype=F64))
        state = list(model.walk(first))[-1].state
    assert next(call, None) is None  # that was all of the noise
    return state.square().sum().sqrt().item()


def test_ddim_with_all_its_noise_is_ancestral_sampling():
    """η = 1 over all steps: variances β̃, draw by draw, and none in the last step."""
    law, schedule = Normal(COVARIANCE), cosine(30)
    model = diffusion(law, schedule, variance="posterior")
    noise = torch.randn(5, 3, generator=seeded(), dtype=F64)
    paths = [
        list(model.through(sampler).walk(noise, None, seeded(1)))
        for sampler in (rp.DDPM(), rp.DDIM(eta=1.0))
    ]
    assert len(paths[0]) == 31
    for a, b in zip(*paths, strict=True):
        torch.testing.assert_close(a.state, b.state, rtol=0, atol=1e-10)
    torch.testing.assert_close(paths[0][-1].state, paths[0][-2].x, rtol=0, atol=1e-10)


def test_steps_without_noise_are_nearly_undone():
    """On N(0, 4) decode∘encode scales x; the error about halves when steps double."""
    law = one(4.0)
    model = diffusion(law, linear(1000))

    def scale(steps: int, method: str = "ddim") -> float:
        codec = model.as_codec(sampling_steps=steps, method=method)
        return codec.decode(codec.encode(torch.ones(1, 1, dtype=F64))).item()

    found = {steps: scale(steps) for steps in (10, 50, 100, 200, 1000)}
    expected = {10: 0.739, 50: 0.941, 100: 0.970, 1000: 0.997}
    for steps, value in expected.items():
        assert found[steps] == pytest.approx(value, abs=7e-4)
    ratios = [(1 - found[a]) / (1 - found[b]) for a, b in ((50, 100), (100, 200))]
    assert 1.8 < ratios[0] < 2.05 and 1.8 < ratios[1] < 2.05
    assert abs(1 - scale(50, "heun")) < 0.1 * abs(1 - found[50])


@pytest.mark.parametrize("steps, share", [(10, 0.859), (50, 0.970), (100, 0.985), (1000, 0.998)])
def test_samples_without_noise_are_too_narrow(steps: int, share: float):
    """On N(0, 4), by the first order of the steps."""
    model = diffusion(one(4.0), linear(1000)).through(rp.DDIM(steps=steps))
    assert deviation(model) / 2 == pytest.approx(share, abs=5e-4)


def test_ancestral_samples_have_the_deviation_of_the_data():
    """With the optimal variances and the last step's noise, up to the prior's misfit."""
    law, schedule = one(4.0), cosine(50)
    model = with_best_variances(diffusion(law, schedule), law)
    walked = spread(model, 50)
    last = model.bound.log_scale.exp().item()
    assert math.hypot(walked, last) == pytest.approx(2, abs=1e-6)
    for kind in ("beta", "posterior"):
        assert abs(spread(diffusion(law, schedule, variance=kind), 50) - 2) > 0.01


@pytest.mark.parametrize("schedule", [VP(), SubVP(), VE(50.0)], ids=["vp", "sub-vp", "ve"])
def test_samplers_in_continuous_time_near_the_data(schedule: Schedule):
    """Their deviations come near that of N(0, 4), the nearer the more steps they take."""
    model = diffusion(one(4.0), schedule)

    def errors(steps: int) -> list[float]:
        flow = deviation(model.through(rp.ProbabilityFlow(steps=steps)))
        first = deviation(model.through(rp.ProbabilityFlow(steps=steps, method="ddim")))
        fourth = deviation(model.through(rp.ProbabilityFlow(steps=steps, method="rk4")))
        ddim = deviation(model.through(rp.DDIM(steps=steps)))
        assert first == pytest.approx(ddim, abs=1e-4)
        sde = spread(model.through(rp.ReverseSDE(steps=steps)), steps)
        return [abs(value - 2) for value in (fourth, flow, ddim, sde)]

    few, many = errors(50), errors(200)
    assert few[3] < 0.4 and few[2] < 0.4
    assert max(many[:2]) < 0.01  # the prior's misfit is below 2e-3
    assert all(b < a + 2e-3 for a, b in zip(few, many, strict=True))
    assert many[2] < 0.5 * few[2] and many[3] < 0.5 * few[3]


def test_corrections_leave_the_data_alone():
    """Langevin steps have p_s as their stationary law: its deviation stays, within their bias."""
    law, schedule = one(4.0), cosine(20)
    with_corrections = rp.PredictorCorrector(corrections=6, snr=0.16)
    model = diffusion(law, schedule)
    rows = 20_000
    drawn = model.through(with_corrections).sample(rows, generator=seeded())
    plain = model.through(rp.ReverseSDE()).sample(rows, generator=seeded())
    errors = [abs(x.std().item() - 2) for x in (drawn, plain)]
    assert errors[0] < 0.6 * errors[1]


def guided(samples: int = 4, **options: object) -> tuple[rp.Diffusion, torch.Tensor]:
    model = diffusion(Normal(COVARIANCE), cosine(8), conditional=True, shift=1.5)
    return model, torch.tensor([0, 1, 2, 1])


@pytest.mark.parametrize("sampler", [rp.DDPM, rp.DDIM, rp.ReverseSDE, rp.ProbabilityFlow])
def test_no_guidance_is_the_condition_and_zero_ignores_it(sampler: type):
    model, c = guided()
    calls = model.network.calls

    def draw(weight: float, c: torch.Tensor = c) -> torch.Tensor:
        return model.through(sampler(guidance=weight)).sample(4, c, generator=seeded())

    plain = diffusion(Normal(COVARIANCE), cosine(8)).through(sampler())
    torch.testing.assert_close(draw(0.0), plain.sample(4, generator=seeded()), rtol=0, atol=1e-10)
    calls.clear()
    torch.testing.assert_close(draw(1.0), draw(1 + 1e-13), rtol=0, atol=1e-10)
    passes = model.through(sampler()).passes_per_draw
    assert calls == passes * [4] + passes * [8]  # both halves are one pass
    assert (draw(1.0)[1] - draw(1.0, torch.zeros(4, dtype=torch.long))[1]).abs().min() > 0.1


def test_guidance_weighs_the_two_noises():
    """ε_∅ + w (ε_c − ε_∅)."""
    model, c = guided()
    state, t = torch.randn(4, 3, generator=seeded(), dtype=F64), torch.full((4,), 0.5, dtype=F64)
    without, with_c, strong = (
        model.process(c, weight).estimate(state, t) for weight in (0.0, 1.0, 3.0)
    )
    noise = without.noise + 3 * (with_c.noise - without.noise)
    torch.testing.assert_close(strong.noise, noise, rtol=0, atol=1e-10)
    level = Level(*(part[0] for part in model.schedule(t)))
    torch.testing.assert_close(level.signal * strong.x + level.noise * noise, state)


def test_what_a_sampler_needs_is_refused_by_name():
    model = diffusion(one(4.0), cosine(20))
    refused = {
        "guidance: expected 1 for a model without a condition, got 2": rp.DDIM(guidance=2),
        "steps: expected at most 20, the model's times, got 21": rp.DDPM(steps=21),
        "method: rk4 needs continuous time": rp.ProbabilityFlow(method="rk4"),
    }
    for message, sampler in refused.items():
        with pytest.raises(ValueError, match=message):
            model.through(sampler)
    for eta in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="eta: expected"):
            rp.DDIM(eta=eta)
    with pytest.raises(ValueError, match="steps: expected a number, as time is continuous"):
        diffusion(one(4.0), VP()).through(rp.DDPM())
    with pytest.raises(ValueError, match="^sampling_steps: expected at most 20"):
        model.as_codec(sampling_steps=21)
