"""The section of the plane: densities of two columns, and the steps of a flow."""

from __future__ import annotations

import pytest
import torch

import reparam as rp
from reparam.evaluation.scores import Score
from reparam.inspection import Station
from reparam.report.section import Shown
from reparam.report.sections import plane
from reparam.report.summary import findings
from reparam.report.trained import TrainedModel


@pytest.fixture(scope="module")
def shown():
    data = rp.load_data("checkerboard")
    splits = [split.take(slice(0, 500)) for split in data.splits.values()]
    few = rp.Data(*splits, data.space, data.name, true_log_density=data.true_log_density)
    models = [("flow", "real-nvp", {"layers": 2}), ("vae", "vae", {"hidden": (8,)})]
    models += [("flow of classes", "maf", {})]
    entries = []
    for label, preset, options in models:
        model = rp.build(preset, few.space, seed=0, **options)
        history = rp.fit(model, few, epochs=1, progress=False, device="cpu")
        entries.append(TrainedModel(label, model.eval(), {}, history))
    return Shown(few, entries)


def test_the_plane_has_data_draws_densities_and_the_way_of_the_noise(shown):
    data, flow, vae, _ = plane.build(shown)
    assert [caption for caption, _ in data.figures][0] == "Test data"
    assert data.figures[1][0].startswith("log p, true")
    assert len(flow.figures) == 4 and len(vae.figures) == 2 and not vae.steps
    # The steps are told in nats, and add up to the whole log-determinant.
    assert len(flow.steps) == 1 + 2 + 1 and flow.steps[0][0] == "p0: noise"
    assert plane.SECTION.applies(shown)


def test_other_data_have_no_plane():
    data = rp.load_data("digits")
    assert not plane.SECTION.applies(Shown(data, []))


def test_stations_lead_from_the_noise_to_the_data(shown):
    model = shown.entries[0].model
    code = torch.randn(20, 2)
    stations = model.stations(code)
    x = model.decode(code)
    torch.testing.assert_close(stations[-1].points, x)
    whole = sum(station.ladj for station in stations)
    torch.testing.assert_close(whole, -model.log_slope(x), rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [7.0, float("nan"), float("inf")])
def test_steps_to_one_point_or_to_none_are_drawn(shown, value, monkeypatch):
    model = shown.entries[0].model
    station = Station("end", torch.full((30, 2), value), torch.zeros(30))
    monkeypatch.setattr(type(model), "stations", lambda self, code: [station])
    (step,) = plane._steps(0, "flow", model, torch.zeros(30, 2))
    assert step[1].startswith("<svg")


def test_a_code_that_holds_all_of_x_reconstructs_nothing_worth_saying(shown):
    scores = {"reconstruction_mse": Score(1e-14, "", 10, "test", 1e-15)}
    entry = shown.entries[0]
    assert findings([TrainedModel("flow", entry.model, scores, entry.history)]) == []
