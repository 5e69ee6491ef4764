"""Image files as uint8 (C, H, W): one by one, and many into one array, in parallel."""

from __future__ import annotations

import itertools
import math
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image, ImageOps

from reparam.data import large_arrays
from reparam.data.contents import Array, Fit
from reparam.data.large_arrays import blank, take
from reparam.progress import bar
from reparam.wording import listed

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
ORIENTATION, SIDEWAYS = 0x0112, {5, 6, 7, 8}  # EXIF tag, and its values that swap height and width
MANY = 500  # files that take a second or so: a bar is shown, and they are worth a cache

T = TypeVar("T")


@dataclass(frozen=True)
class ImageHeader:
    """What there is to know before decoding: upright height and width, and whether in color.

    >>> ImageHeader((2, 3), color=False).remark
    ''
    """

    size: tuple[int, int]
    color: bool
    remark: str = ""


@dataclass(frozen=True)
class UnreadableImage:
    """A file that could not be read, and why.

    >>> str(UnreadableImage(Path("a/b.png"), "truncated"))
    'a/b.png (truncated)'
    """

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path} ({self.reason})"


def read_header(path: Path) -> ImageHeader | UnreadableImage:
    """Size and color of an image file; gray files (and palettes of grays) have no color.

    >>> read_header(Path("missing.png")).path.name
    'missing.png'
    """
    try:
        with Image.open(path) as image:
            if image.mode == "F":
                return UnreadableImage(path, "pixels are floats; use .npz")
            width, height = image.size
            if image.getexif().get(ORIENTATION) in SIDEWAYS:
                width, height = height, width
            return ImageHeader((height, width), _in_color(image), _remark(image))
    except Exception as error:  # Pillow's decoders raise anything on damage, TypeError too
        return UnreadableImage(path, _reason(error))


def decode(path: Path, out: Array, fit: Fit) -> UnreadableImage | None:
    """Write the pixels of an image file to ``out``, uint8 (C, H, W), resized where it has to be.

    Args:
        path: the file.
        out: where the pixels go; its shape says how many channels and which size.
        fit: ``"crop"`` cuts the middle out in the proportions of out, ``"pad"`` adds black bars.

    >>> decode(Path("missing.png"), np.zeros((1, 2, 2), np.uint8), "crop").path.name
    'missing.png'
    """
    channels, height, width = out.shape
    try:
        with Image.open(path) as file:
            image = _eight_bits(ImageOps.exif_transpose(file), "L" if channels == 1 else "RGB")
        if image.size != (width, height):
            resize = ImageOps.fit if fit == "crop" else ImageOps.pad
            image = resize(image, (width, height), Image.Resampling.LANCZOS)
        pixels = np.asarray(image).reshape(height, width, channels)
    except Exception as error:
        return UnreadableImage(path, _reason(error))
    out[:] = np.moveaxis(pixels, 2, 0)
    return None


@contextmanager
def bombs_refused() -> Iterator[None]:
    """Inside, files that would decode to far more pixels than a photo has count as broken.

    A small file can claim any size. Above ``Image.MAX_IMAGE_PIXELS`` (89 million) Pillow warns,
    which does not say of which file; here that is an error of this file, as twice as many are.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _eight_bits(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits; Pillow's own conversion would clip at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("P", "PA") and mode == "L":
        image = image.convert("RGB")  # a palette of grays is one only after the look-up
    return image.convert(mode)


def _in_color(image: Image.Image) -> bool:
    if image.mode in ("P", "PA"):
        pixels = np.asarray(image.convert("RGB"))
        return bool((pixels != pixels[..., :1]).any())
    return image.mode not in ("1", "L", "LA", "La") and not image.mode.startswith("I")


def _remark(image: Image.Image) -> str:
    if image.mode.startswith("I"):
        return "16-bit images were reduced to 8 bits"
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        return "transparency was ignored"
    if getattr(image, "n_frames", 1) > 1:
        return "of several frames the first was taken"
    return ""


def _reason(error: BaseException) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "no image"
    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return f"more than {Image.MAX_IMAGE_PIXELS:,} pixels, or it says so; make it smaller"
    return " ".join(str(error).split()) or type(error).__name__


class DecodedImages(NamedTuple):
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
) -> DecodedImages:
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
        looked = counted(pool.map(read_header, paths))
        rows, failures = _readable(folder, looked)
        headers = [header for header in looked if isinstance(header, ImageHeader)]
        files = [paths[row] for row in rows]
        shape = target or _common_size(folder, files, headers)
        channels = 3 if any(h.color for h in headers) else 1
        all_shape = (len(files), channels, *shape)
        x = blank(all_shape, np.uint8, on_disk=math.prod(all_shape) >= large_arrays.MAPPED_FROM)
        outcomes = counted(pool.map(partial(decode, fit=fit), files, x))
    remarks = Counter(header.remark for header in headers if header.remark)
    notes = [f"{len(files)} images, {remark} in {n}." for remark, n in sorted(remarks.items())]
    if target:
        resized = sum(header.size != target for header in headers)
        notes.append(f"{resized} images resized to {shape[0]} × {shape[1]} ({fit}).")
    kept, more = _readable(folder, outcomes)
    notes += _skipped([*failures, *more], len(paths))
    return DecodedImages(take(x, kept) if more else x, rows[kept], tuple(notes))


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
    folder: Path, outcomes: Sequence[ImageHeader | UnreadableImage | None]
) -> tuple[Array, list[UnreadableImage]]:
    """Which outcomes are no failures, and the failures."""
    failures = [outcome for outcome in outcomes if isinstance(outcome, UnreadableImage)]
    if len(failures) == len(outcomes):
        raise ValueError(
            f"{folder}: none of {len(failures)} images can be read, the first is {failures[0]}"
        )
    return np.array(
        [i for i, o in enumerate(outcomes) if not isinstance(o, UnreadableImage)]
    ), failures


def _common_size(
    folder: Path, files: Sequence[Path], headers: Sequence[ImageHeader]
) -> tuple[int, int]:
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


def _skipped(failures: Sequence[UnreadableImage], total: int) -> list[str]:
    if not failures:
        return []
    names = listed([str(failure) for failure in failures])
    return [f"{len(failures)} of {total} images could not be read and were skipped: {names}."]
