"""A codec whose codes are indices goes through scores, report and every command that takes one."""

from __future__ import annotations

import csv
from unittest.mock import Mock

import numpy as np
import pytest
import torch

import reparam as rp
from reparam.evaluation.modes import evaluating
from reparam.model import Codec, LatentVariable, Loss, Solve, Space
from reparam.presets import PRESETS, Preset
from reparam.report import TrainedModel, write_page
from reparam.use.editing import variations

LEVELS = 5
REFUSED = "expected real codes, got indices, with nothing between them"


class Columns(Codec):
    """Two entries of x, each as the nearest of five values seen in training; x is their mean."""

    def __init__(self, space):
        super().__init__(space)
        self.register_buffer("values", torch.zeros(LEVELS))

    code_space = Space((2,), "levels", LEVELS)

    @property
    def stages(self):
        def solve(model, batches):
            seen = torch.cat([batch.x.flatten() for batch in batches]).to(model.anchor)
            model.values.copy_(torch.quantile(seen, torch.linspace(0, 1, LEVELS).to(seen)))

        return (Solve("values", solve),)

    def loss(self, x, c=None, player="model"):
        x, _ = self.prepare(x, c)
        error = (self.reconstruct(x) - x).flatten(1).square().sum(1)
        return Loss(error.mean(), {"squared_error": error})

    def encode(self, x, c=None):
        x, _ = self.prepare(x, c, "range")
        x = x.to(self.anchor.dtype)
        return (x.flatten(1)[:, :2, None] - self.values).abs().argmin(2)

    def decode(self, code, c=None):
        mean = self.values[self.prepare_code(code).long()].mean(1)
        return mean.view(-1, *[1] * len(self.space.shape)).expand(-1, *self.space.shape)


@pytest.fixture
def named(monkeypatch):
    def build(space):
        """Two entries of x as indices."""
        return Columns(space)

    monkeypatch.setitem(PRESETS, "columns", Preset("columns", build, "no paper"))


@pytest.fixture(params=["images", "table"])
def trained(request, named, tmp_path):
    if request.param == "images":
        data = rp.load_data("digits")
    else:
        rng = np.random.default_rng(0)
        lines = [f"{a:.3f},{b:.3f},{'xy'[k]}" for a, b, k in zip(*rng.normal(size=(2, 200)),
                 rng.integers(0, 2, 200), strict=True)]  # fmt: skip
        (tmp_path / "t.csv").write_text("\n".join(["a,b,k", *lines]))
        data = rp.load_data(tmp_path / "t.csv", label="k")
    model = rp.build("columns", data.space)
    history = rp.fit(model, data, progress=False, out=tmp_path / "run")
    return data, model, history, tmp_path / "run"


def test_scores_take_vectors_of_the_codes(trained):
    data, model, _, _ = trained
    scores = rp.evaluate(model, data)
    assert {"reconstruction_mse", "linear_probe_accuracy", "neighbor_overlap"} <= scores.keys()
    assert not {"active_units", "mutual_information"} & scores.keys()
    assert model.embed(model.encode(data.test.x)).shape == (len(data.test), 2 * LEVELS)


def test_the_report_leaves_out_what_lies_between_codes(trained, tmp_path):
    data, model, history, _ = trained
    entries = [TrainedModel("columns", model, rp.evaluate(model, data), history)]
    text = write_page(tmp_path / "r.html", data, entries).read_text("utf-8")
    assert '<section id="reconstructions"' in text
    for between in ("latent", "interpolations", "traversals", "rates", "filters"):
        assert f'<section id="{between}"' not in text


def test_codes_are_written_as_indices_and_reconstructed(trained, reparam, tmp_path):
    data, model, _, run = trained
    code, said, err = reparam("encode", run, "-o", tmp_path / "z.csv")
    assert code == 0, err
    with (tmp_path / "z.csv").open() as file:
        rows = list(csv.reader(file))
    wanted = model.encode(data.test.x).tolist()
    assert [[int(v) for v in row[:2]] for row in rows[1:]] == wanted
    code, said, err = reparam("reconstruct", run, "-n", 4, "-o", tmp_path / "x.npz")
    assert code == 0, err


@pytest.mark.parametrize("words", [("interpolate", 0, 3), ("traverse", 0)])
def test_commands_between_codes_refuse_them(trained, reparam, tmp_path, words):
    command, *examples = words
    code, said, err = reparam(command, trained[3], *examples, "-o", tmp_path / "o.npz")
    assert code == 2 and REFUSED in " ".join(err.split()), err


@pytest.mark.parametrize("words", [("denoise",), ("vary", 0)])
def test_commands_of_other_models_refuse_it_in_a_line(trained, reparam, tmp_path, words):
    command, *examples = words
    code, said, err = reparam(command, trained[3], *examples, "-o", tmp_path / "o.npz")
    assert code == 2 and "Traceback" not in err and err.strip()


def test_variations_of_indices_are_refused():
    model = Mock(spec=LatentVariable, code_space=Columns.code_space)
    with evaluating([]), pytest.raises(ValueError, match=REFUSED):
        variations(model, torch.zeros(1, 3), 2)
