"""Sections of masked autoencoders: hidden patches, attention, and what is most alike."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from pages import data_of, entry
from PIL import Image

import reparam as rp
from reparam.report.opening import opening
from reparam.report.pictures import HATCH, Brightness, grid
from reparam.report.section import Shown
from reparam.report.sections import (
    alike,
    attention_maps,
    denoising,
    hidden_patches,
    reconstructions,
)

SMALL = {"width": 8, "layers": 1, "heads": 2}


def levels_of(shape, n=40):
    x = torch.randint(17, (n, *shape), generator=torch.Generator().manual_seed(0))
    return data_of(x, rp.Space(shape, "levels", levels=17), torch.arange(n) % 2)


def shown_of(data, *models):
    built = [
        (name, rp.build(name.split()[0], data.space, seed=0, **given)) for name, given in models
    ]
    return Shown(data, [entry(name, model) for name, model in built])


@pytest.fixture(scope="module")
def page():
    return shown_of(
        levels_of((1, 8, 8)),
        ("mae", SMALL),
        ("ae", {"hidden": (8,)}),
        ("mae normalized", SMALL | {"normalize_target": True}),
        ("simmim", SMALL | {"ratio": 0.5}),
        ("mae patch", SMALL | {"patch": "4"}),
    )


def test_those_that_hide_alike_share_a_card_with_all_that_hide_nothing(page):
    content = hidden_patches.build(page)
    one, other = content.cards
    assert [index for index, _ in one.trained] == [0, 3]
    assert [index for index, _ in other.trained] == [4]
    assert one.shown == [0, 1, 3]
    assert other.shown == [1, 4]
    assert one.given_means == [1]
    assert [index for index, *_ in content.unseen] == [2]
    assert [label for label, _ in one.rows] == [
        "Mean of the training data",
        "Linear regression",
        "mae",
        "ae",
        "simmim",
    ]
    assert one.header == ["0.6", "0.75", "0.85", "0.938"]  # one of 16 patches stays
    assert other.header == ["0.6", "0.75"]  # and one of 4
    assert [s.label for s in one.levels[0].strips] == ["Original", "Visible", "mae", "ae", "simmim"]


def test_what_learned_from_hidden_patches_alone_is_in_no_other_picture(page):
    assert denoising.build(page) == []
    found = reconstructions.build(page)
    assert [card.label for card in found.strips] == ["Originals", "ae"]
    assert found.of_hidden == ["mae", "simmim", "mae patch"]
    assert [card.label for card in opening(page)] == ["Test images", "ae"]


def test_denoising_leaves_them_out():
    data = levels_of((1, 8, 8))
    page = shown_of(data, ("mae", SMALL), ("denoising-ae", {"hidden": (8,)}))
    (card,) = denoising.build(page)
    assert card.shown == [1]
    assert [label for label, _ in card.rows] == ["Corrupted", "denoising-ae"]
    alone = shown_of(data, ("mae", SMALL))
    assert reconstructions.build(alone) is None
    assert [card.note for card in opening(alone)] == ["", "75% hidden", "repairs them"]


def test_frames_of_clips_stand_side_by_side():
    data = levels_of((5, 8, 8), 12)
    page = shown_of(data, ("mae", SMALL | {"patch": "5x4x4"}))
    (card,) = hidden_patches.build(page).cards
    picture = card.levels[0].strips[1].figures[0][1]
    assert picture.width / picture.height == pytest.approx(5 / hidden_patches.CLIPS, rel=0.05)
    assert not attention_maps.looked_at(page)
    assert alike.still(page, data.test.x).shape == (12, 1, 8, 8)


def test_tables_have_errors_and_no_pictures():
    x = torch.randn(30, 12, generator=torch.Generator().manual_seed(0))
    page = shown_of(data_of(x, rp.Space((12,), "real")), ("mae", SMALL | {"patch": "2"}))
    (card,) = hidden_patches.build(page).cards
    assert card.levels == []
    assert card.linear
    assert not alike.looks_alike(page)
    assert not attention_maps.looked_at(page)


def test_repaired_pictures_keep_what_was_given(page, monkeypatch):
    tiles = []
    monkeypatch.setattr(hidden_patches, "grid", lambda x, *rest, **_: tiles.append(x.clone()))
    hidden_patches.build(page)  # the first strips are of the first card
    original, visible, *repaired = tiles[:5]
    given = ~visible.isnan()
    assert 0 < given.double().mean() < 1
    for found in repaired:
        assert torch.equal(found[given].double(), original[given].double())
        assert found.isfinite().all() and not torch.equal(found.double(), original.double())


def test_the_nearest_images_are_those_of_the_same_code(monkeypatch):
    """Twins, each image twice with others in between: the first beside each is its twin."""
    x = torch.randint(17, (10, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    labels = torch.arange(10).repeat(2)  # of twins the same, and of no others
    space = rp.Space((1, 8, 8), "levels", levels=17, classes=10)
    data = data_of(x.repeat(2, 1, 1, 1), space, labels)
    page, tiles = shown_of(data, ("mae", SMALL), ("ae", {"hidden": (8,)})), []
    monkeypatch.setattr(alike, "grid", lambda x, *rest, **_: tiles.append(x))
    cards = alike.build(page)
    assert [card.model for card in cards] == [0, 1]
    for shown, card in zip(tiles, cards, strict=True):
        rows = shown.view(-1, alike.FOUND + 1, 1, 8, 8)
        assert torch.equal(rows[:, 0], rows[:, 1])
        assert not (rows[:, 0] == rows[:, 2]).flatten(1).all(1).any()
        assert card.note.endswith("20.0% of the 5 nearest are of the same class.")
    assert alike.looks_alike(page)
    assert not alike.looks_alike(shown_of(data, ("ae", {"hidden": (8,)})))


def test_attention_is_of_the_patch_that_is_framed(page, monkeypatch):
    """Where one patch alone is read by all, it is bright in every map, and nothing else is."""
    model = page.entries[0].model
    read = torch.zeros(5, 2, 16, 16)
    read[..., 6] = 1.0  # row 1, column 2 of 4 x 4
    monkeypatch.setattr(model, "attention", lambda x: read)
    seen = []
    monkeypatch.setattr(attention_maps, "grid", lambda tiles, *rest, **_: seen.append(tiles))
    card = attention_maps.build(page)[0]
    assert card.columns == ["patch", "mean", "head 1", "head 2"]
    tiles = seen[0].unflatten(0, (5, 4))
    assert tiles.shape == (5, 4, 3, 72, 72)
    orange = torch.tensor(attention_maps.HEAT)[:, None, None]
    warm = (tiles[:, 1:, 0] - tiles[:, 1:, 2] > 0.5).double()  # red without blue
    inside = warm[:, :, 18:36, 36:54]
    assert inside.all()
    assert warm.sum() == inside.sum()
    framed = (tiles[:, 0] == orange).all(1)
    assert (framed.flatten(1).sum(1) == 18 * 18 - 14 * 14).all()


def test_only_what_is_shown_is_hatched():
    x = torch.zeros(1, 5, 4, 4)
    x[:, 4] = torch.nan
    assert not np.asarray(
        Image.open(io.BytesIO(grid(x, Brightness(0, 1), 1, "", gap=0).data))
    ).any()
    seen = grid(x, Brightness(0, 1, (4,)), 1, "", gap=0)
    assert set(np.unique(np.asarray(Image.open(io.BytesIO(seen.data))))) == set(HATCH)


def test_padding_is_no_variation_of_a_patch():
    x = torch.zeros(1, 1, 3, 3)
    x[..., 2] = 1.0  # all of the patches at the right, but for their padding
    x[0, 0, 0, 0] = 0.5
    assert attention_maps.busiest(x, (2, 2)).tolist() == [0]


def test_what_is_not_there_is_hatched_in_two_grays():
    x = torch.zeros(1, 1, 4, 4)
    x[..., :2] = torch.nan
    found = np.asarray(Image.open(io.BytesIO(grid(x, Brightness(0, 1), 1, "", gap=0).data)))
    assert set(np.unique(found[:, :32])) == set(HATCH)
    assert not found[:, 32:].any()
