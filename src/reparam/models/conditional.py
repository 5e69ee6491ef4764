"""What models that may be conditional share: how c enters networks, and how c is drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reparam import numerics
from reparam.batching import spread_rows
from reparam.bijections.elementwise import Standardize
from reparam.buffers import Float64Buffers
from reparam.degradation import Degradation
from reparam.model import Batch, Model, Solve, Space, Stage
from reparam.space import check_shape

KEPT_ROWS = 1024  # of attributes, to draw conditions from
KEPT_NUMBERS = 2**19  # of what is given of training examples, at most


class Conditional(Model):
    """A model that, if ``conditional``, takes labels or attributes and draws those of training.

    Labels are drawn by their frequencies. Attributes are drawn as whole rows, so that they occur
    together as they did, from at most ``KEPT_ROWS`` training rows that the model keeps.

    With a degradation the condition is what it leaves of x, y = A x, in place of both: where c is
    not said it is made of x, so that data need nothing beside x. Networks see y as the image
    nearest to the mean of the training data of which y is left, in the units of x, and beside it
    which entries y says outright: these are no part of p(x|y), whose draws have them.

    Args:
        space: what x is.
        conditional: whether the model takes labels or attributes.
        given: the degradation whose y the model takes; None: it takes none.

    Raises:
        ValueError: ``conditional`` on data with neither labels nor attributes, or beside ``given``.
    """

    def __init__(
        self, space: Space, conditional: bool = False, given: Degradation | None = None
    ) -> None:
        if given is not None:
            space = replace(space, given=given.given)
        super().__init__(space)
        self.conditional, self.degradation = conditional or given is not None, given
        if given is not None:
            if conditional:
                raise ValueError("conditional: with given the condition is what is left of x")
            self.told_of = _Given(space.shape, given.given)
        elif conditional and space.attributes is not None:
            self.attributes = _Attributes(space.attributes)
        elif conditional and space.classes is not None:
            self.register_buffer("frequencies", torch.full((space.classes,), 1 / space.classes))
            self.frequencies: Tensor
        elif conditional:
            raise ValueError("conditional: expected data with labels or attributes, got none")

    @property
    def condition_stages(self) -> tuple[Stage, ...]:
        """The pass over the training conditions that a conditional model needs."""
        if not self.conditional:
            return ()
        if self.degradation is not None:
            return (Solve("what is given", _keep_given),)
        if self.space.attributes is not None:
            return (Solve("attributes", _keep_attributes),)
        return (Solve("class frequencies", _count_classes),)

    @property
    def class_frequencies(self) -> Tensor | None:
        return getattr(self, "frequencies", None)

    def told(self, x: Tensor, c: Tensor | None) -> Tensor | None:
        if c is not None or self.degradation is None:
            return c
        check_shape(x, self.space.shape)
        wide = self.space.keeps_precision and numerics.needs_float64(x.dtype)
        dtype = torch.float64 if wide else self.anchor.dtype
        return self.degradation(x.detach().to(self.anchor.device, dtype))  # as if it were said

    def draw_condition(self, n: int, generator: torch.Generator | None = None) -> Tensor | None:
        if not self.conditional:
            return None
        like = self.anchor.new_empty(n)
        for kept in (getattr(self, "told_of", None), getattr(self, "attributes", None)):
            if kept is not None:
                uniform = numerics.noise(like, "uniform", generator)
                return kept.rows[(uniform * len(kept.rows)).long()]
        return draw_classes(self.frequencies, like, generator)

    def context(self, c: Tensor | None) -> Tensor | None:
        """c as vectors (B, F): labels one-hot, attributes standardized; an image as one."""
        if c is None or self.space.given is not None or self.space.attributes is not None:
            return None if c is None else self.network_condition(c)
        return F.one_hot(c, len(self.frequencies)).to(self.anchor)

    def network_condition(self, c: Tensor) -> Tensor:
        """c as networks take it: labels as they are, attributes standardized, y as an image."""
        if self.degradation is not None:
            seen = self.seen(self.degradation.consistent(self.told_of.mean.to(c)[None], c))
            return beside(seen.to(self.anchor.dtype), self.degradation)
        return c if self.space.attributes is None else self.attributes.scale.scaled(c)

    def seen(self, x: Tensor) -> Tensor:
        """x in the units of the networks; of models that take a degradation."""
        raise NotImplementedError

    def keep_given(self, x: Tensor, c: Tensor | None) -> Tensor:
        """x with the entries that c says outright."""
        return x if self.degradation is None or c is None else self.degradation.keep(x, c)

    def said(self, mask: Tensor) -> Tensor:
        """The entries of x in a mask, and those that c says outright."""
        return mask if self.degradation is None else mask | self.degradation.known

    def log_agreement(self, x: Tensor, c: Tensor | None) -> Tensor | float:
        """0 for each x that has what c says outright, −∞ for the others."""
        if self.degradation is None or c is None or not self.degradation.knows:
            return 0.0
        agrees = (self.degradation.keep(x, c) == x).flatten(1).all(1)
        return torch.where(agrees, 0.0, -torch.inf).to(self.anchor)

    def _unknown(self, count: int, varies: Tensor | None) -> int:
        """Of so many entries those that c does not say."""
        if self.degradation is None or not self.degradation.knows:
            return count
        known = self.degradation.known
        return count - int((known if varies is None else known & varies).sum())

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


def beside(x: Tensor, given: Degradation) -> Tensor:
    """x (B, *shape) as networks see what is given: of images also which entries are said outright.

    >>> from reparam.degradation import degradation
    >>> beside(torch.zeros(2, 3, 4, 4), degradation("mask:half", (3, 4, 4))).shape
    torch.Size([2, 4, 4, 4])
    """
    if not given.knows or x.ndim < 4:
        return x
    known = given.known.any(0, keepdim=True).to(x)
    return torch.cat([x, known.expand(x.shape[0], *known.shape)], 1)


def context_space(space: Space, given: Degradation) -> Space:
    """A space whose ``given`` is the shape of what networks see of what is given."""
    seen = beside(torch.zeros(1, *space.shape), given)
    return replace(space, given=tuple(seen.shape[1:]))


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


class _Given(Float64Buffers):
    """What was given in training: some y to draw from, and the mean of x."""

    def __init__(self, shape: Sequence[int], given: Sequence[int]) -> None:
        super().__init__()
        rows = min(KEPT_ROWS, max(1, KEPT_NUMBERS // math.prod(given)))
        self.register_buffer("rows", torch.zeros(rows, *given, dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(*shape, dtype=torch.float64))
        self.rows: Tensor
        self.mean: Tensor


@torch.no_grad()
def _keep_given(model: Model, batches: Iterable[Batch]) -> None:
    """Evenly many copies of what is left of each of a few rows, or of a part of many."""
    assert isinstance(model, Conditional) and model.degradation is not None
    kept, total, count = model.told_of, torch.zeros_like(model.told_of.mean), 0
    for batch in batches:
        total += batch.x.to(total).sum(0)
        count += len(batch.x)
    kept.mean.copy_(total / count)
    few = spread_rows(batches, len(kept.rows)).x.to(total)
    chosen = torch.arange(len(kept.rows)) * len(few) // len(kept.rows)
    kept.rows.copy_(model.degradation(few)[chosen.to(few.device)])


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
