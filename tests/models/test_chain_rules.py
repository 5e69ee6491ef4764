"""Chain rules: the product of the conditionals along a model's walk is its density."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from autoregressive_models import all_states
from torch import Tensor
from walking import (
    HOUSES,
    B,
    along,
    bits,
    check,
    drawn,
    numbers,
    scattered,
    total,
)

import reparam as rp
from reparam.chain_rule import ChainRule
from reparam.model import Space

BINARY, SIX = Space((1, 3, 3), "binary"), Space((1, 3, 4), "levels", 6)
RGB, VECTOR = Space((3, 3, 2), "levels", 5), Space((4,), "levels", 3)
LABELED = Space((1, 3, 3), "levels", 4, classes=3)
DESCRIBED = Space((4,), "binary", attributes=2)
CONVOLVED = {"width": 3, "layers": 1, "first_kernel": 3}
MODELS: list[tuple[str, Space, dict[str, Any]]] = [
    ("fvbn", VECTOR, {}),
    ("made", BINARY, {"hidden": (8,)}),
    ("made", HOUSES, {"hidden": (8,)}),
    ("made", DESCRIBED, {"hidden": (8,), "conditional": True}),
    ("nade", HOUSES, {"hidden": 6}),
    ("nade", VECTOR, {"hidden": 6, "inputs": "one-hot"}),
    ("pixel-cnn", SIX, CONVOLVED),
    ("pixel-cnn", LABELED, CONVOLVED | {"conditional": True}),
    ("pixel-cnn", SIX, CONVOLVED | {"likelihood": "categorical", "inputs": "one-hot"}),
    ("pixel-cnn", SIX, CONVOLVED | {"given": "subsample:2"}),
    ("pixel-cnn", RGB, CONVOLVED | {"given": "gray"}),
    ("gated-pixel-cnn", RGB, CONVOLVED | {"given": "downscale:2"}),
    ("gated-pixel-cnn", RGB, CONVOLVED | {"given": "mask:half"}),
    ("gated-pixel-cnn", LABELED, CONVOLVED | {"conditional": True}),
    ("pixel-cnn++", RGB, {"width": 2, "blocks": 1, "scales": 1, "components": 2}),
    (
        "pixel-cnn++",
        RGB,
        {"width": 2, "blocks": 1, "scales": 1, "components": 2, "given": "mask:random"},
    ),
    ("pixel-rnn", RGB, {"width": 3, "layers": 1, "first_kernel": 3}),
    ("pixel-rnn", BINARY, {"width": 3, "layers": 1, "first_kernel": 3, "recurrence": "row"}),
    ("image-transformer", RGB, {"width": 4, "layers": 1, "heads": 2}),
    ("image-transformer", HOUSES, {"width": 4, "layers": 1, "heads": 2}),
    ("image-transformer", SIX, {"width": 4, "layers": 1, "heads": 2, "given": "mask:half"}),
    ("multi-scale-pixel-cnn", RGB, CONVOLVED | {"scales": 2}),
    ("multi-scale-pixel-cnn", SIX, CONVOLVED | {"scales": 3}),
    ("multi-scale-pixel-cnn", LABELED, CONVOLVED | {"scales": 2, "conditional": True}),
    ("multi-scale-pixel-rnn", BINARY, CONVOLVED | {"scales": 2}),
]


def built(name: str, space: Space, options: dict[str, Any]) -> Any:
    torch.manual_seed(0)
    return scattered(rp.build(name, space, **options))


def condition(model: Any, x: Tensor) -> Tensor | None:
    if not model.conditional:
        return None
    if model.space.attributes:
        return numbers(len(x), model.space.attributes)
    if model.space.given is None:
        return torch.arange(len(x)) % (model.space.classes or 1)
    return model.told(x, None)


@pytest.mark.parametrize("name, space, options", MODELS)
@torch.no_grad()
def test_models_that_are_chains_of_conditionals_walk_to_their_density(name, space, options):
    model = built(name, space, options)
    assert isinstance(model, ChainRule)
    x = model.sample(B, generator=torch.Generator().manual_seed(0)).double()
    c = condition(model, x)
    p = model.distribution(B, c)
    leaves = check(p, x, model.log_prob(x, c).value)
    coded = sum(leaf.values[0].numel() for leaf in leaves)
    assert model.counted <= coded <= space.dimension
    torch.testing.assert_close(p.log_prob(x), model.log_prob(x, c).value)
    again = drawn(p)
    assert model.log_prob(again, c).value.isfinite().all()


@torch.no_grad()
def test_the_products_of_all_images_on_two_scales_sum_to_1():
    space = Space((1, 2, 3), "binary")
    model = built("multi-scale-pixel-cnn", space, CONVOLVED | {"scales": 2})
    states = all_states(space)
    found, leaves = along(model.distribution(len(states)), states)
    assert torch.equal(found, states)
    assert total(leaves, len(states)).exp().sum().item() == pytest.approx(1, abs=1e-10)
    # Pixels of the small image are visited there alone, but those that come with new ones.
    assert sum(leaf.values[0].numel() for leaf in leaves) <= space.dimension


@pytest.mark.parametrize("kind", ["levels", "real"])
@torch.no_grad()
def test_draws_of_the_distribution_are_those_of_the_model(kind):
    """Of real x, too, which has no walk: what is drawn knows of what is given."""
    space = Space((1, 3, 4), kind, 6 if kind == "levels" else None)
    model = built("pixel-cnn", space, CONVOLVED | {"given": "subsample:2"})
    if kind == "real":
        model.standardize.scale.fill_(3.0)
        model.standardize.shift.fill_(-1.0)
    c = numbers(B, *model.space.given) if kind == "real" else 2 * bits(B, *model.space.given)
    p = model.distribution(B, c)
    x = p.sample(torch.Generator().manual_seed(0))
    drawn_by_it = model.sample(B, c, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(x, drawn_by_it)
    torch.testing.assert_close(p.log_prob(x), model.log_prob(x, c).value)
    assert torch.equal(x[..., ::2, ::2], c)


def test_ensembles_have_no_order_to_walk_in():
    model = built("made", VECTOR, {"hidden": (8,), "orders": 2})
    with pytest.raises(ValueError, match="orders"):
        model.distribution(B)


def test_a_condition_is_asked_for_and_what_is_left_of_x_is_not_made_of_it():
    for name, space, options in (
        ("pixel-cnn", LABELED, CONVOLVED | {"conditional": True}),
        ("pixel-cnn", SIX, CONVOLVED | {"given": "subsample:2"}),
    ):
        with pytest.raises(ValueError, match="^c: expected"):
            built(name, space, options).distribution(B)


@torch.no_grad()
def test_real_entries_that_depend_on_each_other_are_refused():
    space = Space((2,), "real")
    model = rp.build("made", space, hidden=(4,))
    model.standardize.scale.fill_(3.0)
    with pytest.raises(ValueError, match="standardized units"):
        model.distribution(B).walk(lambda p, sites: p.center)
