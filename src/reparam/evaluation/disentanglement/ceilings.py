"""What the data themselves show of their factors: no encoder can know more."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any

import numpy as np
import torch

from reparam.data.contents import Array
from reparam.evaluation.disentanglement.inputs import read
from reparam.evaluation.disentanglement.resampling import ROWS
from reparam.evaluation.scores import Score


def mig_ceiling(x: Any, factors: Any, names: Collection[str] | None = None) -> Score:
    """The largest MIG that any encoder could reach: I(x; v)/H(v), averaged over the factors v.

    It is counted over the distinct x: where images of several levels are equal, as those of a
    square that is turned by a quarter, no code can tell which. Give the whole grid: in a sample of
    it equal images are rarer, and the ceiling is too high.

    Args:
        x: (N, …), the examples.
        factors: (N, F), as of ``disentanglement``.
        names: of the factors.

    Returns:
        The score; its ``matrix`` (1, F) has those of the factors.

    >>> import numpy as np
    >>> side = np.arange(200) % 4
    >>> found = mig_ceiling(side[:, None] // 2, np.stack([side, side // 2], 1))
    >>> round(found.value, 9)  # half of ln 4, all of ln 2
    0.75
    """
    images = numbered(x)
    coded = read(np.arange(len(images))[:, None], factors, names=names)
    shown = [_shown(images, levels) for levels in coded.levels.T]
    return Score(
        float(np.mean(shown)),
        f"of the factor's entropy, {images.max() + 1:,} distinct",
        len(images),
        ROWS,
        notes=coded.notes[1:],
        matrix=torch.tensor([shown], dtype=torch.float64),
    )


def numbered(x: Any) -> Array:
    """Which of the distinct examples each row is, (N,), from 0.

    >>> numbered([[1, 2], [3, 4], [1, 2]])
    array([0, 1, 0])
    """
    array = np.asarray(x.detach().cpu() if hasattr(x, "detach") else x)
    seen: dict[bytes, int] = {}
    digests = (hashlib.blake2b(np.ascontiguousarray(row).data, digest_size=16) for row in array)
    return np.array([seen.setdefault(digest.digest(), len(seen)) for digest in digests])


def _shown(images: Array, levels: Array) -> float:
    """I(x; v)/H(v) by counting: 1 − H(v|x)/H(v)."""
    pairs = _entropy(images.astype(np.int64) * (levels.max() + 1) + levels)
    return float(1 - (pairs - _entropy(images)) / _entropy(levels))


def _entropy(values: Array) -> float:
    p = np.unique(values, return_counts=True)[1] / len(values)
    return float(-(p * np.log(p)).sum())
