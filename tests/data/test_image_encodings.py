"""How files say what their numbers mean: which way up, which sign, and what is white."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from reparam.data import load_data

RNG = np.random.default_rng(0)
ORIENTATION = 0x0112


def tiff(values, form=1, white_is_zero=False):
    """An uncompressed TIFF of one channel, as Pillow does not write all of them."""
    height, width = values.shape
    photometric = 0 if white_is_zero else 1
    entries = [(256, width), (257, height), (258, 8 * values.itemsize), (259, 1)]
    entries += [(262, photometric), (273, 8), (277, 1), (278, height), (279, values.nbytes)]
    table = b"".join(struct.pack("<HHII", *(tag, 4, 1, v)) for tag, v in [*entries, (339, form)])
    start = struct.pack("<2sHI", b"II", 42, 8 + values.nbytes) + values.tobytes()
    return start + struct.pack("<H", len(entries) + 1) + table + bytes(4)


def splits(folder, name, content):
    for split in ("train", "valid", "test"):
        (folder / split).mkdir(parents=True, exist_ok=True)
        (folder / split / name).write_bytes(content)
    return folder


@pytest.mark.parametrize(
    "suffix, dtype",
    [("tif", np.uint8), ("tif", np.uint16), ("tif", np.float32), ("png", np.uint8)]
    + [("png", np.uint16), ("webp", np.uint8)],
)
def test_what_lies_on_its_side_is_set_upright(tmp_path, suffix, dtype):
    values = np.arange(24).reshape(4, 6).astype(dtype)
    values[-1, -1] = 255
    said = Image.Exif()
    said[ORIENTATION] = 6
    Image.fromarray(values).save(tmp_path / f"a.{suffix}", exif=said, lossless=True)
    content = (tmp_path / f"a.{suffix}").read_bytes()
    data = load_data(splits(tmp_path / "all", f"a.{suffix}", content))
    assert np.array_equal(data.train.x[0, 0].numpy(), np.rot90(values, -1))
    assert not any("resized" in note for note in data.notes)


def test_white_is_zero_is_turned_round_at_16_bits_as_at_8(tmp_path):
    for dtype in (np.uint8, np.uint16):
        top = np.iinfo(dtype).max
        values = np.array([[0, top // 5, top]], dtype)
        folder = splits(tmp_path / str(top), "a.tif", tiff(values, white_is_zero=True))
        assert load_data(folder).train.x[0, 0].tolist() == [[255, 204, 0]]


@pytest.mark.parametrize(
    "values, options, reason",
    [
        (np.array([[-100, 0, 50]], np.int8), {"form": 2}, "of 8 bits with a sign"),
        (np.array([[0, 1]], np.float32), {"form": 3, "white_is_zero": True}, "zero is white"),
    ],
)
def test_numbers_that_would_be_taken_for_others_are_refused_by_name(
    tmp_path, values, options, reason
):
    splits(tmp_path, "a.png", png(np.array([[0, 1, 2]], np.uint8), tmp_path))
    (tmp_path / "train" / "b.tif").write_bytes(tiff(values, **options))
    (note,) = [note for note in load_data(tmp_path).notes if "could not be read" in note]
    assert f"b.tif ({reason}" in note


def png(values, folder):
    Image.fromarray(values).save(folder / "one.png")
    content = (folder / "one.png").read_bytes()
    (folder / "one.png").unlink()
    return content


def portable(values, top, plain=False):
    form = ("P2" if plain else "P5") if values.ndim == 2 else ("P3" if plain else "P6")
    pixels = (
        " ".join(map(str, values.ravel())).encode() if plain else values.astype(">u2").tobytes()
    )
    return f"{form} {values.shape[1]} {values.shape[0]} {top}\n".encode() + pixels


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("top", [4095, 65535])
def test_gray_maps_keep_the_numbers_that_are_in_them(tmp_path, plain, top):
    values = np.array([[0, 4095, 2048, 1]])
    data = load_data(splits(tmp_path, "a.pgm", portable(values, top, plain)), range=(0, 4095))
    assert data.train.x[0, 0].tolist() == [[0, 255, 128, 0]]
    assert not any("beyond the range" in note for note in data.notes)
    assert load_data(tmp_path).source["range"] == [0, 4095]


@pytest.mark.parametrize("plain", [False, True])
def test_maps_of_fewer_values_say_that_they_are_stretched(tmp_path, plain):
    values = np.array([[0, 15, 8, 1]])
    content = portable(values, 15, plain) if plain else b"P5 4 1 15\n" + bytes(values[0].tolist())
    data = load_data(splits(tmp_path, "a.pgm", content))
    assert data.train.x[0, 0].tolist() == [[0, 255, 136, 17]]
    assert any("values 0 to 15 were stretched to 0 to 255" in note for note in data.notes)


def test_plain_color_maps_of_16_bits_say_that_they_are_reduced(tmp_path):
    values = RNG.integers(0, 65536, (2, 3, 3))
    data = load_data(splits(tmp_path, "a.ppm", portable(values, 65535, plain=True)))
    assert "3 of 3 images: 16 bits a color were reduced to the upper 8." in data.notes


def png16(path, values, color_type):
    """A PNG file of 16 bits, which Pillow cannot write: 2 is in color, 4 is gray with alpha."""
    height, width, _ = values.shape
    header = struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0)
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    parts = {b"IHDR": header, b"IDAT": zlib.compress(lines), b"IEND": b""}
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts.items()
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def test_gray_with_alpha_of_16_bits_stays_gray(tmp_path):
    for i in range(4):  # black and opaque, too
        gray = np.full((4, 3), 256 * 50 * i, np.uint16)
        png16(tmp_path / f"{i}.png", np.stack([gray, np.full_like(gray, 65535)], -1), 4)
    data = load_data(tmp_path)
    assert data.space.shape == (1, 4, 3)
    assert sorted(int(x.max()) for s in data.splits.values() for x in s.x) == [0, 50, 100, 150]
    assert "4 of 4 images: 16 bits a color were reduced to the upper 8." in data.notes


def test_later_frames_of_gray_gif_files_stay_gray(tmp_path):
    grays = np.random.default_rng(0).integers(0, 256, (5, 8, 6)).astype(np.uint8)
    first, *others = map(Image.fromarray, grays)
    first.save(tmp_path / "a.gif", save_all=True, append_images=others)
    data = load_data(tmp_path, frames="all", test=tmp_path / "a.gif")
    assert data.space.shape == (1, 8, 6) and np.array_equal(data.test.x[:, 0], grays)
    red = Image.new("RGB", (6, 8), (200, 0, 0))
    red.save(tmp_path / "b.gif", save_all=True, append_images=[first])
    assert load_data(tmp_path, frames="all").space.shape == (3, 8, 6)


def test_color_of_12_in_16_bits_is_refused_with_a_remedy_that_works(tmp_path):
    values = np.random.default_rng(0).integers(0, 4096, (4, 5, 5, 3))
    for i, one in enumerate(values):
        png16(tmp_path / f"{i}.png", one, 2)
    with pytest.raises(ValueError, match="bring its values to 0 … 255 and save it with 8"):
        load_data(tmp_path)
    for i, one in enumerate(values):
        Image.fromarray((one // 16).astype(np.uint8)).save(tmp_path / f"{i}.png")
    assert load_data(tmp_path).train.x.max() > 250
