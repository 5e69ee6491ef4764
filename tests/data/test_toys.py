"""Toy data: each density integrates to 1, its rows are drawn of it, and loading keeps it."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

import reparam as rp
from reparam.data import describe, sources
from reparam.data.toys import SIZES, TOYS, draw, log_density

ROWS = 3000
CELLS = 16  # along a side, in which rows are counted
FINE = {"rings": 800, "mixture-1d": 1600, "pinwheel": 160}
FINE |= {f"energy-{i}": 1000 for i in range(1, 5)}
NAMES = list(TOYS)


def grid(name):
    """Midpoints (M^D, D) of fine cells over [−4, 4]^D, and a cell's size."""
    dimension = TOYS[name].dimension
    m = FINE.get(name, 80)
    middles = (torch.arange(m, dtype=torch.float64) + 0.5) * (8 / m) - 4
    points = torch.cartesian_prod(*[middles] * dimension).reshape(-1, dimension)
    return points, (8 / m) ** dimension


@pytest.mark.parametrize("name", NAMES)
def test_the_density_integrates_to_one_and_the_rows_follow_it(name):
    points, size = grid(name)
    log_p = log_density(name, points)
    p = log_p.exp() * size
    total = p.sum().item()
    assert total == pytest.approx(1, abs=1e-3 if name == "rings" else 1e-6)  # edges are curved

    x, dimension = draw(name, ROWS)[0], points.shape[1]
    edges = [np.linspace(-4, 4, CELLS + 1)] * dimension
    expected = np.histogramdd(points.numpy(), edges, weights=p.numpy())[0].ravel() * ROWS / total
    counts = np.histogramdd(x, edges)[0].ravel()
    few = expected < 5
    expected, counts = (np.append(a[~few], a[few].sum()) for a in (expected, counts))
    assert counts.sum() == pytest.approx(ROWS, abs=ROWS * 1e-3)
    statistic = ((counts - expected) ** 2 / expected.clip(1e-9)).sum()
    assert stats.chi2.sf(statistic, len(counts) - 1) > 1e-4

    values = log_density(name, torch.from_numpy(x))
    mean = torch.where(p > 0, p * log_p, 0).sum() / total  # minus the entropy
    assert abs(values.mean() - mean) < 4.5 * values.std() / math.sqrt(ROWS) + 1e-3


def test_closed_forms():
    assert log_density("checkerboard", torch.tensor([[3.0, 3.0]])).item() == -math.log(32)
    area = sum(math.pi * ((r + 0.1) ** 2 - (r - 0.1) ** 2) for r in (1, 2, 3))
    found = log_density("rings", torch.tensor([[0.0, 2.05], [0.0, 1.5]]))
    assert found[0].item() == pytest.approx(-math.log(area)) and found[1] == -math.inf
    parts = torch.distributions.Normal(torch.tensor([-2.0, 0, 2.5]), torch.tensor([0.4, 0.7, 0.3]))
    weights = torch.distributions.Categorical(torch.tensor([0.3, 0.5, 0.2]))
    x = torch.linspace(-4, 4, 9)
    expected = torch.distributions.MixtureSameFamily(weights, parts).log_prob(x)
    assert torch.allclose(log_density("mixture-1d", x[:, None]).float(), expected, atol=1e-5)


def test_rings_are_uniform_by_area():
    """Across a thin ring, where cells tell nothing: then the squared radius is uniform."""
    radius = np.hypot(*draw("rings", 60_000)[0].astype(float).T)
    inner = radius[radius < 1.5]
    assert stats.kstest(inner**2, stats.uniform(0.9**2, 1.1**2 - 0.9**2).cdf).pvalue > 1e-3


def published_energy(which, z):
    """U(z) as table 1 of Rezende & Mohamed prints it."""
    z1, z2 = z.T
    w1 = torch.sin(2 * math.pi * z1 / 4)
    w2 = 3 * torch.exp(-0.5 * ((z1 - 1) / 0.6) ** 2)
    w3 = 3 * torch.sigmoid((z1 - 1) / 0.3)
    if which == 1:
        ring = 0.5 * ((z.norm(dim=1) - 2) / 0.4) ** 2
        sides = [torch.exp(-0.5 * ((z1 + side) / 0.6) ** 2) for side in (-2, 2)]
        return ring - torch.log(sum(sides))
    if which == 2:
        return 0.5 * ((z2 - w1) / 0.4) ** 2
    other, width = ((w2, 0.35), (w3, 0.4))[which - 3]
    first = torch.exp(-0.5 * ((z2 - w1) / width) ** 2)
    return -torch.log(first + torch.exp(-0.5 * ((z2 - w1 + other) / 0.35) ** 2))


@pytest.mark.parametrize("which", [1, 2, 3, 4])
def test_energies_are_the_published_ones(which):
    """Up to the constant, and to where in its cell of 0.008 a point lies."""
    x = torch.from_numpy(draw(f"energy-{which}", 500)[0]).double()
    constant = log_density(f"energy-{which}", x) + published_energy(which, x)
    assert constant.std() < 0.02 and (constant - constant.median()).abs().max() < 0.15


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_those_of_the_name_and_their_number(name):
    x, _ = draw(name, 300)
    assert np.array_equal(x, draw(name, 300)[0]) and x.dtype == np.float32
    assert not np.array_equal(x[:299], draw(name, 299)[0])
    assert log_density(name, torch.from_numpy(x)).isfinite().all()  # none is rounded off an edge


@pytest.mark.parametrize(("name", "classes"), [("two-moons", 2), ("spirals", 2), ("pinwheel", 5)])
def test_labels_say_of_which_curve_or_arm_a_row_is(name, classes):
    data = rp.load_data(name)
    assert data.space == rp.Space((2,), "real", classes=classes)
    x, labels = data.test.x, data.test.labels
    counts = torch.bincount(labels, minlength=classes).numpy()
    assert stats.chisquare(counts).pvalue > 1e-4
    # Every curve or arm is the first one, turned about a point: so are the means.
    center, first = {"two-moons": ([0.5, 0.25], [0.0, 2 / math.pi])}.get(name, ([0.0, 0.0], None))
    means = torch.stack([x[labels == k].double().mean(0) for k in range(classes)])
    means = means - torch.tensor(center, dtype=torch.float64)
    error = 5 * x.double().std() / math.sqrt(len(x) / classes)
    angle = torch.tensor(2 * math.pi / classes, dtype=torch.float64)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).view(2, 2)
    for one, other in zip(means, means[1:], strict=False):
        assert (turn @ one - other).norm() < 2 * error
    assert means[0].norm() > 2 * error
    if first is not None:  # the upper moon is class 0
        assert (means[0] + torch.tensor(center) - torch.tensor(first)).norm() < error


def test_toys_of_one_piece_have_no_labels():
    for name in TOYS.keys() - {"two-moons", "spirals", "pinwheel"}:
        assert draw(name, 10)[1] is None


def test_loading_keeps_the_density_and_its_means():
    data = rp.load_data("checkerboard")
    assert {name: len(split) for name, split in data.splits.items()} == SIZES
    assert data.space == rp.Space((2,), "real") and data.source == {"source": "checkerboard"}
    assert data.true_log_probs("test").mean().item() == pytest.approx(-math.log(32))
    assert describe(data)["true log p"].startswith("mean -3.4657 in train, ")
    assert data.true_log_density(torch.zeros(3, 2) + 0.5).tolist() == [-math.log(32)] * 3
    assert data.fingerprint() == rp.load_data("checkerboard", seed=3).fingerprint()
    assert rp.load_data("digits").true_log_probs("test") is None
    assert "true log p" not in describe(rp.load_data("digits"))
    assert {name: about for name, about in sources() if name in TOYS}.keys() == TOYS.keys()


def test_binarized_rows_are_no_longer_drawn_of_the_density():
    assert rp.load_data("mixture-1d", binarize=0.5).true_log_density is None


def test_points_of_another_shape_and_impossible_rows_are_refused():
    with pytest.raises(ValueError, match=r"x: expected a tensor of shape \(B ≥ 1, 2\), got"):
        log_density("rings", torch.zeros(4, 3))
    split = rp.Split(torch.zeros(3, 2))
    density = rp.load_data("rings").true_log_density
    data = rp.Data(split, split, split, rp.Space((2,), "real"), "zeros", true_log_density=density)
    with pytest.raises(ValueError, match=r"test row 0: expected a finite true_log_density"):
        data.true_log_probs("test")


@pytest.mark.parametrize("name", NAMES)
def test_densities_far_away_are_numbers_or_minus_infinity(name):
    far = torch.tensor([[scale] * TOYS[name].dimension for scale in (700.0, 1e3, -1e3, 1e5)])
    log_p = log_density(name, far)
    assert not log_p.isnan().any() and (log_p < -1e5).all()
