"""Scores of restorations: by hand, by laws whose restorations are known, and of models."""

import itertools
import math

import pytest
import torch

import reparam as rp
from reparam.data import Data, Split
from reparam.degradation import degradation
from reparam.evaluation import restoration
from reparam.evaluation.absent import why_absent
from reparam.evaluation.lab import lab
from reparam.evaluation.restoration import (
    Restored,
    Standard,
    affordable_examples,
    places,
    restorations,
)
from reparam.measures import SCORES
from reparam.model import Space

F64 = torch.float64


def data_of(x, space):
    part = Split(x)
    return Data(part, part, part, space, "tests")


def a_few(space, rows=30, seed=0):
    generator = torch.Generator().manual_seed(seed)
    if space.kind == "real":
        return torch.randn(rows, *space.shape, generator=generator)
    return torch.randint(space.level_count, (rows, *space.shape), generator=generator).float()


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [  # as published of sRGB and D65, whose white is there rounded to other digits: 0.03
        ((1, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 1, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 1), (32.30, 79.19, -107.86)),
        ((1, 1, 0), (97.14, -21.55, 94.48)),
        ((0, 1, 1), (91.11, -48.09, -14.13)),
        ((1, 0, 1), (60.32, 98.23, -60.82)),
        ((1, 1, 1), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((0.03, 0.03, 0.03), (24389 / 27 * 0.03 / 12.92, 0, 0)),  # where both curves are lines
    ],
)
def test_lab_of_known_colors(rgb, expected):
    found = lab(torch.tensor(rgb, dtype=F64).view(1, 3, 1, 1)).flatten()
    assert (found - torch.tensor(expected, dtype=F64)).abs().max() < 0.03


def test_scores_by_hand():
    space = Space((1, 1, 2), "levels", 5)
    data = data_of(torch.tensor([[[[0.0, 4.0]]]]), space)
    x = data.test.x
    draws = torch.tensor([[[[[0.0, 2.0]]], [[[2.0, 4.0]]]]])  # errors of 1/2 once each, of 4 levels
    found = rp.restoration_scores(data, x, x, draws, "downscale:1")
    assert found["restoration_mse"].value == pytest.approx(1 / 8)
    assert found["restoration_mean_mse"].value == pytest.approx(1 / 16)
    assert found["restoration_psnr"].value == pytest.approx(10 * math.log10(8))
    assert found["restoration_mean_psnr"].value == pytest.approx(10 * math.log10(16))
    assert "spread" not in found  # y says everything
    assert "color_mse" not in found


def test_consistency_and_spread_by_hand():
    space = Space((1, 2, 2), "levels", 5)
    x = torch.tensor([[[[0.0, 4.0], [4.0, 0.0]]]])
    draws = torch.stack([x, torch.tensor([[[[4.0, 4.0], [4.0, 0.0]]]])], 1)
    found = rp.restoration_scores(
        data_of(x, space), x, torch.tensor([[[[2.0]]]]), draws, "downscale:2"
    )
    assert found["consistency"].value == pytest.approx((0 + (1 / 4) ** 2) / 2)
    assert found["spread"].value == pytest.approx(math.sqrt(0.5 / 4))  # one of four varies by 1
    assert found["spread"].samples == 2
    assert "coverage" not in found  # two draws would tell little


def test_of_a_mask_only_what_it_gives_counts_as_given():
    space = Space((1, 2, 2), "binary")
    x = torch.zeros(1, 1, 2, 2)
    found = rp.restoration_scores(data_of(x, space), x, x, torch.ones(1, 1, 1, 2, 2), "mask:half")
    assert found["consistency"].value == 1  # and not a half


@pytest.mark.parametrize("k", [1, 3, 4])
@pytest.mark.parametrize("p", [(0.3, 0.7), (0.2, 0.5, 0.3), (1.0,)])
def test_places_of_true_draws_are_uniform(p, k):
    """The law of the place, summed over all that x and its draws may be, by its own function."""
    edges = torch.linspace(0, 1, 41, dtype=F64)
    law = torch.zeros_like(edges)
    for values in itertools.product(range(len(p)), repeat=k + 1):
        x, draws = torch.tensor([[values[0]]]), torch.tensor([values[1:]])[..., None]
        low, high = (places(x, draws, torch.full((1, 1), u, dtype=F64)).item() for u in (0.0, 1.0))
        law += math.prod(p[v] for v in values) * ((edges - low) / (high - low)).clamp(0, 1)
    assert (law - edges).abs().max() < 1e-12


def test_scores_of_true_draws_are_what_they_say():
    """x and 19 draws of N(0, 4): twice the variance, 20/19 of it, the variance, and 90 %."""
    space, generator = Space((1, 3, 3), "real"), torch.Generator().manual_seed(1)
    rows, sigma = 2000, 2.0
    both = sigma * torch.randn(rows, 20, 1, 3, 3, generator=generator, dtype=F64)
    x, draws = both[:, 0], both[:, 1:]
    given = degradation("downscale:3", space.shape)
    found = rp.restoration_scores(data_of(x, space), x, given(x), draws, given)
    expected = {
        "restoration_mse": 2 * sigma**2,
        "restoration_mean_mse": sigma**2 * 20 / 19,
        "coverage": 0.9,
        "consistency": 2 * sigma**2 / 9,
    }
    for name, value in expected.items():
        assert abs(found[name].value - value) < 4 * found[name].stderr, name
    squared = found["spread"].values.square()
    assert abs(squared.mean() - sigma**2) < 4 * squared.std() / math.sqrt(rows)


def test_draws_that_are_too_sure_cover_less_and_too_unsure_more():
    space, generator = Space((1, 3, 3), "real"), torch.Generator().manual_seed(1)
    both = torch.randn(300, 20, 1, 3, 3, generator=generator)
    x, data = both[:, 0], data_of(both[:, 0], space)
    y = degradation("downscale:3", space.shape)(x)
    covered = [
        rp.restoration_scores(data, x, y, width * both[:, 1:], "downscale:3")["coverage"].value
        for width in (0.0, 0.5, 1.0, 2.0)
    ]
    assert covered[0] < 0.1 < covered[1] < 0.8 < covered[2] < 0.95 < covered[3]


def test_errors_of_color_by_hand():
    space = Space((3, 1, 1), "levels", 256)
    x = torch.tensor([[255.0, 0, 0], [90, 90, 90]]).view(2, 3, 1, 1)
    red, gray = torch.tensor([80.105, 67.223], dtype=F64), torch.zeros(2, dtype=F64)
    draws = torch.stack([x[[1, 1]], x], 1)  # once gray for red
    y = degradation("gray", space.shape)(x)
    found = rp.restoration_scores(data_of(x, space), x, y, draws, "gray")
    squared = (red - gray).square().mean().item()
    assert found["color_mse"].value == pytest.approx(squared / 4, rel=1e-4)
    assert found["color_mse_of_gray"].value == pytest.approx(squared / 2, rel=1e-4)
    assert found["color_mse_of_average"].value == pytest.approx(squared / 4, rel=1e-4)
    assert found["color_mse_of_gray"].seed is None


CASES = [
    ("regression", Space((1, 5, 3), "levels", 4), "downscale:2"),
    ("cvae", Space((1, 4, 4), "binary", classes=3), "mask:square"),
    ("gated-pixel-cnn", Space((3, 3, 3), "levels", 3), "gray"),
    ("image-transformer", Space((4,), "binary"), "subsample:2"),
    ("gan", Space((1, 5, 3), "real"), "downscale:2"),
    ("ddpm", Space((1, 4, 4), "levels", 4), "mask:half"),
]
SMALL = {
    "cvae": {"hidden": (4,), "latent_dim": 2},
    "gan": {"hidden": (4,)},
    "regression": {"hidden": (4,)},
    "gated-pixel-cnn": {"width": 4, "layers": 1},
    "image-transformer": {"width": 4, "layers": 1, "heads": 1},
    "ddpm": {"times": 3, "hidden": (4, 4), "network": "mlp", "blocks": 1},
}


def tiny(name, space, given):
    model = rp.build(name, space, seed=0, given=given, **SMALL[name])
    return model.eval()


@pytest.mark.parametrize(("name", "space", "given"), CASES)
def test_models_are_scored_by_what_they_were_trained_for(name, space, given, monkeypatch):
    monkeypatch.setattr(restoration, "MOST_EXAMPLES", 7)
    data, model = data_of(a_few(space), space), tiny(name, space, given)
    found = rp.restoration_quality(model, data)
    assert all(name in SCORES and score.n == 7 for name, score in found.items())
    assert found["consistency"].value == 0 or not given.startswith(("mask", "subsample"))
    assert ("color_mse" in found) == (space.shape[0] == 3)
    assert ("restoration_psnr" in found) == space.is_image
    deterministic = name == "regression"
    assert (found["spread"].value == 0) == deterministic


def test_draws_of_an_example_do_not_depend_on_its_company(monkeypatch):
    name, space, given = CASES[1]
    model, split = tiny(name, space, given), Split(a_few(space, 5))
    together = [part for part in restorations(model, split, 4, 0)]
    monkeypatch.setattr(restoration, "rows_at_once", lambda space: 1)
    alone = [part for part in restorations(model, split, 4, 0)]
    assert len(alone) == 5 > len(together)
    for name in ("draws", "uniform"):
        whole = torch.cat([getattr(part, name) for part in together])
        assert torch.equal(whole, torch.cat([getattr(part, name) for part in alone]))
    assert (whole[0] != whole[1]).any()


def test_evaluate_adds_them_for_models_that_are_given_something(monkeypatch):
    monkeypatch.setattr(restoration, "MOST_EXAMPLES", 5)
    space = Space((1, 4, 4), "binary")
    data = data_of(a_few(space), space)
    with_given, without = (
        rp.evaluate(
            rp.build("cvae" if given else "vae", space, hidden=(4,), **given), data, samples=2
        )
        for given in ({"given": "downscale:2"}, {})
    )
    added = {"restoration_mse", "consistency", "spread", "coverage"}
    assert added <= with_given.keys()
    assert not added & without.keys()
    assert with_given["restoration_mse"].values is None  # of some rows only: nobody's pairs


def test_examples_are_fewer_where_draws_are_dear():
    model = tiny(*CASES[1])
    model.passes_per_draw = 10**6
    assert affordable_examples(model) == restoration.FEWEST_EXAMPLES
    model.passes_per_draw = 1
    assert affordable_examples(model) == restoration.MOST_EXAMPLES


def test_why_a_model_has_none():
    space = Space((1, 4, 4), "binary")
    assert "option given" in why_absent(rp.build("vae", space), "coverage")
    cvae = tiny("cvae", space, "downscale:2")
    assert "red, green and blue" in why_absent(cvae, "color_mse")


def test_what_cannot_be_scored_is_refused():
    space = Space((1, 4, 4), "binary")
    data = data_of(a_few(space), space)
    with pytest.raises(ValueError, match="^model: VAE is given nothing; train one with given="):
        rp.restoration_quality(rp.build("vae", space), data)
    with pytest.raises(ValueError, match="^degradation: expected downscale:2, as trained, got"):
        rp.restoration_quality(tiny("cvae", space, "downscale:2"), data, "mask:half")
    with pytest.raises(ValueError, match="^degradation: expected that of the function"):
        rp.restoration_quality(lambda y: y, data)
    with pytest.raises(ValueError, match=r"^draws: expected shape \(30, draws, 1, 4, 4\)"):
        rp.restoration_quality(lambda y: y, data, "mask:half")
    x = data.test.x
    with pytest.raises(
        ValueError, match=r"^y: expected .* shape \(30, 1, 2, 2\), got .*\(30, 1, 1"
    ):
        rp.restoration_scores(data, x, x[..., :1, :1], x[:, None], "downscale:2")


def test_real_images_have_the_range_of_training_for_a_peak():
    space = Space((1, 2, 2), "real")
    train = torch.tensor([-3.0, 5.0, 0.0, 0.0]).view(1, 1, 2, 2)
    data, x = data_of(train, space), torch.zeros(1, 1, 2, 2)
    standard = Standard(data, degradation("downscale:2", space.shape))
    found = standard.measures(Restored(x, x[..., :1, :1], x[:, None] + 0.8, x))
    assert found["restoration_psnr"].item() == pytest.approx(20, abs=1e-5)
