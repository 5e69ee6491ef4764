"""Sections of index codes: what they show is what the codes of known codecs say."""

from __future__ import annotations

import math
import re

import pytest
import torch
from index_codecs import IMAGES, Cells, Grids, images

import reparam as rp
from reparam.data import Data, Split
from reparam.evaluation.modes import evaluating
from reparam.evaluation.scores import Score
from reparam.model import Space
from reparam.models.two_stage_density import two_stages
from reparam.report import TrainedModel, codebooks, page
from reparam.report.colors import index_colors
from reparam.report.section import Shown
from reparam.report.sections import (
    code_bits,
    code_reach,
    code_tiles,
    index_maps,
    interpolations,
    latent_map,
    layers,
    rates,
    sampled_images,
    traversals,
)
from reparam.train.history import History

ROWS = [[0, 1, 0, 3, 0, 1], [0, 1, 2, 3, 0, 1], [0, 1, 2, 3, 3, 1]]
SMALL = {"code_dim": 3, "channels": 4, "blocks": 1}
BITS = {
    "distortion": Score(20.0, "nats", 9, "test", 1.0),
    "elbo": Score(-30.0, "nats", 9, "test", 1.0),
    "code_bits": Score(40.0, "bits", 9, "test"),
    "prior_bits": Score(10 / math.log(2), "bits", 9, "test", 0.1),
}
OWN = {"codebook", "index_maps", "code_reach", "code_bits"}


def of(x, space):
    part = Split(x)
    return Data(part, part, part, space, "made")


def shown(model, data=None, scores=None):
    data = of(images(ROWS), IMAGES) if data is None else data
    return Shown(data, [TrainedModel("m", model.eval(), scores or {}, History())])


def noise(side=8, rows=12):
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(4, (rows, 1, side, side), generator=generator).to(torch.uint8)
    return of(x, Space((1, side, side), "levels", 4))


def built(preset, data, **options):
    model = rp.build(preset, data.space, seed=0, codes=6, **SMALL, **options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def seen_by(monkeypatch, module):
    tiles = []
    own = module.grid
    monkeypatch.setattr(module, "grid", lambda x, *a, **k: tiles.append(x) or own(x, *a, **k))
    return tiles


def test_tiles_are_codes_by_use_alone_among_the_most_frequent(monkeypatch):
    tiles = seen_by(monkeypatch, code_tiles)
    with evaluating([]):
        (card,) = code_tiles.build(shown(Cells(IMAGES)))
    (book,) = card.books
    assert book.note == "2 × 3 indices: 4 of 5 codes in use, perplexity 3.71"
    order = [0, 1, 3, 2]  # six, six, four, and two times; 4 never
    usual = torch.tensor([0, 1, 2, 3, 0, 1])
    assert len(tiles) == len(order)
    for code, tile in zip(order, tiles, strict=True):
        wanted = usual.clone()
        wanted[4] = code  # the middle of 2 × 3
        assert torch.equal(tile, images([wanted.tolist()]).float())
    assert [round(tile.share * 6) for tile in book.tiles] == [6, 6, 4, 2]
    assert book.tiles[0].picture.alt == "code 0: 33.33%"


def test_rarer_codes_than_there_is_room_for_are_counted(monkeypatch):
    monkeypatch.setattr(code_tiles, "MOST_TILES", 3)
    with evaluating([]):
        (card,) = code_tiles.build(shown(Cells(IMAGES)))
    (book,) = card.books
    assert len(book.tiles) == 3 and book.note.endswith("; 1 rarer left out")


def test_tiles_are_the_part_of_the_image_around_the_index():
    x = torch.arange(20.0).expand(1, 1, 14, 20)
    book = codebooks.Book("", (7, 10), torch.arange(70), torch.ones(3))
    cut = code_tiles._around_the_middle(x, book)
    assert cut.shape == (1, 1, 10, 10) and cut[0, 0, 0].tolist() == list(range(6, 16))


def test_what_one_index_reaches_is_its_cell(monkeypatch):
    about = shown(Grids(IMAGES))
    (coded,) = about.indexed
    first, second = codebooks.books(coded)
    assert (first.name, second.name) == ("1 × 1 indices", "1 × 5 indices")
    for book, cell in ((first, (0, 0)), (second, (1, 0))):  # the fourth of six indices
        change = code_reach.reach(about, coded, book)
        inside = torch.zeros(4, 6, dtype=torch.bool)
        y, x = cell
        inside[2 * y : 2 * y + 2, 2 * x : 2 * x + 2] = True
        assert (change[~inside] == 0).all() and (change[inside] > 0.5).all()
    with evaluating([]):
        (card,) = code_reach.build(shown(Cells(IMAGES)))
    ((caption, _),) = card.figures
    assert "each of about 2 × 2 pixels: 95\u00a0% of the change lies within 1 pixels" in caption


def test_maps_have_one_color_for_each_code_gray_for_the_most_used(monkeypatch):
    tiles = seen_by(monkeypatch, index_maps)
    about = shown(Cells(IMAGES))
    with evaluating([]):
        found = index_maps.build(about)
    captions = [[caption for caption, _ in card.figures] for card in found.cards]
    assert captions == [["test"], ["reconstructed, MSE 0", "2 × 3 indices, 5 codes"]]
    originals, restored, maps = tiles
    assert torch.equal(originals.float(), restored)
    codes = originals[:, 0, ::2, ::2].flatten().long()
    colors = [tuple(rgb) for rgb in maps.movedim(1, -1).reshape(-1, 3).tolist()]
    pairs = set(zip(codes.tolist(), colors, strict=True))
    assert len(pairs) == len(codes.unique()) == len({color for _, color in pairs})
    gray = tuple(round(255 * v) for v in dict(pairs)[0])
    assert "#{:02x}{:02x}{:02x}".format(*gray) == index_colors(1)[0]


def test_each_grid_and_the_first_level_of_depth_have_a_map(monkeypatch):
    data = noise(16)
    for preset, notes in (
        ("vq-vae-2", ["4 × 4 indices, 6 codes", "8 × 8 indices, 6 codes"]),
        ("rq-vae", ["8 × 8 indices, level 1 of 4, 6 codes"]),
    ):
        with evaluating([]):
            found = index_maps.build(shown(built(preset, data), data))
        assert [caption for caption, _ in found.cards[1].figures[1:]] == notes
        assert found.deep == (preset == "rq-vae")


@pytest.mark.parametrize("stage", ["uniform", "pixel-cnn"])
def test_test_images_keep_their_coarse_layer(monkeypatch, stage):
    data = noise(16)
    small = {"generator": {"width": 4, "layers": 1}}
    model = built("vq-vae-2", data, second_stage=stage, **small)
    decoded = []
    plain = model.decode
    monkeypatch.setattr(model, "decode", lambda z, c=None: decoded.append(z) or plain(z, c))
    about = shown(model, data)
    with evaluating([model]):
        found = layers.build(about)
        code = model.encode(data.test.x)
    assert len(found.cards[0].figures) == 2 and found.of_tests
    rows = decoded[-1].view(layers.ROWS, layers.COLUMNS, -1).long()
    tops = {tuple(top) for top in code[:, :16].tolist()}
    for row in rows:
        assert any(torch.equal(row[0], z) for z in code)
        assert tuple(row[0, :16].tolist()) in tops
        assert torch.equal(row[:, :16], row[:1, :16].expand(layers.COLUMNS, -1))
        assert torch.equal(row[1, 16:], code.mode(0).values[16:])
        assert not torch.equal(row[2, 16:], row[3, 16:])


def test_layers_whose_prior_cannot_draw_the_rest_have_no_pictures():
    data = noise()
    codec = rp.build("ladder-vae", data.space, batch_norm=False, hidden=(4,), network="mlp")
    model = two_stages(codec, rp.GaussianMixture(codec.code_space, components=2))
    with evaluating([model]):
        assert len(model.layers) > 1 and layers.build(shown(model, data)) is None


@pytest.mark.parametrize(("stage", "figures"), [("uniform", 2), ("made", 3)])
def test_samples_at_uniform_indices_stand_beside_those_of_a_learned_prior(stage, figures):
    data = noise()
    with evaluating([model := built("vq-vae", data, second_stage=stage)]):
        _, card = sampled_images.build(shown(model, data)).cards
    captions = [caption for caption, _ in card.figures]
    assert len(captions) == figures
    assert ("Means at indices drawn uniformly" in captions) == (stage == "made")


def test_bits_of_an_example():
    data = noise()
    found = code_bits.build(shown(built("vq-vae", data), data, BITS))
    assert found.raw == "128"  # 64 pixels of 4 levels
    ((_, cells),) = found.rows
    assert cells == [("40", ""), ("14.43", "± 0.10"), ("28.9", "± 1.4"), ("43.3", "± 1.4")]
    assert code_bits.build(shown(Cells(IMAGES))) is None


def test_a_collapse_stands_at_the_head_of_the_page(monkeypatch):
    data = noise(rows=30)
    model = rp.build("vq-vae", data.space, codes=40, seed=0, start="random", **SMALL)
    with torch.no_grad():
        model.coder.quantizers[0].codebooks[0].codebook[1:] += 1e4
    with evaluating([model]):
        ((index, label, text),) = rates.collapses(shown(model, data))
    assert (index, label) == (0, "m") and text.startswith("most of 40 codes are idle: perplexity 1")
    with evaluating([few := built("vq-vae", data)]):
        assert rates.collapses(shown(few, data)) == []


@pytest.mark.parametrize("kind", ["images", "vectors", "real codes"])
def test_which_pages_have_these_sections(kind, tmp_path, monkeypatch):
    between = (latent_map, interpolations, traversals)
    sections = (code_tiles, index_maps, code_reach, code_bits, *between)
    monkeypatch.setattr(page, "SECTIONS", [module.SECTION for module in sections])
    data = noise() if kind == "images" else of(torch.randn(12, 5), Space((5,), "real"))
    if kind == "real codes":
        model = rp.build("vae", data.space, latent_dim=2, hidden=(4,))
    else:
        options = {} if kind == "images" else {"tokens": 3, "hidden": (4,)}
        model = built("vq-vae", data, **options)
    scores = {} if kind == "real codes" else BITS
    entry = TrainedModel("m", model.eval(), scores, History())
    text = page.write_page(tmp_path / "r.html", data, [entry]).read_text("utf-8")
    found = set(re.findall(r'<section id="(\w+)"', text))
    wanted = {"images": OWN, "vectors": {"codebook", "code_bits"}}
    assert found == wanted.get(kind, {"latent", "traversals"})
