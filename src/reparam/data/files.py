"""NumPy files: .npz archives and .npy arrays, never unpickled."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path

import numpy as np

from reparam.data.entries import parts_named
from reparam.data.raw import Part, Raw

UNREADABLE = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error)


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
    try:
        with np.load(path, allow_pickle=False) as archive:
            if isinstance(archive, np.ndarray):
                raise ValueError("it is a single array, not an archive; name it .npy")
            absent = sorted(set(drop) - set(archive.files))
            if absent:
                raise ValueError(f"drop: no array {absent[0]!r} among {sorted(archive.files)}")
            arrays = {key: archive[key] for key in archive.files if key not in drop}
    except UNREADABLE as error:
        raise ValueError(_unreadable(path, error)) from error
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
    try:
        array = np.load(path, allow_pickle=False)
        if not isinstance(array, np.ndarray):
            array.close()
            raise ValueError("it is an archive; name it .npz")
    except UNREADABLE as error:
        raise ValueError(_unreadable(path, error)) from error
    return Raw({"train": Part(array)}, path.stem, str(path))


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
