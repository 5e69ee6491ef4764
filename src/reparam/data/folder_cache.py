"""Decoded folders on disk, so that thousands of images are decoded once."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from reparam.atomic import checksum, write_atomically
from reparam.data.decoding import MANY, Decoded
from reparam.data.mapped import blocks, load
from reparam.data.raw import Array

VARIABLE = "REPARAM_CACHE"  # environment variable: a folder for the caches, or "off"
FORMAT = 2  # of what is decoded and how it is kept


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

    def read(self) -> Decoded | None:
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
        return Decoded(x, rows, notes) if whole else None

    def write(self, decoded: Decoded) -> None:
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
        root / "folders" / f"{name}.npy", _digest([FORMAT, PIL.__version__, options, files])
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
