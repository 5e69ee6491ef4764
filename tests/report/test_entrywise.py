"""Pixel by pixel: surprise maps, completions and receptive fields in the report."""

from __future__ import annotations

import math

import pytest
import torch

import reparam as rp
from reparam.evaluation.modes import evaluating
from reparam.report.pictures import Brightness
from reparam.report.section import Shown
from reparam.report.sections import completions, entrywise
from reparam.report.trained import TrainedModel


@pytest.fixture(scope="module")
def data():
    return rp.load_data("digits", binarize=0.5)


def entry(name, data, **parameters):
    torch.manual_seed(0)
    return TrainedModel(name, rp.build(name, data.space, **parameters).eval(), {}, rp.History())


def test_receptive_fields_show_the_blind_spot_of_the_plain_network_only(data):
    sizes = {"width": 8, "layers": 3, "first_kernel": 3}
    with evaluating([]):
        for name, blind in (("pixel-cnn", True), ("gated-pixel-cnn", False)):
            model = entry(name, data, **sizes).model
            field = entrywise.receptive_field(model, data, (4, 2))[0, 0]
            assert (field[4, 2:] == 0).all() and (field[5:] == 0).all()  # the future
            assert field[3, 2] > 0 and field[4, 1] > 0
            assert (field[3, 4] == 0) == blind  # one row up, two to the right


@pytest.mark.parametrize("likelihood", ["bernoulli", "categorical"])
@pytest.mark.parametrize("conditional", [False, True])
def test_receptive_fields_of_codes_seen_one_hot_come_from_changes(data, likelihood, conditional):
    """One-hot codes have no gradient: there the field was black, or no report at all."""
    sizes = {"width": 8, "layers": 3, "first_kernel": 3, "inputs": "one-hot"}
    sizes |= {"likelihood": likelihood, "conditional": conditional}
    with evaluating([]):
        for name, blind in (("pixel-cnn", True), ("gated-pixel-cnn", False)):
            model = entry(name, data, **sizes).model
            field = entrywise.receptive_field(model, data, (4, 2))[0, 0]
            assert (field[4, 2:] == 0).all() and (field[5:] == 0).all()  # the future
            assert field[3, 2] > 0 and field[4, 1] > 0
            assert (field[3, 4] == 0) == blind


def test_surprise_is_in_bits_and_sums_to_the_likelihood(data):
    model = entry("made", data, hidden=(8,)).model
    rows = torch.arange(5)
    with evaluating([model]):
        found = entrywise._surprise(model, data, rows, seed=0)
        nats = model.log_prob(data.test.x[rows]).value
    assert found is not None and found.shape == (5, 1, 8, 8)
    torch.testing.assert_close(found.flatten(1).sum(1), -nats / math.log(2))


def test_models_get_the_pictures_they_define(data):
    entries = [
        entry("vae", data, latent_dim=2),
        entry("pixel-cnn", data, width=4, layers=1),
        entry("made", data, hidden=(8,), orders=2),  # completes, but has no factors by entry
        entry("ae", data, latent_dim=2),
        entry("pixel-vae", data, width=4, layers=1),  # whose entries depend on each other given z
    ]
    with evaluating([e.model for e in entries]):
        cards = entrywise.build(Shown(data, entries))
        completed = completions.build(Shown(data, entries))
    assert [(card.model, len(card.figures)) for card in cards] == [(1, 2)]
    captions = " ".join(caption for card in cards for caption, _ in card.figures)
    assert "bits" in captions and "Receptive fields" in captions
    assert [(card.model, len(card.figures)) for card in completed] == [(0, 2), (1, 2), (2, 2)]
    (box, _), (half, _) = completed[0].figures
    assert "a box in the middle" in box and "the lower half" in half
    assert "by chains of 5 steps" in box  # as conftest.py has it, of 100
    assert all("chains" not in caption for card in completed[1:] for caption, _ in card.figures)


def test_brightness_reaches_from_black_to_white():
    x = torch.tensor([-1.0, 0.0, 2.0, 4.0, 9.0]).view(1, 1, 1, 5)
    assert Brightness(0.0, 4.0).unit(x).flatten().tolist() == [0, 0, 0.5, 1, 1]
