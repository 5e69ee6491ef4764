"""What a degradation left of examples, read in the units that they have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reparam.data.contents import Array, Contents, Files, ReadOptions, with_axes
from reparam.data.data_record import DataRecord
from reparam.data.images.image_folders import read_folder, read_image
from reparam.data.images.image_pixels import UnreadableImage, read_headers
from reparam.data.images.image_reading import Reading
from reparam.data.images.image_trees import image_places, is_image
from reparam.data.images.image_units import WHITE, in_units
from reparam.data.loading import read
from reparam.space import Space

BEYOND = 0.1  # of the range of real training data, by which others may lie outside


@dataclass(frozen=True)
class GivenRows:
    """What is given of some examples, and where it comes from.

    Args:
        y: (N, *given), in data units.
        within: how far it may be from what was left, as files have 256 values and no others.
        files: that it was read from, where they are images.
        notes: what was decided.
    """

    y: Tensor
    within: float = 0.0
    files: Files | None = None
    notes: tuple[str, ...] = ()


def load_given(
    source: str, shape: Sequence[int], left_by: str, trained_on: DataRecord
) -> GivenRows:
    """What is given, from a folder of images, an image, or arrays.

    Pixels of image files become numbers as those of data do: 0 … 255 are the range of levels.
    Numbers in arrays are taken as they are.

    Args:
        source: a folder, an image file, or what else ``load_data`` reads.
        shape: of what is given of one example.
        left_by: the name of what left it, for messages.
        trained_on: the data of the model.

    Raises:
        ValueError: images or rows of another size, or values outside the data's range.
    """
    path = Path(source).expanduser()
    images = path.is_dir() or is_image(path)
    contents = _pixels(path, shape, left_by, trained_on) if images else read(source, ReadOptions())
    used = contents.splits["test" if "test" in contents.splits else "train"]
    contents = with_axes(replace(contents, splits={"examples": used}))
    x = contents.splits["examples"].x
    if x.shape[1:] == (math.prod(shape),):
        x = x.reshape(-1, *shape)
    if x.shape[1:] != tuple(shape):
        raise ValueError(
            f"{source}: expected what {left_by} leaves, of shape {_sides(shape)}, got "
            f"{_sides(x.shape[1:])}"
        )
    if not images:
        _refuse_beyond(source, x, trained_on)
        return GivenRows(_numbers(x), notes=contents.notes)
    found, within = _in_units(contents, tuple(shape), trained_on)
    return GivenRows(_numbers(found), within, used.files, contents.notes)


def _numbers(x: Array) -> Tensor:
    """Floats, in the precision that there is."""
    wide = x.dtype.itemsize >= 4 and x.dtype != np.float32
    return torch.from_numpy(np.array(x, np.float64 if wide else np.float32))


def _pixels(path: Path, shape: Sequence[int], left_by: str, trained_on: DataRecord) -> Contents:
    """Image files of that size; others are refused before anything is decoded."""
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise ValueError(
            f"{path}: {left_by} leaves {_sides(shape)}, which no image file is; give an .npy file"
        )
    recipe = trained_on.source or {}
    kept = [each.name for each in fields(Reading) if each.name in recipe]
    reading: dict[str, Any] = {name: recipe[name] for name in kept}
    reading |= {"size": None, "fit_size": "crop", "channels": shape[0]}
    options = replace(ReadOptions(), **reading)
    paths = [path] if is_image(path) else [place.path for place in image_places(path)[0]]
    for each in paths:
        headers = read_headers(each, options)
        for header in [] if isinstance(headers, UnreadableImage) else headers:
            if header.size != tuple(shape[1:]):
                raise ValueError(
                    f"{each}: expected {_sides(shape[1:])} (height x width), as {left_by} leaves "
                    f"of {_sides(trained_on.space.shape[1:])}, got {_sides(header.size)}"
                )
    return read_image(path, options) if is_image(path) else read_folder(path, options)


def _in_units(
    contents: Contents, shape: tuple[int, ...], trained_on: DataRecord
) -> tuple[Array, float]:
    """Pixels 0 … 255 in data units without rounding, and half of a step between them."""
    x, levels = contents.splits["examples"].x, trained_on.space.level_count
    if levels is not None:
        step = (levels - 1) / WHITE
        return x * step, step / 2
    space = Space(shape, "real")
    found = in_units(contents, space, (trained_on.low, trained_on.high))
    return found.splits["examples"].x, 0.0


def _refuse_beyond(source: str, x: Array, trained_on: DataRecord) -> None:
    """ValueError where what is given lies outside what data are."""
    low, high = trained_on.low, trained_on.high
    slack = BEYOND * (high - low) if trained_on.space.level_count is None else 1e-4
    least, most = float(np.min(x)), float(np.max(x))
    if not (least >= low - slack and most <= high + slack):
        raise ValueError(
            f"{source}: expected values in the range of the run's data, {low:g} to {high:g}, got "
            f"{least:g} to {most:g}"
        )


def _sides(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
