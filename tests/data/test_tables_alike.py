"""New rows and test files are read as the training file was, where they do not say how."""

import numpy as np
import pandas as pd
import pytest
from loading import remembered, table

from reparam.data import DataRecord, check_record, load_data, load_rows, record_json

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    "trained, new, expected",
    [
        ('a,b\n"1,5",2\n"3,5",4\n5,6\n', 'a,b\n"1,234",2\n', [[1.234, 2]]),
        ("a;b\n1.5;2\n3;4\n5;6\n", "a;b\n1,234;2\n", [[1234, 2]]),
        ("a;b\n" + "1;2\n" * 60 + "1.5;2\n", "a;b\n1,234;2\n", [[1234, 2]]),
        ("a;b\n" + "1;2\n" * 60 + "1,5;2\n", "a;b\n1.234;2\n", [[1234, 2]]),
        # What the delimiter of training suggested says nothing of a file with another one.
        ("a;b\n1,234;2\n3,456;4\n5;6\n", 'a,b\n"1,234",2\n', [[1234, 2]]),
        ("a,b\n1.234,2\n3.456,4\n5,6\n", "a;b\n1,234;2,345\n", [[1.234, 2.345]]),
        ("a;b\n1,234;2\n3,456;4\n5;6\n", "a,b\n1.234,2.345\n", [[1.234, 2.345]]),
        ("a;b\n1,5;2\n3,5;4\n5;6\n", "a\tb\n1,234\t2.345\n", [[1.234, 2345]]),
        ("a;b\n1;2\n3;4\n5;6\n", "a;b\n1,234;2\n", [[1.234, 2]]),  # nothing was decided
        ("a,b\n1.5,2\n3,4\n5,6\n", "b;a\n7;1,5\n", [[1.5, 7]]),  # it says so itself
        (None, "0,1,2,3,4,5,6,7\n", [list(range(8))]),  # no header, as in training
        ("0,1,2\n.5,.7,.1\n.2,.1,.3\n.1,.5,.4\n", "0,1,2\n1,2,3\n", [[1, 2, 3]]),
        ("0,1,2\n.5,.7,.1\n.2,.1,.3\n.1,.5,.4\n", "4,8,6\n", [[4, 8, 6]]),  # without its header
        ("# a,b\n1,2\n3,4\n5,6\n", "a,b\n1,2\n", [[1, 2]]),
        ("# a,b\n1,2\n3,4\n5,6\n", "# b,a\n1,2\n", [[2, 1]]),
    ],
)
def test_new_rows_and_test_files_are_read_as_in_training(tmp_path, trained, new, expected):
    if trained is None:
        trained = "\n".join(",".join(map(str, row)) for row in RNG.integers(0, 9, (9, 8)))
    path, other = table(tmp_path, trained), table(tmp_path, new, "new.csv")
    data = load_data(path)
    for like in (data, remembered(data)):
        assert np.allclose(load_rows(other, like).x, expected)
    assert load_data(**data.source).fingerprint() == data.fingerprint()
    if new != "4,8,6\n":  # a test file has the header that training has
        assert np.allclose(load_data(path, test=other).test.x, expected)


def test_frames_of_text_are_read_as_in_training():
    data = load_data(pd.DataFrame({"a": ["1,5", "2,5", "3"], "b": [1.0, 2, 4]}))
    new = pd.DataFrame({"a": ["1,234"], "b": [1.0]})
    for like in (data, remembered(data)):
        assert np.allclose(load_rows(new, like).x, [[1.234, 1]])


def test_frames_by_split_are_read_alike():
    frames = {
        "test": pd.DataFrame({"a": ["1,234", "2,345"]}),
        "train": pd.DataFrame({"a": ["1,5", "2,5", "3"]}),
    }
    assert np.allclose(load_data(frames).test.x, [[1.234], [2.345]])


def test_a_run_that_remembers_no_marks_decides_them_anew(tmp_path):
    data = load_data(table(tmp_path, 'a,b\n"1,5",2\n"3,5",4\n5,6\n'))
    entry = record_json(data)
    entry["source"] = {"source": entry["source"]["source"]}
    check_record(entry)
    new = table(tmp_path, 'a,b\n"1,234",2\n', "new.csv")
    assert load_rows(new, DataRecord.from_json(entry, data.space)).x.tolist() == [[1234, 2]]


def test_the_mark_may_be_said(tmp_path):
    path = table(tmp_path, 'a\tb\n"1,234"\t2\n3,456\t4\n5\t6\n')
    assert load_data(path).train.x.max() < 10
    data = load_data(path, decimal=".")
    assert max(split.x.max() for split in data.splits.values()) == 3456
    assert load_data(**data.source).fingerprint() == data.fingerprint()
    with pytest.raises(ValueError, match="decimal: expected '.' or ',', got 'x'"):
        load_data(path, decimal="x")
    with pytest.raises(ValueError, match="decimal: does not apply to the named set 'digits'"):
        load_data("digits", decimal=",")


@pytest.mark.parametrize("asked", [{"without": "w"}, {"only": ["u", "v"]}])
def test_rows_of_classes_that_training_left_out_are_left_out(tmp_path, asked):
    text = "a,y\n" + "".join(f"{i},{'uvw'[i % 3]}\n" for i in range(12))
    path, frame = table(tmp_path, text), pd.read_csv(tmp_path / "t.csv")
    kept = [i for i in range(12) if i % 3 < 2]
    for source in (path, frame):
        data = load_data(source, label="y", **asked)
        for like in (data, remembered(data)):
            rows = load_rows(source, like, label="y")
            assert rows.x[:, 0].tolist() == kept == rows.rows.tolist()
            assert rows.labels.tolist() == [i % 3 for i in kept]
            note = "Left out: 4 of 12 rows, of classes that training left out: w."
            assert note in rows.notes
            assert len(load_rows(source, like)) == 12  # labels were not asked for
    with pytest.raises(ValueError, match=r"all rows are of classes that training left out \(w\)"):
        load_rows(table(tmp_path, "a,y\n1,w\n", "w.csv"), data, label="y")
    other = table(tmp_path, "a,y\n1,u\n2,o\n", "o.csv")
    if "without" in asked:
        with pytest.raises(ValueError, match="class 'o' is none of the classes u, v"):
            load_rows(other, data, label="y")


HEADLESS = "5,7,6\n7,8,2\n2,9,12\n1,4,4\n"
PANDAS = "0,1,2\n"


@pytest.mark.parametrize(
    "new, expected",
    [
        (PANDAS + "7.0,8.0,9.5\n4.0,5.5,1.0\n", [[7, 8, 9.5], [4, 5.5, 1]]),
        (",0,1,2\n0,7,8,9\n1,4,5,1\n", [[7, 8, 9], [4, 5, 1]]),
        ("1,2,3\n4,5,6\n", [[1, 2, 3], [4, 5, 6]]),
        ("1,2,3\n", [[1, 2, 3]]),
    ],
)
def test_new_rows_may_have_a_header_where_training_had_none(tmp_path, new, expected):
    path, other = table(tmp_path, HEADLESS), table(tmp_path, new, "new.csv")
    data = load_data(path)
    for like in (data, remembered(data)):
        assert load_rows(other, like).x.tolist() == expected
    assert load_data(path, test=other).test.x.tolist() == expected


def test_a_header_by_other_names_than_numbers_is_to_be_removed(tmp_path):
    path, other = table(tmp_path, HEADLESS), table(tmp_path, "a,b,c\n1,2,3\n4,5,6\n", "new.csv")
    data, message = load_data(path), r"new.csv: line 1 names the columns \(a, b, c\).*remove"
    for read in (lambda: load_rows(other, data), lambda: load_data(path, test=other)):
        with pytest.raises(ValueError, match=message):
            read()
    for text in (",a,b\n0,2,3\n1,5,6\n", 'a,b\n"7",2,3\n"5",5,6\n'):
        with pytest.raises(ValueError, match=r"\(a, b\).*remove that line and the names or num"):
            load_rows(table(tmp_path, text, "new.csv"), data)


def test_remedies_are_those_that_new_rows_can_take(tmp_path):
    data = load_data(table(tmp_path, "a,b\n1,2\n3,4\n5,6\n"))
    with pytest.raises(ValueError, match="has no column 'a'") as raised:
        load_rows(table(tmp_path, "7,8\n", "new.csv"), data)
    assert "--header" not in str(raised.value)


def test_a_row_of_numbers_alone_is_no_header(tmp_path):
    data = load_data(RNG.normal(size=(9, 3)))
    assert load_rows(table(tmp_path, "1,2,3\n"), data).x.tolist() == [[1, 2, 3]]


def test_frames_with_labels_are_read_as_in_training():
    data = load_data((pd.DataFrame({"a": ["1,5", "2,5", "3"]}), [0, 1, 0]))
    new = (pd.DataFrame({"a": ["1,234"]}), [1])
    assert np.allclose(load_rows(new, data).x, [[1.234]])


def test_labels_are_codes_where_training_had_codes(tmp_path):
    rows = [f"{i},{('1.1', '1.10', '1.2')[i % 3]}\n" for i in range(12)]
    path = table(tmp_path, "a,y\n" + "".join(rows))
    other = table(tmp_path, "a,y\n1,1.10\n2,1.2\n", "new.csv")
    data = load_data(path, label="y")
    for like in (data, remembered(data)):
        assert load_rows(other, like, label="y").labels.tolist() == [1, 2]
    both = load_data(path, test=other, label="y")
    assert both.class_names == ("1.1", "1.10", "1.2") and both.test.labels.tolist() == [1, 2]
    unknown = table(tmp_path, "a,y\n1,1.3\n", "o.csv")
    with pytest.raises(ValueError, match="class '1.3' is none of the classes 1.1, 1.10, 1.2"):
        load_rows(unknown, data, label="y")
