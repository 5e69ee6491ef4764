"""What goes into models and comes out: batches, losses, log-probabilities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from reparam.distribution import Kind


class Batch(NamedTuple):
    """Examples as models take them.

    x is in data units (B, *shape), c the condition or None, and target the labels that only a
    classifier reads, never a condition.
    """

    x: Tensor
    c: Tensor | None = None
    target: Tensor | None = None

    @property
    def targets(self) -> dict[str, Tensor]:
        """What a loss is given beside x and c, by keyword: nothing where there are no targets.

        >>> Batch(Tensor(2, 3)).targets
        {}
        """
        return {} if self.target is None else {"target": self.target}

    def each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The batch with every tensor of it changed alike, as moved to a device.

        >>> Batch(Tensor(2, 3), Tensor(2)).each(lambda t: t[:1]).x.shape
        torch.Size([1, 3])
        """
        c, target = (None if t is None else change(t) for t in (self.c, self.target))
        return Batch(change(self.x), c, target)


class Loss(NamedTuple):
    """What one call of ``Model.loss`` returns.

    ``objective`` is the scalar that is minimized, a mean over the batch. ``terms`` are unweighted,
    in nats per example where they are nats: (B,), or (B, G) by latent dimension or layer.
    ``statistics`` are detached sums over rows that ``after_step`` needs.

    >>> import torch
    >>> nll = torch.tensor([1.0, 3.0])
    >>> Loss(nll.mean(), {"nll": nll}).objective
    tensor(2.)
    """

    objective: Tensor
    terms: dict[str, Tensor]
    statistics: dict[str, Tensor] = {}  # noqa: RUF012  (never mutated)


@dataclass(frozen=True)
class LogProb:
    """log p(x) of each row in nats, x in the data's own units, and what the number is.

    Args:
        value: (B,), in nats.
        kind: exact, a lower bound (in expectation, where samples are drawn), or an estimate.
        samples: importance samples per row.
        per_dimension: (B, *shape), where the density factorizes over the entries of x.

    >>> import torch
    >>> LogProb(torch.tensor([-80.0]), "lower bound", samples=1000).kind
    'lower bound'
    """

    value: Tensor
    kind: Kind
    samples: int = 1
    per_dimension: Tensor | None = None


@dataclass(frozen=True)
class LogPartition:
    """log Z of a density that is known up to that constant, and how it was found.

    By importance sampling Ẑ is right on average, so that log Ẑ is too low on average and
    log p(x) = log f(x) − log Ẑ too high: an estimate, and never a bound.

    Args:
        value: in nats, a scalar in float64.
        stderr: of the value, from the spread of the weights over runs; 0 of a sum over all states.
        effective_samples: (Σ w)² / Σ w² of the weights w of the runs.
        runs: of annealing, or states that were summed over.
        temperatures: of each run; 0: every state was summed over, and the value is exact.

    >>> import torch
    >>> LogPartition(torch.tensor(1.0), torch.tensor(0.0), torch.tensor(8.0), 8, 0).kind
    'exact'
    """

    value: Tensor
    stderr: Tensor
    effective_samples: Tensor
    runs: int
    temperatures: int

    @property
    def kind(self) -> Kind:
        return "estimate" if self.temperatures else "exact"
