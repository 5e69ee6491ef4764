"""NumPy files: .npz archives and .npy arrays, never unpickled."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import IO

import numpy as np

from reparam.data.arrays import AS_FOUND, named_contents
from reparam.data.contents import Array, Contents, ReadOptions, SplitArrays
from reparam.data.large_arrays import is_large, load, refuse_too_large

ARCHIVE = (b"PK\x03\x04", b"PK\x05\x06")  # how a zip file begins, one without entries too


def array_names(path: Path) -> set[str]:
    """The names of the arrays in an archive; none where it cannot be read.

    >>> array_names(Path("missing.npz"))
    set()
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return set()


def read_npz(path: Path, options: ReadOptions = AS_FOUND) -> Contents:
    """The splits of an .npz archive, by the names of its arrays (see ``named_contents``).

    Args:
        path: the archive.
        options: names of arrays to leave out (drop), and those of x and y.

    Raises:
        ValueError: a broken archive, x or labels of Python objects, or names that say nothing.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "bits.npz")
    >>> np.savez(path, train=np.eye(4), test=np.eye(4))
    >>> list(read_npz(path).splits)
    ['train', 'test']
    """
    opened = _opened(path, options.drop)
    if isinstance(opened, np.ndarray):
        raise ValueError(f"{path}: is a single array, not an archive; name it .npy")
    arrays, pickled = opened
    contents = named_contents(arrays, path.stem, str(path), options, pickled)
    if contents.columns is None:
        options.refuse("an archive without feature_names", "archive")
    return contents


def read_arrays(path: Path) -> dict[str, Array]:
    """The arrays of an .npz archive by name, as they are, without those of Python objects.

    Raises:
        ValueError: a broken archive, or a single array.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "codes.npz")
    >>> np.savez(path, z=np.eye(4))
    >>> read_arrays(path)["z"].shape
    (4, 4)
    """
    opened = _opened(path)
    if isinstance(opened, np.ndarray):
        raise ValueError(f"{path}: is a single array, not an archive; name it .npy")
    return opened[0]


def read_npy(path: Path) -> Contents:
    """The single array of an .npy file, as training examples.

    Raises:
        ValueError: a broken file, or Python objects.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "eye.npy")
    >>> np.save(path, np.eye(4))
    >>> read_npy(path).splits["train"].x.shape
    (4, 4)
    """
    array = _opened(path)
    if isinstance(array, tuple):
        raise ValueError(f"{path}: is an archive, not a single array; name it .npz")
    return Contents({"train": SplitArrays(array)}, path.stem, str(path))


def _opened(
    path: Path, drop: Collection[str] = ()
) -> Array | tuple[dict[str, Array], tuple[str, ...]]:
    """The array in a file, or the arrays by name, and the names of those that are pickled."""
    try:
        size, pickled = _claimed(path, drop)
    except Exception as error:  # what a parser raises on damage is nowhere said
        raise ValueError(_unreadable(path, error)) from error
    if not is_large(path):
        refuse_too_large(str(path), size)
    try:
        loaded = load(path)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            names = loaded.files
            arrays = {name: loaded[name] for name in names if name not in (*drop, *pickled)}
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(_unreadable(path, error)) from error
    absent = sorted(set(drop) - set(names))
    if absent:
        raise ValueError(f"drop: no array {absent[0]!r} among {sorted(names)} in {path}")
    return arrays, pickled


class _PickledError(ValueError):
    """An array of Python objects, which only a pickle can hold."""


def _claimed(path: Path, drop: Collection[str]) -> tuple[int, tuple[str, ...]]:
    """Bytes of all arrays by what their headers say, and which of an archive's are pickled.

    ValueError where the file has fewer.
    """
    with open(path, "rb") as file:
        head = file.read(4)
        file.seek(0)
        if head.startswith(b"\x80"):
            raise ValueError("a pickle")
        if head not in ARCHIVE:
            return _array_bytes(file, path.stat().st_size), ()
    total, pickled = 0, []
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            name = entry.filename.removesuffix(".npy")
            if name in drop:
                continue
            with archive.open(entry) as file:
                try:
                    total += _array_bytes(file, entry.file_size)
                except _PickledError:
                    pickled.append(name)
                except ValueError as error:
                    raise ValueError(f"{name!r}: {error}") from error
    return total, tuple(pickled)


def _array_bytes(file: IO[bytes], size: int) -> int:
    """Bytes of the array in a file of this size, by its header."""
    versions = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    version = np.lib.format.read_magic(file)
    if version not in versions:
        raise ValueError(f"an array in version {version} of the format, which is for named fields")
    shape, _, dtype = versions[version](file)
    if dtype.hasobject:
        raise _PickledError("Python objects (pickled)")
    if min(shape, default=0) < 0:
        raise ValueError(f"its shape cannot be {shape}")
    claimed, there = math.prod(shape) * dtype.itemsize, size - file.tell()
    if claimed > there:
        raise ValueError(f"shape {shape} takes {claimed:,} bytes, of which there are {there:,}")
    return claimed


def _unreadable(path: Path, error: BaseException) -> str:
    if "pickle" in str(error):
        return (
            f"{path}: holds Python objects (pickled), which are not read for safety; save arrays "
            "of numbers, with rows of one shape"
        )
    return (
        f"{path}: cannot be read ({error or type(error).__name__}); it may be cut short or "
        "no NumPy file: save it again with np.savez or np.save"
    )
