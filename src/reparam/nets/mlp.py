"""Fully connected networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from reparam.model import Column
from reparam.nets.column_inputs import ColumnLinear
from reparam.nets.norm import batch_norm


class MLP(nn.Module):
    """Linear layers with an activation between them, over flattened rows.

    Args:
        inputs: shape of one row.
        outputs: shape of one row of the result.
        hidden: widths of the hidden layers, first to last; () is one linear layer.
        activation: class of the activation.
        condition: module from c to what is added to the first layer's output, (B, width).
        normalize: the batch, before every activation.
        columns: of mixed data, which the first layer sees as ``ColumnLinear`` does.

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
        condition: nn.Module | None = None,
        normalize: bool = False,
        columns: Sequence[Column] | None = None,
    ) -> None:
        super().__init__()
        widths = [math.prod(inputs), *hidden, math.prod(outputs)]
        self.first: nn.Module
        if columns:
            self.first = ColumnLinear(columns, widths[1])
        else:
            self.first = nn.Linear(widths[0], widths[1])
        self.condition = condition
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(widths[1:]):
            # What a rectifier overwrites nothing else needs: less memory to fetch, forth and back.
            act = nn.ReLU(inplace=True) if activation is nn.ReLU else activation()
            layers += [*batch_norm(fan_in, normalize), act, nn.Linear(fan_in, fan_out)]
        self.rest = nn.Sequential(*layers)
        self.outputs = tuple(outputs)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        h = self.first(x.flatten(1))
        if self.condition is not None:
            h = h + self.condition(c)
        h = self.rest(h)
        return h if len(self.outputs) == 1 else h.view(-1, *self.outputs)
