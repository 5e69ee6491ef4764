"""The role of models whose codes are noise of a known density, carried to x one to one."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor

from reparam.bijections.base import Bijection
from reparam.model import Codec, Density, Distribution, positive_count

Members = list[tuple[Bijection, Tensor | None]]


class Invertible(Codec, Density):
    """x of noise z and back: log p(x) = log p(z) + log |det ∂z/∂x|, and a code is z."""

    @property
    def layers(self) -> tuple[int, ...]:
        """Sizes of the scales in a code, coarsest first; (): there is but one."""
        return ()

    @abstractmethod
    def p_z(self, c: Tensor | None, rows: int) -> Distribution:
        """The base, from which z is drawn: a row for each of so many."""

    @abstractmethod
    def passage(self, x: Tensor, c: Tensor | None = None) -> tuple[Tensor, Members]:
        """x as the first member takes it, and all members from data to noise with their contexts.

        Real x come in training deviations, levels as the middles of their boxes, x + ½.
        """

    @abstractmethod
    def log_slope(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """log |det ∂z/∂x| of real x, (B,)."""

    @abstractmethod
    def carry(self, z: Tensor, c: Tensor | None) -> Tensor:
        """x of noise, of a checked c."""

    def draw(self, n: int, c: Tensor | None, generator: torch.Generator | None) -> Tensor:
        return self.carry(self.p_z(c, n).sample(generator), c)

    def sample(
        self,
        n: int,
        c: Tensor | None = None,
        *,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """n draws x ~ p(x), (n, *shape); of z, what lies off the base's center is scaled.

        Args:
            n: how many.
            c: the condition; None: as conditions occur in training.
            temperature: 1: draws of the model; below, those nearer to its center, which are no
                draws of it.
            generator: of the draws.
        """
        if temperature == 1:
            return super().sample(n, c, generator=generator)
        check_temperature(temperature)
        positive_count("n", n)
        with torch.no_grad():
            c = self._condition(self.draw_condition(n, generator) if c is None else c, n)
            p_z = self.p_z(c, n)
            return self.carry(p_z.center.lerp(p_z.sample(generator), temperature), c)


def check_temperature(temperature: float) -> float:
    if not 0 <= temperature < math.inf:
        raise ValueError(f"temperature: expected a number of at least 0, got {temperature}")
    return temperature
