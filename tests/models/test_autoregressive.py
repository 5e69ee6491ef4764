"""Facts of every autoregressive model: normalized, causal, sampled as the naive sampler would."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from autoregressive_models import (
    DENSE,
    IMAGES,
    MODELS,
    all_states,
    every,
    every_and_codes,
    name_of,
    random_model,
)
from frequencies import chi_square
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import reparam as rp
from reparam.model import Space
from reparam.models import autoregressive
from reparam.models.autoregressive import Autoregressive
from reparam.nets import masked
from reparam.nets.autoregressive_network import raster_ranks

F64 = torch.float64
SMALL = [
    Space((1, 3, 3), "binary"),
    Space((9,), "binary"),
    Space((3, 1, 2), "binary"),
    Space((2, 2, 2), "binary"),
    Space((1, 2, 2), "levels", 3),
]


@every_and_codes
@pytest.mark.parametrize("space", SMALL, ids=lambda s: f"{s.kind}-{'x'.join(map(str, s.shape))}")
def test_probabilities_of_all_images_sum_to_one(which, space):
    if not space.is_image and which[0] in dict(IMAGES):
        pytest.skip("for images")
    model = random_model(which, space)
    found = model.log_prob(all_states(space))
    assert found.kind == "exact"
    assert found.value.exp().sum().item() == pytest.approx(1, abs=1e-9)
    assert found.value.exp().std() > 1e-4  # and not because it is uniform
    if found.per_dimension is not None:
        torch.testing.assert_close(found.per_dimension.flatten(1).sum(1), found.value)


@pytest.mark.parametrize("which", DENSE, ids=name_of)
def test_densities_of_real_data_integrate_to_one_in_data_units(which, solve):
    space = Space((2,), "real")
    model = random_model(which, space)
    generator = torch.Generator().manual_seed(0)
    x = 50 + 20 * torch.randn(100, 2, generator=generator, dtype=F64)
    solve(model, x)
    side = torch.linspace(-550, 650, 400, dtype=F64)  # 3 apart, ± 30 standard deviations
    grid = torch.cartesian_prod(side, side)
    total = model.log_prob(grid).value.exp().sum() * (side[1] - side[0]) ** 2
    # Smooth on this grid and nothing at its edges: the sum is the integral, all but exactly.
    assert total.item() == pytest.approx(1, abs=1e-6)


@every_and_codes
@pytest.mark.parametrize("shape", [(1, 5, 4), (3, 3, 2)], ids=str)
def test_no_factor_depends_on_a_later_entry(which, shape):
    """One pixel and channel changed: factors of all entries before it stay, its own does not."""
    space = Space(shape, "levels", 3)
    model = random_model(which, space)
    x = torch.randint(3, (1, *shape)).double()
    changed = x.flatten(1).repeat(space.dimension, 1)
    changed += torch.eye(space.dimension, dtype=F64)
    changed = (changed % 3).view(-1, *shape)
    ranks = raster_ranks(shape)
    with torch.no_grad():
        for member in range(model.network.members):
            if member % which[1].get("orders", 1):
                ranks = model.network.degrees[0][member]
            before, after = (
                model._factors(values, model._context(None, len(values)), member).flatten(1)
                for values in (x, changed)
            )
            same = torch.isclose(before, after, rtol=1e-12, atol=1e-13)  # row: the entry changed
            earlier = ranks[None, :] < ranks[:, None]
            assert same[earlier].all()
            assert not same.diagonal().any()
            assert not same[ranks[None, :] > ranks[:, None]].all()


@every
@pytest.mark.parametrize("shape", [(1, 3, 4), (3, 3, 2)], ids=str)
def test_no_parameter_depends_on_its_entry_or_on_later_ones(which, shape):
    space = Space(shape, "binary")
    network = random_model(which, space).network
    if network.whole_pixels:
        pytest.skip("pixels as a whole: the test of the factors is that of their channels")
    if which[1].get("inputs") == "one-hot":
        pytest.skip("no derivative by codes: the test of the factors changes them")
    x = torch.rand(1, *shape, dtype=F64)
    for member in range(network.members):
        jacobian = torch.autograd.functional.jacobian(lambda x, m=member: network(x, None, m), x)
        jacobian = jacobian.abs().reshape(-1, space.dimension, space.dimension).sum(0)
        ranks = raster_ranks(shape)
        if member % which[1].get("orders", 1):
            ranks = network.degrees[0][member]
        before = ranks[None, :] < ranks[:, None]
        assert (jacobian[~before] == 0).all()
        # What is allowed is used, but for blind spots, dead rectifiers and narrow layers.
        share = 0.8 if which[1].get("direct", which in DENSE) else 0.2
        assert (jacobian[before] > 0).double().mean() > share


def compare_with_full_passes(
    model: Autoregressive, rows: int, context: Tensor | None = None, member: int = 0
) -> tuple[float, Tensor]:
    """Sample from cached activations; at every step one full pass must give the same parameters.

    Returns the largest difference and the draws, of real data in standardized units.
    """
    network, space = model.network, model.space
    scaled = (lambda x: x) if space.kind == "real" else model.standardize.scaled
    values = torch.zeros(rows, *space.shape, dtype=model.anchor.dtype)
    layout = (rows, space.shape[0], -1) if network.whole_pixels else (rows, -1)
    generator = torch.Generator().manual_seed(7)
    worst, asked = 0.0, torch.zeros(values.view(layout).shape[-1])

    def draw(parameters: Tensor, sites: slice) -> Tensor:
        nonlocal worst
        full = network(scaled(values), context, member)
        full = full.reshape(rows, parameters.shape[1], -1)[..., sites]
        assert parameters.shape == full.shape
        worst = max(worst, ((parameters - full).abs() / (1 + full.abs())).max().item())
        naive = model.p_x.distribution(full).sample(generator)
        values.view(layout)[..., sites] = naive
        asked[sites] += 1
        return scaled(naive)

    with torch.no_grad():
        network.generate(rows, draw, context, member)
    assert (asked == 1).all()
    return worst, values


def sampled(model: Autoregressive, rows: int) -> Tensor:
    """What ``sample`` gives under the same noise as ``compare_with_full_passes``."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        return model.walk(rows, lambda p, sites: p.rsample(generator))


@every_and_codes
@pytest.mark.parametrize(
    "space",
    [Space((1, 6, 5), "binary"), Space((3, 3, 4), "levels", 4)],
    ids=lambda s: f"{s.kind}-{'x'.join(map(str, s.shape))}",
)
@pytest.mark.parametrize("rows", [1, 6])
def test_cached_samples_are_the_naive_ones(which, space, rows):
    model = random_model(which, space)
    worst, naive = compare_with_full_passes(model, rows)
    assert worst < 1e-12
    assert torch.equal(sampled(model, rows), naive)
    for member in range(1, model.network.members):
        assert compare_with_full_passes(model, rows, None, member)[0] < 1e-12
    if rows == 1:
        assert compare_with_full_passes(model.float(), rows)[0] < 1e-5


@pytest.mark.parametrize(
    "which", [w for w in MODELS if w[0] != "pixel-cnn++" and "inputs" not in w[1]], ids=name_of
)
@pytest.mark.parametrize("shape", [(1, 4, 5), (3, 3, 2)], ids=str)
def test_cached_samples_of_real_images_are_the_naive_ones_in_data_units(which, shape):
    model = random_model(which, Space(shape, "real"))
    model.standardize.shift.fill_(100)
    model.standardize.scale.copy_(2 + torch.arange(shape[0]).view(-1, 1, 1))
    worst, naive = compare_with_full_passes(model, 4)
    assert worst < 1e-12
    torch.testing.assert_close(sampled(model, 4), 100 + model.standardize.scale * naive)


@every
def test_samples_come_as_often_as_they_are_probable(which):
    space = Space((1, 2, 3), "binary")
    model = random_model(which, space)
    n = 10_000  # some hundred of each of the 64 images: probabilities off by a tenth are seen
    x = model.sample(n, generator=torch.Generator().manual_seed(5))
    index = (x.flatten(1) @ (2.0 ** torch.arange(5, -1, -1, dtype=F64))).long()
    counts = torch.bincount(index, minlength=64)
    expected = n * model.log_prob(all_states(space)).value.exp().detach()
    assert chi_square(counts, expected) > 1e-4


@every
def test_samples_under_autocast_are_those_without_it(which):
    """A walk is never rounded to bfloat16: its buffers are of one type, and cheap to fill."""
    model = random_model(which, Space((1, 2, 3), "binary")).float()
    plain = model.sample(50, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model.sample(50, generator=torch.Generator().manual_seed(0))
    assert torch.equal(plain, rounded)


@pytest.mark.parametrize(
    "shape,context,conditional", [((2, 3), 0, False), ((6,), 3, False), ((6,), 0, True)]
)
def test_networks_of_other_data_or_conditions_are_refused(shape, context, conditional):
    """A network without a context would be conditional on nothing, and say nothing of it."""
    space = Space((6,), "binary", classes=3)
    network = rp.MADE(shape if len(shape) == 1 else (1, *shape), 1, (4,), context=context)
    with pytest.raises(ValueError, match=r"network: expected one of x \(6,\) with a context of"):
        Autoregressive(space, network, rp.Bernoulli(space), conditional)


@every
def test_labels_are_used_and_with_their_weights_at_zero_leave_the_model_as_it_was(which):
    space = Space((1, 3, 3), "binary", classes=3)
    plain = random_model(which, space)
    model = random_model(which, space, conditional=True)
    missing, unexpected = model.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected
    weights = {n: p for n, p in model.named_parameters() if n in missing}
    assert weights and set(missing) == {*weights, "frequencies"}
    x = all_states(space)
    labels = [torch.full((512,), c) for c in range(3)]
    values = torch.stack([model.log_prob(x, c).value for c in labels])
    torch.testing.assert_close(values.exp().sum(1), torch.ones(3, dtype=F64))
    assert (values[0] - values[1]).abs().min() > 1e-6
    rows = 4
    context = torch.nn.functional.one_hot(torch.tensor([2, 0, 1, 2]), 3).double()
    assert compare_with_full_passes(model, rows, context)[0] < 1e-12
    with torch.no_grad():
        for weight in weights.values():
            weight.zero_()
    torch.testing.assert_close(model.log_prob(x, labels[1]).value, plain.log_prob(x).value)


def test_labels_are_drawn_as_often_as_in_training(solve):
    space = Space((4,), "binary", classes=3)
    model = random_model(("fvbn", {}), space, conditional=True)
    c = torch.tensor([0] * 6 + [2] * 2)
    solve(model, torch.zeros(8, 4), c)
    assert model.frequencies.tolist() == [0.75, 0, 0.25]
    drawn = model.draw_condition(4000, torch.Generator().manual_seed(0))
    assert (drawn == 1).sum() == 0
    assert abs((drawn == 0).double().mean() - 0.75) < 4 * math.sqrt(0.75 * 0.25 / 4000)


# ------------------------------------------------------------------------- of single models


def test_nade_is_its_naive_form():
    space = Space((7,), "binary")
    model = random_model(("nade", {"hidden": 4}), space)
    network: Any = model.network
    w, c = network.weight.detach().numpy(), network.hidden_bias.detach().numpy()
    v, b = network.out_weight.detach().numpy()[:, 0], network.out_bias.detach().numpy()[:, 0]
    x = all_states(space)
    expected = []
    for row in x.numpy():
        total = 0.0
        for i in range(7):
            hidden = 1 / (1 + np.exp(-(c + row[:i] @ w[:i])))
            p = 1 / (1 + np.exp(-(b[i] + v[i] @ hidden)))
            total += math.log(p if row[i] else 1 - p)
        expected.append(total)
    torch.testing.assert_close(model.log_prob(x).value, torch.tensor(expected, dtype=F64))


class Largest(TorchDispatchMode):
    """The most numbers of any tensor that is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **kwargs or {})
        for value in tree_leaves(found):
            if isinstance(value, Tensor):
                self.numbers = max(self.numbers, value.numel())
        return found


@pytest.mark.parametrize("conditional", [False, True])
def test_nade_without_gradients_keeps_the_sums_of_few_rows(conditional, monkeypatch):
    space = Space((7,), "binary", classes=2)
    model = random_model(("nade", {"hidden": 4}), space, conditional=conditional)
    monkeypatch.setattr(masked, "SUMS_AT_ONCE", 10 * 7 * 4)
    x = all_states(space)
    c = torch.arange(128) % 2 if conditional else None
    with torch.no_grad(), Largest() as largest:
        found = model.log_prob(x, c).value
    assert largest.numbers <= max(10 * 7 * 4, x.numel())
    torch.testing.assert_close(found, model.log_prob(x, c).value.detach())


@pytest.mark.parametrize("which", [DENSE[4], IMAGES[0]], ids=name_of)
@pytest.mark.parametrize("conditional", [False, True])
def test_likelihoods_without_gradients_keep_the_parameters_of_few_rows(
    which, conditional, monkeypatch
):
    """256 numbers per entry of hundreds of color images would be gigabytes."""
    space = Space((1, 2, 2), "levels", 256, classes=2)
    model = random_model(which, space, conditional=conditional, likelihood="categorical")
    monkeypatch.setattr(autoregressive, "NUMBERS_AT_ONCE", 5 * 4 * 256)
    x = torch.randint(256, (32, *space.shape), generator=torch.Generator().manual_seed(0))
    c = torch.arange(32) % 2 if conditional else None
    with torch.no_grad(), Largest() as largest:
        found = model.log_prob(x, c)
    # Masked weights are tensors of their own, and larger than these few rows.
    assert largest.numbers <= max(5 * 4 * 256, *(p.numel() for p in model.parameters()))
    known = model.log_prob(x, c)
    torch.testing.assert_close(found.value, known.value.detach())
    if known.per_dimension is not None:
        torch.testing.assert_close(found.per_dimension, known.per_dimension.detach())


def test_fvbn_is_a_logistic_regression_of_every_entry_on_those_before():
    space = Space((5,), "binary")
    model = random_model(("fvbn", {}), space)
    weight, bias = model.network.head.weight.detach(), model.network.head.bias.detach()
    x = all_states(space)
    logits = x @ weight.tril(-1).T + bias
    expected = torch.distributions.Bernoulli(logits=logits).log_prob(x).sum(1)
    torch.testing.assert_close(model.log_prob(x).value, expected)


@pytest.mark.parametrize(
    "which", [DENSE[0], ("pixel-cnn++", {"width": 3, "blocks": 1})], ids=name_of
)
def test_a_walk_hands_out_the_distributions_of_its_own_choices(which):
    """Their log-probabilities of what a visitor chose at each site sum to that of the whole."""
    model = random_model(which, Space((3, 4, 2), "levels", 4))
    given = torch.randint(4, (5, 3, 4, 2), generator=torch.Generator().manual_seed(1)).to(F64)
    chosen, total = given.view(model.network.layout(5)), torch.zeros(5, dtype=F64)

    def visit(p: Any, sites: slice) -> Tensor:
        value = chosen[..., sites]
        total.add_(p.log_prob_terms(value).sum(1))
        return value

    assert torch.equal(model.walk(5, visit), given)
    torch.testing.assert_close(total, model.log_prob(given).value)


def test_an_ensemble_is_the_mean_of_the_probabilities_of_its_members():
    space = Space((6,), "binary")
    model = random_model(("made", {"hidden": (9,), "orders": 4, "direct": False}), space)
    x = all_states(space)
    members = []
    for member in range(4):
        logits = model.network(x, None, member).squeeze(1)
        members.append(torch.distributions.Bernoulli(logits=logits).log_prob(x).sum(1))
    members = torch.stack(members)
    torch.testing.assert_close(members.exp().sum(1), torch.ones(4, dtype=F64))
    mean = members.exp().mean(0)
    torch.testing.assert_close(model.log_prob(x).value.exp(), mean)
    assert (members.mean(0).exp() - mean).abs().max() > 1e-4
    assert model.log_prob(x).per_dimension is None


def test_samples_of_a_conditional_ensemble_go_with_their_labels():
    """Logits of ±50 by the label alone: a row that is moved to another's place shows."""
    space, which = Space((6,), "binary", classes=2), ("made", {"hidden": (9,), "masks": 4})
    model = random_model(which, space, conditional=True)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.network.context[-1].weight.copy_(torch.tensor([[-50.0, 50.0]]).expand(6, 2))
    c = torch.randint(2, (64,), generator=torch.Generator().manual_seed(0))
    drawn = model.sample(64, c, generator=torch.Generator().manual_seed(1))
    assert torch.equal(drawn, c[:, None].expand(64, 6).to(drawn))


def test_members_are_trained_in_turn():
    space = Space((6,), "binary")
    model = random_model(("made", {"hidden": (9,), "orders": 3}), space).train()
    x = all_states(space)
    for step in range(7):
        loss = model.loss(x)
        logits = model.network(x, None, step % 3).squeeze(1)
        nll = -torch.distributions.Bernoulli(logits=logits).log_prob(x).sum(1)
        torch.testing.assert_close(loss.terms["nll"], nll)
        model.after_step(loss)


def test_masks_of_made_let_every_path_go_forward():
    """Germain et al., eq. 10: the product of the masks counts paths, none to an earlier entry."""
    network = rp.MADE((8,), 1, (13, 11), orders=2, masks=3)
    assert network.members == 3
    connections = set()
    for member in range(3):
        paths = (
            network.head.masks[member]
            @ network.layers[1].masks[member]
            @ network.layers[0].masks[member]
        )
        ranks = network.degrees[0][member]
        order = ranks.argsort()
        assert (paths[order][:, order].triu() == 0).all()
        assert (paths > 0).sum() > 10
        connections.add(tuple(network.layers[0].masks[member].flatten().tolist()))
    assert len(connections) == 3


@pytest.mark.parametrize("bad", [{"orders": 0}, {"masks": -1}, {"hidden": (3, 0)}])
def test_made_refuses_empty_parts(bad):
    with pytest.raises(ValueError, match=f"{next(iter(bad))}: expected .* of at least 1"):
        rp.build("made", Space((4,), "binary"), **bad)


@pytest.mark.parametrize(
    "name,bad",
    [
        ("pixel-cnn", {"layers": -1}),
        ("gated-pixel-cnn", {"layers": -1}),
        ("pixel-rnn", {"layers": -1}),
        ("pixel-rnn", {"first_kernel": 1}),  # every pixel on its own, and no word of it
        ("image-transformer", {"layers": -1}),
        ("image-transformer", {"width": 0}),
        ("pixel-vae", {"features": 0}),
    ],
    ids=str,
)
def test_sizes_that_make_no_network_are_refused_by_name(name, bad):
    with pytest.raises(
        ValueError, match=f"{next(iter(bad))}: expected .* got {next(iter(bad.values()))}"
    ):
        rp.build(name, Space((1, 4, 4), "binary"), **bad)


def test_training_beats_independent_entries(solve):
    """Rows that repeat their first half: independent entries cost 8 ln 2, half of it is enough."""
    generator = torch.Generator().manual_seed(0)
    half = torch.randint(2, (400, 4), generator=generator)
    x = torch.cat([half, half], 1)
    for which in DENSE:
        torch.manual_seed(0)
        wide = {"hidden": (40, 30)} if which[1].get("hidden") == (11, 9) else {}
        model = rp.build(which[0], Space((8,), "binary"), **which[1] | wide).train()
        optimizer = torch.optim.Adam(model.parameters(), 0.05)
        for _ in range(150):
            loss = model.loss(x)
            optimizer.zero_grad()
            loss.objective.backward()
            optimizer.step()
            model.after_step(loss)
        nll = -model.eval().log_prob(x).value.mean().item()
        assert nll < 6 * math.log(2), which
