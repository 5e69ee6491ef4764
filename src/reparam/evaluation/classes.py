"""Which classes samples are of, as a classifier of the training data sees them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from reparam.evaluation.scores import Score

ROWS_PER_CLASS = 5  # fewer make an entropy low by more than a tenth of a nat: (K − 1)/(2N)

Classifier = Callable[[Tensor], Tensor]  # features (N, F) → class indices (N,)


def classifier(features: Tensor, labels: Tensor) -> Classifier:
    """Logistic regression from standardized features (N, F) to labels (N,) of two classes or more.

    >>> x = torch.tensor([[0.0], [0.1], [0.9], [1.0]])
    >>> classifier(x, torch.tensor([3, 3, 7, 7]))(torch.tensor([[-1.0], [2.0]]))
    tensor([3, 7])
    """
    fitted = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    fitted.fit(features.numpy(), labels.numpy())
    return lambda rows: torch.from_numpy(fitted.predict(rows.numpy()))


def entropy(labels: Tensor) -> tuple[float, float]:
    """H = −Σ p ln p of the frequencies p of labels (N,), in nats, and its standard error.

    Var H = (Σ p ln² p − H²)/N − (K−1)/(2N²) with K classes that occur, at least (K−1)/(2N²), which
    is what it is where they are equally frequent: the first term is then (K−1)/N² on average.

    Reference: Harris 1975, "The statistical estimation of entropy in the non-parametric case".

    >>> round(entropy(torch.tensor([0, 1, 0, 1]))[0], 6)  # ln 2
    0.693147
    """
    counts = labels.unique(return_counts=True)[1].double()
    p, n = counts / counts.sum(), len(labels)
    value = -(p * p.log()).sum()
    first = (p * p.log().square()).sum() - value.square()
    second = (len(p) - 1) / (2 * n**2)
    error = (first / n - second).clamp(min=second).sqrt()
    return value.abs().item(), error.item()


def label_entropy(predicted: Tensor, labels: Tensor, name: str, seed: int) -> Score:
    """The ``entropy`` of the classes of samples, with that of the split's labels in its unit.

    Args:
        predicted: class indices that the classifier finds in samples.
        labels: of the split.
        name: of the split.
        seed: of the draws.
    """
    value, error = entropy(predicted)
    # Where all are of one class, nothing is known of how rare the others are.
    unit = f"nats, {entropy(labels)[0]:.3g} of the labels of {name}"
    return Score(value, unit, len(predicted), name, error or None, seed=seed)
