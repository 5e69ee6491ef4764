"""Likelihoods as modules: units, normalization at the ends of their parameters, refusals."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

import reparam as rp
from reparam.distributions.likelihood_names import make_likelihood
from reparam.model import Batch, Solve, Space

F64 = torch.float64


@pytest.mark.parametrize("levels", [2, 5, 17, 256])
def test_discretized_logistic_sums_to_one_for_any_decoder_output(levels):
    """Saturated log-scales and locations far outside included."""
    likelihood = rp.DiscretizedLogistic(Space((1,), "levels", levels))
    raw = torch.tensor([-1e3, -50.0, -7.0, -1.0, 0.0, 1.0, 7.0, 50.0, 1e3], dtype=F64)
    pairs = torch.tensor(list(itertools.product([-3.0, -1.0, -0.1, 0.0, 0.4, 1.0, 3.0], raw)))
    p = likelihood(pairs.to(F64)[:, :, None])
    every = torch.stack(
        [p.log_prob_terms(torch.full((len(pairs), 1), float(k))) for k in range(levels)]
    )
    assert every.isfinite().all()
    assert every.logsumexp(0).abs().max() < 1e-9


def test_discretized_logistic_units():
    """Location 0 is the middle and ±1 the ends; log-scale 0 is an eighth of the range."""
    likelihood = rp.DiscretizedLogistic(Space((1,), "levels", 256))
    for raw, location, level in ((0.0, 127.5, 127), (-1.0, 0.0, 1), (1.0, 255.0, 254)):
        p = likelihood(torch.tensor([[[raw], [0.0]]], dtype=F64))
        edges = np.array([level - 0.5, level + 0.5])
        mass = np.diff(stats.logistic(location, 255 / 8).cdf(edges))[0]
        # Near its location a mass goes as 1/scale, which the soft upper bound, ln(8 · 256 · 8/255)
        # = 4.16 away, lowers by a factor of up to 1 + e^−4.16 = 1.016.
        found = p.log_prob_terms(torch.full((1, 1), float(level))).exp().item()
        assert found == pytest.approx(mass, rel=0.017)


def test_locations_of_the_discretized_logistic_are_levels():
    """At the narrowest scale, 1/32 of a level, all but e^−16 of the mass is on the level named."""
    likelihood = rp.DiscretizedLogistic(Space((1,), "levels", 5))
    for raw, level in ((-1.0, 0), (-0.5, 1), (0.0, 2), (1.0, 4), (7.0, 4), (-7.0, 0)):
        p = likelihood(torch.tensor([[[raw], [-100.0]]], dtype=F64))
        assert p.log_prob_terms(torch.full((1, 1), float(level))).item() > -1e-6
        assert p.center.item() == pytest.approx(level, abs=1e-5)


def test_bernoulli_of_all_images_sums_to_one():
    """All 2⁶ binary 1×2×3 images under one decoder output, saturated logits among them."""
    logits = torch.tensor([-60.0, -3.0, 0.0, 0.5, 8.0, 60.0], dtype=F64).view(1, 1, 1, 2, 3)
    p = rp.Bernoulli(Space((1, 2, 3), "binary"))(logits)
    images = torch.tensor(list(itertools.product([0.0, 1.0], repeat=6)), dtype=F64)
    log_prob = p.repeat(64).log_prob_terms(images.view(64, 1, 2, 3))
    assert log_prob.shape == (64, 6)
    assert abs(log_prob.sum(1).logsumexp(0).item()) < 1e-9


@pytest.mark.parametrize("scale", ["shared", "per-dimension", "fixed"])
def test_normal_of_real_data_is_the_normal(scale):
    likelihood = rp.Normal(Space((3,), "real"), scale, sigma=0.7).double()
    mean = torch.tensor([[0.1, -2.0, 4.0]], dtype=F64)
    x = torch.tensor([[0.0, 1.0, 5.0]], dtype=F64)
    wanted = stats.norm(mean.numpy(), 0.7).logpdf(x.numpy())
    # float32 log 0.7 before .double(), and the soft bounds 6.6 away: e^−6.6 = 1.4e-3 at worst.
    tolerance = 1e-6 if scale == "fixed" else 5e-3
    np.testing.assert_allclose(
        likelihood(mean).log_prob_terms(x).detach().numpy(), wanted, rtol=tolerance
    )
    trainable = [p for p in likelihood.parameters() if p.requires_grad]
    assert sum(p.numel() for p in trainable) == {"shared": 1, "per-dimension": 3, "fixed": 0}[scale]


@pytest.mark.parametrize("space", [Space((1,), "levels", 9), Space((1,), "binary")])
def test_normal_of_discrete_data_is_dequantized_in_level_units(space):
    """Network mean m ∈ [0, 1] stands for level m(K−1), whose bin's middle is half a level up."""
    top, sigma = space.level_count - 1, 0.3
    p = rp.Normal(space, "fixed", sigma).double()(torch.tensor([[0.25]], dtype=F64))
    law = stats.norm(0.25 * top + 0.5, sigma * top)
    nodes, weights = np.polynomial.legendre.leggauss(6)
    for level in range(top + 1):
        wanted = law.logpdf(level + (nodes + 1) / 2) @ (weights / 2)
        found = p.log_prob_terms(torch.full((1, 1), float(level), dtype=F64)).item()
        assert found == pytest.approx(wanted, rel=1e-6)  # log σ was float32 before .double()
    assert p.center.item() == pytest.approx(0.25 * top)
    assert p.kind == "lower bound"


# ------------------------------------------------------- a scale for each entry from the decoder

MEANS = torch.tensor([[0.1, -2.0, 4.0], [1.0, 0.0, 3.0]], dtype=F64)
SCALES = torch.tensor([[0.3, 1.0, 2.5], [1.5, 0.5, 1.2]], dtype=F64)


def decoder_output(scales: torch.Tensor, start: float = 1.0) -> torch.Tensor:
    """What gives these σ: ln σ = 7 − s(14 − s(r + 7)), s = softplus, solved for r + ln start."""

    def inverse_softplus(value: torch.Tensor) -> torch.Tensor:
        return value + torch.log(-torch.expm1(-value))

    return inverse_softplus(14 - inverse_softplus(7 - scales.log())) - 7 - math.log(start)


def test_normal_with_scales_of_the_network_is_the_normal_of_each_entry():
    likelihood = rp.Normal(Space((3,), "real"), "network", sigma=0.7).double()
    assert likelihood.parameter_shape == (2, 3) and not list(likelihood.parameters())
    raw = decoder_output(SCALES, 0.7)
    p = likelihood(torch.stack([MEANS, raw], 1))
    x = torch.tensor([[0.0, -1.5, 6.0], [1.5, 0.2, 2.0]], dtype=F64)
    law = stats.norm(MEANS.numpy(), SCALES.numpy())
    np.testing.assert_allclose(p.log_prob_terms(x).numpy(), law.logpdf(x.numpy()), rtol=1e-12)
    torch.testing.assert_close(p.variance, SCALES.square(), rtol=1e-12, atol=0)
    assert torch.equal(p.center, MEANS) and p.kind == "exact"
    # 5.7 or more within its bounds, ln σ is ln 0.7 plus what the decoder says, but for e⁻⁵·⁷.
    assert ((0.7 * raw.exp()).log() - SCALES.log()).abs().max() < math.exp(-5.7)
    draws = p.repeat(20_000).sample(torch.Generator().manual_seed(0)).view(2, 20_000, 3)
    # Five standard errors of each: σ/√n of a mean, σ²√(2/n) of a variance.
    assert ((draws.mean(1) - MEANS).abs() < 5 * SCALES / 20_000**0.5).all()
    assert ((draws.var(1) / SCALES.square() - 1).abs() < 5 * (2 / 20_000) ** 0.5).all()


@pytest.mark.parametrize("space", [Space((3,), "levels", 9), Space((3,), "binary")])
def test_scales_of_the_network_are_dequantized_entry_by_entry(space):
    """E ln N(x + u) over the uniform u, by Gauss–Legendre quadrature: exact for a parabola."""
    top = space.level_count - 1
    p = rp.Normal(space, "network").double()(
        torch.stack([MEANS / 4, decoder_output(SCALES / 8)], 1)
    )
    law = stats.norm(MEANS.numpy() / 4 * top + 0.5, SCALES.numpy() / 8 * top)
    nodes, weights = np.polynomial.legendre.leggauss(6)
    for level in range(top + 1):
        each = [
            w / 2 * law.logpdf(level + (n + 1) / 2) for n, w in zip(nodes, weights, strict=True)
        ]
        found = p.log_prob_terms(torch.full((2, 3), float(level), dtype=F64))
        np.testing.assert_allclose(found.numpy(), sum(each), rtol=1e-10)
    assert p.kind == "lower bound"
    # Draws are rounded down, and their variance is that of the levels.
    edges = np.concatenate([[-np.inf], np.arange(1, top + 1), [np.inf]])
    mass = np.diff(law.cdf(edges[:, None, None]), axis=0)
    levels = np.arange(top + 1)[:, None, None]
    mean = (mass * levels).sum(0)
    wanted = (mass * (levels - mean) ** 2).sum(0)
    np.testing.assert_allclose(p.variance.numpy(), wanted, rtol=1e-9, atol=1e-12)
    draws = p.repeat(20_000).sample(torch.Generator().manual_seed(0)).view(2, 20_000, 3)
    # Five standard errors, and one draw in 20 000 where the mass beyond a level is next to none.
    error = 5 * np.sqrt(wanted / 20_000) + 1 / 20_000
    assert (np.abs(draws.mean(1).numpy() - mean) < error).all()


@pytest.mark.parametrize("kind", ["real", "levels"])
def test_the_slope_in_the_scale_vanishes_at_the_squared_error(kind):
    """∂ ln N / ∂ ln σ = z² − 1, and 1/(12σ²) more for dequantized levels: σ² = e² + 1/12."""
    space = Space((3,), kind, 9 if kind == "levels" else None)
    likelihood = rp.Normal(space, "network").double()
    top = 1 if kind == "real" else 8
    x = torch.tensor([[3.0, 1.0, 8.0]], dtype=F64)
    error = torch.tensor([[0.5, -2.0, 1.0]], dtype=F64)
    variance = error.square() + (1 / 12 if kind == "levels" else 0)
    for factor in (1.0, 0.9, 1.1):
        raw = decoder_output((factor * variance).sqrt() / top).requires_grad_()
        value = likelihood(torch.stack([(x - error) / top, raw], 1)).log_prob_terms(x).sum()
        (slope,) = torch.autograd.grad(value, raw)
        wanted = torch.full((1, 3), 1 / factor - 1, dtype=F64)
        # ln σ is 4 or more from its bounds, where it moves by 1 to 1 − e⁻⁴ times the output.
        torch.testing.assert_close(slope, wanted, rtol=math.exp(-4), atol=1e-12)


def test_a_perfect_fit_of_one_entry_has_the_density_of_the_floor():
    """Whatever the decoder says, σ stays above e⁻⁷: the density is finite and has a slope."""
    for dtype in (torch.float32, F64):
        parameters = torch.zeros(1, 2, 3, dtype=dtype)
        parameters[:, 1] = torch.tensor([-1e4, -20.0, 0.0])
        parameters.requires_grad_()
        p = rp.Normal(Space((3,), "real"), "network")(parameters)
        value = p.log_prob_terms(torch.zeros(1, 3, dtype=dtype))
        highest = 7 - 0.5 * math.log(2 * math.pi)
        assert value[0, :2].tolist() == pytest.approx([highest] * 2, abs=1e-4)
        value.sum().backward()
        assert parameters.grad.isfinite().all()


class _ByClass(torch.nn.Module):
    """Outputs that are a table by class, whatever z is."""

    def __init__(self, classes: int, *shape: int) -> None:
        super().__init__()
        self.table = torch.nn.Parameter(torch.zeros(classes, *shape))

    def forward(self, z: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        return self.table[c] + 0 * z.sum()


def test_scales_of_the_network_recover_the_deviations_of_every_class():
    """Without a code, the maximum of the bound is each class's own normal, in data units.

    Mean and σ by class and column are sample moments; the bound is −Σ ln σ − D/2 ln 2πe.
    """
    generator = torch.Generator().manual_seed(0)
    classes, n, d = 3, 400, 2
    c = torch.arange(n) % classes
    scales = torch.tensor([[0.1, 30.0], [1.0, 5.0], [0.3, 100.0]], dtype=F64)
    x = torch.randn(n, d, generator=generator, dtype=F64) * scales[c] + torch.tensor([2.0, -40.0])
    space = Space((d,), "real", classes=classes)
    parts = rp.DiagonalNormal(1), rp.StandardNormal(1), rp.Normal(space, "network")
    model = rp.VAE(space, _ByClass(classes, 2), _ByClass(classes, 2, d), *parts, conditional=True)
    model.double()
    for stage in model.stages:
        if isinstance(stage, Solve):
            stage.solve(model, [Batch(x, c)])
    table = model.decoder.table
    exactly: dict[str, Any] = {"tolerance_grad": 1e-12, "tolerance_change": 0.0}
    optimizer = torch.optim.LBFGS([table], max_iter=500, line_search_fn="strong_wolfe", **exactly)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        objective = model.loss(x, c).objective
        objective.backward()
        return objective

    optimizer.step(closure)
    p = model.likelihood(torch.zeros(classes, 1, dtype=F64), torch.arange(classes))
    rows = [x[c == k] for k in range(classes)]
    mean = torch.stack([r.mean(0) for r in rows])
    deviation = torch.stack([r.std(0, correction=0) for r in rows])
    # Float64 values resolve a minimum to the root of their precision, 1e-8 of a deviation.
    torch.testing.assert_close((p.center - mean) / deviation, mean * 0, rtol=0, atol=1e-6)
    torch.testing.assert_close(p.variance.sqrt(), deviation, rtol=1e-6, atol=0)
    each = -deviation.log().sum(1) - d / 2 * math.log(2 * math.pi * math.e)
    wanted = sum(len(r) * e for r, e in zip(rows, each, strict=True)) / n
    bound = -model.loss(x, c).terms["distortion"].mean()
    torch.testing.assert_close(bound, wanted, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    ("preset", "options"),
    [
        ("sigma-vae", {"scale": "network", "network": "conv"}),
        ("vae", {"likelihood": "heteroscedastic-normal"}),
        ("cvae", {"likelihood": "heteroscedastic-normal"}),
        ("ladder-vae", {"likelihood": "heteroscedastic-normal", "latent_dims": (2, 2)}),
        ("iwae", {"likelihood": "heteroscedastic-normal", "k": 2}),
    ],
)
@pytest.mark.parametrize("kind", ["binary", "levels", "real"])
def test_presets_take_scales_of_the_network(preset, options, kind):
    space = Space((1, 9, 8), kind, 5 if kind == "levels" else None, classes=2)
    model = rp.build(preset, space, hidden=(8,), **options)
    x, c = torch.randint(0, 2, (4, 1, 9, 8)).float(), torch.tensor([0, 1, 0, 1])
    c = c if model.conditional else None
    model.loss(x, c).objective.backward()
    assert all(w.grad is None or w.grad.isfinite().all() for w in model.parameters())
    model.eval()
    found = model.log_prob(x, c, samples=2)
    assert found.kind == "lower bound" and found.value.isfinite().all()
    assert model.sample(2, None if c is None else c[:2]).shape == (2, 1, 9, 8)
    p = model.likelihood(model.encode(x, c), c)
    assert p.variance.shape == (4, 1, 9, 8) and len(p.variance.unique()) > 4


def test_a_constant_column_does_not_give_an_infinite_density():
    """However far the learned σ runs down, the density of a perfect fit stays finite."""
    likelihood = rp.Normal(Space((2,), "real"))
    with torch.no_grad():
        likelihood.log_scale.fill_(-1e4)
    value = likelihood(torch.zeros(1, 2)).log_prob_terms(torch.zeros(1, 2)).sum().item()
    assert value == pytest.approx(2 * (7 - 0.5 * math.log(2 * math.pi)), abs=1e-4)


def test_the_default_likelihood_is_exact():
    for space in (Space((2,), "binary"), Space((2,), "levels", 5), Space((2,), "real")):
        likelihood = make_likelihood("auto", space)
        assert likelihood(torch.zeros(1, *likelihood.parameter_shape)).kind == "exact"


def test_refusals():
    with pytest.raises(ValueError, match="likelihood: Bernoulli .* binary data, got real data"):
        rp.Bernoulli(Space((2,), "real"))
    with pytest.raises(ValueError, match="likelihood: DiscretizedLogistic .* got binary data"):
        rp.DiscretizedLogistic(Space((2,), "binary"))
    with pytest.raises(ValueError, match="scale: expected shared, .* got 'wide'"):
        rp.Normal(Space((2,), "real"), "wide")
    with pytest.raises(ValueError, match="sigma: expected a number above 0, got 0"):
        rp.Normal(Space((2,), "real"), sigma=0)
    with pytest.raises(ValueError, match=r"decoder: Bernoulli expects .*\(B, 1, 2\), got \(3, 5\)"):
        rp.Bernoulli(Space((2,), "binary"))(torch.zeros(3, 5))
    with pytest.raises(ValueError, match=r"encoder: DiagonalNormal expects .*\(3, 5\)"):
        rp.DiagonalNormal(2)(torch.zeros(3, 5))
    with pytest.raises(ValueError, match="latent_dim: expected a whole number .* got 0"):
        rp.DiagonalNormal(0)
