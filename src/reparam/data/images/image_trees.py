"""What lies below a folder: its images, with the split and the class of each, and all else."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from reparam.data.contents import split_named
from reparam.data.images.image_pixels import SUFFIXES
from reparam.terminal import printable
from reparam.wording import counted, listed

# Words beside that of a split in the name of a folder that do not make it another thing's name.
NEUTRAL = {
    *("set", "data", "dataset", "split", "folder", "files", "samples"),
    *("image", "images", "img", "imgs", "picture", "pictures", "photo", "photos"),
}
NAMED = 5  # of a list, before its number has to do

Steps = tuple[str, ...]  # folders on the way to an image, and its name


class ImagePlace(NamedTuple):
    """An image file and where it belongs."""

    path: Path
    split: str
    label: str | None


@dataclass
class Tree:
    """All that lies below a folder.

    Args:
        images: files that are images by their names, ordered by path.
        folders: all that were looked into.
        others: files that are no images by their names.
        hidden: files and folders whose name says that they are not to be seen.
        unread: links, folders and special files that cannot be followed or opened, and why.
    """

    images: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


def image_places(folder: Path) -> tuple[list[ImagePlace], list[str]]:
    """The image files below a folder with their splits and classes, and notes on all that is not.

    Folders with one folder alone are looked through, to any depth. Then come folders of splits, if
    there are some, and below each of them a folder for each class, or images; perhaps in one more
    folder of the split's name, as in ``seg_train/seg_train``.

    Raises:
        ValueError: no images, images beside class folders, or splits without one for training.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("seg_train/a.png", "seg_test/b.png"):
    ...     (folder / name).parent.mkdir()
    ...     _ = (folder / name).write_bytes(b"")
    >>> [(place.path.name, place.split) for place in image_places(folder)[0]]
    [('b.png', 'test'), ('a.png', 'train')]
    """
    tree = walk(folder)
    if not tree.images:
        there = f"; there is {_named(tree.others)}" if tree.others else ""
        raise ValueError(f"{folder}: holds no images ({', '.join(sorted(SUFFIXES))}){there}")
    roots, found, through, notes = _with_splits(folder, tree.images)
    splits = [roots.get(parts[0], "train") for _, parts in found]
    tops = [parts[0] if roots else "" for _, parts in found]
    steps = [parts[1:] if roots else parts for _, parts in found]
    steps, singles, again = _below_singles(roots, tops, steps)
    through += singles
    labels = [parts[0] if len(parts) > 1 else None for parts in steps]
    places = [
        ImagePlace(path, split, label)
        for (path, _), split, label in zip(found, splits, labels, strict=True)
    ]
    _refuse_loose(folder, places)
    _refuse_undecoded(folder, {label for label in labels if label is not None})
    if again:
        notes.append(f"Folders named as the splits they are in, looked through: {_named(again)}.")
    notes += _of_single(through, any(labels)) + _of_names(steps) + _left_out(folder, tree)
    return sorted(places, key=lambda place: place.split), notes


def walk(folder: Path) -> Tree:
    """All that lies below a folder; links to folders are followed, none is read twice.

    >>> walk(Path("missing")).unread
    ['missing (No such file or directory)']
    """
    tree, waiting, links, seen = Tree(), [folder], list[Path](), set[tuple[int, int]]()
    while waiting or links:
        here = waiting.pop() if waiting else links.pop(0)  # what lies here itself comes first
        try:
            status = here.stat()
            if (status.st_dev, status.st_ino) in seen:
                tree.unread.append(f"{here.name} (leads to a folder that is read already)")
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(here) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            tree.unread.append(f"{here.name} ({error.strerror})")
            continue
        tree.folders.append(here)
        for entry in entries:
            if _to_look_into(entry, tree):
                (links if entry.is_symlink() else waiting).append(Path(entry.path))
    tree.images.sort()
    return tree


def _to_look_into(entry: os.DirEntry[str], tree: Tree) -> bool:
    """Whether an entry is a folder; all else is entered into the tree."""
    path = Path(entry.path)
    if not _visible(path):
        tree.hidden.append(entry.name)
        return False
    try:
        if entry.is_dir():
            return True
        there = entry.is_file()
    except OSError as error:  # a link onto itself
        tree.unread.append(f"{entry.name} ({error.strerror})")
        return False
    if not there:
        why = "leads nowhere" if entry.is_symlink() else "is no file"
        tree.unread.append(f"{entry.name} ({why})")
    elif path.suffix.lower() in SUFFIXES:
        tree.images.append(path)
    else:
        tree.others.append(entry.name)
    return False


def is_image(path: Path) -> bool:
    """Whether a path is that of an image file, by its name.

    >>> is_image(Path("missing.png"))
    False
    """
    return path.suffix.lower() in SUFFIXES and path.is_file() and _visible(path)


def _visible(path: Path) -> bool:
    return not path.name.startswith((".", "__MACOSX"))


def _single(steps: Sequence[Steps]) -> str | None:
    """The folder that all images are in, if there is one."""
    firsts = {parts[0] for parts in steps if len(parts) > 1}
    return firsts.pop() if len(firsts) == 1 and min(map(len, steps)) > 1 else None


def _below_singles(
    roots: Mapping[str, str], tops: Sequence[str], steps: list[Steps]
) -> tuple[list[Steps], list[str], set[str]]:
    """The steps below single folders; those of all images, and those that repeat their split.

    A single folder in one split alone is else a class, the only one that is there.
    """
    through, again = list[str](), set[str]()
    while True:
        if single := _single(steps):
            through.append(single)
            passed = set(tops)
        else:
            inside: dict[str, list[Steps]] = defaultdict(list)
            for top, parts in zip(tops, steps, strict=True):
                inside[top].append(parts)
            names = {top: _single(below) or "" for top, below in inside.items()}
            passed = {t for t, n in names.items() if (_split_in(n) or ("",))[0] == roots.get(t)}
            again |= {f"{top}/{names[top]}" for top in passed}
        if not passed:
            return steps, through, again
        pairs = zip(tops, steps, strict=True)
        steps = [parts[1:] if top in passed else parts for top, parts in pairs]


def _with_splits(
    folder: Path, images: Sequence[Path]
) -> tuple[dict[str, str], list[tuple[Path, Steps]], list[str], list[str]]:
    """Folders that are splits, images in them with the way to each, single folders, and notes."""
    steps, through = [path.relative_to(folder).parts for path in images], list[str]()
    roots, notes = _splits(folder, steps)
    while not roots and (single := _single(steps)):
        through.append(single)
        steps = [parts[1:] for parts in steps]
        roots, notes = _splits(folder.joinpath(*through), steps)
    beside = {parts[0] for parts in steps if parts[0] not in roots} if roots else ()
    if beside:
        notes.append(f"Not used, beside the folders of splits: {_named(beside)}.")
    found = [pair for pair in zip(images, steps, strict=True) if pair[1][0] not in beside]
    return roots, found, through, notes


def _splits(folder: Path, steps: Iterable[Steps]) -> tuple[dict[str, str], list[str]]:
    """Which folders are splits, and a note where that is not what they are called.

    By a word in their names they are where the other words are the same in all of them, as in
    ``seg_train`` and ``seg_test``, or say nothing, as in ``training_set``.
    """
    names = sorted({parts[0] for parts in steps if len(parts) > 1})
    alike: dict[tuple[str, ...], dict[str, str]] = defaultdict(dict)
    for name in names:
        if (found := _split_in(name)) is not None:
            alike[found[1]][name] = found[0]
    exact = any(split_named(name) for name in names)
    pairs = [a for a in alike.values() if len(set(a.values())) > 1 and "train" in a.values()]
    chosen = alike[()] if exact else pairs[0] if len(pairs) == 1 else {}
    if chosen and "train" not in chosen.values():
        raise ValueError(f"{folder}: has a folder {min(chosen)!r}, but none named 'train'")
    if all(split_named(name) == split for name, split in chosen.items()):
        return chosen, []
    said = ", ".join(f"{name} ({split})" for name, split in chosen.items())
    return chosen, [f"Folders taken for splits by their names: {said}."]


def _split_in(name: str) -> tuple[str, tuple[str, ...]] | None:
    """The one split that a word of a name is, and the words beside it that matter."""
    words = re.findall("[a-z]+", re.sub("(?<=[a-z])(?=[A-Z])", " ", name).lower())
    splits = [_split_of(word) for word in words]
    found = {split for split in splits if split is not None}
    rest = (w for w, s in zip(words, splits, strict=True) if s is None and w not in NEUTRAL)
    return (found.pop(), tuple(rest)) if len(found) == 1 else None


def _split_of(word: str) -> str | None:
    word = word.removesuffix("set") or word
    return split_named({"dev": "valid", "validate": "valid"}.get(word, word))


def _refuse_loose(folder: Path, places: Sequence[ImagePlace]) -> None:
    for split in {place.split for place in places}:
        labels = [place.label for place in places if place.split == split]
        loose = [place.path.name for place in places if (place.split, place.label) == (split, None)]
        if loose and len(loose) < len(labels):
            raise ValueError(
                f"{folder}: {counted(len(loose), 'image')} beside class folders ({listed(loose)}); "
                "move them into a class folder, or all images into one folder"
            )


def _refuse_undecoded(folder: Path, classes: Iterable[str]) -> None:
    """Refuse classes whose names are bytes that are not UTF-8, which no file could keep."""
    odd = [printable(name) for name in classes if re.search(r"[\ud800-\udfff]", name)]
    if odd:
        raise ValueError(
            f"{folder}: names of class folders that are not UTF-8: {_named(odd)}; rename them"
        )


def _of_single(through: Sequence[str], classes: bool) -> list[str]:
    if not through:
        return []
    name = "/".join(through)
    if classes:
        return [f"A single folder, {name!r}: looked through, classes are the folders in it."]
    return [f"A single folder, {name!r}: taken as no labels."]


def _of_names(steps: Sequence[Steps]) -> list[str]:
    """What the names of folders may mean that nothing is made of."""
    labels = {parts[0] for parts in steps if len(parts) > 1}
    below = {"/".join(parts[:2]) for parts in steps if len(parts) > 2}
    notes = []
    if below:
        notes.append(f"Folders within those of classes, told apart by nothing: {_named(below)}.")
    suspect = {name for name in labels | below if _split_in(name.rpartition("/")[2]) is not None}
    if suspect:
        notes.append(
            f"These class names look like splits: {_named(suspect)}. If they are, test images are "
            "trained on: name the folders train, valid and test, with the classes in them."
        )
    return notes


def _left_out(folder: Path, tree: Tree) -> list[str]:
    notes = []
    if tree.others:
        kinds = sorted({Path(name).suffix.lower() or "no suffix" for name in tree.others})
        of_kinds = f" ({listed(kinds)})" if len(tree.others) > NAMED else ""
        notes.append(
            f"{counted(len(tree.others), 'file')} of another kind than images left out: "
            f"{listed(tree.others)}"
            f"{of_kinds}."
        )
    if tree.hidden:
        notes.append(
            f"{counted(len(tree.hidden), 'hidden entry', 'hidden entries')} left out: "
            f"{_named(tree.hidden)}."
        )
    if tree.unread:
        notes.append(f"{len(tree.unread)} could not be read: {_named(tree.unread)}.")
    full = {parent for path in tree.images for parent in path.parents}
    empty = [path for path in tree.folders if path not in full and path.parent in full]
    if empty:
        names = sorted(str(path.relative_to(folder)) for path in empty)
        notes.append(f"{len(names)} folders without images: {listed(names)}.")
    return notes


def _named(names: Iterable[str]) -> str:
    return listed(sorted(set(names)))
