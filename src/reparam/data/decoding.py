"""Many image files into one array: in parallel, with progress, broken ones left out."""

from __future__ import annotations

import itertools
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from reparam.data import mapped
from reparam.data.mapped import blank, take
from reparam.data.pictures import Failure, Fit, Header, bombs_refused, decode, look
from reparam.data.raw import Array
from reparam.progress import bar

LISTED = 5  # names of skipped files in a note
MANY = 500  # files that take a second or so: a bar is shown, and they are worth a cache

T = TypeVar("T")


class Decoded(NamedTuple):
    """What a list of image files holds.

    Args:
        x: uint8 (N, C, H, W), C 1 or 3; from 1 GB on in a file mapped into memory.
        rows: (N,), which of the files these are: the others could not be read.
        notes: decisions, a sentence each.
    """

    x: Array
    rows: Array
    notes: tuple[str, ...]


def decode_all(
    folder: Path, paths: Sequence[Path], target: tuple[int, int] | None, fit: Fit
) -> Decoded:
    """The pixels of image files, all of one size and one number of channels.

    Args:
        folder: how messages call them together.
        paths: the files.
        target: height and width to bring them to; None: they have one size already.
        fit: how an image of other proportions is brought to target.

    Raises:
        ValueError: none can be read, sizes that differ, or too many for the disk.

    >>> import tempfile
    >>> from PIL import Image
    >>> folder = Path(tempfile.mkdtemp())
    >>> paths = [folder / "a.png", folder / "b.png"]
    >>> Image.fromarray(np.full((2, 3), 7, np.uint8)).save(paths[0])
    >>> decoded = decode_all(folder, paths, None, "crop")
    >>> decoded.x.shape, decoded.rows
    ((1, 1, 2, 3), array([0]))
    """
    # In threads: Pillow decodes without the interpreter lock, and all write into one array.
    with (
        bombs_refused(),
        ThreadPoolExecutor(os.cpu_count()) as pool,
        _bar(2 * len(paths)) as counted,
    ):
        looked = counted(pool.map(look, paths))
        rows, failures = _readable(folder, looked)
        headers = [header for header in looked if isinstance(header, Header)]
        files = [paths[row] for row in rows]
        shape = target or _common_size(folder, files, headers)
        channels = 3 if any(h.color for h in headers) else 1
        all_shape = (len(files), channels, *shape)
        x = blank(all_shape, np.uint8, on_disk=math.prod(all_shape) >= mapped.MAPPED_FROM)
        outcomes = counted(pool.map(partial(decode, fit=fit), files, x))
    remarks = Counter(header.remark for header in headers if header.remark)
    notes = [f"{len(files)} images, {remark} in {n}." for remark, n in sorted(remarks.items())]
    if target:
        resized = sum(header.size != target for header in headers)
        notes.append(f"{resized} images resized to {shape[0]} × {shape[1]} ({fit}).")
    kept, more = _readable(folder, outcomes)
    notes += _skipped([*failures, *more], len(paths))
    return Decoded(take(x, kept) if more else x, rows[kept], tuple(notes))


def listed(names: Sequence[str]) -> str:
    """The first few names.

    >>> listed(["a"] * 9)
    'a, a, a, a, a, …'
    """
    return ", ".join(names[:LISTED]) + (", …" if len(names) > LISTED else "")


@contextmanager
def _bar(total: int) -> Iterator[Callable[[Iterable[T]], list[T]]]:
    """A function that makes a list and counts along: on a bar, where there are many to wait for."""
    count = itertools.count(1)
    with bar("reading images", total > 2 * MANY) as watch:

        def counted(outcomes: Iterable[T]) -> list[T]:
            found = []
            for outcome in outcomes:
                found.append(outcome)
                watch("", next(count) / total)
            return found

        yield counted


def _readable(
    folder: Path, outcomes: Sequence[Header | Failure | None]
) -> tuple[Array, list[Failure]]:
    """Which outcomes are no failures, and the failures."""
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    if len(failures) == len(outcomes):
        raise ValueError(
            f"{folder}: none of {len(failures)} images can be read, the first is {failures[0]}"
        )
    return np.array([i for i, o in enumerate(outcomes) if not isinstance(o, Failure)]), failures


def _common_size(folder: Path, files: Sequence[Path], headers: Sequence[Header]) -> tuple[int, int]:
    first = headers[0].size
    for file, header in zip(files, headers, strict=True):
        if header.size != first:
            count = len({header.size for header in headers})
            raise ValueError(
                f"{folder}: images have {count} sizes: {files[0].name} is {first[0]} × "
                f"{first[1]} and {file.name} is {header.size[0]} × {header.size[1]} (height × "
                "width); bring them to one with size=64 (--size 64)"
            )
    return first


def _skipped(failures: Sequence[Failure], total: int) -> list[str]:
    if not failures:
        return []
    names = listed([str(failure) for failure in failures])
    return [f"{len(failures)} of {total} images could not be read and were skipped: {names}."]
