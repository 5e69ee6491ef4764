"""Annealed importance sampling: right on average, too low in its logarithm, and better slowly."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from reparam.chains.annealing import (
    annealed,
    find_sizes,
    hamiltonian_runs,
    ramp,
    summary,
    tempered_gain,
)
from reparam.chains.bases import Bits, Normals
from reparam.chains.enumeration import log_sum
from reparam.chains.kernels import Tempered, flip

RUNS = 20_000


@pytest.fixture
def target() -> Tempered:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 6), nn.SiLU(), nn.Linear(6, 1)).double()
    base = Bits((5,)).double()
    base.logits.copy_(torch.linspace(-1, 2, 5))
    return Tempered(
        lambda y: base.log_density(y).sum(1),
        lambda y: 8 * network(2 * y - 1).squeeze(1),
        base_slope=base.slope,
    )


def log_z(target: Tempered) -> float:
    like = torch.empty(0, dtype=torch.float64)
    return log_sum(lambda y: target.log_base(y) - target.energy(y), 5, like).item()


def runs(target: Tempered, temperatures: int) -> Tensor:
    noise = torch.Generator().manual_seed(temperatures)
    logits = torch.linspace(-1, 2, 5, dtype=torch.float64)
    start = (torch.rand(RUNS, 5, generator=noise, dtype=torch.float64) < logits.sigmoid()).double()
    return annealed(
        target.at(start),
        ramp(temperatures),
        tempered_gain,
        lambda point, beta: flip(target, point, beta, noise)[0],
    )


@torch.no_grad()
def test_the_mean_weight_is_z_and_the_mean_logarithm_below_it(target):
    """Within four standard errors; more temperatures bring the logarithm nearer."""
    wanted, gaps = log_z(target), []
    for temperatures in (1, 4, 20):
        log_weights = runs(target, temperatures)
        weights = (log_weights - wanted).exp()
        error = weights.std() / math.sqrt(RUNS)
        assert abs(weights.mean() - 1) < 4 * error, temperatures
        gap = wanted - log_weights.mean().item()
        assert gap > 4 * log_weights.std().item() / math.sqrt(RUNS)
        gaps.append(gap)
    assert gaps[0] > 1.5 * gaps[1] > 2 * gaps[2]


@torch.no_grad()
def test_the_standard_error_is_that_of_many_estimates(target):
    """By its own spread: 200 estimates of 100 runs each, whose spread is known to 5 %."""
    found = [summary(part, 4) for part in runs(target, 4).view(200, 100)]
    spread = torch.stack([one.value for one in found]).std().item()
    said = torch.stack([one.stderr for one in found]).square().mean().sqrt().item()
    assert said == pytest.approx(spread, rel=0.25)
    assert all(1 <= one.effective_samples <= 100 for one in found)


def test_the_summary_of_two_weights():
    """Weights 1 and 3: mean 2, (1 + 3)² / (1 + 9) = 1.6, and (3 − 1)/√2 /√2 / 2 = ½."""
    found = summary(torch.tensor([1.0, 3.0]).log(), 7)
    assert found.value.exp().item() == pytest.approx(2)
    assert found.effective_samples.item() == pytest.approx(1.6)
    assert found.stderr.item() == pytest.approx(0.5)
    assert (found.runs, found.temperatures, found.kind) == (2, 7, "estimate")


@torch.no_grad()
@pytest.mark.parametrize("boxed", [False, True], ids=["line", "box"])
def test_hamiltonian_runs_find_a_known_integral(boxed):
    """∏ E exp(−a y²/2) over normals, of the box by quadrature; sizes follow the pilots."""
    base = Normals((3,), boxed).double()
    base.mean.copy_(torch.tensor([0.0, 0.3, -0.5]))
    base.scale.copy_(torch.tensor([0.3, 0.5, 1.0]))
    target = Tempered(
        lambda y: base.log_density(y).sum(1),
        lambda y: 4 * y.square().sum(1),
        boxed,
        base.slope,
    )
    reach = 1.0 if boxed else 12.0
    grid = torch.linspace(-reach, reach, 20_001, dtype=torch.float64)[:, None].expand(-1, 3)
    integrand = base.log_density(grid).exp() * torch.exp(-4 * grid.square())
    wanted = torch.trapezoid(integrand, grid, dim=0).log().sum().item()
    noise, betas = torch.Generator().manual_seed(0), ramp(60)
    sizes = find_sizes(target, base.draw(50, noise), betas, 0.05, 3, noise)
    assert len(sizes) == 60 and sizes[-1].mean() > 1.2 * sizes[0].mean()
    together = [size.mean(0, keepdim=True) for size in sizes]
    found = hamiltonian_runs(target, base.draw(4000, noise), betas, together, 3, noise)
    weights = (found - wanted).exp()
    assert abs(weights.mean() - 1) < 4 * weights.std() / math.sqrt(4000)
    assert 0 < weights.std() < 2


@torch.no_grad()
@pytest.mark.parametrize("boxed", [False, True], ids=["line", "box"])
def test_normals_draw_what_they_say(boxed):
    """Means and variances of 40 000 draws beside quadrature; slopes beside autograd."""
    base = Normals((3,), boxed).double()
    base.mean.copy_(torch.tensor([0.0, 0.9, -1.0]))
    base.scale.copy_(torch.tensor([0.1, 0.5, 2.0]))
    reach = 1.0 if boxed else 15.0
    grid = torch.linspace(-reach, reach, 30_001, dtype=torch.float64)[:, None].expand(-1, 3)
    density = base.log_density(grid).exp()
    torch.testing.assert_close(
        torch.trapezoid(density, grid, dim=0), torch.ones(3).double(), rtol=0, atol=1e-6
    )
    mean = torch.trapezoid(grid * density, grid, dim=0)
    variance = torch.trapezoid((grid - mean).square() * density, grid, dim=0)
    y = base.draw(40_000, torch.Generator().manual_seed(0))
    assert ((y.mean(0) - mean).abs() < 4 * (variance / 40_000).sqrt()).all()
    assert ((y.var(0) / variance - 1).abs() < 0.04).all()  # kurtosis of 3 at most: 4 √(2/n) = .03
    with torch.enable_grad():
        at = y[:5].clone().requires_grad_()
        (slope,) = torch.autograd.grad(base.log_density(at).sum(), at)
    torch.testing.assert_close(base.slope(y[:5]), slope, rtol=1e-10, atol=1e-10)


def test_bases_learn_means_scales_and_frequencies():
    x = torch.randn(300, 2, generator=torch.Generator().manual_seed(0)).double() * 0.3
    normals = Normals((2,), boxed=False).double()
    normals.learn(x.split(77))
    torch.testing.assert_close(normals.mean, x.mean(0))
    torch.testing.assert_close(normals.scale, x.std(0, correction=0))
    normals.learn(x.split(77), noise=0.4)
    torch.testing.assert_close(normals.scale, (x.var(0, correction=0) + 0.4).sqrt())
    narrow = Normals((2,), boxed=True)
    narrow.learn([torch.zeros(4, 2)])
    assert (narrow.scale >= 0.05 - 1e-6).all()
