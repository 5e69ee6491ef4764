"""What penalties of codes have in common, of autoencoders' and of latent variables' alike."""

from __future__ import annotations

from abc import ABC

from torch import Tensor, nn


class Penalty(nn.Module, ABC):
    """weight · penalty is added to the objective; the penalty itself is the term ``term``.

    Its ``forward`` gives (B,). One that couples the rows of a batch couples, on each rank of
    several, that rank's own.
    """

    term: str
    couples_rows: bool = False  # whether a row's penalty depends on the rest of its batch

    def __init__(self, weight: float) -> None:
        super().__init__()
        if not weight >= 0:
            raise ValueError(f"weight: expected at least 0, got {weight}")
        self.weight = weight

    def add(self, value: Tensor, objective: Tensor, terms: dict[str, Tensor]) -> Tensor:
        """The objective with the penalty of a batch, (B,), which becomes one of the terms."""
        terms[self.term] = value
        return objective + self.weight * value.mean()
