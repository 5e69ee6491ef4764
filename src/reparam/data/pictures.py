"""Single image files: what their header says, and their pixels as uint8 (C, H, W)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageOps

from reparam.data.raw import Array

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
ORIENTATION, SIDEWAYS = 0x0112, {5, 6, 7, 8}  # EXIF tag, and its values that swap height and width

Fit = Literal["crop", "pad"]


@dataclass(frozen=True)
class Header:
    """What there is to know before decoding: upright height and width, and whether in color.

    >>> Header((2, 3), color=False).remark
    ''
    """

    size: tuple[int, int]
    color: bool
    remark: str = ""


@dataclass(frozen=True)
class Failure:
    """A file that could not be read, and why.

    >>> str(Failure(Path("a/b.png"), "truncated"))
    'a/b.png (truncated)'
    """

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path} ({self.reason})"


def look(path: Path) -> Header | Failure:
    """Size and color of an image file; gray files (and palettes of grays) have no color.

    >>> look(Path("missing.png")).path.name
    'missing.png'
    """
    try:
        with Image.open(path) as image:
            if image.mode == "F":
                return Failure(path, "pixels are floats; use .npz")
            width, height = image.size
            if image.getexif().get(ORIENTATION) in SIDEWAYS:
                width, height = height, width
            return Header((height, width), _in_color(image), _remark(image))
    except Exception as error:  # Pillow's decoders raise anything on damage, TypeError too
        return Failure(path, _reason(error))


def decode(path: Path, out: Array, fit: Fit) -> Failure | None:
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
        return Failure(path, _reason(error))
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
