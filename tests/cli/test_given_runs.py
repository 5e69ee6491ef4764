"""A run whose model is given what is left of x, at commands that know labels and attributes."""

import numpy as np
import pytest

import reparam as rp


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    data = rp.load_data("digits")
    model = rp.build("cvae", data.space, given="downscale:2", latent_dim=2, hidden=(4,))
    path = tmp_path_factory.mktemp("given") / "run"
    rp.fit(model, data, out=path, epochs=1, progress=False)
    return path


def test_draws_come_with_what_they_were_given(reparam, run, tmp_path):
    for name in ("d.npz", "d.csv", "d.png"):
        code, _, err = reparam("sample", run, "-n", 4, "-o", tmp_path / name)
        assert code == 0, err
    found = np.load(tmp_path / "d.npz")
    assert found["x"].shape == (4, 1, 8, 8) and found["given"].shape == (4, 1, 4, 4)


def test_classes_and_pages_are_refused_in_a_sentence(reparam, run, tmp_path):
    for words, why in (
        (
            ["sample", run, "--label", 3, "-o", tmp_path / "l.png"],
            "label: the condition of this run",
        ),
        (
            ["explore", run, "--page", tmp_path / "page.html"],
            "no code is decoded without",
        ),
    ):
        code, _, err = reparam(*words)
        assert code == 2 and why in err, err
    assert not list(tmp_path.iterdir())


def test_it_is_compared_with_models_that_are_given_nothing(tmp_path):
    x = np.random.default_rng(0).integers(2, size=(40, 1, 4, 4), dtype=np.uint8)
    models = ["cvae given=mask:half latent_dim=2 hidden=4", "pca latent_dim=2"]
    asked = {"out": tmp_path / "page", "epochs": 1, "samples": 2}
    compared = rp.compare(rp.load_data(x), models, **asked)
    given, free = (entry.scores for entry in compared.entries)
    assert "conditional_log_likelihood" in given and "log_likelihood" in free
    assert (tmp_path / "page" / "report.html").exists()
