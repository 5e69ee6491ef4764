"""What models that may be conditional share: how c enters networks, and how c is drawn."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reparam import numerics
from reparam.bijections.elementwise import Standardize
from reparam.buffers import Float64Buffers
from reparam.model import Batch, Model, Solve, Space, Stage

KEPT_ROWS = 1024  # of attributes, to draw conditions from


class Conditional(Model):
    """A model that, if ``conditional``, takes labels or attributes and draws those of training.

    Labels are drawn by their frequencies. Attributes are drawn as whole rows, so that they occur
    together as they did, from at most ``KEPT_ROWS`` training rows that the model keeps.

    Raises:
        ValueError: ``conditional`` on data with neither labels nor attributes.
    """

    def __init__(self, space: Space, conditional: bool = False) -> None:
        super().__init__(space)
        self.conditional = conditional
        if not conditional:
            return
        if space.attributes is not None:
            self.attributes = _Attributes(space.attributes)
        elif space.classes is not None:
            self.register_buffer("frequencies", torch.full((space.classes,), 1 / space.classes))
            self.frequencies: Tensor
        else:
            raise ValueError("conditional: expected data with labels or attributes, got none")

    @property
    def condition_stages(self) -> tuple[Stage, ...]:
        """The pass over the training conditions that a conditional model needs."""
        if not self.conditional:
            return ()
        if self.space.attributes is not None:
            return (Solve("attributes", _keep_attributes),)
        return (Solve("class frequencies", _count_classes),)

    @property
    def class_frequencies(self) -> Tensor | None:
        return self.frequencies if self.conditional and self.space.attributes is None else None

    def draw_condition(self, n: int, generator: torch.Generator | None = None) -> Tensor | None:
        if not self.conditional:
            return None
        like = self.anchor.new_empty(n)
        if self.space.attributes is None:
            return draw_classes(self.frequencies, like, generator)
        uniform = numerics.noise(like, "uniform", generator)
        return self.attributes.rows[(uniform * KEPT_ROWS).long()]

    def context(self, c: Tensor | None) -> Tensor | None:
        """c as vectors (B, F): labels one-hot, attributes standardized."""
        if c is None or self.space.attributes is not None:
            return None if c is None else self.network_condition(c)
        return F.one_hot(c, len(self.frequencies)).to(self.anchor)

    def network_condition(self, c: Tensor) -> Tensor:
        """c as networks take it: labels as they are, attributes standardized."""
        return c if self.space.attributes is None else self.attributes.scale.scaled(c)

    def _through(self, network: nn.Module, x: Tensor, c: Tensor | None) -> Tensor:
        """What a network that takes c, if the model does, makes of x."""
        if not self.conditional:
            return network(x)
        assert c is not None
        return network(x, self.network_condition(c))


def draw_classes(
    frequencies: Tensor, like: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """A class for each row of ``like``, by frequencies (classes,)."""
    edges = frequencies.cumsum(0)
    # The last edge is exactly 1: no draw falls beyond it, nor into a class that never occurs.
    uniform = numerics.noise(like, "uniform", generator)
    return torch.searchsorted(edges / edges[-1], uniform, right=True)


def count_classes(frequencies: Tensor, batches: Iterable[Batch]) -> None:
    """Put into frequencies (classes,) the shares of the classes in batches."""
    counts = torch.zeros_like(frequencies, dtype=torch.int64)
    for batch in batches:
        counts += torch.bincount(_required(batch.c).to(counts), minlength=len(counts))
    frequencies.copy_(counts.to(numerics.accumulator(frequencies)) / counts.sum())


class _Attributes(Float64Buffers):
    """Statistics of training attributes (N, F): their scale, and rows to draw from."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.scale = Standardize(Space((count,), "real"))
        self.register_buffer("rows", torch.zeros(KEPT_ROWS, count, dtype=torch.float64))
        self.rows: Tensor

    def keep(self, rows: Tensor) -> None:
        """Evenly many copies of each of a few rows, or a part of many, chosen at random."""
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
        chosen = order[torch.arange(KEPT_ROWS) * len(rows) // KEPT_ROWS]
        self.rows.copy_(rows[chosen.to(rows.device)])


@torch.no_grad()
def _keep_attributes(model: Model, batches: Iterable[Batch]) -> None:
    assert isinstance(model, Conditional)
    rows = torch.cat([_required(batch.c) for batch in batches])
    for stage in model.attributes.scale.stages:
        stage.solve(model, [Batch(rows)])
    model.attributes.keep(rows)


@torch.no_grad()
def _count_classes(model: Model, batches: Iterable[Batch]) -> None:
    assert isinstance(model, Conditional)
    count_classes(model.frequencies, batches)


def _required(c: Tensor | None) -> Tensor:
    if c is None:
        raise ValueError("data: expected labels or attributes for a conditional model, got none")
    return c
