"""The stage after the descent that measures the optimal variances and the last scale."""

from __future__ import annotations

import math

import pytest
import torch
from exact_denoisers import F64, Normal, diffusion, one
from torch import Tensor, nn

import reparam as rp
from reparam.batching import draws_at_once
from reparam.diffusion.schedules import VE, cosine, linear
from reparam.diffusion.steps import step_back
from reparam.model import Batch, Descend, Solve
from reparam.models.diffusion import LEAST_OF_A_TIME, ROWS_OF_A_TIME, ROWS_OF_THE_LAST


def measure(model: rp.Diffusion, *rows: Tensor) -> None:
    after = model.stages[-1]
    assert isinstance(after, Solve) and isinstance(model.stages[-2], Descend)
    torch.manual_seed(0)
    after.solve(model, [Batch(part) for part in rows])


def test_the_measured_variances_are_the_optimal_ones():
    """Of draws from N(0, S): mean squares are χ², so that n of them have s.e. √(2/n) of it."""
    law = one(4.0)
    model = diffusion(law, linear(100))
    measure(model, law.draw(1000))
    t = torch.arange(1, 101, dtype=F64) / 100
    exact = law.error(model.schedule(t))
    counts = model.bound.rows_of_times(ROWS_OF_A_TIME, ROWS_OF_THE_LAST)[1:]
    assert counts[0] == ROWS_OF_THE_LAST and counts.min() >= 32
    away = (model.bound.errors[1:] / exact - 1) / (2 / counts).sqrt()
    assert away.abs().max() < 4 * 1.25  # the largest of 100, of a law wider than normal ones
    assert abs(away.mean()) < 4 / 10 and 0.8 < away.std() < 1.2
    # The variances themselves, β̃ + c² mse; the floor is β̃.
    step = step_back(model.schedule, t[1:], t[1:] - 0.01)
    variance = step.variance("optimal", model.bound.error(t[1:]))
    best = step.posterior + step.pull**2 * exact[1:]
    scale = step.pull**2 * exact[1:] * (2 / counts[1:]).sqrt()
    assert ((variance - best).abs() < 5 * scale).all() and (variance >= step.posterior).all()
    last = 0.5 * exact[0].log()
    assert abs(model.bound.log_scale - last) < 4 * math.sqrt(1 / (2 * 1000))


def test_first_times_get_most_rows():
    bound = diffusion(one(4.0), cosine(1000)).bound
    counts = bound.rows_of_times(LEAST_OF_A_TIME, ROWS_OF_THE_LAST)
    assert counts[0] == 0 and (counts[1:].diff() <= 0).all()
    assert counts[1] > 200 and counts[-1] == 3 and counts.sum() <= 5 * 1000


@pytest.mark.parametrize("kind, levels", [("binary", None), ("levels", 17)])
def test_of_discrete_data_the_last_scale_is_the_likeliest(kind: str, levels: int | None):
    space = rp.Space((40,), kind, levels)
    bound = diffusion_of_noise(space).bound
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(levels or 2, (300, 40), generator=generator).double()
    y = 2 * x / ((levels or 2) - 1) - 1
    mean = y + 0.8 * torch.randn(300, 40, generator=generator, dtype=F64)
    bound.measure_last(x, y, mean)
    found = bound.of_last(x, y, mean).mean().item()
    best = bound.log_scale.item()
    for change in (-0.05, 0.05):
        bound.log_scale.fill_(best + change)
        assert bound.of_last(x, y, mean).mean().item() > found


def diffusion_of_noise(space: rp.Space) -> rp.Diffusion:
    class Half(nn.Module):
        """Half of the state: far from anything."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.tensor(0.5))

        def forward(self, y: Tensor, t: Tensor) -> Tensor:
            return self.weight * y

    return rp.Diffusion(space, Half(), cosine(20)).double().eval()


def test_no_more_rows_pass_at_once_than_of_any_draw():
    """Of large images 81: in the measurement of the last scale as in that of the variances."""
    model = diffusion_of_noise(rp.Space((3, 64, 64), "binary")).float()
    passed: list[int] = []
    model.network.register_forward_hook(lambda _, inputs, __: passed.append(len(inputs[0])))
    model.bound.rows_of_times = lambda mean, most: torch.ones(21, dtype=torch.long)
    measure(model, torch.zeros(100, 3, 64, 64))
    assert sum(passed) == 21 + 100 and max(passed) == draws_at_once(model.space) == 81


def test_whole_numbers_are_guessed_within_their_range():
    """In the measurement, the bound and samplers alike: x̂ is clipped, its noise goes with it."""
    model = diffusion_of_noise(rp.Space((4,), "binary"))
    state = 3 * torch.randn(8, 4, generator=torch.Generator().manual_seed(0), dtype=F64)
    t = torch.full((8,), 0.9, dtype=F64)
    found, level = model.process(None).estimate(state, t), model.schedule(t[0])
    assert found.x.abs().max() == 1
    torch.testing.assert_close(level.signal * found.x + level.noise * found.noise, state)
    measure(model, (state > 0).double())
    assert model.bound.errors.max() <= 4  # the largest of (y − x̂)² within [−1, 1]


def test_measured_variances_make_the_bound_the_best_of_the_three():
    """Of a denoiser that is worse than the best, on data it was not measured on."""
    law = Normal(0.05 * torch.eye(3, dtype=F64))
    model = diffusion(law, linear(200))
    model.network.weight.data.fill_(0.97)
    measure(model, law.draw(1000))
    x, bounds = law.draw(500, seed=1), {}
    for kind in ("optimal", "beta", "posterior"):
        model.variance = kind
        generator = torch.Generator().manual_seed(0)
        bounds[kind] = model.log_prob(x, samples=200, generator=generator).value
    for kind in ("beta", "posterior"):
        better = bounds["optimal"] - bounds[kind]
        assert better.mean() > 4 * better.std() / 500**0.5


def test_the_largest_noise_is_the_largest_distance():
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0], [3.0, 0.0]], dtype=F64)
    model = diffusion(Normal(torch.eye(2, dtype=F64)), VE())
    widen = next(s for s in model.stages if isinstance(s, Solve) and s.name == "largest noise")
    widen.solve(model, [Batch(x[:2]), Batch(x[2:])])
    assert model.schedule.largest.item() == pytest.approx(5)
    assert float(model.schedule.prior_scale) == pytest.approx(5)
    with pytest.raises(ValueError, match="data: expected rows that differ for sde=ve"):
        widen.solve(model, [Batch(x[:1].expand(4, 2))])
    with pytest.raises(ValueError, match="data: expected 2 training rows or more for sde=ve"):
        model.refuse_rows(1)
