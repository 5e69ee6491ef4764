"""Known factors of variation and their names: from archives, dictionaries and tables to splits."""

import numpy as np
import pandas as pd
import pytest
import torch

import reparam as rp
from reparam.data import Data, Split, describe, load_data, load_rows
from reparam.model import Space

RNG = np.random.default_rng(0)
N = 30
X, FACTORS = RNG.normal(size=(N, 3)), RNG.integers(0, 5, (N, 2))
TABLE = pd.DataFrame(X, columns=list("abc")).assign(
    shape=FACTORS[:, 0], angle=FACTORS[:, 1] + 0.5, sex=RNG.choice(["f", "m"], N)
)


def test_an_archive_brings_factors_and_their_names(tmp_path):
    arrays = {"x": X, "factors": FACTORS, "factor_names": np.array(["shape", "angle"])}
    np.savez(tmp_path / "a.npz", **arrays)
    for source in (tmp_path / "a.npz", arrays):
        data = load_data(source)
        assert data.factor_names == ("shape", "angle")
        assert describe(data)["factors"] == "shape, angle"
        assert not any("not used" in note for note in data.notes)
        for split in data.splits.values():
            assert split.factors.dtype == torch.float32 and split.factors.shape == (len(split), 2)
            for x, factors in zip(split.x, split.factors, strict=True):  # each beside its own x
                row = int(np.argmin(np.abs(X[:, 0] - x[0].item())))
                assert factors.tolist() == FACTORS[row].tolist()


def test_names_are_part_of_the_fingerprint_where_they_say_something():
    plain = load_data({"x": X, "factors": FACTORS})
    assert plain.factor_names == ("0", "1") and describe(plain)["factors"] == "0, 1"
    numbered, named, other = (
        load_data({"x": X, "factors": FACTORS, "factor_names": np.array(names)})
        for names in (["0", "1"], ["shape", "angle"], ["angle", "shape"])
    )
    assert plain.fingerprint() == numbered.fingerprint()
    assert len({data.fingerprint() for data in (plain, named, other, load_data(X))}) == 4


@pytest.mark.parametrize("form", ["frame", "parquet", "csv", "tsv"])
def test_columns_of_a_table_become_factors(form, tmp_path):
    source = TABLE if form == "frame" else tmp_path / f"t.{form}"
    if form == "parquet":
        TABLE.to_parquet(source)
    elif form != "frame":
        TABLE.to_csv(source, index=False, sep="\t" if form == "tsv" else ",")
    data = load_data(source, label="sex", factors=["angle", "shape"])
    assert (data.columns, data.factor_names) == (("a", "b", "c"), ("angle", "shape"))
    assert data.space == Space((3,), "real", classes=2)
    whole = load_data(source, label="sex")
    for split, plain in zip(data.splits.values(), whole.splits.values(), strict=True):
        assert torch.equal(split.factors, plain.x[:, [4, 3]])
        assert torch.equal(split.take(slice(2)).factors, split.factors[:2])
    assert any("angle, shape" in note for note in data.notes)
    assert load_rows(TABLE[["c", "a", "b"]][:4], data).factors is None  # they are no entries of x
    if form != "frame":
        assert data.source["factors"] == ["angle", "shape"]
        assert load_data(**data.source).fingerprint() == data.fingerprint()


def test_factors_of_a_test_file_and_of_large_size(tmp_path):
    times = TABLE.assign(time=1.7e9 + RNG.uniform(-10, 10, N)).drop(columns="sex")
    times[:5].to_csv(tmp_path / "test.csv", index=False)
    data = load_data(times, test=tmp_path / "test.csv", factors="time")
    assert data.test.factors[:, 0].tolist() == times["time"][:5].tolist()  # float32 keeps none


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        (TABLE, {"factors": "shap"}, "factors: DataFrame has no column 'shap'; there is 'shape'"),
        (TABLE, {"factors": "sex"}, r"row 0, column 'sex' holds text \('[fm]'\); .*encode it"),
        (TABLE, {"label": "sex", "factors": "sex"}, "factors: 'sex' is named twice, or is"),
        (TABLE, {"attributes": "shape", "factors": "shape"}, "'shape' is named twice"),
        (TABLE, {"label": "sex", "factors": ["a", "b", "c", "shape", "angle"]}, "no columns are"),
        ("digits", {"factors": "shape"}, "factors: does not apply to the named set"),
        (X, {"factors": "shape"}, "factors: does not apply to data in memory without columns"),
        ({"x": X, "factors": FACTORS[:9]}, {}, r"train factors: expected shape \(30, F\)"),
        ({"x": X, "factors": np.full((N, 1), np.nan)}, {}, "train factors: row 0, '0' is nan"),
        ({"x": X, "factors": np.array(["a"] * N)}, {}, "train factors: expected numbers, got <U1"),
        (
            {"x": X, "factors": FACTORS, "factor_names": np.array(["one"])},
            {},
            "expected 2 different names of factors, got one",
        ),
        (
            {"x": X, "factors": FACTORS, "factor_names": np.array(["one", "one"])},
            {},
            "expected 2 different names of factors, got one, one",
        ),
        (
            {"x_train": X, "x_test": X, "factors_train": FACTORS, "factors_test": FACTORS[:, 0]},
            {},
            "factors must be as many in all splits, got train 2, test 1",
        ),
    ],
)
def test_what_cannot_be_factors_is_refused(source, options, message):
    with pytest.raises(ValueError, match=message):
        load_data(source, **options)


def test_data_made_by_hand_have_as_many_factors_as_names():
    split = Split(torch.zeros(3, 2), factors=torch.zeros(3, 2))
    with pytest.raises(ValueError, match="train: factors: expected 1, one per name, got"):
        Data(split, split, split, Space((2,), "real"), "zeros", factor_names=("one",))


def test_factors_of_new_rows_are_in_the_order_of_those_in_training():
    data = load_data({"x": X, "factors": FACTORS, "factor_names": np.array(["shape", "angle"])})
    new = {"x": X[:4], "factors": FACTORS[:4, ::-1], "factor_names": np.array(["angle", "shape"])}
    assert np.array_equal(load_rows(new, data).factors, FACTORS[:4])
    del new["factor_names"]
    assert np.array_equal(load_rows(new, data).factors, FACTORS[:4, ::-1])  # as they are
    new["factor_names"] = np.array(["angle", "size"])
    others = load_rows(new, data)
    assert others.factors is None
    assert others.notes[-1] == "Factors left out: angle, size, where training had shape, angle."


def test_what_levels_are_called_and_which_turn_is_known_of_made_data():
    data = rp.sprites(
        shapes=("heart", "square"), scales=1, orientations=2, positions=2, side=16, colors=3
    )
    names = {"shape": ("heart", "square"), "color": ("red", "yellow", "green")}
    assert data.level_names == names and data.factor_kinds["orientation"] == "circular"
    white = rp.sprites(scales=1, orientations=2, positions=2, side=16)
    assert set(white.level_names) == {"shape"}


@pytest.mark.parametrize("names", [None, ("size",)])
def test_kinds_are_of_factors_that_there_are(names):
    part = rp.Split(torch.zeros(3, 2), factors=torch.zeros(3, 1))
    space = rp.Space((2,), "real")
    with pytest.raises(ValueError, match=r"^factor_kinds: expected (size|none,.*), got 'turn'$"):
        Data(part, part, part, space, "made", factor_names=names, factor_kinds={"turn": "circular"})
