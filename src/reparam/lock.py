"""One writer at a time in a folder: a lock that vanishes with the process that holds it."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from reparam.atomic import Unwritable

LOCK_FILE = ".lock"  # in the folder; it says which process holds it


class InUse(ValueError):
    """A folder in which another process, or another thread, is training."""


@contextmanager
def locked(folder: Path, wait: float = 0.0) -> Iterator[None]:
    """Hold a folder inside; a thread may hold it several times over.

    Where there is no folder it is made, and removed again if nothing came into it.

    The system gives the lock back when its process ends in whatever way, so that none is ever
    left to remove: a lock file without a process holds nothing.

    Args:
        folder: what nobody else is to write into.
        wait: seconds to wait for whoever holds it.

    Raises:
        InUse: another process or thread holds it.
        Unwritable: no file can be made there.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, locked(Path(folder)):
    ...     (Path(folder) / LOCK_FILE).read_text().split()[0] == str(os.getpid())
    True
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: is a file, expected a folder")
    made, file = not folder.exists(), folder.resolve() / LOCK_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # One object for a file in each thread: it counts, so that a comparison may hold what the
        # fits in it hold. Another thread's is another one, and excluded as other processes are.
        lock = FileLock(file, is_singleton=True)
        lock.acquire(timeout=wait)
    except Timeout as error:
        raise InUse(
            f"{folder}: is being trained by {_holder(file)}; wait until that ends, stop it, or "
            "choose another folder"
        ) from error
    except OSError as error:
        place = folder / LOCK_FILE if file.exists() else folder
        raise Unwritable(f"{place}: cannot be written to: {error.strerror or error}") from error
    me = f"{os.getpid()} {socket.gethostname()} {threading.get_ident()}"
    try:
        with contextlib.suppress(OSError):  # where locks are mandatory, nobody may write it
            file.write_text(me, encoding="utf-8")
        yield
    finally:
        with contextlib.suppress(OSError):
            # Removed while it is held: whoever has opened it notices. One that is not this
            # thread's lies in a folder that was removed and made again.
            if lock.lock_counter == 1 and file.read_text(encoding="utf-8") == me:
                file.unlink()
        lock.release()
        if made:
            with contextlib.suppress(OSError):  # it is no longer empty, as it should be
                folder.rmdir()


def _holder(file: Path) -> str:
    """Who holds a lock, as far as that can be read."""
    try:
        process, host, _ = file.read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return "another process"
    if process == str(os.getpid()) and host == socket.gethostname():
        return f"process {process}, in another of its threads"
    return f"process {process}" + ("" if host == socket.gethostname() else f" on {host}")
