"""What a folder holds: every image is read, and all that is not is named."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from reparam.data import load_data

RNG = np.random.default_rng(0)


def images(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RNG.integers(0, 256, (2, 3), np.uint8)).save(folder / name)


def three(folder, *folders):
    images(folder, *(f"{name}/{i}.png" for name in folders for i in range(3)))


def sizes(data):
    return [len(split) for split in data.splits.values()]


def notes(data):
    return "\n".join(data.notes)


def test_folders_with_one_folder_alone_are_looked_through(tmp_path):
    three(tmp_path, "archive/photos/cats", "archive/photos/dogs")
    data = load_data(tmp_path)
    assert data.class_names == ("cats", "dogs")
    assert "A single folder, 'archive/photos': looked through, classes are the folders" in notes(
        data
    )
    (tmp_path / "archive" / "photos" / "deeper").mkdir()
    assert "1 folders without images: archive/photos/deeper." in load_data(tmp_path).notes


def test_splits_below_single_folders_and_classes_below_theirs(tmp_path):
    three(tmp_path, "set/train/images/a", "set/train/images/b", "set/test/images/a")
    data = load_data(tmp_path)
    assert sizes(data) == [5, 1, 3] and data.class_names == ("a", "b")


def test_a_class_that_is_alone_in_one_split_stays_one(tmp_path):
    three(tmp_path, "train/a", "train/b", "test/a")
    data = load_data(tmp_path)
    assert data.class_names == ("a", "b") and data.test.labels.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "train, test",
    [
        ("training_set", "test_set"),
        ("seg_train", "seg_test"),
        ("Train Images", "test-images"),
        ("trainset", "testset"),
        ("train2017", "test2017"),
        ("imagesTrain", "imagesTest"),
        ("train", "test_photos"),
    ],
)
def test_splits_by_other_names(tmp_path, train, test):
    three(tmp_path, f"{train}/a", f"{train}/b", f"{test}/a")
    data = load_data(tmp_path)
    assert sizes(data) == [5, 1, 3] and data.class_names == ("a", "b")
    assert f"{test} (test)" in notes(data) and f"{train} (train)" in notes(data)


@pytest.mark.parametrize("train, test", [("seg_train", "seg_test"), ("training_set", "test_set")])
def test_folders_of_splits_within_themselves_are_no_classes(tmp_path, train, test):
    three(tmp_path, f"a/{train}/{train}/a", f"a/{train}/{train}/b", f"a/{test}/{test}/a")
    data = load_data(tmp_path)
    assert sizes(data) == [5, 1, 3] and data.class_names == ("a", "b")
    assert data.test.labels.tolist() == [0, 0, 0]
    said = f"Folders named as the splits they are in, looked through: {test}/{test}, "
    assert f"{said}{train}/{train}." in data.notes
    three(tmp_path / "one", f"{train}/{train}/a", f"{train}/{train}/b", f"{test}/a", f"{test}/b")
    assert load_data(tmp_path / "one").class_names == ("a", "b")
    three(tmp_path / "none", f"{train}/{train}", f"{test}/{test}")
    assert load_data(tmp_path / "none").class_names is None


def test_a_third_folder_beside_splits_is_named(tmp_path):
    three(tmp_path, "seg_train/a", "seg_train/b", "seg_dev/a", "seg_test/b", "seg_pred")
    data = load_data(tmp_path)
    assert sizes(data) == [6, 3, 3]
    assert "Not used, beside the folders of splits: seg_pred." in data.notes


def test_classes_that_only_look_like_splits_are_said_to(tmp_path):
    three(tmp_path, "test_tube", "training_shoes")
    data = load_data(tmp_path)
    assert data.class_names == ("test_tube", "training_shoes")
    assert "These class names look like splits: test_tube, training_shoes." in notes(data)
    three(tmp_path / "inside", "cats/train", "cats/test", "dogs/train", "dogs/test")
    data = load_data(tmp_path / "inside")
    assert data.class_names == ("cats", "dogs")
    assert "look like splits: cats/test, cats/train, dogs/test, dogs/train." in notes(data)
    three(tmp_path / "plain", "cats", "contests")
    assert "look like" not in notes(load_data(tmp_path / "plain"))


def test_folders_within_classes_are_named(tmp_path):
    three(tmp_path, "animals/cats", "animals/dogs", "cars")
    data = load_data(tmp_path)
    assert data.class_names == ("animals", "cars")
    assert (
        "Folders within those of classes, told apart by nothing: animals/cats, animals/dogs."
        in (data.notes)
    )


def test_links_to_folders_are_followed_once(tmp_path):
    three(tmp_path / "elsewhere", "dogs")
    three(tmp_path / "photos", "cats")
    (tmp_path / "photos" / "dogs").symlink_to(tmp_path / "elsewhere" / "dogs")
    (tmp_path / "photos" / "again").symlink_to(tmp_path / "photos" / "cats")
    (tmp_path / "photos" / "cats" / "loop").symlink_to(tmp_path / "photos")
    (tmp_path / "photos" / "lost.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "photos" / "self.png").symlink_to(tmp_path / "photos" / "self.png")
    data = load_data(tmp_path / "photos")
    assert data.class_names == ("cats", "dogs") and sum(sizes(data)) == 6
    (note,) = [note for note in data.notes if "could not be read" in note]
    assert note == (
        "4 could not be read: again (leads to a folder that is read already), loop (leads to a "
        "folder that is read already), lost.png (leads nowhere), self.png (Too many levels of "
        "symbolic links)."
    )


@pytest.mark.parametrize("background", [None, 255])
def test_a_background_that_is_no_color_is_refused(tmp_path, background):
    three(tmp_path, "a")
    with pytest.raises(ValueError, match="background: expected a color"):
        load_data(tmp_path, background=background)


def test_all_else_is_named(tmp_path):
    """Wherever it lies, beside the folders of splits too."""
    three(tmp_path, "train", "test")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "labels.csv").write_text("a")
    (tmp_path / ".DS_Store").write_text("a")
    images(tmp_path, "__MACOSX/a.png", "train/.thumbs/a.png", "top.png")
    (tmp_path / "train" / "photo.heic").write_text("a")
    (tmp_path / "empty").mkdir()
    found = load_data(tmp_path).notes
    assert "2 files of another kind than images left out: labels.csv, photo.heic." in found
    assert "3 hidden entries left out: .DS_Store, .thumbs, __MACOSX." in found
    assert "1 could not be read: pipe.png (is no file)." in found
    assert "Not used, beside the folders of splits: top.png." in found
    assert "1 folders without images: empty." in found


def test_many_other_files_are_told_by_their_kinds(tmp_path):
    three(tmp_path, "a", "b")
    for i in range(9):
        (tmp_path / f"{i}.{'xml' if i % 2 else 'txt'}").write_text("a")
    found = load_data(tmp_path).notes
    assert any(n.startswith("9 files") and n.endswith("4 more (.txt, .xml).") for n in found)


def test_a_folder_that_cannot_be_opened_is_named(tmp_path, monkeypatch):
    three(tmp_path, "a", "b", "locked")
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert "1 could not be read: locked (Permission denied)." in load_data(tmp_path).notes


def test_a_very_deep_tree_is_read(tmp_path):
    deep = tmp_path
    for _ in range(200):
        deep = deep / "a"
    os.makedirs(deep)
    images(deep, "0.png", "1.png", "2.png")
    assert sum(sizes(load_data(tmp_path))) == 3


def test_images_without_a_suffix_are_named_where_there_is_nothing_else(tmp_path):
    (tmp_path / "IMG_0001").write_text("a")
    with pytest.raises(ValueError, match="holds no images .*; there is IMG_0001"):
        load_data(tmp_path)
