"""``reparam disentangle``: of a run, of an archive of codes, of several seeds; bad input."""

import json
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from commands import succeed

import reparam as rp
from reparam.cli.disentangle import _of_all
from reparam.evaluation.disentanglement.of_models import factor_scores
from reparam.evaluation.rows import subset

GRID = np.array(list(product(range(3), range(4), range(4), range(3)))).repeat(2, 0)  # 288 rows
NAMES = np.array(["size", "left", "top", "gap"])
CHEAP = [word for name in ("mig", "modularity", "irs") for word in ("--metric", name)]


def pictures():
    x = np.zeros((len(GRID), 8, 8), np.uint8)
    for image, (size, left, top, gap) in zip(x, GRID, strict=True):
        image[top : top + size + 1, left : left + 2] = 1
        image[7, :gap] = 1
    return x


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three seeds of a small VAE on a grid of 2 × 144 images, and archives."""
    folder = tmp_path_factory.mktemp("grid")
    noise = np.random.default_rng(0).normal(size=GRID.shape)
    np.savez(folder / "grid.npz", x=pictures(), factors=GRID, factor_names=NAMES)
    np.savez(folder / "codes.npz", z=GRID + 0.1 * noise, factors=GRID, factor_names=NAMES)
    np.savez(folder / "bare.npz", codes=GRID + 0.2 * noise, row=np.arange(288))
    np.savez(folder / "other.npz", codes=GRID + 0.2 * noise, row=np.arange(288)[::-1])
    np.savez(folder / "none.npz", x=noise)
    np.savez(folder / "short.npz", codes=noise, factors=GRID[:-1])
    np.savez(folder / "pickled.npz", codes=noise, factors=GRID.astype(object))
    np.savetxt(folder / "codes.csv", noise)
    np.savez(folder / "flat.npz", codes=noise[:, 0], factors=GRID)
    words = ["latent_dim=3", "hidden=8", "--epochs", 1]
    for seed in (0, 1, 2):
        out = ["-o", folder / f"vae{seed}", "--seed", seed]
        succeed("fit", "vae", folder / "grid.npz", *words, *out)
    return folder


def test_an_archive_of_codes_and_factors(folder, reparam, tmp_path):
    out = tmp_path / "scores.json"
    words = ["--ordered", "left", "--circular", "top", "--metric", "sap", "--bins", "levels"]
    code, said, errors = reparam("disentangle", folder / "codes.npz", *CHEAP, *words, "--json", out)
    assert code == 0 and not errors, errors
    assert "288 rows, as many bins" in " ".join(said.split()) and "0 of 4 latents dead." in said
    content = json.loads(out.read_text())
    with np.load(folder / "codes.npz") as arrays:
        expected = rp.mig(arrays["z"], arrays["factors"], "levels")
    assert content["scores"]["mig"] == json.loads(json.dumps(expected.to_json()))
    np.testing.assert_allclose(content["matrices"]["mig"], expected.matrix)
    assert content["factors"] == NAMES.tolist()
    assert content["scores"]["sap"]["predictor"] == "squared correlation or nearest class mean"
    assert list(content["scores"]) == "dead_latents mig modularity modularity_live sap irs".split()


def test_a_run_on_all_rows_says_what_its_images_show(folder, reparam, tmp_path):
    out = tmp_path / "scores.json"
    words = ["--split", "all", *CHEAP, "--json", out]
    assert reparam("disentangle", folder / "vae0", *words)[0] == 0
    scores = json.loads(out.read_text())["scores"]
    assert scores["mig"]["n"] == scores["mig_ceiling"]["n"] == 288
    assert scores["mig"]["split"] == "all" and "144 distinct" in scores["mig_ceiling"]["unit"]
    assert scores["mig_ceiling"]["value"] == pytest.approx(1)
    code, said, _ = reparam("disentangle", folder / "vae0", "-n", "40", *CHEAP)
    assert code == 0 and "40 test" in said


def test_of_all_rows_only_those_that_are_asked_for_are_read():
    x = torch.zeros(1, 1, dtype=torch.uint8).expand(10**6, 10**7)  # 10 TB, if they were joined
    numbers = torch.arange(3 * 10**6)[:, None]
    splits = [rp.data.Split(x, factors=part, streamed=True) for part in numbers.chunk(3)]
    data = rp.Data(*splits, rp.Space((10**7,), "binary"), "large", factor_names=("number",))
    chosen = _of_all(data, 3, seed=0)
    expected = subset(rp.data.Split(numbers), 3, seed=0).x
    assert chosen.x.shape == (3, 10**7) and torch.equal(chosen.factors, expected)


def test_a_factor_of_one_level_is_no_column_and_few_rows_are_said_once(reparam, tmp_path):
    named = {"factor_names": np.array(["one", "size"]), "codes": GRID[::4] * 1.0}
    np.savez(tmp_path / "z.npz", factors=GRID[::4, :2] * [0, 1], **named)
    words = ["--metric", "mig", "--json", tmp_path / "s.json", "-o", tmp_path / "m.png"]
    code, _, errors = reparam("disentangle", tmp_path / "z.npz", *words)
    assert code == 0 and errors.count("72 are few") == 1, errors
    assert json.loads((tmp_path / "s.json").read_text())["factors"] == ["size"]


def test_evaluate_has_the_cheap_ones(folder, monkeypatch):
    data = rp.load_data(folder / "grid.npz")
    model = rp.build("ae", data.space, latent_dim=3, hidden=(8,), seed=0)
    scores = rp.evaluate(model, data)
    assert {"dead_latents", "mig", "modularity", "sap", "irs"} <= scores.keys()
    assert (scores["mig"].split, scores["mig"].n) == ("test", 58)
    z = model.encode(data.test.x.float()).detach().double()
    assert scores["irs"].value == pytest.approx(rp.irs(z, data.test.factors).value)
    few = replace(data, test=data.test.take(slice(0, 12)))
    assert "mig" not in rp.evaluate(model, few)  # too few rows to say anything
    assert "mig" not in rp.evaluate(model, rp.load_data(pictures(), kind="binary"))
    monkeypatch.setattr("reparam.evaluation.disentanglement.of_models.MOST_LATENTS", 2)
    assert factor_scores(model, data, "test") == {}  # as of flows, whose codes are as large as x


def test_the_matrix_is_drawn(folder, reparam, tmp_path):
    out = tmp_path / "matrix.svg"
    words = ["disentangle", folder / "codes.npz", "--metric", "irs", "-o", out]
    code, said, _ = reparam(*words)
    assert code == 0 and "matrix.svg" in said
    assert "gap" in out.read_text() and "size" in out.read_text()
    before = out.read_bytes()
    code, _, errors = reparam(*words)
    assert code == 2 and "exists already" in errors and out.read_bytes() == before
    assert reparam(*words, "--force")[0] == 0


def test_several_runs_are_compared_with_each_other(folder, reparam, tmp_path):
    out, runs = tmp_path / "udr.json", [folder / f"vae{seed}" for seed in (0, 1, 2)]
    assert reparam("disentangle", *runs, "--json", out)[0] == 0
    content = json.loads(out.read_text())
    assert 0 <= content["scores"]["udr"]["value"] <= 0.9 and len(content["matrices"]["udr"]) == 3
    assert list(content["scores"]) == ["udr"] and content["matrices"]["udr"][0][0] is None
    same = reparam("disentangle", folder / "bare.npz", folder / "bare.npz", "--json", out)
    assert same[0] == 0
    assert json.loads(out.read_text())["scores"]["udr"]["value"] == pytest.approx(0.9, abs=0.05)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pca"], "has no known factors; train on data with them"),
        (["made"], "Autoregressive has no codes; use an autoencoder or a VAE"),
        (["none.npz"], "has no array codes (or z) and no factors; there are x"),
        (["bare.npz"], "has no array factors; there are codes, row"),
        (["short.npz"], "factors: expected 288 rows, one per code, got 287"),
        (["short.npz", "-n", "100"], "factors are not of the 288 rows that the codes have"),
        (["flat.npz"], "codes: expected rows and columns, got shape (288,)"),
        (["codes.npz", "-n", "15"], "rows: expected at least 20, got 15"),
        (["codes.npz", "--ordered", "tip"], "ordered: expected one of size, left, top, gap"),
        (["codes.npz", "--bins", "few"], "bins: expected a whole number of at least 2"),
        (["codes.npz", "--bins", "2.5"], "or levels, got '2.5'"),
        (["codes.npz", "--bins", "inf"], "or levels, got 'inf'"),
        (["codes.npz", "--bins", "1e9"], "of at most 10000 or levels, got '1e9'"),
        (["codes.npz", "--metric", "mgi"], "metrics: expected some of mig"),
        (["codes.npz", "-o", "matrix.txt"], "expected a name ending in .png, .svg, .pdf"),
        (["bare.npz", "bare.npz", "-o", "m.png"], "out: applies to codes with factors"),
        (["vae0", "vae1", "--metric", "mig"], "metric: applies to codes with factors"),
        (["vae0", "vae1", "--ordered", "top"], "ordered: applies to codes with factors"),
        (["vae0", "vae1", "--circular", "top"], "circular: applies to codes with factors"),
        (["vae0", "vae1", "--bins", "levels"], "bins: applies to codes with factors"),
        (["vae0", "vae1", "--trees", "lightgbm"], "trees: applies to codes with factors"),
        (["vae0", "vae1", "--sap", "reference"], "sap: applies to codes with factors"),
        (["codes.npz", "--ordered", "top", "--circular", "top"], "'top' is named as circular, too"),
        (["codes.npz", "--split", "all"], "split: applies to a run only"),
        (["codes.npz", "--data", "digits"], "data: applies to a run only"),
        (["codes.csv"], "codes.csv: expected the folder of a run, or an .npz with codes"),
        (["pickled.npz"], "has no array factors; there are codes; factors hold Python objects"),
        (["bare.npz", "other.npz"], "its codes are of other rows than those of"),
        (["vae0", "pca"], "its codes are of other rows than those of"),
        (["nowhere"], "nowhere"),
        (["nowhere.npz"], "nowhere.npz"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(folder, runs, reparam, tmp_path, words, message):
    out = tmp_path / "scores.json"
    paths = [next((f / w for f in (folder, runs) if (f / w).exists()), w) for w in words]
    code, said, errors = reparam("disentangle", *paths, "--json", out)
    assert code == 2 and not said and errors.count("\n") == 1 and message in errors, errors
    assert not out.exists()


def test_codes_that_are_told_a_condition_are_refused(reparam, tmp_path):
    labels = GRID[:, 0]
    arrays = {"x": pictures(), "y": labels, "factors": GRID[:, 1:]}
    np.savez(tmp_path / "labeled.npz", **arrays)
    words = ["latent_dim=2", "hidden=4", "--epochs", 1, "-o", tmp_path / "cvae"]
    succeed("fit", "cvae", tmp_path / "labeled.npz", *words)
    code, _, errors = reparam("disentangle", tmp_path / "cvae")
    assert code == 2 and "already contain the condition" in errors
    data, model = rp.load_data(tmp_path / "labeled.npz"), rp.load(tmp_path / "cvae")
    assert factor_scores(model, data, "test") == {}
