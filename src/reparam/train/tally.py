"""The terms of every step, left on the device and read once per row of the curves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from reparam.model import Loss

STEPS_AT_ONCE = 64


class NonFinite(ArithmeticError):
    """A loss stayed infinite or NaN."""


class Measured(NamedTuple):
    """What one optimizer step had, still on the device.

    Args:
        names: objective, gradient (whatever is finite while they are), all terms.
        rows: of its batch.
        values: (2 + terms,), the terms summed over the rows.
    """

    names: tuple[str, ...]
    rows: int
    values: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, loss: Loss, gradient: Tensor) -> Measured:
        """
        Args:
            loss: of the step.
            gradient: a scalar that is finite where the gradients are.
        """
        sums = [term.sum() for term in loss.terms.values()]
        values = torch.stack([loss.objective, gradient.to(loss.objective), *sums])
        rows = max(map(len, loss.terms.values()), default=1)
        return cls(("objective", "gradient", *loss.terms), rows, values)

    @property
    def skip(self) -> Tensor:
        """1.0 where objective or gradients are not finite, and no update is made; else 0.0."""
        return (self.values[:2].sum() * 0).ne_(0).float()  # infinity · 0 is NaN, which is not 0


@dataclass
class Tally:
    """Means of every term over the steps since the last row, and which were not finite.

    A step adds one small tensor to a list; nothing waits for the device but ``read``.
    """

    names: tuple[str, ...] = ()
    steps: list[Tensor] = field(default_factory=list)  # the values of ``Measured``
    rows: int = 1  # of every step's batch
    blank: list[Tensor] = field(default_factory=list)  # where the next steps will be written

    @classmethod
    def of(cls, names: tuple[str, ...], stacked: Tensor, rows: int) -> Tally:
        """The tally of which these are the steps (``stacked``); ValueError where they are not."""
        if stacked.ndim != 2 or stacked.shape[1] != len(names) or rows < 1:
            raise ValueError(
                f"expected steps of {len(names)} values, got shape {tuple(stacked.shape)}"
            )
        return cls(names, list(stacked), rows)

    def add(self, measured: Measured) -> None:
        """Count one step in."""
        self.names, self.rows = self.names or measured.names, measured.rows
        if not self.blank:
            # Many at a time: small tensors that stay would keep a step's large ones apart on the
            # heap, and memory would grow with every step.
            values = measured.values
            self.blank = list(values.new_empty(STEPS_AT_ONCE, len(values)).unbind())
        self.steps.append(self.blank.pop().copy_(measured.values))

    def stacked(self) -> Tensor:
        """All steps, (steps, 1 + terms): what a checkpoint keeps."""
        return torch.stack(self.steps) if self.steps else torch.zeros(0, len(self.names))

    def read(self) -> tuple[dict[str, float], dict[str, int], int]:
        """Means over the steps that were made, how often each was not finite, and first in which.

        A step was made where its objective and its gradients were finite.
        """
        values = self.stacked().cpu().double()
        values[:, 2:] /= self.rows
        finite = values.isfinite()
        spoiled = (~finite).sum(0).tolist()
        bad = {name: n for name, n in zip(self.names, spoiled, strict=True) if n}
        first = int(finite.all(1).int().argmin()) if bad else 0
        kept = values[finite[:, :2].all(1)]
        if not len(kept):
            return {}, bad, first
        means = dict(zip(self.names, kept.mean(0).tolist(), strict=True))
        del means["gradient"]
        return means, bad, first
