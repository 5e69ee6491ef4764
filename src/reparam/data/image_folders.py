"""Folders of images: class folders are labels, split folders splits; decoded once if large."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL

from reparam.atomic import checksum, write_atomically
from reparam.data.arrays import split_named
from reparam.data.contents import Array, Contents, Files, Fit, SplitArrays
from reparam.data.image_files import (
    MANY,
    SUFFIXES,
    DecodedImages,
    UnreadableImage,
    decode,
    decode_all,
    read_header,
)
from reparam.data.large_arrays import blocks, load
from reparam.data.splits import SPLITS
from reparam.wording import listed

VARIABLE = "REPARAM_CACHE"  # environment variable: a folder for the caches, or "off"
CACHE_FORMAT = 2  # of what is decoded and how it is kept


class ImagePlace(NamedTuple):
    """An image file and where it belongs."""

    path: Path
    split: str
    label: str | None


def read_folder(
    folder: Path, size: int | tuple[int, int] | None = None, fit: Fit = "crop"
) -> Contents:
    """The images of a folder, uint8 (N, C, H, W) with C 1 or 3, ordered by path.

    Args:
        folder: images; or one folder of images for each class; or folders train, valid and test
            that hold either.
        size: height and width to bring all images to (one number: both); None: they have one
            size already.
        fit: ``"crop"`` cuts the middle out in the proportions of size, ``"pad"`` adds black bars.

    Raises:
        ValueError: no images, none that can be read, sizes that differ, or images beside class
            folders.

    >>> import tempfile
    >>> from PIL import Image
    >>> folder = Path(tempfile.mkdtemp())
    >>> for i in range(3):
    ...     Image.fromarray(np.full((2, 2), i, np.uint8)).save(folder / f"{i}.png")
    >>> read_folder(folder).splits["train"].x[:, 0, 0, 0]
    array([0, 1, 2], dtype=uint8)
    """
    target = _target(size, fit)
    items, notes = _items(folder)
    paths = [item.path for item in items]
    cache = folder_cache(folder, paths, {"size": target, "fit": fit})
    decoded = None if cache is None else cache.read()
    if decoded is not None:
        notes.append(
            "Pixels from the cache: no file has changed since it was decoded; "
            f"{VARIABLE}=off decodes all afresh."
        )
    else:
        decoded = decode_all(folder, paths, target, fit)
        if cache is not None:
            cache.write(decoded)
    kept = [items[row] for row in decoded.rows]
    return _by_split(folder, kept, decoded.x, [*notes, *decoded.notes])


def read_image(path: Path, size: tuple[int, int] | None, fit: Fit) -> Contents:
    """A single image file as one example; the arguments are those of ``read_folder``.

    Raises:
        ValueError: it cannot be read.

    >>> import tempfile
    >>> from PIL import Image
    >>> path = Path(tempfile.mkdtemp()) / "a.png"
    >>> Image.fromarray(np.full((4, 4), 7, np.uint8)).save(path)
    >>> read_image(path, (2, 3), "crop").splits["train"].x.shape
    (1, 1, 2, 3)
    """
    header = read_header(path)
    if not isinstance(header, UnreadableImage):
        x = np.empty((1, 3 if header.color else 1, *(size or header.size)), np.uint8)
        failure = decode(path, x[0], fit)
        if failure is None:
            files = Files(path.parent, np.array([path.name], object))
            return Contents({"train": SplitArrays(x, files=files)}, path.name, str(path), "images")
        header = failure
    raise ValueError(f"{path}: cannot be read as an image: {header.reason}")


def _target(size: int | tuple[int, int] | None, fit: str) -> tuple[int, int] | None:
    if fit not in ("crop", "pad"):
        raise ValueError(f"fit_size: expected 'crop' or 'pad', got {fit!r}")
    if size is None:
        return None
    sides = (size, size) if isinstance(size, int | np.integer) else tuple(size)
    if len(sides) != 2 or min(sides) < 1:
        raise ValueError(f"size: expected positive height and width, or one number, got {size}")
    return int(sides[0]), int(sides[1])


def _items(folder: Path) -> tuple[list[ImagePlace], list[str]]:
    """All image files with their split and class folder, and notes on what is left out."""
    tops = [path for path in sorted(folder.iterdir()) if path.is_dir() and _visible(path)]
    roots = [(path, split) for path in tops if (split := split_named(path.name)) is not None]
    notes = []
    if roots:
        if "train" not in {split for _, split in roots}:
            raise ValueError(f"{folder}: has a folder {roots[0][0].name!r}, but none named 'train'")
        beside = [path.name for path in tops if split_named(path.name) is None]
        beside += [path.name for path in sorted(folder.iterdir()) if is_image(path)]
        if beside:
            notes.append(f"Not used, beside the folders of splits: {listed(beside)}.")
    items, others = [], []
    for root, split in sorted(roots, key=lambda pair: pair[1]) or [(folder, "train")]:
        of_root, of_others = _scan(root, split)
        items += of_root
        others += of_others
    if others:
        notes.append(f"{len(others)} files that are no images left out: {listed(others)}.")
    if not items:
        raise ValueError(f"{folder}: holds no images ({', '.join(sorted(SUFFIXES))})")
    classes = {item.label for item in items}
    if len(classes) == 1 and classes != {None}:
        notes.append(f"A single folder, {classes.pop()!r}: taken as no labels.")
        items = [item._replace(label=None) for item in items]
    return items, notes


def _scan(root: Path, split: str) -> tuple[list[ImagePlace], list[str]]:
    """Images below one root; the first folder on the way to an image is its class."""
    items, others = [], []
    for path in sorted(root.rglob("*")):
        steps = path.relative_to(root)
        if not path.is_file() or not all(_visible(Path(step)) for step in steps.parts):
            continue
        if is_image(path):
            items.append(ImagePlace(path, split, steps.parts[0] if len(steps.parts) > 1 else None))
        else:
            others.append(path.name)
    loose = [item.path.name for item in items if item.label is None]
    if loose and len(loose) < len(items):
        raise ValueError(
            f"{root}: {len(loose)} images lie beside class folders ({listed(loose)}); move them "
            "into a class folder, or all images into one folder"
        )
    return items, others


def _by_split(
    folder: Path, items: Sequence[ImagePlace], x: Array, notes: Sequence[str]
) -> Contents:
    splits = {}
    for split in SPLITS:
        rows = [i for i, item in enumerate(items) if item.split == split]
        classes = [label for i in rows if (label := items[i].label) is not None]
        if rows:
            # Folders are scanned split by split, so that each is one slice: no copy.
            pixels = x[rows[0] : rows[-1] + 1]
            names = np.array([str(items[i].path.relative_to(folder)) for i in rows], object)
            labels = np.array(classes) if classes else None
            splits[split] = SplitArrays(pixels, labels, files=Files(folder, names))
    if "train" not in splits:
        raise ValueError(f"{folder}: no image in 'train' can be read")
    return Contents(splits, folder.name, str(folder), "images", notes=tuple(notes))


def _visible(path: Path) -> bool:
    return not path.name.startswith((".", "__MACOSX"))


def is_image(path: Path) -> bool:
    """Whether a path is that of an image file, by its name.

    >>> is_image(Path("missing.png"))
    False
    """
    return path.suffix.lower() in SUFFIXES and path.is_file() and _visible(path)


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
            rows, notes = np.array(about["rows"], np.int64), tuple(about["notes"])
            x = load(self.place)
            whole = about["checksum"] == _checksum(x, rows, notes)
        except Exception:  # what parsers raise on damage is nowhere said; nothing is lost by it
            return None
        return DecodedImages(x, rows, notes) if whole else None

    def write(self, decoded: DecodedImages) -> None:
        """Keep it for the next time; a disk that is full or read-only keeps nothing."""
        about = {
            "fingerprint": self.fingerprint,
            "checksum": _checksum(*decoded),
            "rows": decoded.rows.tolist(),
            "notes": decoded.notes,
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
    wanted = os.environ.get(VARIABLE)
    if len(paths) < MANY or wanted == "off":
        return None
    import pooch

    root = Path(wanted).expanduser() if wanted else pooch.os_cache("reparam")
    name = _digest([str(folder.resolve()), options])
    files = [_state(path, folder) for path in paths]
    return FolderCache(
        root / "folders" / f"{name}.npy", _digest([CACHE_FORMAT, PIL.__version__, options, files])
    )


def _state(path: Path, folder: Path) -> list[Any]:
    status = path.stat()
    return [str(path.relative_to(folder)), status.st_size, status.st_mtime_ns]


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]


def _save(file: Path, x: Array) -> None:
    with file.open("wb") as opened:  # of a path numpy would change the name
        np.save(opened, x)


def _checksum(x: Array, rows: Array, notes: Sequence[str]) -> str:
    arrays = (part for array in (x, rows) for part in _parts(array))
    return checksum(itertools.chain([json.dumps(notes)], arrays))


def _parts(array: Array) -> Iterator[str | memoryview]:
    yield f"{array.dtype} {array.shape}"
    for block in blocks(array):
        yield np.ascontiguousarray(array[block]).data
