"""Densities of images on several scales: every pixel has one factor, in the order of the scales."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from autoregressive_models import all_states
from frequencies import chi_square
from torch import Tensor

import reparam as rp
from reparam.degradation import degradation
from reparam.model import Descend, Space

F64 = torch.float64
CNN, RNN = "multi-scale-pixel-cnn", "multi-scale-pixel-rnn"
both = pytest.mark.parametrize("name", [CNN, RNN])


@pytest.fixture(autouse=True)
def few_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what is given around a pixel: as few as act."""
    monkeypatch.setattr("reparam.presets.autoregressive.GIVEN_FEATURES", 2)


def tiny(name: str, space: Space, scales: int = 2, **more: Any) -> Any:
    """Weights large enough that the pixels depend on each other."""
    torch.manual_seed(3)
    sizes = {"width": 2, "layers": 1, "first_kernel": 3, "scales": scales} | more
    model = rp.build(name, space, **sizes).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.4 * torch.randn_like(parameter))
    return model


@torch.no_grad()
def law(model: Any, states: Tensor, c: Tensor | None = None) -> Tensor:
    found = [model.log_prob(x, None if c is None else c.expand(len(x))) for x in states.split(4096)]
    assert {p.kind for p in found} == {"exact"}
    return torch.cat([p.value for p in found]).exp()


@both
def test_the_probabilities_of_all_images_sum_to_1(name):
    """Sides that are odd, several channels, levels: and no pixel is coded twice."""
    for shape, levels, scales in (((1, 3, 4), 2, 3), ((2, 3, 2), 2, 2), ((1, 2, 3), 4, 2)):
        kind = "binary" if levels == 2 else "levels"
        space = Space(shape, kind, levels if levels > 2 else None)
        model = tiny(name, space, scales)
        assert law(model, all_states(space)).sum().item() == pytest.approx(1, abs=1e-10)


def test_the_probabilities_of_all_4_x_3_images_sum_to_1():
    space = Space((1, 4, 3), "binary")
    model = tiny(CNN, space, 3, layers=0)
    assert [scale.space.shape[1:] for scale in model.scales] == [(1, 1), (2, 2), (4, 3)]
    assert law(model, all_states(space)).sum().item() == pytest.approx(1, abs=1e-10)


@both
def test_it_is_the_product_of_its_scales(name):
    space = Space((3, 5, 4), "levels", 7)
    model = tiny(name, space, width=3)
    x = torch.randint(7, (5, *space.shape), generator=torch.Generator().manual_seed(0)).double()
    small, y = model.scales[0], degradation("subsample:2", space.shape)(x)
    parts = small.log_prob(y), model.scales[1].log_prob(x, y)
    found = model.log_prob(x)
    torch.testing.assert_close(found.value, parts[0].value + parts[1].value)
    assert found.per_dimension is not None and parts[0].per_dimension is not None
    torch.testing.assert_close(found.per_dimension.flatten(1).sum(1), found.value)
    assert torch.equal(found.per_dimension[..., ::2, ::2], parts[0].per_dimension)
    assert model.counted == space.dimension
    torch.testing.assert_close(model.loss(x).terms["nll"], -found.value)


@both
def test_a_pixel_acts_on_those_after_it_in_the_order_of_the_scales(name):
    space = Space((2, 3, 4), "binary")
    model = tiny(name, space, 3)
    x = (torch.rand(1, *space.shape, generator=torch.Generator().manual_seed(0)) < 0.5).double()
    flipped = (x.flatten() - torch.eye(space.dimension)).abs().view(-1, *space.shape)
    ranks, acted = model.ranks, torch.zeros(space.dimension, space.dimension, dtype=torch.bool)
    assert ranks.sort().values.tolist() == list(range(space.dimension))
    before, after = model.log_prob(x).per_dimension, model.log_prob(flipped).per_dimension
    acted = (after - before).abs().flatten(1) > 1e-12
    assert not acted[ranks[:, None] > ranks].any()
    assert acted.diagonal().all()
    assert acted[ranks[:, None] < ranks].float().mean() > 0.3  # some lie too far apart


@both
def test_draws_are_as_frequent_as_they_are_probable(name):
    space, n = Space((1, 2, 3), "binary"), 6000
    model = tiny(name, space)
    x = model.sample(n, generator=torch.Generator().manual_seed(1))
    code = 2.0 ** torch.arange(5, -1, -1, dtype=F64)
    counts = torch.bincount((x.flatten(1) @ code).long(), minlength=64)
    assert chi_square(counts, n * law(model, all_states(space))) > 1e-4


def test_what_is_left_of_a_larger_image_is_completed_from_its_conditional():
    space, n = Space((1, 2, 3), "binary"), 6000
    model = tiny(CNN, space)
    known = degradation("subsample:2", space.shape).known
    x = torch.full((n, *space.shape), 7, dtype=torch.uint8)  # outside the mask nothing is seen
    x[:, 0, 0, 0], x[:, 0, 0, 2] = 1, 0
    model.refuse_given(known[None])
    found = model.complete(x, known, generator=torch.Generator().manual_seed(1))
    assert found.dtype == torch.uint8 and torch.equal(found[:, known], x[:, known])
    states = all_states(space)
    states = states[(states[:, known] == torch.tensor([1.0, 0.0], dtype=F64)).all(1)]
    code = 2.0 ** torch.arange(3, -1, -1, dtype=F64)
    counts = torch.bincount((found[:, ~known].double() @ code).long(), minlength=16)
    share = law(model, states)
    assert chi_square(counts, n * share / share.sum()) > 1e-4


def test_what_is_given_too_late_is_refused_where_it_would_have_no_say():
    model = tiny(CNN, Space((1, 4, 4), "binary"))
    upper = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    upper[:, :, :2] = True
    with pytest.raises(ValueError, match="^complete: entry 1 of row 0 is given and comes after"):
        model.refuse_given(upper)
    x = torch.ones(1, 1, 4, 4)
    assert model.complete(x, upper)[upper].eq(1).all()  # yet it stays


def test_the_unit_of_real_pixels_is_counted_at_each_scale(solve):
    """log p of a·x + b is log p(x) − D log a, however different the scales' own statistics."""
    space, generator = Space((2, 4, 5), "real"), torch.Generator().manual_seed(0)
    x = torch.randn(50, *space.shape, generator=generator, dtype=F64)
    x[..., ::2, ::2] *= 9  # at the smaller scale these are all
    x[:, 0, 0, 0] = x[:, 1, 3, 1] = 5.0  # no parts of the density: one at each scale
    values = []
    for a, b in ((1.0, 0.0), (30.0, 700.0)):
        model = tiny(CNN, space)
        solve(model, a * x + b)
        found = model.log_prob(a * x[:4] + b)
        torch.testing.assert_close(found.per_dimension.flatten(1).sum(1), found.value)
        values.append(found.value)
        draws = model.sample(3, generator=generator)
        assert draws[:, 0, 0, 0].eq(5 * a + b).all() and draws[:, 1, 3, 1].eq(5 * a + b).all()
    assert model.counted == 38
    torch.testing.assert_close(values[1], values[0] - 38 * math.log(30))
    deviations = [scale.standardize.scale.max().item() for scale in model.scales]
    assert deviations[0] > 1.5 * deviations[1]
    x[0, 1, 3, 1] += 1
    assert model.log_prob(30 * x[:1] + 700).value.item() == -math.inf


def test_probabilities_under_autocast_are_of_the_pixels_that_are_given(solve):
    """Rounded to 8 bits these would be others, of which log p is −∞."""
    space, generator = Space((1, 4, 4), "real"), torch.Generator().manual_seed(0)
    x = 700 + 30 * torch.randn(50, *space.shape, generator=generator)
    model = tiny(CNN, space).float()
    solve(model, x)
    with torch.autocast("cpu", torch.bfloat16):
        rough = model.loss(x[:4]).terms["nll"]
    torch.testing.assert_close(rough, model.loss(x[:4]).terms["nll"], rtol=0.05, atol=1)


def test_labels_are_told_to_the_smallest_image_alone(solve):
    space = Space((1, 2, 3), "binary", classes=3)
    model = tiny(CNN, space, conditional=True)
    assert [scale.space.given for scale in model.scales] == [None, (1, 1, 2)]
    shares = torch.stack([law(model, all_states(space), torch.tensor([k])) for k in range(3)])
    torch.testing.assert_close(shares.sum(1), torch.ones(3, dtype=F64))
    small = shares.view(3, 2, 2, 2, 8).sum((2, 4))  # x₁ is the first and third pixel
    assert (small[0] - small[1]).abs().max() > 0.01
    given = shares.view(3, 2, 2, 2, 8) / small[:, :, None, :, None]
    torch.testing.assert_close(given[0], given[2])
    x, c = all_states(space)[:8], torch.tensor([0, 0, 0, 1, 0, 0, 0, 0])
    solve(model, x, c)
    assert model.class_frequencies.tolist() == [7 / 8, 1 / 8, 0]
    assert model.sample(4, 1).shape == (4, *space.shape)


def test_all_scales_are_trained_by_one_descent_and_learn():
    stripes = torch.arange(8).view(1, 1, 8) % 4 < 2
    x = (stripes ^ (torch.arange(40).view(-1, 1, 1, 1) % 2 == 1)).expand(40, 1, 8, 8).double()
    data = rp.load_data({"train": x.numpy(), "valid": x[:4].numpy(), "test": x[:4].numpy()})
    model = rp.build(CNN, data.space, width=6, layers=1, first_kernel=3, seed=0)
    assert [scale.space.shape[1:] for scale in model.scales] == [(4, 4), (8, 8)]
    assert sum(isinstance(stage, Descend) for stage in model.stages) == 1
    rp.fit(model, data, epochs=40, batch_size=20, lr=0.03, progress=False)
    parts = model.log_prob(data.test.x).per_dimension
    assert parts is not None and parts[..., ::2, ::2].sum((1, 2, 3)).mean() > -3  # of 16 pixels
    assert parts.sum((1, 2, 3)).mean() > -6  # of 64, of which a bit is left to be said, 0.7 nats


@pytest.mark.parametrize(
    ("space", "parameters", "message"),
    [
        (
            Space((1, 8, 8), "binary"),
            {"scales": 5},
            "scales: expected at most 4 of .* 8 x 8",
        ),
        (
            Space((1, 1, 8), "binary"),
            {"scales": 2},
            "scales: expected at most 1 of .* 1 x 8",
        ),
        (Space((1, 8, 8), "binary"), {"given": "gray"}, "given: no parameter of"),
        (Space((9,), "binary"), {}, "expected images"),
    ],
)
def test_what_cannot_be_built_is_refused(space, parameters, message):
    with pytest.raises(ValueError, match=message):
        rp.build(CNN, space, **parameters)


def test_scales_that_do_not_follow_each_other_are_refused():
    space = Space((1, 4, 4), "binary")
    small = rp.build("gated-pixel-cnn", Space((1, 2, 2), "binary"), width=4, layers=0)
    plain = rp.build("gated-pixel-cnn", space, width=4, layers=0)
    third = rp.build("gated-pixel-cnn", space, width=4, layers=0, given="subsample:3")
    for scales, message in (
        ([third], "expected a first one to which nothing of x is given"),
        ([small, plain], r"subsample:2 of shape \(1, 2, 2\) .* got \(1, 4, 4\) with None"),
        ([small, third], "with subsample:3"),
    ):
        with pytest.raises(ValueError, match=f"^scales: .*{message}"):
            rp.MultiScaleAutoregressive(scales)


def test_a_smallest_image_that_never_varies_is_refused(solve):
    x = torch.randn(9, 1, 4, 4, dtype=F64)
    x[..., 0, 0] = 1.0
    with pytest.raises(ValueError, match="scales: the 1 x 1 pixels of the smallest .* fewer"):
        solve(tiny(CNN, Space((1, 4, 4), "real"), 3), x)


def test_draws_under_autocast_have_the_type_of_the_weights():
    """Features of a smaller image are rounded to bfloat16 there; no walk and no probability is."""
    model = rp.build("multi-scale-pixel-cnn", Space((1, 8, 8), "binary"), seed=0).eval()
    with torch.autocast("cpu", torch.bfloat16):
        x = model.sample(2, generator=torch.Generator().manual_seed(0))
        value = model.log_prob(x).value
    assert x.dtype == value.dtype == torch.float32
    # Parameters of each entry are rounded to 8 bits; so the sum is, to a part of its own.
    torch.testing.assert_close(value, model.log_prob(x).value, rtol=2**-8, atol=0)
