"""Completions: given entries stay as they are, the rest is drawn from its conditional."""

from __future__ import annotations

import math

import pytest
import torch
from autoregressive_models import DENSE, IMAGES, all_states, every, name_of, random_model
from frequencies import chi_square

from reparam.batching import rows_at_once
from reparam.model import Space

F64 = torch.float64


@every
def test_completions_keep_what_is_given_and_draw_the_rest_from_its_conditional(which):
    space = Space((1, 3, 3), "binary")
    model = random_model(which, space)
    top = torch.zeros(space.shape, dtype=torch.bool)
    top[:, 0], top[:, 1, 0] = True, True  # the first four entries
    given = torch.tensor([1.0, 0.0, 1.0, 1.0], dtype=F64)
    n = 5000
    x = torch.full((n, *space.shape), 7.0, dtype=F64).masked_scatter(
        top.expand(n, -1, -1, -1), given.repeat(n)
    )
    found = model.complete(x, top, generator=torch.Generator().manual_seed(1))
    assert torch.equal(found[:, top], x[:, top])
    if model.network.members > 1:
        return  # orders in which the given entries do not come first
    states = all_states(space)
    states = states[(states[:, top] == given).all(1)]
    probabilities = model.log_prob(states).value.exp().detach()
    code = 2.0 ** torch.arange(4, -1, -1, dtype=F64)
    counts = torch.bincount((found[:, ~top] @ code).long(), minlength=32)
    assert chi_square(counts, n * probabilities / probabilities.sum()) > 1e-4


@every
def test_channels_are_completed_given_those_before_them_in_their_pixel(which):
    space = Space((2, 1, 2), "binary")
    model = random_model(which, space)
    if model.network.members > 1:
        pytest.skip("orders in which the given channel does not come first")
    red = torch.tensor([True, False])[:, None, None].expand(space.shape).clone()
    red[:, :, 1] = False  # of the first pixel only
    n, states = 5000, all_states(space)
    for value in (0.0, 1.0):
        x = torch.full((n, *space.shape), value, dtype=F64)
        found = model.complete(x, red, generator=torch.Generator().manual_seed(3))
        same = states[:, 0, 0, 0] == value
        law = torch.where(same, model.log_prob(states).value.exp().detach(), 0.0)
        index = (found.flatten(1) @ torch.tensor([8.0, 4.0, 2.0, 1.0], dtype=F64)).long()
        assert chi_square(torch.bincount(index, minlength=16), n * law / law.sum()) > 1e-4


@every
def test_completions_of_any_mask_keep_the_given_bits_in_their_dtype(which):
    space = Space((3, 4, 5), "levels", 256)
    model = random_model(which, space)
    generator = torch.Generator().manual_seed(2)
    x = torch.randint(256, (4, *space.shape), generator=generator, dtype=torch.uint8)
    mask = torch.rand(x.shape, generator=generator) < 0.5
    found = model.complete(x, mask, generator=generator)
    assert found.dtype == torch.uint8
    assert torch.equal(found[mask], x[mask])
    assert not torch.equal(found[~mask], x[~mask])
    changed = torch.where(mask, x, 255 - x)  # what is not given is not looked at
    again = [
        model.complete(v, mask, generator=torch.Generator().manual_seed(4)) for v in (x, changed)
    ]
    assert torch.equal(*again)


@pytest.mark.parametrize(
    "kind,levels,dtype", [("real", None, torch.int64), ("levels", 300, torch.uint8)]
)
def test_completions_of_integers_that_cannot_hold_the_draws_are_floats(kind, levels, dtype):
    model = random_model(DENSE[0], Space((40,), kind, levels))
    with torch.no_grad():
        model.network.head.bias += 0.5  # upper levels, too
    x, mask = torch.full((20, 40), 3, dtype=dtype), torch.arange(40) < 20
    found = model.complete(x, mask, generator=torch.Generator().manual_seed(0))
    assert found.dtype == F64 and (found[:, mask] == 3).all()
    drawn = found[:, ~mask]
    assert (drawn != drawn.round()).all() if kind == "real" else drawn.max() > 255


@pytest.mark.parametrize("which", [DENSE[1], DENSE[4], IMAGES[0]], ids=name_of)
def test_many_examples_are_drawn_few_at_a_time(which, monkeypatch):
    """Caches of thousands of examples would fill the memory."""
    space = Space((1, 3, 3), "binary", classes=2)
    model = random_model(which, space, conditional=True)
    asked, generate = [], type(model.network).generate

    def counted(network, rows, *given):
        asked.append(rows)
        generate(network, rows, *given)

    monkeypatch.setattr(type(model.network), "generate", counted)
    n = 2 * rows_at_once(space) + 3
    labels = torch.arange(n) % 2
    x = model.sample(n, labels, generator=torch.Generator().manual_seed(0))
    assert sum(asked) == n and max(asked) <= rows_at_once(space)
    by_label = torch.stack([x[labels == c].mean(0) for c in range(2)])  # each row by its own
    law = torch.stack(
        [model.log_prob(all_states(space), torch.full((512,), c)).value.exp() for c in range(2)]
    )
    means = torch.einsum("cs,sd->cd", law, all_states(space).flatten(1))
    assert (by_label.flatten(1) - means).abs().max() < 5 * math.sqrt(0.25 / (n // 2))
    mask = torch.rand(n, *space.shape, generator=torch.Generator().manual_seed(1)) < 0.5
    found = model.complete(1 - x, mask, labels)
    assert torch.equal(found[mask], (1 - x)[mask]) and max(asked) <= rows_at_once(space)


def test_completions_refuse_other_masks():
    model = random_model(DENSE[0], Space((4,), "binary"))
    for mask in (
        torch.ones(4),
        torch.ones(5, dtype=torch.bool),
        torch.ones(2, 4, dtype=torch.bool),
    ):
        with pytest.raises(
            ValueError, match=r"mask: expected bool of shape \(4,\) or \(3, 4\), got"
        ):
            model.complete(torch.zeros(3, 4), mask)


def test_an_ensemble_completes_by_the_members_that_find_the_given_entries_probable():
    """p(rest | given) of the mean of probabilities weighs members by p_e(given), not equally."""
    space = Space((6,), "binary")
    model = random_model(("made", {"hidden": (9,), "masks": 4, "direct": False}), space)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)  # members that disagree
    top = torch.arange(6) < 3
    n, states = 8000, all_states(space)
    probabilities = model.log_prob(states).value.exp().detach()
    for given in states[::8, :3]:
        x = torch.full((n, 6), 7.0, dtype=F64)
        x[:, :3] = given
        found = model.complete(x, top, generator=torch.Generator().manual_seed(0))
        law = torch.where((states[:, :3] == given).all(1), probabilities, 0.0)
        counts = torch.bincount((found @ 2.0 ** torch.arange(5, -1, -1, dtype=F64)).long())
        counts = torch.nn.functional.pad(counts, (0, 64 - len(counts)))
        assert chi_square(counts, n * law / law.sum()) > 1e-4
