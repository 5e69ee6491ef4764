"""p(x|z) as a masked network told about z: normalized, and drawn as it says."""

from __future__ import annotations

import itertools

import pytest
import torch
from autoregressive_models import all_states
from frequencies import chi_square

import reparam as rp
from reparam.model import Space

F64 = torch.float64
SPACE = Space((1, 2, 3), "binary")


def likelihood(space: Space = SPACE) -> rp.AutoregressiveLikelihood:
    torch.manual_seed(0)
    network = rp.PixelCNN(space.shape, 1, width=6, layers=1, first_kernel=3, context=2)
    p_x = rp.AutoregressiveLikelihood(space, network, rp.Bernoulli(space), features=2).double()
    with torch.no_grad():
        for parameter in p_x.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return p_x


def test_draws_come_as_often_as_they_are_probable_and_differ_by_z():
    p_x = likelihood()
    contexts = torch.randn(2, 2, 2, 3, dtype=F64)
    images = torch.tensor(list(itertools.product((0, 1), repeat=6)), dtype=F64).view(64, 1, 2, 3)
    laws = []
    for context in contexts:
        p = p_x(context[None])
        law = p.repeat(64).log_prob_terms(images).sum(1).exp().detach()
        assert law.sum().item() == pytest.approx(1, abs=1e-9)
        x = p.repeat(8000).sample(torch.Generator().manual_seed(1))
        place = 2.0 ** torch.arange(5, -1, -1, dtype=F64)
        counts = torch.bincount((x.flatten(1) @ place).long(), minlength=64)
        assert chi_square(counts, law * 8000) > 1e-4
        laws.append(law)
    assert (laws[0] - laws[1]).abs().max() > 0.01


def test_the_center_is_the_walk_through_the_means():
    p_x = likelihood()
    context = torch.randn(3, 2, 2, 3, dtype=F64)
    p = p_x(context)
    x = torch.zeros(3, 1, 2, 3, dtype=F64)
    for i, j in itertools.product(range(2), range(3)):
        x[:, 0, i, j] = p_x.network(x, context)[:, 0, 0, i, j].sigmoid().detach()
    torch.testing.assert_close(p.center, x)
    torch.testing.assert_close(p.repeat(2).center, x.repeat_interleave(2, 0))


def test_a_transformer_told_by_position_is_a_likelihood_too():
    space = Space((1, 2, 2), "binary")
    network = rp.CausalTransformer(space.shape, 1, 4, 1, 2, context=3)
    p_x = rp.AutoregressiveLikelihood(space, network, rp.Bernoulli(space), features=3).double()
    p = p_x(torch.randn(1, 3, 2, 2, dtype=torch.float64)).repeat(16)
    total = p.log_prob(all_states(space)).exp().sum().item()
    assert total == pytest.approx(1, abs=1e-9)


OTHER_NETWORKS = {
    "two orders": lambda: rp.MADE(SPACE.shape, 1, (4,), orders=2, context=2),
    "no positions": lambda: rp.MADE(SPACE.shape, 1, (4,), context=2),
    "whole pixels": lambda: rp.PixelCNNPlusPlus(SPACE.shape, 1, 4, 1, 0, context=2),
    "blind to z": lambda: rp.PixelCNN(SPACE.shape, 1),
    "another z": lambda: rp.GatedPixelCNN(SPACE.shape, 1, context=3),
    "another x": lambda: rp.PixelRNN((1, 3, 2), 1, context=2),
}


@pytest.mark.parametrize("which", OTHER_NETWORKS)
def test_other_networks_are_refused(which):
    network, conditional = OTHER_NETWORKS[which](), rp.Bernoulli(SPACE)
    said = rf"network: expected one of the single entries .*, got {type(network).__name__} of"
    with pytest.raises(ValueError, match=said):
        rp.AutoregressiveLikelihood(SPACE, network, conditional, 2)


def test_conditionals_of_other_data_are_refused():
    space = Space((1, 2, 4), "binary")
    network = rp.PixelCNN(space.shape, 1, context=2)
    with pytest.raises(ValueError, match="conditional: expected one of"):
        rp.AutoregressiveLikelihood(space, network, rp.Bernoulli(SPACE), 2)
