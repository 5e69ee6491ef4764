"""What is not measured on codes that are told the condition."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import reparam as rp
from reparam.data import Data, Split
from reparam.evaluation.absent import TOLD, left_out
from reparam.evaluation.diagnosis import layer_scores
from reparam.evaluation.latents import active_units
from reparam.evaluation.likelihood import bound_terms
from reparam.evaluation.representation import linear_probe, neighbor_overlap
from reparam.model import Space
from reparam.report import TrainedModel, distances
from reparam.report.section import Shown
from reparam.report.sections import latent_map, rates
from reparam.report.table import score_table
from reparam.train.history import History

OF_CODES = {"linear_probe_accuracy", "neighbor_overlap", "active_units"}


def noise(rows: int, seed: int, attributes: bool = False) -> Split:
    """Normal rows, and labels that have nothing to do with them; attributes give these away."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (rows,), generator=generator)
    told = labels[:, None].double() if attributes else None
    return Split(torch.randn(rows, 6, generator=generator), labels, attributes=told)


def noisy_data(attributes: bool = False) -> Data:
    splits = [noise(rows, seed, attributes) for seed, rows in enumerate((120, 60, 60))]
    space = Space((6,), "real", classes=3, attributes=1 if attributes else None)
    names = ("told",) if attributes else None
    return Data(*splits, space=space, name="noise", attribute_names=names)


@pytest.mark.parametrize("attributes", [False, True])
def test_noise_tells_nothing_of_labels_that_the_encoder_was_told(attributes):
    """Untrained, and yet a probe of these codes is right every time."""
    data = noisy_data(attributes)
    model = rp.build("cvae", data.space, latent_dim=6, hidden=(32,))
    for stage in model.stages[:-1]:
        stage.solve(model, [rp.model.Batch(data.train.x, rp.data.condition(model, data.train))])
    scores = rp.evaluate(model, data, samples=2)
    assert not OF_CODES & scores.keys()
    assert linear_probe(model, data.train, data.test) is None
    assert neighbor_overlap(model, data.train, data.test) is None
    assert active_units(model, data.test) is None
    plain = rp.build("vae", data.space, latent_dim=6, hidden=(32,))
    assert OF_CODES <= rp.evaluate(plain, data, samples=2).keys()
    probe = linear_probe(plain, data.train, data.test)
    # Right by chance: 1/3 with standard error .061; four and a half of them.
    assert probe is not None and abs(probe.value - 1 / 3) < 4.5 * (2 / 9 / 60) ** 0.5


class ToldOnly(nn.Module):
    """Parameters of q(z|x, c) that are the condition and nothing of x."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        return c.to(x)[:, None].expand(-1, self.outputs)


class Decoder(nn.Module):
    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        return z.new_zeros(len(z), 6)


def test_units_and_layers_that_follow_the_condition_alone_are_not_called_active():
    space = Space((6,), "real", classes=3)
    prior = rp.LayeredPrior(rp.TopDown((2, 3), (4,)))
    parts = (rp.FlowPosterior(5, rp.Planar(5)), prior, rp.Normal(space, "fixed"))
    told = ToldOnly(parts[0].parameter_shape[0])
    model = rp.VAE(space, told, Decoder(), *parts, conditional=True).eval()
    split = noise(40, 0)
    scores = layer_scores(model, split, bound_terms(model, split)["rate"], "test", 0)
    assert not any(name.startswith("active_units") for name in scores)


def test_the_report_says_why_and_draws_no_distances_of_told_codes():
    data = noisy_data()
    told, plain = (rp.build(name, data.space, latent_dim=2) for name in ("cvae", "vae"))
    entries = [
        TrainedModel(name, model, rp.evaluate(model, data, samples=2), History())
        for name, model in (("told", told), ("plain", plain))
    ]
    table = score_table(entries)
    cells = {h.name: cell for h, cell in zip(table.headers, table.rows[0], strict=True)}
    assert {cells[name].absent for name in OF_CODES | {"mutual_information"}} == {TOLD}
    assert "told the condition" in next(
        h.definition for h in table.headers if h.name == "reconstruction_mse"
    )
    (note,) = left_out(told, entries[0].scores)
    assert all(name in note for name in OF_CODES) and note.startswith(f"{TOLD} (")
    assert TOLD == "Not measured: codes of a conditional model already contain the condition"
    assert left_out(plain, entries[1].scores) == []
    maps = latent_map.build(Shown(data, entries))
    assert maps is not None
    assert ["contain the condition" in card.projection for card in maps.cards] == [True, False]
    assert [diagram.label for diagram in distances.shepard_diagrams(Shown(data, entries))] == [
        "plain"
    ]


def test_bounds_on_two_quantities_do_not_share_a_column():
    """An ELBO of log p(x|c) beside one of log p(x) would be the best by what c tells."""
    data = noisy_data()
    models = [rp.build(name, data.space, latent_dim=2) for name in ("cvae", "vae")]
    told, plain = (rp.evaluate(model, data, samples=2) for model in models)
    assert "conditional_elbo" in told and "elbo" not in told
    assert "elbo" in plain and "conditional_elbo" not in plain
    gap = told["conditional_log_likelihood"].value - told["conditional_elbo"].value
    assert told["posterior_gap"].value == pytest.approx(gap)
    entries = [
        TrainedModel(name, model, scores, History())
        for name, model, scores in zip(("told", "plain"), models, (told, plain), strict=True)
    ]
    table = score_table(entries)
    names = [h.name for h in table.headers]
    first, second = table.rows
    assert first[names.index("elbo")].absent == "This model uses conditions"
    absent = second[names.index("conditional_elbo")].absent
    assert absent == "This model does not use conditions"
    found = rates.build(Shown(data, entries))
    assert found is not None and found.plane is not None and "given c" in found.plane
