"""What Python users have at hand: items, pairs of pairs, Bunches, paths, pictures, named arrays."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from loading import Items
from PIL import Image
from sklearn.datasets import load_diabetes, load_digits, load_iris
from torch.utils.data import DataLoader, TensorDataset

from reparam.data import load_data, load_rows

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 3)).astype(np.float32)
Y = np.arange(20) % 2


def by_row(data):
    """The label of every x there is, by the first entry of x."""
    return {
        round(float(x.flatten()[0]), 4): data.class_names[label]
        for split in data.splits.values()
        for x, label in zip(split.x, split.labels, strict=True)
    }


EXPECTED = {round(float(x[0]), 4): str(y) for x, y in zip(X, Y, strict=True)}


@pytest.mark.parametrize(
    "items",
    [
        [{"image": x, "label": y, "id": i} for i, (x, y) in enumerate(zip(X, Y, strict=True))],
        [(torch.tensor(x), torch.tensor(y), "path") for x, y in zip(X, Y, strict=True)],
        [(x, [y][0], 3, None) for x, y in zip(X, Y, strict=True)],
    ],
    ids=["dictionaries", "triples", "four parts"],
)
def test_items_of_several_parts_are_x_and_label(items):
    data = load_data(items)
    assert by_row(data) == EXPECTED
    rest = {"id": "id", "path": "part 2"}.get(list(items[0])[-1], "part 2, part 3")
    assert f"Not used of the items: {rest}." in data.notes


def test_parts_of_items_by_name():
    items = [{"a": x, "b": y, "image": x * 2} for x, y in zip(X, Y, strict=True)]
    assert by_row(load_data(items, x="a", y="b")) == EXPECTED
    with pytest.raises(ValueError, match="y: no array 'c' among"):
        load_data(items, x="a", y="c")
    with pytest.raises(ValueError, match="x: names a part of items that are dictionaries"):
        load_data(list(X), x="a")
    with pytest.raises(ValueError, match="x: does not apply to data in memory"):
        load_data(X, x="a")
    with pytest.raises(ValueError, match=r"item 0: no training examples among \['a', 'b'\]"):
        load_data([{"a": 1, "b": 2}] * 9)


def test_a_pair_of_pairs_is_training_and_test():
    data = load_data(((X, Y), (X[:4] + 1, Y[:4])))
    assert np.array_equal(data.test.x, X[:4] + 1) and data.test.labels.tolist() == [0, 1, 0, 1]
    assert len(data.train) + len(data.valid) == 20
    rows = load_data(((X[0], X[1], X[2]), (0, 1, 0)))  # three rows and their labels
    assert len(rows.train) == 1 and rows.class_names == ("0", "1")


def test_a_dictionary_of_splits_holds_anything():
    frame = pd.DataFrame(X, columns=list("abc")).assign(kind=np.where(Y, "yes", "no"))
    data = load_data({"train": frame, "test": frame[:3]}, label="kind")
    assert data.columns == ("a", "b", "c") and data.class_names == ("no", "yes")
    assert np.array_equal(data.test.x, X[:3])
    sets = {"train": TensorDataset(torch.tensor(X)), "val": list(X[:4]), "test": (X[:5], Y[:5])}
    assert [len(split) for split in load_data(sets).splits.values()] == [20, 4, 5]
    with pytest.raises(ValueError, match="test has no column 'a', which the training data"):
        load_data({"train": frame[["a"]], "test": frame[["b"]]})
    with pytest.raises(ValueError, match="test has other columns than train"):
        load_data({"train": frame[["a", "b", "c"]], "test": X[:3]})
    data = load_data({"train": frame, "test": frame[["kind", "c", "a", "b"]][:3]}, label="kind")
    assert np.array_equal(data.test.x, X[:3])


@pytest.mark.parametrize("as_frame", [False, True])
def test_bunch_of_classes(as_frame):
    data = load_data(load_iris(as_frame=as_frame))
    assert data.class_names == ("setosa", "versicolor", "virginica")
    assert data.columns[0] == "sepal length (cm)" and data.space.classes == 3


def test_bunch_of_images_and_of_quantities():
    bunch = load_digits()
    data = load_data(bunch)
    assert data.space.shape == (1, 8, 8) and data.class_names == tuple("0123456789")
    data = load_data(load_diabetes())
    assert data.train.labels is None and "No labels: 'target' is a quantity." in data.notes


def test_label_is_a_number_of_numpys():
    data = load_data(pd.DataFrame({0: X[:, 0], 2: Y}), label=np.int64(2))
    assert data.space.shape == (1,) and data.class_names == ("0", "1")


def test_data_loader_is_told_the_line():
    loader = DataLoader(TensorDataset(torch.tensor(X)))
    with pytest.raises(ValueError, match=r"got a DataLoader; give loader\.dataset"):
        load_data(loader)


def test_list_of_paths(tmp_path):
    paths = []
    for i in range(6):
        folder = tmp_path / f"{i % 2}"
        folder.mkdir(exist_ok=True)
        paths.append(folder / f"{i}.png")
        Image.fromarray(np.full((4, 6), 40 * i, np.uint8)).save(paths[-1])
    data = load_data((list(map(str, paths)), ["a", "b"] * 3), size=4)
    assert data.space.shape == (1, 4, 4) and data.space.levels == 256
    for split in data.splits.values():
        for x, label, path in zip(split.x, split.labels, split.files.paths, strict=True):
            assert int(path.stem) * 40 == x[0, 0, 0] and int(path.stem) % 2 == label
    assert torch.equal(load_rows(paths[:1], data).x, load_rows(paths[0], data).x)  # of one size
    with pytest.raises(ValueError, match="no file '.*gone.png'"):
        load_data([paths[0], tmp_path / "gone.png"])
    paths[2].write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"could not be read.*2\.png"):
        load_data(paths)


def test_palettes_in_memory_are_looked_up():
    """An index into a palette is no gray value."""
    colors = RNG.integers(0, 256, (9, 4, 4, 3)).astype(np.uint8) // 64 * 64
    palettes = [Image.fromarray(c).convert("P", palette=Image.Palette.ADAPTIVE) for c in colors]
    expected = np.stack([np.asarray(p.convert("RGB")) for p in palettes]).transpose(0, 3, 1, 2)
    data = load_data({"train": palettes, "valid": palettes, "test": palettes})
    assert np.array_equal(data.train.x, expected) and data.space.levels == 256
    gray = Image.new("P", (4, 4), 1)
    gray.putpalette([0, 0, 0, 200, 200, 200])
    data = load_data([gray, *palettes, (gray, 3)[0]])
    assert data.space.shape == (3, 4, 4)  # gray among color, as in a folder
    assert np.array_equal(load_rows(palettes[3], data).x, expected[3:4])
    black = Image.new("P", (4, 4), 0)
    black.putpalette([9, 9, 9])
    items = [{"image": one, "label": 3} for one in (gray, black, gray, black, gray)]
    assert load_data(items).space.shape == (1, 4, 4)
    data = load_data([(gray, 3), (Image.new("L", (4, 4), 9), 4), (gray, 3)])
    assert data.space.shape == (1, 4, 4) and set(data.class_names) == {"3", "4"}
    assert {int(s.x.max()) for s in data.splits.values()} == {9, 200}


@pytest.mark.parametrize("fit_size", ["crop", "pad"])
def test_pictures_in_memory_are_read_as_files_are(tmp_path, fit_size):
    sizes = [(6, 4, 4), (9, 5, 4), (3, 7, 4)]
    pictures = [Image.fromarray(RNG.integers(0, 256, s).astype(np.uint8), "RGBA") for s in sizes]
    paths = [tmp_path / f"{i}.png" for i in range(len(pictures))]
    for picture, path in zip(pictures, paths, strict=True):
        picture.save(path)
    options = {"size": (4, 5), "fit_size": fit_size, "background": "red"}
    expected = load_data((paths, [0, 1, 0]), **options)
    for source in ((pictures, [0, 1, 0]), list(zip(pictures, [0, 1, 0], strict=True))):
        data = load_data(source, **options)
        assert data.fingerprint() == expected.fingerprint() and data.train.x.any()
    items = Items([(picture, 0) for picture in pictures])
    data = load_data(items, **options, test=items)  # by the channels and the size of the others
    assert data.test.x.equal(load_data(paths, **options, test=paths).test.x)
    with pytest.raises(ValueError, match="frames: does not apply to images in memory"):
        load_data(pictures, frames="all")
    with pytest.raises(ValueError, match="image 0 is 6 × 4 and image 1 is 9 × 5"):
        load_data(pictures)


def test_pictures_in_memory_that_are_transparent_or_deep():
    icon = Image.new("RGBA", (2, 2), (0, 0, 0, 0))
    icon.putpixel((0, 0), (0, 0, 0, 255))
    data = load_data([icon] * 3)
    assert data.train.x[0].float().mean() == 0.75 and data.space.kind == "binary"
    assert "3 of 3 images: what is transparent became white (background)." in data.notes
    gray = load_data([icon.convert("LA")] * 3, background="gray")
    assert gray.space.shape == (1, 2, 2) and gray.train.x[0, 0, 1].tolist() == [128] * 2
    blue = load_data({"train": [icon], "valid": [icon], "test": [icon]}, background="#0000ff")
    assert blue.test.x[0, :, 1, 1].tolist() == [0, 0, 1]  # 0, 0, 255 as binary
    deep = [Image.fromarray(np.array([[0, top, 9]], np.uint16)) for top in (4000, 2000, 4000)]
    data = load_data(deep, range=(0, 8000))
    assert sorted({int(x.max()) for s in data.splits.values() for x in s.x}) == [64, 128]
    assert load_rows(deep[:1], data).x.flatten().tolist() == [0, 128, 0]  # by the range of data
    assert load_rows(deep[0], data).x.flatten().tolist() == [0, 128, 0]


@pytest.mark.parametrize(
    "names",
    [
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("trainX", "trainY", "testX", "testY"),
        ("images_train", "targets_train", "images_test", "targets_test"),
        ("imgs", "label", "imgs_test", "label_test"),
    ],
)
def test_common_names_of_arrays(tmp_path, names):
    np.savez(tmp_path / "set.npz", **dict(zip(names, (X, Y, X[:5], Y[:5]), strict=True)))
    data = load_data(tmp_path / "set.npz")
    assert np.array_equal(data.test.x, X[:5]) and data.test.labels.tolist() == Y[:5].tolist()
    assert len(data.train) == 18 and not any("not used" in note for note in data.notes)


def test_other_names_of_arrays_are_asked_for(tmp_path):
    path = tmp_path / "set.npz"
    np.savez(path, pics=X, kinds=Y, pics_test=X[:5], kinds_test=Y[:5], coarse=Y)
    with pytest.raises(ValueError, match=r"say which they are with x and y \(--x, --y\)"):
        load_data(path)
    data = load_data(path, x="pics", y="kinds")
    assert np.array_equal(data.test.x, X[:5]) and data.test.labels.tolist() == Y[:5].tolist()
    assert "Arrays not used: coarse." in data.notes
    assert load_data(**data.source).fingerprint() == data.fingerprint()
    with pytest.raises(ValueError, match="x: no array 'picks' among"):
        load_data(path, x="picks")
    assert by_row(load_data({"pics": X, "kinds": Y}, x="pics", y="kinds")) == EXPECTED


def test_asked_names_among_common_ones(tmp_path):
    path = tmp_path / "set.npz"
    np.savez(path, train_images=X, fine=Y, test_images=X[:5], x=X * 2)
    data = load_data(path, x="train_images", y="fine")
    assert np.array_equal(data.test.x, X[:5]) and data.class_names == ("0", "1")
    rows = load_data(path, x="x", y="fine").train.x[:, 0].double()
    assert torch.isin(rows, torch.tensor(2 * X[:, 0]).double()).all()  # the asked one, not both


def test_a_pickled_array_beside_good_ones_is_left_out(tmp_path):
    """As in the file of dSprites."""
    bits = RNG.integers(0, 2, (20, 8, 8)).astype(np.uint8)
    factors = RNG.normal(size=(20, 6))
    np.savez(
        tmp_path / "dsprites.npz",
        metadata=np.array({"date": 2017}, dtype=object),
        imgs=bits,
        latents_classes=factors.astype(np.int64),
        latents_values=factors,
    )
    data = load_data(tmp_path / "dsprites.npz")
    assert data.space.shape == (1, 8, 8) and data.space.kind == "binary"
    assert data.train.factors.shape == (14, 6)
    assert "Not read, as they hold Python objects (pickled): metadata." in data.notes
    assert "Arrays not used: latents_classes." in data.notes


def test_pickled_examples_or_labels_are_refused_by_name(tmp_path):
    path = tmp_path / "set.npz"
    np.savez(path, x=X, y=np.array(["a", "b"] * 10, object))
    with pytest.raises(ValueError, match=r"\(pickled\), which are not read for safety: y; save"):
        load_data(path)
    assert load_data(path, drop="y").train.labels is None
    np.savez(path, x=np.array(["a", 1] * 10, object), y=Y)
    with pytest.raises(ValueError, match="for safety: x;"):  # the labels are not taken for x
        load_data(path)


def test_pictures_of_one_list_are_alike_or_it_is_said():
    gray, color = Image.new("L", (4, 4), 9), Image.new("RGB", (4, 4), (1, 2, 3))
    deep = Image.fromarray(np.full((4, 4), 40_000, np.uint16))
    data = load_data([gray, color] * 10)
    assert "10 gray images got three equal channels, as others are in color." in data.notes
    with pytest.raises(ValueError, match="image 1 has more than 8 bits and image 0 has 8"):
        load_data([gray, deep] * 10)
    file = io.BytesIO()
    frames = [Image.fromarray(np.full((4, 4), i, np.uint8)) for i in range(20)]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    several = load_data([Image.open(file), *frames])
    assert any("several frames, of which one was taken and 19" in n for n in several.notes)


def test_messages_blame_the_argument_that_was_given():
    for given in ("x", "y"):
        with pytest.raises(ValueError, match=f"^{given}: names a part of items"):
            load_data([(X[0], 1)] * 3, **{given: "kinds"})


@pytest.mark.parametrize("source", ["", [""], [Path("a.png"), ""]])
def test_empty_paths_have_one_message(source):
    with pytest.raises(ValueError, match="^source: expected a path, got an empty one$"):
        load_data(source)
    with pytest.raises(ValueError, match="^test: expected a path, got an empty one$"):
        load_data(X, test=source)
