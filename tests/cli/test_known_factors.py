"""Data with known factors at the command line: what they are, and factors beside codes."""

from __future__ import annotations

import numpy as np

from reparam.data import load_data

SHORT = ("hidden=8", "--epochs", 1)
TINY = "sprites scales=2 orientations=4 positions=4 side=16"


def test_a_run_on_sprites_is_used_and_its_codes_have_factors_beside_them(reparam, tmp_path):
    assert reparam("fit", "pca", TINY, "latent_dim=2", "-o", tmp_path / "run")[0] == 0
    for name in ("z.npz", "z.csv"):
        code, _, error = reparam("encode", tmp_path / "run", "-o", tmp_path / name)
        assert code == 0, error
    data, made = load_data(TINY), np.load(tmp_path / "z.npz")
    assert np.array_equal(made["factors"], data.test.factors) and made["z"].shape == (77, 2)
    assert made["factors"].dtype == np.int64 and np.array_equal(made["row"], data.test.rows)
    assert tuple(made["factor_names"]) == data.factor_names
    header, *lines = (tmp_path / "z.csv").read_text().splitlines()
    assert header == "z0,z1,shape,scale,orientation,x,y,row"
    cells = np.array([list(map(float, line.split(",")[2:])) for line in lines])
    assert np.array_equal(cells[:, :-1], data.test.factors)


def test_data_shows_the_number_of_distinct_images(reparam):
    code, out, error = reparam("data", f"{TINY} distinct=yes")
    assert code == 0 and "384 images, 384" not in out
    words = " ".join((out + error).split())
    assert "of them distinct" in words and "factors shape, scale, orientation, x, y" in words


def test_factors_of_a_table_stand_beside_each_completion(reparam, tmp_path):
    rng = np.random.default_rng(0)
    cells = np.column_stack([rng.normal(size=(40, 2)), rng.integers(0, 4, 40) + 0.5])
    np.savetxt(tmp_path / "t.csv", cells, delimiter=",", header="a,b,angle", comments="")
    run, out = tmp_path / "run", tmp_path / "f.csv"
    code, _, error = reparam(
        "fit", "made", tmp_path / "t.csv", "--factor", "angle", *SHORT, "-o", run
    )
    assert code == 0, error
    code, _, error = reparam("complete", run, "--draws", 2, "-n", 3, "-o", out)
    assert code == 0, error
    header, *lines = out.read_text().splitlines()
    assert header == "a,b,angle,row,draw" and len(lines) == 6
    for line in lines:
        *_, angle, row, _ = line.split(",")
        assert float(angle) == cells[int(row), -1]
