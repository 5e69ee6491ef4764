"""Many images into one uint8 array (N, C, H, W), in parallel."""

from __future__ import annotations

import itertools
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from reparam.data import large_arrays
from reparam.data.contents import Array
from reparam.data.images.image_pixels import (
    ImageHeader,
    ImageSource,
    UnreadableImage,
    bombs_refused,
    decode,
    extremes,
    read_headers,
)
from reparam.data.images.image_reading import Range, Reading
from reparam.data.large_arrays import blank, take
from reparam.progress import bar
from reparam.wording import counted, listed

MANY = 500  # files that take a second or so: a bar is shown, and they are worth a cache
FAR = 3  # times the range of all other values: these have 64 levels or fewer then
OTHERWISE = "range=LOW,HIGH (--range) says otherwise"

T = TypeVar("T")


class DecodedImages(NamedTuple):
    """What a list of image files holds.

    Args:
        x: uint8 (N, C, H, W), C 1 or 3; from 1 GB on in a file mapped into memory.
        rows: (N,), which of the files these are: the others could not be read.
        frames: (N,), which frame of the file.
        notes: decisions, a sentence each.
        range: what became 0 and 255 of files of more than 8 bits, where there are some.
    """

    x: Array
    rows: Array
    frames: Array
    notes: tuple[str, ...]
    range: Range | None = None


def decode_all(origin: Path, paths: Sequence[ImageSource], reading: Reading) -> DecodedImages:
    """The pixels of image files, all of one size and one number of channels.

    Args:
        origin: how messages call them together.
        paths: the files, or images.
        reading: how they are read.

    Raises:
        ValueError: none can be read, sizes or depths that differ, or too many for the disk.

    >>> import tempfile
    >>> from PIL import Image
    >>> folder = Path(tempfile.mkdtemp())
    >>> paths = [folder / "a.png", folder / "b.png"]
    >>> Image.fromarray(np.full((2, 3), 7, np.uint8)).save(paths[0])
    >>> decoded = decode_all(folder, paths, Reading())
    >>> decoded.x.shape, decoded.rows
    ((1, 1, 2, 3), array([0]))
    """
    # In threads: Pillow decodes without the interpreter lock, and all write into one array.
    with (
        bombs_refused(),
        ThreadPoolExecutor(os.cpu_count()) as pool,
        _bar(2 * len(paths)) as collect,
    ):
        looked = collect(pool.map(partial(read_headers, reading=reading), paths))
        rows, failures = _readable(origin, looked)
        files = [paths[row] for row in rows]
        by_file = [found for found in looked if not isinstance(found, UnreadableImage)]
        headers = [header for found in by_file for header in found]
        reading, depth = _with_range(origin, files, by_file, reading, pool.map)
        size = reading.size or _common_size(origin, files, by_file)
        channels = reading.channels or (3 if any(h.color for h in headers) else 1)
        shape = (len(headers), channels, *size)
        x = blank(shape, np.uint8, on_disk=math.prod(shape) >= large_arrays.MAPPED_FROM)
        counts = np.array([len(found) for found in by_file])
        ends = np.cumsum(counts)
        parts = (x[end - count : end] for end, count in zip(ends, counts, strict=True))
        outcomes = collect(pool.map(partial(decode, reading=reading), files, parts))
    kept, more = _readable(origin, outcomes)
    notes = [*depth, *_remarks(by_file, outcomes, reading), *_of_size(headers, reading, channels)]
    notes += _skipped([*failures, *more], len(paths))
    chosen = np.flatnonzero(np.isin(np.repeat(np.arange(len(files)), counts), kept))
    frames = np.arange(len(headers)) - np.repeat(ends - counts, counts)
    return DecodedImages(
        take(x, chosen) if more else x,
        np.repeat(rows, counts)[chosen],
        frames[chosen],
        tuple(notes),
        reading.range if any(header.deep for header in headers) else None,
    )


@contextmanager
def _bar(total: int) -> Iterator[Callable[[Iterable[T]], list[T]]]:
    """A function that makes a list and counts along: on a bar, where there are many to wait for."""
    count = itertools.count(1)
    with bar("reading images", total > 2 * MANY) as watch:

        def collect(outcomes: Iterable[T]) -> list[T]:
            found = []
            for outcome in outcomes:
                found.append(outcome)
                watch("", next(count) / total)
            return found

        yield collect


def _readable(origin: Path, outcomes: Sequence[object]) -> tuple[Array, list[UnreadableImage]]:
    """Which outcomes are no failures, and the failures."""
    failures = [outcome for outcome in outcomes if isinstance(outcome, UnreadableImage)]
    if len(failures) == len(outcomes) == 1:
        raise ValueError(f"{failures[0].path}: cannot be read as an image: {failures[0].reason}")
    if len(failures) == len(outcomes):
        raise ValueError(
            f"{origin}: none of {len(failures)} images can be read, the first is {failures[0]}"
        )
    kept = [i for i, o in enumerate(outcomes) if not isinstance(o, UnreadableImage)]
    return np.array(kept), failures


def _with_range(
    origin: Path,
    files: Sequence[ImageSource],
    by_file: Sequence[list[ImageHeader]],
    reading: Reading,
    each: Callable[..., Iterable[Any]],
) -> tuple[Reading, list[str]]:
    """The reading with one range for all files of more than 8 bits, and a note on it."""
    deep = [any(header.deep for header in found) for found in by_file]
    if not any(deep):
        ignored = reading.range is not None and reading.channels is None
        return reading, ["No image has more than 8 bits: range changed nothing."] * ignored
    apart, how = "", "as asked" if reading.channels is None else "as in the other data"
    note = f"{sum(deep)} of {len(files)} images have more than 8 bits: "
    if reading.range is None:
        _refuse_mixture(origin, files, deep, reading)
        how = f"the smallest and the largest of all; {OTHERWISE}"
        found = list(each(extremes, files, map(len, by_file)))
        ends = sorted({end for one in found if not isinstance(one, UnreadableImage) for end in one})
        if len(ends) == 1:
            above = max(ends[0] + 1, float(np.nextafter(ends[0], np.inf)))  # to be a range
            note += f"every value is {ends[0]:.10g}, which became 0; {OTHERWISE}."
            return replace(reading, range=(ends[0], above)), [note]
        if not ends:  # the pixels have no data, or cannot be decoded, which is said where they are
            return replace(reading, range=(0, 1)), []
        reading = replace(reading, range=(ends[0], ends[-1]))
        apart = _far_end(ends)
    low, high = reading.range or (0, 1)
    return reading, [f"{note}values {low:.10g} to {high:.10g} became 0 to 255 ({how}).{apart}"]


def _far_end(ends: Sequence[float]) -> str:
    """What to say of a single value far from all others, which leaves them few of the 256 levels.

    >>> _far_end([-9999, 2, 50, 90])
    ' All values but -9999 are 2 to 90: if it marks what has no data, range=2,90 (--range) cuts it.'
    >>> _far_end([0, 1])
    ''
    """
    for far, low, high in ((ends[0], ends[1], ends[-1]), (ends[-1], ends[0], ends[-2])):
        if min(abs(far - low), abs(far - high)) > FAR * (high - low) > 0:
            return (
                f" All values but {far:.10g} are {low:.10g} to {high:.10g}: if it marks what has "
                f"no data, range={low:.10g},{high:.10g} (--range) cuts it."
            )
    return ""


def _refuse_mixture(
    origin: Path, files: Sequence[ImageSource], deep: Sequence[bool], reading: Reading
) -> None:
    """Beside images of 8 bits, whose 255 is white, that of deeper ones has to be known."""
    first = files[deep.index(True)].name
    if all(deep) and reading.channels is None:
        return
    other = "the data it is to be like" if all(deep) else files[deep.index(False)].name
    verb = "have" if all(deep) else "has"
    remedy = "save it with 8 bits"
    if reading.channels is None:  # else data are there already, which were read in one way
        remedy += (
            ", or load data with range=(0, 65535) (--range 0,65535), the values that become black "
            "and white"
        )
    raise ValueError(
        f"{origin}: {first} has more than 8 bits and {other} {verb} 8, so that which of its values "
        f"is white cannot be told; {remedy}"
    )


def _common_size(
    origin: Path, files: Sequence[ImageSource], by_file: Sequence[list[ImageHeader]]
) -> tuple[int, int]:
    first = by_file[0][0].size
    sizes = {header.size for found in by_file for header in found}
    for file, found in zip(files, by_file, strict=True):
        other = next((header.size for header in found if header.size != first), None)
        if other is not None:
            raise ValueError(
                f"{origin}: images have {len(sizes)} sizes: {files[0].name} is {first[0]} × "
                f"{first[1]} and {file.name} is {other[0]} × {other[1]} (height × "
                "width); bring them to one with size=64 (--size 64)"
            )
    return first


def _remarks(
    by_file: Sequence[list[ImageHeader]],
    outcomes: Sequence[tuple[str, ...] | UnreadableImage],
    reading: Reading,
) -> list[str]:
    """What was lost or changed in some of the files, each remark with their number."""
    counts: Counter[str] = Counter()
    for found, outcome in zip(by_file, outcomes, strict=True):
        decoded = () if isinstance(outcome, UnreadableImage) else outcome
        counts.update({*(r for header in found for r in header.remarks), *decoded})
    notes = [f"{n} of {len(by_file)} images: {remark}." for remark, n in sorted(counts.items())]
    others = [found[0].others for found in by_file if found[0].others]
    remedy, which = "frames='all' (--frames all) takes all", "the first"
    if reading.frames == "first" or reading.channels is not None:
        remedy, which = "save the others as files of their own", "one"
    if others:
        notes.append(
            f"{len(others)} of {len(by_file)} images have several frames, of which {which} was "
            f"taken and {sum(others)} left out; {remedy}."
        )
    return notes


def _of_size(headers: Sequence[ImageHeader], reading: Reading, channels: int) -> list[str]:
    """What all images were brought to."""
    notes = []
    resized = sum(header.size != reading.size for header in headers)
    if reading.size and resized:
        (height, width), images = reading.size, counted(resized, "image")
        notes.append(f"{images} resized to {height} × {width} ({reading.fit_size}).")
    colored = sum(header.color for header in headers)
    if channels == 1 and colored:
        images = counted(colored, "image")
        notes.append(f"{images} in color became gray, as the other data are.")
    if channels == 3 and colored < len(headers):
        images = counted(len(headers) - colored, "gray image")
        notes.append(f"{images} got three equal channels, as others are in color.")
    return notes


def _skipped(failures: Sequence[UnreadableImage], total: int) -> list[str]:
    if not failures:
        return []
    names = listed([str(failure) for failure in failures])
    return [f"{len(failures)} of {total} images could not be read and were skipped: {names}."]
