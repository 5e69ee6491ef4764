"""Few labels: divided by a fair rule, nested, counted whole, and found again by a run."""

import json

import numpy as np
import pytest
import torch

import reparam as rp
from reparam.data import DataRecord, check_record, record_json
from reparam.data.few_labels import labeled_rows, labels_by_class

RNG = np.random.default_rng(0)
COUNTS = (30, 17, 9, 4)


def of_counts(*counts, rows=None):
    """Data of one real column that numbers the training rows, with so many of each class."""
    labels = RNG.permutation(np.repeat(np.arange(len(counts)), counts))
    x = np.arange(len(labels), dtype=np.float64)[:, None]
    other = (x[:4] - 9, np.arange(4) % len(counts))
    return rp.load_data({"train": (x, labels), "valid": other, "test": other}, kind="real")


def rows(split):
    return set(split.x[:, 0].long().tolist())


def test_labels_are_divided_as_webster_would():
    """Of seats that none is given beforehand, by rounding n·f/Σf with the divisor that fits."""
    frequencies = np.array([530, 240, 160, 70])
    for n in range(40, 1001, 37):  # so many that all have two of their own
        divisors = np.linspace(0.5 * frequencies.sum() / n, 2 * frequencies.sum() / n, 20001)
        seats = np.floor(frequencies / divisors[:, None] + 0.5)
        fitting = seats[seats.sum(1) == n]
        assert len(fitting) and labels_by_class(frequencies.tolist(), n) == fitting[0].tolist()


def test_every_class_has_one_and_none_more_than_its_rows():
    for n in range(len(COUNTS), sum(COUNTS) + 1):
        given = labels_by_class(COUNTS, n)
        assert sum(given) == n and min(given) >= 1
        assert all(g <= c for g, c in zip(given, COUNTS, strict=True))
        assert min(given) >= 2 or n < 2 * len(COUNTS)


def test_fewer_labels_are_among_more():
    data, before = of_counts(*COUNTS), None
    for n in range(4, 61):
        few = data.with_labels(n, seed=3)
        train, valid = rows(few.train), rows(few.valid)
        if few.holds_out:
            assert not train & valid and len(train) + len(valid) == n
        else:
            assert train == valid and len(train) == n < 8
        assert few.test is data.test
        if before is not None:
            assert before[0] | before[1] < train | valid
            assert before[2] != few.holds_out or (before[0] <= train and before[1] <= valid)
        before = (train, valid, few.holds_out)
    assert before[0] | before[1] == rows(data.train)


def test_labels_stay_with_their_rows_and_draws_differ():
    data = of_counts(*COUNTS)
    drawn = [data.with_labels(20, seed=seed) for seed in (0, 0, 1)]
    for few in drawn:
        for split in (few.train, few.valid):
            assert torch.equal(split.labels, data.train.labels[split.x[:, 0].long()])
            assert torch.equal(split.numbers, split.x[:, 0].long())
            assert len(split.labels.unique()) == 4
    assert drawn[0].fingerprint() == drawn[1].fingerprint() != drawn[2].fingerprint()


def test_a_fifth_chooses():
    digits = rp.load_data("digits")
    few = digits.with_labels(100)
    assert (len(few.train), len(few.valid), len(few.test)) == (80, 20, 359)
    assert digits.with_labels("all") is digits
    assert digits.holds_out and not digits.with_labels(19).holds_out


def test_rows_of_a_class_do_not_depend_on_others():
    labels = torch.from_numpy(RNG.permutation(np.repeat([0, 1, 2], 20)))
    alone = torch.where(labels == 2, 1, labels)
    of_three = labeled_rows(labels, "abc", 30, seed=5)  # ten of each
    of_two = labeled_rows(alone, "ab", 30, seed=5)  # ten of the first, twenty of the other
    for three, two in zip(of_three, of_two, strict=True):
        assert torch.equal(three[labels[three] == 0], two[alone[two] == 0])


def test_a_run_remembers_its_labels(tmp_path):
    data = rp.load_data("digits", labels=40, labels_seed=2)
    assert data.fingerprint() == rp.load_data("digits").with_labels(40, 2).fingerprint()
    assert data.source == {"source": "digits", "labels": 40, "labels_seed": 2}
    entry = json.loads(json.dumps(record_json(data)))
    check_record(entry)
    record = DataRecord.from_json(entry, data.space)
    assert rp.load_data(**record.source).fingerprint() == data.fingerprint()
    rows = rp.load_rows("digits", record)
    assert len(rows) == 359
    model = rp.build("ae", data.space, latent_dim=2)
    rp.fit(model, data, epochs=1, out=tmp_path / "run", progress=False)
    again, history = rp.resume(tmp_path / "run", epochs=2, progress=False)
    assert history.rows[-1]["epoch"] == 2 and again.space == data.space


@pytest.mark.parametrize(
    ("n", "message"),
    [
        (3, "expected at least 4, one for each class, got 3"),
        (61, "expected at most 60, as many as training has, got 61"),
        (0, "positive whole number"),
        (8.5, "positive whole number"),
    ],
)
def test_numbers_that_cannot_be(n, message):
    with pytest.raises(ValueError, match=f"^labels: .*{message}"):
        of_counts(*COUNTS).with_labels(n)


@pytest.mark.parametrize("seed", [-1, 1.5, "a"])
def test_seeds_that_cannot_be(seed):
    with pytest.raises(ValueError, match="^labels_seed: expected a whole number"):
        of_counts(*COUNTS).with_labels(20, seed)


def test_data_that_have_not_so_many():
    with pytest.raises(ValueError, match="8 of 3 classes are 2 .*only 1 of class '2'"):
        of_counts(9, 9, 1).with_labels(8)
    few = of_counts(9, 9, 1).with_labels(5)
    assert not few.holds_out
    with pytest.raises(ValueError, match="labels: .* has few already"):
        rp.load_data("digits", labels=40).with_labels(20)
    with pytest.raises(ValueError, match="train has no labels"):
        rp.load_data(np.eye(12)).with_labels(3)
    x = np.arange(6.0)[:, None]
    parts = {"train": (x, [0, 0, 0, 1, 1, 1]), "valid": (x[:2], [0, 2]), "test": (x[:1], [2])}
    with pytest.raises(ValueError, match="got none of 2; leave such classes out"):
        rp.load_data(parts, kind="real").with_labels(6)
