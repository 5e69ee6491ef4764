"""What models that may be conditional on class labels share: how often each class occurs."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from reparam import numerics
from reparam.model import Batch, Model, Solve, Space, Stage


class Labelled(Model):
    """A model that, if ``conditional``, takes class labels and draws them as training had them.

    Raises:
        ValueError: ``conditional`` on data without labels.
    """

    def __init__(self, space: Space, conditional: bool = False) -> None:
        super().__init__(space)
        if conditional and space.classes is None:
            raise ValueError("conditional: expected data with labels, got none")
        self.conditional = conditional
        if conditional:
            assert space.classes is not None
            self.register_buffer("frequencies", torch.full((space.classes,), 1 / space.classes))
            self.frequencies: Tensor

    @property
    def label_stages(self) -> tuple[Stage, ...]:
        """The pass over the training labels that a conditional model needs."""
        return (Solve("class frequencies", _count_classes),) if self.conditional else ()

    def draw_condition(self, n: int, generator: torch.Generator | None = None) -> Tensor | None:
        if not self.conditional:
            return None
        uniform = numerics.noise(self.frequencies.new_empty(n), "uniform", generator)
        edges = self.frequencies.cumsum(0)
        # The last edge is exactly 1: no draw falls beyond it, nor into a class that never occurs.
        return torch.searchsorted(edges / edges[-1], uniform, right=True)


@torch.no_grad()
def _count_classes(model: Model, batches: Iterable[Batch]) -> None:
    assert isinstance(model, Labelled)
    counts = torch.zeros_like(model.frequencies, dtype=torch.int64)
    for _, c in batches:
        if c is None:
            raise ValueError("data: expected labels for a conditional model, got none")
        counts += torch.bincount(c.to(counts), minlength=len(counts))
    model.frequencies.copy_(counts / counts.sum())
