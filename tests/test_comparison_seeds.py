"""Scores over several seeds, and the values by example that they are compared by."""

import json

import numpy as np
import pytest
import torch
from comparing import AE, QUICK, VAE, page_of_a_comparison, table, word_for_a_page  # noqa: F401

import reparam as rp
from reparam import comparison
from reparam.comparison import compare, over_seeds
from reparam.evaluation import Score
from reparam.evaluation.scores import mean_score
from reparam.report.table import score_table


def scores(value, stderr=0.5):
    return {"elbo": Score(value, "nats", 9, "test", stderr, seed=7)}


def by_example(*values):
    return {"elbo": mean_score(torch.tensor(values), "nats", "test")}


def test_scores_that_depend_on_the_seed_have_both_errors():
    merged = over_seeds(
        [by_example(0.0, 2.0), by_example(2.0, 2.0), by_example(1.0, 11.0)], [0, 1, 2]
    )
    found = merged["elbo"]
    assert found.value == pytest.approx(3.0) and found.seed == [0, 1, 2]
    assert found.seed_stderr == pytest.approx(np.sqrt(7 / 3))  # of 1, 2 and 6
    assert found.values.tolist() == [1.0, 5.0]  # each example, mean over the seeds
    assert found.stderr == pytest.approx(2.0)  # √8 / √2, of 1 and 5


def test_without_values_by_example_the_error_over_them_is_the_mean_of_the_seeds():
    merged = over_seeds([scores(1.0, 0.4), scores(2.0, 0.5), scores(6.0, 0.9)], [0, 1, 2])["elbo"]
    assert merged.value == 3.0 and merged.seed == [0, 1, 2] and merged.values is None
    assert merged.seed_stderr == pytest.approx(np.sqrt(7 / 3))
    assert merged.stderr == pytest.approx(0.6)
    assert over_seeds([scores(1.0, None), scores(2.0)], [0, 1])["elbo"].stderr is None


def test_a_score_that_some_seeds_lack_is_left_out():
    """Such as I(x; z), withheld where it is too large: the others were chosen by their values."""
    more = scores(2.0) | {"mutual_information": Score(5.0, "nats", 9, "test")}
    for order in ([scores(1.0), more], [more, scores(1.0)]):
        assert over_seeds(order, [0, 1]).keys() == {"elbo"}


def test_scores_that_do_not_depend_on_the_seed_keep_the_error_over_examples():
    same = [scores(1.0), scores(1.0 + 1e-9), scores(1.0)]  # another order of summation
    assert over_seeds(same, [0, 1, 2]) == scores(1.0)


def test_values_by_example_survive_being_taken_over(tmp_path, monkeypatch):
    data, asked = table(60), QUICK | {"seeds": 2}
    first = compare(data, [AE, VAE], out=tmp_path, **asked)
    monkeypatch.setattr(comparison, "fit", None)  # all is there now
    second = compare(data, [AE, VAE], out=tmp_path, **asked)
    assert len(second.found) == 4
    for one, other in zip(first.entries, second.entries, strict=True):
        assert {n for n, s in one.scores.items() if s.values is not None} >= {"reconstruction_mse"}
        for name, score in one.scores.items():
            assert score == other.scores[name]
            if score.values is not None:
                assert torch.equal(score.values, other.scores[name].values)
                assert score.values.mean().item() == pytest.approx(score.value, rel=1e-9)
    first_row = score_table(second.entries).rows[0]
    assert any(
        "(paired over" in cell.why for cell in [*first_row, *score_table(second.entries).rows[1]]
    )
    assert "values" not in (tmp_path / "scores.json").read_text()


def test_values_that_are_not_of_the_scores_beside_them_are_refused(tmp_path):
    data = table(60)
    compare(data, ["pca"], out=tmp_path, **QUICK)
    file, scores = tmp_path / "pca" / "scores.safetensors", tmp_path / "pca" / "scores.json"
    content = json.loads(scores.read_text())
    content["models"]["pca"]["reconstruction_mse"]["value"] += 1e-3
    scores.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="scores.safetensors: is not of these scores, by recon"):
        compare(data, ["pca"], out=tmp_path, **QUICK)
    file.unlink()  # as of a run that was measured before there were such files
    (entry,) = compare(data, ["pca"], out=tmp_path, **QUICK).entries
    assert entry.scores["reconstruction_mse"].values is None


def test_only_values_of_the_whole_split_are_paired():
    """Of rows that were drawn at random, those of another seed are others."""
    data = rp.load_data(np.random.default_rng(0).normal(size=(2600, 4)))
    model = rp.build("pca", data.space, latent_dim=2)
    rp.fit(model, data, progress=False)
    scores = rp.evaluate(model, data, split="train")
    assert len(data.train) > scores["neighbor_overlap"].n == 1000
    assert scores["neighbor_overlap"].values is None
    assert len(scores["log_likelihood"].values) == len(data.train)


def test_pca_has_the_error_over_examples_whatever_the_seeds(page, tmp_path):
    data = table(200)
    several = compare(data, ["pca", AE], out=tmp_path / "a", seeds=2, **QUICK).entries
    single = compare(data, ["pca"], out=tmp_path / "b", **QUICK).entries[0].scores
    pca = several[0].scores["log_likelihood"]
    assert pca == single["log_likelihood"] and pca.stderr > 0
    mean, by_seed = several[1].scores["reconstruction_mse"], several[1].by_seed
    assert mean.seed == [0, 1] and len(by_seed) == 2
    assert mean.value == sum(one["reconstruction_mse"].value for one in by_seed) / 2
    assert "Trained with seeds 0, 1" in page(tmp_path / "a")
