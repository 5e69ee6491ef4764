"""The probability-flow ODE of a diffusion: its steps, and the density that it carries along."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from reparam import numerics
from reparam.diffusion.schedules import ContinuousSchedule, Schedule
from reparam.diffusion.steps import Estimate, at, over, target
from reparam.news import tell

Method = Literal["ddim", "heun", "rk4"]
Field = Callable[[Tensor, Tensor], Tensor]  # from y (B, …) and a time (1,) to dy/dφ
PASSES = {"ddim": 1, "heun": 2, "rk4": 4}
EXACT_TRACE = 32  # entries of x up to which the divergence is found entry by entry


def passes_of(method: Method) -> int:
    """Passes of the network that a step takes."""
    return PASSES[method]


def passes_of_density(steps: int, method: Method, entries: int) -> int:
    """Passes of the network that ``log_density`` takes, of which a gradient costs two."""
    traced = entries if entries <= EXACT_TRACE else 1
    return steps * passes_of(method) * (1 + 2 * traced)


def check_method(method: Method, schedule: Schedule) -> None:
    """ValueError for the fourth order of a schedule without times between its own."""
    if method == "rk4" and schedule.times is not None:
        raise ValueError("method: rk4 needs continuous time, this model has T times; take heun")


def velocity_of(schedule: Schedule, estimate: Callable[[Tensor, Tensor], Estimate]) -> Field:
    """dy/dφ = cos φ ε̂ − sin φ x̂ of y = x_t/√(α² + σ²), φ = arctan(σ/α).

    Of dx_t = (α'/α) x_t dt + (σ' − σ α'/α) ε dt, which is Song et al. 2021, eq. 13, with the score
    −ε/σ, what remains in these variables is the velocity of Salimans & Ho 2022, section 4, of any
    α and σ.
    """

    def velocity(y: Tensor, t: Tensor) -> Tensor:
        level = at(schedule(t), y)
        state = y * level.norm
        found = estimate(state, t.clamp(min=schedule.first).expand(len(y)))
        # At times that networks do not see ε̂ is that of the first one, and x̂ what goes with it.
        x = (state - level.noise * found.noise) / level.signal
        x = torch.where(over(t, y) >= schedule.first, found.x, x)
        return target("velocity", x, found.noise, level)

    return velocity


def flow_step(
    field: Field, schedule: Schedule, y: Tensor, t: Tensor, s: Tensor, method: Method
) -> Tensor:
    """y at time s of y at time t, either way."""
    here, there = schedule(t).angle, schedule(s).angle
    change = over(there - here, y)
    first = field(y, t)
    if method == "ddim":  # the solution where x̂ and ε̂ stay as they are
        return change.cos() * y + change.sin() * first
    if method == "heun":
        return y + 0.5 * change * (first + field(y + change * first, s))
    assert isinstance(schedule, ContinuousSchedule)  # check_method
    middle = schedule.time_at(0.5 * (here + there))
    second = field(y + 0.5 * change * first, middle)
    third = field(y + 0.5 * change * second, middle)
    fourth = field(y + change * third, s)
    return y + change / 6 * (first + 2 * second + 2 * third + fourth)


def carry(field: Field, schedule: Schedule, y: Tensor, times: Tensor, method: Method) -> Tensor:
    """y at the last of the times of y at the first."""
    for index, (t, s) in enumerate(pairwise(times.split(1))):
        tell(index / (len(times) - 1))
        y = flow_step(field, schedule, y, t, s, method)
    return y


def log_density(
    velocity: Field,
    schedule: Schedule,
    x: Tensor,
    times: Tensor,
    method: Method,
    probes: int = 1,
    generator: torch.Generator | None = None,
    counted: int | None = None,
) -> Tensor:
    """log p_0(x) = log p_1(x_1) + ∫ div v dφ − D ln √(α² + σ²) at 0 + the same at 1, (B,).

    Times fall from 1 to 0, or to a later one: then x is of that time, and so is its density. The
    divergence is exact in up to 32 dimensions, beyond them an average of zᵀ (∂v/∂y) z over
    probes of random signs, the same for the whole way. D is how many entries are counted, by
    default all: others have to be 0 in x, and in v, so that they stay so.

    Reference: Song et al. 2021, "Score-based generative modeling through SDEs", eq. 39 and 40;
    Grathwohl et al. 2019 (FFJORD), eq. 7, for the estimate of the trace.
    https://arxiv.org/abs/2011.13456, https://arxiv.org/abs/1810.01367
    """
    shape, entries = x.shape[1:], x[0].numel()
    dimension = entries if counted is None else counted
    signs = None if entries <= EXACT_TRACE else _signs(x, probes, generator)

    def both(state: Tensor, t: Tensor) -> Tensor:
        moved, divergence = _with_divergence(velocity, state[:, :-1].view(-1, *shape), t, signs)
        return torch.cat([moved.flatten(1), divergence[:, None]], 1)

    times = times.flip(0)
    start, end = schedule(times[:1]), schedule(times[-1:])
    state = torch.cat([(x / over(start.norm, x)).flatten(1), x.new_zeros(len(x), 1)], 1)
    state = carry(both, schedule, state, times, method)
    scale = schedule.prior_scale / end.norm
    square = (state[:, :-1] / scale.to(x)).square().sum(1)
    by_entry = 0.5 * math.log(2 * math.pi) + scale.log() + start.norm.log()
    return state[:, -1] - 0.5 * square - dimension * by_entry.to(x)


def _signs(x: Tensor, probes: int, generator: torch.Generator | None) -> Tensor:
    """Random signs (probes, B, *shape)."""
    drawn = [numerics.noise(x, "uniform", generator) for _ in range(probes)]
    return torch.where(torch.stack(drawn) < 0.5, -1.0, 1.0).to(x)


def _with_divergence(
    velocity: Field, y: Tensor, t: Tensor, signs: Tensor | None
) -> tuple[Tensor, Tensor]:
    """v and tr ∂v/∂y, (B,), exact or by the given signs; with gradients where y has them."""
    attached = torch.is_grad_enabled() and y.requires_grad
    with torch.enable_grad():
        y = y if attached else y.detach().requires_grad_()
        v = velocity(y, t)

        def product(z: Tensor) -> Tensor:
            """zᵀ ∂v/∂y."""
            return torch.autograd.grad(v, y, z, retain_graph=True, create_graph=attached)[0]

        if signs is not None:
            trace = torch.stack([(product(z) * z).flatten(1).sum(1) for z in signs]).mean(0)
        else:
            units = torch.eye(y[0].numel(), dtype=y.dtype, device=y.device).view(
                -1, 1, *y.shape[1:]
            )
            diagonal = [(product(z.expand_as(y)) * z).flatten(1).sum(1) for z in units]
            trace = torch.stack(diagonal).sum(0)
        return (v, trace) if attached else (v.detach(), trace)
