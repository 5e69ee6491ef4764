"""Arrays in memory (tensors, pairs, dictionaries, datasets, lists), and what their names say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from reparam.data.beside_x import ordered_as
from reparam.data.contents import (
    SPLIT_NAMES,
    Array,
    Contents,
    ReadOptions,
    SplitArrays,
    require_numbers,
    split_named,
)
from reparam.data.images.image_lists import (
    are_paths,
    image_kinds,
    is_picture,
    read_paths,
    read_pictures,
)
from reparam.data.tables.cells import is_missing, unquoted
from reparam.data.tables.column_kinds import Kinds, check_kinds, renamed
from reparam.data.tables.table_columns import (
    is_frame,
    read_frame,
    refuse_repeated,
    written_alike,
)
from reparam.data.values import is_absent
from reparam.space import refuse_masked
from reparam.wording import listed

# What arrays, and parts of items, are called, in any case; also beside the name of a split.
NAMES = {
    "x": ("x", "images", "image", "imgs", "img", "data"),
    "labels": ("y", "labels", "label", "targets", "target"),
    "factors": ("factors", "latents_values"),
    "attributes": ("attributes",),
}
NAMES_OF = ("attribute_names", "factor_names", "feature_names", "target_names")
NAMES_IN = "names_"  # before a column's name: what its numbers 0 … K−1 stand for
AS_FOUND = ReadOptions()


def read_memory(source: Any, options: ReadOptions) -> Contents:
    """What an object in memory holds.

    Args:
        source: an array or tensor; a DataFrame; a list of paths of images; a pair (x, labels), or
            two of them, for training and test; a dictionary of arrays or lists of images (names as
            in an archive, see ``named_contents``), or of any of these by split; a map-style torch
            Dataset or a list, whose items are x, (x, label, …) or dictionaries.
        options: columns of a DataFrame; drop also names arrays of a dictionary, x and y too, or
            parts of items.

    Raises:
        ValueError: something else, or rows of different shapes.

    >>> read_memory((torch.zeros(2, 3), [0, 1]), ReadOptions()).splits["train"].labels
    array([0, 1])
    """
    if is_frame(source):
        options.refuse("a DataFrame", "table")
        return read_frame(source, options)
    if isinstance(source, Mapping):
        return _from_mapping(source, options)
    if is_picture(source):
        return _stacked([source], "picture", options)
    if isinstance(source, tuple) and len(source) == 2:
        if _are_pairs(source):
            return _of_splits(dict(zip(("train", "test"), source, strict=True)), "pairs", options)
        return with_labels(read_memory(source[0], options), source[1])
    if isinstance(source, TensorDataset) and len(source.tensors) in (1, 2):
        found = SplitArrays(*(to_array(t, "tensors") for t in source.tensors))
        return _alone(found, "dataset", options)
    if isinstance(source, torch.Tensor) or (
        hasattr(source, "__array__") and not isinstance(source, Dataset)
    ):
        name = "tensor" if isinstance(source, torch.Tensor) else "array"
        return _alone(SplitArrays(to_array(source, name)), name, options)
    if are_paths(source):
        return read_paths(source, options)
    _refuse_other(source)
    return _stacked(source, "list" if isinstance(source, list) else "dataset", options)


def _refuse_other(source: Any) -> None:
    """ValueError for what has no rows to take by number."""
    if hasattr(source, "toarray"):
        raise ValueError("source: expected a dense array, got a sparse one; give x.toarray()")
    if isinstance(source, DataLoader):
        raise ValueError("source: expected a dataset, got a DataLoader; give loader.dataset")
    rows = hasattr(source, "__getitem__") and hasattr(source, "__len__")
    if not rows or isinstance(source, IterableDataset | str | bytes):
        raise ValueError(
            "source: expected a name, path, array, tensor, DataFrame or map-style Dataset, got "
            f"{type(source).__name__}"
        )


def with_labels(contents: Contents, labels: Any) -> Contents:
    """The same data with these labels of its training rows.

    Raises:
        ValueError: there are labels already, or it is in several splits.

    >>> contents = read_memory(torch.zeros(2, 3), ReadOptions())
    >>> with_labels(contents, ["a", "b"]).splits["train"].labels.tolist()
    ['a', 'b']
    """
    train = contents.splits["train"]
    if train.labels is not None or len(contents.splits) > 1:
        what = "has labels already" if train.labels is not None else "is in several splits"
        raise ValueError(
            f"label: {contents.origin} {what}; labels apply to a single array without any"
        )
    labeled = replace(train, labels=to_array(labels, "labels"))
    return replace(contents, splits={"train": labeled})


def options_like(first: Contents, other: Any, options: ReadOptions) -> ReadOptions:
    """How more is read after the first data: images by their channels and range, tables alike.

    What the first are read by, and the other source is not, is left out.
    """
    if first.form != "images":
        labels = first.splits["train"].labels
        if labels is not None and labels.dtype.kind in "OU":
            options = replace(options, classes=tuple(sorted(set(map(str, labels)))))
        return written_alike(other, options, first.found)
    channels = first.splits["train"].x.shape[1]
    options = replace(options, channels=channels, **first.found)
    return options.without(*(image_kinds(other, options) or ("archive", "array", "dataset")))


def to_array(values: Any, name: str) -> Array:
    """Values as a NumPy array, on the CPU and without gradients.

    Raises:
        ValueError: rows of different shapes, or masked cells.

    >>> to_array(torch.ones(2, requires_grad=True), "x")
    array([1., 1.], dtype=float32)
    """
    if isinstance(values, torch.Tensor):
        tensor = values.detach().cpu().to_dense()
        return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    refuse_masked(values, name)
    try:
        array = np.asarray(values)
    except ValueError as error:  # NumPy says at which axis the lengths differ
        raise ValueError(f"{name}: rows must have one shape ({error})") from error
    if array.dtype.kind == "U" and isinstance(values, list | tuple) and any(map(is_absent, values)):
        return np.array(values, object)  # NumPy makes None and NaN beside text words
    return array


def named_contents(
    arrays: Mapping[str, Array],
    name: str,
    origin: str,
    options: ReadOptions = AS_FOUND,
    pickled: Iterable[str] = (),
) -> Contents:
    """What a collection of arrays holds, by their names.

    Args:
        arrays: ``train, valid, test``; or ``x_train, y_train, x_test …``; or ``x, y``; in all
            cases with ``attributes`` and ``factors`` beside them, and ``attribute_names``,
            ``factor_names``, ``feature_names`` (of the entries of x), ``names_COLUMN`` (of one of
            these: what 0 … K−1 in it stand for) and ``target_names`` (of the classes); or a single
            array of any name. Other common names do as well (``NAMES``).
        name: of the data.
        origin: how messages call the collection.
        options: x and y, where they have names of their own.
        pickled: names of further arrays, which cannot be read; noted, unless x or what belongs to
            it is among them.

    Raises:
        ValueError: no array can be told to be the training examples.

    >>> contents = named_contents({"x_train": np.zeros((2, 3)), "about": np.zeros(1)}, "a", "a.npz")
    >>> list(contents.splits), contents.notes
    (['train'], ('Arrays not used: about.',))
    """
    names = [*arrays, *pickled]
    if not names:
        raise ValueError(f"{origin}: holds no arrays")
    found = _by_split(names, origin, options)
    used = [key for keys in found.values() for key in keys.values()]
    unread = [key for key in pickled if key in used or not arrays]
    if unread:
        raise ValueError(
            f"{origin}: holds Python objects (pickled), which are not read for safety: "
            f"{listed(unread)}; save numbers, or text with .astype(str), or drop it (--drop)"
        )
    splits = {}
    for split, keys in found.items():
        named: dict[str, Any] = {what: arrays[key] for what, key in keys.items()}
        splits[split] = SplitArrays(**named)
    attribute_names, factor_names, feature_names, target_names = (
        None if key not in arrays else _words(arrays[key]) for key in NAMES_OF
    )
    contents = Contents(splits, name, origin)
    contents = _with_names(_with_columns(contents, feature_names), arrays, options.kind or {})
    contents = _with_classes(contents, target_names)
    used += [*NAMES_OF, *(NAMES_IN + column for column in contents.names)]
    notes = [
        f"{what}: {listed(keys)}."
        for what, keys in (
            ("Arrays not used", [key for key in arrays if key not in used]),
            ("Not read, as they hold Python objects (pickled)", list(pickled)),
        )
        if keys
    ]
    contents = replace(contents, attribute_names=attribute_names, factor_names=factor_names)
    return contents.noted(*notes)


def _words(array: Array) -> tuple[str, ...]:
    return tuple(map(str, array.ravel().tolist()))


def _by_split(names: list[str], origin: str, options: ReadOptions) -> dict[str, dict[str, str]]:
    """Of every split that is there: the name of its x, and of what goes with it."""
    asked = {"x": options.x, "labels": options.y}
    found = {
        split: {
            what: key
            for what in NAMES
            if (key := _first(names, _keys(split, what, asked.get(what)))) is not None
        }
        for split in SPLIT_NAMES
    }
    for argument, what in (("x", "x"), ("y", "labels")):
        if asked[what] is not None and not any(what in keys for keys in found.values()):
            raise ValueError(f"{argument}: no array {asked[what]!r} among {sorted(names)}")
    if len(names) == 1 and options.x is None:
        return {"train": {"x": names[0]}}
    found = {split: keys for split, keys in found.items() if "x" in keys}
    if "train" not in found:
        raise ValueError(
            f"{origin}: no training examples among {sorted(names)}; expected arrays named "
            "train/valid/test, or x_train, y_train, x_test …, or x and y, or a single array; say "
            "which they are with x and y (--x, --y)"
        )
    return found


def _keys(split: str, what: str, asked: str | None) -> list[str]:
    """The names under which one array of a split is looked for, the surest first."""
    if asked is None:
        return _keys_of(split, what, NAMES[what])
    if asked.lower() in _keys_of("train", what, NAMES[what]):
        return ([asked] if split == "train" else []) + _keys_of(split, what, NAMES[what])
    return _keys_of(split, what, (asked,))


def _keys_of(split: str, what: str, words: Iterable[str]) -> list[str]:
    keys = list(words) if split == "train" else []
    for name in SPLIT_NAMES[split]:
        keys += [name] if what == "x" else []
        for word in words:
            keys += [f"{word}_{name}", f"{name}_{word}", word + name, name + word]
    return keys


def _first(names: Iterable[str], keys: Iterable[str]) -> str | None:
    """The first key that is a name, in any case where not as it is written."""
    known = {name.lower(): name for name in reversed(list(names))}
    known |= {name: name for name in names}
    return next((known[k] for key in keys for k in (key, key.lower()) if k in known), None)


def _with_columns(contents: Contents, names: tuple[str, ...] | None) -> Contents:
    """Vectors of which every entry has a name are a table."""
    widths = {arrays.x.shape[1:] for arrays in contents.splits.values()}
    if names is None or widths != {(len(names),)}:
        return contents
    refuse_repeated(names, contents.origin)
    for split, arrays in contents.splits.items():
        require_numbers(arrays.x, contents.at(split))
    return replace(contents, columns=names, form="table")


def _with_names(contents: Contents, arrays: Mapping[str, Array], kinds: Kinds) -> Contents:
    """A table with the names that columns of indices, and of nothing else, have beside them."""
    columns, names = contents.columns or (), {}
    if columns:
        check_kinds(kinds, columns)
    for index, column in enumerate(columns):
        words = _words(arrays.get(NAMES_IN + column, np.empty(0)))
        parts = [split.x[:, index] for split in contents.splits.values()]
        _refuse_unreadable(words, f"{contents.origin}: {NAMES_IN}{column}")
        if words and all(np.isin(x[x == x], range(len(words))).all() for x in parts):
            names[column] = words
        elif kinds.get(column) == "category":
            raise ValueError(
                f"kind: {column!r} is no category in {contents.origin}; give its cells as numbers "
                f"0 … K−1, and what they stand for as an array {NAMES_IN}{column}"
            )
    return replace(contents, names=names)


def _refuse_unreadable(words: Sequence[str], where: str) -> None:
    """ValueError where a text table could not tell two names apart, or one from a missing cell."""
    cells = Counter(unquoted(word.strip()) for word in words)
    odd = next((cell for cell, count in cells.items() if count > 1 or is_missing(cell)), None)
    if odd is not None:
        what = "says that a cell is missing" if is_missing(odd) else "repeats"
        raise ValueError(
            f"{where}: expected a name of its own for each of 0 … {len(words) - 1}, but {odd!r} "
            f"{what}; give it another name"
        )


def _with_classes(contents: Contents, names: tuple[str, ...] | None) -> Contents:
    """Labels by the names of their classes, where they are the numbers of these."""
    splits = dict(contents.splits)
    for split, arrays in splits.items():
        labels = arrays.labels
        if names is None or labels is None:
            continue
        if labels.dtype.kind in "ui" and labels.min() >= 0 and labels.max() < len(names):
            splits[split] = replace(arrays, labels=np.array(names)[labels])
    return replace(contents, splits=splits)


def _alone(arrays: SplitArrays, name: str, options: ReadOptions, kind: str = "array") -> Contents:
    options.refuse(f"data in memory without columns ({name})", "array", kind)
    return Contents({"train": arrays}, name, name, borrowed=True)


def _are_pairs(source: tuple[Any, Any]) -> bool:
    """Whether these are (x, labels) of training and of test, not rows and their labels."""
    pairs = all(isinstance(one, tuple) and len(one) == 2 for one in source)
    return pairs and np.ndim(source[1][0]) > 0


def _from_mapping(source: Mapping[Any, Any], options: ReadOptions) -> Contents:
    kept = {str(key): value for key, value in source.items() if key not in options.drop}
    parts = {split_named(key): value for key, value in kept.items()}
    of_splits = "train" in parts and None not in parts and len(parts) == len(kept)
    if of_splits and not all(isinstance(one, np.ndarray | torch.Tensor) for one in kept.values()):
        return _of_splits(parts, "dictionary", options)
    kinds = image_kinds(source)
    options.refuse("data in memory without columns (dictionary)", "archive", "features", *kinds)
    absent = [name for name in options.drop if name not in source]
    if absent:
        raise ValueError(f"drop: no array {absent[0]!r} among {sorted(map(str, source))}")
    images = _decode_in(kept, options) if kinds else None
    arrays = {key: to_array(value, key) for key, value in kept.items()}
    notes = []
    if "target" in arrays and arrays["target"].dtype.kind == "f":  # of scikit-learn's regressions
        del arrays["target"]
        notes = ["No labels: 'target' is a quantity."]
    contents = named_contents(arrays, "arrays", "dictionary", options).noted(*notes)
    if contents.columns is None:
        options.refuse("a dictionary without feature_names", "archive", *kinds)
    if images is not None:
        contents = replace(contents, form=images.form, found=images.found).noted(*images.notes)
    return replace(contents, borrowed=True)


def _decode_in(arrays: dict[str, Any], options: ReadOptions) -> Contents | None:
    """Put pixels in the place of all lists of images that are the x of a split, read as one."""
    names = [keys["x"] for keys in _by_split(list(arrays), "dictionary", options).values()]
    lists = {name: [x] if is_picture(x := arrays[name]) else x for name in names}
    found = {
        n: x for n, x in lists.items() if isinstance(x, list | tuple) and any(map(is_picture, x))
    }
    if not found:
        return None
    images = _stacked(list(chain(*found.values())), "dictionary", options.without("pictures"))
    ends = np.cumsum([len(x) for x in found.values()])
    pixels = np.split(images.splits["train"].x, ends[:-1])
    arrays |= dict(zip(found, pixels, strict=True))
    return images


def _of_splits(parts: Mapping[Any, Any], origin: str, options: ReadOptions) -> Contents:
    """Splits that are anything that can be read, each by itself."""
    first = read_memory(parts["train"], options)
    found = {
        split: first if split == "train" else read_memory(part, options_like(first, part, options))
        for split, part in parts.items()
    }
    for split, contents in found.items():
        if len(contents.splits) > 1:
            raise ValueError(f"{origin}: {split} is in several splits itself; expected one")
        if (contents.columns is None) != (first.columns is None):
            raise ValueError(f"{origin}: {split} has other columns than train; give it the same")
    names = _names_of(first, found.values(), options.rare is not None)
    splits = {
        split: ordered_as(first, contents, "train", f"{origin}: {split}")
        for split, contents in found.items()
    }
    if first.columns is not None:
        for split, contents in found.items():
            theirs = replace(contents, columns=first.columns, origin=f"{origin}: {split}")
            x, _ = renamed(splits[split].x, theirs, names)
            splits[split] = replace(splits[split], x=x)
    notes = tuple(dict.fromkeys(note for contents in found.values() for note in contents.notes))
    whole = replace(first, splits=splits, names=names, notes=notes)
    return replace(whole, name="arrays", origin=origin, borrowed=True)


def _names_of(
    first: Contents, splits: Iterable[Contents], rare: bool
) -> dict[str, tuple[str, ...]]:
    """Names by column of text: those in training; those of all splits, if rare ones become one."""
    names = {name: {*known} for name, known in first.names.items()}
    for contents in splits if rare else ():
        for name in names:
            names[name] |= {*contents.names.get(name, ())}
    return {name: tuple(sorted(known)) for name, known in names.items()}


def _stacked(dataset: Any, origin: str, options: ReadOptions) -> Contents:
    """Every item of a dataset, as one array of x and one of labels."""
    rows: list[Any] = []
    labels: list[Any] = []
    unused: dict[str, None] = {}
    for index in range(len(dataset)):
        x, label, rest = _item(dataset[index], f"item {index}", options)
        if rows and is_picture(x) != is_picture(rows[0]):
            raise ValueError(f"item {index}: expected an image as item 0 is, or arrays only")
        rows.append(x if is_picture(x) else to_array(x, f"item {index}"))
        labels += [] if label is None else [label]
        unused |= dict.fromkeys(rest)
        if labels and len(labels) != len(rows):
            raise ValueError(f"item {index}: labels for some items only; give all or none a label")
    if not rows:
        raise ValueError("dataset: is empty; expected at least 1 item")
    if is_picture(rows[0]):
        options.refuse("images in memory", "pictures", "dataset", "array")
        contents = replace(read_pictures(rows, options), name=origin, origin=origin)
    else:
        contents = _alone(SplitArrays(_of_one_shape(rows)), origin, options, "dataset")
    if labels:
        contents = with_labels(contents, to_array(labels, "labels"))
    return contents.noted(*[f"Not used of the items: {listed(list(unused))}."] * bool(unused))


def _of_one_shape(rows: list[Array]) -> Array:
    for index, row in enumerate(rows):
        if row.shape != rows[0].shape:
            raise ValueError(
                f"item {index}: expected shape {rows[0].shape}, that of item 0, got {row.shape}; "
                "give every item one shape"
            )
    return np.stack(rows)


def _item(item: Any, name: str, options: ReadOptions) -> tuple[Any, Any, list[str]]:
    """x, label (or None) and what else an item has; a pair of numbers is a vector."""
    if isinstance(item, Mapping):
        keys = _by_split(list(map(str, item)), name, options)["train"]
        x, label = item[keys["x"]], item.get(keys.get("labels"))
        rest = [str(key) for key in item if key not in (keys["x"], keys.get("labels"))]
    elif options.x is not None or options.y is not None:
        name = "y" if options.x is None else "x"
        raise ValueError(f"{name}: names a part of items that are dictionaries, and these are not")
    elif isinstance(item, tuple) and len(item) >= 2 and np.ndim(item[0]) > 0:
        x, label = item[:2]
        rest = [f"part {number}" for number in range(2, len(item))]
    else:
        return item, None, []
    return x, label.tolist() if isinstance(label, torch.Tensor | np.ndarray) else label, rest
