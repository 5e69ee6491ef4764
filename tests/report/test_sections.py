"""Sections that only some models have: what they show is what the models compute."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
import torch

import reparam as rp
from reparam.comparison import Candidate
from reparam.data import Data, Split
from reparam.evaluation.modes import evaluating
from reparam.evaluation.scores import Score
from reparam.model import Encoder, Space
from reparam.report import TrainedModel, distances, plots, write_page
from reparam.report.distances import rank_correlation
from reparam.report.section import Shown
from reparam.report.sections import (
    denoising,
    filters,
    hidden_units,
    outcomes,
    rates,
    sampled_images,
)
from reparam.train.history import History

SPACES = {
    "levels": Space((1, 9, 7), "levels", 17, classes=3),
    "binary": Space((1, 9, 7), "binary", classes=3),
    "rgb": Space((3, 11, 13), "levels", 256, classes=3),
    "real": Space((1, 6, 5), "real", classes=3),
    "table": Space((5,), "real", classes=3),
}


def made(kind, rows=40):
    space, generator = SPACES[kind], torch.Generator().manual_seed(0)
    if space.kind == "real":
        x = 9 * torch.randn(rows, *space.shape, generator=generator) + 3
    else:
        x = torch.randint(0, space.level_count, (rows, *space.shape), generator=generator)
        x = x.to(torch.uint8)
    part = Split(x, torch.arange(rows) % 3)
    return Data(part, part, part, space, "made", class_names=("cat", "<dog>", "eel"))


def entries(data, *texts):
    found = []
    for text in texts:
        torch.manual_seed(0)
        asked = Candidate.parse(text)
        model = rp.build(asked.preset, data.space, **asked.parameters)
        if asked.preset == "pca":
            rp.fit(model, data, progress=False)
        found.append(TrainedModel(text, model.eval(), {}, History()))
    return found


SMALL = "latent_dim=2 hidden=8 network=mlp"
ALL = (
    f"denoising-ae {SMALL} amount=0.4",
    f"denoising-ae {SMALL} amount=0.8",
    f"denoising-ae {SMALL} corruption=gaussian",
    "sparse-ae latent_dim=6",
    "linear-ae latent_dim=3",
    f"cvae {SMALL}",
    f"vae {SMALL}",
)


@pytest.mark.parametrize("kind", list(SPACES))
def test_every_section_on_every_kind_of_data(kind, tmp_path):
    data = made(kind)
    text = write_page(tmp_path / "r.html", data, entries(data, *ALL)).read_text("utf-8")
    sections = re.findall(r'<section id="(\w+)"', text)
    wanted = {"denoising", "units", "latent"}
    assert wanted <= set(sections)
    assert ("filters" in sections) == data.space.is_image
    _, _, restored = text.partition('<section id="reconstructions"')
    folded = "<summary>Means, draws and deviations" in restored.partition("</section>")[0]
    assert folded == data.space.is_image
    assert ("Class by class" in text) == data.space.is_image
    assert "Are distances kept?" in text and "<dog>" not in text
    assert re.findall(r'<li><a href="#(\w+)"', text) == sections


def test_models_without_these_have_no_such_sections(tmp_path):
    data = made("levels")
    text = write_page(tmp_path / "r.html", data, entries(data, f"ae {SMALL}")).read_text("utf-8")
    assert not {"denoising", "units", "filters"} & set(re.findall(r'<section id="(\w+)"', text))
    assert "Means, draws" not in text and "Class by class" not in text


@pytest.mark.parametrize("kind", ["levels", "table"])
def test_denoising_levels_and_errors(kind):
    """From none to twice the highest trained level, and never more than all entries masked."""
    data = made(kind)
    with evaluating([]):
        masking, gaussian = denoising.build(Shown(data, entries(data, *ALL), 0))
    assert masking.header == ["0", "0.4", "0.8", "1"] and gaussian.header[-1] == "0.5"
    assert [text.rsplit(" (")[1] for _, text in masking.trained] == ["at 0.4)", "at 0.8)"]
    label, errors = masking.rows[0]
    assert label == "Corrupted" and errors[0] == ("0", "0")
    assert [row[0] for row in masking.rows[1:]] == list(ALL)  # codecs without that noise too
    values = [float(value) for value, _ in errors]
    assert values == sorted(values) and values[1] > 0
    if kind == "levels":  # all masked: what is left is the square of x itself
        everything = (data.test.x.double() / 16).square().mean().item()
        assert values[-1] == pytest.approx(everything, rel=1e-2)
        assert [len(level.strips) for level in masking.levels] == [3] * 4
        assert masking.levels[0].strips[0].note == "MSE 0"
        assert masking.levels[-1].caption == "1: 1.25 times the highest trained level"
    else:
        assert masking.levels == []


class Halves(Encoder):
    """A code of two numbers and no way back: the sums of the upper and the lower half."""

    loss = None

    @property
    def code_space(self):
        return Space((2,), "real")

    def encode(self, x, c=None):
        flat = self.prepare(x)[0].flatten(1)
        return torch.stack([part.sum(1) for part in flat.tensor_split(2, 1)], 1)


Halves.__abstractmethods__ = frozenset()


def test_an_encoder_is_mapped_and_shows_nothing_that_a_decoder_makes(tmp_path):
    data = made("levels")
    model = TrainedModel("halves", Halves(data.space).eval(), {}, History())
    text = write_page(tmp_path / "r.html", data, [model]).read_text("utf-8")
    sections = set(re.findall(r'<section id="(\w+)"', text))
    assert "latent" in sections and "2-D codes as they are" in text
    assert not sections & {"reconstructions", "traversals", "interpolations", "denoising"}


def test_filters_come_by_use_and_the_dead_are_counted(monkeypatch):
    seen = []
    monkeypatch.setattr(
        filters, "grid", lambda x, *a, grid=filters.grid, **k: seen.append(x) or grid(x, *a, **k)
    )
    data = made("real")
    linear = entries(data, "linear-ae latent_dim=3")
    with torch.no_grad():
        encoder, decoder = linear[0].model.encoder.first, linear[0].model.decoder.first
        encoder.weight.copy_(torch.eye(30)[:3] * torch.tensor([[1.0], [0.0], [5.0]]))
        decoder.weight.copy_(torch.eye(30)[:, :3] * torch.tensor([2.0, 4.0, -8.0]))
    with evaluating([]):
        (card,) = filters.build(Shown(data, linear))
    # Unit 3 varies most, unit 2 not at all; each filter is over its largest absolute weight.
    wanted = torch.eye(30)[[2, 0, 1]] * torch.tensor([[-1.0], [1.0], [1.0]])
    assert torch.equal(seen[0].flatten(1), wanted)
    assert card.note == "3 columns of the decoder, 1 hardly varies over 40 test examples"


def test_filters_are_large_enough_to_see_strokes_and_the_rest_is_folded():
    data = made("levels")
    models = entries(data, "sparse-ae latent_dim=30", "sparse-ae latent_dim=9")
    with evaluating([entry.model for entry in models]):
        many, few = filters.build(Shown(data, models))
    assert [caption for caption, _ in many.figures] == ["", "5 more"]  # the first unfolded
    assert len(few.figures) == 1
    for _, picture in (*many.figures, *few.figures):  # five in a row, of 9 x 7 pixels
        assert 5 * 42 <= picture.width <= 5 * 48


def test_the_plane_is_as_wide_as_the_page_with_errors_and_single_seeds(monkeypatch):
    figures = []
    monkeypatch.setattr(
        plots, "svg", lambda f, alt, svg=plots.svg: figures.append(f) or svg(f, alt)
    )
    data = made("table")

    def scored(rate, distortion, **errors):
        return {
            "rate": Score(rate, "nats", 9, "test", **errors),
            "distortion": Score(distortion, "nats", 9, "test", stderr=0.5),
        }

    (vae,) = entries(data, f"vae {SMALL}")
    seeds = (scored(1.0, 8.0), scored(3.0, 6.0))
    mean = scored(2.0, 7.0, stderr=0.3, seed_stderr=0.4)
    with evaluating([vae.model]):
        shown = rates.build(Shown(data, [dataclasses.replace(vae, scores=mean, by_seed=seeds)]))
    axis, width = figures[0].axes[0], int(re.search(r"width:(\d+)px", shown.plane)[1])
    assert width > 1100
    (bars,) = axis.containers
    horizontal, vertical = (lines.get_segments()[0] for lines in bars[2])
    np.testing.assert_allclose(horizontal, [[1.5, 7], [2.5, 7]])  # √(.3² + .4²) to either side
    np.testing.assert_allclose(vertical, [[2, 6.5], [2, 7.5]])
    joined = [np.array(line.get_xydata()).tolist() for line in axis.lines]
    for seed in ([1.0, 8.0], [3.0, 6.0]):
        assert [[2.0, 7.0], seed] in joined and [seed] in joined


def test_a_point_alone_has_no_plane(tmp_path):
    data = made("table")
    scores = {name: Score(2.0, "nats", 9, "test") for name in ("rate", "distortion")}
    (vae,) = entries(data, f"vae {SMALL}")
    vae = dataclasses.replace(vae, scores=scores)
    text = write_page(tmp_path / "r.html", data, [vae]).read_text("utf-8")
    assert 'class="plane' not in text and "dotted line" not in text
    text = write_page(tmp_path / "r.html", data, [vae, vae]).read_text("utf-8")
    assert '<figure class="plane scroll"' in text and "dotted line" in text


def test_units_are_placed_at_their_means():
    data = made("levels")
    (sparse,) = entries(data, "sparse-ae latent_dim=6 rho=0.25")
    with torch.no_grad():
        linear = sparse.model.encoder[0].first
        linear.weight.zero_()
        linear.bias.copy_(torch.logit(torch.tensor([0.25, 0.25, 0.25, 0.25, 0.25, 0.75])))
    with evaluating([]):
        (card,) = hidden_units.build(Shown(data, [sparse]))
    kl = 0.25 * np.log(0.25 / 0.75) + 0.75 * np.log(0.75 / 0.25)
    assert "ρ̂ from 0.250 to 0.750, mean 0.333, wanted ρ = 0.25" in card.note
    assert f"sum to {kl:.3g} nats" in card.note and len(card.figures) == 2


def test_the_penalty_is_drawn_from_0_to_1_and_again_where_units_are_close(monkeypatch):
    figures = []
    monkeypatch.setattr(
        plots, "svg", lambda f, alt, svg=plots.svg: figures.append(f) or svg(f, alt)
    )
    data = made("levels")
    (sparse,) = entries(data, "sparse-ae latent_dim=6 rho=0.01")
    with torch.no_grad():
        linear = sparse.model.encoder[0].first
        linear.weight.zero_()
        linear.bias.copy_(torch.logit(torch.linspace(0.009, 0.012, 6)))
    with evaluating([]):
        (card,) = hidden_units.build(Shown(data, [sparse]))
    _, whole, near = (figure.axes[0] for figure in figures)
    assert whole.get_xlim() == (0, 1)
    assert near.get_xlim() == (pytest.approx(0.00855), pytest.approx(0.01245))
    for axis in (whole, near):
        curve, units = axis.lines[:2]
        ends = curve.get_xdata()[[0, -1]]
        np.testing.assert_allclose(ends, axis.get_xlim(), atol=2e-4)
        mean = units.get_xdata()
        kl = 0.01 * np.log(0.01 / mean) + 0.99 * np.log(0.99 / (1 - mean))
        np.testing.assert_allclose(units.get_ydata(), kl, atol=1e-6)
    drawn = re.findall(r"<text[^>]*>([^<]+)<", card.figures[2][1])
    for axis in (near.xaxis, near.yaxis):  # more than two decimals, and none cut off
        low, high = axis.get_view_interval()
        places = [value for value in axis.get_majorticklocs() if low <= value <= high]
        ticks = [axis.get_major_formatter()(value) for value in places]
        assert set(ticks) <= set(drawn) and len(ticks) == len(set(ticks)) > 3


def test_means_draws_and_deviations_are_those_of_the_likelihood(monkeypatch):
    seen = []
    monkeypatch.setattr(
        outcomes,
        "grid",
        lambda x, b, *a, grid=outcomes.grid, **k: seen.append((x, b)) or grid(x, b, *a, **k),
    )
    data = made("levels")
    vaes = entries(data, f"vae {SMALL}", f"sigma-vae {SMALL} scale=fixed")
    with evaluating([]):
        first, second = outcomes.build(Shown(data, vaes))
    model = vaes[0].model
    x = seen[0][0]
    p = model.likelihood(model.encode(x))
    torch.testing.assert_close(seen[1][0], p.center)
    assert set(seen[2][0].unique().tolist()) <= set(range(17))
    deviation = p.variance.sqrt() / 16
    torch.testing.assert_close(seen[3][0], deviation)
    # One scale for all models of the page, so that darker is less everywhere.
    whites = [b.high for _, b in seen if b.high != 16]
    assert len(set(whites)) == 1 and whites[0] >= deviation.max().item()
    assert [caption.split()[0] for caption, _ in first.figures] == [
        "Test", "Means", "Draws", "Standard",
    ]  # fmt: skip


def test_one_deviation_for_all_pixels_is_a_number():
    data = made("real")
    with evaluating([]):
        (card,) = outcomes.build(Shown(data, entries(data, f"vae {SMALL}")))
    assert len(card.figures) == 3
    assert re.fullmatch(r"The standard deviation .* is 1 \(in the data's unit\) .*", card.note)


def test_samples_by_class_share_their_z(monkeypatch):
    seen = []
    monkeypatch.setattr(
        sampled_images,
        "grid",
        lambda x, *a, grid=sampled_images.grid, **k: seen.append(x) or grid(x, *a, **k),
    )
    data = made("levels")
    conditional = entries(data, f"cvae {SMALL}", f"vae {SMALL}")
    with evaluating([]):
        (card,) = sampled_images.samples_by_class(Shown(data, conditional, 3))
    assert [name for name, _ in card.figures] == ["cat", "<dog>", "eel"]
    z = torch.randn(6, 2, generator=torch.Generator().manual_seed(3))
    for number, x in enumerate(seen):
        means = conditional[0].model.decode(z, torch.full((6,), number)).detach()
        torch.testing.assert_close(x[:6], means)


def test_samples_of_flows_stand_beside_those_of_the_same_noise_scaled(monkeypatch):
    seen, grid = {}, sampled_images.grid

    def keep(x, brightness, columns, alt, **options):
        seen[alt] = x
        return grid(x, brightness, columns, alt, **options)

    monkeypatch.setattr(sampled_images, "grid", keep)
    data = made("real")
    with evaluating([]):
        shown = Shown(data, entries(data, "nice layers=1 hidden=8", f"vae {SMALL}"), 3)
        found = sampled_images.build(shown)
    assert [len(card.figures) for card in found.cards] == [1, 2, 2]
    assert found.cooled and found.have_means
    flow, (draws, cool) = shown.entries[0].model, [x for alt, x in seen.items() if "nice" in alt]
    z = flow.encode(draws).detach()
    torch.testing.assert_close(flow.encode(cool), 0.7 * z, rtol=1e-3, atol=1e-4)


def test_shepard_diagrams_of_codes_that_keep_distances():
    data = made("table")
    with evaluating([]):
        (card,) = distances.shepard_diagrams(Shown(data, entries(data, "pca latent_dim=4")))
    assert float(card.figures[0][0]) > 0.9
    a = torch.randn(500, generator=torch.Generator().manual_seed(1))
    assert rank_correlation(a, -a.exp()) == -1
    assert abs(rank_correlation(a, a.flip(0))) < 0.2
