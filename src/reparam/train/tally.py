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
    steps: list[Tensor] = field(default_factory=list)  # of each: objective and sums of all terms
    rows: int = 1  # of every step's batch
    blank: list[Tensor] = field(default_factory=list)  # where the next steps will be written

    @torch.no_grad()
    def add(self, loss: Loss) -> Tensor:
        """Count one step in; returns 1.0 where its update must be skipped, else 0.0."""
        self.names = self.names or ("objective", *loss.terms)
        self.rows = max(map(len, loss.terms.values()), default=1)
        sums = [term.sum() for term in loss.terms.values()]
        if not self.blank:
            # Many at a time: small tensors that stay would keep a step's large ones apart on the
            # heap, and memory would grow with every step.
            self.blank = list(loss.objective.new_empty(STEPS_AT_ONCE, 1 + len(sums)).unbind())
        self.steps.append(torch.stack([loss.objective, *sums], out=self.blank.pop()))
        return (loss.objective * 0).isnan().float()  # infinity · 0 is NaN too

    def stacked(self) -> Tensor:
        """All steps, (steps, 1 + terms): what a checkpoint keeps."""
        return torch.stack(self.steps) if self.steps else torch.zeros(0, len(self.names))

    def read(self) -> tuple[dict[str, float], dict[str, int]]:
        """Means over the steps with a finite objective, and how often each term was not finite."""
        values = self.stacked().cpu().double()
        values[:, 1:] /= self.rows
        finite = values.isfinite()
        spoiled = (~finite).sum(0).tolist()
        bad = {name: n for name, n in zip(self.names, spoiled, strict=True) if n}
        kept = values[finite[:, 0]]  # the steps whose updates were made: the objective decides
        if not len(kept):
            return {}, bad
        return dict(zip(self.names, kept.mean(0).tolist(), strict=True)), bad
