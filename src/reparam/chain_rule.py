"""Densities that are products of conditionals, which can be walked through."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from reparam.distribution import Distribution
from reparam.model import Density


class ChainRule(Density):
    """p(x) = Π_i p(x_i | x before i), known as a distribution whose ``walk`` visits each factor."""

    @abstractmethod
    def distribution(self, rows: int, c: Tensor | None = None) -> Distribution:
        """p(x|c) of so many rows of x, in data units.

        Args:
            rows: B.
            c: the condition of each, for models that use one.

        Raises:
            ValueError: the density is a mean of several such products.
        """
