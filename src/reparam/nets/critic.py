"""Critics: networks that give each x one number, and show what they see in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from reparam import nets
from reparam.limits import Count, limited
from reparam.model import Space

SLOPE = 0.2  # of what is below 0


class Leaky(nn.LeakyReLU):
    """The rectifier of critics, whose slope is never 0: what they judge is to learn everywhere."""

    def __init__(self) -> None:
        super().__init__(SLOPE)


class Critic(nn.Module):
    """x in network units → features → a logit.

    Args:
        shape: of x.
        hidden: widths of the hidden layers; the features are the last one.
        network: fully connected, convolutional, or by the size of x.
        condition: a space whose labels or attributes it is given, added to the first layer.

    Shape: (B, *shape) → (B,); features (B, hidden[-1]).

    >>> import torch
    >>> critic = Critic((1, 4, 4), hidden=(8, 6))
    >>> critic(torch.zeros(2, 1, 4, 4)).shape, critic.features(torch.zeros(2, 1, 4, 4)).shape
    (torch.Size([2]), torch.Size([2, 6]))
    """

    @limited
    def __init__(
        self,
        shape: Sequence[int],
        hidden: tuple[Count, ...] = (256, 256),
        network: nets.Network = "auto",
        condition: Space | None = None,
    ) -> None:
        super().__init__()
        if not hidden:
            raise ValueError("critic: expected one hidden layer or more, got none")
        conv = nets.choose(shape, hidden, network) == "conv"
        below = hidden if conv else hidden[:-1]  # the last one of an MLP is its output here
        form: nets.Network = "conv" if conv else "mlp"
        self.body = nets.encoder(
            shape, hidden[-1:], below, form, activation=Leaky, condition=condition
        )
        # Without a bias, which costs of differences alone would not teach; features have theirs.
        self.act, self.head = Leaky(), nn.Linear(hidden[-1], 1, bias=False)

    def features(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """What the last hidden layer makes of x, before its rectifier."""
        return cast(Tensor, self.body(x) if c is None else self.body(x, c))

    def judge(self, features: Tensor) -> Tensor:
        """The logit of features."""
        return cast(Tensor, self.head(self.act(features)).squeeze(1))

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return self.judge(self.features(x, c))
