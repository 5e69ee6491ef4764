"""How near samples are to the data, and how long it takes to draw them."""

from __future__ import annotations

import time
from typing import NamedTuple

import torch

from reparam.data import Data
from reparam.evaluation.discrepancy import ROWS_PER_FEATURE, frechet_distance, frechet_error
from reparam.evaluation.random_features import FEATURES, RandomFeatures
from reparam.evaluation.rows import subset
from reparam.evaluation.samples import MOST_SAMPLES
from reparam.model import Generator

FEWEST_ROWS = ROWS_PER_FEATURE * FEATURES  # of which a Fréchet distance is told


class Quality(NamedTuple):
    """Of samples the Fréchet distance, its standard error, and the seconds that 100 of them took.

    All are NaN where samples are not finite.
    """

    distance: float
    error: float
    seconds: float


class QualityByTime:
    """The same measurement of any generator: as many samples as test rows, and the clock.

    The clock is that of one batch of all samples after a draw of one that warms up. The distance is
    in the features of ``RandomFeatures``, as ``evaluate`` has it. Where ``n`` is less than the rows
    that ``evaluate`` compares, distances and their floor are higher.

    Args:
        data: the training split sets the scales of features, the test split is compared with.
        n: how many samples and rows.
        seed: of both.

    >>> import reparam as rp
    >>> data = rp.load_data("digits")
    >>> of = QualityByTime(data, 200)
    >>> of(rp.build("vae", data.space, seed=0)).distance > of.floor
    True
    """

    def __init__(self, data: Data, n: int, seed: int = 0) -> None:
        self.n, self.seed = n, seed
        self.features = RandomFeatures(data.space, subset(data.train, MOST_SAMPLES, seed).x)
        self.real = self.features(subset(data.test, n, seed).x)
        self.of_training = self.features(subset(data.train, n, seed).x)

    @property
    def floor(self) -> float:
        """What training rows score in place of samples."""
        return frechet_distance(self.of_training, self.real)

    @torch.no_grad()
    def __call__(self, model: Generator) -> Quality:
        generator = torch.Generator(model.anchor.device).manual_seed(self.seed)
        model.sample(1, generator=generator).cpu()
        start = time.perf_counter()
        x = model.sample(self.n, generator=generator).cpu()
        seconds = 100 * (time.perf_counter() - start) / self.n
        if not x.isfinite().all() and not model.space.columns:
            return Quality(*3 * [float("nan")])
        drawn = self.features(x)
        distance = frechet_distance(drawn, self.real)
        return Quality(distance, frechet_error(drawn, self.real), seconds)
