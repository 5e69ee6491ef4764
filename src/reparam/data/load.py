"""load_data: one door for every source."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from reparam.data.arrays import with_labels
from reparam.data.assemble import assemble
from reparam.data.kinds import Choices
from reparam.data.merge import with_test
from reparam.data.named_sets import REGISTRY
from reparam.data.pictures import Fit
from reparam.data.raw import Raw
from reparam.data.readers import Reading, read
from reparam.data.splits import Data
from reparam.model import DataKind


def load_data(
    source: Any,
    *,
    test: Any = None,
    label: Any = None,
    drop: str | Collection[str] = (),
    attributes: str | Sequence[str] = (),
    kind: DataKind | None = None,
    levels: int | None = None,
    binarize: float | Literal["static", "dynamic"] | None = None,
    size: int | tuple[int, int] | None = None,
    fit_size: Fit = "crop",
    seed: int = 0,
) -> Data:
    """Load examples from anywhere, check them, and split them into train, valid and test.

    What the source does not say is decided by simple rules, and every decision is in the notes of
    the result. uint8 arrays and image files are levels 256 (binary where only two values occur);
    tables and floats are real; anything of only 0 and 1 is binary. Missing splits are carved from
    the training rows: 10 % valid, 20 % test. Rows in messages count from 0, lines of text from 1.

    Args:
        source: a name (see ``sources``); the path of a folder of images, or of an .npz, .npy,
            .csv, .tsv or .parquet file; an array, tensor, DataFrame or map-style torch Dataset;
            a pair (x, labels); a dictionary of arrays with the names that an .npz may have.
        test: the test split, as anything that source may be, where source has none.
        label: name of the label column of a table; or the labels themselves, of an array.
        drop: names of columns of a table, or of arrays of an .npz, to leave out.
        attributes: names of numeric columns of a table that conditional models take as c, instead
            of labels; they are no entries of x. Archives have them as an array ``attributes``.
        kind: ``"binary"``, ``"levels"`` or ``"real"``, instead of the rules.
        levels: K, for integers 0 … K−1.
        binarize: make the data binary: a threshold (of x/(K−1) for levels, of x itself for real
            data); ``"static"``, one fixed Bernoulli draw of x/(K−1); or ``"dynamic"``, a fresh
            one in every batch of training, while validation and evaluation read a fixed one.
        size: height and width for a folder of images of different sizes (one number: both).
        fit_size: how an image of other proportions is made to fit: ``"crop"`` or ``"pad"``.
        seed: of carved splits and of the fixed draw.

    Raises:
        ValueError: what is wrong with the arguments or the data, where, and the remedy.
        DataUnavailable: a named set that cannot be had (a ValueError too).

    >>> data = load_data("digits")
    >>> data.space
    Space(shape=(1, 8, 8), kind='levels', levels=17, classes=10, attributes=None)
    >>> [len(split) for split in (data.train, data.valid, data.test)]
    [1258, 180, 359]
    """
    choices = Choices(kind, levels, binarize, seed)
    columns = str(label) if isinstance(label, str | int) else None
    drop, attributes = (
        (names,) if isinstance(names, str) else tuple(names) for names in (drop, attributes)
    )
    reading = Reading(columns, drop, attributes, size, fit_size)
    raw = read(source, reading)
    if label is not None and columns is None:
        raw = with_labels(raw, label)
    if test is not None:
        raw = with_test(raw, _read_test(test, reading))
    return assemble(raw, choices, _recipe(source, test, label, reading, choices))


def _read_test(test: Any, reading: Reading) -> Raw:
    try:
        return read(test, reading)
    except ValueError as error:
        raise ValueError(f"test: {str(error).removeprefix('source: ')}") from error


def _recipe(
    source: Any, test: Any, label: Any, reading: Reading, choices: Choices
) -> dict[str, Any] | None:
    """Arguments that load the same data in another process; None, if something is in memory."""
    places = {"source": source} if test is None else {"source": source, "test": test}
    if not all(isinstance(place, str | os.PathLike) for place in places.values()):
        return None
    if label is not None and reading.label is None:
        return None
    recipe: dict[str, Any] = {
        name: place if place in REGISTRY else str(Path(place).expanduser().resolve())
        for name, place in places.items()
    }
    for part in (reading, choices):
        for field in fields(part):
            value = getattr(part, field.name)
            if value != field.default:
                recipe[field.name] = np.asarray(value).tolist()  # plain numbers, lists and strings
    return recipe
