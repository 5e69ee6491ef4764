"""The section of the line: densities of one column, and how a flow bends it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import reparam as rp
from reparam.report import write_page
from reparam.report.section import Shown
from reparam.report.sections import line
from reparam.report.trained import TrainedModel


@pytest.fixture(scope="module")
def shown():
    data = rp.load_data("mixture-1d")
    splits = [split.take(slice(0, 500)) for split in data.splits.values()]
    few = rp.Data(*splits, data.space, data.name, true_log_density=data.true_log_density)
    entries = []
    for label, preset, options in (
        ("spline", "spline-1d", {"bins": 4}),
        ("vae", "vae", {"hidden": (8,), "latent_dim": 1}),
        ("ae", "ae", {"hidden": (8,), "latent_dim": 1}),
    ):
        model = rp.build(preset, few.space, seed=0, **options)
        history = rp.fit(model, few, epochs=1, progress=False, device="cpu")
        entries.append(TrainedModel(label, model.eval(), {}, history))
    return Shown(few, entries)


def test_the_line_has_densities_over_the_data_and_what_a_flow_does(shown, monkeypatch):
    curves, steps = [], []
    panel = line._panel

    def keep(ends):
        figure, axis = panel(ends)
        plot, stairs = axis.plot, axis.stairs
        axis.plot = lambda x, y, **style: curves.append((x, y)) or plot(x, y, **style)
        axis.stairs = lambda y, edges, **style: (
            steps.append((y * np.diff(edges)).sum()) or stairs(y, edges, **style)
        )
        return figure, axis

    monkeypatch.setattr(line, "_panel", keep)
    data, spline, vae = line.build(shown)
    assert [len(card.figures) for card in (data, spline, vae)] == [1, 4, 1]
    captions = [card.figures[0][0] for card in (data, spline, vae)]
    assert captions[1] == "p(x), and samples in steps" and "by 50 draws" in captions[2]
    assert min(steps) > 0.9 and max(steps) <= 1 + 1e-9
    # Data: the truth. A flow: p(x), the truth, z, log dz/dx, and the base, whose product p(x) is.
    (x, true), (_, p_x), (_, again), (_, z), (_, slope), _, (_, vae_p), _ = curves
    assert np.array_equal(true, again)
    normal = np.exp(-0.5 * z**2 + slope) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(p_x, normal, rtol=1e-3)
    assert all(np.trapezoid(p, x) == pytest.approx(1, abs=0.05) for p in (true, p_x, vae_p))


def test_other_data_have_no_line(shown, tmp_path):
    assert line.SECTION.applies(shown)
    assert not line.SECTION.applies(Shown(rp.load_data("checkerboard"), []))
    write_page(tmp_path / "page.html", shown.data, shown.entries[:1])
    text = (tmp_path / "page.html").read_text()
    assert 'id="line"' in text and "density dashed" in text and "Test data as z" in text


def test_noise_that_is_not_finite_is_drawn_over(shown):
    assert line._reach(torch.tensor([[float("nan")], [float("inf")], [1.0]])) == (-3.5, 3.5)
