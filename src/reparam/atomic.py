"""Files that are complete or absent: written beside their place and moved there in one step."""

from __future__ import annotations

import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

from safetensors import SafetensorError


class Unwritable(ValueError):
    """A file that cannot be written: no room, no permission. What was there is whole."""


def check_place(path: Path, folder: bool = False) -> None:
    """Refuse, before any work is done, a place where no file or folder can be written."""
    try:
        _check_place(path, folder)
    except OSError as error:  # a name that is too long, or a folder that cannot be looked into
        raise ValueError(f"{path}: cannot be written: {error.strerror}") from error


def _check_place(path: Path, folder: bool) -> None:
    if path.is_dir() and not folder:
        raise ValueError(f"{path}: is a folder; expected the name of a file")
    if not folder:  # the name that it is written by first may be too long, which raises here
        path.with_name(f".{path.name}.????????").exists()
    there = next(
        p for p in (path, *path.absolute().parents) if p.exists() and (folder or p != path)
    )
    if not there.is_dir():
        raise ValueError(f"{path}: cannot be written, as {there} is a file")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"{path}: cannot be written, as {there} does not allow it")


def write_atomically(
    path: Path, write: Callable[[str], object], *, make_folder: bool = True
) -> None:
    """Let ``write`` fill a temporary file beside ``path``, flush it and move it into place.

    The file lies in a temporary folder of its own, for ``write`` may itself leave others beside it
    when it is killed, as safetensors does; ``sweep`` knows that folder by its name.

    Args:
        path: where the file is to be.
        write: is given the name of the temporary file.
        make_folder: make the folder of ``path`` where there is none.

    Raises:
        Unwritable: where, and why.
    """
    try:
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise Unwritable(f"{path.parent}: cannot be written to: {error.strerror}") from error
    with folder:
        temporary = os.path.join(folder.name, path.name)
        try:
            write(temporary)
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~_umask())  # safetensors makes files private
            os.replace(temporary, path)
        except (OSError, SafetensorError) as error:
            # Of the whole message the reason alone: the rest names the temporary file.
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            reason = reason.replace(temporary, str(path))
            raise Unwritable(f"{path}: cannot be written: {reason}") from error


def checksum(parts: Iterable[str | memoryview]) -> str:
    """CRC-32 of texts and buffers, one after the other.

    >>> checksum(["ab", memoryview(b"c")]) == checksum(["abc"])
    True
    """
    crc = 0
    for part in parts:
        crc = zlib.crc32(part.encode() if isinstance(part, str) else part, crc)
    return f"{crc:08x}"


def sweep(folder: Path, names: Iterable[str]) -> None:
    """Remove what ``write_atomically`` left of files of these names when it was killed."""
    for name in names:
        for left in folder.glob(f".{name}.????????"):  # as tempfile names them
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
