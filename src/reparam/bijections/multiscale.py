"""The multi-scale architecture: a bijection from an image to one vector, coarsest part first."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from reparam.bijections.base import OF_PART, Bijection, Chain, Shape
from reparam.bijections.shape import Flatten

SMALLEST_SIDE = 4  # of the coarsest grid; of small images a quarter
Part = Callable[[Shape, int], Bijection]  # of the shape that comes in and the number of the scale


def scales_of(shape: Shape) -> int:
    """How many scales an image gets: as often as its sides can be halved and do not get too small.

    >>> [scales_of((1, *sides)) for sides in ((28, 28), (20, 28), (32, 32), (8, 8), (7, 7))]
    [2, 2, 3, 2, 1]
    """
    height, width = shape[1:]
    smallest = min(SMALLEST_SIDE, max(1, min(height, width) // 4))
    count = 0
    while height % 2 == width % 2 == 0 and min(height, width) // 2 >= smallest:
        height, width, count = height // 2, width // 2, count + 1
    return max(1, count)


class MultiScale(Chain):
    """A scale, of whose channels the second half is done, and the next scale for the first half.

    What is done stands in the code behind what comes of the rest, so that the code is one vector,
    coarsest part first, and nothing is dropped; ``layers`` are the sizes of its parts. A learned
    prior of the half that is done, given the other, is a coupling that keeps the first channels and
    moves the second ones to a standard normal.

    Args:
        shape: (C, H, W).
        scales: how many; None: as many as the image allows.
        block: makes the bijection of a scale from (C, H, W) and its number, 0 being the finest;
            somewhere in it stands a ``Squeeze``.
        prior: makes one more bijection behind every block but the last, from the shape there.

    Shape: (B, C, H, W) → (B, D), context (B, F), the same for all parts that take one, ladj (B,).

    Raises:
        ValueError: no image, fewer than one scale, a single channel that is to be split, or parts
            whose shapes or contexts do not fit.

    Reference: Dinh et al. 2017, section 3.6; Kingma & Dhariwal 2018 for the prior, in their code.
    https://arxiv.org/abs/1605.08803, https://arxiv.org/abs/1807.03039

    >>> from reparam.bijections.shape import Squeeze
    >>> flow = MultiScale((1, 8, 8), None, lambda shape, scale: Squeeze(shape))
    >>> flow.layers, flow(torch.zeros(2, 1, 8, 8))[0].shape
    ((32, 32), torch.Size([2, 64]))
    """

    def __init__(
        self,
        shape: Shape,
        scales: int | None,
        block: Part,
        prior: Part | None = None,
        first: int = 0,
    ) -> None:
        if len(shape) != 3:
            raise ValueError(f"shape: expected images (C, H, W), got {shape}")
        scales = scales_of(shape) if scales is None else scales
        if scales < 1:
            raise ValueError(f"scales: expected at least 1, got {scales}")
        parts = [block(shape, first)]
        shape = parts[0].gives or shape
        if scales == 1:
            super().__init__(*parts, Flatten(shape), context="shared")
            self.layers: tuple[int, ...] = (math.prod(shape),)
            return
        if prior is not None:
            parts.append(prior(shape, first))
        kept, done = split_shapes(shape)
        rest = MultiScale(kept, scales - 1, block, prior, first + 1)
        super().__init__(*parts, Split(shape, rest), context="shared")
        self.layers = (*rest.layers, math.prod(done))


class Split(Bijection):
    """The first half of the channels goes through ``rest``, the second one stands behind it.

    Args:
        shape: (C, H, W), of two channels or more; of an odd number the second half has one more.
        rest: a bijection from the first half to vectors.

    Shape: (B, C, H, W) → (B, D), context (B, F) that of ``rest``, ladj (B,).

    >>> part = Split((3, 1, 1), Flatten((1, 1, 1)))
    >>> part(torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1))[0]
    tensor([[1., 2., 3.]])
    """

    costs = OF_PART

    def __init__(self, shape: Shape, rest: Bijection) -> None:
        super().__init__()
        self.takes: Shape = tuple(shape)
        self.rest, (self.kept, self.done) = rest, split_shapes(shape)
        if rest.takes != self.kept or rest.gives is None or len(rest.gives) != 1:
            raise ValueError(
                f"rest: expected a bijection from {self.kept} to vectors, got one from "
                f"{rest.takes} to {rest.gives}"
            )
        self.channels, self.length = self.kept[0], rest.gives[0]
        self.context_features, self.learns = rest.context_features, rest.learns

    @property
    def gives(self) -> Shape:
        return (self.length + math.prod(self.done),)

    def members(self, context: Tensor | None = None) -> Iterator[tuple[Bijection, Tensor | None]]:
        """Those of ``rest``, each of which leaves alone what is done."""
        shape, behind = self.kept, math.prod(self.done)
        yield Split(self.takes, Flatten(shape)), None
        for member, part in self.rest.members(context):
            ahead = Ahead(member, shape, behind)
            shape = ahead.shapes[1]
            yield ahead, part

    def learn(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return torch.cat([self.rest.learn(x[:, : self.channels], context), self._done(x)], 1)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z, ladj = self.rest(x[:, : self.channels], context)
        return torch.cat([z, self._done(x)], 1), ladj

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        kept, ladj = self.rest.inverse(z[:, : self.length], context)
        return torch.cat([kept, z[:, self.length :].unflatten(1, self.done)], 1), ladj

    def _done(self, x: Tensor) -> Tensor:
        return x[:, self.channels :].flatten(1)


class Ahead(Bijection):
    """A bijection of the first entries of vectors, those behind them staying as they are.

    Args:
        bijection: of rows of ``shape``.
        shape: of what it takes, which the vectors begin with, flat.
        behind: how many entries follow.

    Shape: (B, D) both ways, context that of ``bijection``, ladj (B,).

    >>> from reparam.bijections.shape import Reverse
    >>> Ahead(Reverse(), (2,), 1)(torch.tensor([[1.0, 2.0, 3.0]]))[0]
    tensor([[2., 1., 3.]])
    """

    costs = OF_PART

    def __init__(self, bijection: Bijection, shape: Shape, behind: int) -> None:
        super().__init__()
        self.bijection, self.shapes = bijection, (shape, bijection.gives or shape)
        self.takes, self.length = (math.prod(shape) + behind,), math.prod(shape)
        self.context_features = bijection.context_features

    @property
    def title(self) -> str:
        return self.bijection.title

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z, ladj = self.bijection(x[:, : self.length].unflatten(1, self.shapes[0]), context)
        return torch.cat([z.flatten(1), x[:, self.length :]], 1), ladj

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        first = z[:, : self.length].unflatten(1, self.shapes[1])
        x, ladj = self.bijection.inverse(first, context)
        return torch.cat([x.flatten(1), z[:, self.length :]], 1), ladj


def split_shapes(shape: Shape) -> tuple[Shape, Shape]:
    """The shapes of the first half of the channels and of the others, one more if they are odd.

    Raises:
        ValueError: there is one channel.

    >>> split_shapes((5, 2, 2))
    ((2, 2, 2), (3, 2, 2))
    """
    channels, *sides = shape
    if channels < 2:
        raise ValueError(f"shape: expected two channels or more to split, got {shape}")
    kept = channels // 2
    return (kept, *sides), (channels - kept, *sides)
