"""What commands make, written as one asks: a picture, arrays, a table, or a folder of images."""

from __future__ import annotations

import csv
import math
import os
import re
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from reparam.atomic import check_place, write_atomically
from reparam.checkpoint import RUN_FILE
from reparam.cli.folders import Place, refuse_places, refuse_sources, write_folder
from reparam.cli.tables import show_notes
from reparam.data.contents import Array
from reparam.data.tables.cells import quoted
from reparam.data.tables.column_text import as_written
from reparam.report.pictures import Brightness, Picture, grid
from reparam.terminal import printable
from reparam.train.folder import FILES
from reparam.wording import EMPTY_PATH

if TYPE_CHECKING:
    from reparam.data import DataRecord, Split

SUFFIXES = (".png", ".npz", ".csv")
EITHER = ".png|csv"  # a picture of images, a table of other data
MOST_TILES = 10_000  # in one picture, which are 7000 x 7000 pixels of small ones and 0.4 GB at work
# Of names: what controls terminals, and what stands for bytes that are not UTF-8.
UNWRITTEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class Target:
    """Where a command writes; what cannot be written is refused before any work is done.

    Args:
        name: as messages call it.
        path: a file, whose suffix says what it becomes, or a folder of images.
        force: whether files that exist may be overwritten.
        folder: whether it is a folder.
    """

    name: str
    path: Path
    force: bool
    folder: bool

    @classmethod
    def of(
        cls,
        out: str,
        force: bool,
        record: DataRecord,
        *given: str | Path | None,
        images: bool = True,
    ) -> Target:
        """The place that ``-o`` names: a folder where it ends in a slash or has no suffix.

        Args:
            record: of the run's data, which nothing is written over.
            given: other sources that are read, over which nothing is written either.
            images: whether what is written are examples, which may be images.

        Raises:
            ValueError: it cannot be written as asked, or is there already.
        """
        if not out:
            raise ValueError(f"out: {EMPTY_PATH}")
        if out.endswith(EITHER):
            out = out.removesuffix(EITHER) + SUFFIXES[0 if record.space.is_image else -1]
        path = Path(out)
        known = path.suffix.lower() in SUFFIXES
        folder = out.endswith(("/", os.sep)) or not path.suffix or (not known and path.is_dir())
        if not folder and not known:
            raise ValueError(
                f"{out}: expected a name ending in {', '.join(SUFFIXES)}, or a folder, as {out}/"
            )
        target = cls(out, path, force, folder)
        if not (images and record.space.is_image) and (folder or target.picture):
            raise ValueError(f"{out}: these are not images; write .npz or .csv")
        check_place(path, folder)
        if path.exists() and not force and not folder:
            raise ValueError(f"{out}: exists already; choose another name or --force")
        sources = recorded_sources(record)
        if not folder:  # in folders it is seen for each image
            sources += [Path(source).expanduser() for source in given if source]
        if path.exists() or folder or target.picture:  # a new table among images is none of them
            refuse_sources(path, sources)
        run = path if folder else path.parent
        if (run / RUN_FILE).exists() and (folder or path.name in FILES):
            raise ValueError(f"{out}: is of the run in {run}; choose another name")
        return target

    @property
    def picture(self) -> bool:
        return not self.folder and self.path.suffix.lower() == ".png"

    def claim(self, places: Sequence[Place]) -> Sequence[Place]:
        """The files that images will have in a folder; refused where they cannot be written."""
        if self.folder:
            refuse_places(self.path, places, self.force)
        elif self.picture and len(places) > MOST_TILES:
            raise ValueError(
                f"{self.path}: expected at most {MOST_TILES} images in one picture, got "
                f"{len(places)}; write .npz, or a folder, as {self.path.with_suffix('')}/"
            )
        return places


@dataclass(frozen=True)
class Parts:
    """So many rows, which come in parts."""

    rows: int
    each: Iterator[Tensor]


@dataclass(frozen=True)
class Result:
    """What a command made.

    Args:
        arrays: numbers or strings by name, (N, …) each; the first one's entries are columns, and it
            may come in parts, which are made and written one after the other.
        columns: what these are called; None: name and number.
        tiles: gives the images of a picture, (M, C, H, W), row by row.
        width: how many are in a row of it.
        apart: columns of it with a wider gap before them.
        places: of each image of the first array in a folder.
        picture: draws the whole picture, in place of tiles.
    """

    arrays: Mapping[str, Tensor | Array | Parts]
    columns: tuple[str, ...] | None = None
    tiles: Callable[[], Tensor] | None = None
    width: int = 1
    apart: Sequence[int] = ()
    places: Sequence[Place] = ()
    picture: Callable[[Brightness], Picture] | None = None


def emit(result: Result, target: Target, record: DataRecord) -> None:
    """Write what a command made, in the brightness of the run's data where it is a picture."""
    path = target.path
    if target.folder:
        target.claim(result.places)
        for rows, block in _blocks(result.arrays):
            x = torch.as_tensor(block["x"])
            show_notes(write_folder(path, x, result.places[rows], record))
    elif target.picture:
        picture = _picture(result, Brightness(record.low, record.high, record.bands))
        write_atomically(path, lambda file: Path(file).write_bytes(picture.data))
    elif path.suffix.lower() == ".npz":
        arrays = {**result.arrays, **(_names(record) if "x" in result.arrays else {})}
        if "factors" in arrays:
            arrays["factor_names"] = np.array(record.factor_names)
        write_atomically(path, lambda file: _write_npz(file, arrays))
    else:
        write_atomically(path, lambda file: _write_csv(file, result, record))


def _picture(result: Result, brightness: Brightness) -> Picture:
    if result.picture is not None:
        return result.picture(brightness)
    assert result.tiles is not None, "what gives none has refused pictures"
    return grid(result.tiles().cpu(), brightness, result.width, "", apart=result.apart)


def recorded_sources(record: DataRecord) -> list[Path]:
    """The files and folders that the run's data are."""
    recipe = record.source or {}
    names = ("source", "test", "attribute_table")
    return [Path(recipe[name]) for name in names if name in recipe]


def in_rows(shown: Sequence[Tensor], most: int) -> Tensor:
    """Sets of as many examples one below the other, in blocks of at most so many columns."""
    blocks = [x.to(shown[-1]).split(most) for x in shown]
    return torch.cat([row for block in zip(*blocks, strict=True) for row in block])


def padded(rows: Sequence[Tensor], width: int, blank: float) -> Tensor:
    """Rows of examples one below the other, blank where one has fewer than so many."""
    empty = blank + torch.zeros_like(rows[0][:1])
    return torch.cat([torch.cat([row, *[empty] * (width - len(row))]) for row in rows])


def beside(split: Split, record: DataRecord) -> dict[str, Array]:
    """What tells which examples these are: classes, factors, and files or numbers of rows."""
    found: dict[str, Array] = {}
    if split.labels is not None:
        indices = split.labels.cpu().numpy()
        found["label"] = np.array(record.class_names)[indices] if record.class_names else indices
    if split.factors is not None and record.factor_names:
        factors = split.factors.cpu().numpy()
        found["factors"] = factors.astype(np.int64) if (factors % 1 == 0).all() else factors
    if split.files is None:
        return found | {"row": split.numbers.numpy()}
    return found | {"path": split.files.names.astype(str)}


def beside_draws(split: Split, record: DataRecord, draws: int) -> dict[str, Array]:
    """``beside`` of so many draws of each example; of several their numbers, too, from 1."""
    each = {name: values.repeat(draws, 0) for name, values in beside(split, record).items()}
    return each if draws == 1 else each | {"draw": np.tile(np.arange(1, draws + 1), len(split))}


def conditions(c: Tensor | None, record: DataRecord) -> dict[str, Array]:
    """The condition of each sample: its class or attributes by name, or what is given."""
    if c is None:
        return {}
    if record.space.given is not None:
        return {"given": c.cpu().float().numpy()}
    if c.ndim == 1:
        names = record.class_names or tuple(map(str, range(int(c.max()) + 1)))
        return {"label": np.array(names)[c.cpu().numpy()]}
    columns, narrow = c.T.cpu().numpy(), c.T.cpu().float().numpy()
    exact = bool((columns == narrow).all())  # then float32 is written in fewer digits
    names = record.attribute_names or ()
    free = _other("x", ("x", *names))  # beside the samples, which are x
    keys = [free if name == "x" else name for name in names]
    return dict(zip(keys, narrow if exact else columns, strict=True))


def _other(name: str, taken: Collection[str]) -> str:
    """A name that is not taken: the same, or with underscores after it."""
    while name in taken:
        name += "_"
    return name


def _numpy(values: Tensor | Array) -> Array:
    return values if isinstance(values, np.ndarray) else values.cpu().numpy()


def _blocks(arrays: Mapping[str, Any]) -> Iterator[tuple[slice, dict[str, Array]]]:
    """All arrays in the parts that the first one comes in, and which rows these are."""
    (name, first), *others = arrays.items()
    at = 0
    for part in first.each if isinstance(first, Parts) else [first]:
        rows = slice(at, at + len(part))
        yield rows, {name: _numpy(part)} | {other: _numpy(x)[rows] for other, x in others}
        at = rows.stop


def _write_npz(file: str, arrays: Mapping[str, Any]) -> None:
    """An archive as NumPy compresses it, never of Python objects."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, values in arrays.items():
            count = values.rows if isinstance(values, Parts) else len(values)
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                for rows, block in _blocks({name: values}):
                    x = block[name]
                    if rows.start == 0:
                        header = np.lib.format.header_data_from_array_1_0(x[:0])
                        header |= {"shape": (count, *x.shape[1:]), "fortran_order": False}
                        np.lib.format.write_array_header_1_0(entry, header)
                    entry.write(x.tobytes())


def _names(record: DataRecord) -> dict[str, Array]:
    """What the columns of x are called, and what its indices stand for in those of names."""
    if not record.space.columns:
        return {}
    named = {f"names_{c.name}": np.array(c.names) for c in record.space.columns if c.names}
    return {"feature_names": np.array([c.name for c in record.space.columns]), **named}


def _write_csv(file: str, result: Result, record: DataRecord) -> None:
    """Arrays of as many rows each side by side; the first one's columns may have names.

    x of a table without a header has none either, so that it is read as that is.
    """
    space, bare = record.space, (record.source or {}).get("header") is False
    with open(file, "w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        for rows, block in _blocks(result.arrays):
            if rows.start == 0 and not (bare and "x" in block):
                header = _header(block, result.columns, record.factor_names)
                writer.writerow(map(_text, header))
            if "x" in block and space.kind != "real":
                block["x"] = as_written(block["x"], space)
            for cells in zip(*map(_cells, block.values()), strict=True):
                writer.writerow([cell for part in cells for cell in part])


def _header(
    block: Mapping[str, Array], names: tuple[str, ...] | None, factors: tuple[str, ...] | None
) -> list[str]:
    header: list[str] = []
    for index, (name, values) in enumerate(block.items()):
        if name == "factors" and factors:
            header += [_other(factor, header) for factor in factors]
            continue
        name = _other(name, header)  # a column of the data is called so
        entries = math.prod(values.shape[1:])
        numbered = [name] if values.ndim == 1 else [f"{name}{i}" for i in range(entries)]
        header += list(names) if names and index == 0 else numbered
    return header


def _text(cell: str) -> str:
    """A cell of text that harms neither spreadsheets nor terminals, and is UTF-8."""
    return UNWRITTEN.sub(lambda found: printable(found[0]), quoted(cell))


def _cells(values: Array) -> list[list[Any]]:
    flat = values.reshape(len(values), -1)
    if values.dtype.kind not in "buif":
        return [list(map(_text, row)) for row in flat.tolist()]
    # Of float32 the shortest digits that read back the same: .1, not .10000000149011612.
    return (flat.astype(str) if flat.dtype == np.float32 else flat).tolist()
