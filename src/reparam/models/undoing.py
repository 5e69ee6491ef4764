"""What diffusion models tell, for pictures, of how they undo noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from itertools import pairwise
from typing import Any, Protocol

import torch
from torch import Tensor

from reparam import numerics
from reparam.degradation import Degradation
from reparam.diffusion.restoration import restore
from reparam.diffusion.samplers import SAMPLERS, State
from reparam.diffusion.steps import at, guess
from reparam.inspection import FromNoise, Noised, Spent
from reparam.model import Generator
from reparam.models.diffusion_codec import HasProcess
from reparam.wording import listed

RESTORING, RESAMPLINGS = 200, 4  # steps at most, and how often each is done
TIMES_OF_A_PART = 4  # at which a row is measured, of all those that a part of the bound has


class Undoing:
    """How a diffusion model undoes noise.

    Args:
        model: the diffusion model.

    >>> import reparam as rp
    >>> model = rp.build("ddpm", rp.Space((2,), "real"), times=10)
    >>> [round(moment.t, 2) for moment in Undoing(model).path(3, [0, 0.5, 1])]
    [1.0, 0.5, 0.0]
    """

    def __init__(self, model: HasProcess) -> None:
        self.model = model

    @property
    def samplers(self) -> dict[str, int | None]:
        times = self.model.schedule.times
        return dict.fromkeys(_SHOWN[times is None], times)

    @property
    def guides(self) -> bool:
        return self.model.conditional and self.model.drop_condition > 0

    @property
    def options(self) -> dict[str, tuple[str, ...]]:
        return {name: tuple(one.name for one in fields(kind)) for name, kind in SAMPLERS.items()}

    @property
    def usual(self) -> tuple[str, dict[str, Any]]:
        sampler, steps = self.model.sampler, self.model.schedule.times
        name = next(name for name, kind in SAMPLERS.items() if kind is type(sampler))
        own = {option: getattr(sampler, option) for option in self.options[name]}
        return name, own | {"steps": sampler.steps or steps}

    def by(self, sampler: str, steps: int, guidance: float = 1.0, **options: Any) -> Generator:
        if sampler not in SAMPLERS:
            raise ValueError(f"sampler: expected {listed(list(SAMPLERS))}, got {sampler!r}")
        return self.model.through(SAMPLERS[sampler](steps=steps, guidance=guidance, **options))

    @torch.no_grad()
    def path(
        self,
        n: int,
        shares: Sequence[float],
        c: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> list[Noised]:
        model = self.model
        steps = model.sampler.steps or model.schedule.times
        assert steps is not None
        wanted = {round(share * steps) for share in shares}
        return [
            self._pictured(one)
            for place, one in enumerate(model.states(n, c, generator))
            if place in wanted
        ]

    def _pictured(self, one: State) -> Noised:
        units = self.model.units
        if one.x is None:
            drawn = units.back(one.state)
            return Noised(one.t.item(), drawn, drawn)
        level = at(self.model.schedule(one.t), one.state)
        return Noised(one.t.item(), units.mean(one.state / level.norm), units.mean(one.x))

    @torch.no_grad()
    def noised(
        self, x: Tensor, times: Sequence[float], generator: torch.Generator | None = None
    ) -> list[Tensor]:
        c = self.model.draw_condition(len(x), generator)  # which changes nothing
        y, _ = self.model.units(self.model.prepare(x, c)[0], generator, middle=True)
        noise, found = numerics.noise(y, "normal", generator), []
        for t in times:
            level = at(self.model.schedule(torch.tensor([t], device=y.device)), y)
            state = level.signal * y + level.noise * noise
            found.append(self.model.units.mean(state / level.norm))
        return found

    @torch.no_grad()
    def spent(
        self, x: Tensor, c: Tensor | None, generator: torch.Generator | None = None
    ) -> list[Spent]:
        """Steps 1, 2, 3–4, 5–8 and so on, a row at four times of each part, spread evenly."""
        bound = self.model.bound
        if bound is None:
            return []
        x, c = self.model.prepare(x, c)
        y, ladj = self.model.units(x, generator)
        halved = {2**k for k in range(bound.times.bit_length()) if 2**k < bound.times}
        places = sorted({*halved, bound.times}, reverse=True)
        found = [Spent(1.0, 1.0, bound.of_prior(y))]
        for late, early in pairwise(places):
            nats = self._between(y, c, late, early, generator)
            found.append(Spent(late / bound.times, early / bound.times, nats))
        first = y.new_full((len(y),), 1 / bound.times)
        mean = guess(self.model.process(c), y, first, generator)
        return [*found, Spent(1 / bound.times, 0.0, bound.of_last(x, y, mean) - ladj)]

    def _between(
        self,
        y: Tensor,
        c: Tensor | None,
        late: int,
        early: int,
        generator: torch.Generator | None,
    ) -> Tensor:
        """The terms of the steps back from times early + 1 … late, (B,)."""
        bound, there = self.model.bound, late - early
        assert bound is not None
        each = min(TIMES_OF_A_PART, there)
        total = y.new_zeros(len(y))
        for turn in range(each):
            offset = numerics.noise(y.new_empty(len(y)), "uniform", generator)
            place = (turn + (0 if each == there else offset)) * (there / each)
            steps = torch.as_tensor(place, device=y.device).floor().clamp(max=there - 1)
            t = (early + 1 + steps.expand(len(y)).double()) / bound.times
            found = guess(self.model.process(c), y, t, generator)
            total = total + bound.of_step(y, found, t, self.model.variance) * (there / each)
        return total

    @torch.no_grad()
    def score(self, x: Tensor, t: float) -> Tensor | None:
        """−ε̂/σ of x_t = √(α² + σ²) y, times that root, as it is per unit of y."""
        units = self.model.units
        if units.discrete or units.dequantizes:
            return None
        y, _ = units(self.model.prepare(x)[0])
        time = y.new_full((1,), t)
        level = at(self.model.schedule(time), y)
        # From the velocity, whose x̂ is not clipped, as it is in steps of samplers.
        v = self.model.velocity(None)(y, time)
        noise = (level.noise * y + level.signal * v) / level.norm
        slope = units.mean(torch.ones_like(y)) - units.mean(torch.zeros_like(y))
        slope = torch.where(slope == 0, 1, slope)  # of constants, whose score is 0
        return -noise * level.norm / level.noise / slope

    def flow(self, steps: int) -> Generator | None:
        if self.model.schedule.times is not None:
            return None
        codec: Generator = self.model.as_codec(sampling_steps=steps)
        return codec

    @property
    def restores(self) -> str:
        whole = " and rounded to whole numbers at the end" if self.model.units.discrete else ""
        return (
            "These are no draws of p(x | y), but an approximation: in every step the estimate of "
            f"x is moved to the nearest of which y is left{whole}."
        )

    @torch.no_grad()
    def restored(
        self,
        given: Degradation,
        y: Tensor,
        c: Tensor | None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """At most ``RESTORING`` steps, each done ``RESAMPLINGS`` times."""
        model = self.model
        units, times = model.units, model.schedule.times or RESTORING
        like = units.low.new_empty(len(y), *model.space.shape)

        def consistent(x: Tensor) -> Tensor:
            return units(given.consistent(units.mean(x), y), middle=True)[0].to(x)

        grid = model.schedule.grid(model.sampler.steps or min(times, RESTORING))
        process = model.process(c, model.sampler.guidance)
        found = restore(process, like, consistent, grid, RESAMPLINGS, generator)
        return given.keep(units.back(found), y)


_SHOWN = {  # by whether time is continuous
    False: ("ddim", "ddpm"),
    True: ("ddim", "reverse-sde", "ode"),
}


class Decodes(Protocol):
    """What ``UndoingOfCodes`` needs of a model of two stages."""

    def codes_of(self, x: Tensor) -> Tensor: ...
    def decode(self, code: Tensor, c: Tensor | None = None) -> Tensor: ...
    def with_generator(self, generator: Generator) -> Generator: ...


class UndoingOfCodes:
    """How a model whose codes are drawn by undoing noise does so: in pictures, codes are decoded.

    So x at the end is a mean, which ``sample`` rounds at random where x is of whole numbers.

    Args:
        inner: how its generator undoes noise.
        whole: the model of two stages.
    """

    def __init__(self, inner: FromNoise[Generator], whole: Decodes) -> None:
        self.inner, self.whole = inner, whole

    @property
    def samplers(self) -> dict[str, int | None]:
        return self.inner.samplers

    @property
    def guides(self) -> bool:
        return self.inner.guides

    @property
    def options(self) -> dict[str, tuple[str, ...]]:
        return self.inner.options

    @property
    def usual(self) -> tuple[str, dict[str, Any]]:
        return self.inner.usual

    def by(self, sampler: str, steps: int, guidance: float = 1.0, **options: Any) -> Generator:
        try:
            inner = self.inner.by(sampler, steps, guidance, **options)
        except ValueError as error:  # what is to be trained otherwise is the generator
            said = str(error).replace("train one with ", "train one with generator.")
            raise ValueError(said) from None
        return self.whole.with_generator(inner)

    @torch.no_grad()
    def path(
        self,
        n: int,
        shares: Sequence[float],
        c: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> list[Noised]:
        decode = self.whole.decode
        found = self.inner.path(n, shares, c, generator)
        return [Noised(one.t, decode(one.state), decode(one.x)) for one in found]

    @torch.no_grad()
    def noised(
        self, x: Tensor, times: Sequence[float], generator: torch.Generator | None = None
    ) -> list[Tensor]:
        codes = self.inner.noised(self.whole.codes_of(x), times, generator)
        return [self.whole.decode(code) for code in codes]

    def spent(
        self, x: Tensor, c: Tensor | None, generator: torch.Generator | None = None
    ) -> list[Spent]:
        """None: nats of codes are no nats of x."""
        return []

    def score(self, x: Tensor, t: float) -> Tensor | None:
        return None

    def flow(self, steps: int) -> Generator | None:
        return None

    restores = ""

    def restored(
        self,
        given: Degradation,
        y: Tensor,
        c: Tensor | None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        raise NotImplementedError  # what is undone is noise in codes, of which y says nothing
