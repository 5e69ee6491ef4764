"""The published archive of dSprites: unpacked once into the cache folder, its pickle never read."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from reparam.data import large_arrays
from reparam.data.contents import Array, Contents, ReadOptions
from reparam.data.factor_grids import FACTOR_KINDS, Grid, grid_contents
from reparam.data.numpy_files import array_header, array_names, read_npz

ARCHIVE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
IMAGES, CLASSES = "imgs", "latents_classes"
FACTORS = ("color", "shape", "scale", "orientation", "x", "y")
SHAPES = ("square", "ellipse", "heart")
NOTE = "Only the images and the classes of their factors were read, not the pickle beside them."


def read_archive(path: Path, options: ReadOptions) -> Contents:
    """An .npz archive; images with classes of factors, which memory has no room for, are unpacked.

    Args:
        path: the archive.
        options: see ``read_npz``.

    Raises:
        ValueError: see ``read_npz`` and ``read_dsprites``.
    """
    asked = options != ReadOptions()
    if not asked and {IMAGES, CLASSES} <= array_names(path):
        shape, dtype = _header(path, IMAGES)
        if math.prod(shape) * dtype.itemsize >= large_arrays.MAPPED_FROM:
            return read_dsprites(path)
    return read_npz(path, options)


def read_dsprites(path: Path) -> Contents:
    """The images of the archive with the levels of their factors, in a fixed random split.

    Args:
        path: of an archive with ``imgs`` (N, H, W) of 0 and 1, and ``latents_classes`` (N, 6).

    Raises:
        ValueError: it cannot be read, or holds something else.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "dsprites.npz")
    >>> images = np.eye(9, dtype=np.uint8).reshape(9, 3, 3)
    >>> np.savez(path, imgs=images, latents_classes=np.zeros((9, 6), int))
    >>> read_dsprites(path).splits["train"].factors.shape
    (6, 6)
    """
    shape, pixels = _header(path, IMAGES)
    classes, whole = _header(path, CLASSES)
    if len(shape) != 3 or classes != (shape[0], len(FACTORS)) or pixels.itemsize != 1:
        raise ValueError(
            f"{path}: expected {IMAGES} (N, H, W) of bytes and {CLASSES} (N, {len(FACTORS)}), got "
            f"{shape} of {pixels} and {classes} of {whole}"
        )
    status = path.stat()
    key = ["dsprites", str(path.resolve()), status.st_size, status.st_mtime_ns]
    images = (shape[0], 1, *shape[1:])
    factors, blocks = partial(_classes, path), partial(_images, path)
    return grid_contents(
        Grid(
            path.stem,
            str(path),
            images,
            factors,
            FACTORS,
            key,
            blocks,
            notes=(NOTE,),
            level_names={"shape": SHAPES},
            factor_kinds=FACTOR_KINDS,
        )
    )


def _header(path: Path, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    with _opened(path, name) as (file, size):
        return array_header(file, size)


def _classes(path: Path) -> Array:
    with _opened(path, CLASSES) as (file, _):
        return np.lib.format.read_array(file, allow_pickle=False)


def _images(path: Path) -> Iterator[Array]:
    with _opened(path, IMAGES) as (file, size):
        (n, *shape), dtype = array_header(file, size)
        each = math.prod(shape)
        rows = max(1, large_arrays.BLOCK // each)
        for start in range(0, n, rows):
            count = min(rows, n - start)
            block = np.frombuffer(file.read(count * each), dtype)
            yield block.view(np.uint8).reshape(count, 1, *shape)


@contextmanager
def _opened(path: Path, name: str) -> Iterator[tuple[IO[bytes], int]]:
    """An array of the archive, and its size; ValueError for whatever is wrong with it."""
    try:
        with zipfile.ZipFile(path) as archive:
            entry = archive.getinfo(f"{name}.npy")
            with archive.open(entry) as file:
                yield file, entry.file_size
    except KeyError as error:
        raise ValueError(f"{path}: has no array {name}") from error
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path}: {name} cannot be read ({error}); fetch it again") from error
