"""The named data sets: what each is, and how it is read."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from reparam.data import download
from reparam.data.files import read_npz
from reparam.data.raw import Part, Raw
from reparam.data.splits import carve

FOLDER = "REPARAM_DATA"  # environment variable: a folder with archives of the named sets
VALIDATION_ROWS = 10_000  # the last training images of MNIST and its kin


@dataclass(frozen=True)
class Source:
    """A named data set: one sentence on what it is, and the function that reads it.

    >>> REGISTRY["digits"].read().levels
    17
    """

    about: str
    read: Callable[[], Raw]


def sources() -> list[tuple[str, str]]:
    """The named data sets, each with one sentence on what it is.

    >>> [name for name, about in sources()]
    ['digits', 'mnist', 'binarized-mnist', 'dna', 'fashion-mnist']
    """
    return [(name, source.about) for name, source in REGISTRY.items()]


def _digits() -> Raw:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = bunch.images.astype(np.uint8)
    parts = {
        split: Part(images[rows], bunch.target[rows])
        for split, rows in carve(len(images), seed=0).items()
    }
    note = "A fixed random split: 70 % train, 10 % valid, 20 % test."
    return Raw(parts, "digits", "digits", levels=17, notes=(note,))


def _mnist() -> Raw:
    return _mnist_like("mnist", download.MNIST)


def _fashion_mnist() -> Raw:
    return _mnist_like("fashion-mnist", download.FASHION_MNIST)


def _mnist_like(name: str, where: tuple[str, dict[str, str]]) -> Raw:
    raw = _supplied(name)
    if raw is None:
        raw = Raw(download.mnist_like(name, *where), name, name)
    train, test = raw.parts.get("train"), raw.parts.get("test")
    if train is None or test is None or train.labels is None or len(train.x) <= VALIDATION_ROWS:
        raise ValueError(
            f"{raw.origin}: expected {name} as x_train, y_train, x_test, y_test, with more than "
            f"{VALIDATION_ROWS} training images"
        )
    cut = len(train.x) - VALIDATION_ROWS
    parts = {
        "train": Part(train.x[:cut], train.labels[:cut]),
        "valid": Part(train.x[cut:], train.labels[cut:]),
        "test": test,
    }
    note = f"The last {VALIDATION_ROWS} of the {len(train.x)} training images are valid."
    return replace(raw, parts=parts, name=name, levels=256, notes=(*raw.notes, note))


def _binarized_mnist() -> Raw:
    name = "binarized-mnist"
    raw = _supplied(name) or Raw(download.binarized_mnist(), name, name)
    if set(raw.parts) != {"train", "valid", "test"}:
        raise ValueError(f"{raw.origin}: expected the arrays train, valid, test")
    return replace(raw, name=name)


def _dna() -> Raw:
    raw = _supplied("dna")
    if raw is None:
        raise download.DataUnavailable(
            f"dna: not to be downloaded; put dna.npz, with the arrays train, valid, test, into the "
            f"folder that the environment variable {FOLDER} names"
        )
    if set(raw.parts) != {"train", "valid", "test"}:
        raise ValueError(f"{raw.origin}: expected the arrays train, valid, test")
    return replace(raw, name="dna")


def _supplied(name: str) -> Raw | None:
    """The archive of a named set in the user's folder, where there is one."""
    folder = os.environ.get(FOLDER)
    path = Path(folder or "", f"{name.replace('-', '_')}.npz")
    return read_npz(path) if folder and path.is_file() else None


REGISTRY = {
    "digits": Source(
        "1 797 handwritten digits, 8 × 8 gray (17 levels), 10 classes; bundled with scikit-learn.",
        _digits,
    ),
    "mnist": Source(
        "70 000 handwritten digits, 28 × 28 gray (256 levels), 10 classes; 50k/10k/10k.", _mnist
    ),
    "binarized-mnist": Source(
        "Static binarized MNIST: one fixed draw of black and white, no labels; 50k/10k/10k.",
        _binarized_mnist,
    ),
    "dna": Source(
        "3 186 DNA sequences as 180 binary entries, no labels; 1400/600/1186. Needs dna.npz.", _dna
    ),
    "fashion-mnist": Source(
        "70 000 pictures of clothes, 28 × 28 gray (256 levels), 10 classes; 50k/10k/10k.",
        _fashion_mnist,
    ),
}
