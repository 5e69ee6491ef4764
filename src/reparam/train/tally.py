"""The terms of every step, left on the device and read once per row of the curves."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from reparam.model import Loss

STEPS_AT_ONCE = 64


class NonFinite(ArithmeticError):
    """A loss stayed infinite or NaN."""


@dataclass
class Tally:
    """Means of every term over the steps since the last row, and which were not finite.

    A step adds one small tensor to a list; nothing waits for the device but ``read``.
    """

    names: tuple[str, ...] = ()
    # Of each: objective, gradient (whatever is finite while they are), sums of all terms.
    steps: list[Tensor] = field(default_factory=list)
    rows: int = 1  # of every step's batch
    blank: list[Tensor] = field(default_factory=list)  # where the next steps will be written

    @torch.no_grad()
    def add(self, loss: Loss, gradient: Tensor) -> Tensor:
        """Count one step in; returns 1.0 where its update must be skipped, else 0.0.

        Args:
            loss: of the step.
            gradient: a scalar that is finite where the gradients are.
        """
        self.names = self.names or ("objective", "gradient", *loss.terms)
        self.rows = max(map(len, loss.terms.values()), default=1)
        sums = [term.sum() for term in loss.terms.values()]
        if not self.blank:
            # Many at a time: small tensors that stay would keep a step's large ones apart on the
            # heap, and memory would grow with every step.
            self.blank = list(loss.objective.new_empty(STEPS_AT_ONCE, 2 + len(sums)).unbind())
        parts = [loss.objective, gradient.to(loss.objective), *sums]
        step = torch.stack(parts, out=self.blank.pop())
        self.steps.append(step)
        return (step[:2].sum() * 0).isnan().float()  # infinity · 0 is NaN too

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
