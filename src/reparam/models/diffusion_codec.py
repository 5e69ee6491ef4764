"""A diffusion model as a codec: its probability-flow ODE carries x to noise and back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

from reparam import numerics
from reparam.bijections.units import Units
from reparam.diffusion.bound import Bound
from reparam.diffusion.flow import (
    EXACT_TRACE,
    Field,
    Method,
    carry,
    check_method,
    log_density,
    passes_of,
    passes_of_density,
)
from reparam.diffusion.samplers import Sampler, State
from reparam.diffusion.schedules import Schedule
from reparam.diffusion.steps import Process, ReverseVariance, at, over
from reparam.limits import Count, called, limited
from reparam.model import Codec, Density, Generator, LogProb, Model, Space

STEPS = 100


class HasProcess(Protocol):
    """What views of a diffusion model, as a codec and in pictures, need of it."""

    space: Space
    conditional: bool
    schedule: Schedule
    units: Units
    bound: Bound | None
    sampler: Sampler
    variance: ReverseVariance
    drop_condition: float

    @property
    def pass_cost(self) -> int: ...
    def through(self, sampler: Sampler) -> Generator: ...
    def as_codec(self, **options: Any) -> Any: ...
    def prepare(self, x: Tensor, c: Tensor | None = None) -> tuple[Tensor, Tensor | None]: ...
    def process(self, c: Tensor | None, guidance: float = 1.0) -> Process: ...
    def velocity(self, c: Tensor | None) -> Field: ...
    def keep_given(self, x: Tensor, c: Tensor | None) -> Tensor: ...
    def log_agreement(self, x: Tensor, c: Tensor | None) -> Tensor | float: ...
    def draw_condition(self, n: int, generator: torch.Generator | None = None) -> Tensor | None: ...
    def states(
        self, n: int, c: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Iterator[State]: ...


class DiffusionCodec(Codec, Density):
    """Codes are the noise that the probability-flow ODE makes of x, in standard normal units.

    Encoding and decoding take many passes of the network, and are inverses of each other up to the
    solver's error: of ``ddim``, a method of first order, this halves when steps double.

    Args:
        model: a diffusion model, whose weights it shares.
        sampling_steps: of the solver, each way; None: 100, or all of fewer times.
        method: heun, ddim, or rk4 in continuous time.

    Shape: x and code (B, *space.shape).

    Likelihood: an estimate by the same solver (heun where the method is ddim). Binary and levels
        data are dequantized: by uniform noise where time is continuous, else by that of the first
        time, log P(x) ≥ E_q(x_1|x) [log p(x_1) + log P(x|x_1) − log q(x_1|x)], with the model's own
        last step P(x|x_1). Uniform noise would reach where a model of whole numbers alone has
        hardly any density. This noise is drawn once for a row; ``samples`` are the random signs
        that estimate the divergence above 32 dimensions.

    Cost: ``passes`` of the network each way; for log p(x) also gradients, as many as dimensions up
        to 32, above them as many as ``samples``.

    Reference: Song et al. 2021, "Score-based generative modeling through SDEs", section 4.3.
    https://arxiv.org/abs/2011.13456

    >>> import reparam as rp
    >>> codec = rp.build("ddpm", rp.Space((2,), "real"), times=50).as_codec(sampling_steps=10)
    >>> codec.encode(torch.ones(1, 2)).shape
    torch.Size([1, 2])
    """

    approximation, tightens = "flow solver", False

    @limited
    def __init__(
        self, model: Model, sampling_steps: Count | None = None, method: Method = "heun"
    ) -> None:
        super().__init__(model.space)
        self.anchor = model.anchor
        self.model, self.conditional = model, model.conditional
        self.class_names = model.class_names
        self.method = method
        self.flow: HasProcess = model  # type: ignore[assignment]
        self.steps = sampling_steps or min(STEPS, self.flow.schedule.times or STEPS)
        check_method(method, self.flow.schedule)
        with called("steps", "sampling_steps"):
            self.flow.schedule.grid(self.steps)
        self.eval()

    @property
    def passes(self) -> int:
        """Of the network, one after the other, to encode or to decode."""
        return self.steps * passes_of(self.method)

    @property
    def log_prob_draws(self) -> bool:  # type: ignore[override]
        units = self.flow.units
        return units.discrete or units.dequantizes or self.space.dimension > EXACT_TRACE

    @property
    def passes_per_sample(self) -> int:  # type: ignore[override]
        each = passes_of_density(self.steps, self._method_of_density, self.space.dimension)
        return self.pass_cost * each

    @property
    def passes_per_draw(self) -> int:  # type: ignore[override]
        return self.passes

    @property
    def pass_cost(self) -> int:  # type: ignore[override]
        return self.flow.pass_cost

    @property
    def _method_of_density(self) -> Method:
        return "heun" if self.method == "ddim" else self.method

    @property
    def counted(self) -> int:
        return self.model.counted

    @property
    def class_frequencies(self) -> Tensor | None:
        return self.model.class_frequencies

    def draw_condition(self, n: int, generator: torch.Generator | None = None) -> Tensor | None:
        return self.model.draw_condition(n, generator)

    @property
    def code_space(self) -> Space:
        return Space(self.space.shape, "real")

    def told(self, x: Tensor, c: Tensor | None) -> Tensor | None:
        return self.model.told(x, c)

    def encode(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        x, c = self.prepare(x, c, self.encodes)
        y, _ = self.flow.units(x, middle=True)
        return self._carried(y, c, towards_noise=True)

    def decode(self, code: Tensor, c: Tensor | None = None) -> Tensor:
        code = self.prepare_code(code)
        c = self._condition(c, code.shape[0])
        y = self._carried(code, c, towards_noise=False)
        return self.flow.keep_given(self.flow.units.mean(y), c)

    def draw(self, n: int, c: Tensor | None, generator: torch.Generator | None) -> Tensor:
        noise = numerics.noise(self.anchor.new_empty(n, *self.space.shape), "normal", generator)
        y = self._carried(noise, c, towards_noise=False)
        return self.flow.keep_given(self.flow.units.back(y), c)

    def density(
        self, x: Tensor, c: Tensor | None, samples: int, generator: torch.Generator | None
    ) -> LogProb:
        flow = self.flow
        times = flow.schedule.grid(self.steps)
        with torch.set_grad_enabled(torch.is_grad_enabled() and x.requires_grad):
            y, log_ratio = flow.units(x, generator)
            if flow.units.discrete:
                # Of all times the last two are the first one then: no step lies between them.
                times = times.clamp(min=flow.schedule.first).unique_consecutive()
                y, log_ratio = self._noised(x, y, c, generator)
            way = flow.schedule, y, times, self._method_of_density, samples, generator, self.counted
            value = log_density(flow.velocity(c), *way) + log_ratio + flow.log_agreement(x, c)
            return LogProb(value, "estimate", samples)

    def _noised(
        self, x: Tensor, y: Tensor, c: Tensor | None, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """x_1 ~ q(x_1|x), and log P(x|x_1) − log q(x_1|x)."""
        flow = self.flow
        assert flow.bound is not None  # whole numbers stay so in discrete time alone
        t = y.new_full((len(y),), flow.schedule.first)
        level = at(flow.schedule(t), y)
        mean = level.signal * y
        state = mean + level.noise * numerics.noise(y, "normal", generator)
        log_q = flow.units.sum(numerics.normal_log_prob(state, mean, level.noise.log()))
        return state, -flow.bound.of_last(x, y, flow.process(c).estimate(state, t).x) - log_q

    def _carried(self, y: Tensor, c: Tensor | None, towards_noise: bool) -> Tensor:
        """From x to noise or back, both in the units of noise, the latter of unit variance."""
        schedule = self.flow.schedule
        times = schedule.grid(self.steps)
        start, end = schedule(times[-1:]).norm, schedule(times[:1]).norm
        scale = schedule.prior_scale
        if not towards_noise:
            start, end, scale = end / scale, start, torch.ones_like(end)
        else:
            times = times.flip(0)
        y = carry(self.flow.velocity(c), schedule, y / over(start, y), times, self.method)
        return y * over(end / scale, y)
