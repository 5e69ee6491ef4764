"""A diffusion model as a codec: its probability-flow ODE carries x to noise and back."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from reparam import numerics
from reparam.diffusion.flow import Field, Method, carry, check_method, passes_of
from reparam.diffusion.schedules import Schedule
from reparam.diffusion.steps import over
from reparam.diffusion.units import Units
from reparam.limits import Count, limited
from reparam.model import Codec, Density, LogProb, Model, Space

STEPS = 100


class HasFlow(Protocol):
    """What a codec needs of a diffusion model."""

    schedule: Schedule
    units: Units

    def velocity(self, c: Tensor | None) -> Field: ...

    def log_density(
        self,
        y: Tensor,
        c: Tensor | None,
        steps: int | None,
        method: Method,
        probes: int,
        generator: torch.Generator | None,
    ) -> Tensor: ...


class DiffusionCodec(Codec, Density):
    """Codes are the noise that the probability-flow ODE makes of x, in standard normal units.

    Encoding and decoding take many passes of the network, and are inverses of each other up to the
    solver's error: of ``ddim``, a method of first order, this halves when steps double.

    Args:
        model: a diffusion model, whose weights it shares.
        sampling_steps: of the solver, each way; None: 100, or all of fewer times.
        method: heun, ddim, or rk4 in continuous time.

    Shape: x and code (B, *space.shape).

    Likelihood: an estimate by the same solver (heun where the method is ddim); binary and levels
        data are dequantized where time is continuous, and refused where it is not.

    Reference: Song et al. 2021, "Score-based generative modeling through SDEs", section 4.3.
    https://arxiv.org/abs/2011.13456

    >>> import reparam as rp
    >>> codec = rp.build("ddpm", rp.Space((2,), "real"), times=50).as_codec(sampling_steps=10)
    >>> codec.encode(torch.ones(1, 2)).shape
    torch.Size([1, 2])
    """

    approximation = "flow solver"

    @limited
    def __init__(
        self, model: Model, sampling_steps: Count | None = None, method: Method = "heun"
    ) -> None:
        super().__init__(model.space)
        self.anchor = model.anchor
        self.model, self.conditional = model, model.conditional
        self.class_names = model.class_names
        self.method = method
        self.flow: HasFlow = model  # type: ignore[assignment]
        self.steps = sampling_steps or min(STEPS, self.flow.schedule.times or STEPS)
        check_method(method, self.flow.schedule)
        self.flow.schedule.grid(self.steps)
        self.log_prob_draws = getattr(model, "log_prob_draws", True)
        self.eval()

    @property
    def passes(self) -> int:
        """Of the network, one after the other, to encode or to decode."""
        return self.steps * passes_of(self.method)

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

    def encode(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        x, c = self.prepare(x, c, self.encodes)
        y, _ = self.flow.units(x, middle=True)
        return self._carried(y, c, towards_noise=True)

    def decode(self, code: Tensor, c: Tensor | None = None) -> Tensor:
        code = self.prepare_code(code)
        y = self._carried(code, self._condition(c, code.shape[0]), towards_noise=False)
        return self.flow.units.mean(y)

    def draw(self, n: int, c: Tensor | None, generator: torch.Generator | None) -> Tensor:
        noise = numerics.noise(self.anchor.new_empty(n, *self.space.shape), "normal", generator)
        return self.flow.units.back(self._carried(noise, c, towards_noise=False))

    def density(
        self, x: Tensor, c: Tensor | None, samples: int, generator: torch.Generator | None
    ) -> LogProb:
        if self.flow.units.discrete:
            raise ValueError(
                "log_prob: of whole numbers the flow of discrete times has none; take the model's "
                "own bound, or score-sde"
            )
        y, ladj = self.flow.units(x, generator)
        method: Method = "heun" if self.method == "ddim" else self.method
        value = self.flow.log_density(y, c, self.steps, method, samples, generator)
        return LogProb(value + ladj, "estimate", samples)

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
