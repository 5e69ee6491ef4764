"""Folders of images, and single ones: decoded once where they are many, and kept as decoded."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from reparam.atomic import checksum, write_atomically
from reparam.data.cache import VARIABLE, cache_root, digest
from reparam.data.contents import Array, Contents, Files, ReadOptions, SplitArrays
from reparam.data.images.image_files import MANY, DecodedImages, decode_all
from reparam.data.images.image_reading import Reading
from reparam.data.images.image_trees import ImagePlace, image_places
from reparam.data.large_arrays import blocks, load
from reparam.data.splits import SPLITS
from reparam.data.tables.attribute_tables import with_table

CACHE_FORMAT = 4  # of what is decoded and how it is kept


def read_folder(folder: Path, options: ReadOptions) -> Contents:
    """The images of a folder, uint8 (N, C, H, W) with C 1 or 3, ordered by path.

    Args:
        folder: images; or one folder of images for each class; or folders train, valid and test
            that hold either.
        options: how they are read, and a table of what stands beside them.

    Raises:
        ValueError: no images, none that can be read, sizes that differ, or images beside class
            folders.

    >>> import tempfile
    >>> from PIL import Image
    >>> folder = Path(tempfile.mkdtemp())
    >>> for i in range(3):
    ...     Image.fromarray(np.full((2, 2), i, np.uint8)).save(folder / f"{i}.png")
    >>> read_folder(folder, ReadOptions()).splits["train"].x[:, 0, 0, 0]
    array([0, 1, 2], dtype=uint8)
    """
    places, notes = image_places(folder)
    paths = [place.path for place in places]
    reading = {each.name: getattr(options, each.name) for each in fields(Reading)}
    cache = folder_cache(folder, paths, reading)
    decoded = None if cache is None else cache.read()
    if decoded is not None:
        notes.append(
            "Pixels from the cache: no file has changed since it was decoded; "
            f"{VARIABLE}=off decodes all afresh."
        )
    else:
        decoded = decode_all(folder, paths, options)
        if cache is not None:
            cache.write(decoded)
    contents = with_table(_by_split(folder, places, decoded, options), options)
    return replace(contents, notes=(*notes, *contents.notes))


def read_image(path: Path, options: ReadOptions) -> Contents:
    """A single image file as one example, or one with several frames as as many.

    Args:
        path: the file.
        options: how it is read.

    Raises:
        ValueError: it cannot be read.

    >>> import tempfile
    >>> from PIL import Image
    >>> path = Path(tempfile.mkdtemp()) / "a.png"
    >>> Image.fromarray(np.full((4, 4), 7, np.uint8)).save(path)
    >>> read_image(path, ReadOptions(size=(2, 3))).splits["train"].x.shape
    (1, 1, 2, 3)
    """
    decoded = decode_all(path, [path], options)
    contents = _by_split(path.parent, [ImagePlace(path, "train", None)], decoded, options)
    return replace(with_table(contents, options), name=path.name, origin=str(path))


def _by_split(
    folder: Path, places: Sequence[ImagePlace], decoded: DecodedImages, reading: Reading
) -> Contents:
    splits = {}
    kept = [places[row] for row in decoded.rows]
    several = set(decoded.rows[decoded.frames > 0].tolist())
    names = [
        str(place.path.relative_to(folder)) + (f"[{frame}]" if row in several else "")
        for place, row, frame in zip(kept, decoded.rows.tolist(), decoded.frames, strict=True)
    ]
    for split in SPLITS:
        rows = [i for i, place in enumerate(kept) if place.split == split]
        if rows:
            # They are ordered split by split, so that each is one slice: no copy.
            part = slice(rows[0], rows[-1] + 1)
            classes = [label for place in kept[part] if (label := place.label) is not None]
            splits[split] = SplitArrays(
                decoded.x[part],
                np.array(classes) if classes else None,
                files=Files(folder, np.array(names[part], object)),
            )
    if "train" not in splits:
        raise ValueError(f"{folder}: no image in 'train' can be read")
    found: dict[str, Any] = {} if decoded.range is None else {"range": list(decoded.range)}
    if reading.frames == "all":
        found["frames"] = "all"
    return Contents(splits, folder.name, str(folder), "images", notes=decoded.notes, found=found)


@dataclass(frozen=True)
class FolderCache:
    """Where one folder is kept as read in one way, and what it has to be now.

    The place depends on folder and options, so that a folder that changed replaces what was kept.
    The fingerprint is of the names, sizes and times of all files: one that changed leaving all of
    these as they were would go unnoticed.

    Args:
        place: the file of the pixels; what is known of them lies in a .json file beside it.
        fingerprint: of the files and of the decoder.
    """

    place: Path
    fingerprint: str

    def read(self) -> DecodedImages | None:
        """What is kept; None where that is nothing, out of date or damaged."""
        try:
            about = json.loads(self.place.with_suffix(".json").read_text())
            if about["fingerprint"] != self.fingerprint:
                return None
            rows, frames = (np.array(about[name], np.int64) for name in ("rows", "frames"))
            span = None if about["range"] is None else tuple(about["range"])
            decoded = DecodedImages(load(self.place), rows, frames, tuple(about["notes"]), span)
            whole = about["checksum"] == _checksum(decoded)
        except Exception:  # what parsers raise on damage is nowhere said; nothing is lost by it
            return None
        return decoded if whole else None

    def write(self, decoded: DecodedImages) -> None:
        """Keep it for the next time; a disk that is full or read-only keeps nothing."""
        about = {
            "fingerprint": self.fingerprint,
            "checksum": _checksum(decoded),
            "rows": decoded.rows.tolist(),
            "frames": decoded.frames.tolist(),
            "notes": decoded.notes,
            "range": decoded.range,
        }
        try:  # Pixels first: what is said about them holds for no others.
            write_atomically(self.place, lambda file: _save(Path(file), decoded.x))
            text = json.dumps(about)
            write_atomically(
                self.place.with_suffix(".json"), lambda file: Path(file).write_text(text)
            )
        except ValueError:
            return


def folder_cache(folder: Path, paths: Sequence[Path], options: Any) -> FolderCache | None:
    """The cache of a folder of many files; None for few, or where the user wants none.

    Args:
        folder: the folder.
        paths: its image files.
        options: how they are decoded, as JSON can say it.

    >>> folder_cache(Path("few"), [], {}) is None
    True
    """
    root = cache_root() if len(paths) >= MANY else None
    if root is None:
        return None
    name = digest([str(folder.resolve()), options])
    files = [_state(path, folder) for path in paths]
    return FolderCache(
        root / "folders" / f"{name}.npy", digest([CACHE_FORMAT, PIL.__version__, options, files])
    )


def _state(path: Path, folder: Path) -> list[Any]:
    status = path.stat()
    return [str(path.relative_to(folder)), status.st_size, status.st_mtime_ns]


def _save(file: Path, x: Array) -> None:
    with file.open("wb") as opened:  # of a path numpy would change the name
        np.save(opened, x)


def _checksum(decoded: DecodedImages) -> str:
    x, rows, frames, *others = decoded
    arrays = (part for array in (x, rows, frames) for part in _parts(array))
    return checksum(itertools.chain([json.dumps(others)], arrays))


def _parts(array: Array) -> Iterator[str | memoryview]:
    yield f"{array.dtype} {array.shape}"
    for block in blocks(array):
        yield np.ascontiguousarray(array[block]).data
