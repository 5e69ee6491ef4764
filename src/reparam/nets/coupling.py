"""Networks of coupling layers: from the entries that stay to parameters of those that move."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from reparam.limits import Count, limited
from reparam.nets.mlp import MLP


class CouplingMLP(nn.Module):
    """Linear layers from numbers and a context; all outputs are 0 at first.

    Args:
        inputs: how many entries stay.
        outputs: P numbers for each that moves.
        hidden: widths of the hidden layers.
        context: F, numbers of the context, added to the first hidden layer.

    Shape: x (B, inputs), context (B, F) → (B, outputs).

    >>> import torch
    >>> CouplingMLP(2, 3, hidden=(8,), context=4)(torch.ones(1, 2), torch.ones(1, 4)).detach()
    tensor([[0., 0., 0.]])
    """

    @limited
    def __init__(
        self,
        inputs: Count,
        outputs: Count,
        hidden: Sequence[Count] = (128, 128),
        context: int = 0,
    ) -> None:
        super().__init__()
        self.context_features = context
        first = hidden[0] if hidden else outputs
        condition = nn.Linear(context, first, bias=False) if context else None
        self.network = MLP((inputs,), (outputs,), hidden, condition=condition)
        last = self.network.rest[-1] if hidden else self.network.first
        for layer in (last, condition) if not hidden else (last,):
            for parameter in [] if layer is None else layer.parameters():
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        parameters: Tensor = self.network(x, context)
        return parameters
