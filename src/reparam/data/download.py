"""Fetching the public data sets once, verified by their published checksums, into a cache."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np

from reparam.data.raw import Array, Part

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


class DataUnavailable(ValueError):
    """A named data set that is neither on this computer nor to be had from the network.

    >>> issubclass(DataUnavailable, ValueError)
    True
    """


def fetch(name: str, base: str, checksums: dict[str, str]) -> list[Path]:
    """The files of a data set, from the cache or else downloaded and verified.

    Args:
        name: of the data set.
        base: address of its folder.
        checksums: of each file.

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
        archive = f"{name.replace('-', '_')}.npz"
        raise DataUnavailable(
            f"{name}: not in the cache, and cannot be downloaded from {base} "
            f"({type(error).__name__}); go online, or put {archive} into a folder and set the "
            "environment variable REPARAM_DATA to that folder"
        ) from error


def mnist_like(name: str, base: str, checksums: dict[str, str]) -> dict[str, Part]:
    """The 60 000 training and 10 000 test images of MNIST, or of a set in its format.

    Raises:
        DataUnavailable: see ``fetch``.

    >>> mnist_like("mnist", *MNIST)["test"].x.shape  # doctest: +SKIP
    (10000, 28, 28)
    """
    x, y, x_test, y_test = (read_idx(path) for path in fetch(name, base, checksums))
    return {"train": Part(x, y), "test": Part(x_test, y_test)}


def binarized_mnist() -> dict[str, Part]:
    """The 50 000, 10 000 and 10 000 images of static binarized MNIST.

    Raises:
        DataUnavailable: see ``fetch``.

    >>> binarized_mnist()["train"].x.shape  # doctest: +SKIP
    (50000, 28, 28)
    """
    files = fetch("binarized-mnist", *BINARIZED_MNIST)
    return {
        split: Part(read_amat(path))
        for split, path in zip(("train", "valid", "test"), files, strict=True)
    }


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
