"""Which entries of draws are independent, and by which law: counted draws against it."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

import reparam as rp
from reparam.bijections.base import Bijection
from reparam.bijections.elementwise import Standardize
from reparam.bijections.shape import Reverse
from reparam.distributions.densities import FullNormalDensity, NormalDensity, NormalMixtureDensity
from reparam.distributions.dequantized import OptimalNormalDensity
from reparam.distributions.likelihoods import Likelihood
from reparam.distributions.masses import OneHotMass
from reparam.distributions.mixed import Mixed
from reparam.distributions.transformed import Transformed
from reparam.model import Distribution, Space

N = 20_000


def numbers(*shape: int) -> torch.Tensor:
    return torch.randn(1, *shape, generator=torch.Generator().manual_seed(3)).double()


def likelihood(kind: type[Likelihood], space: Space, *args: object) -> Distribution:
    module = kind(space, *args).double()
    return module(1.5 * numbers(*module.parameter_shape))


LEVELS = Space((2,), "levels", 3)
COLUMNS = (rp.Column("kids", "levels", 3), rp.Column("city", "category", 3))
DISCRETE = {
    "Bernoulli": (rp.Bernoulli, Space((2,), "binary")),
    "Categorical": (rp.Categorical, LEVELS),
    "DiscretizedNormal": (rp.DiscretizedNormal, LEVELS),
    "DiscretizedLogistic": (rp.DiscretizedLogistic, LEVELS),
    "mixture": (rp.DiscretizedLogistic, LEVELS, 2),
    "dequantized": (rp.Normal, LEVELS),
    "optimal": (rp.Normal, LEVELS, "optimal"),
    "network": (rp.Normal, LEVELS, "network", 0.3),
    "Mixed": (Mixed, Space((2,), "mixed", columns=COLUMNS)),
}


@pytest.mark.parametrize("name", DISCRETE)
@torch.no_grad()
def test_draws_have_the_product_of_the_probabilities_of_their_entries(name):
    """Of pairs of entries: a bound in place of the mass, or a dependence, would show."""
    p = likelihood(*DISCRETE[name])
    assert isinstance(p, OptimalNormalDensity) == (name == "optimal")  # which is in training
    law = p.by_entry
    assert law is not None and law.kind == "exact"
    every = torch.cartesian_prod(*[torch.arange(DISCRETE[name][1].level_count or 3)] * 2).double()
    terms = law.repeat(len(every)).log_prob_terms(every)
    assert terms.shape == every.shape
    truth = terms.sum(1).exp()
    assert truth.sum().item() == pytest.approx(1, abs=1e-9)
    x = p.repeat(N).sample(torch.Generator().manual_seed(0))
    counts = (x[:, None] == every).all(2).sum(0)
    assert counts.sum() == N
    rare = truth * N < 5  # counted together
    seen = torch.cat([counts[~rare], counts[rare].sum()[None]]).double()
    wanted = torch.cat([truth[~rare], truth[rare].sum()[None]]) * N
    kept = wanted > 0
    assert stats.chisquare(seen[kept], wanted[kept]).pvalue > 1e-4


def test_standardized_normals_are_normals_of_each_entry():
    standardize = Standardize(Space((2,), "real")).double()
    standardize.scale.copy_(torch.tensor([10.0, 0.1]))
    standardize.shift.copy_(torch.tensor([-3.0, 5.0]))
    p = Transformed(NormalDensity(torch.zeros(1, 2).double(), numbers(2)), standardize)
    law, x = p.by_entry, torch.tensor([[1.0, 5.2]]).double()
    assert law is not None
    scale = standardize.scale * numbers(2).exp()
    expected = torch.distributions.Normal(standardize.shift, scale).log_prob(x)
    torch.testing.assert_close(law.log_prob_terms(x), expected)


ONE = torch.zeros(1, 2, 2)
IMAGES = Space((2, 2, 2), "levels", 4)
OTHERS = {
    "full": FullNormalDensity(ONE[:, 0], torch.eye(2)[None]),
    "mixture of vectors": NormalMixtureDensity(ONE, ONE, torch.zeros(1, 2)),
    "one-hot": OneHotMass(ONE),
    "channels": rp.ChannelMixture(IMAGES, 2)(torch.zeros(1, 12, 2, 2)),
    "moved": Transformed(NormalDensity(ONE[:, 0], ONE[:, 0]), Reverse()),
    "base": Transformed(FullNormalDensity(ONE[:, 0], torch.eye(2)[None]), Standardize(LEVELS)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_may_couple_entries_says_so(name):
    assert OTHERS[name].by_entry is None


def test_entrywise_bijections_have_factors():
    """As their attribute promises: every one that the library has."""
    found, waiting = [], [Bijection]
    while waiting:
        below = waiting.pop().__subclasses__()
        waiting += below
        found += [one for one in below if one.entrywise and one.__module__.startswith("reparam.")]
    assert Standardize in found
    for one in found:
        assert one.factors is not Bijection.factors
