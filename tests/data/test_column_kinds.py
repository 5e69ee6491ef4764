"""Kinds of the columns of a table: how they are found, asked for, remembered and refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from loading import remembered
from PIL import Image

import reparam as rp
from reparam.data import as_data, load_rows
from reparam.data.tables import named_values
from reparam.data.tables.text_layout import Layout
from reparam.space import Column

N = 40
RNG = np.random.default_rng(3)
PEOPLE = pd.DataFrame(
    {
        "age": RNG.integers(18, 25, N),
        "city": RNG.choice(["Bern", "Chur", "Genf"], N),
        "married": RNG.choice(["no", "yes"], N),
        "children": RNG.integers(1, 3, N),
        "height": RNG.normal(170, 10, N).round(2),
        "income": np.exp(RNG.normal(8, 2, N)),
    }
)
HOLES = PEOPLE.astype({"age": "Int64"}).copy()
HOLES.loc[3, "age"] = None
HOLES.loc[[1, 5], "city"] = None
HOLES.loc[7, "height"] = None


def all_rows(data):
    order = torch.cat([split.numbers for split in data.splits.values()]).argsort()
    return torch.cat([split.x for split in data.splits.values()])[order]


@pytest.mark.parametrize("form", ["frame", "csv", "parquet"])
def test_every_column_is_read_as_what_it_is(form, tmp_path):
    source = HOLES
    if form != "frame":
        source = tmp_path / f"people.{form}"
        HOLES.to_csv(source, index=False) if form == "csv" else HOLES.to_parquet(source)
    data = rp.load_data(source)
    assert data.space.kind == "mixed"
    assert data.space.columns == (
        Column("age", "levels", 7, low=18),
        Column("city", "category", 3, ("Bern", "Chur", "Genf")),
        Column("married", "binary", names=("no", "yes")),
        Column("children", "binary", low=1),
        Column("height", "real"),
        Column("income", "real"),
    )
    x = all_rows(data)
    assert x[:, 1].nan_to_num(-1).tolist() == [
        -1 if pd.isna(city) else ["Bern", "Chur", "Genf"].index(city) for city in HOLES["city"]
    ]
    assert x[:, 0].isnan().nonzero().tolist() == [[3]]
    assert x[:, 4].nan_to_num(0).numpy() == pytest.approx(HOLES["height"].fillna(0), rel=1e-6)
    notes = "\n".join(data.notes)
    assert "flags: married (no, yes), children (1, 2); names: city (3)" in notes
    assert "Missing cells: 1.7%, in age (1), city (2), height (1)." in notes
    assert "Positive and skewed: income; kind log (--kind income=log)" in notes


def test_a_table_with_holes_and_names_is_parsed_once(tmp_path, monkeypatch):
    """Words in the first rows make a column text; missing cells do not make numbers text."""
    monkeypatch.setattr(Layout, "rows", lambda *_: pytest.fail("it looks for lines"))
    path = tmp_path / "people.csv"
    rows = [f"{20 + i},{'xyz'[i % 3]},{i}.5,{i % 2 == 0}" for i in range(9)]
    path.write_text("a,b,c,d\n" + "\n".join(rows) + "\nNA,y,?,None\n,,1,\n")
    x = all_rows(rp.load_data(path))
    assert x[:9].tolist() == [[20 + i, i % 3, i + 0.5, float(i % 2 == 0)] for i in range(9)]
    assert x[9:].isnan().tolist() == [[True, False, True, True], [True, True, False, True]]


def test_rows_without_any_cell_are_left_out(tmp_path):
    path = tmp_path / "people.csv"
    path.write_text("a,b\n1.5,\n,\n,2.5\n3.5,4.5\n,\n1,2\n")
    assert all_rows(rp.load_data(path)).nan_to_num(-1).tolist() == [
        [1.5, -1], [-1, 2.5], [3.5, 4.5], [1, 2]
    ]  # fmt: skip
    path.write_text("a,b\n1.5,x\n,\n,y\n3.5,\n,\n1,x\n")
    assert len(all_rows(rp.load_data(path))) == 4


def test_tables_of_one_kind_stay_what_they_were():
    reals = PEOPLE[["height", "income"]]
    assert rp.load_data(reals).space == rp.Space((2,), "real")
    flags = pd.DataFrame({"a": RNG.integers(0, 2, N), "b": RNG.integers(0, 2, N)})
    assert rp.load_data(flags).space == rp.Space((2,), "binary")
    assert rp.load_data(PEOPLE[["age", "height"]], kind="real").space == rp.Space((2,), "real")
    few = pd.DataFrame({"a": [1, 2, 3, 4], "b": [7, 9, 3, 1]})  # nothing repeats
    assert rp.load_data(few).space.kind == "real"


def test_columns_beside_pixels_are_read_as_what_they_are():
    pixels = pd.DataFrame(RNG.integers(0, 256, (N, 64))).add_prefix("p")
    assert rp.load_data(pixels).space == rp.Space((64,), "real")
    city = rp.load_data(pixels.assign(city=PEOPLE["city"])).space.columns[64]
    assert city == Column("city", "category", 3, ("Bern", "Chur", "Genf"))
    assert rp.load_data(pixels, kind={"p3": "levels"}).space.columns[3].kind == "levels"
    pixels.loc[2, "p1"] = None
    assert rp.load_data(pixels).test.x.shape[1] == 64


def test_kinds_may_be_said():
    kind = {"age": "real", "children": "category", "income": "log", "married": "category"}
    data = rp.load_data(PEOPLE, kind=kind)
    found = {column.name: column for column in data.space.columns}
    assert found["children"] == Column("children", "category", 2, ("1", "2"))
    assert found["married"].kind == "category" and found["age"].kind == "real"
    assert found["income"].kind == "log"
    again = rp.load_data(PEOPLE, kind=data.source["kind"])
    assert again.fingerprint() == data.fingerprint()


@pytest.mark.parametrize(
    "kind, message",
    [
        ({"height": "levels"}, "'height' is to be whole numbers, and has 1"),
        ({"age": "binary"}, "'age' is to be two whole numbers side by side, and has 24"),
        ({"age": "ordinal"}, "expected age=real, log, levels, binary, category, got age=ordinal"),
        ({"agee": "real"}, "'agee' is no column that is an entry of x .did you mean age"),
        ({"city": "real"}, "column 'city' holds text .'Bern'., which is no real column"),
    ],
)
def test_kinds_that_cannot_be_are_refused(kind, message):
    with pytest.raises(ValueError, match=message):
        rp.load_data(PEOPLE, kind=kind)


def test_a_logarithm_needs_positive_numbers():
    with pytest.raises(ValueError, match="column 'gain' has -1, which has no logarithm"):
        rp.load_data(PEOPLE.assign(gain=[-1.0, 2.5] * (N // 2)), kind={"gain": "log"})
    with pytest.raises(ValueError, match="kind: of single columns goes with no levels"):
        rp.load_data(PEOPLE, kind={"age": "real"}, levels=5)


@pytest.mark.parametrize(
    "column, message",
    [
        ([f"p{i}" for i in range(N)], "column 'z' is text with 40 names, every row has its own"),
        ([None, *"abcd"] + [None] * (N - 5), "column 'z' is text with 4 names, every row has its"),
        (["1"] * (N - 1) + ["one"], r"column 'z' holds text \('one'\).*--kind z=category"),
        ([None] * N, "column 'z' has no cell that is there; leave it out"),
        ([1.0] * (N - 1) + [np.inf], "column 'z' is inf"),
    ],
)
def test_columns_that_are_no_use_are_refused_by_name(column, message):
    with pytest.raises(ValueError, match=message):
        rp.load_data(PEOPLE.assign(z=column))


def test_rows_with_missing_cells_may_be_dropped():
    data = rp.load_data(HOLES, missing="drop")
    assert "Left out: 4 rows with missing cells." in data.notes
    assert sum(map(len, data.splits.values())) == N - 4
    numbers = torch.cat([split.numbers for split in data.splits.values()]).tolist()
    assert sorted(numbers) == sorted(set(range(N)) - {1, 3, 5, 7})
    with pytest.raises(ValueError, match="missing: expected keep or drop, got 'fill'"):
        rp.load_data(HOLES, missing="fill")


@pytest.mark.parametrize("form", ["frame", "csv", "parquet"])
def test_rows_are_dropped_before_all_is_of_one_kind(form, tmp_path):
    source = numbers = HOLES[["age", "height", "income", "children"]]
    if form != "frame":
        source = tmp_path / f"t.{form}"
        numbers.to_csv(source, index=False) if form == "csv" else numbers.to_parquet(source)
    whole = numbers.dropna().astype(float)
    for more in ({"kind": "real"}, {"binarize": 20.0}, {"shape": (2, 2)}):
        data, expected = rp.load_data(source, missing="drop", **more), rp.load_data(whole, **more)
        assert all_rows(data).equal(all_rows(expected)) and data.space == expected.space
        assert "Left out: 2 rows with missing cells." in data.notes
    data = rp.load_data(source, missing="drop", attributes=["age"], factors=["height"])
    assert sum(map(len, data.splits.values())) == N - 2
    for more in ({"kind": "real"}, {"attributes": ["age"]}):
        with pytest.raises(ValueError, match="'age' is missing.*missing='drop' .--missing drop. l"):
            rp.load_data(source, **more)


@pytest.mark.parametrize("cells", [["no", None, "yes", "no"], [1, None, 2, 1]])
@pytest.mark.parametrize("form", ["frame", "categories", "csv", "parquet", "beside"])
def test_rows_without_a_label_may_be_dropped(form, cells, tmp_path):
    labels = pd.Series(cells * (N // 4), dtype="category" if form == "categories" else None)
    source = table = HOLES[["age", "city"]].assign(label=labels)
    if form in ("csv", "parquet"):
        source = tmp_path / f"t.{form}"
        table.to_csv(source, index=False) if form == "csv" else table.to_parquet(source)
    label, remedy = "label", ".*missing='drop' .--missing drop. leaves such rows out"
    if form == "beside":  # of arrays, which have no such option, too
        source, label, remedy = table[["age", "city"]], labels.to_numpy(), ""
    with pytest.raises(ValueError, match=f"has no label{remedy}"):
        rp.load_data(source, label=label)
    data = rp.load_data(source, label=label, missing="drop")
    kept = (~table.isna().any(axis=1)).to_numpy()
    assert kept.sum() < kept.size - N // 4
    pairs = ((s.numbers.tolist(), s.labels.tolist()) for s in data.splits.values())
    found = {n: k for numbers, labels in pairs for n, k in zip(numbers, labels, strict=True)}
    assert sorted(found) == np.flatnonzero(kept).tolist()
    assert all(cells[n % 4] == type(cells[0])(data.class_names[k]) for n, k in found.items())
    bare = int((table["label"].isna() & ~table[["age", "city"]].isna().any(axis=1)).sum())
    holes = int(table[["age", "city"]].isna().any(axis=1).sum())
    said = f"Left out: {holes} rows with missing cells, {bare} rows without a label."
    assert said in data.notes


@pytest.mark.parametrize("nothing", [None, np.nan, pd.NA, pd.NaT])
def test_objects_that_say_nothing_are_no_labels(nothing):
    labels = np.array(["a", "b"] * (N // 2), object)
    labels[3] = nothing
    x, frame = np.arange(2.0 * N).reshape(N, 2), PEOPLE[["height", "income"]]
    expected = "train row 3 has no label; fill it in, or drop the row"
    with pytest.raises(ValueError, match=f"{expected}$"):
        rp.load_data((x, labels))
    with pytest.raises(ValueError, match=f"{expected}; missing='drop' .--missing drop. leaves"):
        rp.load_data((frame, labels))
    data = rp.load_data((frame, labels), missing="drop")
    assert len(all_rows(data)) == N - 1 and "Left out: 1 row without a label." in data.notes
    with pytest.raises(ValueError, match="row 3 has no label; fill it in, or drop the row$"):
        load_rows((frame, labels), data)


def test_columns_of_pandas_own_types_may_say_nothing():
    labels = pd.Series(["a", "b"] * (N // 2), dtype="string")
    labels[3] = pd.NA
    frame = PEOPLE[["height", "income"]]
    data = rp.load_data((frame, labels), missing="drop")
    assert "Left out: 1 row without a label." in data.notes
    cells = pd.array(["u", 1, pd.NA, "v"] * (N // 4), dtype=object)  # of no one type
    data = rp.load_data(frame.assign(cell=cells), kind={"cell": "category"})
    assert data.space.columns[2].names == ("1", "u", "v")
    assert int(all_rows(data)[:, 2].isnan().sum()) == N // 4


def test_what_is_said_of_columns_is_refused_where_there_are_none(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    for source in ("digits", tmp_path, np.zeros((9, 2))):
        for name, value in (("missing", "drop"), ("rare", 0.1), ("kind", {"a": "real"})):
            with pytest.raises(ValueError, match=f"{name}: does not apply to"):
                rp.load_data(source, **{name: value})


def test_new_rows_have_the_names_of_training(tmp_path):
    data = rp.load_data(PEOPLE, label="married")
    new = PEOPLE[["city", "income", "age", "children", "height"]].iloc[[4, 9]]  # another order
    path = tmp_path / "new.csv"
    new.assign(city=["Genf", None]).to_csv(path, index=False)
    for record in (data, remembered(data)):
        rows = load_rows(path, record)
        assert rows.x[0].tolist() == pytest.approx(
            [new.iloc[0]["age"], 2, new.iloc[0]["children"], *new.iloc[0][["height", "income"]]]
        )
        assert rows.x[1, 1].isnan()
    new.assign(city=["Genf", "Rom"]).to_csv(path, index=False)
    with pytest.raises(ValueError, match="row 1, column 'city': 'Rom' is none of the 3 names"):
        load_rows(path, data)
    new.assign(age=[99, 18]).to_csv(path, index=False)
    with pytest.raises(ValueError, match="row 0: expected whole numbers 18 … 24, got 99") as found:
        load_rows(path, data)
    remedy = "leave such rows out, or train with the column as real (kind={'age': 'real'}, --kind "
    assert str(found.value).endswith(f"; {remedy}age=real)")
    data = rp.load_data(PEOPLE, label="married", kind={"age": "real"})
    assert load_rows(path, data).x[0, 0] == 99


def test_data_of_other_names_have_another_fingerprint():
    """Their numbers may be the same."""
    towns = PEOPLE["city"].replace("Bern", "Aarau")
    found = {rp.load_data(PEOPLE.assign(city=city)).fingerprint() for city in (PEOPLE.city, towns)}
    assert len(found) == 2


def test_a_test_file_counts_names_as_the_training_file_does():
    test = PEOPLE.iloc[:6].assign(city=["Genf", "Chur"] * 3)
    data = rp.load_data(PEOPLE, test=test)
    assert data.test.x[:, 1].tolist() == [2, 1] * 3
    with pytest.raises(ValueError, match="row 0, column 'city': 'Rom' is none of the 3 names"):
        rp.load_data(PEOPLE, test=test.assign(city="Rom"))


def test_frames_by_split_count_names_as_that_of_training_does():
    valid, test = PEOPLE.assign(city="Genf"), PEOPLE.iloc[:4].assign(city=["Genf", None] * 2)
    data = rp.load_data({"train": PEOPLE, "valid": valid, "test": test})
    assert data.space.columns[1].names == ("Bern", "Chur", "Genf")
    assert data.valid.x[:, 1].unique().tolist() == [2]
    assert data.test.x[:, 1].nan_to_num(-1).tolist() == [2, -1] * 2
    pairs = rp.load_data(((PEOPLE, [0, 1] * (N // 2)), (test, [0, 1] * 2)))
    assert pairs.test.x[:, 1].nan_to_num(-1).tolist() == [2, -1] * 2
    new = test.assign(city="Rom")
    with pytest.raises(ValueError, match="dictionary: test: row 0, column 'city': 'Rom' is none"):
        rp.load_data({"train": PEOPLE, "test": new})
    with pytest.raises(ValueError, match="test: row 0, column 'age' holds text .'x'., and numbers"):
        rp.load_data({"train": PEOPLE, "test": test.assign(age="x")})
    towns = PEOPLE.assign(city=["Bern"] * 20 + ["Genf"] * 17 + ["Chur", "Wil", "Uzwil"])
    data = rp.load_data({"train": towns, "test": new}, rare=0.1)
    assert data.space.columns[1].names == ("Bern", "Genf", "other")
    assert data.test.x[:, 1].unique().tolist() == [2]


@pytest.mark.parametrize("trained_on", ["whole", "holes", "written with holes"])
@pytest.mark.parametrize("low", [1_000_000, 10**10])
def test_names_that_are_numbers_are_the_same_with_holes_and_without(tmp_path, trained_on, low):
    """Frames and pandas write them with decimals where one is missing."""
    whole = PEOPLE.assign(zip=low + np.arange(N) % 3)
    holes = whole.assign(zip=whole["zip"].where(whole["zip"].index != 1))
    whole.to_csv(tmp_path / "whole.csv", index=False)
    holes.to_csv(tmp_path / "holes.csv", index=False)
    sources = [whole, holes, tmp_path / "whole.csv", tmp_path / "holes.csv"]
    train = {"whole": whole, "holes": holes, "written with holes": sources[3]}[trained_on]
    data = rp.load_data(train, kind={"zip": "category"})
    end = ".0" if "written" in trained_on else ""
    assert data.space.columns[-1].names == tuple(f"{low + i}{end}" for i in range(3))
    for source in sources:
        rows = load_rows(source, remembered(data)).x[:, -1]
        assert rows[2:].tolist() == [i % 3 for i in range(2, N)]


def test_a_table_is_made_once_for_all_columns_of_text(monkeypatch):
    made = []
    inner = named_values.exchanged
    monkeypatch.setattr(named_values, "exchanged", lambda *a: made.append(1) or inner(*a))
    rp.load_data(pd.DataFrame({f"c{i}": ["u", "v"] * 9 for i in range(20)}))
    assert made == [1]


def test_a_model_is_trained_on_a_frame_and_scored_on_others():
    data = rp.load_data(HOLES, label="married")
    model = rp.build("vae", data.space, latent_dim=2, hidden=(4,), seed=0)
    rp.fit(model, data, epochs=1, progress=False)
    assert rp.evaluate(model, data, samples=2)["log_likelihood"].value < 0
    with pytest.raises(ValueError, match="data: expected Space"):
        rp.evaluate(model, rp.load_data(PEOPLE.drop(columns="city"), label="married"))


@pytest.mark.parametrize("form", ["frame", "columns", "splits", "array", "csv", "npz"])
def test_rows_of_any_form_are_read_by_the_columns_of_the_model(form, tmp_path):
    """Few rows have fewer names and levels than the model knows."""
    data = rp.load_data(HOLES)
    model = rp.build("made", data.space, hidden=(4,), seed=0)
    few = HOLES.iloc[:12]
    x = all_rows(data)[:12]
    few.to_csv(tmp_path / "few.csv", index=False)
    np.savez(tmp_path / "few.npz", x=x)
    source = {
        "frame": few,
        "columns": few[few.columns[::-1]],
        "splits": {"train": few, "test": few},
        "array": x.numpy(),
        "csv": tmp_path / "few.csv",
        "npz": tmp_path / "few.npz",
    }[form]
    read = as_data(source, data.space)
    assert read.space == data.space
    assert all_rows(read)[:12].nan_to_num(-1).equal(x.nan_to_num(-1)) or form == "splits"
    rp.fit(model, source, epochs=1, progress=False)
    scores = [rp.evaluate(model, rows)["log_likelihood"].value for rows in (source, read)]
    assert scores[0] == scores[1]
    with pytest.raises(ValueError, match="'Rom' is none of the 3 names"):
        rp.evaluate(model, few.assign(city="Rom"))
    with pytest.raises(ValueError, match="array: column 'age', row 0: expected whole numbers 18"):
        rp.evaluate(model, np.full((12, 6), 7.0))
    with pytest.raises(ValueError, match=r"array: expected 6 .* got shape \(2,\); .* age, city, m"):
        rp.evaluate(model, np.zeros((12, 2)))


@pytest.mark.parametrize("form", ["frame", "csv", "features"])
def test_rows_of_other_columns_are_told_by_name(form, tmp_path):
    people = HOLES.drop(columns="married")
    data = rp.load_data(people)
    numbers = pd.DataFrame(all_rows(data).numpy(), columns=people.columns)

    def read(change):
        frame = change(numbers if form == "features" else people)
        frame.to_csv(tmp_path / "rows.csv", index=False)
        features = {"x": frame.to_numpy(), "feature_names": np.array(frame.columns, str)}
        source = {"frame": frame, "csv": tmp_path / "rows.csv", "features": features}[form]
        return all_rows(as_data(source, data.space)), load_rows(source, data).x

    for column in ("city", "height"):
        with pytest.raises(ValueError, match=f"has no column '{column}'"):
            read(lambda frame, column=column: frame.drop(columns=column))
    if form == "features":
        with pytest.raises(ValueError, match="has the column 'more', which the training data have"):
            read(lambda frame: frame.assign(more=1.0))
    else:
        for x in read(lambda frame: frame.assign(more="u")):
            assert x.nan_to_num(-1).equal(all_rows(data).nan_to_num(-1))
    with pytest.raises(ValueError, match=r"got shape \(2,\); give the columns age, city, children"):
        load_rows(np.zeros((3, 2)), data)


def archive(path, x=None, towns=("Bern", "Chur", "Genf"), **more):
    """Samples as commands write them: numbers of names, and beside them what these are."""
    if x is None:
        x = np.array([[18 + i % 5, i % 3, i / 7] for i in range(N)])
    features = ["age", "city", "height"]
    np.savez(path, x=x, feature_names=features, names_city=np.array(towns), **more)
    return path


@pytest.mark.parametrize(
    "towns, said",
    [
        (("Bern", "Bern", "Chur"), "'Bern' repeats"),
        (("Bern", "Chur", "Bern "), "'Bern' repeats"),
        (("=a", "'=a", "Chur"), "'=a' repeats"),
        (("Bern", "", "Chur"), "'' says that a cell is missing"),
        (("Bern", "Chur", "n/a"), "'n/a' says that a cell is missing"),
    ],
)
def test_names_that_a_text_table_cannot_tell_apart_are_refused(tmp_path, towns, said):
    with pytest.raises(ValueError, match=rf"x.npz: names_city: expected a name of .*{said}; give"):
        rp.load_data(archive(tmp_path / "x.npz", towns=towns))


def test_names_of_a_column_differ():
    with pytest.raises(ValueError, match="city: expected different names, got Bern, Rom, Bern"):
        Column("city", "category", 3, ("Bern", "Rom", "Bern"))


def test_a_name_that_may_be_either_of_two_is_refused(tmp_path):
    codes = pd.DataFrame({"code": ["1", "1.0", "u", "2.0"] * 10, "height": np.arange(40) / 7})
    data = rp.load_data(codes, kind={"code": "category"})
    assert data.space.columns[0].names == ("1", "1.0", "2.0", "u")
    rows = codes.iloc[:4].assign(code=["1", "1.0", "2", "2,0"])
    assert load_rows(rows, data).x[:, 0].tolist() == [0, 1, 2, 2]
    with pytest.raises(ValueError, match="row 1, column 'code': '1,0' is none of the 4 names"):
        load_rows(rows.assign(code=["u", "1,0", "2", "2"]), data)


def test_an_archive_says_what_its_names_are(tmp_path):
    path = archive(tmp_path / "x.npz")
    data = rp.load_data(path)
    assert data.space.columns[1] == Column("city", "category", 3, ("Bern", "Chur", "Genf"))
    assert not any("not used" in note for note in data.notes)
    x = np.array([[18, 0, 1.5], [19, 1, 2.5], [20, np.nan, 0.0]])
    for towns, expected in ((("Chur", "Bern"), [1, 0]), (("Genf", "Bern", "Chur"), [2, 0])):
        other = archive(tmp_path / "other.npz", x, towns)
        for rows in (load_rows(other, data), rp.load_data(path, test=other).test):
            assert rows.x[:2, 1].tolist() == expected and rows.x[2, 1].isnan()
    other = archive(tmp_path / "other.npz", x, ("Rom", "Bern"))
    with pytest.raises(ValueError, match="row 0, column 'city': 'Rom' is none of the 3 names"):
        load_rows(other, data)
    means = archive(tmp_path / "means.npz", x + 0.25)
    assert "Arrays not used: names_city." in rp.load_data(means).notes


def test_columns_of_an_archive_have_kinds_as_those_of_tables(tmp_path):
    path = archive(tmp_path / "x.npz")
    data = rp.load_data(path, kind={"age": "real", "city": "category"})
    assert [column.kind for column in data.space.columns] == ["real", "category", "real"]
    assert rp.load_data(**data.source).fingerprint() == data.fingerprint()
    with np.load(path) as arrays:
        assert rp.load_data(dict(arrays), kind={"age": "real"}).space.columns[0].kind == "real"
    with pytest.raises(ValueError, match="kind: 'town' is no column that is an entry of x"):
        rp.load_data(path, kind={"town": "real"})
    with pytest.raises(ValueError, match="'age' is no category in .*as an array names_age"):
        rp.load_data(path, kind={"age": "category"})
    x = np.array([[18 + i % 5, np.nan if i == 4 else i % 3, i / 7] for i in range(N)])
    data = rp.load_data(archive(path, x), missing="drop")
    assert "Left out: 1 row with missing cells." in data.notes
    x = np.array([[i, i % 9 == 0, i / 7] for i in range(N)])
    data = rp.load_data(archive(path, x, ["Bern", "Rom"]), rare=0.2)
    assert data.space.columns[1].names == ("Bern", "other")
    np.savez(path, x=x)
    with pytest.raises(ValueError, match="kind: does not apply to an archive without feature_nam"):
        rp.load_data(path, kind={"age": "real"})


def test_rare_names_become_other_where_that_is_asked_for(tmp_path):
    towns = ["Bern"] * 20 + ["Genf"] * 17 + ["Chur", "Wil", "Uzwil"]
    frame = PEOPLE.assign(city=towns)
    assert rp.load_data(frame).space.columns[1].count == 5
    path = tmp_path / "towns.csv"
    frame.to_csv(path, index=False)
    data = rp.load_data(path, rare=0.1)
    assert data.space.columns[1].names == ("Bern", "Genf", "other")
    assert "Rare names became 'other': city (3 of 5 names)." in data.notes
    assert all_rows(data)[:, 1].tolist() == [0] * 20 + [1] * 17 + [2] * 3
    again = rp.load_data(**data.source)
    assert again.fingerprint() == data.fingerprint()
    new = load_rows(frame.assign(city="Rom").iloc[:2], remembered(data))
    assert new.x[:, 1].tolist() == [2, 2]
    assert "Counted as 'other' of city: Rom." in new.notes
    tested = rp.load_data(frame, test=frame.assign(city="Wil").iloc[:3], rare=0.1)
    assert tested.test.x[:, 1].tolist() == [2, 2, 2]
    assert "No names are rare." in rp.load_data(frame, rare=0.01).notes
    with pytest.raises(ValueError, match="rare: expected a share between 0 and 1, got 2"):
        rp.load_data(frame, rare=2)
