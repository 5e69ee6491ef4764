"""Missing cells of tables, filled by ``complete``; all else comes back byte for byte."""

from __future__ import annotations

import csv
import re

import numpy as np
import pandas as pd
import pytest
from commands import succeed

RNG = np.random.default_rng(4)
N = 48
HEAD = '"id";age; share ;"town";flag;note;price;kids'
# A table as others write them: a mark, comments, decimal commas, quotes, signs, cells of two lines.
HOLES = {
    "age": (2, 30),
    "share": (5,),
    "town": (7,),
    "flag": (9, 11),
    "price": (2, 13),
    "kids": (4,),
}
FILLED = {
    "age": "2[0-9]",
    "share": r"-?[0-9]+(?:,[0-9]+)?%",
    "town": 'Bern|"La;Chaux"|"Le ""Locle"""',
    "flag": "TRUE|FALSE",
    "price": r"-?\$[0-9]+(?:,[0-9]+)?",
    "kids": "1|2",
}
HOLE = re.compile("<<(.*?)>>")  # where a cell is missing: the name of its column


def template():
    """The text of a table with marks where cells are missing."""
    table = {
        "id": [f"{i:03}" for i in range(N)],
        "age": RNG.integers(20, 30, N).astype(str),
        "share": [f"{v},5%" for v in RNG.integers(10, 90, N)],
        "town": RNG.choice(["Bern", '"La;Chaux"', '"Le ""Locle"""'], N).astype(object),
        "flag": RNG.choice(["TRUE", "FALSE"], N).astype(object),
        "note": [f'"n{i}\r\n;""x"""' if i % 3 else "" for i in range(N)],
        "price": [f"$1.{v},25" for v in RNG.integers(100, 999, N)],
        "kids": RNG.integers(1, 3, N).astype(str).astype(object),
    }
    table["age"] = table["age"].astype(object)
    for name, holes in HOLES.items():
        for row in holes:
            table[name][row] = f"<<{name}>>"
    lines = [";".join(row) for row in zip(*table.values(), strict=True)]
    lines = ["# people", HEAD, *lines[:20], "# so far", "", ";" * 7, *lines[20:]]
    return "\ufeff" + "\r\n".join(lines)


TEMPLATE = template()


def written(path):
    text = HOLE.sub(lambda hole: "NA" if hole[1] == "price" else "", TEMPLATE)
    path.write_bytes(text.encode())
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fill")
    written(folder / "odd.csv")
    read = ["--drop", "id", "--drop", "note", "--epochs", 1, "hidden=4"]
    for model, *more in (("vae", "latent_dim=2"), ("fvbn",), ("ae", "latent_dim=2")):
        own = [word for word in [*read, *more] if model != "fvbn" or word != "hidden=4"]
        succeed("fit", model, folder / "odd.csv", *own, "-o", folder / model)
    return folder


def cells(path):
    """Rows of the table, each cell as it reads, without comments."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        found = [row for row in csv.reader(file, delimiter=";", skipinitialspace=True) if any(row)]
    return [row for row in found if not row[0].startswith("#")]


def test_all_but_the_missing_cells_comes_back_byte_for_byte(made, reparam, tmp_path):
    out = tmp_path / "filled.csv"
    code, said, error = reparam("complete", made / "vae", made / "odd.csv", "-o", out)
    assert code == 0, error
    said = " ".join(said.split())
    assert "9 missing cells of 8 rows filled in" in said
    assert re.search(
        r"by chains of 100 steps, of whose proposals by q.z.x. \d+\.\d% were accepted", said
    )
    text, *others = HOLE.split(TEMPLATE)
    filled, at = out.read_bytes().decode(), len(text)
    assert filled[:at] == text
    for name, text in zip(others[::2], others[1::2], strict=True):
        cell = re.compile(FILLED[name]).match(filled, at)
        assert cell, (name, filled[at : at + 20])
        at = cell.end() + len(text)
        assert filled[cell.end() : at] == text
    assert at == len(filled)


def test_the_filled_table_is_read_as_the_first_and_has_no_holes(made, reparam, tmp_path):
    out = tmp_path / "filled.csv"
    reparam("complete", made / "vae", made / "odd.csv", "-o", out)
    code, _, error = reparam("encode", made / "vae", out, "-o", tmp_path / "z.csv")
    assert code == 0, error
    code, _, error = reparam("complete", made / "vae", out, "-o", tmp_path / "again.csv")
    assert code == 2 and "no cell is missing" in error and "--keep" in error
    assert not (tmp_path / "again.csv").exists()


def test_several_draws_have_their_number_in_a_column(made, reparam, tmp_path):
    out = tmp_path / "filled.csv"
    words = ["complete", made / "vae", made / "odd.csv", "-o", out, "--draws", 3, "--steps", 7]
    code, said, error = reparam(*words)
    said = " ".join(said.split())
    assert code == 0 and "3 draws of each" in said and "7 steps" in said, error
    header, *found = cells(out)
    assert header[-1] == "draw" and header[0] == "id"
    assert [row[-1] for row in found] == ["1", "2", "3"] * N
    assert [row[0] for row in found] == [f"{i:03}" for i in range(N) for _ in range(3)]
    shares = {row[2] for row in found if row[0] == "005"}
    assert len(shares) == 3  # of a real column


def test_the_same_seed_draws_the_same(made, reparam, tmp_path):
    texts = []
    for seed in (0, 0, 1):
        words = ["complete", made / "vae", made / "odd.csv", "-o", tmp_path / "x.csv", "--force"]
        reparam(*words, "--seed", seed)
        texts.append((tmp_path / "x.csv").read_bytes())
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize("moved", [False, True])
def test_without_examples_the_runs_own_rows_are_filled(made, reparam, tmp_path, moved):
    words = ["complete", made / "vae", "-o", tmp_path / "x.csv", "--split", "train", "-n", 12]
    more = ["--data", written(tmp_path / "new.csv")] if moved else []
    code, _, error = reparam(*words, *more)
    assert code == 0, error
    header, *found = cells(tmp_path / "x.csv")
    given = {row[0]: row for row in cells(made / "odd.csv")[1:]}
    assert len(found) == 12
    for row in found:
        assert row[5] == given[row[0]][5]
        assert all(b in (a, "") or b == "NA" for a, b in zip(row, given[row[0]], strict=True))


def test_parquet_and_archives_are_filled_column_by_column(made, reparam, tmp_path):
    names = ["age", "share", "town", "flag", "price", "kids"]
    frame = pd.DataFrame(
        [[21, None, "Bern", 1, 1100.5, 2], [22, 3.5, None, 0, None, 1]], columns=names
    )
    frame.to_parquet(tmp_path / "x.parquet")
    np.savez(tmp_path / "x.npz", x=np.array([[21, np.nan, 0, 1, 1100.5, 2]]))
    for source, rows in (("x.parquet", 2), ("x.npz", 1)):
        out = tmp_path / f"{source}.csv"
        code, _, error = reparam(
            "complete", made / "vae", tmp_path / source, "-o", out, "--draws", 2
        )
        assert code == 0, error
        found = pd.read_csv(out)
        assert list(found) == [*names, "row", "draw"] and len(found) == 2 * rows
        assert found["draw"].tolist() == [1, 2] * rows and found.notna().all().all()
        assert found["town"].isin(["Bern", "La;Chaux", 'Le "Locle"']).all()
        assert (found["age"][:2] == 21).all() and (found["price"][:2] == 1100.5).all()
    code, _, error = reparam(
        "complete", made / "vae", tmp_path / "x.parquet", "-o", tmp_path / "y.npz"
    )
    assert code == 0 and not np.isnan(np.load(tmp_path / "y.npz")["x"]).any(), error


def test_a_model_in_order_fills_what_comes_last(made, reparam, tmp_path):
    names = ["age", "share", "town", "flag", "price", "kids"]
    frame = pd.DataFrame(
        [[21, 2.5, "Bern", 1, 1100.5, None], [22, 3.5, "Bern", 0, None, None]], columns=names
    )
    frame.to_csv(tmp_path / "last.csv", index=False)
    out = tmp_path / "x.csv"
    code, said, error = reparam("complete", made / "fvbn", tmp_path / "last.csv", "-o", out)
    assert code == 0 and "drawn exactly" in said, error
    code, _, error = reparam("complete", made / "fvbn", made / "odd.csv", "-o", out, "--force")
    assert code == 2 and "comes after one that is not" in error and "use a VAE" in error


def test_tables_without_a_header_stay_without(reparam, tmp_path):
    columns = RNG.integers(1, 9, 40), RNG.choice(["u", "v", "w"], 40), RNG.normal(size=40)
    lines = [f"{a},{b},{c:.2f}" for a, b, c in zip(*columns, strict=True)]
    lines[3] = ",u,1.5"
    (tmp_path / "bare.csv").write_text("\n".join(lines) + "\n")
    words = ["vae", tmp_path / "bare.csv", "latent_dim=1", "hidden=4", "--epochs", 1]
    assert reparam("fit", *words, "--no-header", "-o", tmp_path / "run")[0] == 0
    out = tmp_path / "x.csv"
    code, _, error = reparam("complete", tmp_path / "run", tmp_path / "bare.csv", "-o", out)
    assert code == 0, error
    found = out.read_text().splitlines()
    assert found[:3] == lines[:3] and found[4:] == lines[4:]
    assert re.fullmatch("[1-8],u,1.5", found[3])


@pytest.mark.parametrize(
    "words, message",
    [
        (("ae", []), "Autoencoder draws no missing cells given the others; use a VAE"),
        (("vae", ["--draws", 0]), "draws: expected a positive whole number"),
        (("vae", ["--steps", 0]), "steps: expected a positive whole number"),
        (("vae", ["--keep", 1.5]), "keep: expected a share"),
        (("ae", ["--keep", 0.5]), "Autoencoder does not complete; use vae"),
    ],
)
def test_what_cannot_be_filled_is_refused_in_a_line(made, reparam, tmp_path, words, message):
    run, more = words
    out = tmp_path / "x.csv"
    code, _, error = reparam("complete", made / run, made / "odd.csv", *more, "-o", out)
    assert code == 2 and message in error and error.count("\n") == 1, error
    assert not out.exists()


@pytest.mark.parametrize("keep", [0.17, 1])
def test_cells_that_are_missing_from_the_part_that_is_given_are_drawn_too(
    made, reparam, tmp_path, keep
):
    """Also where of some rows all is given, and of others nothing is."""
    out = tmp_path / "x.npz"
    words = ["complete", made / "vae", made / "odd.csv", "--keep", keep, "--draws", 2, "-o", out]
    code, said, error = reparam(*words)
    assert code == 0 and "Cells that are missing from the part" in " ".join(said.split()), error
    assert "Nothing is drawn" not in said and "by chains" in said
    x = np.load(out)["x"].reshape(N, 2, -1)
    assert np.isfinite(x).all()
    same = (x[:, 0] == x[:, 1]).all(1)
    if keep == 1:  # all but the rows with holes stay
        assert (~same).sum() <= len({row for rows in HOLES.values() for row in rows})
        assert not same.all()
        assert "order" not in said
        words[1] = made / "fvbn"
        code, said, error = reparam(*words, "--force")
        assert code == 0 and "what is given after one does not act" in " ".join(said.split()), error
