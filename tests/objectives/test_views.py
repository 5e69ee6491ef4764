"""Views: what they may be, whose they are, and exact crops."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from noise import noise_from
from torch import Tensor
from torch.nn import functional as F

from reparam import numerics
from reparam.model import Space
from reparam.objectives.views import Views, window

STILL = Views(crop=0.0, shift=0.0, noise=0.0, brightness=0.0, offset=0.0)
SHAPES = [(1, 8, 8), (3, 5, 9), (2, 1, 7), (6,), (1,)]


def view(x: Tensor, **strengths: object) -> Tensor:
    """One of each x, with these strengths alone."""
    (found,) = replace(STILL, **strengths).draw(x, Space(tuple(x.shape[1:]), "real"))
    return found


def random_x(shape: tuple[int, ...], n: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(n, *shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_without_strength_a_view_is_x_itself(shape):
    x = random_x(shape)
    assert all(torch.equal(view, x) for view in STILL.draw(x, Space(shape, "real"), 2))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_view_belongs_to_its_example(shape):
    """With noise by example the view of a row does not depend on its company."""
    x, views, space = random_x(shape), Views(flip=True), Space(shape, "real")
    seeds = [3, 4, 5, 6]

    def drawn(rows: list[int]) -> Tensor:
        generators = [torch.Generator().manual_seed(seeds[row]) for row in rows]
        with numerics.own_noise(generators):
            return torch.cat(views.draw(x[rows], space, 2), 1)

    torch.testing.assert_close(drawn([0, 1, 2, 3])[[2]], drawn([2]), rtol=1e-12, atol=1e-12)
    one, other = drawn([0]).chunk(2, 1)
    assert not torch.equal(one, other) and not torch.equal(one, x[:1])


@pytest.mark.parametrize(
    "top, left, height, width", [(0, 0, 8, 6), (1, 2, 6, 4), (3, 0, 5, 3), (2, 5, 1, 1)]
)
def test_a_window_is_what_interpolation_makes_of_the_cut_out_image(top, left, height, width):
    x = random_x((2, 8, 6))
    rows = len(x)
    first = torch.tensor([[top / 8, left / 6]], dtype=x.dtype).expand(rows, 2)
    side = torch.tensor([[height / 8, width / 6]], dtype=x.dtype).expand(rows, 2)
    cut = x[:, :, top : top + height, left : left + width]
    wanted = F.interpolate(cut, (8, 6), mode="bilinear", align_corners=False)
    found = window(x, first, side, torch.zeros_like(first))
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def test_a_shift_by_whole_pixels_moves_them_and_repeats_the_edge():
    x = random_x((1, 4, 5))
    zero, one = torch.zeros(4, 2, dtype=x.dtype), torch.ones(4, 2, dtype=x.dtype)
    moved = zero + torch.tensor([1 / 4, -2 / 5])
    wanted = x[:, :, [1, 2, 3, 3]][..., [0, 0, 0, 1, 2]]
    torch.testing.assert_close(window(x, zero, one, moved), wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("end", [0.0, 1 - 1e-12])
def test_the_strengths_are_the_farthest_that_a_view_goes(end):
    """By noise at either end of its range."""
    x = torch.arange(8.0, dtype=torch.float64).expand(3, 1, 8, 8)
    sign = 1 if end else -1
    with noise_from(lambda like: torch.full_like(like, end)):
        torch.testing.assert_close(view(x, offset=0.3), x + sign * 0.3)
        torch.testing.assert_close(view(x, brightness=0.2), x * (1 + sign * 0.2))
        shifted = view(x, shift=0.25)
        torch.testing.assert_close(shifted, (x + sign * 2).clamp(0, 7))
        cropped = view(x, crop=0.25)
    # At most a quarter is lost: two columns of eight, all on one side.
    lost = x if end == 0 else F.interpolate(x[..., 2:], (8, 8), mode="bilinear")
    torch.testing.assert_close(cropped, lost)


def test_half_of_the_views_are_flipped_where_that_is_asked_for():
    x = random_x((1, 2, 3), 2000)
    found = view(x, flip=True)
    flipped = (found == x.flip(3)).flatten(1).all(1)
    assert ((found == x).flatten(1).all(1) != flipped).all()
    assert abs(flipped.double().mean() - 0.5) < 4 * 0.5 / 2000**0.5


def test_entries_of_a_vector_are_hidden_as_often_as_an_image_is_cropped():
    """P(hidden) is uniform in [0, crop], so that its mean is half of it and varies by vector."""
    x = torch.ones(4000, 50, dtype=torch.float64)
    hidden = (view(x, crop=0.5) == 0).double().mean(1)
    spread = (0.5**2 / 12 + (0.5 / 2 - 0.5**2 / 3) / 50) ** 0.5  # of a mean of 50 coins
    assert abs(hidden.mean() - 0.25) < 4 * spread / 4000**0.5
    assert hidden.std() == pytest.approx(spread, rel=0.05)


def test_noise_has_the_deviation_that_is_asked_for():
    x = torch.zeros(2000, 10, dtype=torch.float64)
    found = view(x, noise=0.3)
    assert found.std() == pytest.approx(0.3, rel=4 / (2 * 20000) ** 0.5)


@pytest.mark.parametrize("strength", ["crop", "shift", "brightness"])
def test_strengths_stay_below_one(strength):
    with pytest.raises(ValueError, match=f"{strength}: expected a number of at least 0"):
        Views(**{strength: 1.0})
