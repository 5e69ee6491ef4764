"""Fully connected networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn


class MLP(nn.Module):
    """Linear layers with an activation between them, over flattened rows.

    Args:
        inputs: shape of one row.
        outputs: shape of one row of the result.
        hidden: widths of the hidden layers, first to last; () is one linear layer.
        activation: class of the activation.

    Shape: (B, *inputs) → (B, *outputs).

    >>> import torch
    >>> MLP((1, 4, 4), (3,), hidden=(8,))(torch.zeros(2, 1, 4, 4)).shape
    torch.Size([2, 3])
    """

    def __init__(
        self,
        inputs: Sequence[int],
        outputs: Sequence[int],
        hidden: Sequence[int] = (512, 256),
        activation: type[nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        widths = [math.prod(inputs), *hidden, math.prod(outputs)]
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(widths):
            layers += [nn.Linear(fan_in, fan_out), activation()]
        self.layers = nn.Sequential(*layers[:-1])
        self.outputs = tuple(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.flatten(1)).view(-1, *self.outputs)
