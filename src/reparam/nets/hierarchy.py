"""Networks of VAEs with several layers of z: the paths through the layers, encoder and decoder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reparam import numerics
from reparam.nets.mlp import MLP
from reparam.nets.norm import batch_norm

Normal = tuple[Tensor, Tensor]  # means and log-scales of a layer, (B, size) each


class Path(nn.Module, ABC):
    """Layers of z one after the other: from what is given and the draws so far to the next normal.

    Means and log-scales have the precision of the state, whatever the networks compute in.
    """

    sizes: tuple[int, ...]  # of the layers, in the order in which they are drawn

    @abstractmethod
    def first_state(self, given: Tensor) -> Tensor:
        """The state before the first layer, from (B, F)."""

    @abstractmethod
    def layer(self, index: int, state: Tensor) -> Normal:
        """What the layer's normal is, given the state."""

    @abstractmethod
    def next_state(self, index: int, state: Tensor, z: Tensor) -> Tensor:
        """The state after the layer was drawn."""


class _VectorPath(Path):
    """A small network from every layer to the mean and log-scale of the next.

    Args:
        sizes: of the layers, in the order in which they are drawn.
        hidden: widths of the networks between them.
        normalize: the batch, before their activations.
    """

    def __init__(
        self, sizes: Sequence[int], hidden: Sequence[int], normalize: bool = False
    ) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        self.networks = nn.ModuleList(
            MLP((a,), (2 * b,), hidden, normalize=normalize) for a, b in pairwise(sizes)
        )

    def layer(self, index: int, state: Tensor) -> Normal:
        if index == 0:
            return self.first_layer(state)
        return numerics.mean_and_log_scale(self.networks[index - 1](state).to(state))

    @abstractmethod
    def first_layer(self, state: Tensor) -> Normal: ...

    def next_state(self, index: int, state: Tensor, z: Tensor) -> Tensor:
        return z


class TopDown(_VectorPath):
    """p(z_K) = N(0, I), p(z_l|z_{l+1}) normal by a small network: vectors, coarsest first.

    Args:
        sizes: of the layers, coarsest first.
        hidden: widths of the networks between them.
        normalize: the batch, before their activations.

    Reference: Rezende et al. 2014, "Stochastic backpropagation and approximate inference in deep
    generative models", section 3 (https://arxiv.org/abs/1401.4082).
    """

    def first_state(self, given: Tensor) -> Tensor:
        return given.new_zeros(given.shape[0], self.sizes[0])

    def first_layer(self, state: Tensor) -> Normal:
        return state, state  # zeros: N(0, I)


class BottomUp(_VectorPath):
    """q(z_1|x), q(z_{l+1}|z_l) normal by a small network: vectors, finest first.

    Given are the mean and log-scale of z_1. Arguments are those of ``TopDown``, sizes finest first.
    """

    def first_state(self, given: Tensor) -> Tensor:
        return given

    def first_layer(self, state: Tensor) -> Normal:
        return numerics.mean_and_log_scale(state)


class Evidence(nn.Module, ABC):
    """What an encoder says of each layer to a posterior that goes down the generative path."""

    @abstractmethod
    def by_layer(self, outputs: Tensor) -> Sequence[Tensor]:
        """The encoder's outputs, (B, F), layer by layer."""

    @abstractmethod
    def forward(self, index: int, of_layer: Tensor, state: Tensor) -> Normal:
        """The normal of that layer given the state of the path."""


class LadderEncoder(nn.Module):
    """The deterministic way up of a ladder: features → mean and log-scale for every layer.

    d_1 is given; d_{l+1} a network of d_l; each layer's evidence is linear in its d.

    Args:
        features: network from x and the condition to d_1.
        sizes: of the layers, coarsest first.
        width: of every d.
        normalize: the batch, d_1 and before the activations of the networks.

    Shape: x → (B, 2 Σ sizes), coarsest first.

    Reference: Sønderby et al. 2016, "Ladder variational autoencoders"
    (https://arxiv.org/abs/1602.02282).

    >>> LadderEncoder(MLP((5,), (8,)), (2, 3), 8)(torch.zeros(4, 5)).shape
    torch.Size([4, 10])
    """

    def __init__(
        self, features: nn.Module, sizes: Sequence[int], width: int, normalize: bool = False
    ) -> None:
        super().__init__()
        upwards, one = sizes[::-1], (width,)
        self.features = features
        self.first = nn.Sequential(*batch_norm(width, normalize))
        self.up = nn.ModuleList(MLP(one, one, one, normalize=normalize) for _ in upwards[1:])
        self.heads = nn.ModuleList(nn.Linear(width, 2 * size) for size in upwards)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        h = self.first(self.features(x, c))
        found = [self.heads[0](h)]
        for network, head in zip(self.up, self.heads[1:], strict=True):
            h = h + network(F.relu(h))
            found.append(head(h))
        return torch.cat(found[::-1], 1)


class FinestDecoder(nn.Module):
    """The decoder of models whose p(x|z) depends on the finest layer z_1 alone.

    Args:
        size: of z_1, which comes last in z.
        network: from z_1 and the condition to the parameters of p(x|z).
    """

    def __init__(self, size: int, network: nn.Module) -> None:
        super().__init__()
        self.size, self.network = size, network

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return self.network(z[:, -self.size :], c)
