"""Files that are complete or absent: written beside their place and moved there in one step."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError


class Unwritable(ValueError):
    """A file that cannot be written: no room, no permission. What was there is whole."""


def write_atomically(path: Path, write: Callable[[str], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, flush it and move it into place.

    Raises:
        Unwritable: where, and why.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise Unwritable(f"{path.parent}: cannot be written to: {error.strerror}") from error
    os.close(descriptor)
    try:
        write(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes files private
        os.replace(temporary, path)
    except (OSError, SafetensorError) as error:
        # Of the whole message the reason alone: the rest names the temporary file.
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        reason = reason.replace(temporary, str(path))
        raise Unwritable(f"{path}: cannot be written: {reason}") from error
    finally:
        Path(temporary).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
