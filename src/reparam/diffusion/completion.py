"""Completion by replacement and resampling: the rest of x where a part of it is given."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from reparam import numerics
from reparam.diffusion.samplers import Noise, ancestral
from reparam.diffusion.steps import Process, over, step_back
from reparam.news import tell


def complete(
    process: Process,
    y: Tensor,
    given: Tensor,
    times: Tensor,
    resamplings: int,
    generator: Noise = None,
) -> Tensor:
    """x_0 whose entries ``given`` (bool) are those of y, (B, *shape) in the units of noise.

    After every step the given entries are replaced by noised ones of y; then noise is added again
    and the step repeated, so that the rest agrees with them.

    Reference: Lugmayr et al. 2022 (RePaint), algorithm 1.
    https://arxiv.org/abs/2201.09865
    """
    schedule = process.schedule
    state = numerics.noise(y, "normal", generator)
    state, steps = state * schedule.prior_scale.to(y), len(times) - 1
    for index, (t, s) in enumerate(pairwise(times.split(1))):
        last = index + 1 == steps
        for turn in range(resamplings):
            tell((index + turn / resamplings) / steps)
            drawn, _ = ancestral(process, state, t, s, last, process.variance, generator)
            level = schedule(s)
            known = over(level.signal, y) * y
            known = known + over(level.noise, y) * numerics.noise(y, "normal", generator)
            state = torch.where(given, known, drawn)
            if last or turn == resamplings - 1:
                break
            ratio = schedule(t).signal / level.signal
            scale = step_back(schedule, t, s).beta.sqrt()
            again = numerics.noise(y, "normal", generator)
            state = over(ratio, y) * state + over(scale, y) * again
    return state
