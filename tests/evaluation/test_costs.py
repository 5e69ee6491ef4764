"""What evaluation asks of a model follows from what the model says that it costs."""

from __future__ import annotations

import pytest
import torch

import reparam as rp
from reparam.data import Data, Split
from reparam.evaluation import _Asked, _likelihood_scores, representation, samples
from reparam.evaluation.likelihood import default_samples, rows_measured, usual_samples
from reparam.evaluation.representation import linear_probe
from reparam.evaluation.rows import chosen_rows
from reparam.evaluation.samples import rows_compared, sample_scores, sampling_speed
from reparam.model import Density, LogProb, Space

SPACE = Space((3,), "real")


class Solver(Density):
    """Draws to say how probable x is, at a price, and is no latent-variable model."""

    def __init__(self, draws=True, per_sample=1, per_draw=1, seconds=0.0, clock=None):
        super().__init__(SPACE)
        self.log_prob_draws, self.passes_per_sample = draws, per_sample
        self.passes_per_draw, self.seconds, self.clock = per_draw, seconds, clock
        self.drawn = []

    def density(self, x, c, samples, generator):
        kind = "estimate" if self.log_prob_draws else "exact"
        used = samples if self.log_prob_draws else 1
        return LogProb(-x.flatten(1).square().sum(1), kind, used)

    def draw(self, n, c, generator):
        self.drawn.append(n)
        if self.clock is not None:
            self.clock[0] += self.seconds
        return torch.randn(n, 3, generator=generator)


def made(rows=60, labels=None):
    x = torch.randn(rows, 3, generator=torch.Generator().manual_seed(0))
    part = Split(x, labels)
    return Data(part, part, part, SPACE, "made")


def test_samples_are_those_that_the_model_can_afford():
    assert default_samples(SPACE, 1000) == default_samples(SPACE, 1000, 1) == 1000
    assert default_samples(SPACE, 1000, 10_000) == 300
    assert default_samples(SPACE, 1000, 10**9) == 10
    dear, cheap = (rp.evaluate(Solver(per_sample=p), made()) for p in (10_000, 1))
    assert dear["log_likelihood"].samples == 300 and cheap["log_likelihood"].samples == 1000
    assert dear["log_likelihood"].kind == "estimate"


class Unbiased(Solver):
    """Of whose samples more bring less noise, and nothing else."""

    tightens = False


@pytest.mark.parametrize(
    ("approximation", "per_sample", "asked", "samples", "rows"),
    [
        ("variational", 1, None, 20, 2000),  # of whole splits 2000 rows at most
        ("variational", 10**6, None, 20, 166),  # 10¹⁰ entries of x / (3 · 20 · 10⁶)
        ("variational", 10**6, 5, 5, 666),
        ("variational", 10**9, None, 20, 100),
        ("flow solver", 10**6, None, 1, 2000),
        ("flow solver", 10**7, None, 1, 333),
    ],
)
def test_more_rows_are_measured_in_place_of_samples_that_tighten_nothing(
    approximation, per_sample, asked, samples, rows
):
    model, data = Unbiased(per_sample=per_sample), made(2500)
    model.approximation = approximation
    assert rows_measured(model, 2500, samples) == rows
    assert usual_samples(model, 2500) == (samples if asked is None else usual_samples(model, 9))
    score = _likelihood_scores(
        model, _Asked(model, data, "test", samples, 0, coded=False), lambda _: None
    )
    found = score["log_likelihood"]
    assert (found.samples, found.n) == (samples, rows), "the protocol says both"
    again = _likelihood_scores(
        model, _Asked(model, data, "test", samples, 7, coded=False), lambda _: None
    )
    assert again["log_likelihood"].value == found.value, "the same rows whatever the seed"


def test_regret_is_of_the_rows_that_are_measured():
    data = rp.load_data("checkerboard")
    asked = _Asked(Unbiased(per_sample=10**6), data, "test", 20, 0, coded=False)
    asked.model.space = data.space
    found = _likelihood_scores(asked.model, asked, lambda _: None)
    assert found["log_likelihood"].n == found["regret"].n == 250 < len(data.test)
    true = data.true_log_probs("test")[chosen_rows(len(data.test), 250, seed=0)].mean().item()
    assert found["regret"].value == pytest.approx(true - found["log_likelihood"].value, abs=1e-6)


def test_a_density_that_does_not_draw_has_no_samples_in_its_protocol():
    score = rp.evaluate(Solver(draws=False), made())["log_likelihood"]
    assert score.samples is None and score.seed is None and score.kind == "exact"


@pytest.mark.parametrize(("per_draw", "n"), [(1, 2000), (2_000_000, 1666), (10**9, 500)])
def test_distances_take_the_draws_that_can_be_afforded_and_never_fewer_than_500(per_draw, n):
    data, model = made(2000), Solver(per_draw=per_draw)
    assert rows_compared(data, "test", model) == n
    scores = sample_scores(model, data)
    assert scores["frechet_distance"].n == sum(model.drawn) == n


@pytest.mark.parametrize(("seconds", "batches"), [(1.0, 4), (4.0, 3), (6.0, 2), (30.0, 1)])
def test_timing_stops_after_ten_seconds(monkeypatch, seconds, batches):
    clock = [0.0]
    monkeypatch.setattr(samples.time, "perf_counter", lambda: clock[0])
    model = Solver(seconds=seconds, clock=clock)
    score = sampling_speed(model)
    assert len(model.drawn) == batches
    assert score.value == pytest.approx(256 / seconds) and score.n == 256


def test_a_probe_is_fitted_on_as_many_codes_as_are_bounded_and_says_so(monkeypatch):
    labels = torch.arange(400) % 2
    data = made(400, labels)
    model = rp.build("pca", SPACE, latent_dim=2)
    rp.fit(model, data, progress=False)
    whole = linear_probe(model, data.train, data.test)
    assert whole.unit == "accuracy" and whole.seed is None
    monkeypatch.setattr(representation, "PROBED_ENTRIES", 2 * 60)
    monkeypatch.setattr(representation, "LEAST_PROBED", 10)
    fitted, classifier = [], representation.classifier
    monkeypatch.setattr(
        representation, "classifier", lambda x, y: fitted.append(x) or classifier(x, y)
    )
    first, again, other = (linear_probe(model, data.train, data.test, seed=s) for s in (0, 0, 1))
    assert [len(x) for x in fitted] == [60] * 3
    assert first.unit == "accuracy, fitted on 60 codes" and first.seed == 0 and first.n == 400
    assert first == again and not torch.equal(fitted[0], fitted[2])
