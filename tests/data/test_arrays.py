"""Objects in memory: arrays, tensors, pairs, dictionaries, datasets; axes, splits and labels."""

import numpy as np
import pytest
import torch
from loading import Items
from torch.utils.data import IterableDataset, Subset, TensorDataset

from reparam.data import Data, Split, load_data
from reparam.model import Space

RNG = np.random.default_rng(0)
REAL = RNG.normal(size=(50, 3))


def whole(data: Data) -> np.ndarray:
    return np.concatenate([split.x.numpy() for split in data.splits.values()])


def sorted_rows(x: np.ndarray) -> np.ndarray:
    flat = x.reshape(len(x), -1)
    return flat[np.lexsort(flat.T)]


def test_carving_partitions_the_rows_deterministically():
    data, same, other = (load_data(REAL, seed=seed) for seed in (0, 0, 1))
    assert [len(split) for split in data.splits.values()] == [35, 5, 10]
    assert np.array_equal(sorted_rows(whole(data)), sorted_rows(REAL))
    assert data.fingerprint() == same.fingerprint() != other.fingerprint()
    assert data.notes[-1] == "Carved from 50 rows with seed 0: valid 5, test 10."
    assert data.source is None


def test_carved_rows_keep_their_labels_and_factors():
    x = np.arange(40.0)[:, None]
    data = load_data({"x": x, "y": np.arange(40) % 4, "factors": x * 2})
    for split in data.splits.values():
        assert torch.equal(split.labels, split.x[:, 0].long() % 4)
        assert torch.equal(split.factors.double(), split.x * 2)


def test_given_splits_are_kept_and_only_the_missing_one_is_carved():
    data = load_data({"train": REAL[:30], "test": REAL[30:]})
    assert np.array_equal(data.test.x, REAL[30:])
    assert (len(data.train), len(data.valid)) == (27, 3)
    data = load_data({"x_train": REAL[:30], "x_val": REAL[30:40], "x_test": REAL[40:]})
    assert np.array_equal(data.train.x, REAL[:30]) and np.array_equal(data.valid.x, REAL[30:40])


@pytest.mark.parametrize("rows, given", [(2, {}), (1, {"test": REAL})])
def test_too_few_rows_to_carve(rows, given):
    with pytest.raises(ValueError, match=rf"expected at least {rows + 1} rows.*got {rows}"):
        load_data({"train": REAL[:rows], **given})


def test_three_rows_are_enough():
    assert [len(split) for split in load_data(REAL[:3]).splits.values()] == [1, 1, 1]


@pytest.mark.parametrize(
    "shape, expected, move",
    [
        ((9, 4, 6), (1, 4, 6), lambda x: x[:, None]),
        ((9, 4, 6, 3), (3, 4, 6), lambda x: x.transpose(0, 3, 1, 2)),
        ((9, 4, 6, 1), (1, 4, 6), lambda x: x.transpose(0, 3, 1, 2)),
        ((9, 3, 4, 6), (3, 4, 6), lambda x: x),
        ((9, 1, 4, 6), (1, 4, 6), lambda x: x),
        ((9, 3, 4, 3), (3, 4, 3), lambda x: x),
        ((9, 2, 4, 6), (2, 4, 6), lambda x: x),
        ((9, 4, 6, 4), (4, 6, 4), lambda x: x),
        ((9, 6, 6, 2), (2, 6, 6), lambda x: x.transpose(0, 3, 1, 2)),
        ((9, 13, 16, 5), (5, 13, 16), lambda x: x.transpose(0, 3, 1, 2)),
        ((9, 5, 13, 16), (5, 13, 16), lambda x: x),
        ((9, 5), (5,), lambda x: x),
        ((9,), (1,), lambda x: x[:, None]),
    ],
)
def test_axes(shape, expected, move):
    x = RNG.integers(0, 256, shape, np.uint8)
    data = load_data({"train": x, "valid": x, "test": x})
    assert data.space.shape == expected
    assert np.array_equal(data.train.x, move(x)) and data.train.x.is_contiguous()


def test_unusual_channels_are_noted():
    x = RNG.integers(0, 256, (9, 4, 6, 6), np.uint8)
    data = load_data(x)
    assert data.space == Space((4, 6, 6), "levels", 256)
    assert data.notes[0].startswith("The first axis, of 4, was taken for channels. Pictures show")
    last = load_data(x.transpose(0, 2, 3, 1))
    assert last.notes[0].startswith("Channels, 4, came last, on the shorter axis: moved to (C, H,")
    assert last.fingerprint() == data.fingerprint()


def test_ambiguous_axes_are_noted():
    x = RNG.normal(size=(9, 3, 4, 3))
    assert "Axes (3, 4, 3) could be read both ways: taken as (C, H, W)." in load_data(x).notes


def test_other_axes_are_refused():
    with pytest.raises(ValueError, match=r"array: train: expected shape \(N, D\)"):
        load_data(RNG.normal(size=(9, 1, 2, 3, 4)))


def test_splits_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"one shape in all splits, got train \(3,\), test \(2,\)"):
        load_data({"train": REAL, "test": REAL[:, :2]})


@pytest.mark.parametrize("empty", [np.zeros((0, 3)), np.zeros((3, 0)), np.float64(3.0)])
def test_empty_arrays_are_refused(empty):
    with pytest.raises(ValueError, match="is empty|has no entries"):
        load_data(np.asarray(empty))
    with pytest.raises(ValueError, match="test is empty"):
        load_data({"train": REAL, "test": np.zeros((0, 3))})


def test_memory_is_not_shared_with_the_caller():
    x = REAL.copy()
    data = load_data({"train": x, "valid": x, "test": x})
    x[:] = 0
    assert np.array_equal(data.train.x, REAL)


@pytest.mark.parametrize(
    "source",
    [
        torch.tensor(REAL, requires_grad=True),
        list(map(list, REAL)),
        list(REAL),
        TensorDataset(torch.tensor(REAL)),
        Subset(TensorDataset(torch.tensor(REAL), torch.zeros(50, dtype=torch.long)), range(50)),
    ],
    ids=["tensor", "lists", "list of arrays", "TensorDataset", "Subset"],
)
def test_other_objects_hold_the_same_numbers(source):
    data = load_data(source)
    assert np.array_equal(whole(data), whole(load_data(REAL)))


def test_dataset_of_pairs_has_labels():
    items = [(torch.full((1, 2, 2), float(i)), torch.tensor(i % 3)) for i in range(12)]
    data = load_data(Items(items))
    for split in data.splits.values():
        assert torch.equal(split.labels, split.x[:, 0, 0, 0].long() % 3)
    assert data.space == Space((1, 2, 2), "real", classes=3)


def test_dataset_of_different_shapes_is_refused():
    with pytest.raises(ValueError, match=r"item 1: expected shape \(2,\).*got \(3,\)"):
        load_data(Items([torch.zeros(2), torch.zeros(3)]))
    with pytest.raises(ValueError, match=r"item 1: expected shape \(2,\)"):
        load_data([[1, 2], [1, 2, 3]])


def test_dataset_with_some_labels_is_refused():
    with pytest.raises(ValueError, match="item 1: labels for some items only"):
        load_data(Items([(torch.zeros(2), 1), torch.zeros(2)]))


class Stream(IterableDataset):
    """A dataset without a length."""

    def __iter__(self):
        yield torch.zeros(2)


@pytest.mark.parametrize("source", [Stream(), 3, None, "", b"abc", Items([])])
def test_what_is_no_data_is_refused(source):
    with pytest.raises(ValueError, match="expected a name, path, array|is empty|an empty one"):
        load_data(source)


def test_sparse_and_masked_arrays():
    sparse = pytest.importorskip("scipy.sparse").csr_matrix(REAL)
    with pytest.raises(ValueError, match=r"got a sparse one; give x.toarray\(\)"):
        load_data(sparse)
    with pytest.raises(ValueError, match="array: has masked cells"):
        load_data(np.ma.array(REAL, mask=REAL > 1))
    eye = torch.eye(20)
    assert np.array_equal(whole(load_data(eye.to_sparse())), whole(load_data(eye)))


def test_objects_are_refused():
    ragged = np.array([[1, 2], [3]], dtype=object)
    with pytest.raises(ValueError, match="array: train holds Python objects"):
        load_data(ragged)
    with pytest.raises(ValueError, match="array: train holds <U1, not numbers"):
        load_data(np.array([["a"], ["b"], ["c"]]))


@pytest.mark.parametrize(
    "labels, names",
    [
        (np.arange(50) % 3, ("0", "1", "2")),
        (np.arange(50) % 3 * 10 - 10, ("-10", "0", "10")),
        (np.array(["b", "a"] * 25), ("a", "b")),
        (np.array(["b", "a"] * 25, dtype=object), ("a", "b")),
        (np.arange(50)[:, None] % 2 == 0, ("False", "True")),
        (np.arange(50) % 2 * 1.0, ("0", "1")),
        (torch.arange(50) % 2, ("0", "1")),
        (["cat", "dog"] * 25, ("cat", "dog")),
    ],
)
def test_labels_become_indices_of_sorted_classes(labels, names):
    x = np.arange(50.0)[:, None]
    expected = np.asarray(labels).reshape(50)
    for data in (load_data(x, label=labels), load_data((x, labels))):
        assert data.class_names == names and data.space.classes == len(names)
        for split in data.splits.values():
            assert split.labels.dtype == torch.int64
            rows = split.x[:, 0].long().numpy()
            got = [names[i] for i in split.labels]
            wanted = expected[rows].astype(int) if expected.dtype == float else expected[rows]
            assert got == list(map(str, wanted))


def test_wrong_number_of_labels_is_refused_with_both_lengths():
    with pytest.raises(ValueError, match=r"array: train has 50 rows, but labels of shape \(49,\)"):
        load_data(REAL, label=np.zeros(49, int))


@pytest.mark.parametrize(
    "labels, message",
    [
        (RNG.normal(size=50), r"labels of float64 \(.*\); expected integers or strings"),
        (np.array([1, "a"] * 25, dtype=object), "labels of int and str"),
        (np.array(["a", None] * 25, dtype=object), "train row 1 has no label"),
        (np.array([1, np.nan] * 25, dtype=object), "train row 1 has no label"),
    ],
)
def test_labels_that_are_no_classes_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        load_data(REAL, label=labels)


def test_labels_are_where_they_are():
    y = np.arange(50) % 2
    data = load_data({"x_train": REAL, "y_train": y, "x_test": REAL[:7]})
    assert data.test.labels is None and data.class_names == ("0", "1")
    assert len(data.valid.labels) == 5 and len(data.train.labels) == 45  # carved from train
    assert any(note.startswith("No labels in test:") for note in data.notes)
    data = load_data({"x_train": REAL, "x_test": REAL, "y_test": y})
    assert data.train.labels is None and data.test.labels.tolist() == y.tolist()
    assert any(note.startswith("No labels in train:") for note in data.notes)


def test_label_that_training_lacks_is_noted():
    y = np.zeros(50, int)
    data = load_data({"x_train": REAL, "y_train": y, "x_test": REAL, "y_test": y + 1})
    assert data.class_names == ("0", "1") and set(data.test.labels.tolist()) == {1}
    assert "Classes without training examples: 1." in data.notes


def test_a_second_source_is_the_test_split():
    data = load_data((REAL[:40], [0, 1] * 20), test=(REAL[40:], [1, 0] * 5))
    assert np.array_equal(data.test.x, REAL[40:]) and data.test.labels.tolist() == [1, 0] * 5
    with pytest.raises(ValueError, match="test: dictionary has a test split already"):
        load_data({"train": REAL, "test": REAL}, test=REAL)


def test_dictionary_without_training_examples_is_refused():
    with pytest.raises(ValueError, match=r"no training examples among \['b', 'test'\]"):
        load_data({"test": REAL, "b": REAL})
    with pytest.raises(ValueError, match="drop: no array 'c' among"):
        load_data({"train": REAL, "test": REAL}, drop="c")


def test_options_that_do_not_apply_are_refused():
    with pytest.raises(ValueError, match="label: does not apply to data in memory"):
        load_data(REAL, label="y")
    with pytest.raises(ValueError, match="size: does not apply"):
        load_data(REAL, size=8)


def test_split_and_data_check_themselves():
    with pytest.raises(ValueError, match="labels: expected 3, one per row of x, got 2"):
        Split(torch.zeros(3, 2), torch.zeros(2, dtype=torch.long))
    with pytest.raises(ValueError, match="at least 1 row"):
        Split(torch.zeros(0, 2))
    split = Split(torch.zeros(3, 2))
    with pytest.raises(ValueError, match=r"train: expected examples of \(4,\), got \(2,\)"):
        Data(split, split, split, Space((4,), "real"), "x")


CELLS = np.where(np.arange(150).reshape(50, 3) == 10, np.nan, REAL)  # one is missing in row 3
HOLE = {"x": CELLS, "feature_names": list("abc")}


def test_rows_are_dropped_whatever_the_shape_of_what_stands_beside_x():
    y, c = np.arange(50), np.arange(50.0)
    for beside in ({"y": y[:, None]}, {"attributes": c}, {"factors": c}, {"y": y, "factors": c}):
        data = load_data({**HOLE, **beside}, missing="drop")
        assert np.array_equal(
            sorted_rows(whole(data)), sorted_rows(np.float32(np.delete(REAL, 3, 0)))
        )
        for split in data.splits.values():
            rows = [int((np.float32(REAL[:, 0]) == x[0].item()).argmax()) for x in split.x]
            assert "factors" not in beside or split.factors.ravel().tolist() == rows
            assert "attributes" not in beside or split.attributes.ravel().tolist() == rows
            if "y" in beside:
                assert [int(data.class_names[label]) for label in split.labels] == rows
    c = np.where(c == 7, np.nan, c)
    data = load_data({**HOLE, "attributes": c}, missing="drop")
    assert len(whole(data)) == 48 and "Left out: 2 rows with missing cells." in data.notes


@pytest.mark.parametrize(
    "beside, expected",
    [
        ({"y": np.arange(49)}, "50 rows, but labels of shape .49,."),
        ({"y": np.zeros((50, 2), int)}, "rows, but labels of shape"),
        ({"y": np.array(1)}, "50 rows, but labels of shape .."),
        ({"attributes": np.zeros((49, 1))}, "attributes: expected shape .50, F., .* got .49, 1."),
        ({"factors": np.zeros(51)}, "factors: expected shape .50, F., .* got .51, 1."),
    ],
)
def test_dropping_rows_leaves_other_lengths_to_be_refused(beside, expected):
    with pytest.raises(ValueError, match=expected):
        load_data({**HOLE, **beside}, missing="drop")


@pytest.mark.parametrize("by_test", [False, True])
def test_splits_are_ordered_by_the_names_in_training(by_test):
    def loaded(test):
        return load_data(train, test=test) if by_test else load_data({"train": train, "test": test})

    train = {"x": REAL, "feature_names": list("abc")}
    train |= {"attributes": REAL[:, :2], "attribute_names": ["u", "v"]}
    train |= {"factors": REAL[:, 1:], "factor_names": ["s", "t"]}
    test = {"x": REAL[:, ::-1], "feature_names": list("cba")}
    test |= {"attributes": REAL[:, 1::-1], "attribute_names": ["v", "u"]}
    test |= {"factors": REAL[:, :0:-1], "factor_names": ["t", "s"]}
    split = loaded(test).test
    assert np.array_equal(split.x, np.float32(REAL))
    assert np.array_equal(split.attributes, np.float32(REAL[:, :2]))
    assert np.array_equal(split.factors, np.float32(REAL[:, 1:]))
    for key, names, expected in (
        ("feature_names", ["a", "b", "d"], "has no column 'c', which the training data have"),
        ("attribute_names", ["v", "w"], "has no attribute 'u'"),
        ("factor_names", ["s", "t", "r"], "expected 2 different names of factors, got s, t, r"),
    ):
        with pytest.raises(ValueError, match=expected):
            loaded({**test, key: names})
    with pytest.raises(ValueError, match="expected 1 different names of attributes, got v, u"):
        loaded({**test, "attributes": REAL[:, 0]})


@pytest.mark.parametrize("missing", ["keep", "drop"])
@pytest.mark.parametrize(
    "x, held",
    [(REAL.astype(str), "<U"), (REAL.astype("M8[s]"), "datetime"), (1j * REAL, "complex")],
)
def test_named_columns_that_hold_no_numbers_are_refused(x, held, missing):
    named = {"x": x, "feature_names": list("abc")}
    numbers = {**named, "x": REAL}
    for source in (named, {"train": named, "test": named}, {"train": numbers, "test": named}):
        with pytest.raises(ValueError, match=f"train holds {held}.*, not numbers; encode it as"):
            load_data(source, missing=missing)
    with pytest.raises(ValueError, match=f"test: .*train holds {held}.*, not numbers"):
        load_data(numbers, test=named, missing=missing)


def test_columns_of_one_name_are_refused():
    with pytest.raises(ValueError, match="columns must have different names; 'a' repeats"):
        load_data({"x": REAL, "feature_names": ["a", "b", "a"]})


@pytest.mark.parametrize("label", ["a", torch.tensor(1), np.array(1)])
@pytest.mark.parametrize("absent", [None, float("nan"), torch.tensor(float("nan"))])
def test_labels_that_are_tensors_or_text_are_there_unless_nan(label, absent):
    labels = [label] * 49 + [absent]
    for source in ((REAL, labels), {"x": REAL, "y": labels}):
        with pytest.raises(ValueError, match="train row 49 has no label"):
            load_data(source)
    assert load_data((REAL, labels[:49] + [label])).class_names == (str(np.asarray(label)),)
