"""NumPy files: .npz archives and .npy arrays, never unpickled."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path

import numpy as np

from reparam.data.entries import parts_named
from reparam.data.mapped import load
from reparam.data.raw import Array, Part, Raw

# RuntimeError: an archive that is encrypted, or compressed in a way that Python cannot read.
UNREADABLE = (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error)


def read_npz(path: Path, drop: Collection[str] = ()) -> Raw:
    """The splits of an .npz archive, by the names of its arrays (see ``parts_named``).

    Args:
        path: the archive.
        drop: names of arrays to leave out.

    Raises:
        ValueError: a broken archive, arrays of Python objects, or names that say nothing.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "bits.npz")
    >>> np.savez(path, train=np.eye(4), test=np.eye(4))
    >>> list(read_npz(path).parts)
    ['train', 'test']
    """
    arrays = _opened(path, drop)
    if not isinstance(arrays, dict):
        raise ValueError(f"{path}: is a single array, not an archive; name it .npy")
    parts, unused = parts_named(arrays, str(path))
    notes = (f"Arrays not used: {', '.join(unused)}.",) if unused else ()
    return Raw(parts, path.stem, str(path), notes=notes)


def read_npy(path: Path) -> Raw:
    """The single array of an .npy file, as training examples.

    Raises:
        ValueError: a broken file, or Python objects.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "eye.npy")
    >>> np.save(path, np.eye(4))
    >>> read_npy(path).parts["train"].x.shape
    (4, 4)
    """
    array = _opened(path)
    if isinstance(array, dict):
        raise ValueError(f"{path}: is an archive, not a single array; name it .npz")
    return Raw({"train": Part(array)}, path.stem, str(path))


def _opened(path: Path, drop: Collection[str] = ()) -> Array | dict[str, Array]:
    """The array, or the arrays by name, in a file."""
    try:
        loaded = load(path)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            names = loaded.files
            arrays = {name: loaded[name] for name in names if name not in drop}
    except UNREADABLE as error:
        raise ValueError(_unreadable(path, error)) from error
    absent = sorted(set(drop) - set(names))
    if absent:
        raise ValueError(f"drop: no array {absent[0]!r} among {sorted(names)} in {path}")
    return arrays


def _unreadable(path: Path, error: BaseException) -> str:
    if "allow_pickle" in str(error):
        return (
            f"{path}: holds Python objects (pickled), which are not read for safety; save arrays "
            "of numbers, with rows of one shape"
        )
    return (
        f"{path}: cannot be read ({error or type(error).__name__}); it may be cut short or "
        "no NumPy file: save it again with np.savez or np.save"
    )
