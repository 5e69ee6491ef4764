"""Arrays that memory has no room for: refused, or read page by page from their file."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from reparam.atomic import sweep, write_atomically
from reparam.data.cache import VARIABLE, cache_root
from reparam.data.contents import Array
from reparam.lock import locked

MAPPED_FROM = 2**30  # bytes of an .npy file from which it is mapped instead of read
BLOCK = 2**22  # bytes in memory at a time: parts of a few copies stay in the cache
WAIT = 1800.0  # seconds for another process that makes what both need
# Where Linux says what a container may use, in its second and first version of control groups.
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def is_mapped(array: Array) -> bool:
    """Whether an array, or what it is a view of, is a file mapped into memory.

    >>> is_mapped(np.zeros(3))
    False
    """
    base: Any = array
    while base is not None:
        if (
            isinstance(base, np.memmap) and vars(base).get("_mmap") is not None
        ):  # a copy of one has none
            return True
        base = getattr(base, "base", None)
    return False


def is_large(path: Path) -> bool:
    """Whether a file is an array to map instead of reading it."""
    return path.suffix.lower() == ".npy" and path.stat().st_size >= MAPPED_FROM


def load(path: Path) -> Any:
    """What ``np.load`` gives, a large array being mapped (its changes are never written)."""
    return np.load(path, mmap_mode="c" if is_large(path) else None, allow_pickle=False)


def blank(shape: tuple[int, ...], dtype: Any, on_disk: bool) -> Array:
    """A new array in memory, or in a temporary file that goes with the array.

    Raises:
        ValueError: the disk has no room for it.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if not on_disk or size == 0:
        return np.empty(shape, dtype)
    file = tempfile.TemporaryFile()  # noqa: SIM115  (the mapping keeps it; it has no name)
    _reserve(file, size, tempfile.gettempdir(), "TMPDIR names another folder for temporary files")
    return np.memmap(file, dtype, "w+", shape=shape)


def _reserve(file: IO[bytes], size: int, where: str, remedy: str) -> None:
    """Room on the disk, now: a mapping that finds it full later ends the process."""
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except OSError as error:
        raise ValueError(
            f"{where}: no room for {size / 1e9:,.1f} GB ({error.strerror}); {remedy}"
        ) from error
    except AttributeError:  # systems without it
        pass


def kept(name: str, shape: tuple[int, ...], fill: Callable[[Array], None]) -> Array:
    """An array of bytes in the cache folder, filled once and then mapped.

    Where nothing is to be kept, it is in a temporary file.

    Args:
        name: of its file, which stands for all that the bytes depend on.
        shape: of the array.
        fill: writes every byte of it.

    Raises:
        ValueError: the disk has no room for it.
    """
    root = cache_root()
    if root is None:
        x = blank(shape, np.uint8, on_disk=True)
        fill(x)
        return x
    path = root / "grids" / f"{name}.npy"
    if not path.is_file():
        with locked(path.parent, WAIT):  # others need not write it, too
            if not path.is_file():
                _keep(path, shape, fill)
    return np.load(path, mmap_mode="c")


def _keep(path: Path, shape: tuple[int, ...], fill: Callable[[Array], None]) -> None:
    sweep(path.parent, [path.name])  # of a process that was killed
    size, free = math.prod(shape), shutil.disk_usage(path.parent).free
    if size > free:
        raise ValueError(
            f"{path.parent}: no room for {size / 1e9:,.1f} GB, {free / 1e9:,.1f} are free; "
            f"{VARIABLE} names another folder"
        )
    write_atomically(path, lambda file: _write(file, shape, fill))


def _write(file: str, shape: tuple[int, ...], fill: Callable[[Array], None]) -> None:
    with open(file, "wb") as opened:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(opened, header)
        size = opened.tell() + math.prod(shape)
        opened.truncate(size)
        _reserve(opened, size, file, f"{VARIABLE} names another folder")
    x = np.load(file, mmap_mode="r+")
    fill(x)
    x.flush()


def blocks(array: Array) -> Iterator[slice]:
    """Slices of rows of at most ``BLOCK`` bytes that cover the array, in order."""
    rows = max(1, BLOCK // max(1, array[:1].nbytes))
    return (slice(start, start + rows) for start in range(0, len(array), rows))


def changed(array: Array, change: Callable[[Array], Array], dtype: Any) -> Array:
    """``change`` of every row, as ``dtype``; of a mapped array block by block."""
    if not is_mapped(array):
        return change(array).astype(dtype, copy=False)
    result = blank(array.shape, dtype, on_disk=True)
    for rows in blocks(array):
        result[rows] = change(array[rows])
    return result


def take(array: Array, chosen: Array) -> Array:
    """Some rows; of a mapped array in a file of their own."""
    if not is_mapped(array):
        return array[chosen]
    result = blank((len(chosen), *array.shape[1:]), array.dtype, on_disk=True)
    for rows in blocks(result):
        result[rows] = array[chosen[rows]]
    return result


def refuse_too_large(what: str, size: int) -> None:
    """ValueError where ``size`` bytes are more than this machine, or its container, has.

    A few bytes of a file can claim, or be compressed from, any number of them.

    >>> refuse_too_large("zeros.npz", 10**15)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: zeros.npz: would take 1,000,000.0 GB of memory, but this machine has ...
    """
    there = memory()
    if size > there:
        raise ValueError(
            f"{what}: would take {size / 1e9:,.1f} GB of memory, but this machine has "
            f"{there / 1e9:,.1f}; store fewer rows, or smaller types"
        )


def memory() -> int:
    """Bytes of memory of this machine or, where that is less, of the container.

    Where neither says, they are more than any array has.

    >>> memory() > 10**6
    True
    """
    limits = [2**62]
    try:
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):  # other systems have no such function, or name
        pass
    for path in LIMITS:
        try:
            limits.append(int(Path(path).read_text()))
        except (ValueError, OSError):  # "max", or there is no such file
            pass
    return min(limits)
