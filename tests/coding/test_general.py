"""General compressors: every length counted is that of something that is read back equal."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma

import numpy as np
import pytest
import torch
from PIL import Image

from reparam.coding.general import IMAGES, STREAMS, as_png, as_webp, general
from reparam.space import Column, Space

READ = {"gzip": gzip.decompress, "bz2": bz2.decompress, "xz": lzma.decompress}
SIZES = [(1, 1), (3, 5), (8, 8), (1, 9), (17, 2)]


def drawn(shape: tuple[int, ...], levels: int, n: int = 4) -> torch.Tensor:
    """Rows with some order in them, the last two of extreme values."""
    x = torch.from_numpy(np.random.default_rng(0).integers(0, levels, (n, *shape)))
    x[0] = torch.arange(x[0].numel()).reshape(shape) % levels
    x[-2], x[-1] = 0, levels - 1
    return x


def pixels_of(file: bytes) -> np.ndarray:
    """(C, H, W), as whole numbers."""
    with Image.open(io.BytesIO(file)) as image:
        found = np.asarray(image).astype(np.int64)
    return found[None] if found.ndim == 2 else found.transpose(2, 0, 1)


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("levels", [2, 17, 256])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", SIZES)
def test_images_are_read_back_equal(size, channels, levels, fast):
    space = Space((channels, *size), *(("binary",) if levels == 2 else ("levels", levels)))
    x = drawn(space.shape, levels)
    bits, values = general(x, space, fast=fast), x.numpy().astype(np.uint8)
    assert set(bits) == {"gzip", "bz2", "xz", "PNG"} | ({"WebP"} if channels in (1, 3) else set())
    for name in {"PNG", "WebP"} & set(bits):
        files = [IMAGES[name](pixels, levels == 2, fast) for pixels in values]
        assert bits[name] == 8 * sum(map(len, files))
        for file, pixels in zip(files, values, strict=True):
            found = pixels_of(file)
            # Gray images are three times the same in WebP, which has no other.
            np.testing.assert_array_equal(found, np.broadcast_to(pixels, found.shape))
            assert len(found) == (3 if name == "WebP" else channels)


def test_binary_png_has_a_bit_for_a_pixel():
    for size in SIZES:
        with Image.open(io.BytesIO(as_png(np.ones((1, *size), np.uint8), True))) as image:
            assert image.mode == "1" and image.size == size[::-1]
    noise = np.random.default_rng(0).integers(0, 2, (1, 64, 64), np.uint8)
    assert len(as_png(noise, True)) < 64 * 64 / 8 + 64 + 100 < len(as_png(noise))


def test_webp_is_lossless_and_kept_by_its_own_marker():
    noise = np.random.default_rng(0).integers(0, 256, (3, 16, 16), np.uint8)
    assert as_webp(noise)[12:16] == as_webp(noise, fast=True)[12:16] == b"VP8L"
    assert len(as_webp(noise)) > 3 * 256  # noise has no shorter code


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("fast", [False, True])
def test_streams_are_read_back_equal(name, fast):
    for content in (b"\0", bytes(range(256)) * 3, b"ab" * 1000):
        assert READ[name](STREAMS[name](content, fast)) == content


@pytest.mark.parametrize("name", STREAMS)
def test_all_rows_make_one_stream_of_a_byte_for_a_value(name):
    x = drawn((7,), 200, 30)
    bits = general(x, Space((7,), "levels", 200))
    assert bits[name] == 8 * len(STREAMS[name](bytes(x.flatten().tolist()), False))
    assert set(bits) == set(STREAMS)  # a vector is no image


@pytest.mark.parametrize("name", STREAMS)
def test_the_shorter_form_of_binary_data_counts(name):
    space = Space((100,), "binary")
    lengths = {}
    noise = torch.from_numpy(np.random.default_rng(0).integers(0, 2, (100, 100)))
    period = torch.arange(100).expand(100, 100) % 3 % 2  # of whole values: packing hides it
    for what, x in {"noise": noise, "period": period}.items():
        values = x.numpy().astype(np.uint8)
        plain = len(STREAMS[name](values.tobytes(), False))
        packed = len(STREAMS[name](np.packbits(values).tobytes(), False))
        assert general(x, space)[name] == 8 * min(plain, packed)
        lengths[what] = plain - packed
    assert lengths["noise"] > 0
    assert name != "bz2" or lengths["period"] < 0


@pytest.mark.parametrize(("levels", "width"), [(256, 1), (257, 2), (65536, 2), (65537, 4)])
def test_values_take_as_many_bytes_as_they_need(levels, width):
    x = torch.from_numpy(np.random.default_rng(0).integers(0, levels, (50, 1, 4, 4)))
    bits = general(x, Space((1, 4, 4), "levels", levels))
    content = x.numpy().astype(f"<u{width}").tobytes()
    assert bits["bz2"] == 8 * len(bz2.compress(content))
    assert ("PNG" in bits) == ("WebP" in bits) == (levels <= 256)


def test_tables_are_counted_from_their_least_values():
    columns = (Column("age", "levels", 90, low=18), Column("smokes", "binary"))
    x = torch.stack([torch.arange(18, 108), torch.arange(90) % 2], 1)
    bits = general(x.double(), Space((2,), "mixed", columns=columns))
    low = (x - torch.tensor([18, 0])).flatten().tolist()
    assert bits == {name: 8 * len(stream(bytes(low), False)) for name, stream in STREAMS.items()}


@pytest.mark.parametrize("shape", [(5, 4, 4), (1, 1, 16384)])
def test_what_a_kind_of_file_cannot_hold_is_absent(shape):
    bits = general(torch.zeros(1, *shape), Space(shape, "binary"))
    assert ("PNG" in bits, "WebP" in bits) == (shape[0] == 1, False)


def test_floats_count_as_the_whole_numbers_that_they_are():
    x, space = drawn((3, 4, 5), 256), Space((3, 4, 5), "levels", 256)
    assert general(x.double(), space) == general(x, space) == general(x.to(torch.uint8), space)


def test_news_are_of_every_compressor():
    told = []
    general(drawn((1, 2, 2), 2), Space((1, 2, 2), "binary"), watch=lambda *news: told.append(news))
    assert [name for name, _ in told] == ["gzip", "bz2", "xz", *["PNG"] * 4, *["WebP"] * 4]
    assert all(0 <= share < 1 for _, share in told)


@pytest.mark.parametrize(
    ("x", "space", "said"),
    [
        (torch.zeros(2, 3), Space((3,), "real"), "x: expected whole numbers, got real data"),
        (torch.zeros(2, 4), Space((3,), "binary"), "x: expected a tensor of shape"),
        (torch.full((2, 3), 2), Space((3,), "binary"), "x: expected 0 or 1"),
        (torch.full((1, 1), 0.5), Space((1,), "levels", 3), "x: expected integers 0 … 2"),
    ],
)
def test_other_data_are_refused(x, space, said):
    with pytest.raises(ValueError, match=said):
        general(x, space)
