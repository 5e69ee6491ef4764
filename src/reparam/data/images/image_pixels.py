"""The pixels of one image file: how they are read, and what of it there is to say."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageColor, ImageOps

from reparam.data.contents import Array, Fit, Frames, ReadOptions

# What Pillow decodes by itself: no vector graphics, and no icons of folders.
SUFFIXES = {f".{suffix}" for suffix in (
    "png apng jpg jpeg jpe jfif bmp dib gif webp avif tif tiff jp2 j2k jpx "
    "pbm pgm ppm pnm pfm tga pcx sgi"
).split()}  # fmt: skip
ORIENTATION, SIDEWAYS = 0x0112, {5, 6, 7, 8}  # EXIF tag, and its values that swap height and width
WIDTH, HEIGHT, PHOTOMETRIC, SAMPLE_FORMAT = 256, 257, 262, 339  # TIFF tags
WHITE_IS_ZERO, SIGNED = 0, 2  # of the last two, values that Pillow reads as any other
WHITE_16 = 2**16 - 1
WITH_ALPHA = ("RGBA", "LA", "PA", "RGBa")

Range = tuple[float, float]


@dataclass(frozen=True)
class Reading:
    """How the pixels of image files become numbers, the same for all files of some data.

    Args:
        size: height and width to bring all images to; None: they have one size already.
        fit: ``"crop"`` cuts the middle out in the proportions of size, ``"pad"`` adds black bars.
        range: the values of files of more than 8 bits that become 0 and 255; None: the smallest
            and the largest of all files.
        background: the color behind transparent pixels.
        frames: of files with several, the first one or all.
        channels: 1 or 3, as other data have; None: 3 where any image is in color.

    Raises:
        ValueError: sizes, ranges or colors that are none.

    >>> Reading(range=(0, 4095)).scaled(np.array([[0, 4095, 9999]], np.uint16))
    array([[  0, 255, 255]], dtype=uint8)
    """

    size: tuple[int, int] | None = None
    fit: Fit = "crop"
    range: Range | None = None
    background: str = "white"
    frames: Frames = "first"
    channels: int | None = None

    def __post_init__(self) -> None:
        if self.fit not in ("crop", "pad"):
            raise ValueError(f"fit_size: expected 'crop' or 'pad', got {self.fit!r}")
        if self.frames not in ("first", "all"):
            raise ValueError(f"frames: expected 'first' or 'all', got {self.frames!r}")
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise ValueError(
                f"size: expected positive height and width, or one number, got {self.size}"
            )
        if self.range is not None and not (
            len(self.range) == 2 and -np.inf < self.range[0] < self.range[1] < np.inf
        ):
            raise ValueError(f"range: expected two numbers, low and high, got {self.range}")
        try:
            ImageColor.getrgb(self.background)
        except (ValueError, AttributeError):
            raise ValueError(
                f"background: expected a color, as white or #808080, got {self.background!r}"
            ) from None

    @classmethod
    def of(cls, options: ReadOptions) -> Reading:
        """As arguments of ``load_data`` say it, which are lists where they come from a recipe.

        >>> Reading.of(ReadOptions(size=8)).size
        (8, 8)
        """
        size, span = options.size, options.range
        both = None if size is None else _pair((size, size) if np.ndim(size) == 0 else size)
        found = None if span is None else _pair(span)
        frames = options.frames or "first"
        return cls(both, options.fit_size, found, options.background, frames, options.channels)

    @property
    def on_color(self) -> bool:
        """Whether the background is no gray."""
        return len(set(ImageColor.getrgb(self.background)[:3])) > 1

    def scaled(self, values: Array) -> Array:
        """Values of more than 8 bits as uint8, in their order; what is beyond the range is cut."""
        assert self.range is not None, "it is found before anything is decoded"
        low, high = self.range
        unit = (values.astype(np.float64) - low) / max(high - low, np.finfo(np.float64).tiny)
        return np.rint(255 * unit.clip(0, 1)).astype(np.uint8)


def _pair(values: Any) -> tuple[Any, Any]:
    return tuple(np.ravel(values).tolist())  # plain numbers; how many is for the reading to check


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


def read_headers(path: Path, reading: Reading) -> list[ImageHeader] | UnreadableImage:
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


def extremes(path: Path, frames: int) -> Range | UnreadableImage:
    """The smallest and the largest value of the first frames of a file.

    >>> extremes(Path("missing.png"), 1).path.name
    'missing.png'
    """
    try:
        with _opened(path) as image:
            values = [_values(frame) for frame in _frames(image, frames)]
            return min(float(v.min()) for v in values), max(float(v.max()) for v in values)
    except Exception as error:
        return UnreadableImage(path, _reason(error))


def decode(path: Path, out: Array, reading: Reading) -> tuple[str, ...] | UnreadableImage:
    """Write the pixels of a file's first frames, and return remarks on what was changed.

    Args:
        path: the file.
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
                if reduced and np.asarray(image.convert("RGB")).max() < 2**4:
                    raise ValueError("of 16 bits a color 12 or fewer are used; save it with 8")
                if image.mode in ("P", "PA") and channels == 1:
                    image = image.convert("RGB")  # a palette of grays is one after the look-up
                image = image.convert("L" if channels == 1 else "RGB")
                if image.size != (width, height):
                    resize = ImageOps.fit if reading.fit == "crop" else ImageOps.pad
                    image = resize(image, (width, height), Image.Resampling.LANCZOS)
                pixels = np.asarray(image).reshape(height, width, channels)
                out[index] = np.moveaxis(pixels, 2, 0)
    except Exception as error:
        return UnreadableImage(path, _reason(error))
    return tuple(sorted(remarks))


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
def _opened(path: Path) -> Iterator[Image.Image]:
    """A file without its name, by which Pillow maps pixels into memory, sideways ones wrongly."""
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
    if not deep and _of_16_bits(image):  # to be asked first: once decoded, it does not say so
        remarks.append("16 bits a color were reduced to the upper 8")
    width, height = tags.get(WIDTH, image.width), tags.get(HEIGHT, image.height)
    if image.getexif().get(ORIENTATION) in SIDEWAYS:
        width, height = height, width
    if deep and alpha:
        remarks.append("transparency of more than 8 bits was ignored")
    color = not deep and (_in_color(image) or (alpha and reading.on_color))
    return ImageHeader((height, width), color, deep, tuple(remarks), others)


def eight_bits(file: Image.Image, reading: Reading, remarks: set[str]) -> Image.Image:
    """A frame upright, of 8 bits and without transparency."""
    if is_deep(file):
        values = _values(file)
        if reading.range is not None and (
            values.min() < reading.range[0] or values.max() > reading.range[1]
        ):
            remarks.add("values beyond the range were cut off")
        return Image.fromarray(reading.scaled(values))
    image = ImageOps.exif_transpose(file)
    if not _has_alpha(image):
        return image
    image = image.convert("RGBA")
    if image.getchannel("A").getextrema()[0] == 255:  # nothing is transparent
        return image
    remarks.add(f"what is transparent became {reading.background} (background)")
    return Image.alpha_composite(Image.new("RGBA", image.size, reading.background), image)


def _values(file: Image.Image) -> Array:
    """The numbers of a frame of more than 8 bits, upright."""
    unsigned = any(str(arg).startswith("I;32") and "S" not in str(arg) for arg in _raw_modes(file))
    top = next((arg for arg in _raw_modes(file) if isinstance(arg, int)), None)  # of a PGM
    inverted = _tags(file).get(PHOTOMETRIC) == WHITE_IS_ZERO
    values = np.asarray(ImageOps.exif_transpose(file))
    if top is not None:  # Pillow stretches to 16 bits what has fewer
        return np.rint(values * (top / WHITE_16))
    if inverted:
        return WHITE_16 - values
    if not np.isfinite(values).all():
        raise ValueError("some pixels are no finite numbers")
    return values.view(np.uint32) if unsigned else values  # Pillow's own integers have a sign


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


def _raw_modes(image: Image.Image) -> Iterator[Any]:
    """How the decoder of an opened file calls what is in it; of portable maps also the maximum."""
    tiles: list[Any] = getattr(image, "tile", [])
    for tile in tiles:
        args = list(tile.args) if isinstance(tile.args, tuple) else [tile.args]
        yield from args[: 2 if tile.codec_name.startswith("ppm") else 1]


def _in_color(image: Image.Image) -> bool:
    if image.mode in ("P", "PA"):
        pixels = np.asarray(image.convert("RGB"))
        return bool((pixels != pixels[..., :1]).any())
    return image.mode not in ("1", "L", "LA")


def _reason(error: BaseException) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "no image"
    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return f"more than {Image.MAX_IMAGE_PIXELS:,} pixels, or it says so; make it smaller"
    return " ".join(str(error).split()) or type(error).__name__
