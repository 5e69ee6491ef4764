"""Two grids of codes as one vector: normalized, causal, drawn as naively."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from autoregressive_models import all_states
from torch import Tensor

import reparam as rp
from reparam.model import Space
from reparam.models.autoregressive import Autoregressive

F64 = torch.float64


def random_pair(
    grid: tuple[int, int, int], codes: int, context: int = 0, bottom: Any = rp.PixelCNN
) -> Autoregressive:
    """Weights large enough that the entries depend on each other."""
    torch.manual_seed(2)
    half = (1, (grid[1] + 1) // 2, (grid[2] + 1) // 2)
    given = {"codes": codes, "layers": 1, "width": 8}
    if bottom is rp.CausalTransformer:
        given["heads"] = 2
    top = rp.CausalTransformer(half, codes, 8, 1, 2, context=context, codes=codes)
    below = bottom(grid, codes, context=3 + context, **given)
    network = rp.GridPair(top, below, codes=codes, features=3).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    entries = half[1] * half[2] + grid[1] * grid[2]
    space = Space((entries,), "levels", codes, classes=context or None)
    return Autoregressive(space, network, rp.Categorical(space), context > 0).eval().double()


BOTTOMS = [rp.PixelCNN, rp.GatedPixelCNN, rp.CausalTransformer]
every = pytest.mark.parametrize("bottom", BOTTOMS, ids=lambda b: b.__name__)


@every
@pytest.mark.parametrize("context", [0, 2])
def test_probabilities_of_all_pairs_of_grids_sum_to_one(bottom, context):
    model = random_pair((1, 2, 2), 2, context, bottom)
    x = all_states(model.space)
    assert x.shape == (32, 5)
    values = [model.log_prob(x, torch.full((32,), c)).value for c in range(context)]
    for value in values or [model.log_prob(x).value]:
        assert value.exp().sum().item() == pytest.approx(1, abs=1e-9)
        assert value.exp().std() > 1e-4


@every
def test_no_factor_depends_on_a_later_entry(bottom):
    """Sides that are odd: the last codes of the top stand for less than four of the bottom."""
    model = random_pair((1, 3, 5), 4, 0, bottom)
    size, top = model.space.dimension, 6
    x = torch.randint(4, (1, size)).double()
    changed = (x + torch.eye(size, dtype=F64)) % 4
    with torch.no_grad():
        before, after = (model.log_prob(values).per_dimension for values in (x, changed))
    same = torch.isclose(before, after, rtol=1e-12, atol=1e-13)  # row: the entry changed
    ranks = model.network.ranks_of()
    assert ranks[:top].tolist() == list(range(top)) and ranks[top:].min() == top
    assert same[ranks[None, :] < ranks[:, None]].all()
    assert not same.diagonal().any()


def test_the_bottom_is_told_the_code_above_each_of_its_positions():
    network: Any = random_pair((1, 3, 5), 4, 2).network
    codes = torch.tensor([[0, 1, 2], [3, 1, 0]])
    context = torch.tensor([[5.0, 6.0]], dtype=F64)
    told = network._told(codes.view(1, 6) / 3, context)
    assert told.shape == (1, 5, 3, 5)
    for i in range(3):
        for j in range(5):
            expected = torch.cat([network.embedding.weight[codes[i // 2, j // 2]], context[0]])
            assert torch.equal(told[0, :, i, j], expected)


@every
@pytest.mark.parametrize("context", [0, 2])
def test_samples_are_the_naive_ones(bottom, context):
    model = random_pair((1, 3, 5), 4, context, bottom)
    network, rows = model.network, 3
    c = torch.tensor([0, 1, 1]) if context else None
    given = model._context(c, rows)
    values, asked = torch.zeros(rows, 21, dtype=F64), torch.zeros(21)
    generator = torch.Generator().manual_seed(7)

    def visit(p: Any, sites: slice) -> Tensor:
        full = model.p_x.distribution(network(values / 3, given)[..., sites])
        drawn = full.sample(generator)
        expected = full.log_prob_terms(drawn)
        torch.testing.assert_close(p.log_prob_terms(drawn), expected, rtol=0, atol=1e-12)
        values[:, sites] = drawn
        asked[sites] += 1
        return drawn

    with torch.no_grad():
        model.walk(rows, visit, c)
    assert (asked == 1).all()
    again = model.sample(rows, c, generator=torch.Generator().manual_seed(7))
    assert torch.equal(again.double(), values)


def test_the_context_of_the_pair_reaches_both_grids():
    model = random_pair((1, 3, 4), 4, 2)
    x = torch.randint(4, (1, 16)).double()
    context = torch.eye(2, dtype=F64)[:1].requires_grad_()
    for part in (slice(None, 4), slice(4, None)):
        y = model.network(x / 3, context)[..., part].square().sum()
        assert (torch.autograd.grad(y, context)[0] != 0).all()


def test_the_bottom_is_completed_from_the_top():
    model = random_pair((1, 3, 4), 4, 2)
    x, c = torch.randint(4, (5, 16)), torch.arange(5) % 2
    mask = torch.arange(16) < 4
    generator = torch.Generator().manual_seed(0)
    found = model.complete(x, mask, c, generator=generator)
    assert torch.equal(found[:, mask], x[:, mask])
    assert (found[:, ~mask] != x[:, ~mask]).any()
    model.refuse_given(mask.expand(5, -1))  # they come first
    with pytest.raises(ValueError, match="entry 4 of row 0 is given and comes after"):
        model.refuse_given(~mask.expand(5, -1))


def test_a_step_trains_all_of_both_networks():
    model = random_pair((1, 3, 4), 4, 2).train()
    model.loss(torch.randint(4, (8, 16)), torch.arange(8) % 2).objective.backward()
    assert all(p.grad is not None and p.grad.any() for p in model.network.parameters())


def test_networks_of_other_grids_or_contexts_are_refused():
    def pixel(shape: tuple[int, int, int], context: int = 3) -> rp.PixelCNN:
        return rp.PixelCNN(shape, 2, 4, 1, codes=2, context=context)

    bottom = pixel((1, 3, 4))
    for top in (pixel((1, 2, 3), 0), pixel((1, 1, 2), 0), rp.MADE((4,), 2, (4,))):
        with pytest.raises(ValueError, match=r"top: .* of a grid \(1, 2, 2\) with a context of 0"):
            rp.GridPair(top, bottom, codes=2, features=3)
    top = pixel((1, 2, 2), 0)
    for other in (pixel((1, 3, 4), 2), rp.PixelCNNPlusPlus((1, 3, 4), 2, context=3)):
        with pytest.raises(ValueError, match="bottom: expected .* with a context of 3 numbers"):
            rp.GridPair(top, other, codes=2, features=3)
    with pytest.raises(ValueError, match="bottom: .* by position, .* got MADE"):
        rp.GridPair(top, rp.MADE((1, 3, 4), 2, (4,), context=3), codes=2, features=3)
