"""Examples and codes into files: PNG for images, NPZ and CSV for anything."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reparam.atomic import write_atomically
from reparam.checkpoint import write_text
from reparam.data.contents import Array
from reparam.report.pictures import Brightness, grid

if TYPE_CHECKING:
    from torch import Tensor

    from reparam.data import DataRecord

SUFFIXES = (".png", ".npz", ".csv")


def check_output(path: Path, force: bool, images: bool) -> None:
    """Refuse, before any work is done, a file that cannot be written as asked."""
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: expected a name ending in {', '.join(SUFFIXES)}")
    if path.suffix.lower() == ".png" and not images:
        raise ValueError(f"{path}: these are not images; write .npz or .csv")
    check_place(path)
    if path.exists() and not force:
        raise ValueError(f"{path}: exists already; choose another name or --force")


def check_place(path: Path) -> None:
    """Refuse, before any work is done, a place where no file can be written."""
    if path.is_dir():
        raise ValueError(f"{path}: is a folder; expected the name of a file")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir():
        raise ValueError(f"{path}: cannot be written, as {folder} is a file")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError(f"{path}: cannot be written, as {folder} does not allow it")


def write_rows(
    path: Path, arrays: Mapping[str, Tensor | Array], names: tuple[str, ...] | None = None
) -> None:
    """Arrays of as many rows each: every one under its name in NPZ, side by side in CSV.

    Args:
        path: ends in .npz or .csv.
        arrays: numbers or strings by name, (N, …); the first one's entries are the columns called
            ``names``.
        names: of the first array's columns; None: name and number.
    """
    stored: dict[str, Any] = {
        name: values if isinstance(values, np.ndarray) else values.cpu().numpy()
        for name, values in arrays.items()
    }
    if path.suffix.lower() == ".npz":
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **stored)  # never of Python objects
        write_atomically(path, lambda file: Path(file).write_bytes(buffer.getvalue()))
        return
    header: list[str] = []
    columns = []
    for index, (name, values) in enumerate(stored.items()):
        flat = values.reshape(len(values), -1)
        numbered = [name] if values.ndim == 1 else [f"{name}{i}" for i in range(flat.shape[1])]
        header += list(names) if names and index == 0 else numbered
        # Of float32 the shortest digits that read back the same: .1, not .10000000149011612.
        columns.append(flat.astype(str) if flat.dtype == np.float32 else flat)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for parts in zip(*columns, strict=True):
        writer.writerow([value for part in parts for value in part.tolist()])
    write_text(path, text.getvalue())


def write_picture(
    path: Path, x: Tensor, outline: DataRecord, columns: int, apart: Sequence[int] = ()
) -> None:
    """Images (N, C, H, W) as a grid of ``columns``, in the brightness of the run's data.

    There is a wider gap before the columns ``apart``.
    """
    picture = grid(x.cpu(), Brightness(outline.low, outline.high), columns, "", apart=apart)
    write_atomically(path, lambda file: Path(file).write_bytes(picture.data))
