"""Draws of a generator while it is trained, always of the same z: what tells how a game goes."""

from __future__ import annotations

import torch
from torch import Tensor

from reparam.model import Generator, LatentVariable, Space
from reparam.space import trusted
from reparam.train.state import Training
from reparam.train.validation import aside

MOST = 12  # intervals between the draws that are kept, and half as many at least
IMAGES, POINTS = 8, 200  # drawn each time


def keep_draws(training: Training, ended: bool = False) -> None:
    """Keep draws of now in ``history.strip``, where it is their turn, or training has ended.

    Only of models that keep their last weights, as curves tell enough of all others, and that draw
    in one pass. Steps with draws are the same number of steps apart, twice as many whenever there
    would be more than ``MOST``: by the step alone, as nobody knows how many a budget allows, and
    so that a run that is resumed, or trained on, has those of one that was never stopped.
    """
    model, strip, apart = training.model, training.history.strip, _interval(training.step)
    if (training.step % apart and not ended) or training.step in strip:
        return
    n, moves = _how_many(model.space), training.part is model and model.keeps == "last"
    if not (n and moves and isinstance(model, Generator) and model.passes_per_draw == 1):
        return
    if not training.ranks.first:
        return
    # A code that is not finite is no caller's mistake: such draws are left out.
    with aside(training), training.averaged(), trusted():
        drawn = _draws(model, n)
    if drawn.isfinite().all():
        for step in [step for step in strip if step % apart]:
            del strip[step]
        strip[training.step] = _compact(drawn, model.space)


def _interval(step: int) -> int:
    """The least power of two that goes into a step ``MOST`` times at most.

    >>> [_interval(step) for step in (0, 12, 13, 24, 25, 1400)]
    [1, 1, 2, 2, 4, 128]
    """
    return 1 << max(0, -(-step // MOST) - 1).bit_length()


def _how_many(space: Space) -> int:
    """Draws that a picture shows: of images, and of points of the plane."""
    if space.is_image:
        return IMAGES
    return POINTS if space.shape == (2,) and space.kind == "real" else 0


def _draws(model: Generator, n: int) -> Tensor:
    """n draws x ~ p(x), or means of p(x|z), z ~ p(z), by the default generator."""
    if not isinstance(model, LatentVariable):
        return model.sample(n)
    c = model.draw_condition(n)
    prior = model.prior(c)
    return model.decode(prior.repeat(n // prior.rows).sample(), c)


def _compact(x: Tensor, space: Space) -> Tensor:
    """Few levels in bytes, what lies between them in 16 bits, real x as they are; on the CPU."""
    x = x.detach().cpu()
    if space.level_count is None or space.level_count > 256:
        return x
    whole = x.round().to(torch.uint8)
    return whole if whole.eq(x).all() else x.half()
