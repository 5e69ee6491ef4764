"""Networks, built from the shape of the data; no probability inside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypedDict

from torch import nn

from reparam.batching import LARGEST_MLP_IMAGE
from reparam.limits import Count, limited
from reparam.model import Column, Space
from reparam.nets.condition import Condition
from reparam.nets.conv import ConvDecoder, ConvEncoder, halvings
from reparam.nets.mlp import MLP

Network = Literal["auto", "mlp", "conv"]


class Options(TypedDict, total=False):
    """What encoder and decoder of one model have in common beside their shapes."""

    activation: type[nn.Module]
    condition: Space | None
    normalize: bool


def encoder(
    shape: Sequence[int],
    outputs: Sequence[int],
    hidden: Sequence[int] = (512, 256),
    network: Network = "auto",
    *,
    activation: type[nn.Module] = nn.ReLU,
    condition: Space | None = None,
    normalize: bool = False,
    columns: Sequence[Column] | None = None,
) -> nn.Module:
    """A network from x of ``shape`` (and a condition) to ``outputs``.

    ``mlp`` has the ``hidden`` widths; ``conv`` has stride-2 layers of 32, 64 … channels, at most
    ``hidden[-1]``, and one hidden layer of that width; ``auto`` is ``mlp`` for vectors and for
    images of up to 1024 entries. ``activation`` is that of ``mlp``. With ``condition``
    the network takes labels or attributes of that space as its second argument; ``normalize``
    normalizes the batch before every activation; ``columns`` are those of mixed data.
    """
    if choose(shape, hidden, network) == "conv":
        parts = _of_conv(condition, hidden[-1], normalize, shape)
        return ConvEncoder(shape, outputs, hidden[-1], *parts)
    first = hidden[0] if hidden else math.prod(outputs)
    given = _condition(condition, first)
    return MLP(shape, outputs, hidden, activation, given, normalize, columns)


def decoder(
    inputs: Sequence[int],
    outputs: Sequence[int],
    shape: Sequence[int],
    hidden: Sequence[int] = (512, 256),
    network: Network = "auto",
    *,
    activation: type[nn.Module] = nn.ReLU,
    condition: Space | None = None,
    normalize: bool = False,
) -> nn.Module:
    """The mirror of ``encoder``: from a code to ``outputs`` = (P, *shape), hidden in reverse."""
    if choose(shape, hidden, network) == "conv":
        parts = _of_conv(condition, hidden[-1], normalize, shape)
        return ConvDecoder(inputs, outputs, hidden[-1], *parts)
    first = hidden[-1] if hidden else math.prod(outputs)
    widths = tuple(reversed(hidden))
    return MLP(inputs, outputs, widths, activation, _condition(condition, first), normalize)


def _condition(space: Space | None, width: int) -> Condition | None:
    return None if space is None else Condition(space, width)


def _of_conv(
    space: Space | None, width: int, normalize: bool, shape: Sequence[int]
) -> tuple[Condition | None, bool, tuple[int, ...] | None]:
    """The last arguments of convolutional networks: images enter where convolutions are."""
    if space is None or space.given is None or len(halvings(*shape[1:])) == 1:
        return _condition(space, width), normalize, None
    return None, normalize, space.given


@limited
def choose(shape: Sequence[int], hidden: Sequence[Count], network: Network) -> Network:
    """What ``network`` means for this shape: mlp or conv."""
    image = len(shape) == 3
    if network == "auto":
        entries = shape[0] * shape[1] * shape[2] if image else 0
        network = "conv" if entries > LARGEST_MLP_IMAGE and hidden else "mlp"
    if network == "conv" and not (image and hidden):
        raise ValueError(
            f"network: conv needs images (C, H, W) and a hidden width, got shape {tuple(shape)} "
            f"and hidden {tuple(hidden)}"
        )
    return network
