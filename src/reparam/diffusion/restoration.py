"""Restoration by projection: x̂ moved, in every step, to where y is left of it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from torch import Tensor

from reparam import numerics
from reparam.diffusion.samplers import Noise, ancestral
from reparam.diffusion.steps import Estimate, Process, at, over, step_back
from reparam.news import tell


def restore(
    process: Process,
    like: Tensor,
    consistent: Callable[[Tensor], Tensor],
    times: Tensor,
    resamplings: int,
    generator: Noise = None,
) -> Tensor:
    """x_0 of which y is left, (B, *shape) in the units of noise.

    In every step x̂ is replaced by the nearest of which y is left; then noise is added again and
    the step repeated, so that what y does not say agrees with what it says.

    Args:
        process: of the model.
        like: (B, *shape), for its shape, dtype and device.
        consistent: x̂ to the nearest of which y is left, in the units of noise.
        times: from 1 down to 0.
        resamplings: how often a step is done.
        generator: of the noise.

    Reference: Wang et al. 2022, "Zero-shot image restoration using denoising diffusion null-space
    model", algorithm 1, and 2 with a travel of one step.
    https://arxiv.org/abs/2212.00490
    """
    schedule = process.schedule

    def moved(state: Tensor, t: Tensor) -> Estimate:
        x, level = consistent(process.estimate(state, t).x), at(schedule(t), state)
        return Estimate(x, (state - level.signal * x) / level.noise)

    projected = process._replace(estimate=moved)
    state = numerics.noise(like, "normal", generator) * schedule.prior_scale.to(like)
    steps = len(times) - 1
    for index, (t, s) in enumerate(pairwise(times.split(1))):
        last = index + 1 == steps
        for turn in range(resamplings):
            tell((index + turn / resamplings) / steps)
            drawn, x = ancestral(projected, state, t, s, last, process.variance, generator)
            if last:
                return x
            if turn + 1 < resamplings:
                ratio = schedule(t).signal / schedule(s).signal
                scale = step_back(schedule, t, s).beta.sqrt()
                again = numerics.noise(like, "normal", generator)
                drawn = over(ratio, like) * drawn + over(scale, like) * again
            state = drawn
    return state
