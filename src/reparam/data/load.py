"""load_data: one door for every source."""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from reparam.data.arrays import read_memory, with_labels
from reparam.data.assemble import assemble
from reparam.data.delimited import read_delimited
from reparam.data.files import read_npy, read_npz
from reparam.data.folder import read_folder
from reparam.data.kinds import Choices
from reparam.data.merge import with_test
from reparam.data.named_sets import REGISTRY
from reparam.data.pictures import SUFFIXES, Fit
from reparam.data.raw import Raw
from reparam.data.splits import Data
from reparam.data.tables import read_parquet
from reparam.model import DataKind

FORMATS = "a folder of images, .npz, .npy, .csv, .tsv or .parquet"


@dataclass(frozen=True)
class Reading:
    """The arguments of ``load_data`` that only some readers take.

    >>> Reading(label="y").refuse("an image folder", "size", "fit_size")
    Traceback (most recent call last):
    ValueError: label: does not apply to an image folder
    """

    label: str | None = None
    drop: tuple[str, ...] = ()
    size: int | tuple[int, int] | None = None
    fit_size: Fit = "crop"

    def refuse(self, what: str, *taken: str) -> None:
        """Refuse arguments that this kind of source ignores."""
        for field in fields(self):
            if field.name not in taken and getattr(self, field.name) != field.default:
                raise ValueError(f"{field.name}: does not apply to {what}")


def load_data(
    source: Any,
    *,
    test: Any = None,
    label: Any = None,
    drop: str | Collection[str] = (),
    kind: DataKind | None = None,
    levels: int | None = None,
    binarize: float | Literal["static"] | None = None,
    size: int | tuple[int, int] | None = None,
    fit_size: Fit = "crop",
    seed: int = 0,
) -> Data:
    """Load examples from anywhere, check them, and split them into train, valid and test.

    What the source does not say is decided by simple rules, and every decision is in the notes of
    the result. uint8 arrays and image files are levels 256 (binary where only two values occur);
    tables and floats are real; anything of only 0 and 1 is binary. Missing splits are carved from
    the training rows: 10 % valid, 20 % test. Rows in messages count from 0, lines of text from 1.

    Args:
        source: a name (see ``sources``); the path of a folder of images, or of an .npz, .npy,
            .csv, .tsv or .parquet file; an array, tensor, DataFrame or map-style torch Dataset;
            a pair (x, labels); a dictionary of arrays with the names that an .npz may have.
        test: the test split, as anything that source may be, where source has none.
        label: name of the label column of a table; or the labels themselves, of an array.
        drop: names of columns of a table, or of arrays of an .npz, to leave out.
        kind: ``"binary"``, ``"levels"`` or ``"real"``, instead of the rules.
        levels: K, for integers 0 … K−1.
        binarize: make the data binary: a threshold (of x/(K−1) for levels, of x itself for real
            data), or ``"static"``: one fixed Bernoulli draw of x/(K−1).
        size: height and width for a folder of images of different sizes (one number: both).
        fit_size: how an image of other proportions is made to fit: ``"crop"`` or ``"pad"``.
        seed: of carved splits and of the static draw.

    Raises:
        ValueError: what is wrong with the arguments or the data, where, and the remedy.
        DataUnavailable: a named set that cannot be had (a ValueError too).

    >>> data = load_data("digits")
    >>> data.space
    Space(shape=(1, 8, 8), kind='levels', levels=17, classes=10, attributes=None)
    >>> [len(split) for split in (data.train, data.valid, data.test)]
    [1258, 180, 359]
    """
    choices = Choices(kind, levels, binarize, seed)
    columns = str(label) if isinstance(label, str | int) else None
    drop = (drop,) if isinstance(drop, str) else tuple(drop)
    reading = Reading(columns, drop, size, fit_size)
    raw = _read(source, reading)
    if label is not None and columns is None:
        raw = with_labels(raw, label)
    if test is not None:
        raw = with_test(raw, _read(test, reading))
    return assemble(raw, choices, _recipe(source, test, label, reading, choices))


def _read(source: Any, reading: Reading) -> Raw:
    if isinstance(source, str) and source in REGISTRY:
        reading.refuse(f"the named set {source!r}")
        return REGISTRY[source].read()
    if isinstance(source, str | os.PathLike):
        raw = _read_path(Path(source).expanduser(), reading)
    else:
        raw = read_memory(source, reading.label, reading.drop)
        named = isinstance(source, Mapping)
        taken = ("label", "drop") if raw.form == "table" else ("drop",) if named else ()
        reading.refuse(f"data in memory without columns ({raw.origin})", *taken)
    if reading.drop:
        raw = replace(raw, notes=(*raw.notes, f"Left out as asked: {', '.join(reading.drop)}."))
    return raw


def _read_path(path: Path, reading: Reading) -> Raw:
    suffix = path.suffix.lower()
    if not path.exists():
        raise ValueError(_missing(path))
    if path.is_dir():
        reading.refuse("a folder of images", "size", "fit_size")
        return read_folder(path, reading.size, reading.fit_size)
    if suffix in (".npz", ".npy"):
        if suffix == ".npy":
            reading.refuse(f"{suffix} files")
            return read_npy(path)
        reading.refuse(f"{suffix} files", "drop")
        return read_npz(path, reading.drop)
    if suffix in (".csv", ".tsv", ".parquet"):
        reading.refuse(f"{suffix} files", "label", "drop")
        read = read_parquet if suffix == ".parquet" else read_delimited
        return read(path, reading.label, reading.drop)
    if suffix in SUFFIXES:
        raise ValueError(f"{path}: is a single image; give the folder it is in")
    raise ValueError(f"{path}: expected {FORMATS}, got a file ending in {suffix or 'nothing'!r}")


def _missing(path: Path) -> str:
    """What a path that does not exist may have meant: a named set or a file beside it."""
    text = str(path)
    near = difflib.get_close_matches(text, REGISTRY, 1)
    if not near and path.parent.is_dir():
        beside = {other.name: str(other) for other in path.parent.iterdir()}
        near = [beside[name] for name in difflib.get_close_matches(path.name, beside, 1)]
    meant = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(REGISTRY)}, "
    return f"source: {text!r} is neither a named set nor a file; {meant}" + (
        "" if near else f"or the path of {FORMATS}"
    )


def _recipe(
    source: Any, test: Any, label: Any, reading: Reading, choices: Choices
) -> dict[str, Any] | None:
    """Arguments that load the same data in another process; None, if something is in memory."""
    places = {"source": source} if test is None else {"source": source, "test": test}
    if not all(isinstance(place, str | os.PathLike) for place in places.values()):
        return None
    if label is not None and reading.label is None:
        return None
    recipe: dict[str, Any] = {
        name: place if place in REGISTRY else str(Path(place).expanduser().resolve())
        for name, place in places.items()
    }
    for part in (reading, choices):
        for field in fields(part):
            value = getattr(part, field.name)
            if value != field.default:
                recipe[field.name] = list(value) if isinstance(value, tuple) else value
    return recipe
