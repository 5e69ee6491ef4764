"""Lists of images: paths of files, and Pillow's own images; read as the files of a folder are."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from torch.utils.data import IterableDataset

from reparam.data.contents import Contents, Files, ReadOptions, SplitArrays, split_named
from reparam.data.images.image_files import decode_all
from reparam.data.images.image_pixels import ImageSource, Picture, load
from reparam.data.images.image_trees import is_image
from reparam.data.tables.attribute_tables import with_table
from reparam.wording import EMPTY_PATH

if TYPE_CHECKING:
    from PIL import Image


def are_paths(source: object) -> TypeGuard[Sequence[str | os.PathLike[str]]]:
    """Whether this is a list of paths.

    >>> are_paths(["a.png", "b.png"]), are_paths([1, 2])
    (True, False)
    """
    if not isinstance(source, list | tuple) or not source:
        return False
    return all(isinstance(one, str | os.PathLike) for one in source)


def is_picture(item: object) -> TypeGuard[Image.Image]:
    """Whether this is an image of Pillow's, without importing it for the question.

    >>> is_picture(np.zeros((2, 2)))
    False
    """
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(item, pillow.Image)


def image_kinds(source: Any, options: ReadOptions | None = None) -> tuple[str, ...]:
    """What kinds of sources this is for ``ReadOptions.refuse``, if it is one of images.

    Args:
        source: as in ``load_data``.
        options: with a table of attributes the arguments that name its columns are taken too.

    >>> image_kinds("a.npy"), image_kinds((["a.png", "b.png"], [0, 1]))
    ((), ('paths',))
    """
    beside = ("beside images",) if options is not None and options.attribute_table else ()
    if isinstance(source, tuple) and len(source) == 2 and not are_paths(source):
        return image_kinds(source[0], options)  # of a pair with labels, or of two such pairs
    if isinstance(source, Mapping):
        return _kinds_of_parts(source, options)
    if are_paths(source):
        return ("paths", *beside)
    if isinstance(source, str | os.PathLike):
        path = Path(source).expanduser()
        return ("folder", *beside) if path.is_dir() or is_image(path) else ()
    first = source[0] if _has_rows(source) and len(source) else source
    parts = first.values() if isinstance(first, Mapping) else first
    several = parts if isinstance(parts, list | tuple) or isinstance(first, Mapping) else (parts,)
    return ("pictures", "dataset", "array") if any(map(is_picture, several)) else ()


def _has_rows(source: Any) -> bool:
    """Whether it has items by number, and is no array."""
    if hasattr(source, "__array__") or isinstance(source, IterableDataset):
        return False
    return hasattr(source, "__getitem__") and hasattr(source, "__len__")


def _kinds_of_parts(parts: Mapping[Any, Any], options: ReadOptions | None) -> tuple[str, ...]:
    """Of a dictionary: of its splits, or of its arrays, of which texts may be labels."""
    found = {
        kind
        for key, part in parts.items()
        if split_named(str(key)) or not (isinstance(part, str | os.PathLike) or are_paths(part))
        for kind in image_kinds(part, options)
    }
    return (*found, "archive") if found else ()


def read_paths(paths: Sequence[str | os.PathLike[str]], options: ReadOptions) -> Contents:
    """The images in some files, in their order, as those of a folder are read.

    Args:
        paths: of image files.
        options: how they are read, and a table of what stands beside them.

    Raises:
        ValueError: a file that is not there or cannot be read, or sizes that differ.

    >>> import tempfile
    >>> from PIL import Image
    >>> path = Path(tempfile.mkdtemp(), "a.png")
    >>> Image.fromarray(np.full((2, 3), 7, np.uint8)).save(path)
    >>> read_paths([path, path], ReadOptions()).splits["train"].x.shape
    (2, 1, 2, 3)
    """
    options.refuse("a list of image files", *image_kinds(paths, options))
    if not all(map(os.fspath, paths)):
        raise ValueError(f"source: {EMPTY_PATH}")
    files = [Path(path).expanduser().absolute() for path in paths]
    absent = [str(path) for path in files if not path.is_file()]
    if absent:
        raise ValueError(f"source: no file {absent[0]!r}; a list of texts is one of image files")
    contents = _decoded(files, options)
    folder = Path(os.path.commonpath([path.parent for path in files]))
    names = np.array([str(path.relative_to(folder)) for path in files], object)
    train = replace(contents.splits["train"], files=Files(folder, names))
    return with_table(replace(contents, splits={"train": train}), options)


def read_pictures(pictures: Sequence[Image.Image], options: ReadOptions) -> Contents:
    """Images of Pillow's, each as the frame that it stands at, as files are read.

    Args:
        pictures: the images.
        options: how they are read.

    Raises:
        ValueError: sizes or depths that differ.

    >>> from PIL import Image
    >>> read_pictures([Image.new("L", (3, 2), 9)], ReadOptions(size=1)).splits["train"].x
    array([[[[9]]]], dtype=uint8)
    """
    for picture in pictures:
        load(picture)  # here: the same one may stand in the list twice, and files are threads'
    return _decoded([Picture(f"image {i}", p) for i, p in enumerate(pictures)], options)


def _decoded(sources: Sequence[ImageSource], options: ReadOptions) -> Contents:
    """One example of each source."""
    decoded = decode_all(Path("list"), sources, replace(options, frames="first"))
    if len(decoded.rows) < len(sources):  # what else is given for each of them would not fit
        raise ValueError(f"source: {decoded.notes[-1]} Leave them out")
    found = {} if decoded.range is None else {"range": list(decoded.range)}
    train = {"train": SplitArrays(decoded.x)}
    return Contents(train, "images", "list", "images", notes=decoded.notes, found=found)
