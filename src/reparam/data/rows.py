"""load_rows: new examples for a model that was trained on other data."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from reparam.data.assemble import to_split
from reparam.data.conditions import with_checked_attributes
from reparam.data.folder import is_picture, read_picture
from reparam.data.kinds import Choices
from reparam.data.labels import indexed
from reparam.data.outline import Like
from reparam.data.pictures import Fit
from reparam.data.raw import Array, Part, Raw
from reparam.data.readers import Reading, read
from reparam.data.shapes import arrange
from reparam.data.splits import Split
from reparam.data.values import settle
from reparam.model import Space


def load_rows(
    source: Any, like: Like, *, label: str | None = None, attributes: bool = True
) -> Split:
    """Examples from anywhere, of the same space as other data and with its class indices.

    They are read as those data were: the same columns, the same size of images, the same
    binarization. There may be any number of them, one is enough. Where the source has splits, it
    is the test split.

    Args:
        source: as in ``load_data``, or a single image file.
        like: the data that the model was trained on, or their outline.
        label: name of the label column of a table; None: no labels from a table.
        attributes: whether the columns of a table that are attributes in like have to be there.

    Raises:
        ValueError: examples of another space, classes that are not in like, or what
            ``load_data`` refuses.

    >>> from reparam.data.load import load_data
    >>> digits = load_data("digits")
    >>> load_rows(digits.test.x[:2], digits).x.equal(digits.test.x[:2])
    True
    """
    recipe = like.source or {}
    # Of a table the same columns; an archive brings its attributes by itself.
    names = like.attribute_names or () if like.columns and attributes else ()
    raw = _read_like(source, like, Reading(label, attributes=names), recipe.get("fit_size", "crop"))
    used = raw.parts["test" if "test" in raw.parts else "train"]
    raw = arrange(replace(raw, parts={"examples": used}))
    raw = _of_space(raw, like.space, recipe)
    labels = _labels(raw, like)
    raw, count = with_checked_attributes(raw)
    if count is not None and count != like.space.attributes:
        expected = like.space.attributes or "none"
        raise ValueError(f"{raw.origin}: expected {expected} attributes, got {count}")
    raw = replace(raw, parts={"examples": replace(raw.parts["examples"], labels=labels)})
    return to_split(raw.parts["examples"], raw.borrowed)


def _read_like(source: Any, like: Like, reading: Reading, fit: Fit) -> Raw:
    """What the source holds; images in files get the size of those in like."""
    if not isinstance(source, str | os.PathLike):
        return read(source, reading, like.columns)
    path = Path(source).expanduser()
    files = path.is_dir() or is_picture(path)
    size = (like.space.shape[1], like.space.shape[2]) if files and like.space.is_image else None
    if is_picture(path):
        return read_picture(path, size, fit)
    if files:
        reading = replace(reading, size=size, fit_size=fit)
    return read(source, reading, like.columns)


def _of_space(raw: Raw, space: Space, recipe: dict[str, Any]) -> Raw:
    part = raw.parts["examples"]
    if space.is_image and space.shape[0] == 3 and part.x.shape[1:] == (1, *space.shape[1:]):
        part = replace(part, x=np.repeat(part.x, 3, 1))  # gray among color, as in a folder
    if part.x.shape[1:] != space.shape:
        raise ValueError(
            f"{raw.origin}: expected examples of shape {space.shape}, got {part.x.shape[1:]}"
        )
    # Binary rows, such as samples, are binarized already.
    if recipe.get("binarize") is None or np.isin(part.x, (0, 1)).all():
        choices = Choices(space.kind, space.levels)
    else:
        choices = _as_before(raw, recipe)
    raw, *_ = settle(replace(raw, parts={"examples": part}), choices, vary=False)
    return raw


def _as_before(raw: Raw, recipe: dict[str, Any]) -> Choices:
    """As the data were binarized: by their own kind, but pictures in files by their 256 levels."""
    how, seed = recipe["binarize"], recipe.get("seed", 0)
    if raw.form == "images":
        return Choices("levels", 256, how, seed)
    return Choices(recipe.get("kind"), recipe.get("levels"), how, seed)


def _labels(raw: Raw, like: Like) -> Array | None:
    """Labels as indices of the classes of like; None, where either has no classes."""
    found, names = indexed(raw)
    part: Part = found.parts["examples"]
    if names is None or part.labels is None or like.class_names is None:
        return None
    unknown = sorted(set(names) - set(like.class_names))
    if unknown:
        known = ", ".join(like.class_names[:10])
        raise ValueError(f"{raw.origin}: class {unknown[0]!r} is none of the classes {known}")
    return np.array([like.class_names.index(name) for name in names], np.int64)[part.labels]
