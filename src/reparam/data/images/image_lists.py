"""Lists of images in memory: paths of files, and Pillow's own images."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

import numpy as np

from reparam.data.contents import Array, Contents, Files, ReadOptions, SplitArrays
from reparam.data.images.image_files import decode_all
from reparam.data.images.image_pixels import Reading, eight_bits, is_deep

if TYPE_CHECKING:
    from PIL import Image

OF_LISTS = ("size", "fit_size", "range", "background")  # no frames: it is one example a file


def are_paths(source: object) -> TypeGuard[Sequence[str | os.PathLike[str]]]:
    """Whether this is a list of paths.

    >>> are_paths(["a.png", "b.png"]), are_paths([1, 2])
    (True, False)
    """
    if not isinstance(source, list | tuple) or not source:
        return False
    return all(isinstance(one, str | os.PathLike) for one in source)


def read_paths(paths: Sequence[str | os.PathLike[str]], options: ReadOptions) -> Contents:
    """The images in some files, in their order, as those of a folder are read.

    Args:
        paths: of image files.
        options: size, fit_size, range and background.

    Raises:
        ValueError: a file that is not there or cannot be read, or sizes that differ.

    >>> import tempfile
    >>> from PIL import Image
    >>> path = Path(tempfile.mkdtemp(), "a.png")
    >>> Image.fromarray(np.full((2, 3), 7, np.uint8)).save(path)
    >>> read_paths([path, path], ReadOptions()).splits["train"].x.shape
    (2, 1, 2, 3)
    """
    options.refuse("a list of image files", *OF_LISTS)
    files = [Path(path).expanduser().absolute() for path in paths]
    absent = [str(path) for path in files if not path.is_file()]
    if absent:
        raise ValueError(f"source: no file {absent[0]!r}; a list of texts is one of image files")
    decoded = decode_all(Path("list"), files, Reading.of(options))
    if len(decoded.rows) < len(files):  # what else is given for each of them would not fit
        raise ValueError(f"source: {decoded.notes[-1]} Leave them out")
    folder = Path(os.path.commonpath([path.parent for path in files]))
    names = np.array([str(path.relative_to(folder)) for path in files], object)
    train = SplitArrays(decoded.x, files=Files(folder, names))
    contents = Contents({"train": train}, "images", "list", "images", notes=decoded.notes)
    return (
        contents
        if decoded.range is None
        else replace(contents, found={"range": list(decoded.range)})
    )


def is_picture(item: object) -> TypeGuard[Image.Image]:
    """Whether this is an image of Pillow's, without importing it for the question.

    >>> is_picture(np.zeros((2, 2)))
    False
    """
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(item, pillow.Image)


def pixels(picture: Image.Image) -> tuple[Array, list[str]]:
    """An image as it looks, (H, W) gray or (H, W, 3), and notes on what was changed.

    Images of more than 8 bits keep their numbers.

    >>> from PIL import Image
    >>> palette = Image.new("P", (1, 1))
    >>> palette.putpalette([9, 9, 9])
    >>> pixels(palette)[0]
    array([[9]], dtype=uint8)
    """
    from PIL import ImageOps

    more = getattr(picture, "n_frames", 1) > 1
    notes = ["Of images with several frames the one that they stand at was taken."] * more
    if is_deep(picture):
        return np.asarray(ImageOps.exif_transpose(picture)), notes
    remarks: set[str] = set()
    image = eight_bits(picture, Reading(), remarks)
    notes += [f"{remark[0].upper()}{remark[1:]}." for remark in sorted(remarks)]
    colors = np.asarray(image.convert("RGB"))
    gray = picture.mode in ("1", "L", "LA", "La") or (
        picture.mode.startswith("P") and bool((colors == colors[..., :1]).all())
    )
    return colors[..., 0] if gray else colors, notes


def alike(rows: Sequence[Array]) -> tuple[list[Array], list[str]]:
    """Pixels with as many channels in all images, three where some have them; and notes on it.

    Raises:
        ValueError: some have 8 bits and others more, so that white is not the same number.

    >>> rows, notes = alike([np.zeros((2, 2)), np.zeros((2, 2, 3))])
    >>> [row.shape for row in rows], notes
    ([(2, 2, 3), (2, 2, 3)], ['1 gray images got three equal channels, as others are in color.'])
    """
    deep = [row.dtype != np.uint8 for row in rows]
    if any(deep) and not all(deep):
        raise ValueError(
            f"source: image {deep.index(True)} has more than 8 bits and image {deep.index(False)} "
            "has 8, so that which of its values is white cannot be told; convert it to 8 bits"
        )
    gray = sum(row.ndim == 2 for row in rows)
    if gray in (0, len(rows)):
        return list(rows), []
    note = f"{gray} gray images got three equal channels, as others are in color."
    return [row if row.ndim == 3 else np.stack([row] * 3, -1) for row in rows], [note]
