"""How well few labels do with the codes of a model: logistic regression on codes that stay."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from reparam.data import Data, Split, refuse_unfit
from reparam.data.few_labels import Count
from reparam.display import Displayed
from reparam.evaluation.modes import evaluating
from reparam.evaluation.representation import code_features, pools
from reparam.evaluation.rows import subset
from reparam.evaluation.vectors import Vectors
from reparam.model import Encoder, Model, positive_count
from reparam.progress import Watch, unwatched
from reparam.supervised import Supervised

LABELS: tuple[Count, ...] = (10, 100, 1000, "all")
STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0)  # C of logistic regression, the weaker the larger
UNCHOSEN = 1.0  # where no labels are held out to choose by
MOST_ENTRIES = 50_000_000  # of features that a probe is fitted on
WHOLE, POOLED, RAW, MAJORITY = "whole code", "pooled code", "raw entries", "majority class"

Features = Callable[[Split], Tensor]  # of a split, (N, F)


@dataclass(frozen=True)
class Probe:
    """The accuracy from one kind of features, with so many labels, over draws of these.

    Args:
        labels: in training and validation together.
        features: what is standardized and read: the whole code, or a grid of it pooled over its
            places, or the data themselves; or none, for the most frequent class of the labels.
        accuracies: on the test split, by draw.
        strengths: C of the logistic regression, by draw; empty where there is none.
        chosen: whether the strength was chosen by labels that were held out.
        n: test examples.
        fitted: training examples at most.

    >>> probe = Probe(100, WHOLE, (0.7, 0.8), (1.0, 1.0), True, 400, 80)
    >>> round(probe.mean, 3), round(probe.spread, 3), round(probe.stderr, 4)
    (0.75, 0.071, 0.0217)
    """

    labels: Count
    features: str
    accuracies: tuple[float, ...]
    strengths: tuple[float, ...]
    chosen: bool
    n: int
    fitted: int

    @property
    def mean(self) -> float:
        return mean(self.accuracies)

    @property
    def spread(self) -> float | None:
        """The standard deviation over draws of labels; None of one."""
        return stdev(self.accuracies) if len(self.accuracies) > 1 else None

    @property
    def stderr(self) -> float:
        """The binomial standard error of one draw, over the test examples."""
        return math.sqrt(self.mean * (1 - self.mean) / self.n)

    def first(self, draws: int) -> Probe:
        """The same of the first draws alone."""
        kept = (self.accuracies[:draws], self.strengths[:draws])
        return replace(self, accuracies=kept[0], strengths=kept[1])

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"mean": self.mean, "spread": self.spread, "stderr": self.stderr}


@dataclass(frozen=True)
class Probing(Displayed):
    """What ``probe`` returns: probes by number of labels, those of the code first.

    Args:
        probes: all of them.
        data: the name of the data.
        fingerprint: of these.
        rows: that training has.
        seeds: of the draws of labels.
    """

    probes: tuple[Probe, ...]
    data: str
    fingerprint: str
    rows: int
    seeds: tuple[int, ...]

    def __getitem__(self, which: tuple[Count, str]) -> Probe:
        """The probe with so many labels from such features."""
        return next(p for p in self.probes if (p.labels, p.features) == which)

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"probes": [probe.to_json() for probe in self.probes]}


def probe(
    model: Encoder | None,
    data: Data,
    labels: Sequence[Count] | None = None,
    seeds: int = 3,
    *,
    watch: Watch = unwatched,
) -> Probing:
    """Accuracy of logistic regression from codes of ``data.with_labels(n, seed)`` to the labels.

    Features are centered and divided by their common deviation, both of the labeled training rows:
    what differs much between examples counts more, as it does among the data. The strength of
    regularization is the one of the lowest cross-entropy of the labels held out (``STRENGTHS``),
    and 1 where none are. Features of so many rows are read that they are at most 50 million
    numbers.

    Args:
        model: an encoder, which stays as it is; None: raw entries and the majority alone.
        data: all rows, with labels.
        labels: how many, each a point of a curve; ``"all"`` is one draw. None: those of 10, 100
            and 1000 that there are, and all.
        seeds: draws of labels, 0, 1 …
        watch: is told the share that is done.

    Raises:
        ValueError: a model without codes, or that is told the condition; data that are not the
            model's, or not with so many labels.

    >>> import reparam as rp
    >>> digits = rp.load_data("digits")
    >>> found = rp.probe(rp.build("pca", digits.space, latent_dim=8, seed=0), digits, [100], 1)
    >>> [probe.features for probe in found.probes]
    ['whole code', 'raw entries', 'majority class']
    """
    features = raw_features(data)
    if model is not None:
        refuse_probe(model)
        refuse_unfit(model, data, "train", "valid", "test")
        features = features_of(model) | features
    draws = labeled_draws(data, labels, seeds)
    found = probes(features, data, draws, watch)
    about = (data.name, data.fingerprint(), len(data.train), tuple(range(seeds)))
    return Probing(tuple(found), *about)


def probes(
    features: Mapping[str, Features],
    data: Data,
    draws: Mapping[Count, Sequence[Data]],
    watch: Watch = unwatched,
) -> list[Probe]:
    """Probes of several kinds of features, by number of labels.

    Args:
        features: by name.
        data: whose test rows accuracies are of.
        draws: of ``labeled_draws``.
        watch: is told the share that is done.
    """
    found: dict[tuple[Count, str], Probe] = {}
    for done, (name, of) in enumerate(features.items()):
        measured = of(data.test)
        for n, few in draws.items():
            watch(f"{name}, {n} labels", done / len(features))
            found[n, name] = _probe(of, name, n, few, measured, data.test)
    return [found[n, name] for n in draws for name in features]


def refuse_probe(model: Model) -> Encoder:
    """The model; ValueError where it has no codes of its own to be read."""
    name = type(model).__name__
    if not isinstance(model, Encoder):
        raise ValueError(f"model: {name} has no codes; take one that has, as ae, vae or mae")
    if isinstance(model, Supervised):
        raise ValueError(f"model: {name} learned from labels; probe the encoder that it is made of")
    if model.conditional:
        raise ValueError(
            f"model: {name} is told its condition, which its codes may give away; take one that "
            "is not conditional, as ae, vae or mae"
        )
    return model


def labeled_draws(
    data: Data, labels: Sequence[Count] | None, seeds: int
) -> dict[Count, list[Data]]:
    """The data with so many labels, by seed; of all labels there is one draw.

    Raises:
        ValueError: data without labels or with one class, or not with so many.

    >>> from reparam.data import load_data
    >>> [(n, len(draws)) for n, draws in labeled_draws(load_data("digits"), None, 2).items()]
    [(10, 2), (100, 2), (1000, 2), ('all', 1)]
    """
    positive_count("seeds", seeds)
    if data.space.classes == 1:
        raise ValueError(f"{data.name}: has one class only, and nothing to tell apart")
    if data.test.labels is None:
        raise ValueError(f"{data.name}: test has no labels to be compared with")
    if labels is None:
        least, most = data.space.classes or 1, len(data.train)
        labels = [n for n in LABELS if n == "all" or least <= n < most]
    return {
        n: [data.with_labels(n, seed) for seed in range(1 if n == "all" else seeds)]
        for n in dict.fromkeys(labels)
    }


def unchosen(data: Data, labels: Sequence[Count]) -> list[Count]:
    """With how many labels nothing is held out by which strengths or weights could be chosen.

    >>> from reparam.data import load_data
    >>> unchosen(load_data("digits"), (10, 100, "all"))
    [10]
    """
    return [n for n in labels if not data.with_labels(n).holds_out]


def raw_features(data: Data) -> dict[str, Features]:
    """The data themselves, and nothing of them, by name."""
    vectors = Vectors(data.space, data.train.x)
    return {RAW: lambda rows: vectors(rows.x), MAJORITY: _nothing}


def features_of(model: Encoder) -> dict[str, Features]:
    """The pooled code, where there is one that is not the whole, and the whole code."""

    def of_code(pooled: bool) -> Features:
        def features(rows: Split) -> Tensor:
            with evaluating([model]):
                return code_features(model, rows, pooled)

        return features

    return ({POOLED: of_code(True)} if pools(model) else {}) | {WHOLE: of_code(False)}


def _nothing(rows: Split) -> Tensor:
    return torch.zeros(len(rows), 1)


def _probe(
    features: Features, name: str, n: Count, few: Sequence[Data], measured: Tensor, test: Split
) -> Probe:
    accuracies, strengths, fitted, chosen = [], [], 0, True
    assert test.labels is not None
    for seed, data in enumerate(few):
        rows = subset(data.train, max(1000, MOST_ENTRIES // measured.shape[1]), seed)
        held = data.valid if data.holds_out and data.valid.labels is not None else None
        if name == MAJORITY:
            found = _majority(data, len(test))
        else:
            fit = LinearProbe.fit(features, rows, held)
            found = fit.predict(measured)
            strengths.append(fit.strength)
            chosen = chosen and held is not None
        accuracies.append((found == test.labels.cpu()).double().mean().item())
        fitted = len(rows)
    chosen = chosen and bool(strengths)
    return Probe(n, name, tuple(accuracies), tuple(strengths), chosen, len(test), fitted)


def _majority(data: Data, rows: int) -> Tensor:
    """The most frequent class of the labels, the first of several, for so many rows."""
    assert data.train.labels is not None
    return torch.bincount(data.train.labels.cpu()).argmax().expand(rows)


@dataclass(frozen=True)
class LinearProbe:
    """Logistic regression from features with a common scale.

    log p(k|h) = w_k·(h − m)/s + b_k − log Σ_j …, with m the mean and s² the mean variance of the
    features of the rows it was fitted on.

    Args:
        center: m.
        scale: s.
        regression: fitted.
        strength: its C.
    """

    center: Tensor
    scale: float
    regression: LogisticRegression
    strength: float

    @classmethod
    def fit(cls, features: Features, train: Split, held: Split | None) -> LinearProbe:
        """By the labels of ``train``, its strength by those that are held out, if any are."""
        assert train.labels is not None
        h = features(train)
        center = h.mean(0)
        scale = (h - center).square().mean().sqrt().item() or 1.0
        x, y = cls._scaled(h, center, scale), train.labels.cpu().numpy()
        if held is None:
            return cls(center, scale, _regression(UNCHOSEN).fit(x, y), UNCHOSEN)
        assert held.labels is not None
        x_held, y_held = cls._scaled(features(held), center, scale), held.labels.cpu().numpy()
        fitted = list(_path(x, y))
        losses = [cross_entropy(regression, x_held, y_held) for _, regression in fitted]
        strength, best = fitted[int(np.argmin(losses))]
        return cls(center, scale, best, strength)

    @staticmethod
    def _scaled(h: Tensor, center: Tensor, scale: float) -> Any:
        return ((h - center) / scale).float().numpy()

    def predict(self, features: Tensor) -> Tensor:
        """Class indices (N,) of features (N, F)."""
        x = self._scaled(features, self.center, self.scale)
        return torch.from_numpy(self.regression.predict(x)).long()


def _regression(strength: float) -> LogisticRegression:
    return LogisticRegression(C=strength, max_iter=2000)


def _path(x: Any, y: Any) -> Iterator[tuple[float, LogisticRegression]]:
    for strength in STRENGTHS:
        yield strength, _regression(strength).fit(x, y)


def cross_entropy(regression: LogisticRegression, x: Any, y: Any) -> float:
    """−log p(y|x) in nats, on average; of a class that was not there to be learned infinite."""
    logits = torch.from_numpy(regression.decision_function(x)).double()
    if logits.ndim == 1:  # of two classes the log odds
        logits = torch.stack([torch.zeros_like(logits), logits], 1)
    log_p = logits.log_softmax(1)
    place = np.searchsorted(regression.classes_, y)
    known = (place < log_p.shape[1]) & (
        regression.classes_[place.clip(max=log_p.shape[1] - 1)] == y
    )
    if not known.all():
        return math.inf
    return -log_p[torch.arange(len(y)), torch.from_numpy(place)].mean().item()
