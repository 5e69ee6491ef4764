"""Penalties of latent-variable models: what their codes are to be besides informative."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from reparam.model import Distribution


class Penalty(nn.Module, ABC):
    """weight · penalty is added to the objective; the penalty itself is the term ``term``."""

    term: str
    couples_rows: bool = False  # whether a row's penalty depends on the rest of its batch

    def __init__(self, weight: float) -> None:
        super().__init__()
        if not weight >= 0:
            raise ValueError(f"weight: expected at least 0, got {weight}")
        self.weight = weight

    @abstractmethod
    def forward(self, x: Tensor, z: Tensor, q: Distribution, p: Distribution) -> Tensor:
        """(B,), given x in data units, z ~ q(z|x) (B, …), q(z|x) and p(z)."""
