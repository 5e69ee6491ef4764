"""Images of Pillow's are read as their files are, in whatever they are handed over."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from raw_images import color_png, unsigned_tiff
from torch.utils.data import Dataset, IterableDataset

from reparam.data import load_data, load_rows
from reparam.data.contents import ReadOptions
from reparam.data.loading import read

RNG = np.random.default_rng(0)


FILES = {
    "of 32 bits": unsigned_tiff(np.array([[0, 2**31 + 7, 2**32 - 1], [1, 5, 99]], np.uint32)),
    "of 12 bits": b"P5 3 2 4095\n" + np.array([11, 4084, 99, 7, 500, 60], ">u2").tobytes(),
    "of 5 levels": b"P5 3 2 4\n" + bytes([0, 4, 2, 1, 3, 0]),
    "gray and alpha": color_png(np.array([[[9000, 65535], [60000, 65535], [5, 65535]]] * 2)),
    "in color": color_png(RNG.integers(0, 65536, (2, 3, 3)).astype(np.uint16)),
}


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
def test_opened_images_are_read_as_their_files_are_each_time(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    from_file = read([tmp_path / "a"], ReadOptions())
    picture = Image.open(io.BytesIO(content))
    for _ in range(2):  # decoded the second time
        in_memory = read([picture], ReadOptions())
        assert np.array_equal(in_memory.splits["train"].x, from_file.splits["train"].x)
        assert in_memory.notes == from_file.notes and in_memory.found == from_file.found


def test_large_integers_that_the_user_decoded_have_no_sign():
    picture = Image.open(io.BytesIO(FILES["of 32 bits"]))
    picture.load()
    assert read([picture], ReadOptions()).found["range"] == [0, 2**32 - 1]
    signed = Image.fromarray(np.array([[-5, 9]], np.int32))
    assert read([signed], ReadOptions()).found["range"] == [-5, 9]


def deep(*values):
    return [Image.fromarray(np.array([[0, value]], np.uint16)) for value in values]


def as_dataset(pictures):
    class Items(Dataset):
        def __len__(self):
            return len(pictures)

        def __getitem__(self, index):
            return pictures[index], index % 2

    return Items()


@pytest.mark.parametrize(
    "given",
    [
        lambda new: {"train": new, "test": new},
        lambda new: {"train": (new, [0, 1]), "test": (new, [0, 1])},
        lambda new: {"train": new, "test": as_dataset(new)},
        lambda new: {"x_train": new, "x_test": new},
        lambda new: {"images": new, "labels": ["a", "b"]},
        lambda new: ((new, [0, 1]), (new, [0, 1])),
    ],
)
def test_new_images_are_read_by_the_range_of_the_data_whatever_they_are_in(given):
    data = load_data(deep(4096, 2000, 1000, 500, 50))
    new = deep(1000, 2000)
    assert load_rows(new, data).x[:, 0, 0, 1].tolist() == [62, 125]
    assert load_rows(given(new), data).x[:, 0, 0, 1].tolist() == [62, 125]


def test_paths_by_split_are_read_by_the_range_of_the_data(tmp_path):
    data = load_data(deep(4096, 2000, 1000, 500, 50))
    deep(1000)[0].save(tmp_path / "a.png")
    pair = ([tmp_path / "a.png"], [0])
    for given in ({"train": pair[0], "test": pair[0]}, (pair, pair)):
        assert load_rows(given, data).x[:, 0, 0, 1].tolist() == [62]


def test_a_dictionary_of_images_in_color_for_data_in_gray():
    data = load_data(RNG.integers(0, 256, (9, 8, 8), np.uint8))
    pictures = [Image.fromarray(RNG.integers(0, 256, (9, 9, 3), np.uint8)) for _ in range(2)]
    rows = load_rows({"train": pictures, "test": pictures}, data)
    assert np.array_equal(rows.x, load_rows(pictures, data).x)


def test_images_that_are_x_of_a_dictionary_are_read_as_a_list_of_them_is():
    values = RNG.integers(0, 256, (6, 4, 5, 4), np.uint8)
    rgba = [Image.fromarray(x) for x in values]
    for pictures in (
        [x.convert("RGB").convert("P") for x in rgba],
        rgba,
        [x.convert("LA") for x in rgba],
        [Image.fromarray(x[..., 0].astype(np.uint16) * 9) for x in values],
    ):
        alone = read((pictures, range(6)), ReadOptions(size=3))
        named = read({"x": pictures, "y": range(6)}, ReadOptions(size=3, x="x"))
        of_splits = read({"x_test": pictures[:2], "x_train": pictures[2:]}, ReadOptions(size=3))
        parts = [of_splits.splits[split].x for split in ("test", "train")]
        for x in (named.splits["train"].x, np.concatenate(parts)):
            assert np.array_equal(x, alone.splits["train"].x)
        assert named.splits["train"].labels.tolist() == list(range(6))
        for contents in (named, of_splits):
            assert (contents.form, contents.found) == (alone.form, alone.found)
            assert set(contents.notes) == set(alone.notes)


def test_other_images_of_a_dictionary_are_arrays_not_used():
    x = [Image.fromarray(a) for a in RNG.integers(0, 256, (6, 4, 5), np.uint8)]
    masks = [Image.new("I", (4, 4)) for _ in x]
    assert "Arrays not used: masks." in load_data({"x": x, "masks": masks}).notes
    with pytest.raises(ValueError, match="item 1: expected an image as item 0 is"):
        load_data({"x": [x[0], np.zeros((4, 5))]})
    with pytest.raises(ValueError, match="decimal: does not apply"):
        load_data({"x": x}, decimal=",")


def test_a_damaged_image_in_memory_is_named():
    whole, damaged = (Image.open(io.BytesIO(FILES["in color"][:n])) for n in (None, 80))
    with pytest.raises(ValueError, match=r"1 of 2 images .*: image 1 \(.*truncated.*Leave them"):
        load_data([whole, damaged])


class Endless(Dataset):
    def __getitem__(self, index):
        return np.zeros((8, 8))


class Stream(IterableDataset):
    def __len__(self):
        return 3

    def __iter__(self):
        return iter(np.zeros((3, 8, 8)))


@pytest.mark.parametrize("source", [Endless(), Stream()])
def test_data_without_rows_by_number_are_refused_as_new_rows_too(source):
    data = load_data(RNG.integers(0, 256, (9, 8, 8), np.uint8))
    for call in (
        lambda: load_rows(source, data),
        lambda: load_data([Image.new("L", (8, 8), i) for i in range(9)], test=source),
    ):
        with pytest.raises(
            ValueError, match="(source|test): expected .* or map-style Dataset, got"
        ):
            call()
