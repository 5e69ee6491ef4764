"""How near a generator's samples are to the data, by scores that are the same for all of them."""

from __future__ import annotations

import time
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import Tensor

from reparam.batching import affordable, in_batches, rows_at_once, slices
from reparam.data import Data, Split, as_data
from reparam.evaluation import copies, discrepancy, manifolds
from reparam.evaluation.classes import ROWS_PER_CLASS, Classifier, classifier, label_entropy
from reparam.evaluation.copies import copy_scores, nearest_distances
from reparam.evaluation.discrepancy import discrepancy_scores
from reparam.evaluation.manifolds import manifold_scores
from reparam.evaluation.random_features import FEATURES, Extractor, RandomFeatures
from reparam.evaluation.reconstruction import laplacian_variance
from reparam.evaluation.rows import subset
from reparam.evaluation.scores import Score, Scores, ScoreTable, ratio_score
from reparam.evaluation.vectors import Vectors
from reparam.inspection import SamplesNotFinite
from reparam.model import Generator, Space
from reparam.news import listening

MOST_SAMPLES, LEAST_SAMPLES = 5000, 500
TIMED_SAMPLES, TIMED_BATCHES, TIMED_SECONDS = 256, 4, 10.0
LEAST_TIMED, TIMED_SHARE = 16, 100  # a hundredth of what all draws may cost
MOST_NEAREST = 500  # draws whose nearest training rows are sought
# Training entries, and rows, among which they are sought: all of MNIST's, in seconds.
TRAINING_ENTRIES, TRAINING_ROWS = 50_000_000, 100_000


class Traits(NamedTuple):
    """What the scores read of rows, drawn or real.

    ``features`` are (N, F) in float64, ``edges`` the Laplacian variances (N,) of images, and
    ``nearest`` the distances to the nearest training rows, of at most 500 rows drawn at random.
    """

    features: Tensor
    edges: Tensor | None
    nearest: Tensor


class Yardstick:
    """What samples are measured against, made of the data alone: the same for every generator.

    ``n`` rows of a split, drawn at random, no more than there are training rows: as many samples
    are to be drawn, so that training rows in their place have the same n.

    Args:
        data: its training split sets scales, and is what copies would be of.
        split: ``"test"``, ``"valid"`` or ``"train"``: what samples are compared with.
        extractor: features in which to compare; None: ``RandomFeatures``.
        seed: of the rows.
        n: how many; None: as many as of a generator of one pass (``rows_compared``).
    """

    def __init__(
        self,
        data: Data,
        split: str = "test",
        extractor: Extractor | None = None,
        seed: int = 0,
        n: int | None = None,
    ) -> None:
        self.space, self.name, self.seed = data.space, split, seed
        self.n = rows_compared(data, split) if n is None else n
        self.vectors = Vectors(data.space, data.train.x)
        # Subsets of one seed are nested: training rows in place of samples are among these.
        among = min(TRAINING_ROWS, TRAINING_ENTRIES // data.space.dimension)
        self.train = subset(data.train, max(self.n, among), seed)
        known, rows = (
            subset(data.train, MOST_SAMPLES, seed),
            subset(data.splits[split], self.n, seed),
        )
        self.extractor = extractor or RandomFeatures(data.space, known.x)
        self.labels, self.classes = rows.labels, classes_seen(data, split)
        self.classifier = self._classifier(known)
        self.real = self.traits(rows.x.split(rows_at_once(data.space)))

    def _classifier(self, train: Split) -> Classifier | None:
        """Of features into the classes of the training data; None without labels, or too few."""
        if self.n < ROWS_PER_CLASS * self.classes or train.labels is None or self.classes < 2:
            return None
        if isinstance(self.extractor, RandomFeatures):
            return classifier(self.extractor.of_reference, train.labels)
        known = in_batches(self.features, rows_at_once(self.space), train.x)
        return classifier(known, train.labels)

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        return self.extractor(x).cpu().double()

    def traits(self, parts: Iterable[Tensor]) -> Traits:
        """The traits of n rows in data units that come in parts, which are not kept.

        Raises:
            ValueError: a feature of a row is NaN or infinite.
        """
        order = torch.randperm(self.n, generator=torch.Generator().manual_seed(self.seed))
        chosen = torch.zeros(self.n, dtype=torch.bool)
        chosen[order[:MOST_NEAREST]] = True
        features, edges, vectors, start = [], [], [], 0
        for x in parts:
            features.append(self.features(x))
            if x.isfinite().all():
                _refuse_not_finite(features[-1])
            elif not features[-1].isfinite().all():
                raise ValueError("extractor: has no finite features of rows with missing cells")
            if has_edges(self.space):
                edges.append(laplacian_variance(x.cpu().double()))
            kept = x.cpu()[chosen[start : start + len(x)]]
            vectors.append(self.vectors(kept))
            start += len(x)
        nearest = nearest_distances(torch.cat(vectors), self.train, self.vectors)
        return Traits(torch.cat(features), torch.cat(edges) if edges else None, nearest)

    def scores(self, parts: Iterable[Tensor]) -> Scores:
        """The scores of n rows, which come in parts: samples, or training rows in their place."""
        drawn, real, name, seed = self.traits(parts), self.real, self.name, self.seed
        scores = discrepancy_scores(drawn.features, real.features, name, seed)
        scores |= manifold_scores(drawn.features, real.features, name, seed)
        if drawn.edges is not None and real.edges is not None and real.edges.sum() > 0:
            sharp = ratio_score(drawn.edges, real.edges, f"of {name} images", name, seed=seed)
            scores["sample_sharpness"] = sharp
        scores |= copy_scores(drawn.nearest, real.nearest, len(self.train), name, seed)
        if self.classifier is not None and self.labels is not None:
            predicted = self.classifier(drawn.features)
            scores["label_entropy"] = label_entropy(predicted, self.labels, name, seed)
        return scores


_last: list[tuple[weakref.ref[Data], tuple[object, ...], Yardstick]] = []  # one, or none


def _yardstick(data: Data, *asked: Any) -> Yardstick:
    """The yardstick of these arguments; the last one is kept, as long as its data are."""
    if not (_last and _last[0][0]() is data and _last[0][1] == asked):
        made = Yardstick(data, *asked)
        _last[:] = [(weakref.ref(data, lambda gone: _last.clear()), asked, made)]
    return _last[0][2]


def _refuse_not_finite(rows: Tensor) -> None:
    """Samples or their features; rows of data, whose cells may be missing, have features only."""
    good = rows.flatten(1).isfinite().all(1)
    if not good.all():
        bad, n = int((~good).sum()), len(rows)
        raise ValueError(
            f"samples: {bad} of {n} ({100 * bad / n:.3g} %) are not finite, or too large for their "
            f"features, so that frechet_distance and all other scores of samples have no value; "
            "the model has diverged, train it with a smaller lr"
        )


def has_edges(space: Space) -> bool:
    """Whether x is an image with inner pixels."""
    return space.is_image and min(space.shape[1:]) >= 3


def rows_compared(data: Data, split: str, model: Generator | None = None) -> int:
    """How many rows of a split are compared with as many samples; fewer where draws are dear.

    As many as are ``affordable``, 5000 at most and 500 at least.
    """
    passes = 1 if model is None else model.passes_per_draw * model.pass_cost
    most = min(MOST_SAMPLES, max(LEAST_SAMPLES, affordable(data.space, 1, passes)))
    return min(len(data.train), len(data.splits[split]), most)


def classes_seen(data: Data, split: str) -> int:
    """How many classes the training data have; 0 where these or the split have no labels."""
    if data.train.labels is None or data.splits[split].labels is None:
        return 0
    return len(data.train.labels.unique())


def sample_scores(
    model: Generator,
    data: Data,
    split: str = "test",
    extractor: Extractor | None = None,
    seed: int = 0,
    watch: Callable[[float], None] = lambda share: None,
) -> Scores:
    """How near samples are to a split: every score that so many rows allow (``too_few``).

    Samples are drawn once, and all scores are of the same: ``frechet_distance``,
    ``kernel_distance``, ``sample_precision``, ``sample_recall``, of images ``sample_sharpness``,
    ``nearest_training``, ``near_copies`` and, where there are labels, ``label_entropy``. A
    conditional model draws its conditions as they occur in training.

    Args:
        model: any generator.
        data: its training split sets scales, and is what copies would be of.
        split: what the samples are compared with.
        extractor: features in which to compare; None: ``RandomFeatures``.
        seed: of the samples and of the rows.
        watch: is told the share of the samples that is drawn.

    Raises:
        ValueError: samples that are not finite.
    """
    n = rows_compared(data, split, model)
    yardstick = _yardstick(data, split, extractor, seed, n)
    return yardstick.scores(_draws(model, yardstick.n, seed, watch))


@torch.no_grad()
def _draws(model: Generator, n: int, seed: int, watch: Callable[[float], None]) -> Iterator[Tensor]:
    generator = torch.Generator(model.anchor.device).manual_seed(seed)
    for part in slices(0, n, rows_at_once(model.space)):
        start, many = part.start, part.stop - part.start
        with listening(partial(_told, watch, start / n, many / n)):
            x = _sample(model, many, generator)
        _refuse_not_finite(x)
        yield x
        watch(part.stop / n)


def _told(watch: Callable[[float], None], done: float, each: float, share: float) -> None:
    watch(done + share * each)


def _sample(model: Generator, n: int, generator: torch.Generator) -> Tensor:
    """n samples; a model's warning of those that are not finite says where they became so."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", SamplesNotFinite)
        try:
            return model.sample(n, generator=generator).cpu()
        except SamplesNotFinite as warning:
            raise ValueError(str(warning)) from warning


def reference_scores(
    data: Any, split: str = "test", extractor: Extractor | None = None, seed: int = 0
) -> ScoreTable:
    """The ``sample_scores`` of training rows in place of samples: what real data score.

    The Fréchet distance is then its floor at that n, and even real data have a precision below 1.
    Training rows are copies of themselves, which samples should not be. Nothing for the training
    split, as there are no other rows to hold against it.

    Args:
        data: of which splits are compared; what is no ``Data`` is read by ``load_data``.
        split: what the training rows are compared with.
        extractor: features in which to compare; None: ``RandomFeatures``.
        seed: of the rows.

    >>> import reparam as rp
    >>> found = reference_scores(rp.load_data("digits"))
    >>> found["frechet_distance"].value < 2, found["near_copies"].value
    (True, 1.0)
    """
    data = as_data(data)
    if split == "train":
        return ScoreTable()
    yardstick = _yardstick(data, split, extractor, seed, rows_compared(data, split))
    rows = subset(data.train, yardstick.n, seed)
    return ScoreTable(yardstick.scores(rows.x.split(rows_at_once(data.space))))


def too_few(data: Data, split: str = "test", features: int = FEATURES) -> list[str]:
    """Which scores of samples so few rows do not allow, and how many they need.

    Args:
        data: that samples are compared with.
        split: of these.
        features: how many numbers the extractor makes of a row.

    >>> part = Split(torch.zeros(110, 2))
    >>> too_few(Data(part, part, part, Space((2,), "real"), "few"))
    ['Left out: frechet_distance, which needs 128 rows of test and of train; there are 110.']
    """
    n = rows_compared(data, split)
    needed = {
        "frechet_distance": discrepancy.ROWS_PER_FEATURE * features,
        "near_copies": copies.FEWEST_ROWS,
        "kernel_distance": discrepancy.FEWEST_ROWS,
        "sample_precision and sample_recall": manifolds.FEWEST_ROWS,
        "label_entropy": ROWS_PER_CLASS * classes_seen(data, split),
    }
    of = f"rows of {split} and of train; there are {n}."
    return [
        f"Left out: {names}, which {'need' if ' and ' in names else 'needs'} {least} {of}"
        for names, least in needed.items()
        if n < least
    ]


@torch.no_grad()
def sampling_speed(model: Generator, seed: int = 0) -> Score:
    """Samples per second in batches of 256, fewer of what is dear: the median of three, warmed up.

    No further batch is drawn once ten seconds have passed; of a single one the warming up counts.
    """
    generator = torch.Generator(model.anchor.device).manual_seed(seed)
    passes = TIMED_SHARE * model.passes_per_draw * model.pass_cost
    few = max(LEAST_TIMED, affordable(model.space, 1, passes))
    n = min(TIMED_SAMPLES, rows_at_once(model.space), few)
    times = [time.perf_counter()]
    while len(times) <= TIMED_BATCHES and times[-1] - times[0] < TIMED_SECONDS:
        model.sample(n, generator=generator).cpu()
        times.append(time.perf_counter())
    rates = [n / (end - start) for start, end in pairwise(times[len(times) > 2 :])]
    return Score(median(rates), "samples/s", n, "none")
