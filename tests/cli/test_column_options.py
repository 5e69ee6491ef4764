"""Kinds of columns and missing cells as the command line is told them, and what it refuses."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from reparam.presets import PRESETS, Preset, find_preset
from reparam.space import Column, Space

RNG = np.random.default_rng(2)
N = 50


def table(path, **changed):
    columns = {
        "age": RNG.integers(20, 30, N).astype(str),
        "city": RNG.choice(["Bern", "Chur", "Genf"], N),
        "income": [f"{value:.2f}" for value in np.exp(RNG.normal(8, 1, N))],
        "owner": RNG.choice(["no", "yes"], N),
    }
    columns = {name: list(cells) for name, cells in (columns | changed).items()}
    lines = [",".join(columns), *(",".join(row) for row in zip(*columns.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def people(tmp_path):
    path = table(tmp_path / "people.csv")
    lines = path.read_text().splitlines()
    lines[4] = "," + lines[4].split(",", 1)[1]  # no age
    path.write_text("\n".join(lines) + "\n")
    return path


def test_kinds_are_said_and_kept_in_the_run(people, reparam, tmp_path):
    kinds = ["--kind", "age=category", "--kind", "income=log"]
    code, out, error = reparam("data", people, *kinds)
    assert code == 0 and "1 log" in out and "3" in out, error
    assert any(line.split()[:2] == ["age", "category"] for line in out.splitlines())
    run = tmp_path / "run"
    words = ["fit", "vae", people, "latent_dim=1", "hidden=4", "--epochs", 1, "-o", run]
    code, _, error = reparam(*words, *kinds)
    assert code == 0, error
    source = json.loads((run / "run.json").read_text())["data"]["source"]
    assert source["kind"] == {"age": "category", "income": "log"}
    code, _, error = reparam("encode", run, "-o", tmp_path / "z.csv")  # reads the data again
    assert code == 0, error
    code, _, error = reparam("sample", run, "-n", 20, "-o", tmp_path / "x.csv")
    assert code == 0, error
    rows = [line.split(",") for line in (tmp_path / "x.csv").read_text().splitlines()[1:]]
    assert all(row[0] in map(str, range(20, 30)) and float(row[2]) > 0 for row in rows)


def test_rows_with_missing_cells_may_be_dropped(people, reparam, tmp_path):
    code, out, error = reparam("data", people, "--missing", "drop")
    assert code == 0 and "Left out: 1 row with missing cells." in out, error
    assert "no cells in train" in out
    words = ["compare", people, "--missing", "drop", "--model", "fvbn", "--epochs", 1]
    code, out, error = reparam(*words, "--samples", 2, "-o", tmp_path / "compared")
    assert code == 0 and "fvbn" in out, error


@pytest.mark.parametrize("remedy", [r"make .* or (?=leave)", r" or leave .*?\)"])
@pytest.mark.parametrize("model", ["pca", "linear-ae", "real-nvp"])
def test_what_a_refusal_of_columns_says_helps(people, reparam, tmp_path, model, remedy):
    """Of the two things that can be done with names, the one that is left in the message."""
    small = "layers=1" if model == "real-nvp" else "latent_dim=1"
    words = ["fit", model, people, small, "--epochs", 1, "--kind", "income=log"]
    said = []
    while (code := (result := reparam(*words, "-o", tmp_path / "run"))[0]) == 2:
        said.append(result[2])
        left = re.sub(remedy, "", result[2])
        found = re.findall(r"--one-hot|--(?:drop|kind|missing) [\w=]+", left)
        assert found and len(said) < 4, result[2]
        words += " ".join(found).split()
    assert code == 0, result[2]
    assert "(drop=…, --drop city" in said[0]
    if model == "real-nvp":
        return
    assert "--drop owner), and read numbers as real with --kind age=real" in said[0]
    assert len(said) == 1 and ("and, if cells are missing, --missing drop" in said[0]) == (
        model == "linear-ae"
    )


def test_where_cells_are_missing_alone_rows_are_to_be_left_out():
    reals = Space((2,), "mixed", columns=(Column("a", "real"), Column("b", "real")))
    advice = find_preset("linear-ae").accepts.refusal(reals)
    assert advice.endswith("got mixed: cells are missing; leave such rows out with --missing drop")


def test_of_binary_models_columns_of_other_kinds_are_named():
    columns = (Column("a", "binary"), Column("b", "real"), Column("c", "category", 3))
    advice = find_preset("rbm").accepts.refusal(Space((3,), "mixed", columns=columns))
    assert advice == (
        "binary data, got mixed; leave others out (drop=…, --drop b --drop c), and write flags as "
        "0 and 1 in all rows"
    )


def test_of_many_columns_a_refusal_names_three():
    columns = tuple(Column(f"n{i}", "levels", 5) for i in range(5))
    advice = find_preset("linear-ae").accepts.refusal(Space((5,), "mixed", columns=columns))
    assert "--kind n0=real --kind n1=real --kind n2=real and 2 more, and, if cells" in advice


def test_defaults_that_do_not_take_the_data_are_left_out_and_named(people, reparam, tmp_path):
    words = ["compare", people, "--missing", "drop", "--epochs", 1, "--samples", 2]
    code, out, error = reparam(*words, "-o", tmp_path / "compared")
    assert code == 0, error
    refusal = find_preset("pca").accepts.refusal
    said = " ".join(out.split())
    from reparam.data import load_data

    why = refusal(load_data(people, missing="drop").space)
    assert (f"Left out of the default models: pca, for {why}" in said) == (why is not None)
    assert "vae" in out


@pytest.mark.parametrize("command", ["data", "fit", "compare"])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--kind", "age=number"], "expected age=real, log, levels, binary, category, got"),
        (["--kind", "agee=real"], "'agee' is no column that is an entry of x (did you mean age?)"),
        (["--kind", "age=real", "--kind", "levels"], "kind: expected COLUMN=KIND, as age=real"),
        (["--kind", "=real"], "kind: expected COLUMN=KIND, as age=real, got '=real'"),
        (["--kind", "city=levels"], "column 'city' holds text ('Bern'), which is no levels column"),
        (["--kind", "income=levels"], "column 'income' is to be whole numbers, and has"),
        (["--kind", "owner=category", "--label", "owner"], "'owner' is no column that is an entry"),
        (["--kind", "age=real", "--binarize", "0.5"], "kind: of single columns goes with no"),
        (["--missing", "fill"], 'Invalid value "fill" for --missing'),
    ],
)
def test_what_no_kind_can_be_is_one_line(people, reparam, tmp_path, command, words, message):
    refused(reparam, people, tmp_path, command, words, message)


def refused(reparam, path, tmp_path, command, words, message):
    before = {"data": [], "fit": ["vae"], "compare": []}[command]
    after = [] if command == "data" else ["-o", tmp_path / "run"]
    code, _, error = reparam(command, *before, path, *words, *after)
    assert code == 2 and message in error and error.count("\n") == 1, error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("column", "words", "message"),
    [
        ([""] * N, [], "column 'z' has no cell that is there; leave it out (drop, --drop)"),
        ([""] * N, ["--missing", "drop"], "column 'z' has no cell that is there; leave it out"),
        (["1.5", '"1,5"'] * (N // 2), [], "points and with commas before their decimals"),
        (["1.5", "one"] * (N // 2), [], "line 3, column 'z' holds text ('one')"),
        ([f"n{i}" for i in range(N)], [], "column 'z' is text with 50 names, every row has its"),
        ([f"2020-01-{i % 9 + 1:02}" for i in range(N)], [], "column 'z' holds dates"),
        (["1e999"] * N, [], "column 'z' is inf"),
    ],
)
def test_columns_that_are_no_use_are_one_line(reparam, tmp_path, column, words, message):
    path = table(tmp_path / "t.csv", z=column)
    refused(reparam, path, tmp_path, "data", words, message)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    import reparam as rp

    folder = tmp_path_factory.mktemp("run")
    data = rp.load_data(table(folder / "people.csv"), drop="owner")
    model = rp.build("vae", data.space, latent_dim=1, hidden=(4,))
    rp.fit(model, data, epochs=1, out=folder / "run", progress=False)
    return folder / "run"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("age,city,income\n25,Rom,10", "row 0, column 'city': 'Rom' is none of the 3 names in tr"),
        ("age,city,income\n25,,10\n99,Bern,10", "column 'age', row 1: expected whole numbers 20"),
        ("age,income\n25,10", "has no column 'city'"),
        ("age,city,income\n25,Bern,much", "row 0, column 'income' holds text ('much'), and num"),
        ("age,city,income\nold,Bern,10", "row 0, column 'age' holds text ('old'), and numbers"),
        ("age,city,income\n2.5,Bern,10", "column 'age', row 0: expected whole numbers 20"),
    ],
)
def test_new_rows_that_are_others_are_one_line(run, reparam, tmp_path, text, message):
    (tmp_path / "new.csv").write_text(text + "\n")
    out = tmp_path / "z.csv"
    code, _, error = reparam("encode", run, tmp_path / "new.csv", "-o", out)
    assert code == 2 and message in error and error.count("\n") == 1, error
    assert not out.exists()


def test_a_test_file_of_other_types_is_one_line(reparam, tmp_path):
    path = table(tmp_path / "people.csv")
    for changed, message in (
        ({"income": ["some"] * N}, "row 0, column 'income' holds text ('some'), and numbers in t"),
        ({"city": ["1", "2"] * (N // 2)}, "row 0, column 'city' holds numbers (1), and names in t"),
    ):
        test = table(tmp_path / "test.csv", **changed)
        code, _, error = reparam("data", path, "--test", test)
        assert code == 2 and message in error and error.count("\n") == 1, error


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_new_rows_are_ordered_by_their_names_which_is_said(run, reparam, tmp_path, suffix):
    import pandas as pd

    frame = pd.DataFrame({"income": [9.5], "more": ["?"], "city": ["Chur"], "age": [25]})
    texts = []
    for name, order in (("a", list(frame)), ("b", ["age", "city", "income"])):
        path = tmp_path / f"{name}.{suffix}"
        frame[order].to_csv(path, index=False) if suffix == "csv" else frame[order].to_parquet(path)
        code, out, error = reparam("encode", run, path, "-o", tmp_path / f"{name}-z.csv")
        assert code == 0, error
        assert ("ordered by their names" in " ".join(out.split())) == (name == "a")
        texts.append((tmp_path / f"{name}-z.csv").read_text())
    assert texts[0] == texts[1]


def test_a_model_that_takes_no_missing_cells_says_where_and_what_to_do(
    reparam, tmp_path, monkeypatch
):
    def build(space):
        """A VAE that takes no missing cells."""
        model = find_preset("vae")(space, latent_dim=1, hidden=(4,))
        model.takes_missing = False
        return model

    monkeypatch.setitem(PRESETS, "whole", Preset("whole", build, "no paper"))
    people = table(tmp_path / "people.csv", age=["", "21", "22"] * 16 + ["21", "22"])
    words = ["fit", "whole", people, "--epochs", 1, "-o", tmp_path / "run"]
    code, _, error = reparam(*words)
    assert code == 2 and "people: train: column 'age', row 0: the cell is missing" in error, error
    assert "this model takes no missing cells" in error and "--missing drop" in error
    code, _, error = reparam(*words, "--missing", "drop")
    assert code == 0, error


def test_flags_of_names_are_kept_in_the_run(people, reparam, tmp_path):
    run, x = tmp_path / "run", tmp_path / "x.csv"
    words = ["fit", "real-nvp", people, "--one-hot", "--missing", "drop", "layers=1", "hidden=4"]
    for command in (
        [*words, "--epochs", 1, "-o", run],
        ["resume", run, "--epochs", 2],
        ["evaluate", run, "--samples", 2],
        ["sample", run, "-n", 3, "-o", x],
        ["reconstruct", run, x, "-o", tmp_path / "again.csv"],
    ):
        code, _, error = reparam(*command)
        assert code == 0, error
    header, *rows = x.read_text().splitlines()
    assert header == "age,city=Bern,city=Chur,city=Genf,income,owner"
    assert all({*row.split(",")[1:4]} <= {"0", "1"} for row in rows)
    again = (tmp_path / "again.csv").read_text().splitlines()
    assert [line.split(",")[:4] for line in again[1:]] == [row.split(",")[:4] for row in rows]
    # The user's own table still has the names.
    code, _, error = reparam("encode", run, people, "-o", tmp_path / "z.csv")
    assert code == 2 and "the cell is missing" in error


def test_missing_names_are_filled_as_flags(people, reparam, tmp_path):
    """The table that has the names has no cell for what is drawn of a flag."""
    lines = people.read_text().splitlines()
    lines[3] = lines[3].replace(lines[3].split(",")[1], "")
    people.write_text("\n".join(lines) + "\n")
    run, filled = tmp_path / "run", tmp_path / "filled.csv"
    words = ["fit", "vae", people, "--one-hot", "latent_dim=1", "hidden=4", "--epochs", 1]
    assert reparam(*words, "-o", run)[0] == 0
    code, out, error = reparam("complete", run, people, "--steps", 2, "-o", filled)
    assert code == 0 and "4 missing cells of 2 rows" in out, error
    header, *rows = filled.read_text().splitlines()
    assert header.startswith("age,city=Bern,city=Chur,city=Genf,income,owner")
    assert len(rows) == N and not any(",," in row for row in rows)
