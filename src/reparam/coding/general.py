"""How long general compressors make the same data: what a file of a model is compared with."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, features
from torch import Tensor

from reparam.progress import Watch, unwatched
from reparam.space import Space, check_columns, check_shape, check_values

Pixels = NDArray[np.uint8]  # (C, H, W)

PNG_CHANNELS, WEBP_CHANNELS = (1, 2, 3, 4), (1, 3)
WEBP_SIDE = 16383  # of the largest image


def general(
    x: Tensor, space: Space, *, fast: bool = False, watch: Watch = unwatched
) -> dict[str, int]:
    """Bits that gzip, bz2 and xz make of all rows together, PNG and WebP of an image each.

    gzip, bz2 and xz are given one byte a value, row by row, or as many as the values need; of
    binary data also 8 values a byte, and the shorter of the two counts. PNG and WebP are lossless
    and summed over the images, each with its own header, which is much of a small one; binary PNG
    has one bit a pixel. They are absent where they cannot hold the data: vectors, more than 256
    levels, other than 1 to 4 channels (PNG) or 1 or 3 (WebP), sides beyond 16383 (WebP).

    All are measured on every row that is given; who finds that long gives some rows and says so, or
    asks for ``fast``. Of MNIST, WebP at full effort takes 5 ms an image, and at its usual one
    .2 ms, which makes binary images 14 % longer and gray ones 1 %; xz takes half the time, and
    .7 % more room for the gray ones.

    Args:
        x: (N, *shape).
        space: of x, without reals.
        fast: whether xz and WebP work at their usual effort instead of the highest.
        watch: is told what is being compressed, and the share that is done.

    >>> bits = general(torch.zeros(10, 1, 28, 28), Space((1, 28, 28), "binary"))
    >>> list(bits), bits["gzip"] < bits["PNG"] < 10 * 28 * 28
    (['gzip', 'bz2', 'xz', 'PNG', 'WebP'], True)
    """
    values = _whole(x, space)
    forms = [values.tobytes()]
    if space.kind == "binary":
        forms.append(np.packbits(values).tobytes())
    bits = {}
    for name, stream in STREAMS.items():
        watch(name, 0.0)
        bits[name] = 8 * min(len(stream(form, fast)) for form in forms)
    for name in _fitting(space):
        encode, total = IMAGES[name], 0
        for i, pixels in enumerate(values):
            watch(name, i / len(values))
            total += len(encode(pixels, space.kind == "binary", fast))
        bits[name] = 8 * total
    return bits


def as_gzip(content: bytes, fast: bool = False) -> bytes:
    """At its highest effort, without the time of day."""
    return gzip.compress(content, mtime=0)


def as_bz2(content: bytes, fast: bool = False) -> bytes:
    """At its highest effort."""
    return bz2.compress(content)


def as_xz(content: bytes, fast: bool = False) -> bytes:
    """With a window no longer than the content: of 64 MiB, encoding takes eleven times that."""
    window = min(max(len(content), 1 << 12), 1 << 26)
    preset = 6 if fast else 9 | lzma.PRESET_EXTREME
    filters = [{"id": lzma.FILTER_LZMA2, "preset": preset, "dict_size": window}]
    return lzma.compress(content, filters=filters)


def as_png(pixels: Pixels, binary: bool = False, fast: bool = False) -> bytes:
    """The shorter of Pillow's usual and its optimized one, which is not always the second."""
    image = _image(pixels, binary and len(pixels) == 1)
    return min((_saved(image, "PNG", optimize=best) for best in (True, False)), key=len)


def as_webp(pixels: Pixels, binary: bool = False, fast: bool = False) -> bytes:
    """Lossless; binary pixels are 0 and 1, which takes no more room than 0 and 255."""
    effort = {"quality": 75, "method": 4} if fast else {"quality": 100, "method": 6}
    image = _image(pixels, binary=False).convert("RGB")  # of gray, three times the same
    return _saved(image, "WEBP", lossless=True, **effort)


STREAMS: dict[str, Callable[[bytes, bool], bytes]] = {
    "gzip": as_gzip,
    "bz2": as_bz2,
    "xz": as_xz,
}
IMAGES: dict[str, Callable[[Pixels, bool, bool], bytes]] = {"PNG": as_png, "WebP": as_webp}


def _whole(x: Tensor, space: Space) -> NDArray[Any]:
    """The values as whole numbers from 0, of as few bytes as hold the largest."""
    check_shape(x, space.shape)
    if space.has_reals:
        raise ValueError(f"x: expected whole numbers, got {space.kind} data; give levels")
    x = x.detach().cpu()
    if space.columns is None:
        check_values(x, space.level_count)
        largest = (space.level_count or 2) - 1
    else:
        check_columns(x, space.columns)
        x = x.to(torch.int64) - torch.tensor([column.low for column in space.columns])
        largest = max(column.count or 2 for column in space.columns) - 1
    dtype = np.min_scalar_type(largest)
    return x.numpy().astype(dtype.newbyteorder("<"))


def _fitting(space: Space) -> list[str]:
    """The kinds of image files that hold such data."""
    if not space.is_image or (space.level_count or 257) > 256:
        return []
    channels, *sides = space.shape
    found = ["PNG"] if channels in PNG_CHANNELS else []
    if channels in WEBP_CHANNELS and max(sides) <= WEBP_SIDE and features.check("webp"):
        found.append("WebP")
    return found


def _image(pixels: Pixels, binary: bool) -> Image.Image:
    """Gray, gray and alpha, RGB, or RGB and alpha; black and white of one bit where binary."""
    flat = pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0))
    return Image.fromarray(flat.astype(np.bool_) if binary else flat)


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
