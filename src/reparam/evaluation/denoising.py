"""How much of a corruption a codec undoes, by the strength of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from reparam.data import Split
from reparam.evaluation.hidden import ROWS_AT_ONCE, Hidden
from reparam.evaluation.reconstruction import Errors, error_score
from reparam.evaluation.rows import seeded_batches, seeded_slices, subset
from reparam.evaluation.scores import Score, Scores
from reparam.inspection import Noise
from reparam.model import Codec
from reparam.space import trusted


@dataclass(frozen=True)
class Repair:
    """Mean squared errors from the clean x at one level of noise.

    Of a noise that hides entries they are errors of the hidden ones alone.

    Args:
        level: of the noise.
        corrupted: the error of x̃; where it hides entries, that of their training means.
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
    hidden: Hidden | None = None,
) -> Repair:
    """How near x̃ and its reconstruction are to x: units as of ``reconstruction_mse``.

    Where the noise hides entries, a codec that takes missing entries is given NaN for them, and
    any other their training means.

    Args:
        model: any codec, trained on this noise or not.
        noise: what corrupts; with one seed every codec of a space meets the same x̃.
        split: the clean examples.
        train: sets the deviations of the columns of real tables, and the means of hidden entries.
        level: of the noise.
        name: of the split.
        seed: of the noise.
        hidden: made of ``train``, where it is at hand; None: it is made.
    """
    hidden = hidden or Hidden(model.space, train)
    before: list[Errors] = []
    after: list[Errors] = []
    for (x, c, _), own_noise in seeded_batches(model, split, seed):
        with own_noise:
            seen = noise.corrupt(x, level)
        given = hidden.for_model(model, seen) if noise.hides else seen
        with trusted():  # noise may take x̃ where no code is asked for otherwise
            restored = model.reconstruct(given, c)
        if noise.hides:
            before.append(hidden.errors(hidden.by_mean(seen), seen, x))
            after.append(hidden.errors(restored, seen, x))
        else:
            before.append(hidden.vectors.errors(seen, x))
            after.append(hidden.vectors.errors(restored, x))
    unit = unit_of(noise, hidden)
    return Repair(level, *(error_score(errors, unit, name, seed) for errors in (before, after)))


@torch.no_grad()
def linear_repair(
    noise: Noise,
    split: Split,
    hidden: Hidden,
    level: float,
    device: torch.device,
    name: str = "test",
    seed: int = 0,
) -> Score:
    """The error of linear regression of hidden entries on visible ones, of the same x̃.

    Args:
        noise: which hides entries.
        split: the clean examples.
        hidden: of the training data.
        level: of the noise.
        device: where the noise is drawn: that of the model that has it.
        name: of the split.
        seed: of the noise.
    """
    errors: list[Errors] = []
    for part, own_noise in seeded_slices(len(split), ROWS_AT_ONCE, seed, device):
        with own_noise:
            seen = noise.corrupt(split.x[part], level)
        errors.append(hidden.linear_errors(seen, split.x[part]))
    return error_score(errors, unit_of(noise, hidden), name, seed)


def hidden_scores(
    model: Codec, split: Split, train: Split, name: str = "test", seed: int = 0
) -> Scores:
    """How near a codec that learned to predict what is hidden comes to it, at the share it learned.

    ``hidden_mse``, and beside it those of the training mean, ``hidden_mse_of_mean``, and of linear
    regression from what is visible, ``hidden_mse_of_regression``, of fewer examples where x is
    large and of none where it is larger.

    Args:
        model: whose noise hides.
        split: its examples.
        train: says what means and covariances are.
        name: of the split.
        seed: of what is hidden.
    """
    noise = model.noise
    assert noise is not None and noise.hides
    hidden = Hidden(model.space, train)
    found = repair(model, noise, split, train, noise.level, name, seed, hidden)
    scores = {"hidden_mse": found.repaired, "hidden_mse_of_mean": found.corrupted}
    if not hidden.linear:
        return scores
    few, device = subset(split, hidden.examples(1), seed), model.anchor.device
    linear = linear_repair(noise, few, hidden, noise.level, device, name, seed)
    return scores | {"hidden_mse_of_regression": linear}


def unit_of(noise: Noise, hidden: Hidden) -> str:
    """Of the errors that remain of a noise."""
    unit = hidden.vectors.unit
    return f"{unit}, of hidden entries alone" if noise.hides else unit
