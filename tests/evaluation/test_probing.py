"""Probes: what they read, how they choose, and that they know nothing of permuted labels."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

import reparam as rp
from reparam.evaluation import probing
from reparam.evaluation.probing import POOLED, RAW, WHOLE, LinearProbe, cross_entropy

DIGITS = rp.load_data("digits")
PRESETS = {
    "pca": {"latent_dim": 6},
    "ae": {"latent_dim": 4, "hidden": [8]},
    "denoising-ae": {"latent_dim": 4, "hidden": [8]},
    "vae": {"latent_dim": 4, "hidden": [8]},
    "vq-vae": {"codes": 8, "channels": 4},
    "mae": {"width": 8, "layers": 1, "heads": 2, "decoder_width": 8},
    "simmim": {"width": 8, "layers": 1, "heads": 2},
    "dino": {"width": 8, "layers": 1, "heads": 2, "prototypes": 16},
}


def built(name):
    return rp.build(name, DIGITS.space, seed=0, **PRESETS[name])


def permuted(data, seed):
    """The same data with the labels of all rows shuffled among them."""
    splits = list(data.splits.values())
    labels = torch.cat([split.labels for split in splits])
    mixed = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]
    parts = mixed.split([len(split) for split in splits])
    changed = [replace(s, labels=part) for s, part in zip(splits, parts, strict=True)]
    return replace(data, train=changed[0], valid=changed[1], test=changed[2])


@pytest.mark.parametrize("name", PRESETS)
def test_of_permuted_labels_nothing_is_known(name, monkeypatch):
    """Accuracy is Σ_k p̂(k) p(k) with the variance of a random permutation.

    Of N predictions and labels with matrix d of agreement, centered by row and by column, it is
    Σ d² / (N² (N − 1)) (Hoeffding 1951).
    """
    data, predicted = permuted(DIGITS, seed=1), []
    predict = LinearProbe.predict

    def kept(probe, features):
        predicted.append(predict(probe, features))
        return predicted[-1]

    monkeypatch.setattr(LinearProbe, "predict", kept)
    found = rp.probe(built(name), data, [10, 100], seeds=2)
    kinds = [kind for kind in (POOLED, WHOLE, RAW) if any(p.features == kind for p in found.probes)]
    accuracies = [a for kind in kinds for n in (10, 100) for a in found[n, kind].accuracies]
    assert len(accuracies) == len(predicted) >= 4
    labels = torch.nn.functional.one_hot(data.test.labels, 10).double()
    errors = []
    for accuracy, classes in zip(accuracies, predicted, strict=True):
        guesses = torch.nn.functional.one_hot(classes, 10).double()
        d = guesses @ labels.T
        expected = d.mean().item()
        d = d - d.mean(0) - d.mean(1, keepdim=True) + expected
        n = len(d)
        errors.append(math.sqrt(d.square().sum().item() / (n**2 * (n - 1))))
        assert abs(accuracy - expected) <= 4 * errors[-1] + 1e-9
    assert 0.01 < max(errors) < 0.03


def test_what_is_read():
    """A grid is read whole and pooled, indices by their vectors, and data always stand beside."""
    kinds = {
        name: {p.features for p in rp.probe(built(name), DIGITS, [20], 1).probes}
        for name in ("pca", "vq-vae", "mae")
    }
    beside = {RAW, "majority class"}
    assert kinds["pca"] == kinds["vq-vae"] == {WHOLE} | beside
    assert kinds["mae"] == {WHOLE, POOLED} | beside


def test_pooled_codes_of_one_place_are_whole(monkeypatch):
    """The pooled code is the mean over places, and nothing else of the probe differs.

    Weights w of it do as w/16 at each of 16 places that are alike, of which the penalty is a 16th:
    a strength of 1/16 for the whole is one of 1 for the pooled code.
    """
    model = built("mae")
    encode = type(model).encode

    def same_everywhere(self, x, c=None):
        code = encode(self, x, c)
        return code.mean((2, 3), keepdim=True).expand_as(code)

    monkeypatch.setattr(type(model), "encode", same_everywhere)
    pooled = rp.probe(model, DIGITS, [10], 2)[10, POOLED]  # nothing is chosen
    monkeypatch.setattr(probing, "UNCHOSEN", 1 / 16)
    whole = rp.probe(model, DIGITS, [10], 2)[10, WHOLE]
    # Of 359 examples two may be told otherwise, where the optimizer stops.
    assert pooled.accuracies == pytest.approx(whole.accuracies, abs=0.006)


def test_the_probe_is_the_logistic_regression_it_says():
    """By another library's optimum on features made by hand: those of one scale for all."""
    few = DIGITS.with_labels(60, seed=2)
    found = rp.probe(None, DIGITS, [60], 3)[60, RAW]

    def of(split):
        return split.x.flatten(1).double().numpy() / 16

    x, y = of(few.train), few.train.labels.numpy()
    center, scale = x.mean(0), np.sqrt(x.var(0).mean())
    losses, accuracies = {}, {}
    for c in (0.001, 0.01, 0.1, 1.0, 10.0, 100.0):
        fitted = LogisticRegression(C=c, max_iter=2000).fit((x - center) / scale, y)
        p = fitted.predict_proba((of(few.valid) - center) / scale)
        losses[c] = -np.log(p[np.arange(len(p)), few.valid.labels]).mean()
        right = fitted.predict((of(few.test) - center) / scale) == few.test.labels.numpy()
        accuracies[c] = right.mean()
    best = min(losses, key=losses.get)
    assert found.strengths[2] == best
    assert found.accuracies[2] == pytest.approx(accuracies[best], abs=0.006)  # float32: 2 of 359
    assert found.chosen and (found.n, found.fitted) == (359, len(few.train))


def test_below_two_labels_a_class_nothing_is_chosen():
    found = rp.probe(None, DIGITS, [12], 2)
    probe = found[12, RAW]
    assert probe.strengths == (1.0, 1.0) and not probe.chosen and probe.fitted == 12
    assert probe.spread == pytest.approx(abs(np.diff(probe.accuracies)[0]) / math.sqrt(2))


def test_without_labels_in_validation_nothing_is_chosen():
    bare = replace(DIGITS, train=DIGITS.train.take(slice(50)), valid=rp.Split(DIGITS.valid.x, None))
    found = rp.probe(None, bare, ["all"])["all", RAW]
    assert found.strengths == (1.0,) and not found.chosen


def test_all_labels_are_one_draw_chosen_by_the_own_validation():
    small = replace(DIGITS, train=DIGITS.train.take(slice(200)))
    found = rp.probe(None, small, None, 3)
    assert [p.labels for p in found.probes if p.features == RAW] == [10, 100, "all"]
    probe = found["all", RAW]
    assert len(probe.accuracies) == 1 and probe.spread is None and probe.chosen
    assert probe.fitted == 200 and found[100, RAW].fitted == 80
    counts = torch.bincount(small.train.labels)
    share = (small.test.labels == counts.argmax()).double().mean().item()
    assert found["all", "majority class"].accuracies == (pytest.approx(share),)


def test_cross_entropy_of_two_and_of_unknown_classes():
    x, y = np.array([[-2.0], [-1.0], [1.0], [2.0]]), np.array([3, 3, 5, 5])
    fitted = LogisticRegression().fit(x, y)
    p = fitted.predict_proba(x)[[0, 1, 2, 3], [0, 0, 1, 1]]
    assert cross_entropy(fitted, x, y) == pytest.approx(-np.log(p).mean())
    assert cross_entropy(fitted, x, np.array([3, 4, 5, 5])) == math.inf


def test_the_model_stays_as_it_is_and_in_its_mode():
    model = built("mae").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    rp.probe(model, DIGITS, [10], 1)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_evaluate_says_which_code_its_probe_reads():
    small = replace(DIGITS, train=DIGITS.train.take(slice(200)))
    scores = rp.evaluate(built("mae"), small)
    assert {"linear_probe_accuracy", "pooled_probe_accuracy"} <= scores.keys()
    assert "pooled_probe_accuracy" not in rp.evaluate(built("vq-vae"), small)


def test_what_cannot_be_probed():
    space = DIGITS.space
    with pytest.raises(ValueError, match=r"has no codes; take one that has, as ae, vae or mae"):
        rp.probe(rp.build("nade", DIGITS.space, hidden=4), DIGITS, [10])
    with pytest.raises(ValueError, match="told its condition"):
        rp.probe(rp.build("cvae", space, latent_dim=2), DIGITS, [10])
    with pytest.raises(ValueError, match="data: expected Space"):
        rp.probe(rp.build("ae", rp.Space((3,), "real")), DIGITS, [10])
    with pytest.raises(ValueError, match="labels: expected at least 10, one for each class, got 5"):
        rp.probe(built("pca"), DIGITS, [5])
    with pytest.raises(ValueError, match="seeds: expected a positive"):
        rp.probe(built("pca"), DIGITS, [10], 0)
    bare = replace(DIGITS, test=rp.Split(DIGITS.test.x))
    with pytest.raises(ValueError, match="test has no labels"):
        rp.probe(built("pca"), bare, [10])
    alone = rp.load_data("digits", only="3")
    with pytest.raises(ValueError, match="one class only"):
        rp.probe(None, alone, [10])
