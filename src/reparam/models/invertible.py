"""The role of models whose codes are noise of a known density, carried to x one to one."""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod

import torch
from torch import Tensor

from reparam.bijections.base import Bijection
from reparam.inspection import SamplesNotFinite
from reparam.model import Codec, Density, Distribution, positive_count
from reparam.space import looked_at, trusted

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
        """x of noise, of a checked c; not finite where a member on the way was not."""

    def draw(self, n: int, c: Tensor | None, generator: torch.Generator | None) -> Tensor:
        return self._carry(self.p_z(c, n).sample(generator), c)

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
            return self._carry(p_z.center.lerp(p_z.sample(generator), temperature), c)

    def _carry(self, z: Tensor, c: Tensor | None) -> Tensor:
        """``carry``, with a warning that says where samples that are not finite became so."""
        x = self.carry(z, c)
        if not looked_at() or x.isfinite().all():
            return x
        lost = (~x.flatten(1).isfinite().all(1)).nonzero().flatten().tolist()
        first = slice(lost[0], lost[0] + 1)
        place = self._place(z[first], None if c is None else c[first])
        warnings.warn(
            f"samples: {len(lost)} of {len(x)} are not finite, the first of them since {place}; "
            "the model has diverged, train it with a smaller lr",
            SamplesNotFinite,
            stacklevel=2,
        )
        return x

    def _place(self, z: Tensor, c: Tensor | None) -> str:
        """The first station at which one row of noise is not finite, in words."""
        with trusted():
            noise, *members, data = self.stations(z, c)
        for index, station in enumerate(members, 1):
            if not (station.points.isfinite().all() and station.ladj.isfinite().all()):
                return f"{station.name}, member {index} of {len(members)} from noise to data"
        return "the data's units" if noise.points.isfinite().all() else "the noise itself"


def check_temperature(temperature: float) -> float:
    if not 0 <= temperature < math.inf:
        raise ValueError(f"temperature: expected a number of at least 0, got {temperature}")
    return temperature
