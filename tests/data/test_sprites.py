"""Sprites: the factors are what the images show, and a name with choices gives the same again."""

from __future__ import annotations

import json
import math
import os
import shutil

import numpy as np
import pooch
import pytest
import torch

import reparam as rp
from reparam.data import DataUnavailable, describe, dsprites, large_arrays, load_data, record_json
from reparam.data.dsprites import ARCHIVE
from reparam.data.images.sprite_grids import Atlas, Sprites
from reparam.data.images.sprite_templates import SHAPES, templates

SMALL = {"scales": 2, "orientations": 4, "positions": 4, "side": 16}
TINY = "sprites scales=2 orientations=4 positions=4 side=16"


def images(sprites):
    """All of a grid in order, (*counts, C, H, W)."""
    x = np.concatenate(list(Atlas(sprites).blocks()))
    return x.reshape(*sprites.counts, *x.shape[1:])


def whole(data):
    """Images and factors of all splits, in the order of the grid."""
    order = torch.cat([split.numbers for split in data.splits.values()]).argsort()
    x = torch.cat([split.x for split in data.splits.values()])[order]
    return x, torch.cat([split.factors for split in data.splits.values()])[order]


def test_the_grid_is_complete_and_its_split_fixed():
    data = rp.sprites(**SMALL)
    assert [len(split) for split in data.splits.values()] == [269, 38, 77]
    assert data.factor_names == ("shape", "scale", "orientation", "x", "y")
    assert data.space == rp.Space((1, 16, 16), "binary") and data.train.x.dtype == torch.uint8
    x, factors = whole(data)
    expected = np.indices((3, 2, 4, 4, 4)).reshape(5, -1).T
    assert np.array_equal(factors, expected)
    assert np.array_equal(x, images(Sprites(**SMALL)).reshape(384, 1, 16, 16))
    again = load_data(TINY, seed=5)  # whatever the seed
    assert again.fingerprint() == data.fingerprint()
    assert any("fixed random split" in note for note in data.notes)
    assert describe(data)["factors"] == "shape, scale, orientation, x, y"


def test_the_named_set_is_the_grid_of_its_defaults():
    sizes = {
        name: math.prod(sprites.counts) for name, sprites in rp.data.named_sets.SPRITES.items()
    }
    assert sizes == {"sprites": 92_160, "sprites-64": 737_280}
    assert rp.data.named_sets.SPRITES["sprites"].counts == (3, 6, 20, 16, 16)
    assert rp.data.named_sets.SPRITES["sprites-64"].counts == (3, 6, 40, 32, 32)
    assert {"sprites", "sprites-64", "dsprites"} <= dict(rp.data.sources()).keys()


@pytest.mark.parametrize(
    ("positions", "side", "step"),
    [(16, 32, 1), (4, 32, 5), (12, 32, 1), (33, 32, 0.5), (6, 17, 1.5)],
)
def test_the_center_of_the_area_is_at_x_and_y(positions, side, step):
    """In whole or half pixels, of every shape at every angle; y points down."""
    sprites = Sprites(scales=1, orientations=3, positions=positions, side=side, antialias=True)
    x = images(sprites)[..., 0, :, :].astype(float)
    pixels, mass = np.arange(side) + 0.5, x.sum((-1, -2))
    across, down = (x.sum(-2) @ pixels) / mass, (x.sum(-1) @ pixels) / mass
    at = side / 2 + step * (np.arange(positions) - (positions - 1) / 2)
    assert np.abs(across - at[:, None]).max() < 0.1
    assert np.abs(down - at).max() < 0.1
    edges = [x[..., 0, :], x[..., -1, :], x[..., 0], x[..., -1]]
    assert max(edge.max() for edge in edges) <= 128  # none is cut off


def test_the_area_follows_the_scale_and_is_that_of_the_shape():
    sprites = Sprites(scales=3, orientations=5, positions=2, side=64, antialias=True)
    area = images(sprites).sum((-1, -2, -3)) / 255
    radius = (64 / 4 - 0.5) * np.array([0.5, 0.75, 1])
    heart = (1 + np.pi / 4) / (2 * ((7 / 12 + 3 * np.pi / 16) / (1 + np.pi / 4)) ** 2)
    for level, unit in enumerate((2.0, 0.6 * np.pi, heart)):
        expected = unit * radius[:, None, None, None] ** 2
        assert np.abs(area[level] / expected - 1).max() < 0.01


def turned_by_hand(shape, radius, angle, center, side):
    """Black and white by the equations of each shape, a pixel at a time."""
    found = np.zeros((side, side), np.uint8)
    s = radius / (np.sqrt(2) * (7 / 12 + 3 * np.pi / 16) / (1 + np.pi / 4))  # a heart's side
    for row, column in np.ndindex(side, side):
        up_right = complex(column + 0.5 - center, center - row - 0.5) * np.exp(-1j * angle)
        a, b = up_right.real, up_right.imag
        if shape == "square":
            inside = max(abs(a), abs(b)) <= radius / np.sqrt(2)
        elif shape == "ellipse":
            inside = a**2 + (b / 0.6) ** 2 <= radius**2
        else:
            from_tip = (up_right + 1j * radius) * np.exp(-1j * np.pi / 4)
            u, v = from_tip.real, from_tip.imag
            inside = 0 <= u <= s and 0 <= v <= s
            inside |= min(abs(from_tip - s - 0.5j * s), abs(from_tip - 0.5 * s - 1j * s)) <= s / 2
        found[row, column] = inside
    return found


def test_the_shapes_are_those_of_their_equations():
    sprites = Sprites(scales=2, orientations=7, positions=1, side=33)
    x = images(sprites)[:, :, :, 0, 0, 0]
    for shape, scale, turn in ((0, 0, 1), (0, 1, 5), (1, 0, 3), (1, 1, 6), (2, 0, 2), (2, 1, 4)):
        radius, angle = (33 / 4 - 0.5) * (scale + 1) / 2, 2 * np.pi * turn / 7
        expected = turned_by_hand(sprites.shapes[shape], radius, angle, 16.5, 33)
        assert np.array_equal(x[shape, scale, turn], expected)


@pytest.mark.parametrize(("side", "turns"), [(32, 20), (18, 8)])
@pytest.mark.parametrize("antialias", [False, True])
def test_a_shape_turned_by_its_symmetry_is_the_same_image(antialias, side, turns):
    """To the bit: with a side of 18 pixels lie on edges, where a last digit decides."""
    choices = {"orientations": turns, "positions": 3, "scales": 3, "side": side}
    square, ellipse, heart = np.moveaxis(images(Sprites(**choices, antialias=antialias)), 2, 1)
    quarter = turns // 4
    for turn in (quarter, 2 * quarter, 3 * quarter):
        assert np.array_equal(square, np.roll(square, turn, 0))
    assert np.array_equal(ellipse, np.roll(ellipse, 2 * quarter, 0))
    assert not np.array_equal(ellipse, np.roll(ellipse, quarter, 0))
    assert not any(np.array_equal(heart, np.roll(heart, turn, 0)) for turn in range(1, turns))
    # A quarter turn of the picture is one of the sprite, counterclockwise.
    upright, turned = heart[0, 2, 1, 1, 0].astype(int), heart[quarter, 2, 1, 1, 0]
    assert np.abs(np.rot90(upright) - turned).max() <= (1 if antialias else 0)


CHOICES = [
    {},
    {"distinct": True},
    {"antialias": True},
    {"colors": 2},
    {"positions": 17},
    {"side": 19, "positions": 5, "orientations": 8},
    {"shapes": ("square",), "orientations": 1},
]


@pytest.mark.parametrize("choices", CHOICES)
def test_the_number_of_distinct_images_is_counted(choices):
    sprites = Sprites(**{**SMALL, **choices})
    x = images(sprites)
    flat = x.reshape(-1, *x.shape[-3:])
    distinct = len({one.tobytes() for one in flat})
    assert Atlas(sprites).distinct() == distinct
    count = "all" if distinct == len(flat) else distinct
    notes = rp.sprites(**{**SMALL, **choices}).notes
    assert notes[0].startswith(f"{len(flat)} images, {count} of them distinct")
    assert ("quarter of a turn" in notes[0]) == (
        not choices.get("distinct") and choices.get("orientations") != 1
    )


def test_distinct_turns_each_shape_through_its_own_period():
    few, many = (
        images(Sprites(orientations=turns, distinct=turns == 4, positions=1, scales=1))
        for turns in (4, 16)
    )
    every = {0: 1, 1: 2, 2: 4}  # sixteenths of a turn
    for shape, step in every.items():
        assert np.array_equal(few[shape], many[shape][:, : 4 * step : step])
    smooth = Sprites(distinct=True, antialias=True, positions=2)
    assert Atlas(smooth).distinct() == math.prod(smooth.counts)


@pytest.mark.parametrize("shape", SHAPES)
def test_gray_edges_are_the_shares_inside(shape):
    """As 15 × 15 points of each pixel give them; corners are where a distance says the least."""
    angles, center = np.arange(5) * 2 * np.pi / 5, np.array([10.25])
    gray = templates(shape, 7.5, angles, center, 20, True)[:, 0, 0] / 255
    fine = templates(shape, 15 * 7.5, angles, 15 * center, 300, False)[:, 0, 0]
    share = fine.reshape(5, 20, 15, 20, 15).mean((2, 4))
    edge = (share > 0) & (share < 1)
    assert np.sqrt(((gray - share)[edge] ** 2).mean()) < 0.05
    assert abs(gray.mean() / share.mean() - 1) < 0.005
    assert np.abs(gray - share)[~edge].max() < 0.05


def test_levels_are_those_of_gray_images_and_a_threshold_gives_the_binary_ones():
    assert rp.sprites(**SMALL, antialias=True).space == rp.Space((1, 16, 16), "levels", 256)
    gray, binary = (images(Sprites(**SMALL, antialias=on)) for on in (True, False))
    assert np.array_equal(binary, gray >= 128)


def test_colors_are_a_factor_in_three_channels():
    data = rp.sprites(**SMALL, colors=6)
    assert data.factor_names[-1] == "color" and data.space == rp.Space((3, 16, 16), "binary")
    x, factors = whole(data)
    hues = [(1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1), (1, 0, 1)]
    assert np.array_equal(x.amax((2, 3)), torch.tensor(hues)[factors[:, 5].long()])
    white = images(Sprites(**SMALL)).reshape(-1, 16, 16)
    assert np.array_equal(x.amax(1), np.repeat(white, 6, 0))


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("colors", [1, 3])
def test_noise_is_behind_the_sprite_and_always_the_same(colors, antialias):
    choices = {**SMALL, "colors": colors, "antialias": antialias}
    x, quiet = (images(Sprites(**choices, background=b)) for b in ("noise", None))
    if not antialias:
        quiet = quiet * np.uint8(255)
    inside = quiet.max(-3, keepdims=True) == 255
    outside = quiet.max(-3, keepdims=True) == 0
    assert np.array_equal(
        x[np.broadcast_to(inside, x.shape)], quiet[np.broadcast_to(inside, x.shape)]
    )
    noise = x[np.broadcast_to(outside, x.shape)]
    assert (noise.min(), noise.max()) == (0, 255)
    assert noise.mean() == pytest.approx(127.5, abs=6 * 73.9 / np.sqrt(noise.size))
    assert np.array_equal(x, images(Sprites(**choices, background="noise")))
    data = rp.sprites(**choices, background="noise")
    assert data.space.levels == 256 and "distinct but for the noise" in data.notes[0]


def test_a_recipe_gives_the_same_images_again():
    data = rp.sprites(**SMALL, shapes=("heart", "square"), colors=3, distinct=True)
    recipe = json.loads(json.dumps(record_json(data)["source"]))
    places = "scales=2 orientations=4 positions=4 side=16"
    assert recipe == {"source": f"sprites shapes=heart,square {places} colors=3 distinct=yes"}
    again = load_data(**recipe)
    assert again.fingerprint() == data.fingerprint() and again.name == data.name
    assert "Levels of the factor shape: 0 heart, 1 square." in data.notes
    assert rp.sprites(**SMALL, shapes="heart").train.factors[:, 0].max() == 0
    assert load_data("sprites-64 side=16 positions=2 orientations=2").space.shape == (1, 16, 16)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ("positions=0", "positions: expected a whole number of at least 1, got '0'"),
        ("positions=34", "positions: expected at most 33, a half pixel apart in images of side 32"),
        ("side=8", "side: expected a whole number of at least 16 and of at most 1024, got '8'"),
        ("orientations=1.5", "orientations: expected a whole number"),
        ("scales=0", "scales: expected a whole number of at least 1"),
        ("colors=7", "colors: expected a whole number of at least 1 and of at most 6, got '7'"),
        ("shapes=circle", "shapes: expected square, ellipse, heart, one or several"),
        ("shapes=heart,heart", "shapes: expected one or several of square, ellipse, heart, got"),
        ("shapes=()", "shapes: expected one or several of square, ellipse, heart, got none"),
        ("antialias=perhaps", "antialias: expected true or false"),
        ("background=snow", "background: expected noise or none, got 'snow'"),
        ("size=64", "size: sprites have no such choice .did you mean side..; expected shapes, sca"),
        ("side=16 side=32", "side: given twice"),
        (
            "shapes=heart scales=1 orientations=1 positions=1",
            "sprites .*: expected at least 3 images, one for each split, got 1",
        ),
        ("side 16", "source: 'sprites side 16' is neither a named set nor a file"),
    ],
)
def test_choices_that_cannot_be_are_refused(choices, message):
    with pytest.raises(ValueError, match=message) as refused:
        load_data(f"sprites {choices}")
    assert "\n" not in str(refused.value)


def test_arguments_that_cannot_be_are_refused_alike():
    for choices in ({"positions": 0}, {"shapes": ()}, {"side": 2000}, {"antialias": "perhaps"}):
        with pytest.raises(ValueError, match=f"{next(iter(choices))}: expected"):
            rp.sprites(**choices)
    with pytest.raises(ValueError, match="label: does not apply to the named set 'sprites'"):
        load_data("sprites", label="shape")


@pytest.fixture
def mapped(monkeypatch, tmp_path):
    """Grids are as if they were too large for memory."""
    monkeypatch.setattr(large_arrays, "MAPPED_FROM", 1)
    monkeypatch.setattr(large_arrays, "BLOCK", 5000)
    monkeypatch.setenv("REPARAM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "grids"


def test_a_large_grid_is_made_once_and_streamed(mapped, monkeypatch):
    data = load_data(TINY)
    (file,) = mapped.glob("*.npy")
    made = file.stat().st_mtime_ns
    for split in load_data(TINY).splits.values():
        assert split.streamed
    assert file.stat().st_mtime_ns == made
    assert load_data(f"{TINY} colors=2").space.shape == (3, 16, 16)
    assert len(list(mapped.glob("*.npy"))) == 2  # other choices, another file
    monkeypatch.setenv("REPARAM_CACHE", "off")
    unkept = load_data(TINY)
    monkeypatch.setattr(large_arrays, "MAPPED_FROM", 2**30)
    inside = load_data(TINY)
    assert unkept.train.streamed and not inside.train.streamed
    assert data.fingerprint() == unkept.fingerprint() == inside.fingerprint()


def test_what_a_killed_process_left_of_a_large_grid_is_removed(mapped):
    load_data(TINY)
    (file,) = mapped.glob("*.npy")
    left = mapped / f".{file.name}.abcdefgh"
    left.mkdir()
    file.rename(left / file.name)
    load_data(TINY)
    assert file.is_file() and not left.exists()


def test_room_for_a_large_grid_is_looked_for_first(mapped, monkeypatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10))
    with pytest.raises(ValueError, match="grids: no room for .*REPARAM_CACHE names another folder"):
        load_data(TINY)
    monkeypatch.undo()
    monkeypatch.setattr(large_arrays, "MAPPED_FROM", 1)
    monkeypatch.setenv("REPARAM_CACHE", str(mapped.parent))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(ValueError, match="no room for 0.0 GB .No space left"):
        load_data(TINY)
    assert not list(mapped.rglob("*.npy"))


class Opened(Exception):
    """Something was read that is not to be."""


def refuse_to_be_read():
    raise Opened


class Trap:
    def __reduce__(self):
        return refuse_to_be_read, ()


@pytest.fixture
def published(tmp_path):
    """An archive as that of dSprites, with a trap where its pickle is."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (40, 6, 6)).astype(np.uint8)
    classes = np.stack([np.zeros(40, int), *rng.integers(0, 4, (5, 40))], 1)
    path = tmp_path / ARCHIVE
    trap = np.empty((), object)
    trap[()] = Trap()
    np.savez_compressed(path, metadata=trap, imgs=x, latents_classes=classes)
    return path, x, classes


def is_published(data, x, classes):
    images, factors = whole(data)
    assert np.array_equal(images[:, 0], x) and np.array_equal(factors, classes)
    assert data.factor_names == ("color", "shape", "scale", "orientation", "x", "y")
    assert data.space.kind == "binary"


def test_dsprites_from_the_users_folder_without_its_pickle(published, monkeypatch):
    path, x, classes = published
    with pytest.raises(Opened):
        np.load(path, allow_pickle=True)["metadata"]
    monkeypatch.setenv("REPARAM_DATA", str(path.parent))
    data = load_data("dsprites")
    is_published(data, x, classes)
    assert data.name == "dsprites" and data.source == {"source": "dsprites"}
    assert load_data(**data.source).fingerprint() == data.fingerprint()


def test_a_large_archive_is_unpacked_once_from_its_path(published, mapped, monkeypatch):
    path, x, classes = published
    data = load_data(path)
    is_published(data, x, classes)
    assert data.train.streamed and len(list(mapped.glob("*.npy"))) == 1

    def unpacked_again(_):
        raise Opened

    monkeypatch.setattr(dsprites, "_images", unpacked_again)
    assert load_data(**data.source).fingerprint() == data.fingerprint()
    np.savez(path, imgs=1 - x, latents_classes=classes)
    with pytest.raises(Opened):  # another file is
        load_data(path)


def test_dsprites_is_downloaded_by_its_published_checksum(published, monkeypatch):
    path, x, classes = published
    asked = []

    def retrieve(url, known_hash, **_):
        asked.append((url, known_hash))
        return str(path)

    monkeypatch.delenv("REPARAM_DATA", raising=False)
    monkeypatch.setattr(pooch, "retrieve", retrieve)
    is_published(load_data("dsprites"), x, classes)
    base = "https://github.com/google-deepmind/dsprites-dataset/raw/master/"
    assert asked == [(base + ARCHIVE, "md5:7da33b31b13a06f4b04a70402ce90c2e")]

    def fail(*_, **__):
        raise ConnectionError("no route")

    monkeypatch.setattr(pooch, "retrieve", fail)
    with pytest.raises(DataUnavailable, match=f"dsprites: .*put {ARCHIVE} into a folder"):
        load_data("dsprites")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"imgs": np.zeros((9, 4, 4), np.uint8)}, "has no array latents_classes"),
        (
            {"imgs": np.zeros((9, 4, 4), np.uint8), "latents_classes": np.zeros((8, 6), int)},
            r"expected imgs \(N, H, W\) of bytes and latents_classes \(N, 6\), got \(9, 4, 4\)",
        ),
        (
            {"imgs": np.array([None] * 9), "latents_classes": np.zeros((9, 6), int)},
            "imgs cannot be read .Python objects .pickled.",
        ),
    ],
)
def test_an_archive_of_something_else_is_refused(tmp_path, monkeypatch, arrays, message):
    np.savez(tmp_path / ARCHIVE, **arrays)
    monkeypatch.setenv("REPARAM_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=message):
        load_data("dsprites")
    (tmp_path / ARCHIVE).write_bytes((tmp_path / ARCHIVE).read_bytes()[:-40])
    with pytest.raises(ValueError, match=f"{ARCHIVE}: imgs cannot be read"):
        load_data("dsprites")
