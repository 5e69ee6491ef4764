"""What codes are good for."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from reparam.data import Split
from reparam.evaluation.classes import classifier
from reparam.evaluation.rows import batches, subset
from reparam.evaluation.scores import Score, mean_score, share_score
from reparam.evaluation.vectors import Vectors
from reparam.model import Encoder

NEIGHBORS, MOST_ROWS = 10, 1000  # neighbors of each row, rows among which they are sought
PROBED_ENTRIES, LEAST_PROBED = 10_000_000, 1000  # of codes that a probe is fitted on; rows


@torch.no_grad()
def code_features(model: Encoder, split: Split, pooled: bool = False) -> torch.Tensor:
    """Vectors of the codes of a split, in which distances mean something, (N, E) in float64.

    ``pooled``: of codes that are grids their means over the places.
    """
    of_code = model.pooled if pooled else model.embed
    found = [of_code(model.encode(x, c)).cpu().double() for x, c, _ in batches(model, split)]
    return torch.cat(found)


def pools(model: Encoder) -> bool:
    """Whether ``pooled`` makes less of a code: of grids of real numbers it does."""
    space = model.code_space
    if space.kind != "real":
        return False
    return model.pooled(torch.zeros(1, *space.shape).to(model.anchor)).shape[1] < space.dimension


@torch.no_grad()
def codes(model: Encoder, split: Split) -> torch.Tensor:
    """The codes of a split, (N, F) on the CPU: real ones in float64, indices as they are."""
    found = torch.cat([model.encode(x, c).flatten(1).cpu() for x, c, _ in batches(model, split)])
    return found if model.code_space.kind == "levels" else found.double()


def linear_probe(
    model: Encoder,
    train: Split,
    split: Split,
    name: str = "test",
    seed: int = 0,
    pooled: bool = False,
) -> Score | None:
    """Accuracy of logistic regression from standardized codes to labels; None without labels.

    None as well of conditional models: their codes are told the condition, labels or attributes
    that may give labels away, and the probe would read those.

    The probe is fitted on the codes of the training examples (scikit-learn's default strength of
    regularization) and measured on the split. Of large
    data and wide codes it is fitted on so many examples, drawn at random, that they have ten
    million entries, but no fewer than 1000; the unit then says on how many. ``pooled``: of codes
    that are grids their means over the places; None of all others.
    """
    if pooled and not pools(model):
        return None
    if model.conditional or train.labels is None or split.labels is None:
        return None
    measured = code_features(model, split, pooled)
    fitted = subset(train, max(LEAST_PROBED, PROBED_ENTRIES // measured.shape[1]), seed)
    assert fitted.labels is not None
    if len(fitted.labels.unique()) < 2:
        return None
    probe = classifier(code_features(model, fitted, pooled), fitted.labels)
    score = share_score(probe(measured) == split.labels, name)
    if len(fitted) == len(train):
        return score
    return replace(score, unit=f"{score.unit}, fitted on {len(fitted):,} codes", seed=seed)


def nearest(points: torch.Tensor, k: int) -> torch.Tensor:
    """The rows of the k other points nearest to each point (N, F), (N, k).

    >>> nearest(torch.tensor([[0.0], [1.0], [5.0]]), 1).flatten().tolist()
    [1, 0, 1]
    """
    centered = points - points.mean(0)  # so that the squares below do not cancel
    squares = centered.square().sum(1)
    distances = squares - 2 * centered @ centered.T  # but for a term that is the row's own
    return distances.fill_diagonal_(math.inf).topk(k, largest=False).indices


def neighbor_overlap(
    model: Encoder, train: Split, split: Split, name: str = "test", seed: int = 0
) -> Score | None:
    """The share of each row's 10 nearest neighbors in the data that are so among the codes too.

    Euclidean distances on both sides, in the data between ``Vectors``. At most 1000 rows of the
    split, drawn at random, are each other's neighbors: a code that has nothing to do with the data
    keeps 10/(n−1) of them, the data themselves keep all. None where there are not twice as many
    rows as neighbors, and of conditional models: a code of the condition alone would keep neighbors
    of one class together.

    Args:
        model: any encoder.
        train: sets the deviations of the columns of tables.
        split: its examples.
        name: of the split.
        seed: of the rows.

    Reference: Lee & Verleysen 2009, "Quality assessment of dimensionality reduction", Q_NX(K).
    """
    chosen = subset(split, MOST_ROWS, seed)
    n = len(chosen)
    if model.conditional or n < 2 * NEIGHBORS:
        return None
    in_data = nearest(Vectors(model.space, train.x)(chosen.x), NEIGHBORS)
    in_code = nearest(code_features(model, chosen), NEIGHBORS)
    shared = (in_data[:, :, None] == in_code[:, None, :]).any(2).double().mean(1)
    chance = NEIGHBORS / (n - 1)
    unit = f"of {NEIGHBORS}, {chance:.1%} by chance"
    return mean_score(shared, unit, name, seed=seed if n < len(split) else None)
