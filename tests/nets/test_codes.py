"""Codes without an order: gathered weights are the product with one-hot codes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import reparam as rp
from reparam.nets import pixels
from reparam.nets.autoregressive_network import AutoregressiveNetwork
from reparam.nets.causal_conv import CausalConv, channel_groups

F64 = torch.float64


def codes_of(shape: tuple[int, ...], codes: int, rows: int = 3) -> Tensor:
    return torch.randint(codes, (rows, *shape), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("mask", ["A", "B", "none"])
@pytest.mark.parametrize("rows_above", [True, False])
@pytest.mark.parametrize("shape", [(1, 5, 4), (3, 3, 7)], ids=str)
def test_gathered_weights_are_the_product_with_one_hot_codes(mask, rows_above, shape):
    """Values and the gradient of the weight, at windows wider than the image too."""
    torch.manual_seed(0)
    codes, channels = 6, shape[0]
    groups = channel_groups(channels * codes, channels), channel_groups(5, channels)
    conv = CausalConv(*groups, 7, mask, rows_above=rows_above, codes=codes).double()
    x = codes_of(shape, codes)
    one_hot = torch.nn.functional.one_hot(x, codes).movedim(4, 2).flatten(1, 2).to(F64)
    found, expected = conv(x + 1), conv._convolve(one_hot)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    weight = torch.randn_like(found)
    (ours,) = torch.autograd.grad((found * weight).sum(), conv.weight)
    (wanted,) = torch.autograd.grad((expected * weight).sum(), conv.weight)
    torch.testing.assert_close(ours, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("hidden", [(), (7, 6)], ids=str)
def test_the_codes_of_made_choose_columns_of_its_masked_weights(hidden):
    """Every layer that sees x, against the product with one-hot codes; and its gradient."""
    torch.manual_seed(0)
    net = rp.MADE((2, 1, 3), 2, hidden, orders=2, direct=True, codes=5).double()
    layers = [[*net.layers, net.head][0], *([net.direct] if hidden else [])]
    index = codes_of((6,), 5)
    one_hot = torch.nn.functional.one_hot(index, 5).flatten(1).to(F64)
    for layer in layers:
        assert layer.weight.shape[1] == 30
        for member in (0, 1):
            found = layer(index, member)
            mask = layer.masks[member].repeat_interleave(5, 1)
            expected = torch.nn.functional.linear(one_hot, layer.weight * mask, layer.bias)
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
            weight = torch.randn_like(found)
            (ours,) = torch.autograd.grad((found * weight).sum(), layer.weight)
            (wanted,) = torch.autograd.grad((expected * weight).sum(), layer.weight)
            torch.testing.assert_close(ours, wanted, rtol=0, atol=1e-12)


def test_the_transformer_embeds_the_codes_of_every_channel_by_themselves():
    """As the depths of a residual quantizer have codebooks of their own; a vector has one."""
    image, vector = (
        rp.CausalTransformer(shape, 5, 4, 1, 2, codes=5).value for shape in ((3, 2, 2), (12,))
    )
    assert (len(image.weight), len(vector.weight)) == (15, 5)
    x = torch.full((1, 12), 0.75)  # of the code 3
    assert torch.equal(image(x, slice(0, 12))[0], image.weight[[3, 8, 13] * 4])
    assert torch.equal(vector(x, slice(0, 12))[0], vector.weight[[3] * 12])


NETWORKS: dict[str, Callable[..., AutoregressiveNetwork]] = {
    "pixel-cnn": lambda *a: rp.PixelCNN(*a[:2], 6, 1, first_kernel=5, codes=a[2], context=2),
    "steep": lambda *a: rp.PixelCNN(*a[:2], 6, 1, 5, 3, codes=a[2], context=2),
    "gated": lambda *a: rp.GatedPixelCNN(*a[:2], 6, 1, first_kernel=5, codes=a[2], context=2),
    "pixel-rnn": lambda *a: rp.PixelRNN(*a[:2], 3, 1, first_kernel=3, codes=a[2], context=2),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("shape", [(1, 5, 4), (3, 3, 4)], ids=str)
def test_networks_of_many_codes_are_those_that_see_them_one_hot(name, shape, monkeypatch):
    """The same weights, passes and walks."""
    made = []
    for least in (2, 256):
        monkeypatch.setattr(pixels, "GATHERED_FROM", least)
        torch.manual_seed(0)
        made.append(NETWORKS[name](shape, 2, 5).double())
    gathered, one_hot = made
    assert (gathered.gathered, one_hot.gathered) == (5, 0)
    one_hot.load_state_dict(gathered.state_dict())
    x, context = codes_of(shape, 5).to(F64) / 4, torch.randn(3, 2, *shape[1:], dtype=F64)
    expected = one_hot(x, context)
    torch.testing.assert_close(gathered(x, context), expected, rtol=0, atol=1e-12)
    found = torch.full_like(expected, torch.nan).flatten(2)

    def draw(parameters: Tensor, sites: slice) -> Tensor:
        found[..., sites] = parameters
        return x.flatten(1)[:, sites]

    with torch.no_grad():
        gathered.generate(3, draw, context)
    torch.testing.assert_close(found, expected.flatten(2), rtol=0, atol=1e-12)
