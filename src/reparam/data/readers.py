"""From a source of any kind to what it holds: the choice of its reader."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from reparam.data.arrays import read_memory
from reparam.data.delimited import read_delimited
from reparam.data.files import read_npy, read_npz
from reparam.data.folder import read_folder
from reparam.data.named_sets import REGISTRY
from reparam.data.pictures import SUFFIXES, Fit
from reparam.data.raw import Raw
from reparam.data.tables import read_parquet

OF_TABLES = ("label", "drop", "attributes")  # the arguments that name columns
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
    attributes: tuple[str, ...] = ()
    size: int | tuple[int, int] | None = None
    fit_size: Fit = "crop"

    def refuse(self, what: str, *taken: str) -> None:
        """Refuse arguments that this kind of source ignores."""
        for field in fields(self):
            if field.name not in taken and getattr(self, field.name) != field.default:
                raise ValueError(f"{field.name}: does not apply to {what}")


def read(source: Any, reading: Reading, only: tuple[str, ...] | None = None) -> Raw:
    """What a source of any kind holds.

    Args:
        source: as in ``load_data``.
        reading: arguments for some readers, refused by the others.
        only: of a table, the columns to take, in this order.

    Raises:
        ValueError: see ``load_data``.

    >>> read("digits", Reading()).levels
    17
    """
    if isinstance(source, str) and source in REGISTRY:
        reading.refuse(f"the named set {source!r}")
        return REGISTRY[source].read()
    if isinstance(source, str | os.PathLike) and source != "":
        raw = _read_path(Path(source).expanduser(), reading, only)
    else:
        raw = read_memory(source, reading.label, reading.drop, only, reading.attributes)
        named = isinstance(source, Mapping)
        taken = OF_TABLES if raw.form == "table" else ("drop",) if named else ()
        reading.refuse(f"data in memory without columns ({raw.origin})", *taken)
    if reading.drop:
        raw = replace(raw, notes=(*raw.notes, f"Left out as asked: {', '.join(reading.drop)}."))
    return raw


def _read_path(path: Path, reading: Reading, only: tuple[str, ...] | None) -> Raw:
    suffix = path.suffix.lower()
    if not path.exists():
        raise ValueError(_missing(path))
    if path.is_dir():
        reading.refuse("a folder of images", "size", "fit_size")
        return read_folder(path, reading.size, reading.fit_size)
    if not path.is_file():
        raise ValueError(f"{path}: is neither a file nor a folder; save its content to a file")
    if suffix in (".npz", ".npy"):
        if suffix == ".npy":
            reading.refuse(f"{suffix} files")
            return read_npy(path)
        reading.refuse(f"{suffix} files", "drop")
        return read_npz(path, reading.drop)
    if suffix in (".csv", ".tsv", ".parquet"):
        reading.refuse(f"{suffix} files", *OF_TABLES)
        read_table = read_parquet if suffix == ".parquet" else read_delimited
        return read_table(path, reading.label, reading.drop, only, reading.attributes)
    if suffix in SUFFIXES:
        raise ValueError(f"{path}: is a single image; give the folder it is in")
    raise ValueError(f"{path}: expected {FORMATS}, got a file ending in {suffix or 'nothing'!r}")


def _missing(path: Path) -> str:
    """What a path that does not exist may have meant: a named set or a file beside it."""
    text = str(path)
    if path.is_symlink():
        return f"source: {text!r} is a link to {os.readlink(path)!r}, which does not exist"
    near = difflib.get_close_matches(text, REGISTRY, 1)
    if not near and path.parent.is_dir():
        beside = {other.name: str(other) for other in path.parent.iterdir()}
        near = [beside[name] for name in difflib.get_close_matches(path.name, beside, 1)]
    meant = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(REGISTRY)}, "
    return f"source: {text!r} is neither a named set nor a file; {meant}" + (
        "" if near else f"or the path of {FORMATS}"
    )
