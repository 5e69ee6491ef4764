"""Walks: the product of the parts' distributions is the density, whichever family it is of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from holes import with_holes
from walking import (
    COLUMNS,
    F64,
    HOUSES,
    REALS,
    TABLE,
    B,
    along,
    check,
    drawn,
    numbers,
    scattered,
    total,
)

import reparam as rp
from reparam.bijections.elementwise import Standardize
from reparam.bijections.shape import Reverse
from reparam.bijections.standardize_columns import StandardizeColumns
from reparam.chain_rule import ChainRule
from reparam.distributions.autoregressive_likelihood import AutoregressiveDistribution
from reparam.distributions.channel_mixture import ChannelMixtureMass
from reparam.distributions.densities import (
    FullNormalDensity,
    NormalDensity,
    NormalMixtureDensity,
    StandardNormalDensity,
    StandardUniformDensity,
)
from reparam.distributions.dequantized import DequantizedNormalDensity
from reparam.distributions.hierarchies import (
    BottomUpPosterior,
    LadderPosterior,
    LayeredPrior,
)
from reparam.distributions.index_codes import ModelDensity, PointMass, UniformCodes
from reparam.distributions.known import Known
from reparam.distributions.likelihoods import Categorical, ConditionalNormal
from reparam.distributions.masses import (
    BernoulliMass,
    CategoricalMass,
    DiscretizedLogisticMass,
    DiscretizedNormalMass,
    LogisticMixtureMass,
    OneHotMass,
)
from reparam.distributions.mixed import ConditionalMixed, Mixed, MixedDistribution
from reparam.distributions.priors import AutoregressivePrior
from reparam.distributions.transformed import Transformed
from reparam.model import Distribution, Space
from reparam.nets.hierarchy import BottomUp, TopDown


def channels(count: int = 3, levels: int = 4) -> ChannelMixtureMass:
    pixels = Space((count, 2, 1), "levels", levels)
    module = rp.ChannelMixture(pixels, 2)
    return module(1.5 * numbers(B, *module.parameter_shape))


def full() -> FullNormalDensity:
    factor = numbers(B, 4, 4).tril(-1) + torch.diag_embed(numbers(B, 4, seed=4).exp())
    return FullNormalDensity(numbers(B, 4), factor)


def mixture() -> NormalMixtureDensity:
    weights = numbers(B, 3).log_softmax(1)
    return NormalMixtureDensity(2 * numbers(B, 3, 4), 0.5 * numbers(B, 3, 4, seed=4), weights)


def mixed(space: Space) -> Distribution:
    module = Mixed(space).double()
    return module(numbers(B, *module.parameter_shape)).detach()


def pixels(space: Space, network: Any, conditional: Any) -> AutoregressiveDistribution:
    top = 1 if space.level_count is None else space.level_count - 1
    return AutoregressiveDistribution(
        scattered(network), conditional, torch.zeros(B, 0, dtype=F64), top
    )


GRAY = Space((1, 2, 3), "levels", 3)
COLORS = Space((3, 2, 2), "levels", 3)


def gray() -> AutoregressiveDistribution:
    network = rp.PixelCNN(GRAY.shape, 3, width=4, layers=1, first_kernel=3)
    return pixels(GRAY, network, Categorical(GRAY))


def colors() -> AutoregressiveDistribution:
    likelihood = rp.ChannelMixture(COLORS, 2)
    network = rp.PixelCNNPlusPlus(
        COLORS.shape, likelihood.parameter_shape[0], width=3, blocks=1, scales=1
    )
    return pixels(COLORS, network, likelihood)


def halfway(base: Distribution, shape: tuple[int, ...]) -> Known:
    """Of which some entries are known, and whole parts of some families."""
    known = torch.arange(torch.Size(shape).numel()).view(shape) % 3 != 1
    return Known(base, known, base.sample(torch.Generator().manual_seed(9)))


def raster_model() -> ChainRule:
    sizes = {"width": 4, "layers": 1, "first_kernel": 3}
    return scattered(rp.build("pixel-cnn", GRAY, likelihood="categorical", **sizes))


def columns_from(low: int) -> Transformed:
    """Whole numbers that count from another one, as likelihoods of tables are pushed through."""
    first = rp.Column("rooms", "levels", 4, low=low)
    space = Space((5,), "mixed", columns=(first, *COLUMNS[1:]))
    return Transformed(mixed(space), StandardizeColumns(space).double())


CASES: dict[str, Callable[[], Distribution]] = {
    "normal": lambda: NormalDensity(numbers(B, 4), numbers(B, 4, seed=4)),
    "standard normal": lambda: StandardNormalDensity(torch.zeros(B, 4, dtype=F64)),
    "uniform": lambda: StandardUniformDensity(torch.zeros(B, 4, dtype=F64)),
    "full": full,
    "mixture": mixture,
    "downwards": lambda: scattered(LayeredPrior(TopDown((3, 2, 1), (4,))))().repeat(B),
    "upwards": lambda: scattered(BottomUpPosterior(BottomUp((3, 2, 1), (4,)), 6))(numbers(B, 6)),
    "ladder": lambda: LadderPosterior(scattered(TopDown((1, 2), (4,))))(numbers(B, 6)),
    "autoregressive prior": lambda: scattered(AutoregressivePrior(rp.MADE((4,), 2, (8,))))().repeat(
        B
    ),
    "standardized": lambda: Transformed(
        NormalDensity(numbers(B, 4), numbers(B, 4, seed=4)), standardize()
    ),
    "bernoulli": lambda: BernoulliMass(numbers(B, 2, 3)),
    "logistic": lambda: DiscretizedLogisticMass(numbers(B, 4), numbers(B, 4, seed=4), 5),
    "discretized normal": lambda: DiscretizedNormalMass(numbers(B, 4), numbers(B, 4, seed=4), 5),
    "categorical": lambda: CategoricalMass(numbers(B, 3, 4)),
    "logistics": lambda: LogisticMixtureMass(
        numbers(B, 2, 4), 2 + 2 * numbers(B, 2, 4), numbers(B, 2, 4, seed=4), 5
    ),
    "channels": channels,
    "one channel": lambda: channels(1),
    "one-hot": lambda: OneHotMass(numbers(B, 3, 4)),
    "columns": lambda: mixed(TABLE),
    "columns from 5": lambda: columns_from(5),
    "real columns": lambda: mixed(REALS),
    "pixels": gray,
    "whole pixels": colors,
    "known entries": lambda: halfway(BernoulliMass(numbers(B, 2, 3)), (2, 3)),
    "known channels": lambda: halfway(channels(), (3, 2, 1)),
    "known pixels": lambda: halfway(gray(), GRAY.shape),
    "known whole pixels": lambda: halfway(colors(), COLORS.shape),
    "uniform codes": lambda: UniformCodes((2, 3), 4, torch.empty(0, dtype=F64), rows=B),
    "point": lambda: PointMass(torch.arange(2 * B).view(B, 2)),
    "model": lambda: ModelDensity(raster_model(), count=B),
}


def standardize() -> Standardize:
    found = Standardize(Space((4,), "real")).double()
    found.scale.copy_(torch.tensor([10.0, 0.1, 2.0, 3.0])[: len(found.scale)])
    return found


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_the_product_along_a_walk_is_the_density(name):
    p = CASES[name]()
    for x in (p.sample(torch.Generator().manual_seed(2)), drawn(p)):
        value = p.log_prob(x)
        assert value.isfinite().all()
        leaves = check(p, x, value)
        assert all(leaf.p.by_entry is leaf.p for leaf in leaves)


SMALL: dict[str, tuple[Callable[[], Any], int]] = {
    "channels": (lambda: channels(3, 3), 3),
    "known channels": (lambda: halfway(channels(3, 3), (3, 2, 1)), 3),
    "one-hot": (lambda: OneHotMass(numbers(B, 2, 3)), 2),
    "columns": (lambda: mixed(TABLE), 5),
    "pixels": (gray, 3),
}


@pytest.mark.parametrize("name", SMALL)
@torch.no_grad()
def test_the_products_of_all_x_sum_to_1(name):
    """Of a single row, which all x that there are walk through side by side."""
    make, levels = SMALL[name]
    p = make()
    shape = p.sample().shape[1:]
    states = torch.cartesian_prod(*[torch.arange(float(levels), dtype=F64)] * shape.numel())
    states = states.view(-1, *shape)
    if name == "one-hot":
        states = states[(states.view(-1, 2, 3).sum(2) == 1).all(1)]
    if name == "columns":
        counts = torch.tensor([column.count or 2 for column in COLUMNS])
        states = states[(states < counts).all(1)]
    if isinstance(p, Known):
        states = states[(~p.known | (states == p.value[:1])).flatten(1).all(1)]
    found, leaves = along(first_row(p).repeat(len(states)), states)
    assert torch.equal(found, states)
    assert total(leaves, len(states)).exp().sum().item() == pytest.approx(1, abs=1e-10)


def first_row(p: Any) -> Any:
    if isinstance(p, AutoregressiveDistribution):
        return replace(p, context=p.context[:1])
    if isinstance(p, MixedDistribution):
        return replace(p, parts=tuple(map(first_row, p.parts)))
    if isinstance(p, Known):
        return replace(p, base=first_row(p.base), value=p.value[:1])
    return p._map(lambda value: value[:1])


@torch.no_grad()
def test_tables_of_columns_have_no_level_that_is_none():
    """Columns of 4 and 2 levels side by side, and of 3 and 5 names."""
    _, leaves = along(mixed(TABLE), torch.zeros(B, 5, dtype=F64))
    levels, flags, names = (leaf.p.table() for leaf in leaves)
    assert levels.shape == (B, 2, 4) and flags.shape == (B, 1, 2) and names.shape == (B, 2, 5)
    assert (levels[:, 1, 2:] == 0).all() and (names[:, 0, 3:] == 0).all()
    assert (levels[:, 1, :2] > 0).all() and (names[:, 0, :3] > 0).all()


@torch.no_grad()
def test_missing_cells_count_nothing_along_a_walk():
    p = columns_from(5)
    x = with_holes(p.sample(torch.Generator().manual_seed(2)))
    check(p, x, p.log_prob(x))


@torch.no_grad()
def test_a_bound_on_levels_is_walked_through_by_their_mass():
    p = DequantizedNormalDensity(2 + numbers(B, 4), 0.3 * numbers(B, 4, seed=4), 5)
    x = p.sample(torch.Generator().manual_seed(2))
    found, leaves = along(p, x)
    assert torch.equal(found, x) and len(leaves) == 1
    assert (total(leaves, B) > p.log_prob(x)).all()


@torch.no_grad()
def test_what_is_known_altogether_is_not_visited():
    p = gray()
    known = torch.ones(GRAY.shape, dtype=torch.bool)
    known[0, 1, 1] = False
    told = Known(p, known, p.sample())
    x = told.sample(torch.Generator().manual_seed(1))
    _, leaves = along(told, x)
    assert sum(leaf.values[0].numel() for leaf in leaves) == 1
    before = Known(p, torch.zeros_like(known), x).sample(torch.Generator().manual_seed(1))
    assert not torch.equal(before, x)


@torch.no_grad()
def test_draws_of_what_is_unknown_see_what_is_known():
    """The last pixel given the others: its frequencies against its factor."""
    p, known = gray(), torch.ones(GRAY.shape, dtype=torch.bool)
    known[0, 1, 2] = False
    value = p.sample(torch.Generator().manual_seed(1))[:1]
    told = Known(first_row(p), known, value).repeat(4000)
    x = told.sample(torch.Generator().manual_seed(0))
    assert torch.equal(torch.where(known, x, 0), torch.where(known, value, 0).expand_as(x))
    states = value.repeat(3, 1, 1, 1)
    states[:, 0, 1, 2] = torch.arange(3.0)
    wanted = first_row(p).repeat(3).log_prob(states).softmax(0)
    shares = torch.bincount(x[:, 0, 1, 2].long(), minlength=3) / len(x)
    error = (wanted * (1 - wanted) / len(x)).sqrt()
    assert ((shares - wanted).abs() < 4.5 * error).all()


@torch.no_grad()
def test_rounded_mixtures_are_normalized_still():
    p = mixture().rounded(12)
    assert p.log_weights.exp().sum(1).allclose(torch.ones(B, dtype=F64), atol=1e-14)
    assert p.event_shape == (4,) and full().event_shape == (4,)
    assert channels().event_shape == (3, 2, 1)


REFUSED = {
    "flow": (
        lambda: Transformed(StandardNormalDensity(torch.zeros(B, 4)), Reverse()),
        "no one-dimensional conditionals",
    ),
    "standardized entries in turn": (
        lambda: Transformed(
            AutoregressivePrior(rp.MADE((4,), 2, (8,)))().repeat(B), standardize().float()
        ),
        "standardized units",
    ),
    "relaxed": (lambda: OneHotMass(torch.zeros(B, 3, 4), temperature=0.5), "eval mode"),
    "model": (
        lambda: ModelDensity(rp.GaussianMixture(Space((2,), "real"), components=1)),
        "GaussianMixture",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_walk_says_why(name):
    make, why = REFUSED[name]
    with pytest.raises(ValueError, match=why):
        make().walk(lambda p, sites: p.center)


@torch.no_grad()
def test_a_conditional_mixed_entry_is_walked_through_as_its_kind():
    p = ConditionalMixed(HOUSES).double()(numbers(B, 5, 5))
    x = torch.zeros(B, 5, dtype=F64)
    check(p, x, p.log_prob(x))
    assert ConditionalNormal(Space((2,), "real")).double()(numbers(B, 2, 2)).undivided
