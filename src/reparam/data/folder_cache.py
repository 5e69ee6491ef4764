"""Decoded folders on disk, so that thousands of images are decoded once."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from reparam.atomic import write_atomically
from reparam.data.decoding import MANY, Decoded
from reparam.data.raw import Array

VARIABLE = "REPARAM_CACHE"  # environment variable: a folder for the caches, or "off"
FORMAT = 1  # of what is decoded and how it is kept


@dataclass(frozen=True)
class FolderCache:
    """Where one folder is kept as read in one way, and what it has to be now.

    The place depends on folder and options, so that a folder that changed replaces what was kept.
    The fingerprint is of the names, sizes and times of all files: one that changed leaving all of
    these as they were would go unnoticed.

    Args:
        place: the file.
        fingerprint: of the files and of the decoder.
    """

    place: Path
    fingerprint: str

    def read(self) -> Decoded | None:
        """What is kept; None where that is nothing, out of date or damaged."""
        try:
            with safe_open(self.place, "np") as file:
                metadata = file.metadata() or {}
                if metadata.get("fingerprint") != self.fingerprint:
                    return None
                x, rows = file.get_tensor("x"), file.get_tensor("rows")
            notes = json.loads(metadata["notes"])
        except (SafetensorError, OSError, LookupError, ValueError, RecursionError):
            return None
        whole = metadata.get("checksum") == _checksum(x, rows, metadata["notes"])
        return Decoded(x, rows, tuple(notes)) if whole else None

    def write(self, decoded: Decoded) -> None:
        """Keep it for the next time; a disk that is full or read-only keeps nothing."""
        x, rows = np.ascontiguousarray(decoded.x), decoded.rows
        notes = json.dumps(decoded.notes)
        metadata = {
            "fingerprint": self.fingerprint,
            "notes": notes,
            "checksum": _checksum(x, rows, notes),
        }
        try:
            write_atomically(
                self.place, lambda file: save_file({"x": x, "rows": rows}, file, metadata)
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
        root / "folders" / f"{name}.safetensors", _digest([FORMAT, PIL.__version__, options, files])
    )


def _state(path: Path, folder: Path) -> list[Any]:
    status = path.stat()
    return [str(path.relative_to(folder)), status.st_size, status.st_mtime_ns]


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]


def _checksum(x: Array, rows: Array, notes: str) -> str:
    crc = zlib.crc32(notes.encode())
    for array in (x, rows):
        crc = zlib.crc32(f"{array.dtype} {array.shape}".encode(), crc)
        crc = zlib.crc32(array.data, crc)
    return f"{crc:08x}"
