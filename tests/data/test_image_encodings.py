"""How files say what their numbers mean: which way up, which sign, and what is white."""

from __future__ import annotations

import struct

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
