"""Stages of training: what is solved for without gradients, and who descends which loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from reparam.model import Batch, Model


@dataclass(frozen=True)
class Solve:
    """A stage without gradients: ``solve(model, batches)`` over re-iterable training batches.

    >>> Solve("nothing", lambda model, batches: None).name
    'nothing'
    """

    name: str
    solve: Callable[[Model, Iterable[Batch]], None]


@dataclass(frozen=True)
class Player:
    """Who is trained by one loss: its modules, learning-rate multiple, steps in turn, Adam's betas.

    >>> Player("critic", (nn.Linear(2, 1),), steps=5).lr
    1.0
    """

    name: str
    modules: tuple[nn.Module, ...]
    lr: float = 1.0
    steps: int = 1
    betas: tuple[float, float] | None = None  # None: those of the ``TrainConfig``


@dataclass(frozen=True)
class Descend:
    """A stage of stochastic gradient descent; without players, one that moves every parameter.

    >>> Descend().players
    ()
    """

    name: str = "descend"
    players: tuple[Player, ...] = field(default=())
    of: Model | None = None  # the part of the model whose objective it is; None: the whole


Stage = Solve | Descend
