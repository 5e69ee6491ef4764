"""Labels, attributes and images as input of a network."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from reparam.model import Space


class Condition(nn.Module):
    """What a condition adds to a layer of ``width`` units: a linear map without a bias.

    Of the class label, as one-hot vector, that is an embedding; of attributes a matrix. Adding,
    unlike concatenating to the input, leaves the other sums as they are: with these weights at
    zero the network computes exactly what it does without a condition.

    Args:
        space: the shape of an image (``given``), or how many attributes (standardized) or, without
            any, classes there are.
        width: units of the layer.

    Shape: c (B,) int64, (B, attributes) or (B, *given) → (B, width).

    >>> import torch
    >>> Condition(Space((4,), "real", classes=10), 16)(torch.tensor([3, 0, 9])).shape
    torch.Size([3, 16])
    >>> Condition(Space((4,), "real", attributes=2), 16)(torch.zeros(3, 2)).shape
    torch.Size([3, 16])
    """

    def __init__(self, space: Space, width: int) -> None:
        super().__init__()
        self.map: nn.Module
        if space.given is not None:
            entries = math.prod(space.given)
            self.map = nn.Sequential(nn.Flatten(), nn.Linear(entries, width, bias=False))
        elif space.attributes is not None:
            self.map = nn.Linear(space.attributes, width, bias=False)
        elif space.classes is None:
            raise ValueError("conditional: expected data with labels or attributes, got none")
        else:
            self.map = embedding = nn.Embedding(space.classes, width)
            nn.init.normal_(embedding.weight, std=space.classes**-0.5)

    def forward(self, c: Tensor) -> Tensor:
        return self.map(c)


class Beside(nn.Module):
    """What an image beside the input adds to a convolution of stride 1 or 2 on a grid: 3 × 3.

    That is a convolution of both, but that with these weights at zero the sums are as they are
    without it. On a coarser grid the image's blocks are channels, so that nothing of it is lost.

    Args:
        given: (C, H, W) of the image.
        width: units of the layer.
        block: sides of the blocks of pixels that become channels.

    Shape: c (B, C, H, W) → (B, width, ⌈H/block⌉, ⌈W/block⌉).

    >>> import torch
    >>> Beside((1, 5, 4), 8, block=2)(torch.zeros(2, 1, 5, 4)).shape
    torch.Size([2, 8, 3, 2])
    """

    def __init__(self, given: tuple[int, ...], width: int, block: int = 1) -> None:
        super().__init__()
        self.block, inputs = block, given[0] * block**2
        self.map = nn.Conv2d(inputs, width, 3, padding=1, bias=False)

    def forward(self, c: Tensor) -> Tensor:
        height, width = c.shape[2:]
        padded = F.pad(c, (0, -width % self.block, 0, -height % self.block))
        return self.map(F.pixel_unshuffle(padded, self.block))


class Surroundings(nn.Module):
    """What is around each pixel of an image, as features: three convolutions, 15 pixels wide.

    Args:
        given: (C, H, W) of the image.
        features: for every pixel.

    Shape: c (B, C, H, W) → (B, features, H, W).

    >>> import torch
    >>> Surroundings((1, 5, 4), 6)(torch.zeros(2, 1, 5, 4)).shape
    torch.Size([2, 6, 5, 4])
    """

    def __init__(self, given: tuple[int, ...], features: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, dilation in ((given[0], 1), (features, 2), (features, 4)):
            layers += [nn.Conv2d(inputs, features, 3, 1, dilation, dilation), nn.SiLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, c: Tensor) -> Tensor:
        return self.layers(c)
