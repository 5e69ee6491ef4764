"""Examples for a model that is trained, read as the data of its run were."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from reparam.data.beside_x import in_order, with_checked_numbers, with_class_indices
from reparam.data.chosen import Chosen, chosen_classes
from reparam.data.contents import Array, Contents, ReadOptions, SplitArrays, with_axes
from reparam.data.data_record import DataRecord, span
from reparam.data.images.image_folders import read_image
from reparam.data.images.image_lists import image_kinds
from reparam.data.images.image_reading import Reading
from reparam.data.images.image_trees import is_image
from reparam.data.images.image_units import in_units, with_channels
from reparam.data.loading import read, to_split
from reparam.data.numpy_files import array_names
from reparam.data.splits import Data, Split
from reparam.data.tables.column_kinds import kinds_of_names, of_columns
from reparam.data.tables.one_hot import with_flags
from reparam.data.tables.pixel_tables import with_shape
from reparam.data.tables.table_columns import has_columns, order_notes, written_alike
from reparam.data.tables.text_layout import Layout, text_layout
from reparam.data.values import OneKind, ValueOptions, refuse_first, store_values
from reparam.space import Space
from reparam.wording import listed

IMPUTE = "impute it, drop the row, or use a model that takes missing entries, as mae"


def load_rows(
    source: Any,
    trained_on: Data | DataRecord,
    *,
    label: str | None = None,
    attributes: bool = True,
    missing: bool = False,
) -> Split:
    """Examples from anywhere, of the same space as other data and with its class indices.

    They are read as those data were: the same columns, the same size of images, the same
    binarization. There may be any number of them, one is enough. Where the source has splits, it
    is the test split.

    Args:
        source: as in ``load_data``, or a single image file. Images in files get size, channels and
            range of values of the data, which the notes of the result say.
        trained_on: the data that the model was trained on, or what its run remembers of them.
        label: name of the label column of a table; None: no labels from a table.
        attributes: whether the columns that were attributes in training have to be there.
        missing: whether entries of numbers and images may be NaN, for models that take such x; of
            mixed data they always may.

    Raises:
        ValueError: examples of another space, classes that were not in training, or what
            ``load_data`` refuses.

    >>> import reparam as rp
    >>> digits = rp.load_data("digits")
    >>> load_rows(digits.test.x[:2], digits).x.equal(digits.test.x[:2])
    True
    """
    return _rows(source, trained_on, label, attributes, foreign=False, missing=missing)[0]


def load_foreign_rows(
    source: Any, trained_on: Data | DataRecord, *, label: str | None = None, attributes: bool = True
) -> tuple[Split, tuple[str, ...]]:
    """``load_rows`` of examples whose classes need not have been in training, and all classes.

    The classes in training come first, with their indices, and those that are new behind them; no
    row is left out because training left out its class. No condition of a model is made of labels
    that are new.

    Args:
        source, trained_on, label, attributes: as of ``load_rows``.

    >>> import reparam as rp
    >>> few = rp.load_data("digits", without="8")
    >>> split, classes = load_foreign_rows("digits", few)
    >>> classes[-2:], (split.labels == 9).sum().item()
    (('9', '8'), 41)
    """
    return _rows(source, trained_on, label, attributes, foreign=True)


def _rows(
    source: Any,
    trained_on: Data | DataRecord,
    label: str | None,
    attributes: bool,
    foreign: bool,
    missing: bool = False,
) -> tuple[Split, tuple[str, ...]]:
    recipe = trained_on.source or {}
    options = _options(source, trained_on, label, attributes)
    contents = _read_alike(source, trained_on.space, options, recipe)
    if recipe.get("one_hot"):
        contents, _ = with_flags(contents, recipe["one_hot"], {}, "rare" in recipe)
    contents = _ordered(contents, options)
    used = contents.splits["test" if "test" in contents.splits else "train"]
    if trained_on.space.is_image and used.x.shape[1:] == (trained_on.space.dimension,):
        contents = with_shape(contents, tuple(recipe.get("shape", trained_on.space.shape)))
        used = contents.splits["test" if "test" in contents.splits else "train"]
    contents = with_axes(replace(contents, splits={"examples": used}))
    contents = with_channels(contents, trained_on.space)
    if recipe.get("binarize") is None:
        contents = in_units(contents, trained_on.space, _span(trained_on))
    notes = contents.notes
    contents = replace(contents, scaled=trained_on.scaled)
    if missing and trained_on.space.columns is None:
        contents = _of_space_with_holes(contents, trained_on.space, recipe)
    else:
        if trained_on.space.columns is None:
            refuse_first(contents, "examples", _absent(contents.splits["examples"].x), IMPUTE)
        contents = _of_space(contents, trained_on.space, recipe)
    notes = contents.notes if trained_on.space.columns else notes
    classes = trained_on.class_names
    if foreign:
        contents, classes = _all_labels(contents, classes or ())
        more: list[str] = []
    else:
        contents, more = _known_labels(contents, classes, recipe)
    contents = _known_attributes(contents, trained_on)
    contents, other = _known_factors(contents, trained_on.factor_names)
    split = to_split(contents.splits["examples"], contents.borrowed)
    return replace(split, notes=(*notes, *more, *other)), classes or ()


def layout_alike(path: Path, trained_on: Data | DataRecord, label: str | None = None) -> Layout:
    """How a text table is written, whose rows ``load_rows`` reads.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "two.csv")
    >>> _ = path.write_text("a;b" + chr(10) + "1,5;2" + chr(10) + "3;4" + chr(10) + "5;6")
    >>> from reparam.data.loading import load_data
    >>> layout_alike(path, load_data(path)).decimal
    ','
    """
    options = _options(path, trained_on, label, attributes=False)
    return text_layout(path, written_alike(path, options, trained_on.source or {}))


def _options(
    source: Any, trained_on: Data | DataRecord, label: str | None, attributes: bool
) -> ReadOptions:
    """Of a table the same columns; arrays and archives bring their attributes by themselves."""
    table = trained_on.columns is not None and has_columns(source)
    written = kinds_of_names(trained_on.space.columns or ())
    one_hot = (trained_on.source or {}).get("one_hot", False) if table else False
    return ReadOptions(
        label,
        attributes=trained_on.attribute_names or () if table and attributes else (),
        columns=trained_on.columns,
        kind=written if table else None,
        one_hot=one_hot,
        one_kind=trained_on.space.columns is None and not one_hot,
        classes=trained_on.class_names or (),
    )


def _read_alike(
    source: Any, space: Space, options: ReadOptions, recipe: Mapping[str, Any]
) -> Contents:
    """What the source holds; images in files are read as those in training were."""
    path = Path(source).expanduser() if isinstance(source, str | os.PathLike) else None
    options = written_alike(source, options, recipe)
    if path is not None and path.suffix.lower() == ".npz" and recipe.get("x") in array_names(path):
        options = replace(options, x=recipe["x"], y=recipe.get("y"))
    kinds = image_kinds(source)
    if not kinds:
        return read(source, options)
    known = [each.name for each in fields(Reading) if each.name in recipe]
    alike = Reading(**{name: recipe[name] for name in known}).without(*kinds)
    options = replace(options, **vars(alike))
    if space.is_image:
        channels = space.shape[0] if space.shape[0] in (1, 3) else None
        options = replace(options, size=(space.shape[1], space.shape[2]), channels=channels)
    if path is not None and is_image(path):
        return read_image(path, options)
    return read(source, options)


def _ordered(contents: Contents, options: ReadOptions) -> Contents:
    """x with its columns in the order of those in training, where both have names."""
    names, ours, origin = contents.columns, options.columns, contents.origin
    if names is None or ours is None:
        return contents
    notes = order_notes(names, options)
    found = contents.with_x(lambda x: in_order("x", x, names, ours, origin))
    return replace(found, columns=ours).noted(*notes)


def _span(data: Data | DataRecord) -> tuple[float, float]:
    return span(data) if isinstance(data, Data) else (data.low, data.high)


def _of_space(contents: Contents, space: Space, recipe: dict[str, Any]) -> Contents:
    arrays = contents.splits["examples"]
    if space.columns:
        return of_columns(contents, space.columns, "rare" in recipe)
    if arrays.x.shape[1:] != space.shape:
        raise ValueError(
            f"{contents.origin}: expected examples of shape {space.shape}, got {arrays.x.shape[1:]}"
        )
    how, kind = recipe.get("binarize"), cast(OneKind, space.kind)
    # Binary rows, such as samples, are binarized already.
    if how is None or np.isin(arrays.x, (0, 1)).all():
        options = ValueOptions(kind, space.levels)
    elif contents.form == "images":  # in files they have 256 levels, whatever the data had
        options = ValueOptions("levels", 256, how, recipe.get("seed", 0))
    else:
        options = ValueOptions(recipe.get("kind"), recipe.get("levels"), how, recipe.get("seed", 0))
    return store_values(contents, options, vary=False)[0]


def _of_space_with_holes(contents: Contents, space: Space, recipe: dict[str, Any]) -> Contents:
    """``_of_space`` of what is there: a value that occurs stands where one is missing meanwhile."""
    x = contents.splits["examples"].x
    absent = _absent(x)
    if not absent.any() or absent.all():
        return _of_space(contents, space, recipe)
    filled = contents.with_x(lambda x: np.where(absent, x[~absent][0], x))
    found = _of_space(filled, space, recipe)
    return found.with_x(lambda x: np.where(absent, np.array(np.nan, _float_of(x)), x))


def _absent(x: Array) -> Array:
    return np.isnan(x) if x.dtype.kind == "f" else np.zeros(x.shape, bool)


def _float_of(x: Array) -> np.dtype[Any]:
    return x.dtype if x.dtype.kind == "f" else np.dtype(np.float32)


def _known_labels(
    contents: Contents, classes: tuple[str, ...] | None, recipe: Mapping[str, Any]
) -> tuple[Contents, list[str]]:
    """Labels as indices of the classes in training; none, where either has no classes.

    Rows of classes that were left out in training are left out again, which notes say.
    """
    found, names = with_class_indices(contents)
    arrays = found.splits["examples"]
    if names is None or classes is None:
        return _with_examples(contents, replace(contents.splits["examples"], labels=None)), []
    only, without = ({*recipe.get(argument, ())} for argument in ("only", "without"))
    left = [name for name in names if name in without or (only and name not in only)]
    unknown = [name for name in names if name not in classes and name not in left]
    if unknown:
        known = ", ".join(classes[:10])
        raise ValueError(f"{contents.origin}: class {unknown[0]!r} is none of the classes {known}")
    notes = []
    if left == list(names):
        raise ValueError(
            f"{contents.origin}: all rows are of classes that training left out ({listed(left)})"
        )
    if left:
        rows = len(arrays.x)
        found, names = chosen_classes(found, names, Chosen(without=tuple(left)))
        arrays = found.splits["examples"]
        notes.append(
            f"Left out: {rows - len(arrays.x)} of {rows} rows, of classes that training left out: "
            f"{listed(left)}."
        )
    assert names is not None and arrays.labels is not None
    indices = np.array([classes.index(name) for name in names], np.int64)
    return _with_examples(contents, replace(arrays, labels=indices[arrays.labels])), notes


def _all_labels(contents: Contents, known: tuple[str, ...]) -> tuple[Contents, tuple[str, ...]]:
    """Labels as indices of the classes in training, new ones behind them, and all their names."""
    found, names = with_class_indices(contents)
    arrays = found.splits["examples"]
    if names is None or arrays.labels is None:
        return found, known
    classes = (*known, *(name for name in names if name not in known))
    indices = np.array([classes.index(name) for name in names], np.int64)
    return _with_examples(found, replace(arrays, labels=indices[arrays.labels])), classes


def _with_examples(contents: Contents, arrays: SplitArrays) -> Contents:
    return replace(contents, splits={"examples": arrays})


def _known_attributes(contents: Contents, trained_on: Data | DataRecord) -> Contents:
    """Checked attributes, in the order of those in training."""
    contents, found = with_checked_numbers(contents, "attributes")
    if found is None:
        return contents
    if len(found) != trained_on.space.attributes:
        expected = trained_on.space.attributes or "none"
        raise ValueError(f"{contents.origin}: expected {expected} attributes, got {len(found)}")
    arrays, names = contents.splits["examples"], contents.attribute_names
    assert arrays.attributes is not None
    expected_names = trained_on.attribute_names
    ordered = in_order("attributes", arrays.attributes, names, expected_names, contents.origin)
    return _with_examples(contents, replace(arrays, attributes=ordered))


def _known_factors(
    contents: Contents, known: tuple[str, ...] | None
) -> tuple[Contents, tuple[str, ...]]:
    """Checked factors in the order of those in training, and a note where they are others.

    Others are left out: no model sees them, and they would be written under wrong names.
    """
    contents, names = with_checked_numbers(contents, "factors")
    if names is None or known is None:
        return contents, ()
    arrays = contents.splits["examples"]
    if contents.factor_names is None and len(names) == len(known):
        return contents, ()
    if {*names} == {*known}:
        assert arrays.factors is not None
        ordered = arrays.factors[:, [names.index(name) for name in known]]
        return _with_examples(contents, replace(arrays, factors=ordered)), ()
    note = f"Factors left out: {listed(names)}, where training had {listed(known)}."
    return _with_examples(contents, replace(arrays, factors=None)), (note,)
