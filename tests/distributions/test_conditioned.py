"""Independent entries given sums of them, against sums over all that there is."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from reparam.degradation import degradation
from reparam.distributions import level_sums
from reparam.distributions.conditioned import NormalImage, NormalSums, groups_of
from reparam.distributions.densities import NormalDensity
from reparam.distributions.level_solutions import LevelSolutions
from reparam.distributions.level_sums import LevelSums
from reparam.distributions.masses import CategoricalMass, DiscretizedNormalMass

DRAWS = 4000


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def levels_case(name, shape, levels, seed=0):
    """A law of one row, an x, its y and all x there are."""
    generator = seeded(seed)
    logits = 1.5 * torch.randn(1, levels, *shape, generator=generator, dtype=torch.float64)
    x = torch.randint(levels, (1, *shape), generator=generator).double()
    size = torch.Size(shape).numel()
    every = torch.cartesian_prod(*[torch.arange(levels)] * size).double().view(-1, *shape)
    given = degradation(name, shape)
    return CategoricalMass(logits), given(x), every, given


@pytest.mark.parametrize(
    "name, shape, levels, within",
    [
        ("downscale:2", (1, 2, 3), 3, 0.0),
        ("downscale:3", (1, 3, 3), 2, 0.0),  # nine entries, an odd number at two depths
        ("downscale:3", (5,), 4, 0.0),
        ("downscale:3", (5,), 4, 0.5),  # several sums for each y
        ("gray", (4, 1, 2), 3, 0.0),
        ("subsample:2", (5,), 3, 0.0),  # entries that no y says anything of
        ("gray", (3, 1, 2), 4, 0.0),  # three weights, of which 0.5 says little
        ("gray", (3, 1, 2), 4, 0.5),
    ],
)
def test_draws_and_evidence_are_those_of_the_sum_over_all_levels(name, shape, levels, within):
    law, y, every, given = levels_case(name, shape, levels)
    kind = LevelSolutions if given.name == "gray" and shape[0] == 3 else LevelSums
    found = kind(given, y.expand(DRAWS, *y.shape[1:]), groups_of(given), levels, within)
    x, evidence = found.draw(law.repeat(DRAWS), seeded(5))
    possible = ((given(every) - y).abs() <= within + 1e-9).flatten(1).all(1)
    log_p = law.repeat(len(every)).log_prob(every)[possible]
    assert torch.allclose(evidence, log_p.logsumexp(0).expand(DRAWS), rtol=0, atol=1e-12)
    assert torch.allclose(found.log_prob(law.repeat(DRAWS)), evidence, rtol=0, atol=1e-12)
    counts = (x[:, None] == every[possible]).flatten(2).all(2).sum(0)
    expected = log_p.softmax(0) * DRAWS
    assert counts.sum() == DRAWS
    rare = expected < 5  # together, as the statistic is no χ² of rare cells
    pooled = [torch.cat([v[~rare], v[rare].sum()[None]]) for v in (counts, expected)]
    pooled = [v[pooled[1] > 0] for v in pooled]
    if possible.sum() == 1:  # of few levels the three weights say all
        assert kind is LevelSolutions and within == 0
    else:
        assert len(pooled[0]) > 2 and stats.chisquare(*pooled).pvalue > 1e-4


def test_colors_are_drawn_among_those_of_a_luma():
    """Of 256 levels: as many as a count over all colors finds, in float32 as well."""
    given = degradation("gray", (3, 1, 1))
    color = torch.tensor([120.0, 77.0, 201.0]).view(1, 3, 1, 1)
    y = given(color.float())
    found = LevelSolutions(given, y, groups_of(given), 256)
    every = torch.cartesian_prod(*[torch.arange(256)] * 3)
    whole = every @ torch.tensor([299, 587, 114])
    same = every[whole == 299 * 120 + 587 * 77 + 114 * 201]
    assert len(same) > 50 and found.solutions.shape == (1, len(same), 3)
    assert {*map(tuple, found.solutions[0].tolist())} == {*map(tuple, same.tolist())}
    with pytest.raises(ValueError, match="y: row 0 has 0.5 at .* leaves of no whole numbers"):
        LevelSolutions(given, torch.full((1, 1, 1, 1), 0.5), groups_of(given), 256)
    wide = degradation("gray", (3, 16, 16))
    with pytest.raises(ValueError, match="colors are left; give y as it was, not rounded, or tr"):
        LevelSolutions(wide, torch.full((1, 1, 16, 16), 99.0), groups_of(wide), 256, within=0.5)


def test_probabilities_that_underflow_are_added_in_logs(monkeypatch):
    """Of 0 and 3, each 1 is 1000 nats from the most probable: no float64 holds its product."""
    given = degradation("downscale:2", (1, 2, 2))
    law = DiscretizedNormalMass(torch.tensor([[[[0.0, 0], [0, 0]]]]).double(), -3.8, 4)
    law = DiscretizedNormalMass(law.mean, torch.full_like(law.mean, -3.8), 4)
    y = torch.full((1, 1, 1, 1), 2.75).double()
    found = LevelSums(given, y, groups_of(given), 4)
    table = law.log_table()[0]
    every = torch.cartesian_prod(*[torch.arange(4)] * 4)
    every = every[every.sum(1) == 11]
    truth = sum(table[i, every[:, i]] for i in range(4)).logsumexp(0)
    assert truth < -2000
    assert torch.allclose(found.log_prob(law), truth, rtol=1e-12)
    assert found.draw(law, seeded())[0].sum() == 11
    monkeypatch.setattr(level_sums, "DEEP", float("inf"))  # without it nothing would be left
    assert found.log_prob(law).isneginf()


def test_a_y_that_is_no_mean_of_levels_is_refused():
    given = degradation("downscale:2", (1, 4, 4))
    y = torch.zeros(2, 1, 2, 2)
    y[1, 0, 1, 0] = 0.3
    with pytest.raises(ValueError, match=r"y: row 1 has 0.3 at \(0, 1, 0\), which downscale:2"):
        LevelSums(given, y, groups_of(given), 5)
    assert LevelSums(given, y, groups_of(given), 5, within=0.1).window.first[1, 2] == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rounding_of_floats_is_none_of_y(dtype):
    """Means of 16 entries of 256 levels, whose sums are up to 4080."""
    given = degradation("downscale:4", (3, 8, 8))
    x = torch.randint(256, (50, 3, 8, 8), generator=seeded())
    found = LevelSums(given, given(x.to(dtype)), groups_of(given), 256)
    sums = x.view(50, 3, 2, 4, 2, 4).sum((3, 5)).flatten(1)
    assert torch.equal(found.window.first, sums) and torch.equal(found.window.last, sums)


def closed_form(given, mean, variance, y):
    """Mean, covariance and log-density by the matrix and its pseudo-inverse."""
    size = mean.numel()
    a = given(torch.eye(size, dtype=torch.float64).view(-1, *given.shape)).flatten(1).T
    cover = a @ torch.diag(variance.flatten()) @ a.T
    gain = torch.diag(variance.flatten()) @ a.T @ torch.linalg.pinv(cover, rtol=1e-12)
    left = y.flatten() - a @ mean.flatten()
    values = torch.linalg.eigvalsh(cover)
    log_det = values[values > 1e-12 * values.max()].log().sum()
    evidence = -0.5 * (left @ torch.linalg.pinv(cover, rtol=1e-12) @ left + log_det)
    mean = mean.flatten() + gain @ left
    return (
        mean,
        torch.diag(variance.flatten()) - gain @ a @ torch.diag(variance.flatten()),
        evidence,
    )


@pytest.mark.parametrize(
    "name, shape, whole",
    [
        ("downscale:2", (1, 2, 3), False),
        ("gray", (3, 1, 2), False),
        ("downscale:2", (1, 2, 3), True),
        ("blur:0.7", (1, 2, 3), True),
        ("blur:3", (5,), True),  # of which directions are lost
    ],
)
def test_normal_entries_have_the_conditional_mean_and_covariance(name, shape, whole):
    given = degradation(name, shape)
    mean = torch.randn(1, *shape, generator=seeded(1), dtype=torch.float64)
    log_scale = 0.5 * torch.randn(1, *shape, generator=seeded(2), dtype=torch.float64)
    x = mean + torch.randn(1, *shape, generator=seeded(3), dtype=torch.float64)
    y = given(x)
    law = NormalDensity(mean, log_scale).repeat(DRAWS)
    many = y.expand(DRAWS, *y.shape[1:])
    told = NormalImage(given, many) if whole else NormalSums(given, many, groups_of(given))
    drawn, evidence = told.draw(law, seeded(4))
    assert (given(drawn) - y).abs().max() < 1e-9
    expected, covariance, _ = closed_form(given, mean, (2 * log_scale).exp(), y)
    flat, variance = drawn.flatten(1), covariance.diagonal().clamp(min=0)
    assert ((flat.mean(0) - expected).abs() < 4 * (variance / DRAWS).sqrt() + 1e-9).all()
    error = ((variance[:, None] * variance + covariance.square()) / DRAWS).sqrt()
    assert ((flat.T.cov() - covariance).abs() < 4 * error + 1e-9).all()
    # The evidence is up to a constant: its difference to that of another mean.
    other = NormalDensity(mean + 0.3, log_scale)
    assert torch.allclose(told.log_prob(law), evidence, rtol=0, atol=1e-9)
    difference = evidence[0] - told.log_prob(other.repeat(DRAWS))[0]
    truth = closed_form(given, mean, (2 * log_scale).exp(), y)[2]
    truth = truth - closed_form(given, mean + 0.3, (2 * log_scale).exp(), y)[2]
    assert torch.allclose(difference, truth, rtol=0, atol=1e-6)
