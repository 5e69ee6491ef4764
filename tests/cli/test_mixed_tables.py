"""Tables of names, flags, whole numbers and reals with missing cells, through the commands."""

from __future__ import annotations

import csv
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from commands import succeed

from reparam.cli.runs import HERE
from reparam.data import describe, describe_columns, load_data, load_rows

N = 60
COLUMNS = ["age", "city", "married", "children", "height"]


def people(rows=N):
    """Rows with holes: a name that spreadsheets take for a formula, a flag of 1 and 2."""
    rng = np.random.default_rng(1)
    columns = [
        rng.integers(18, 30, rows).astype(str),
        rng.choice(["Bern", "=Chur", 'Genf "GE"'], rows),
        rng.choice(["no", "yes"], rows),
        rng.integers(1, 3, rows).astype(str),
        [f"{value:.1f}" for value in rng.normal(170, 10, rows)],
        [f"p{i}" for i in range(rows)],
    ]
    table = [list(row) for row in zip(*columns, strict=True)]
    for row, column in ((3, 0), (8, 1), (8, 2), (20, 4), (31, 1)):
        table[row][column] = "NA" if column == 4 else ""
    return table


def write(path, table, header=(*COLUMNS, "code")):
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *table])
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The table, and a run of a VAE and of an autoregressive model on it."""
    folder = tmp_path_factory.mktemp("people")
    write(folder / "people.csv", people())
    read = ["--drop", "code", "--epochs", 1, "hidden=4"]
    for model, *more in (("vae", "latent_dim=2"), ("made",)):
        succeed("fit", model, folder / "people.csv", *read, *more, "-o", folder / model)
    return folder


def read(path):
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    return header, rows


COMMANDS = {
    "samples": ["sample", "vae", "-n", 9],
    "samples in order": ["sample", "made", "-n", 9],
    "draws": ["reconstruct", "vae", "--draw"],
    "variations": ["vary", "vae", "-n", 9, "--draw"],
}
MEANS = {
    "reconstructions": ["reconstruct", "vae"],
    "variations": ["vary", "vae", "-n", 9],
    "steps": ["interpolate", "vae", 0, 1],
    "moves": ["traverse", "vae", "--dimension", 0],
    "repairs": ["denoise", "vae", "--noise", "masking"],
    "completions": ["complete", "made", "--keep", 0.4, "-n", 3],
}


@pytest.mark.parametrize("words", [*COMMANDS.values(), *MEANS.values()], ids=[*COMMANDS, *MEANS])
def test_tables_have_names_and_whole_numbers_where_the_data_have(made, reparam, tmp_path, words):
    command, run, *more = words
    code, _, error = reparam(command, made / run, *more, "-o", tmp_path / "x.csv")
    assert code == 0, error
    header, rows = read(tmp_path / "x.csv")
    assert header[:5] == COLUMNS and rows
    whole = words in COMMANDS.values()
    for age, city, married, children, height, *_ in rows:
        assert city in ("Bern", "'=Chur", 'Genf "GE"', *[""] * (command == "complete"))
        assert married in ("no", "yes", *[""] * (command == "complete"))
        assert not whole or (age.isdecimal() and children in ("1", "2"))
        assert height == "" or float(height)
    assert "nan" not in (tmp_path / "x.csv").read_text()


def test_means_of_whole_numbers_stay_decimals(made, reparam, tmp_path):
    reparam("reconstruct", made / "vae", "-o", tmp_path / "x.csv")
    _, rows = read(tmp_path / "x.csv")
    ages = [float(row[0]) for row in rows]
    assert any(age % 1 for age in ages) and all(18 <= age <= 29 for age in ages)


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_what_is_written_is_read_back_the_same(made, reparam, tmp_path, words):
    command, run, *more = words
    record = HERE.open(made / run).record
    found = []
    for name in ("x.csv", "x.npz"):
        code, _, error = reparam(command, made / run, *more, "-o", tmp_path / name)
        assert code == 0, error
        found.append(load_rows(tmp_path / name, record).x)
    assert found[0].equal(found[1])
    archive = np.load(tmp_path / "x.npz")
    assert found[1].equal(torch.from_numpy(archive["x"]))
    assert archive["feature_names"].tolist() == COLUMNS
    assert archive["names_city"].tolist() == ["=Chur", "Bern", 'Genf "GE"']
    assert archive["names_married"].tolist() == ["no", "yes"]
    assert "names_children" not in archive


def test_columns_of_an_archive_are_ordered_by_their_names(made, reparam, tmp_path):
    record = HERE.open(made / "vae").record
    x = np.array([[25, 2, 1, 1, 171.5]])
    np.savez(tmp_path / "x.npz", x=x[:, ::-1], feature_names=COLUMNS[::-1])
    assert load_rows(tmp_path / "x.npz", record).x.tolist() == x.tolist()
    np.savez(tmp_path / "x.npz", x=x, feature_names=[*COLUMNS[:-1], "weight"])
    code, _, error = reparam("encode", made / "vae", tmp_path / "x.npz", "-o", tmp_path / "z.csv")
    assert code == 2 and "has no column 'height', which the training data have" in error


def test_levels_and_flags_of_one_kind_are_whole_numbers_too(reparam, tmp_path):
    rng = np.random.default_rng(0)
    table = rng.integers(0, 2, (40, 3)).astype(str).tolist()
    write(tmp_path / "flags.csv", table, "abc")
    words = ["made", tmp_path / "flags.csv", "--epochs", 1, "hidden=4", "-o", tmp_path / "run"]
    assert reparam("fit", *words)[0] == 0
    assert reparam("sample", tmp_path / "run", "-n", 5, "-o", tmp_path / "x.csv")[0] == 0
    _, rows = read(tmp_path / "x.csv")
    assert {cell for row in rows for cell in row} <= {"0", "1"}


def test_every_column_is_described_by_its_kind(made, reparam, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, out, error = reparam("data", made / "people.csv", "--drop", "code")
    assert code == 0 and "nan" not in out, error
    assert "mixed: 1 levels, 1 category, 2 binary, 1 real" in out
    data = load_data(made / "people.csv", drop="code")
    x = data.train.x.double()
    there = ~x.isnan()
    share = f"{(~there).double().mean():.1%} of the cells in train"
    assert re.search(rf"missing +{share}", out)
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    ages = x[there[:, 0], 0]
    numbers = [ages.min(), ages.mean(), ages.std(correction=0), ages.max()]
    gone = rf"{1 / len(x):.1%} +" if len(ages) < len(x) else ""
    shown = " +".join(f"{number.item():.4g}" for number in numbers)
    assert re.search(rf"age +levels +{gone}{shown} +{len(ages.unique())}", lines["age"])
    cities = np.bincount(x[there[:, 1], 1].long(), minlength=3) / int(there[:, 1].sum())
    order = np.argsort(-cities, kind="stable")
    names = ["=Chur", "Bern", 'Genf "GE"']
    assert ", ".join(f"{names[i]} {cities[i]:.0%}" for i in order) in lines["city"]
    assert re.search(r"married +binary .*(yes \d+%, no \d+%|no \d+%, yes \d+%)", lines["married"])
    assert re.search(r"children +binary .*(1 \d+%, 2 \d+%|2 \d+%, 1 \d+%)", lines["children"])


def test_of_many_names_the_most_frequent_are_shown(tmp_path):
    cells = [["a"] * 8, ["b"] * 5, ["c"] * 4, ["d", "e"] * 3]
    write(tmp_path / "t.csv", [[name, i / 7] for i, name in enumerate(sum(cells, []))], "nv")
    data = load_data(tmp_path / "t.csv", test=tmp_path / "t.csv")
    data = replace(data, train=data.test)
    names, numbers = describe_columns(data).values()
    assert names == [("n", "category", "", "5", "a 35%, b 22%, c 17%, 2 more")]
    assert numbers == [("v", "real", "", "0", "1.571", "0.9476", "3.143", "23")]
    assert "missing" in describe(data) and "range" not in describe(data)


def test_x_of_a_table_without_a_header_has_none_either(reparam, tmp_path):
    rng = np.random.default_rng(0)
    columns = rng.integers(1, 5, 40), rng.choice(["u", "v", "w"], 40), rng.normal(size=40)
    rows = [f"{a},{b},{c:.2f}" for a, b, c in zip(*columns, strict=True)]
    (tmp_path / "bare.csv").write_text("\n".join(rows))
    run = tmp_path / "run"
    words = ["vae", tmp_path / "bare.csv", "latent_dim=1", "hidden=4", "--epochs", 1, "-o", run]
    assert reparam("fit", *words, "--no-header")[0] == 0
    record = HERE.open(run).record
    for command in (["sample", "-n", 4], ["reconstruct", "--draw", "-n", 4]):
        name, *more = command
        found = []
        for file in ("x.csv", "x.npz"):
            code, _, error = reparam(name, run, *more, "-o", tmp_path / file, "--force")
            assert code == 0, error
            found.append(load_rows(tmp_path / file, record).x)
        assert found[0].equal(found[1]) and len(found[0]) == 4
