"""A model of each class as a user types it: trained, asked for classes, drawn, refused."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch

import reparam as rp


def test_it_is_trained_and_classifies_and_draws_a_class(reparam, tmp_path):
    run = tmp_path / "run"
    code, said, err = reparam("fit", "pca", "digits", "per_class=true", "latent_dim=4", "-o", run)
    assert code == 0, err
    code, said, err = reparam("classify", run, "-o", tmp_path / "c.csv")
    assert code == 0, err
    with (tmp_path / "c.csv").open() as file:
        header, *rows = csv.reader(file)
    assert header == [*(f"log p({i})" for i in range(10)), "class", "label", "row"]
    model, data = rp.load(run), rp.load_data("digits")
    log_p = rp.classify(model, data.test.x)
    assert np.allclose(np.array(rows)[:, :10].astype(float), log_p, atol=1e-4)
    right = (log_p.argmax(1) == data.test.labels).double().mean().item()
    assert right > 0.95 and f"{right:.3f}" in said
    drawn = tmp_path / "d.npz"
    code, _, err = reparam("sample", run, "--label", 3, "-n", 20, "-o", drawn)
    assert code == 0, err
    found = rp.classify(model, torch.from_numpy(np.load(drawn)["x"])).argmax(1)
    assert (found == 3).double().mean() > 0.8
    code, said, err = reparam("evaluate", run)
    assert code == 0 and "log_likelihood" in said and "conditional" not in said, err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["pca", "t.csv", "latent_dim=1"], "per_class: expected data with class labels, got none"),
        (["made", "digits", "conditional=true"], "per_class: expected no conditional model"),
        (["factor-vae", "digits"], "per_class: expected a model trained by one loss"),
        (["gan", "digits"], "per_class: no parameter of gan"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_a_line(reparam, tmp_path, monkeypatch, words, why):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("a,b\n" + "".join(f"{i}.5,{i * i}.25\n" for i in range(20)))
    code, _, err = reparam("fit", *words, "per_class=true", "-o", "run")
    (line,) = [line for line in err.splitlines() if "per_class" in line]
    assert code == 2 and why in line and not (tmp_path / "run").exists()
