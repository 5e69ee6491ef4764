"""Sums of the loss's terms on the device, read once per validation instead of once per step."""

from __future__ import annotations

import torch
from torch import Tensor

from reparam.model import Loss


class NonFinite(ArithmeticError):
    """A loss stayed infinite or NaN."""


class Tally:
    """Running means of every term, and which of them were not finite.

    Nothing here waits for the device but ``read``.
    """

    def __init__(self, names: tuple[str, ...], sums: Tensor, spoiled: Tensor, rows: int) -> None:
        self.names = names
        self.sums = sums  # of terms over rows, steps that are not finite left out
        self.spoiled = spoiled  # steps in which each term was not finite; last: rows they had
        self.rows = rows

    @classmethod
    def empty(cls) -> Tally:
        return cls((), torch.zeros(0), torch.zeros(0), 0)

    @torch.no_grad()
    def add(self, loss: Loss) -> Tensor:
        """Count one step in; returns 1.0 where it is not finite and must be skipped, else 0.0."""
        rows = len(next(iter(loss.terms.values())))
        values = torch.stack(
            [loss.objective * rows, *(term.sum() for term in loss.terms.values())]
        ).float()
        finite = values.isfinite()
        good = finite.all()
        if not self.names:
            self.names = ("objective", *loss.terms)
            self.sums = torch.zeros_like(values)
            self.spoiled = values.new_zeros(len(values) + 1)
        self.sums += torch.where(good, values, 0.0)
        skip = (~good).to(values.dtype)
        self.spoiled[:-1] += ~finite
        self.spoiled[-1] += skip * rows
        self.rows += rows
        return skip

    def read(self) -> tuple[dict[str, float], dict[str, int]]:
        """Means per row, and in how many steps each term was not finite."""
        if not self.rows:
            return {}, {}
        *spoiled, skipped_rows = (int(n) for n in self.spoiled.tolist())
        bad = {name: n for name, n in zip(self.names, spoiled, strict=True) if n}
        kept = self.rows - skipped_rows
        if kept == 0:
            return {}, bad
        return {n: s / kept for n, s in zip(self.names, self.sums.tolist(), strict=True)}, bad
