"""Dequantization: the boxes of levels, the density of the noise, and the bound they give."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from reparam import numerics
from reparam.bijections.base import Bijection, Chain
from reparam.bijections.dequantization import Dequantization, Uniform, Variational, beside
from reparam.bijections.logit import Logit, Rescale
from reparam.space import Column, Space

F64 = torch.float64
LEVELS, ALPHA = 4, 0.05
TINY = Space((2,), "levels", levels=LEVELS)
ALL = torch.tensor(list(itertools.product(range(LEVELS), repeat=2)), dtype=F64)


class Seeing(Bijection):
    """v = m + s·noise with m and log s from x and the context, whose rows are x and v."""

    def __init__(self, features: int, context: int = 0) -> None:
        super().__init__()
        self.context_features, self.features = context, features
        self.takes = (2 * features,)
        self.map = nn.Linear(features + context, 2 * features)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        shift, log_scale, seen = self.given(x, context)
        v = (x[:, self.features :] - shift) * torch.exp(-log_scale)
        return torch.cat([seen, v], 1), -log_scale.sum(1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        shift, log_scale, seen = self.given(z, context)
        v = shift + z[:, self.features :] * torch.exp(log_scale)
        return torch.cat([seen, v], 1), log_scale.sum(1)

    def given(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        seen = x[:, : self.features]
        inputs = seen if context is None else torch.cat([seen, context], 1)
        return (*self.map(inputs).chunk(2, 1), seen)


class Correlated(Bijection):
    """z = L y, a fixed matrix of a density whose entries depend on each other."""

    matrix = torch.tensor([[0.8, 0.0], [0.5, 1.1]], dtype=F64)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return x @ self.matrix.T - 0.4, torch.log(self.matrix.diag()).sum().expand(len(x))

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return (z + 0.4) @ torch.inverse(self.matrix).T, -self.forward(z)[1]


def log_density(y: Tensor) -> Tensor:
    """log p(y) of levels made real: a normal behind y/K, its logit and a matrix."""
    z, ladj = Chain(Rescale(LEVELS), Logit(ALPHA), Correlated())(y)
    return numerics.standard_normal_log_prob(z).sum(1) + ladj


def log_masses(margin: float = 0.0, points: int = 40) -> Tensor:
    """log P(x) of all x: the density over each box, or its middle, by Gauss–Legendre quadrature."""
    nodes, weights = np.polynomial.legendre.leggauss(points)
    width = 0.5 - margin
    u, w = 0.5 + width * torch.from_numpy(nodes), width * torch.from_numpy(weights)
    grid, area = torch.cartesian_prod(u, u), torch.outer(w, w).flatten()
    return torch.stack([(log_density(x + grid).exp() * area).sum().log() for x in ALL])


def boxes(name: str, space: Space = TINY, context: int = 0) -> Dequantization:
    torch.manual_seed(1)
    if name == "uniform":
        return Uniform(space)
    return Variational(space, Seeing(space.dimension, context)).double()


def test_masses_of_all_examples_are_that_of_the_box():
    """The normal's mass over what the box is mapped to: at most 1, by a quadrature of its own."""
    from scipy.stats import norm

    low = torch.tensor(ALPHA / (1 - ALPHA), dtype=F64).log().item()
    (a, _), (b, c) = Correlated.matrix.tolist()
    nodes, weights = np.polynomial.legendre.leggauss(80)
    t = -low * nodes  # the logit of the first entry, over all that it is in the box
    inner = norm.cdf(b * t - c * low - 0.4) - norm.cdf(b * t + c * low - 0.4)
    expected = float((weights * -low * a * norm.pdf(a * t - 0.4) * inner).sum())
    assert 0.9 < expected < 1
    assert log_masses().exp().sum().item() == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("name", ["uniform", "variational"])
def test_the_mean_over_draws_is_below_log_p_and_the_weights_give_p(name):
    """E log p(y) − log q ≤ log P(x), and E p(y)/q is P(x)."""
    dequantization, draws = boxes(name), 4000
    x = ALL.repeat_interleave(draws, 0)
    y, log_q = dequantization.draw(x, generator=torch.Generator().manual_seed(0))
    assert torch.equal(dequantization.quantize(y), x)
    weights = (log_density(y) - log_q).detach().view(len(ALL), draws)
    exact = log_masses()
    error = weights.std(1) / math.sqrt(draws)
    assert (weights.mean(1) < exact + error).all()
    assert weights.mean(1).mean() < exact.mean() - 3 * error.mean()
    ratio = (weights - exact[:, None]).exp()
    assert ((ratio.mean(1) - 1).abs() < 5 * ratio.std(1) / math.sqrt(draws)).all()


@pytest.mark.parametrize("context", [0, 3])
def test_the_density_of_variational_noise_is_that_of_its_jacobian(context):
    dequantization = boxes("variational", context=context)
    x = torch.tensor([[3.0, 1.0]], dtype=F64)
    given = torch.randn(1, context, dtype=F64) if context else None
    generator = torch.Generator().manual_seed(5)
    noise = torch.logit(numerics.noise(x, "uniform", generator))
    y, log_q = dequantization.draw(x, given, generator.manual_seed(5))

    def made(e: Tensor) -> Tensor:
        both = torch.cat([2 * x / (LEVELS - 1) - 1, e], 1)
        return torch.sigmoid(dequantization.flow.inverse(both, given)[0][:, 2:])

    jacobian = torch.autograd.functional.jacobian(made, noise)
    slope = torch.linalg.slogdet(jacobian.view(2, 2))[1]
    logistic = torch.sigmoid(noise) * torch.sigmoid(-noise)
    expected = logistic.log().sum() - slope
    torch.testing.assert_close(y, x + made(noise))
    torch.testing.assert_close(log_q.squeeze(), expected, rtol=1e-9, atol=1e-9)


def test_what_variational_noise_learns_comes_through_its_draws():
    dequantization = boxes("variational")
    y, log_q = dequantization.draw(ALL, generator=torch.Generator().manual_seed(0))
    before = (log_density(y) - log_q).mean()
    before.backward()
    for parameter in dequantization.parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0
        parameter.data += 0.02 * parameter.grad
    y, log_q = dequantization.draw(ALL, generator=torch.Generator().manual_seed(0))
    assert (log_density(y) - log_q).mean() > before


@pytest.mark.parametrize("noise", [0.0, 1 - 2**-24, 1.0])
@pytest.mark.parametrize("levels", [2, 256, 65536])
def test_no_draw_leaves_its_box(levels, noise, monkeypatch):
    """In float32 255 + (1 − 2⁻²⁴) is 256: in one of 130 000 draws, or 1 of 40 images of 3 072."""
    space = Space((2, 1, 1), "binary" if levels == 2 else "levels", None if levels == 2 else levels)
    dequantization = Uniform(space)
    x = torch.tensor([0.0, levels - 1]).view(1, 2, 1, 1)
    monkeypatch.setattr(numerics, "noise", lambda like, *_: torch.full_like(like, noise))
    y, _ = dequantization.draw(x)
    assert y.dtype == torch.float32 and ((y >= x) & (y < x + 1)).all()
    assert torch.equal(dequantization.quantize(y), x)


def test_middles_and_levels_of_what_lies_outside():
    dequantization = Uniform(TINY)
    assert dequantization.middle(torch.tensor([[0.0, 3.0]])).tolist() == [[0.5, 3.5]]
    outside = torch.tensor([[-0.3, 4.2], [2.999, 3.0], [-1e30, 1e30]])
    assert dequantization.quantize(outside).tolist() == [[0, 3], [2, 3], [0, 3]]
    for lost in (math.nan, math.inf, -math.inf):  # not hidden
        assert not dequantization.quantize(torch.full((1, 2), lost)).isfinite().any()


def test_the_same_generator_draws_the_same_noise():
    for name in ("uniform", "variational"):
        draws = [boxes(name).draw(ALL, None, torch.Generator().manual_seed(2)) for _ in range(2)]
        assert torch.equal(draws[0][0], draws[1][0]) and torch.equal(draws[0][1], draws[1][1])


def table(*columns: Column) -> Space:
    return Space((len(columns),), "mixed", columns=columns)


def test_of_tables_only_whole_numbers_are_dequantized():
    columns = (
        Column("age", "levels", 5, low=18),
        Column("height", "real"),
        Column("ill", "binary"),
    )
    dequantization = Uniform(table(*columns))
    x = torch.tensor([[4.0, 1.75, 1.0], [0.0, -3.2, 0.0]])
    y, log_q = dequantization.draw(x)
    assert torch.equal(y[:, 1], x[:, 1]) and (y[:, ::2] != x[:, ::2]).all()
    assert torch.equal(dequantization.quantize(y), x) and not log_q.any()
    far = torch.tensor([[99.0, 99.0, 99.0], [-99.0, -99.0, -99.0]])
    assert dequantization.quantize(far).tolist() == [[4, 99, 1], [0, -99, 0]]


def test_what_has_no_order_or_no_levels_is_refused():
    names = (Column("town", "category", 3), Column("a b", "category", 2), Column("age", "real"))
    with pytest.raises(ValueError, match=r"town: .*--drop town --drop 'a b'"):
        Uniform(table(*names))
    with pytest.raises(ValueError, match="dequantize: expected levels"):
        Uniform(Space((2,), "real"))
    with pytest.raises(ValueError, match="dequantize: expected uniform"):
        Variational(table(Column("ill", "binary"), Column("age", "real")), Chain())
    with pytest.raises(ValueError, match=r"flow: expected rows of \(4,\), got \(6,\)"):
        Variational(TINY, Seeing(3))


def test_couplings_of_noise_keep_all_of_x():
    split = beside(torch.tensor([[[True, False]]]))
    assert split.tolist() == [[[True, True]], [[True, False]]]
