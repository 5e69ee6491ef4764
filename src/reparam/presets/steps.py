"""Training defaults of presets for which those of ``TrainConfig`` fall short.

Found by benchmarks/defaults.py on small tables and digits, by validation values alone.
"""

from __future__ import annotations

from reparam.batching import convolved
from reparam.config import TrainConfig
from reparam.model import Space

# Logits of entries that are nearly certain have to grow large: at 0.001 they had not when training
# ended, and tables of flags were 11 % short.
QUICKER = TrainConfig(lr=3e-3)
# Of one layer of units that are to be sparse or flat.
LARGE_STEPS = TrainConfig(lr=1e-2, schedule="cosine")
LARGEST_STEPS = TrainConfig(lr=3e-2, schedule="cosine")
SMALL_STEPS = TrainConfig(lr=3e-4)


def small_steps(space: Space) -> TrainConfig:
    """Where thousands of steps take seconds, small ones end lower; elsewhere they end too early.

    >>> small_steps(Space((9,), "binary")).lr, small_steps(Space((3, 64, 64), "binary")).lr
    (0.0003, 0.001)
    """
    return TrainConfig() if convolved(space) else SMALL_STEPS


def small_steps_of_tables(space: Space) -> TrainConfig:
    """Smaller ones for vectors, few columns of which are soon learned by heart.

    >>> [small_steps_of_tables(Space(shape, "real")).lr for shape in ((64,), (1, 8, 8))]
    [0.0003, 0.001]
    """
    return TrainConfig() if space.is_image else SMALL_STEPS


def small_steps_of_reals(space: Space) -> TrainConfig:
    """Smaller ones for tables of real numbers, whose likelihoods are steep where scales are small.

    Other data are as good at either, and reach it sooner in larger ones; mixed
    columns end better in those.

    >>> small_steps_of_reals(Space((9,), "real")).lr, small_steps_of_reals(Space((9,), "binary")).lr
    (0.0003, 0.001)
    """
    return small_steps_of_tables(space) if space.kind == "real" else TrainConfig()


def quick_where_small(space: Space) -> TrainConfig:
    """Large steps for codebooks and their priors, as far as they were tried: up to 32 × 32.

    >>> [quick_where_small(Space((1, side, side), "binary")).lr for side in (28, 64)]
    [0.003, 0.001]
    """
    return TrainConfig() if convolved(space) else QUICKER
