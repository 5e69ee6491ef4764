"""One player's optimizer step: all of it happens on the device, and nothing is read back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from reparam.model import Batch, Loss, Player
from reparam.train.batches import Batches
from reparam.train.device import autocast
from reparam.train.optimizers import FusedStep, gradient_sum
from reparam.train.state import Training
from reparam.train.tally import Measured

Step = Callable[[Batch], Measured]


def turns(batches: Batches, step: int, players: Sequence[Player]) -> Iterator[tuple[Player, Batch]]:
    """Who moves in a step, one after the other, and on what: players share the batch of a turn."""
    read: list[Batch] = []
    for player in players:
        for turn in range(player.steps):
            if turn == len(read):
                read.append(batches.at(step, turn))
            yield player, read[turn]


class Update:
    """Loss, gradients, optimizer, and what moves without gradients.

    Args:
        training: whose model, optimizers and processes they are.
        player: who moves.
        forward: the model's loss, compiled or as it is.
        name: by which the loss knows the player.
    """

    def __init__(
        self, training: Training, player: Player, forward: Callable[..., Loss], name: str
    ) -> None:
        self.training, self.player, self.forward = training, player, forward
        self.name = name
        self.move = FusedStep(training.optimizers[player.name])
        self.weights = training.weights[player.name]

    def __call__(self, batch: Batch) -> Measured:
        training, player = self.training, self.player.name
        with self._precision():
            loss = self.forward(batch.x, batch.c, self.name, **batch.targets)
        for weight in self.weights:
            weight.grad = None
        # Of a single player it would be the same, and a search for it through the graph.
        loss.objective.backward(inputs=self.weights if len(training.weights) > 1 else None)
        loss = training.ranks.combine(loss, self.weights, training.batches.weight)
        with torch.no_grad():
            measured = Measured.of(loss, self._gradient())
            self.move(measured.skip)
            training.model.after_step(loss, player)
        return measured

    def _precision(self) -> AbstractContextManager[None]:
        return autocast(self.training.config, self.training.device)

    def _gradient(self) -> Tensor:
        """A scalar that is finite where the gradients are; they are clipped where that is asked."""
        most = self.training.config.clip
        if most is None:
            return gradient_sum(self.weights)
        return nn.utils.clip_grad_norm_(self.weights, most)
