"""The named data sets: what each is, how it is fetched and verified, and how it is read."""

from __future__ import annotations

import gzip
import os
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from reparam.data.contents import Array, Contents, SplitArrays
from reparam.data.dsprites import ARCHIVE, read_dsprites
from reparam.data.images.sprite_grids import Sprites, sprite_contents
from reparam.data.moving_digits import moving_contents
from reparam.data.numpy_files import read_npz
from reparam.data.splits import SPLITS, carve
from reparam.data.toys import TOYS, toy_contents

FOLDER = "REPARAM_DATA"  # environment variable: a folder with archives of the named sets
VALIDATION_ROWS = 10_000  # the last training images of MNIST and its kin

MNIST = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    {
        "train-images-idx3-ubyte.gz": "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "md5:d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "md5:9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "md5:ec29112dd5afa0611ce80d1b7f02629c",
    },
)
FASHION_MNIST = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    {
        "train-images-idx3-ubyte.gz": "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "md5:25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "md5:bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "md5:bb300cfdad3c16e7a12a480ee83cd310",
    },
)
# Larochelle's files of Salakhutdinov & Murray's draw; checksums from TensorFlow Datasets.
BINARIZED_MNIST = (
    "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/",
    {
        "binarized_mnist_train.amat": "sha256:"
        "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d",
        "binarized_mnist_valid.amat": "sha256:"
        "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2",
        "binarized_mnist_test.amat": "sha256:"
        "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c",
    },
)
DSPRITES = (
    "https://github.com/google-deepmind/dsprites-dataset/raw/master/",
    {ARCHIVE: "md5:7da33b31b13a06f4b04a70402ce90c2e"},
)
CIFAR10_ARCHIVE = "cifar-10-binary.tar.gz"
CIFAR10 = (
    "https://www.cs.toronto.edu/~kriz/",
    {CIFAR10_ARCHIVE: "md5:c32a1d4ab5d03f1284b67883e8d87530"},
)
CIFAR10_FOLDER = "cifar-10-batches-bin"  # in the archive
CIFAR10_RECORD = 1 + 3 * 32 * 32  # bytes: a label, then the planes of red, green and blue
CIFAR10_BATCHES = {
    "train": [f"data_batch_{i}.bin" for i in range(1, 5)],
    "valid": ["data_batch_5.bin"],
    "test": ["test_batch.bin"],
}
CIFAR10_CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)


class DataUnavailable(ValueError):
    """A named data set that is neither on this computer nor to be had from the network.

    >>> issubclass(DataUnavailable, ValueError)
    True
    """


@dataclass(frozen=True)
class NamedSet:
    """A named data set: one sentence on what it is, and the function that reads it.

    >>> NAMED_SETS["digits"].read().levels
    17
    """

    about: str
    read: Callable[[], Contents]


def sources() -> list[tuple[str, str]]:
    """The named data sets, each with one sentence on what it is.

    >>> [name for name, about in sources()][:6]
    ['digits', 'moving-digits', 'mnist', 'binarized-mnist', 'dna', 'fashion-mnist']
    """
    return [(name, named.about) for name, named in NAMED_SETS.items()]


def named_set(source: Any) -> NamedSet | None:
    """The set of a name; that of sprites may have choices after it, with spaces between them.

    >>> named_set("sprites side=16 scales=2").read().splits["train"].x.shape[1:]
    (1, 16, 16)
    >>> named_set("photos/") is None
    True
    """
    if not isinstance(source, str):
        return None
    name, *words = source.split() or [""]
    if name not in SPRITES or not all("=" in word for word in words):
        return NAMED_SETS.get(source)
    sprites = SPRITES[name].chosen(words)
    return NamedSet(NAMED_SETS[name].about, partial(sprite_contents, source, sprites))


def _digits() -> Contents:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = bunch.images.astype(np.uint8)
    splits = {
        split: SplitArrays(images[rows], bunch.target[rows])
        for split, rows in carve(len(images), seed=0).items()
    }
    note = "A fixed random split: 70 % train, 10 % valid, 20 % test."
    return Contents(splits, "digits", "digits", levels=17, notes=(note,))


def _images(name: str, base: str, checksums: dict[str, str]) -> Contents:
    """MNIST, or a set in its format: the last training images are valid."""
    contents = _supplied(name)
    if contents is None:
        x, y, x_test, y_test = (read_idx(path) for path in fetch(name, base, checksums))
        fetched = {"train": SplitArrays(x, y), "test": SplitArrays(x_test, y_test)}
        contents = Contents(fetched, name, name)
    contents = replace(contents, name=name, levels=256)
    train, test = contents.splits.get("train"), contents.splits.get("test")
    if train is not None and test is not None and "valid" in contents.splits:
        return contents
    if train is None or test is None or train.labels is None or len(train.x) <= VALIDATION_ROWS:
        raise ValueError(
            f"{contents.origin}: expected {name} as x_train, y_train, x_test, y_test, with more "
            f"than {VALIDATION_ROWS} training images, or with x_valid, y_valid"
        )
    cut = len(train.x) - VALIDATION_ROWS
    splits = {"train": _part(train, slice(cut)), "valid": _part(train, slice(cut, None))}
    note = f"The last {VALIDATION_ROWS} of the {len(train.x)} training images are valid."
    return replace(contents, splits=splits | {"test": test}).noted(note)


def _part(arrays: SplitArrays, rows: slice) -> SplitArrays:
    parts: dict[str, Any] = {what: a[rows] for what, a in vars(arrays).items() if a is not None}
    return SplitArrays(**parts)


def _binarized_mnist() -> Contents:
    name = "binarized-mnist"
    contents = _supplied(name)
    if contents is None:
        files = zip(SPLITS, fetch(name, *BINARIZED_MNIST), strict=True)
        fetched = {split: SplitArrays(read_amat(path)) for split, path in files}
        contents = Contents(fetched, name, name)
    return _of_three_splits(contents, name)


def _dna() -> Contents:
    contents = _supplied("dna")
    if contents is None:
        raise DataUnavailable(
            f"dna: not to be downloaded; put dna.npz, with the arrays train, valid, test, into the "
            f"folder that the environment variable {FOLDER} names"
        )
    return _of_three_splits(contents, "dna")


def _cifar10() -> Contents:
    folder = os.environ.get(FOLDER)
    supplied = [Path(folder, name) for name in (CIFAR10_FOLDER, CIFAR10_ARCHIVE)] if folder else []
    there = [path for path in supplied if path.exists()]
    path, *_ = there or fetch("cifar10", *CIFAR10, supplied=CIFAR10_FOLDER)
    note = "The last of the five training batches is valid."
    return Contents(read_cifar(path), "cifar10", "cifar10", levels=256, notes=(note,))


def _dsprites() -> Contents:
    folder = os.environ.get(FOLDER)
    supplied = [Path(folder, name) for name in (ARCHIVE, "dsprites.npz")] if folder else []
    there = [path for path in supplied if path.is_file()]
    path, *_ = there or fetch("dsprites", *DSPRITES, supplied=ARCHIVE)
    return replace(read_dsprites(path), name="dsprites", origin="dsprites")


def _of_three_splits(contents: Contents, name: str) -> Contents:
    if set(contents.splits) != set(SPLITS):
        raise ValueError(f"{contents.origin}: expected the arrays train, valid, test")
    return replace(contents, name=name)


def _supplied(name: str) -> Contents | None:
    """The archive of a named set in the user's folder, where there is one."""
    folder = os.environ.get(FOLDER)
    path = Path(folder or "", f"{name.replace('-', '_')}.npz")
    return read_npz(path) if folder and path.is_file() else None


def fetch(
    name: str, base: str, checksums: dict[str, str], supplied: str | None = None
) -> list[Path]:
    """The files of a data set, from the cache or else downloaded and verified.

    Args:
        name: of the data set.
        base: address of its folder.
        checksums: of each file.
        supplied: what may lie in the user's folder instead; None: an .npz of its name.

    Raises:
        DataUnavailable: offline, or what came is not what was published.

    >>> fetch("nothing", "https://example.org/", {})
    []
    """
    import pooch

    pooch.get_logger().setLevel("WARNING")  # a library does not announce its downloads
    try:
        return [
            Path(
                pooch.retrieve(
                    base + file,
                    known_hash=checksum,
                    fname=file,
                    path=pooch.os_cache("reparam") / name,
                    downloader=pooch.HTTPDownloader(timeout=30),
                )
            )
            for file, checksum in checksums.items()
        ]
    except (OSError, ValueError) as error:  # no network or disk; or a wrong checksum
        archive = supplied or f"{name.replace('-', '_')}.npz"
        raise DataUnavailable(
            f"{name}: not in the cache, and cannot be downloaded from {base} "
            f"({type(error).__name__}); go online, or put {archive} into a folder and set the "
            "environment variable REPARAM_DATA to that folder"
        ) from error


def read_idx(path: Path) -> Array:
    """A gzipped array in the IDX format of MNIST: magic, sizes (big-endian), bytes.

    Raises:
        ValueError: another format.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "two.gz")
    >>> _ = path.write_bytes(gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9])))
    >>> read_idx(path)
    array([7, 9], dtype=uint8)
    """
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: no gzip file ({error}); delete it to fetch it again") from error
    axes = content[3] if content[:3] == b"\x00\x00\x08" and len(content) > 3 else 0
    start = 4 + 4 * axes
    shape = np.frombuffer(content[4:start], ">u4").astype(int)
    if axes == 0 or len(content) != start + shape.prod():
        raise ValueError(f"{path}: no IDX file of bytes; delete it to fetch it again")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def read_amat(path: Path) -> Array:
    """Images (N, 28, 28) of 0 and 1 from text: each digit is followed by one space or line end.

    Raises:
        ValueError: another format.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "one.amat")
    >>> _ = path.write_text(" ".join("01" * 392) + chr(10))
    >>> read_amat(path)[0, 0, :4]
    array([0, 1, 0, 1], dtype=uint8)
    """
    text = np.frombuffer(path.read_bytes(), np.uint8)
    digits = text[::2] - ord("0")
    if len(text) % (2 * 784) or len(text) == 0 or digits.max() > 1:
        raise ValueError(f"{path}: not lines of 784 digits 0 or 1; delete it to fetch it again")
    return digits.reshape(-1, 28, 28)


def read_cifar(path: Path) -> dict[str, SplitArrays]:
    """The splits of CIFAR-10 in its binary batches: records of a label and 3 × 32 × 32 bytes.

    Args:
        path: the archive, or the folder in it.

    Raises:
        ValueError: another format, or a batch that is not there.

    >>> read_cifar(Path("/"))
    Traceback (most recent call last):
    ValueError: /: data_batch_1.bin is missing
    """
    batches = {name for names in CIFAR10_BATCHES.values() for name in names}
    if path.is_dir():
        found = {name: (path / name).read_bytes() for name in batches if (path / name).is_file()}
    else:
        found = _members(path, batches)
    splits = {}
    for split, names in CIFAR10_BATCHES.items():
        lacking = [name for name in names if name not in found]
        if lacking:
            raise ValueError(f"{path}: {lacking[0]} is missing")
        content = np.frombuffer(b"".join(found[name] for name in names), np.uint8)
        records = content[: len(content) // CIFAR10_RECORD * CIFAR10_RECORD]
        records = records.reshape(-1, CIFAR10_RECORD)
        if records.size != content.size or len(records) == 0 or records[:, 0].max() > 9:
            raise ValueError(f"{path}: {', '.join(names)} are no batches of CIFAR-10")
        labels = np.array(CIFAR10_CLASSES)[records[:, 0]]
        splits[split] = SplitArrays(records[:, 1:].reshape(-1, 3, 32, 32), labels)
    return splits


def _members(path: Path, names: set[str]) -> dict[str, bytes]:
    """Files of a gzipped tar archive by their names, wherever they lie in it."""
    try:
        with tarfile.open(path, "r:gz") as archive:
            files = [member for member in archive if member.isfile()]
            read = {Path(member.name).name: archive.extractfile(member) for member in files}
            return {name: file.read() for name, file in read.items() if file and name in names}
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise ValueError(
            f"{path}: no archive of gzip and tar ({error}); delete it to fetch it again"
        ) from error


SPRITES = {"sprites": Sprites(), "sprites-64": Sprites(orientations=40, positions=32, side=64)}
NAMED_SETS = {
    "digits": NamedSet(
        "1 797 handwritten digits, 8 × 8 gray (17 levels), 10 classes; bundled with scikit-learn.",
        _digits,
    ),
    "moving-digits": NamedSet(
        "Clips of these digits that drift, 8 frames of 16 × 16 as channels; 5 000/500/1 000.",
        lambda: moving_contents(_digits()),
    ),
    "mnist": NamedSet(
        "70 000 handwritten digits, 28 × 28 gray (256 levels), 10 classes; 50k/10k/10k.",
        partial(_images, "mnist", *MNIST),
    ),
    "binarized-mnist": NamedSet(
        "Static binarized MNIST: one fixed draw of black and white, no labels; 50k/10k/10k.",
        _binarized_mnist,
    ),
    "dna": NamedSet(
        "3 186 DNA sequences as 180 binary entries, no labels; 1400/600/1186. Needs dna.npz.", _dna
    ),
    "fashion-mnist": NamedSet(
        "70 000 pictures of clothes, 28 × 28 gray (256 levels), 10 classes; 50k/10k/10k.",
        partial(_images, "fashion-mnist", *FASHION_MNIST),
    ),
    "cifar10": NamedSet(
        "60 000 photos, 32 × 32 in color (256 levels), 10 classes; 40k/10k/10k.", _cifar10
    ),
    "sprites": NamedSet(
        "92 160 squares, ellipses and hearts, 32 × 32, with 5 factors; also 'sprites side=64 …'.",
        partial(sprite_contents, "sprites", SPRITES["sprites"]),
    ),
    "sprites-64": NamedSet(
        "737 280 of them, 64 × 64, finer turned and moved; 3 GB in the cache, made once.",
        partial(sprite_contents, "sprites-64", SPRITES["sprites-64"]),
    ),
    "dsprites": NamedSet(
        "The published 737 280 of 64 × 64, with 6 factors; 3 GB in the cache, unpacked once.",
        _dsprites,
    ),
} | {name: NamedSet(toy.about, partial(toy_contents, name)) for name, toy in TOYS.items()}
