"""Models that learn to tell what their data are labeled with."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from reparam.exchange import Loss
from reparam.model import Model
from reparam.space import trusted


class Supervised(Model):
    """A model that learns the label of x, which its ``loss`` alone is told, as ``target``.

    A target is never a condition: c goes into what a model computes of x, a target into what that
    is compared with. Data without labels have no loss, and everything else that the model has.
    """

    @abstractmethod
    def loss(
        self,
        x: Tensor,
        c: Tensor | None = None,
        player: str = "model",
        target: Tensor | None = None,
    ) -> Loss:
        """As of every model, of x with the labels (B,) that they should be given."""

    def forward(
        self,
        x: Tensor,
        c: Tensor | None = None,
        player: str = "model",
        target: Tensor | None = None,
    ) -> Loss:
        if torch.compiler.is_compiling():
            return self.loss(x, c, player, target)
        with trusted():
            return self.loss(x, c, player, target)
