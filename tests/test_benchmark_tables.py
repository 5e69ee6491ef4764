"""Tables of the benchmarks: resumed runs are whole ones, and every row is what it says."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch

import reparam as rp

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import iwae_table
import resumable
import vae_tables


@pytest.fixture
def data():
    return rp.load_data("digits", binarize=0.5)


def untrained(data, seed=0):
    torch.manual_seed(seed)
    return rp.build("vae", data.space, latent_dim=2, hidden=(8,), network="mlp").eval()


def test_an_interrupted_measurement_ends_with_the_same_numbers(data, tmp_path, monkeypatch):
    monkeypatch.setattr(resumable, "PIECE", 100)
    model, measured = untrained(data), []
    whole = resumable.log_likelihoods(model, data.test, 3, tmp_path / "whole")
    inner = model.log_prob

    def log_prob(x, **kwargs):
        measured.append(len(x))
        if len(measured) == 3:
            raise KeyboardInterrupt
        return inner(x, **kwargs)

    monkeypatch.setattr(model, "log_prob", log_prob)
    with pytest.raises(KeyboardInterrupt):
        resumable.log_likelihoods(model, data.test, 3, tmp_path / "parts")
    resumed = resumable.log_likelihoods(model, data.test, 3, tmp_path / "parts")
    assert torch.equal(resumed, whole)
    sizes = [len(part) for part in data.test.x.split(100)]
    assert measured == sizes[:3] + sizes[2:]  # only the one that was interrupted comes again


def test_rows_of_other_weights_or_samples_are_measured_anew(data, tmp_path):
    file = tmp_path / "rows"
    first = resumable.log_likelihoods(untrained(data), data.test, 3, file)
    assert torch.equal(resumable.log_likelihoods(untrained(data), data.test, 3, file), first)
    assert not torch.equal(resumable.log_likelihoods(untrained(data, 1), data.test, 3, file), first)
    again = resumable.log_likelihoods(untrained(data), data.test, 4, file)
    assert len(again) == len(first) and not torch.equal(again, first)


def test_rows_average_to_the_scores_of_the_library(data, tmp_path):
    model = untrained(data)
    scores = rp.evaluate(model, data, samples=50)
    value, stderr = resumable.mean(resumable.log_likelihoods(model, data.test, 50, tmp_path / "r"))
    # Other noise: with 50 samples of 2 dimensions it moves a mean over all rows by far less.
    assert value == pytest.approx(scores["log_likelihood"].value, abs=0.05)
    assert stderr == pytest.approx(scores["log_likelihood"].stderr, rel=0.02)
    for values, name in zip(resumable.bounds(model, data.test), ("elbo", "rate"), strict=True):
        mean, _ = resumable.mean(values)
        assert mean == pytest.approx(scores[name].value, abs=1e-4)  # the same noise


def test_a_table(data, tmp_path, capsys):
    asked = Namespace(epochs=1, samples=4, rows=200, out=tmp_path)
    vae_tables.table("priors", data, asked)
    content = json.loads((tmp_path / "priors-epochs=1.json").read_text())
    assert content["short"] and content["test_rows"] == 200 and content["data"] == data.name
    plain, vamp = content["rows"]
    assert plain["difference"] is None
    for row in (plain, vamp):
        gap = row["log_likelihood"][0] - row["elbo"][0]
        assert row["gap"][0] == pytest.approx(gap, abs=1e-9)
    difference = vamp["log_likelihood"][0] - plain["log_likelihood"][0]
    assert vamp["difference"][0] == pytest.approx(difference, abs=1e-9)
    # The same rows: the difference is surer than two independent means would make it.
    assert vamp["difference"][1] < (plain["log_likelihood"][1] ** 2 * 2) ** 0.5
    assert "a short run: 400 are meant" in capsys.readouterr().out
    vae_tables.table("priors", data, asked)  # nothing left to do: the same table
    assert json.loads((tmp_path / "priors-epochs=1.json").read_text()) == content


@pytest.mark.parametrize("side", sum(vae_tables.TABLES.values(), ())[1:], ids=lambda s: s.name)
def test_every_side_builds(side, data):
    rp.build(side.preset, data.space, **vae_tables.NETWORKS | side.parameters)


@pytest.mark.parametrize("kind", ["static", "dynamic"])
def test_an_interrupted_iwae_run_ends_with_the_same_weights(kind, data, tmp_path, monkeypatch):
    gray = (
        rp.load_data("digits").train.x.float() / 16 if kind == "dynamic" else data.train.x.float()
    )

    def run(folder):
        torch.manual_seed(0)
        model = iwae_table.build(data.space, 2, gray.mean(0))
        asked = Namespace(set=kind, stages=2, out=tmp_path / folder)
        iwae_table.train(asked, model, data, gray)
        return model.state_dict()

    whole, written, write = run("whole"), [], iwae_table.write_tensors

    def write_tensors(path, *content):
        if len(written) == 3:  # the best weights of the second epoch are kept, its state is not
            written.append(None)
            raise KeyboardInterrupt
        written.append(path.stem)
        write(path, *content)

    monkeypatch.setattr(iwae_table, "write_tensors", write_tensors)
    with pytest.raises(KeyboardInterrupt):
        run("parts")
    assert written[:3] == ["best", "state", "best"]
    resumed = run("parts")
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_the_recipe_of_the_iwae_paper():
    rates = iwae_table.epochs(8)
    assert len(rates) == 3280
    assert rates[0] == 1e-3 and rates[-1] == pytest.approx(1e-4)
    assert rates.count(rates[-1]) == 3**7
