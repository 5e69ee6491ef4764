"""How much of a corruption a codec undoes, by the strength of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from reparam.data import Split
from reparam.evaluation.reconstruction import Errors, error_score
from reparam.evaluation.rows import seeded_batches
from reparam.evaluation.scores import Score
from reparam.evaluation.vectors import Vectors
from reparam.inspection import Noise
from reparam.model import Codec
from reparam.space import trusted


@dataclass(frozen=True)
class Repair:
    """Mean squared errors from the clean x at one level of noise.

    Args:
        level: of the noise.
        corrupted: the error of x̃.
        repaired: that of the reconstruction of x̃.
    """

    level: float
    corrupted: Score
    repaired: Score


@torch.no_grad()
def repair(
    model: Codec,
    noise: Noise,
    split: Split,
    train: Split,
    level: float,
    name: str = "test",
    seed: int = 0,
) -> Repair:
    """How near x̃ and its reconstruction are to x: units as of ``reconstruction_mse``.

    Args:
        model: any codec, trained on this noise or not.
        noise: what corrupts; with one seed every codec of a space meets the same x̃.
        split: the clean examples.
        train: sets the deviations of the columns of real tables.
        level: of the noise.
        name: of the split.
        seed: of the noise.
    """
    vectors = Vectors(model.space, train.x)
    before: list[Errors] = []
    after: list[Errors] = []
    for (x, c, _), own_noise in seeded_batches(model, split, seed):
        with own_noise:
            seen = noise.corrupt(x, level)
        with trusted():  # noise may take x̃ where no code is asked for otherwise
            restored = model.reconstruct(seen, c)
        for found, errors in ((seen, before), (restored, after)):
            errors.append(vectors.errors(found, x))
    corrupted, repaired = (
        error_score(errors, vectors.unit, name, seed) for errors in (before, after)
    )
    return Repair(level, corrupted, repaired)
