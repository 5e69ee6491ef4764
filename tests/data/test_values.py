"""Kinds of values: guessed from source and numbers, overruled, checked, binarized, stored."""

import numpy as np
import pytest
import torch

from reparam.data import describe, load_data, load_rows

RNG = np.random.default_rng(0)
BITS = RNG.integers(0, 2, (20, 4))
GRAY = RNG.integers(0, 256, (20, 5, 5), np.uint8)
REAL = RNG.normal(size=(20, 4))


def all_of(x, **options):
    """Loaded data whose three splits all are x."""
    return load_data({"train": x, "valid": x, "test": x}, **options)


@pytest.mark.parametrize(
    "x, kind, levels, dtype",
    [
        (BITS, "binary", None, torch.uint8),
        (BITS.astype(np.uint8), "binary", None, torch.uint8),
        (BITS.astype(bool), "binary", None, torch.uint8),
        (BITS.astype(np.float32), "binary", None, torch.uint8),
        (GRAY, "levels", 256, torch.uint8),
        (GRAY.reshape(20, 25), "levels", 256, torch.uint8),
        (GRAY.astype(np.int64), "levels", 256, torch.uint8),
        (GRAY.reshape(20, 25).astype(np.int64), "real", None, torch.float32),
        (GRAY.astype(np.float32), "real", None, torch.float32),
        (GRAY.astype(np.int64) + 1000, "real", None, torch.float32),
        (REAL, "real", None, torch.float64),
        (REAL.astype(np.float32), "real", None, torch.float32),
        (REAL.astype(np.float16), "real", None, torch.float32),
        (np.array([[0], [2**24 + 1], [5]]), "real", None, torch.float64),
    ],
)
def test_kind_by_source(x, kind, levels, dtype):
    data = all_of(x)
    assert (data.space.kind, data.space.levels, data.train.x.dtype) == (kind, levels, dtype)
    assert np.array_equal(data.test.x.numpy().reshape(x.shape), x)
    assert any(note.startswith(f"Kind {kind}") for note in data.notes)


def test_kind_is_decided_over_all_splits():
    data = load_data({"train": BITS, "test": BITS * 2})
    assert data.space.kind == "real"


@pytest.mark.parametrize(
    "x, options, kind, levels, dtype",
    [
        (GRAY, {"kind": "real"}, "real", None, torch.float32),
        (BITS, {"kind": "real"}, "real", None, torch.float32),
        (BITS, {"levels": 2}, "levels", 2, torch.uint8),
        (GRAY % 16, {"levels": 16}, "levels", 16, torch.uint8),
        ((GRAY % 16).astype(float), {"levels": 16}, "levels", 16, torch.uint8),
        (GRAY.astype(int) * 4, {"levels": 1024}, "levels", 1024, torch.int32),
        (GRAY, {"kind": "levels"}, "levels", 256, torch.uint8),
    ],
)
def test_kind_as_asked(x, options, kind, levels, dtype):
    data = all_of(x, **options)
    assert (data.space.kind, data.space.levels, data.train.x.dtype) == (kind, levels, dtype)
    assert np.array_equal(data.test.x.numpy().reshape(x.shape), x)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"kind": "binary"}, r"array: train row 0, column 0 is .*expects 0 or 1"),
        ({"levels": 4}, r"array: train row 0, column 0 is .*expects an integer 0 … 3"),
        ({"kind": "levels"}, "levels: kind levels is of whole numbers, and array holds 0"),
        ({"kind": "gray"}, "kind: expected binary, levels, real or none, got 'gray'"),
        ({"levels": 1}, "levels: expected a whole number of at least 2 and"),
        ({"levels": 4, "kind": "real"}, "levels: given for kind real"),
        (
            {"binarize": "fresh"},
            "binarize: expected a number, static, dynamic or none, got 'fresh'",
        ),
        ({"binarize": True}, "binarize: expected a number, static, dynamic or none, got True"),
        ({"seed": -1}, "seed: expected a whole number of at least 0"),
        ({"binarize": "static"}, "binarize: 'static'.*needs levels"),
        ({"binarize": "dynamic"}, "binarize: 'dynamic'.*needs levels"),
        ({"binarize": 99.0}, "every value is 0; binarize=99.0 leaves no difference"),
    ],
)
def test_choices_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        load_data(REAL, **options)


def test_value_outside_the_levels_is_named():
    x = GRAY % 16
    x[7, 2, 3] = 16
    with pytest.raises(ValueError, match=r"train row 7, channel 0, pixel \(2, 3\) is 16: kind lev"):
        load_data(x, levels=16)
    x = np.where(BITS, 1.0, 0.0)
    x[4, 1] = 0.5
    with pytest.raises(ValueError, match=r"train row 4, column 1 is 0.5: kind binary expects"):
        load_data(x, kind="binary")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite_is_refused_with_its_place(bad):
    x = REAL.copy()
    x[13, 2] = bad
    x[14, 0] = bad
    with pytest.raises(ValueError, match=rf"test row 13, column 2 is {bad} \(and 1 more\): impute"):
        load_data({"train": REAL, "test": x})


def test_numbers_too_large_for_float32_are_refused():
    x = REAL.copy()
    x[3, 1] = 1e39
    with pytest.raises(ValueError, match="row 3, column 1 is 1e[+]39: too large for float32"):
        load_data(x)


def test_constant_data_are_refused_and_constant_columns_are_not():
    with pytest.raises(ValueError, match="array: every value is 3.0; nothing can be learned"):
        load_data(np.full((9, 2), 3.0))
    x = REAL.copy()
    x[:, 1] = 7
    assert (load_data(x).train.x[:, 1] == 7).all()


def test_binarize_by_threshold():
    data = all_of(GRAY, binarize=0.5)
    assert data.space.kind == "binary"
    assert np.array_equal(data.train.x[:, 0], GRAY > 127)
    assert np.array_equal(all_of(GRAY % 17, levels=17, binarize=0.25).train.x[:, 0], GRAY % 17 > 4)
    assert np.array_equal(all_of(REAL, binarize=-0.3).train.x, REAL > -0.3)
    assert np.array_equal(all_of(BITS, binarize=0.5).train.x, BITS)
    with pytest.raises(ValueError, match=r"threshold of x/\(K−1\) in \(0, 1\), got 127"):
        load_data(GRAY, binarize=127)


def test_static_draw_is_fixed_and_has_the_right_frequencies():
    x = np.broadcast_to(np.array([0, 51, 204, 255], np.uint8), (20_000, 4))
    data, same, other = (all_of(x, binarize="static", seed=seed) for seed in (5, 5, 6))
    frequencies = data.train.x.double().mean(0)
    assert frequencies[0] == 0 and frequencies[3] == 1
    assert frequencies[1:3].tolist() == pytest.approx([0.2, 0.8], abs=4 * 0.4 / 20_000**0.5)
    assert data.fingerprint() == same.fingerprint() != other.fingerprint()
    assert not torch.equal(data.train.x, data.test.x)
    assert "Binarized by one fixed Bernoulli draw of x/255, seed 5." in data.notes


def test_dynamic_data_keep_their_levels_beside_one_fixed_draw():
    x = np.random.default_rng(0).integers(0, 256, (40, 3, 5), dtype=np.uint8)
    dynamic, static, plain = (load_data(x, binarize=how) for how in ("dynamic", "static", None))
    assert dynamic.space == static.space and dynamic.space.kind == "binary"
    for name, split in dynamic.splits.items():
        gray = split.gray
        assert gray is not None and gray.levels == 256
        assert torch.equal(gray.values, plain.splits[name].x)
        assert torch.equal(split.x, static.splits[name].x)  # evaluation reads one fixed draw
    prints = {each.fingerprint() for each in (dynamic, static, plain)}
    assert len(prints) == 3 == len({each.name for each in (dynamic, static, plain)})
    assert load_data(x, binarize="dynamic").fingerprint() == dynamic.fingerprint()
    assert describe(dynamic)["kind"].startswith("binary, drawn from 256 gray levels afresh")
    assert any("validation and evaluation read one fixed" in note for note in dynamic.notes)
    x[0, 0, 0] ^= 1  # the same draws, most probably, but other gray values
    assert load_data(x, binarize="dynamic").fingerprint() != dynamic.fingerprint()


def test_new_rows_of_dynamic_data_are_drawn_too(tmp_path):
    np.save(tmp_path / "gray.npy", GRAY)
    data = load_data(tmp_path / "gray.npy", binarize="dynamic")
    rows, again = (load_rows(GRAY[:2], data) for _ in range(2))
    assert set(rows.x.unique().tolist()) == {0, 1} and torch.equal(rows.x, again.x)


def test_dynamic_binarization_of_binary_data_changes_nothing():
    data = all_of(BITS, binarize="dynamic")
    assert data.train.gray is None and np.array_equal(data.train.x, BITS)


def test_black_and_white_arrays_keep_their_units():
    data = load_data(BITS.astype(np.uint8) * 255)
    assert (data.space.levels, data.train.x.max().item()) == (256, 255)
    assert "Kind levels 256: uint8; binarize=0.5 makes them binary." in data.notes
