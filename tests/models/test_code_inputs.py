"""Entries that are codes without an order, as autoregressive networks see them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from autoregressive_models import CODES, MODELS, name_of, random_model
from torch import Tensor

import reparam as rp
from reparam.model import Space
from reparam.models.autoregressive import Autoregressive

F64 = torch.float64


def views_by_code(network: Any) -> list[tuple[Tensor, int]]:
    """Weights of a network of nine entries and three codes, with an axis of the codes each."""
    if isinstance(network, rp.MADE):
        direct = [] if network.direct is None else [network.direct]
        read, written = [[*network.layers, network.head][0], *direct], [network.head, *direct]
        views = [(layer.weight.unflatten(1, (9, 3)), 2) for layer in read]
        views += [(layer.weight.unflatten(0, (3, 9)), 0) for layer in written]
        return [*views, (network.head.bias.unflatten(0, (3, 9)), 0)]
    if isinstance(network, rp.NADE):
        read = network.columns.weight.unflatten(0, (9, 3))
        return [(read, 1), (network.out_weight, 1), (network.out_bias, 1)]
    if isinstance(network, rp.GatedPixelCNN):
        first = network.blocks[0]
        views = [(first.vertical.weight, 1), (first.horizontal.weight, 1)]
    elif isinstance(network, rp.CausalTransformer):
        views = [(network.value.weight, 0)]
    else:
        views = [(network.first.weight, 1)]
    head = network.head[-1] if isinstance(network.head, torch.nn.ModuleList) else network.head
    return [*views, (head.weight, 0), (head.bias, 0)]


def relabeled(model: Autoregressive, new: Tensor) -> Autoregressive:
    """The model whose weights at code ``new[k]``, of inputs and outputs, are those of this at k."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        for weight, axis in views_by_code(other.network):
            weight.index_copy_(axis, new, weight.clone())
    return other


@pytest.mark.parametrize(
    "which", [w for w in MODELS + CODES if w[1].get("inputs") == "one-hot"], ids=name_of
)
def test_a_prior_over_a_grid_of_codes_does_not_depend_on_how_they_are_numbered(which):
    """Other numbers for the same codes: the same network, its weights renumbered, fits as well."""
    space = Space((1, 3, 3), "levels", 3)
    model = random_model(which, space, likelihood="categorical")
    x = torch.randint(3, (64, *space.shape), generator=torch.Generator().manual_seed(0))
    value = model.log_prob(x).value
    new = torch.tensor([2, 0, 1])
    torch.testing.assert_close(relabeled(model, new).log_prob(new[x]).value, value)
    assert (model.log_prob(new[x]).value - value).abs().min() > 1e-6  # it is no symmetry of its own


@pytest.mark.parametrize("inputs,ordered", [("one-hot", False), ("numbers", True)])
def test_codes_seen_one_hot_have_no_order(inputs, ordered):
    """Numbers move the first layer along a line, the middle code half-way; unit vectors do not."""
    space = Space((1, 1, 2), "levels", 3)
    network: Any = random_model(("pixel-cnn", {"width": 5, "inputs": inputs}), space).network
    x = torch.zeros(3, 1, 1, 2, dtype=F64)
    x[:, 0, 0, 0] = torch.tensor([0.0, 0.5, 1.0])  # the three codes in network units
    low, middle, high = network.first(network.seen(x))[:, :, 0, 1]
    assert torch.allclose(low + high, 2 * middle) == ordered


@pytest.mark.parametrize("name", sorted({name for name, _ in MODELS} - {"pixel-cnn++"}))
def test_real_data_have_no_codes(name):
    with pytest.raises(ValueError, match="inputs: one-hot is for binary or levels data, got real"):
        rp.build(name, Space((1, 4, 4), "real"), inputs="one-hot")


def test_levels_of_a_mixture_are_no_codes():
    """Its logistics lie along the levels: there is no p(x) of it without their order."""
    with pytest.raises(ValueError, match="inputs"):
        rp.build("pixel-cnn++", Space((1, 4, 4), "levels", 5), inputs="one-hot")
