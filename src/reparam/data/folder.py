"""Folders of image files: class folders become labels, train/valid/test folders become splits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from reparam.data.decoding import decode_all, listed
from reparam.data.entries import split_named
from reparam.data.folder_cache import VARIABLE, folder_cache
from reparam.data.pictures import SUFFIXES, Failure, Fit, decode, look
from reparam.data.raw import Array, Files, Part, Raw
from reparam.data.splits import SPLITS


class Item(NamedTuple):
    """An image file and where it belongs."""

    path: Path
    split: str
    label: str | None


def read_folder(folder: Path, size: int | tuple[int, int] | None = None, fit: Fit = "crop") -> Raw:
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
    >>> read_folder(folder).parts["train"].x[:, 0, 0, 0]
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


def read_picture(path: Path, size: tuple[int, int] | None, fit: Fit) -> Raw:
    """A single image file as one example; the arguments are those of ``read_folder``.

    Raises:
        ValueError: it cannot be read.

    >>> import tempfile
    >>> from PIL import Image
    >>> path = Path(tempfile.mkdtemp()) / "a.png"
    >>> Image.fromarray(np.full((4, 4), 7, np.uint8)).save(path)
    >>> read_picture(path, (2, 3), "crop").parts["train"].x.shape
    (1, 1, 2, 3)
    """
    header = look(path)
    if not isinstance(header, Failure):
        x = np.empty((1, 3 if header.color else 1, *(size or header.size)), np.uint8)
        failure = decode(path, x[0], fit)
        if failure is None:
            return Raw(
                {"train": Part(x, files=Files(path.parent, np.array([path.name], object)))},
                path.name,
                str(path),
                "images",
            )
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


def _items(folder: Path) -> tuple[list[Item], list[str]]:
    """All image files with their split and class folder, and notes on what is left out."""
    tops = [path for path in sorted(folder.iterdir()) if path.is_dir() and _visible(path)]
    roots = [(path, split) for path in tops if (split := split_named(path.name)) is not None]
    notes = []
    if roots:
        if "train" not in {split for _, split in roots}:
            raise ValueError(f"{folder}: has a folder {roots[0][0].name!r}, but none named 'train'")
        beside = [path.name for path in tops if split_named(path.name) is None]
        beside += [path.name for path in sorted(folder.iterdir()) if is_picture(path)]
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


def _scan(root: Path, split: str) -> tuple[list[Item], list[str]]:
    """Images below one root; the first folder on the way to an image is its class."""
    items, others = [], []
    for path in sorted(root.rglob("*")):
        steps = path.relative_to(root)
        if not path.is_file() or not all(_visible(Path(step)) for step in steps.parts):
            continue
        if is_picture(path):
            items.append(Item(path, split, steps.parts[0] if len(steps.parts) > 1 else None))
        else:
            others.append(path.name)
    loose = [item.path.name for item in items if item.label is None]
    if loose and len(loose) < len(items):
        raise ValueError(
            f"{root}: {len(loose)} images lie beside class folders ({listed(loose)}); move them "
            "into a class folder, or all images into one folder"
        )
    return items, others


def _by_split(folder: Path, items: Sequence[Item], x: Array, notes: Sequence[str]) -> Raw:
    parts = {}
    for split in SPLITS:
        rows = [i for i, item in enumerate(items) if item.split == split]
        classes = [label for i in rows if (label := items[i].label) is not None]
        if rows:
            # Folders are scanned split by split, so that each is one slice: no copy.
            part = x[rows[0] : rows[-1] + 1]
            names = np.array([str(items[i].path.relative_to(folder)) for i in rows], object)
            labels = np.array(classes) if classes else None
            parts[split] = Part(part, labels, files=Files(folder, names))
    if "train" not in parts:
        raise ValueError(f"{folder}: no image in 'train' can be read")
    return Raw(parts, folder.name, str(folder), "images", notes=tuple(notes))


def _visible(path: Path) -> bool:
    return not path.name.startswith((".", "__MACOSX"))


def is_picture(path: Path) -> bool:
    """Whether a path is that of an image file, by its name.

    >>> is_picture(Path("missing.png"))
    False
    """
    return path.suffix.lower() in SUFFIXES and path.is_file() and _visible(path)
