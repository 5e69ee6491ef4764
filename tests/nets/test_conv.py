"""Convolutional networks: any size comes back, blocks of pixels start out alike."""

import pytest
import torch
from torch import Tensor

import reparam as rp
from reparam.nets import ConvDecoder, ConvEncoder


@pytest.mark.parametrize("size", [(1, 1), (3, 9), (5, 5), (8, 8), (20, 27), (33, 64)])
def test_any_size_comes_back(size):
    z = ConvEncoder((3, *size), (4,), widest=32)(torch.zeros(2, 3, *size))
    assert z.shape == (2, 4)
    assert ConvDecoder((4,), (2, 3, *size), widest=32)(z).shape == (2, 2, 3, *size)


def test_blocks_start_out_as_an_enlargement():
    """Before training, the four pixels of a block are one: nearest neighbors, no checkerboard."""
    torch.manual_seed(0)
    out = ConvDecoder((4,), (1, 1, 16, 16), widest=32)(torch.randn(2, 4))[:, 0, 0]
    blocks = out.unfold(1, 2, 2).unfold(2, 2, 2).flatten(3)  # (2, 8, 8, 4)
    assert (blocks == blocks[..., :1]).all() and blocks.std() > 0


def test_parameters_and_channels_are_not_mixed_up():
    """Each channel of the output follows the four filters of its own, and no other's."""
    torch.manual_seed(0)
    decoder, z = ConvDecoder((4,), (2, 3, 16, 16), widest=32), torch.randn(2, 4)
    before = decoder(z)
    with torch.no_grad():
        decoder.output.bias[4 * 4 : 5 * 4] += 1  # parameter 1 of channel 1: filters 16 … 19
    moved = (decoder(z) - before).abs().amax((0, 3, 4)) > 0.5
    assert moved.tolist() == [[False, False, False], [False, True, False]]


@pytest.mark.parametrize(
    "shape", [(1, 4, 4), (3, 1, 5), (1, 2, 30), (2, 5, 9), (1, 33, 6)], ids=str
)
def test_convolutions_on_small_and_odd_images_use_every_weight(shape):
    """Too small to halve, or halved to odd sizes."""
    space = rp.Space(shape, "binary")
    model = rp.build("vae", space, latent_dim=2, hidden=(8, 4), network="conv").double()
    x = random_rows(6, shape)
    model.loss(x).objective.backward()
    idle = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not idle
    assert model.reconstruct(x).shape == x.shape


def random_rows(n: int, shape: tuple[int, ...]) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(n, *shape, generator=generator, dtype=torch.float64) > 0.5).double()
