"""The section of files: its bars, its maps, and what comes off the stack and goes on."""

from __future__ import annotations

import math
import re

import pytest
import torch
from pages import entry

import reparam as rp
from reparam.data import Data, Split
from reparam.evaluation.file_length import CODED, coded_scores
from reparam.evaluation.modes import evaluating
from reparam.evaluation.scores import Score
from reparam.model import Space
from reparam.report import file_plots, page, write_page
from reparam.report.file_plots import Bar
from reparam.report.section import Shown
from reparam.report.sections import file_costs as section
from reparam.report.single_figure import draw_figure, figure_names, scores_needed

SPACE = Space((1, 6, 8), "binary")


def data_of(space=SPACE, rows=30):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(rows, *space.shape, generator=generator) ** 3 * space.level_count
    part = Split(x.byte())
    return Data(part, part, part, space, "made")


def measured(name, data, **options):
    model = rp.build(name, data.space, seed=0, **options)
    return entry(name, model, **coded_scores(model, data.test))


@pytest.fixture(scope="module")
def shown():
    data = data_of()
    entries = [
        measured("vae", data, latent_dim=2, hidden=(8,)),
        entry("ae", rp.build("ae", data.space, latent_dim=2, hidden=(8,))),
        measured("made", data, hidden=(8,)),
    ]
    return Shown(data, entries)


@pytest.fixture(scope="module")
def content(shown):
    with evaluating([one.model for one in shown.entries]):
        return section.build(shown)


def test_every_model_with_a_file_has_a_card(content, shown):
    assert [(card.model, card.label) for card in content.cards] == [(0, "vae"), (2, "made")]
    vae, made = (dict(card.figures) for card in content.cards)
    assert list(vae) == [
        "Bits of every pixel, −log₂ p given the mean of q(z|x)",
        "One image, of median length",
        "Bits of every image",
        "Bits per image, the mean from the first of the file to each",
    ]
    assert "Bits of every pixel, −log₂ p given those before it" in made and len(made) == 3
    assert "come off the stack" in content.cards[0].note
    assert content.cards[1].note.startswith("Every entry is coded under its p")
    assert content.rows == 30 and "PNG" in content.general


def test_bars_are_the_lengths_of_files_beside_the_models_numbers(shown, monkeypatch):
    drawn = []
    monkeypatch.setattr(file_plots, "bars", lambda found, alt: drawn.append((found, alt)))
    elbo = Score(-20.0, "nats", 30, "test")
    vae = entry("vae", shown.entries[0].model, **shown.entries[0].scores, elbo=elbo)
    one = Shown(shown.data, [vae])
    section._bars(one, section._measured(one))
    ((found, alt),) = drawn
    names = [bar.name for bar in found]
    assert names[:4] == ["as it is", "gzip", "bz2", "xz"] and names[-1] == "vae"
    assert found[0].bits == 1.0  # of binary entries
    assert found[-1].bits == shown.entries[0].scores[CODED].value
    assert found[-1].own == pytest.approx(20 / 48 / math.log(2))
    assert f"vae {found[-1].bits:.3f}, −ELBO {found[-1].own:.3f}" in alt


def test_the_parts_of_an_image_add_up_to_what_it_takes(shown, monkeypatch):
    seen = []
    monkeypatch.setattr(file_plots, "waterfall", lambda steps, *_: seen.append(steps))
    with evaluating([shown.entries[0].model]):
        section._card(shown, 0, None, 1.0)
        split = shown.data.test
        coded = section.code(shown.entries[0].model, split.x, check=False)
    (steps,) = seen
    off, x, z = (step.bits for step in steps)
    assert off < 0 < x and z > 0
    popped = coded.back > 0
    assert (coded.bits[popped] - (off + x + z)).abs().min() < 1e-6
    below = (coded.bits[popped] < off + x + z - 1e-6).sum()
    assert below == popped.sum() // 2  # half of them take less


def test_maps_are_what_the_likelihood_says_of_each_pixel(shown):
    rows = torch.tensor([0, 4])
    for index in (0, 2):
        model = shown.entries[index].model
        with evaluating([model]):
            mapped = section._mapped(shown, model, rows)
            x = shown.data.test.x[rows]
            if index == 0:
                said = model.likelihood(model.encode(x)).log_prob(x)
            else:
                said = model.log_prob(x).value
        assert mapped.bits.shape == (2, 6, 8)
        assert torch.allclose(mapped.bits.sum((1, 2)), -said / math.log(2), rtol=1e-4)


def test_the_end_of_the_curve_is_the_mean_of_all(content, shown):
    text = dict(content.cards[1].figures)[
        "Bits per image, the mean from the first of the file to each"
    ]
    with evaluating([shown.entries[2].model]):
        own = -shown.entries[2].model.log_prob(shown.data.test.x).value.mean() / math.log(2)
    assert f"−log₂ p {own:,.1f}" in text
    end = float(re.search(r"the file ([\d.]+)", text)[1])
    assert end == pytest.approx(float(own), abs=0.1)  # a direct code is as long as it says


def test_bars_beyond_the_axis_say_so_and_names_are_escaped():
    bars = [Bar("as it is", 1.0), Bar("PNG", 40.0), Bar("<b>", 0.5, "#010210", 0.4, "−ELBO")]
    text = file_plots.bars(bars, "all <of> them")
    assert "40.000 →" in text and "0.500, −ELBO 0.400" in text
    assert "&lt;b&gt;" in text and "all &lt;of&gt; them" in text and "<b>" not in text


def test_without_a_length_there_is_no_section(shown):
    bare = Shown(shown.data, [entry("vae", shown.entries[0].model)])
    assert section.build(bare) is None
    real = Space((1, 6, 8), "real")
    part = Split(torch.zeros(3, 1, 6, 8))
    other = Shown(Data(part, part, part, real, "made"), [entry("pca", rp.build("pca", real))])
    assert not section.with_lengths(other) and section.with_lengths(bare)


def test_the_page_shows_it_and_its_own_word_for_the_kind(shown, tmp_path, monkeypatch):
    from reparam.report.sections import score_table

    monkeypatch.setattr(page, "SECTIONS", (score_table.SECTION, section.SECTION))
    text = write_page(tmp_path / "page.html", shown.data, shown.entries).read_text("utf-8")
    assert '<section id="file"' in text and "<b>file</b> the length of one" in text
    assert '<span class="mark">file</span>' in text and "Without a file: ae" in text
    assert "the length of a file, from which the same x was read back" in text
    assert "Of 30 test examples, headers included" in text
    assert text.count('class="panels halves"') == 1  # of four figures


def test_it_is_a_figure_of_its_own(shown):
    assert figure_names(shown)["file"] == "What a file costs"
    assert scores_needed("file") == {"coded": True} and scores_needed("latent") is None
    assert draw_figure("file", shown.data, shown.entries).count("<svg") == 9
    bare = [entry("vae", shown.entries[0].model)]
    with pytest.raises(ValueError, match="file has nothing to show of vae"):
        draw_figure("file", shown.data, bare)


def test_vectors_have_no_maps_and_few_rows_are_few():
    space = Space((5,), "levels", 4)
    data = data_of(space, rows=3)
    one = measured("vae", data, latent_dim=1, hidden=(4,))
    with evaluating([one.model]):
        content = section.build(Shown(data, [one]))
    (card,) = content.cards
    assert len(card.figures) == 3 and not content.general
    assert "image/png" not in "".join(figure for _, figure in card.figures)
