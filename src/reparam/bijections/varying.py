"""Which entries of real data vary, what the others are, and in which precision the data come."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from reparam import numerics
from reparam.buffers import Float64Buffers, OfData
from reparam.model import Space


class Varying(OfData, Float64Buffers):
    """What a model has to know of real training data to give such data back.

    An entry that is the same in every training row has probability 1: it is no part of the
    density, which is one of the other entries, and comes back exactly. Of an x in which it is
    something else, the probability is 0. And what leaves a model in data units keeps the precision
    of the training data: 1.7e9 ± 10 has none in float32.

    As a module it maps values in network units to the same with 0 in place of the constants.

    Args:
        space: of real data, or of mixed.

    Shape: (B, *shape) → (B, *shape).

    >>> varying = Varying(Space((2,), "real"))
    >>> varying.learn([torch.tensor([[7.0, 1.0], [7.0, 2.0]])])
    >>> varying.count, varying(torch.ones(1, 2)).tolist(), varying.restore(torch.ones(1, 2))
    (1, [[0.0, 1.0]], tensor([[7., 1.]]))
    """

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.names = [column.name for column in space.columns or ()]
        self.register_buffer("anchor", torch.empty(0), persistent=False)  # the networks' precision
        self.register_buffer("mask", torch.ones(space.shape, dtype=torch.bool))
        self.register_buffer("constants", torch.zeros(space.shape, dtype=torch.float64))
        self.register_buffer("wide", torch.zeros((), dtype=torch.bool))
        self.anchor: Tensor
        self.mask: Tensor
        self.constants: Tensor
        self.wide: Tensor
        # Of mixed data only real entries can be constants that are no part of the density.
        self.real = space.reals if space.columns else None
        self._read()

    def _read(self) -> None:
        """Look at the buffers once, as nothing else may wait for a device."""
        self.count = int(self.mask.sum())
        self.whole, self.precise = self.count == self.mask.numel(), bool(self.wide)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._read()

    @torch.no_grad()
    def learn(self, parts: Iterable[Tensor]) -> None:
        """Read the training rows, part by part, (N, *shape) each.

        Raises:
            ValueError: all rows are the same, or a column of mixed data is missing in all of them.
        """
        row, same = numerics.constant_entries(parts)
        if self.names:
            self._refuse_absent(row.isnan().tolist())
        if self.real is not None:
            same = same & self.real.to(same.device)
        if same.all():
            raise ValueError(
                "training data: every row is the same, so that nothing can be learned; give rows "
                "that differ"
            )
        self.mask.copy_(~same)
        self.constants.copy_(torch.where(same, row.to(self.constants.dtype), 0.0))
        self.wide.fill_(numerics.needs_float64(row.dtype))
        self._read()

    def _refuse_absent(self, missing: list[bool]) -> None:
        absent = [name for name, gone in zip(self.names, missing, strict=True) if gone]
        if absent:
            dropped = " ".join(f"--drop {shlex.quote(name)}" for name in absent)
            raise ValueError(
                f"training data: column {absent[0]!r} is missing in every row; leave it out "
                f"({dropped})"
            )

    def forward(self, z: Tensor) -> Tensor:
        return z if self.whole else torch.where(self.mask, z, 0.0)

    def restore(self, x: Tensor) -> Tensor:
        """x in data units as it leaves a model: with the constants, in the data's precision."""
        if not self.whole:
            x = torch.where(self.mask, x, self.constants.to(x))
        return x if self.precise else x.to(self.anchor)

    def factors(self, log_prob: Tensor, x: Tensor) -> Tensor:
        """log p(x_i | …) of every entry (B, *shape): of a constant 0, or −∞ if x differs from it.

        Args:
            log_prob: of all entries as if they varied, (B, *shape).
            x: (B, *shape), in data units.
        """
        if self.whole:
            return log_prob
        return torch.where(self.mask, log_prob, torch.where(self._differs(x), -math.inf, 0.0))

    def log_support(self, x: Tensor) -> Tensor | float:
        """0 for every row x whose constants are those of the training data, −∞ for the others."""
        if self.whole:
            return 0.0
        return torch.where(self._differs(x).flatten(1).any(1), -math.inf, 0.0)

    def _differs(self, x: Tensor) -> Tensor:
        """Where x is not the constant; what differs by the rounding of a conversion does not."""
        known = self.constants.to(x.device)
        seen = x if self.precise else x.float()
        return ~(self.mask | (seen == known) | (seen == known.float()) | x.isnan())
