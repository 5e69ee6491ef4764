"""Layers of sparse autoencoders: the k largest units, tied weights, activations on the way."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reparam.limits import AtLeastOne, Count, limited
from reparam.nets.mlp import MLP


class KSparse(nn.Module):
    """The k largest units of each row, the others 0: z = h · mask, Σ mask = k.

    Exactly k units win, with ties too; the gradient of the others is exactly 0. In evaluation mode,
    where codes are features, α·k units win (rounded, at most all).

    Args:
        k: winners in training.
        alpha: α ≥ 1, how many times as many in evaluation.
        threshold: whether winners below 0 become 0 as well.

    Shape: (B, L) → (B, L).

    Reference: Makhzani & Frey 2013, "k-sparse autoencoders", section 2.
    https://arxiv.org/abs/1312.5663

    >>> KSparse(2)(torch.tensor([[3.0, -1.0, 2.0, 0.5]])).tolist()
    [[3.0, 0.0, 2.0, 0.0]]
    """

    @limited
    def __init__(self, k: Count, alpha: AtLeastOne = 1.0, threshold: bool = False) -> None:
        super().__init__()
        self.k, self.alpha, self.threshold = k, alpha, threshold

    def forward(self, h: Tensor) -> Tensor:
        units = h.shape[1]
        if self.k > units:
            raise ValueError(f"k: expected at most the {units} units, got {self.k}")
        k = self.k if self.training else min(round(self.alpha * self.k), units)
        largest = h.detach().topk(k, 1).indices
        wins = torch.zeros_like(h, dtype=torch.bool).scatter(1, largest, True)  # (B, L)
        return torch.where(wins, F.relu(h) if self.threshold else h, 0.0)


class Tied(nn.Module):
    """The decoder z Wᵀ + b with the weights W of an encoder's linear layer and a bias of its own.

    The encoder owns W: it is stored and counted once.

    Args:
        linear: the encoder's layer, D → L.
        outputs: shape of one row of the result, D entries.

    Shape: (B, L) → (B, *outputs).

    >>> Tied(nn.Linear(6, 2), (1, 2, 3))(torch.zeros(4, 2)).shape
    torch.Size([4, 1, 2, 3])
    """

    def __init__(self, linear: nn.Linear, outputs: Sequence[int]) -> None:
        super().__init__()
        self.layers = (linear,)  # in a tuple, so that it is no child of this module too
        self.outputs = tuple(outputs)
        self.bias = nn.Parameter(torch.zeros(linear.in_features))

    def forward(self, z: Tensor) -> Tensor:
        return F.linear(z, self.layers[0].weight.T, self.bias).view(-1, *self.outputs)


def through_sigmoids(network: nn.Module, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """network(x), and the output of every ``nn.Sigmoid`` on the way.

    It looks into ``nn.Sequential`` and ``MLP``, which are chains; other modules are a whole. (Hooks
    would see into those, but leave tensors behind in the model, and a loss is to move nothing.)
    """
    if isinstance(network, nn.Sigmoid):
        x = network(x)
        return x, [x]
    if isinstance(network, MLP):
        x, found = through_sigmoids(network.rest, network.first(x.flatten(1)))
        return x.view(-1, *network.outputs), found
    if not isinstance(network, nn.Sequential):
        return network(x), []
    found = []
    for layer in network:
        x, more = through_sigmoids(layer, x)
        found += more
    return x, found


def count_sigmoids(network: nn.Module) -> int:
    """How many layers ``through_sigmoids`` finds."""
    if isinstance(network, (nn.Sequential, MLP)):
        return sum(count_sigmoids(layer) for layer in network.children())
    return int(isinstance(network, nn.Sigmoid))
