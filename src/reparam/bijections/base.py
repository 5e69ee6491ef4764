"""What a bijection is: data → noise with its log-determinant, and back."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Bijection(nn.Module, ABC):
    """An invertible map of rows; ``ladj`` is log|det J| of the direction taken, (B,)."""

    @abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]: ...

    @abstractmethod
    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]: ...

    @property
    def slope(self) -> Tensor | None:
        """a where x = a·z + b entry by entry, to be broadcast over (B, *shape); None elsewhere."""
        return None
