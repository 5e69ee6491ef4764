"""What an autoregressive network is: parameters of every entry from the entries before it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

# From parameters (B, P, n) of n sites, and which sites these are, to their values (B, n), or
# (B, C, n) of whole pixels, in network units.
Draw = Callable[[Tensor, slice], Tensor]


class AutoregressiveNetwork(nn.Module, ABC):
    """Parameters of p(x_i | x before i) for every i: all at once, or one site after the other.

    A site is what is drawn in one go: an entry of x, or with ``whole_pixels`` a pixel with all its
    channels. Sites are numbered in the layout of x: (*shape) flattened, or (H, W) flattened.

    ``forward`` gives all parameters from a known x; those of site i depend on the sites that come
    before i in the network's order, and on nothing else of x. ``generate`` calls ``draw`` with the
    parameters of site after site, computing each from cached activations; ``draw`` may be asked for
    several sites at once where none of them depends on another.

    A network has ``members`` that share weights but not their order: each alone is a network. It
    says what x it is of (``shape``), how many numbers its context has (0: it takes none) and
    whether these may differ from pixel to pixel, (B, F, H, W).
    """

    shape: tuple[int, ...]
    context_features: int = 0
    context_by_position: bool = False
    members: int = 1
    whole_pixels: bool = False

    @abstractmethod
    def forward(self, x: Tensor, context: Tensor | None = None, member: int | Tensor = 0) -> Tensor:
        """From x (B, *shape) in network units and context (B, F, …) to (B, P, *shape)."""

    def layout(self, rows: int) -> tuple[int, ...]:
        """The shape of x with its sites innermost: (B, D), or (B, C, H·W) of whole pixels."""
        return (rows, self.shape[0], -1) if self.whole_pixels else (rows, -1)

    def ranks_of(self, member: int = 0) -> Tensor:
        """When each entry of x, flattened, comes in the order of a member."""
        return raster_ranks(self.shape)

    @abstractmethod
    def generate(
        self, rows: int, draw: Draw, context: Tensor | None = None, member: int = 0
    ) -> None:
        """Ask ``draw`` for the values of ``rows`` examples, site after site."""


def raster_ranks(shape: Sequence[int]) -> Tensor:
    """When each entry comes, row by row, in a pixel channel by channel (R → G → B).

    >>> raster_ranks((2, 1, 3)).tolist()
    [0, 2, 4, 1, 3, 5]
    """
    if len(shape) == 1:
        return torch.arange(shape[0])
    channels, height, width = shape
    return torch.arange(height * width * channels).view(-1, channels).T.flatten()
