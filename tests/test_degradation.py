"""Degradations: what their matrices, written down entry by entry, must satisfy."""

import numpy as np
import pytest
import torch

from reparam.degradation import as_seen, degradation, mask_name

NAMES = (
    "downscale:2",
    "downscale:3",
    "subsample:2",
    "subsample:3",
    "gray",
    "mask:square",
    "mask:half",
    "mask:random",
    "blur:0.7",
    "blur:3",
)
SHAPES = ((1, 4, 4), (3, 5, 7), (4, 3, 6))


def cases():
    return [(n, s) for n in NAMES for s in SHAPES if not (n == "gray" and s[0] == 1)]


def matrix(given):
    """A, a column for the image of each unit vector."""
    units = torch.eye(int(np.prod(given.shape)), dtype=torch.float64).view(-1, *given.shape)
    return given(units).flatten(1).T


@pytest.mark.parametrize(("name", "shape"), cases())
def test_pseudo_inverse_and_adjoint_are_those_of_the_matrix(name, shape):
    given = degradation(name, shape)
    a = matrix(given)
    units = torch.eye(len(a), dtype=torch.float64).view(-1, *given.given)
    back = given.pseudo_inverse(units).flatten(1).T
    assert torch.allclose(given.adjoint(units).flatten(1).T, a.T, atol=1e-12)
    for left, right in (
        (a @ back @ a, a),
        (back @ a @ back, back),
        ((a @ back).T, a @ back),
        ((back @ a).T, back @ a),
    ):  # the four equations of Penrose; entries of the inverse of a blur are up to a thousand
        assert (left - right).abs().max() < 1e-10 * max(1, right.abs().max())


@pytest.mark.parametrize(("name", "shape"), cases())
def test_consistent_is_the_nearest_of_which_y_is_left(name, shape):
    given, generator = degradation(name, shape), torch.Generator().manual_seed(0)
    x, other = torch.randn(2, 5, *shape, generator=generator, dtype=torch.float64)
    y = given(x)
    near = given.consistent(other, y)
    assert (given(near) - y).abs().max() < 1e-10
    assert (given.consistent(near, y) - near).abs().max() < 1e-10
    assert torch.equal(near[:, given.known], x[:, given.known])
    # What was moved is perpendicular to all that may still be moved: x − other is such, up to it.
    moved, free = (near - other).flatten(1), (x - near).flatten(1)
    assert (moved * free).sum(1).abs().max() < 1e-9


@pytest.mark.parametrize("shape", [(1, 5, 7), (3, 4, 4), (6,)])
@pytest.mark.parametrize("name", ["downscale:1", "subsample:1"])
def test_factor_1_gives_everything(name, shape):
    given, x = degradation(name, shape), torch.randn(4, *shape)
    assert given.known.all()
    assert torch.equal(given(x), x)
    assert torch.equal(given.consistent(torch.zeros_like(x), x), x)


def test_block_means_of_odd_sides_by_hand():
    x = torch.tensor([[1.0, 2, 30], [3, 4, 50], [5, 7, 9]])[None, None]
    assert degradation("downscale:2", (1, 3, 3))(x).tolist() == [[[[2.5, 40], [6, 9]]]]
    known = degradation("downscale:2", (1, 3, 3)).known
    assert known.nonzero().tolist() == [[0, 2, 2]]  # a block of one pixel says it


def test_gray_is_that_of_pillow_before_it_is_rounded():
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (9, 8, 3), np.uint8)
    ours = degradation("gray", (3, 9, 8))(torch.from_numpy(pixels).movedim(-1, 0)[None].double())
    theirs = np.asarray(Image.fromarray(pixels).convert("L"), float)
    assert np.abs(ours[0, 0].numpy() - theirs).max() <= 0.51  # it rounds its weights too


def test_a_blur_keeps_what_is_the_same_everywhere_and_weakens_an_edge():
    given = degradation("blur:1.5", (1, 12, 9))
    flat = torch.full((1, 1, 12, 9), 3.0, dtype=torch.float64)
    assert (given(flat) - flat).abs().max() < 1e-2  # what is left out weighs a thousandth at most
    edge = torch.arange(9).ge(4).double().expand(1, 1, 12, 9)
    assert given(edge)[0, 0, 6].diff().max() < 0.4


def test_masks_say_which_entries_are_given():
    square = degradation("mask:square", (2, 8, 4)).known
    assert (~square).nonzero()[:, 1:].unique(dim=0).tolist() == [
        [i, j] for i in range(2, 6) for j in (1, 2)
    ]
    half = degradation("mask:half", (5,)).known
    assert half.tolist() == [True, True, True, False, False]
    random = degradation("mask:random", (3, 6, 7)).known
    assert random.sum() == 3 * 21
    assert torch.equal(random, degradation("mask:random", (3, 6, 7)).known)
    assert torch.equal(random[0], random[2])  # whole pixels


def test_a_name_says_a_mask():
    white = torch.rand(9, 13, generator=torch.Generator().manual_seed(1)) > 0.5
    name = mask_name(white)
    assert torch.equal(degradation(name, (3, 9, 13)).known, white.expand(3, -1, -1))


def test_precision_is_that_of_x():
    given = degradation("blur:1", (1, 6, 6)).float()
    x = torch.rand(1, 1, 6, 6, dtype=torch.float64)
    assert given(x).dtype == torch.float64
    assert torch.equal(given(x), degradation("blur:1", (1, 6, 6))(x))
    assert given(x.float()).dtype == torch.float32
    assert given((x * 9).long()).dtype == torch.get_default_dtype()


@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        ("downscale:9", (1, 8, 12), "leaves no pixel of sides 8 x 12; take a factor of at most 8"),
        ("subsample:4", (3,), "at most 3"),
        ("downscale:0", (1, 8, 8), "whole factor of at least 1"),
        ("downscale:1.5", (1, 8, 8), "whole factor"),
        ("gray", (1, 8, 8), "one channel"),
        ("gray", (8,), "vectors"),
        ("blur:0", (1, 8, 8), "above 0"),
        ("blur:wide", (1, 8, 8), "above 0"),
        ("blur:inf", (1, 8, 8), "above 0"),
        ("mask:circle", (1, 8, 8), "square|half|random or a file that is there"),
        ("mask:8x8:!!", (1, 8, 8), "damaged"),
        (mask_name(torch.ones(4, 4).bool()), (1, 8, 8), "mask of 8x8"),
        ("fog", (1, 8, 8), "expected downscale:FACTOR"),
    ],
)
def test_what_is_no_degradation_is_refused(name, shape, said):
    with pytest.raises(ValueError, match="^given: ") as error:
        degradation(name, shape)
    assert said in str(error.value)


def test_what_is_given_is_seen_at_the_size_of_x():
    x = torch.arange(16.0).view(1, 1, 4, 4)
    small = degradation("subsample:2", (1, 4, 4))
    assert as_seen(small, small(x), 9.0)[0, 0].tolist() == [
        [0, 0, 2, 2],
        [0, 0, 2, 2],
        [8, 8, 10, 10],
        [8, 8, 10, 10],
    ]
    half = degradation("mask:half", (1, 4, 4))
    assert as_seen(half, half(x), 9.0)[0, 0, 2:].unique().tolist() == [9.0]
    gray = degradation("gray", (3, 2, 2))
    assert as_seen(gray, torch.ones(1, 1, 2, 2), 9.0).shape == (1, 3, 2, 2)
    uneven = degradation("downscale:4", (1, 4, 10))  # blocks of 4, 4 and 2
    seen = as_seen(uneven, torch.tensor([[[[1.0, 2.0, 3.0]]]]), 9.0)
    assert seen[0, 0, 3].tolist() == [1, 1, 1, 1, 2, 2, 2, 2, 3, 3]
