"""Images that are shifted away from the data, and whether log p(x) tells them from test images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from reparam.data import Split
from reparam.evaluation.likelihood import log_likelihood
from reparam.evaluation.modes import evaluating
from reparam.evaluation.ranking import exceedance
from reparam.evaluation.scores import Score
from reparam.model import Density
from reparam.space import Space

NEIGHBORHOOD = 3  # pixels, of the minimum that erodes


@dataclass(frozen=True)
class Told:
    """How a density sees one set of rows beside test rows.

    Args:
        log_p: of the rows, in nats; its kind is that of ``log_likelihood``.
        low: AUROC of −log p: 1 where every row has a lower log p than all test rows, 0 where every
            row has a higher one.
        atypical: AUROC of |log p − typical|, the distance from the mean of unseen rows.
    """

    log_p: Score
    low: float
    atypical: float


def shifted_images(split: Split, space: Space, low: float, high: float) -> dict[str, Split]:
    """The same images shifted in ways that a person sees at once, as values that x may have.

    Blank ones are ``low`` everywhere, eroded ones the least of each 3 × 3 neighborhood (bright
    strokes get thin), mirrored ones turned left to right, inverted ones low + high − x, and those
    of half the contrast lie halfway between x and their own mean, rounded to a level, which of two
    levels would give x again and is left out. Conditions stay those of the originals.

    Args:
        split: the images (N, C, H, W).
        space: of them.
        low, high: the ends of the scale, 0 and K − 1 of discrete data.

    >>> x = torch.tensor([[[[0, 2, 3]]]], dtype=torch.uint8)
    >>> sets = shifted_images(Split(x), Space((1, 1, 3), "levels", 4), 0, 3)
    >>> {name: part.x.flatten().tolist() for name, part in sets.items()}  # doctest: +ELLIPSIS
    {'blank': [0, 0, 0], 'eroded': [0, 0, 2], ... 'inverted': [3, 1, 0], 'half contrast': [1, 2, 2]}
    """
    x, levels = split.x.double(), space.level_count
    sets = {
        "blank": torch.full_like(x, low),
        "eroded": -F.max_pool2d(-x, NEIGHBORHOOD, stride=1, padding=NEIGHBORHOOD // 2),
        "mirrored": x.flip(-1),
        "inverted": low + high - x,
    }
    if levels != 2:
        halfway = (x + x.mean((1, 2, 3), keepdim=True)) / 2
        sets["half contrast"] = halfway if levels is None else halfway.round()
    kept = replace(split, gray=None, files=None, streamed=False)
    # Whole numbers of a real kind may have fractions between them here.
    dtype = x.dtype if levels is None and not split.x.is_floating_point() else split.x.dtype
    return {name: replace(kept, x=values.to(dtype)) for name, values in sets.items()}


def told_apart(
    model: Density,
    sets: Mapping[str, Split],
    test: Split,
    unseen: Split,
    *,
    samples: int = 1,
    seed: int = 0,
) -> dict[str, Told]:
    """What a density makes of sets of rows beside test rows, which are the first in the result.

    Conditional models are told the conditions that stand in each split.

    Args:
        model: any density.
        sets: splits of its space by name, shifted ones or other data.
        test: the rows that they are told from.
        unseen: others of the data, of whose log p the typical one is the mean: validation rows, as
            those of training have a higher one where a model has learned them by heart.
        samples: draws per row, where log p(x) is found by draws.
        seed: of the draws.
    """
    named = {"test": test, **sets}
    with evaluating([model]):
        typical = log_likelihood(model, unseen, "valid", samples, seed)
        found = {k: log_likelihood(model, part, k, samples, seed) for k, part in named.items()}
    mean = _values(typical)
    mean = mean[mean.isfinite()].mean()  # what has no probability at all is no typical row
    inside = _values(found["test"])
    return {
        name: Told(
            score,
            exceedance(-inside, -_values(score)),
            exceedance((inside - mean).abs(), (_values(score) - mean).abs()),
        )
        for name, score in found.items()
    }


def _values(score: Score) -> Tensor:
    assert score.values is not None
    return score.values
