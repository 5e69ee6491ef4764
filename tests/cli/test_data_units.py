"""Files of examples keep the precision of the data: columns far from 0, and constants."""

import csv

import numpy as np
import pandas as pd


def columns_of(path):
    with path.open() as file:
        header, *rows = csv.reader(file)
    return {name: [row[i] for row in rows] for i, name in enumerate(header)}


def test_a_time_and_a_constant_come_out_of_every_command_as_they_went_in(reparam, tmp_path):
    rng = np.random.default_rng(0)
    times, values = 1.7e9 + rng.uniform(-10, 10, 300), rng.normal(size=(300, 2))
    frame = pd.DataFrame({"time": times, "one": 0.001, "a": values[:, 0], "b": values @ [0.5, 0.1]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    run = tmp_path / "run"
    words = ["fit", "pca", tmp_path / "t.csv", "latent_dim=2", "standardize=true", "-o", run]
    code, out, _ = reparam(*words)
    assert code == 0 and "Constant in training: 'one' (0.001)" in " ".join(out.split())
    for command in (["sample", run, "-n", 200], ["reconstruct", run]):
        out = tmp_path / f"{command[0]}.csv"
        assert reparam(*command, "-o", out)[0] == 0
        written = columns_of(out)
        assert set(written["one"]) == {"0.001"}
        found = np.array(written["time"], float)
        assert len(set(found)) == len(found)  # float32 would write some of five numbers
        assert abs(found - 1.7e9).max() < 60 and 3 < found.std() < 9  # 5.8 in the data
        assert reparam(*command, "-o", out.with_suffix(".npz"))[0] == 0
        with np.load(out.with_suffix(".npz")) as arrays:
            np.testing.assert_array_equal(arrays["x"][:, 0], found)


def test_float32_is_written_in_the_digits_it_has(reparam, tmp_path):
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(300, 3)), columns=list("abc"))
    frame.assign(b=0.1).to_csv(tmp_path / "t.csv", index=False)
    assert reparam("fit", "pca", tmp_path / "t.csv", "latent_dim=1", "-o", tmp_path / "run")[0] == 0
    for name in ("s.csv", "s.npz"):
        assert reparam("sample", tmp_path / "run", "-n", 50, "-o", tmp_path / name)[0] == 0
    written = columns_of(tmp_path / "s.csv")
    assert set(written["b"]) == {"0.1"} and max(map(len, written["a"])) <= 14
    with np.load(tmp_path / "s.npz") as arrays:
        assert arrays["x"].dtype == np.float32
        np.testing.assert_array_equal(arrays["x"][:, 0], np.array(written["a"], np.float32))


def test_data_shows_the_names_of_factors(reparam, tmp_path):
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 4)), columns=list("abcd"))
    frame.to_csv(tmp_path / "t.csv", index=False)
    code, out, _ = reparam("data", tmp_path / "t.csv", "--factor", "d", "--factor", "b")
    lines = [line.split() for line in out.splitlines()]
    assert code == 0 and ["factors", "d,", "b"] in lines and ["columns", "a,", "c"] in lines
    code, _, err = reparam("data", tmp_path / "t.csv", "--factor", "e")
    assert code == 2 and "has no column 'e'" in err


def test_data_shows_names_as_they_are(reparam, tmp_path):
    """Brackets are no markup: [m/s] would vanish, and [/s] end in an error."""
    rows = "".join(f"{i}.5,{i * i}.25\n" for i in range(30))
    (tmp_path / "t.csv").write_text("speed [m/s],drift [/s]\n" + rows)
    code, out, err = reparam("data", tmp_path / "t.csv")
    assert code == 0 and "speed [m/s], drift [/s]" in out, err


def test_arrays_of_other_names_and_floats_that_are_levels(reparam, tmp_path):
    gray = np.random.default_rng(0).integers(0, 256, (30, 4, 4))
    archive = tmp_path / "a.npz"
    np.savez(archive, pics=gray / 255, kinds=np.arange(30) % 3, about=np.zeros(2))
    code, _, err = reparam("data", archive)
    assert code == 2 and "(--x, --y)" in " ".join(err.split())
    for levels in ([], ["--levels", 256]):
        code, out, _ = reparam("data", archive, "--x", "pics", "--y", "kinds", *levels)
        assert code == 0 and "levels 256" in out and "(10 in train)" not in out
        assert "Arrays not used: about." in out and "0 (" in out
    run = tmp_path / "run"
    words = ["--x", "pics", "--y", "kinds", "latent_dim=2", "-o", run]
    assert reparam("fit", "pca", archive, *words)[0] == 0
    assert reparam("reconstruct", run, "-o", tmp_path / "r.npz")[0] == 0  # reads it again
