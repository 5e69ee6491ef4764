"""The pixels of one image file: how they are read, and what of it there is to say."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from reparam.data.images.image_reading import Array, Reading

# What Pillow decodes by itself: no vector graphics, and no icons of folders.
SUFFIXES = {f".{suffix}" for suffix in (
    "png apng jpg jpeg jpe jfif bmp dib gif webp avif tif tiff jp2 j2k jpx "
    "pbm pgm ppm pnm pfm tga pcx sgi"
).split()}  # fmt: skip
ORIENTATION, SIDEWAYS = 0x0112, {5, 6, 7, 8}  # EXIF tag, and its values that swap height and width
WIDTH, HEIGHT, PHOTOMETRIC, SAMPLE_FORMAT = 256, 257, 262, 339  # TIFF tags
NO_DATA = 42113  # another, of GDAL: the value of pixels that have none
WHITE_IS_ZERO, SIGNED = 0, 2  # of the last two, values that Pillow reads as any other
WHITE_16 = 2**16 - 1
RAW_MODES = "_reparam_raw_modes"  # where a decoded image keeps them
WITH_ALPHA = ("RGBA", "LA", "PA", "RGBa")


@dataclass(frozen=True)
class ImageHeader:
    """What there is to know of a frame before decoding.

    Args:
        size: upright height and width.
        color: whether it is in color; gray files (and palettes of grays) are not.
        deep: whether its values have more than 8 bits.
        remarks: what is lost of it, whatever its pixels are.
        others: frames of the file that are not read.

    >>> ImageHeader((2, 3), color=False).remarks
    ()
    """

    size: tuple[int, int]
    color: bool
    deep: bool = False
    remarks: tuple[str, ...] = ()
    others: int = 0


class Picture(NamedTuple):
    """An image that is opened already, and how messages call it.

    >>> str(Picture("image 3", Image.new("L", (1, 1))))
    'image 3'
    """

    name: str
    image: Image.Image

    def __str__(self) -> str:
        return self.name


ImageSource = Path | Picture


@dataclass(frozen=True)
class UnreadableImage:
    """A file that could not be read, and why.

    >>> str(UnreadableImage(Path("a/b.png"), "truncated"))
    'a/b.png (truncated)'
    """

    path: ImageSource
    reason: str

    def __str__(self) -> str:
        return f"{self.path} ({self.reason})"


def read_headers(path: ImageSource, reading: Reading) -> list[ImageHeader] | UnreadableImage:
    """The headers of the frames of a file that are read.

    >>> read_headers(Path("missing.png"), Reading()).path.name
    'missing.png'
    """
    try:
        with _opened(path) as image:
            there = getattr(image, "n_frames", 1)
            read = there if reading.frames == "all" else 1
            return [_header(frame, reading, there - read) for frame in _frames(image, read)]
    except Exception as error:  # Pillow's decoders raise anything on damage, TypeError too
        return UnreadableImage(path, _reason(error))


def extremes(path: ImageSource, frames: int) -> list[float] | UnreadableImage:
    """The two smallest and the two largest values of the first frames of a file, rising.

    >>> extremes(Path("missing.png"), 1).path.name
    'missing.png'
    """
    try:
        with _opened(path) as image:
            values = [v[~missing] for v, missing in map(_values, _frames(image, frames))]
            return sorted({end for v in values if v.size for end in _ends(v)})
    except Exception as error:
        return UnreadableImage(path, _reason(error))


def _ends(values: Array) -> list[float]:
    low, high = values.min(), values.max()
    inner = [values[values > low].min(), values[values < high].max()] if low < high else []
    return [float(end) for end in (low, high, *inner)]


def decode(path: ImageSource, out: Array, reading: Reading) -> tuple[str, ...] | UnreadableImage:
    """Write the pixels of a file's first frames, and return remarks on what was changed.

    Args:
        path: the file, or an image.
        out: uint8 (frames, C, H, W), where the pixels go; frames of another size are resized.
        reading: how, its range known where the file has more than 8 bits.

    >>> decode(Path("missing.png"), np.zeros((1, 1, 2, 2), np.uint8), Reading()).path.name
    'missing.png'
    """
    frames, channels, height, width = out.shape
    remarks: set[str] = set()
    try:
        with _opened(path) as file:
            for index, frame in enumerate(_frames(file, frames)):
                reduced = not is_deep(frame) and _of_16_bits(frame)
                image = eight_bits(frame, reading, remarks)
                if reduced and 0 < np.asarray(image.convert("RGB")).max() < 2**4:
                    raise ValueError(
                        "of 16 bits a color 12 or fewer are used, and the upper 8 are read; bring "
                        "its values to 0 … 255 and save it with 8"
                    )
                if image.mode in ("P", "PA") and channels == 1:
                    image = image.convert("RGB")  # a palette of grays is one after the look-up
                image = image.convert("L" if channels == 1 else "RGB")
                if image.size != (width, height):
                    resize = ImageOps.fit if reading.fit_size == "crop" else ImageOps.pad
                    image = resize(image, (width, height), Image.Resampling.LANCZOS)
                pixels = np.asarray(image).reshape(height, width, channels)
                out[index] = np.moveaxis(pixels, 2, 0)
    except Exception as error:
        return UnreadableImage(path, _reason(error))
    return tuple(sorted(remarks))


def load(image: Image.Image) -> None:
    """Decode an image that is opened, which forgets how its file has it: that is kept on it.

    >>> load(Image.new("L", (1, 1)))
    """
    raw = _raw_modes(image)
    with suppress(Exception):  # damage is told with the image's name, where its pixels are read
        image.load()
    setattr(image, RAW_MODES, raw)


@contextmanager
def bombs_refused() -> Iterator[None]:
    """Inside, files that would decode to far more pixels than a photo has count as broken.

    A small file can claim any size. Above ``Image.MAX_IMAGE_PIXELS`` (89 million) Pillow warns,
    which does not say of which file; here that is an error of this file, as twice as many are.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


@contextmanager
def _opened(path: ImageSource) -> Iterator[Image.Image]:
    """A file without its name, by which Pillow maps pixels into memory, sideways ones wrongly."""
    if isinstance(path, Picture):
        yield path.image
        return
    with path.open("rb") as file, Image.open(file) as image:
        yield image


def _frames(image: Image.Image, count: int) -> Iterator[Image.Image]:
    for index in range(count):
        if index:
            image.seek(index)
        yield image


def _header(image: Image.Image, reading: Reading, others: int) -> ImageHeader:
    tags = _tags(image)  # the size of a TIFF may have been turned by Pillow already
    if not is_deep(image) and SIGNED in np.ravel(tags.get(SAMPLE_FORMAT, ())):
        raise ValueError("of 8 bits with a sign; save it with 8 bits without one, or with 16")
    if image.mode == "F" and tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:
        raise ValueError("zero is white and no number says what is black; save it with black zero")
    deep, alpha, remarks = is_deep(image), _has_alpha(image), []
    # To be asked first: once decoded, it may not say so; Pillow makes RGBA of gray with alpha.
    gray = any(str(mode).startswith("LA") for mode in _raw_modes(image))
    if not deep and _of_16_bits(image):
        remarks.append("16 bits a color were reduced to the upper 8")
    top = next((arg for arg in _raw_modes(image) if isinstance(arg, int)), 255)
    if image.format == "PPM" and top < 255:  # of other formats the number is something else
        remarks.append(
            f"values 0 to {top} were stretched to 0 to 255; to keep them, give them as an array "
            f"with levels={top + 1} (--levels {top + 1})"
        )
    width, height = tags.get(WIDTH, image.width), tags.get(HEIGHT, image.height)
    if image.getexif().get(ORIENTATION) in SIDEWAYS:
        width, height = height, width
    if deep and alpha:
        remarks.append("transparency of more than 8 bits was ignored")
    on_color = alpha and len(set(reading.color or ())) > 1
    color = not deep and (on_color or (not gray and _in_color(image)))
    return ImageHeader((height, width), color, deep, tuple(remarks), others)


def eight_bits(file: Image.Image, reading: Reading, remarks: set[str]) -> Image.Image:
    """A frame upright, of 8 bits and without transparency."""
    if is_deep(file):
        values, missing = _values(file)
        low, high = reading.range or (-np.inf, np.inf)
        if ((values < low) | (values > high))[~missing].any():
            remarks.add("values beyond the range were cut off")
        if missing.any():
            remarks.add("pixels that have no data, as the file says, became 0")
        return Image.fromarray(reading.scaled(np.where(missing, low, values)))
    image = ImageOps.exif_transpose(file)
    if not _has_alpha(image):
        return image
    image = image.convert("RGBA")
    if image.getchannel("A").getextrema()[0] == 255:  # nothing is transparent
        return image
    remarks.add(f"what is transparent became {reading.background} (background)")
    return Image.alpha_composite(Image.new("RGBA", image.size, reading.background), image)


def _values(file: Image.Image) -> tuple[Array, Array]:
    """The numbers of a frame of more than 8 bits, upright, and which pixels have no data."""
    tags = _tags(file)
    unsigned = (
        file.mode == "I" and bool(tags) and SIGNED not in np.ravel(tags.get(SAMPLE_FORMAT, ()))
    )
    top = next((arg for arg in _raw_modes(file) if isinstance(arg, int)), None)  # of a PGM
    inverted = tags.get(PHOTOMETRIC) == WHITE_IS_ZERO
    values = np.asarray(ImageOps.exif_transpose(file))
    if unsigned:
        values = values.view(np.uint32)  # Pillow's own integers have a sign
    missing = _without_data(values, tags.get(NO_DATA))
    if top is not None:  # Pillow stretches to 16 bits what has fewer
        return np.rint(values * (top / WHITE_16)), missing
    if inverted:
        return WHITE_16 - values, missing
    if not np.isfinite(values[~missing]).all():
        raise ValueError("some pixels are no finite numbers")
    return values, missing


def _without_data(values: Array, marker: object) -> Array:
    """Where the value is the one that marks pixels without data, as a tag says it in text."""
    try:
        number = float(str(marker).strip("\0 "))
    except ValueError:
        return np.zeros(values.shape, bool)
    if np.isnan(number):
        return np.isnan(values)
    digits = 1e-6 if values.dtype.kind == "f" else 0  # that text keeps of it
    return np.isclose(values, number, rtol=digits, atol=0)


def _tags(image: Image.Image) -> Mapping[int, Any]:
    """Those of a TIFF."""
    return getattr(image, "tag_v2", {})


def is_deep(image: Image.Image) -> bool:
    return image.mode == "F" or image.mode.startswith("I")


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in WITH_ALPHA or "transparency" in image.info


def _of_16_bits(image: Image.Image) -> bool:
    """Whether Pillow reduces a file itself, which it does with colors of 16 bits."""
    return any(
        ";16" in str(mode) or (isinstance(mode, int) and mode > 255) for mode in _raw_modes(image)
    )


def _raw_modes(image: Image.Image) -> list[Any]:
    """How the decoder of an opened file calls what is in it; of portable maps also the maximum."""
    tiles: list[Any] = getattr(image, "tile", [])
    found = [] if tiles else list(getattr(image, RAW_MODES, ()))
    for tile in tiles:
        args = list(tile.args) if isinstance(tile.args, tuple) else [tile.args]
        found += args[: 2 if tile.codec_name.startswith("ppm") else 1]
    return found


def _in_color(image: Image.Image) -> bool:
    if image.mode in ("P", "PA") or image.format == "GIF":  # whose later frames become RGB
        pixels = np.asarray(image.convert("RGB"))
        return bool((pixels != pixels[..., :1]).any())
    return image.mode not in ("1", "L", "LA")


def _reason(error: BaseException) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "no image"
    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return f"more than {Image.MAX_IMAGE_PIXELS:,} pixels, or it says so; make it smaller"
    return " ".join(str(error).split()) or type(error).__name__
