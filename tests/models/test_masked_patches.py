"""Masked autoencoders: what is hidden is not seen, what is visible is no target."""

from __future__ import annotations

import itertools
import re

import pytest
import torch
from torch import Tensor, nn

import reparam as rp
from reparam import numerics
from reparam.model import Batch
from reparam.models.masked_patches import hidden_places
from reparam.nets.patches import Patches

SMALL = {"width": 8, "layers": 2, "heads": 2}
BOTH = pytest.mark.parametrize("name", ["mae", "simmim"])
DIGITS = rp.Space((1, 8, 8), "levels", levels=17)


def random_x(n: int = 6, shape: tuple[int, ...] = (1, 8, 8), levels: int = 17) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(levels, (n, *shape), generator=generator).double()


def small(name: str, space: rp.Space = DIGITS, **parameters: object) -> rp.MaskedAutoencoder:
    return rp.build(name, space, seed=0, **SMALL | parameters).double().eval()


class Outputs(nn.Module):
    """In place of an encoder: tokens that do not depend on x."""

    def forward(self, patches: Tensor, hidden: Tensor | None, visible: int | None) -> Tensor:
        return torch.zeros_like(patches)


class Linear(nn.Module):
    """One number a patch, and a linear map of those that are seen, the same for every mask."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.map = nn.Linear(count, count, bias=False)

    def forward(self, patches: Tensor, hidden: Tensor | None, visible: int | None) -> Tensor:
        return self.map(patches[..., 0])[..., None]


def each_mask(patch: pytest.MonkeyPatch, masks: Tensor) -> None:
    """For ``numerics.noise``: row i hides where masks (rows, N) says."""
    patch.setattr(numerics, "noise", lambda like, *_: (~masks).to(like))


# ------------------------------------------------------------------------------ what is seen


@BOTH
def test_hidden_entries_are_not_seen(name):
    model, x = small(name), random_x()
    hidden = torch.rand(6, 16, generator=torch.Generator().manual_seed(1)) < 0.5
    other = model.patches.inverse(torch.where(hidden[..., None], 16.0 - model.patches(x), 0.0))
    where = model.patches.inverse(hidden[..., None].expand(-1, -1, 4))
    changed = torch.where(where, other, x)
    assert not torch.equal(changed, x)
    assert torch.equal(model.predicted_patches(x, hidden), model.predicted_patches(changed, hidden))
    missing = torch.where(where, torch.nan, x)
    first = torch.tensor([True, False, False, False])  # one entry of each hidden patch is enough
    holes = model.patches.inverse(hidden[..., None] & first)
    for there in (x, changed):
        partly = torch.where(holes, torch.nan, there)
        assert torch.equal(model.reconstruct(partly), model.reconstruct(missing))
        assert torch.equal(model.attention(partly), model.attention(missing))
    wanted = model.patches.inverse(model.predicted_patches(x, hidden)) * 16
    torch.testing.assert_close(model.reconstruct(missing), wanted, rtol=1e-12, atol=1e-12)


@BOTH
def test_the_loss_sees_no_hidden_entry_and_no_visible_target(name, monkeypatch):
    """The predictions of the loss by the hidden inputs; its value, of constant predictions, by the
    visible ones."""
    model, x = small(name), random_x()
    masks = torch.zeros(6, 16, dtype=torch.bool)
    masks[:, : model.hidden_places] = True
    each_mask(monkeypatch, masks)
    seen: list[Tensor] = []
    model.decoder.register_forward_hook(lambda module, inputs, output: seen.append(output))
    hidden = model.patches.inverse(masks[..., None].expand(-1, -1, 4))
    first = model.loss(x).objective
    other = model.loss(torch.where(hidden, 16 - x, x)).objective
    assert first != other
    assert torch.equal(seen[0], seen[1])
    model.encoder, model.decoder = Outputs(), nn.Identity()
    first = model.loss(x).terms["masked_error"]
    assert torch.equal(model.loss(torch.where(hidden, x, 16 - x)).terms["masked_error"], first)
    assert not torch.equal(model.loss(torch.where(hidden, 16 - x, x)).objective, first.mean())


def test_rows_that_hide_as_many_patches_pass_a_shorter_way():
    """The same tokens as where the blocks see all places and attention leaves hidden ones out."""
    model, x, generator = small("mae"), random_x(), torch.Generator().manual_seed(2)
    order = torch.rand(6, 16, generator=generator).argsort(1)
    hidden = order < 12
    patches = model.patches(x / 16)
    short, long = (model.encoder(patches, hidden, visible) for visible in (4, None))
    torch.testing.assert_close(short, long, rtol=1e-12, atol=1e-12)


@BOTH
def test_the_loss_sees_nothing_of_a_patch_with_a_missing_entry(name, monkeypatch):
    model, x = small(name), random_x()
    masks = torch.zeros(6, 16, dtype=torch.bool)
    masks[:, -model.hidden_places :] = True  # the first patch is visible otherwise
    each_mask(monkeypatch, masks)
    seen: list[Tensor] = []
    model.decoder.register_forward_hook(lambda module, inputs, output: seen.append(output))
    x[:, 0, 0, 0] = torch.nan
    other = x.clone()
    other[:, 0, 1, 1] = 16 - x[:, 0, 1, 1]
    first, second = (model.loss(one).terms["masked_error"] for one in (x, other))
    assert torch.equal(*seen) and not torch.equal(first, second)  # what is known of it is a target


@BOTH
def test_tokens_of_hidden_patches_learn(name):
    model = small(name)
    model.loss(random_x()).objective.backward()
    assert model.encoder.mask_token.grad.abs().max() > 0


@BOTH
def test_rows_of_which_nothing_is_left_are_predicted_all_the_same(name):
    model, x = small(name), random_x(3)
    x[1] = torch.nan
    x[2, 0, 0, 0] = torch.nan
    found = model.reconstruct(x)
    assert found.isfinite().all()
    torch.testing.assert_close(found[:1], model.reconstruct(x[:1]), rtol=1e-12, atol=1e-12)
    assert model.loss(x).terms["masked_error"].isfinite().all()
    assert model.loss(x).terms["masked_error"][1] == 0  # nothing is known of it


# ----------------------------------------------------------------------------- how much is hidden


@pytest.mark.parametrize(
    ("ratio", "places", "hidden"), [(0.9, 10, 9), (0.9, 100, 90), (0.75, 49, 37), (0.5, 2, 1)]
)
def test_the_number_hidden_is_rounded(ratio, places, hidden):
    assert hidden_places(ratio, places) == hidden


@pytest.mark.parametrize(
    ("ratio", "places", "said"),
    [
        (0.99, 16, "16 patches .* hides 16; take one between 0.04 and 0.96"),
        (0.01, 16, "hides 0; take one"),
        (0.5, 1, "1 patch at least and leave one visible, got 0.5, which hides 0; make patches"),
    ],
)
def test_ratios_that_hide_all_or_none_are_refused(ratio, places, said):
    with pytest.raises(ValueError, match=rf"^ratio: .*{said}"):
        hidden_places(ratio, places)


@pytest.mark.parametrize("places", [2, 5, 10, 16, 50, 500])
def test_the_ratios_that_a_refusal_names_are_taken(places):
    with pytest.raises(ValueError, match="take one") as refused:
        hidden_places(1e-6, places)
    least, most = re.findall(r"between (\S+) and (\S+)$", str(refused.value))[0]
    for ratio in (float(least), float(most)):
        assert 1 <= hidden_places(ratio, places) < places


def test_every_patch_is_hidden_as_often_as_any_other():
    model, n = small("mae"), 10_000
    torch.manual_seed(0)
    hidden = model.hide(torch.zeros(n, 1, 8, 8), 0.75).isnan()
    counts = model.patches(hidden.double()).mean(2)
    assert (counts.sum(1) == 12).all()  # whole patches, 12 of 16
    share = counts.mean(0)
    # 16 patches at 4 standard errors: a false alarm in a thousand seeds.
    assert (share - 0.75).abs().max() < 4 * (0.75 * 0.25 / n) ** 0.5


def test_noise_hides_one_at_least_and_never_all():
    model, x = small("mae"), random_x()
    noise = model.noise
    for level, patches in ((0.0, 0), (0.001, 1), (0.5, 8), (noise.strongest, 15), (1.0, 15)):
        hidden = model.patches(noise.corrupt(x, level).isnan().double()).mean(2)
        assert (hidden.sum(1) == patches).all()
    assert noise.hides
    assert torch.equal(noise.corrupt(x.long(), 0.0), x.float().double())


def test_tubes_hide_the_same_place_in_all_frames():
    space, parameters = rp.Space((5, 8, 8), "levels", levels=17), {"patch": "2x4x4", "ratio": 0.5}
    x = random_x(20, (5, 8, 8))
    torch.manual_seed(0)
    tubes = small("mae", space, **parameters).hide(x, 0.5).isnan()
    assert (tubes == tubes[:, :1]).all()
    assert (tubes[:, 0].double().mean((1, 2)) == 0.5).all()
    single = small("mae", space, tubes=False, **parameters).hide(x, 0.5).isnan()
    assert not (single == single[:, :1]).all()


# ------------------------------------------------------------------------------------- the error


class Padded(nn.Module):
    """In place of a decoder: x of ones, and what is no part of x far away."""

    def __init__(self, patches: Patches) -> None:
        super().__init__()
        self.inside = patches(torch.ones(1, *patches.shape, dtype=torch.float64))

    def forward(self, tokens: Tensor) -> Tensor:
        return torch.where(self.inside == 1, 1.0, 1e6).expand(len(tokens), -1, -1)


@pytest.mark.parametrize(("error", "wanted"), [("squared", 0.25), ("absolute", 0.5)])
def test_padding_and_constants_never_count(error, wanted):
    space = rp.Space((1, 5, 5), "levels", levels=3)
    patches = Patches(space.shape, (1, 2, 2))
    model = rp.MaskedAutoencoder(space, patches, Outputs(), Padded(patches), 4, 0.5, error)
    loss = model.double().loss(torch.ones(3, 1, 5, 5))  # of 0.5 in network units
    assert torch.equal(loss.terms["masked_error"], torch.full((3,), wanted).double())


class Constants(nn.Module):
    """In place of a decoder: what is right of entries that vary, and far off of constants."""

    def __init__(self, right: Tensor, off: Tensor) -> None:
        super().__init__()
        self.predicted = right + 1e6 * off + 1

    def forward(self, tokens: Tensor) -> Tensor:
        return self.predicted


def test_constants_never_count_and_are_never_hidden():
    space, x = rp.Space((1, 4, 4), "real"), torch.randn(7, 1, 4, 4, dtype=torch.float64)
    x[:, 0, :2] = torch.arange(4.0).double()  # the first two patches have nothing else
    x[:, 0, 3, 3] = 9
    patches = Patches(space.shape, (1, 2, 2))
    model = rp.MaskedAutoencoder(space, patches, Outputs(), nn.Identity(), 4, 0.75).double()
    for stage in model.stages[:-1]:
        stage.solve(model, [Batch(x)])
    same = patches((x == x[:1]).all(0, keepdim=True).double())
    assert same.sum() == 9
    model.decoder = Constants(patches(model.standardize.scaled(x)), same)
    error = model.loss(x).terms["masked_error"]  # three of four patches: one varies at least
    torch.testing.assert_close(error, torch.ones(7).double())
    assert not (model.hide(x, 0.75).isnan() & (x == x[:1]).all(0)).any()


def test_a_constant_image_is_predicted_exactly_at_the_optimum():
    model, x = small("mae"), torch.full((5, 1, 8, 8), 4.0).double()
    with torch.no_grad():
        model.decoder.head.weight.zero_()
        model.decoder.head.bias.fill_(4 / 16)
    loss = model.loss(x)
    loss.objective.backward()
    assert loss.objective == 0
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())
    assert torch.equal(model.reconstruct(x), x)


def test_normalized_targets_have_no_mean_and_no_deviation_and_constant_patches_are_zero():
    model = small("mae", normalize_target=True)
    x = random_x()
    x[:, :, :2, :2] = 5
    target = model._target(model.patches(x / 16), None)
    assert torch.equal(target[:, 0], torch.zeros(6, 4).double())
    torch.testing.assert_close(target.mean(2), torch.zeros(6, 16).double(), rtol=0, atol=1e-12)
    # σ/√(σ² + 1e-6) of a variance of 1/256/4 at least is off by less than 1e-3.
    torch.testing.assert_close(
        target[:, 1:].std(2, correction=0), torch.ones(6, 15).double(), rtol=0, atol=1e-3
    )
    assert not isinstance(model, rp.Codec)  # its output is no picture
    model.loss(x).objective.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_normalized_targets_do_not_see_padding():
    model = small("mae", rp.Space((1, 7, 7), "levels", levels=17), patch=2, normalize_target=True)
    x = random_x(6, (1, 7, 7))
    target = model._target(model.patches(x / 16), None)[:, 3]  # two pixels, and two of padding
    pixels = x[:, 0, :2, 6] / 16
    wanted = (pixels - pixels.mean(1, keepdim=True)) / (
        pixels.var(1, correction=0, keepdim=True) + 1e-6
    ).sqrt()
    torch.testing.assert_close(target[:, [0, 2]], wanted)
    assert not target[:, [1, 3]].any()


@pytest.mark.parametrize("correlation", [0.3, 0.6, 0.9])
def test_a_linear_model_of_normal_data_finds_the_best_map_that_masks_share(
    correlation, monkeypatch
):
    """x̂_i = w_iᵀ x_V with one w_i for all masks that hide i: Q_i w_i = r_i, where Q_i sums the
    covariances of what these leave visible, and r_i those with x_i. A map for each mask would
    reach the conditional variance, which is lower."""
    index = torch.arange(4).double()
    covariance = correlation ** (index[:, None] - index).abs()
    masks = torch.tensor(
        [[i in pair for i in range(4)] for pair in itertools.combinations(range(4), 2)]
    )
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = x - x.mean(0)
    x = x @ torch.linalg.cholesky(x.T @ x / 50).inverse().T  # of covariance 1 to rounding
    x = x @ torch.linalg.cholesky(covariance).T
    space = rp.Space((4,), "real")
    model = rp.MaskedAutoencoder(space, Patches((4,), (1, 1, 1)), Linear(4), nn.Identity(), 1, 0.5)
    model.double()
    for stage in model.stages[:-1]:
        stage.solve(model, [Batch(x)])
    each_mask(monkeypatch, masks.repeat_interleave(50, 0))
    rows = x.repeat(6, 1)
    optimizer = torch.optim.LBFGS(
        model.parameters(),
        max_iter=200,
        line_search_fn="strong_wolfe",
        tolerance_grad=1e-12,
        tolerance_change=1e-16,
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        objective = model.loss(rows).objective
        objective.backward()
        return objective

    optimizer.step(closure)
    found = model.loss(rows).objective.item()
    shared = sum(_shared_error(i, covariance, masks) for i in range(4)) / 12
    best = sum(_conditional(mask, covariance) for mask in masks) / 12
    assert found == pytest.approx(shared.item(), rel=1e-6)
    assert 1.001 < shared / best < 1.19


def _shared_error(i: int, covariance: Tensor, masks: Tensor) -> Tensor:
    """Σ over masks that hide i of E (x_i − w_iᵀ x_V)², at the best w_i."""
    q, r = torch.zeros(4, 4).double(), torch.zeros(4).double()
    hiding = masks[masks[:, i]]
    for mask in hiding:
        seen = (~mask).double()
        q += covariance * seen[:, None] * seen
        r += covariance[i] * seen
    w = torch.linalg.pinv(q) @ r
    return len(hiding) * covariance[i, i] - 2 * w @ r + w @ q @ w


def _conditional(mask: Tensor, covariance: Tensor) -> Tensor:
    """The variance of what is hidden given what is visible, summed."""
    inside, across = covariance[~mask][:, ~mask], covariance[mask][:, ~mask]
    rest = covariance[mask][:, mask] - across @ torch.linalg.solve(inside, across.T)
    return rest.trace()


# -------------------------------------------------------------------------------- other data


@BOTH
@pytest.mark.parametrize("shape", [(3, 7, 5), (11,)])
def test_colors_and_vectors(name, shape):
    space = rp.Space(shape, "real")
    model, x = small(name, space), random_x(5, shape)
    for stage in model.stages[:-1]:
        stage.solve(model, [Batch(x)])
    x[0].view(-1)[0] = torch.nan
    assert model.reconstruct(x).shape == x.shape
    assert model.encode(x).shape[1:] == model.code_space.shape
    assert model.attention(x[1:]).sum(3).allclose(torch.ones(()).double())
    assert model.pooled(model.encode(x)).shape == (5, 8)


def test_layers_of_the_encoder_come_in_order():
    model = small("mae")
    names = {id(p): n for n, p in model.encoder.named_parameters()}
    layers = [sorted(names[id(p)] for p in layer.parameters()) for layer in model.stack()]
    assert layers[0][0].startswith("embed")
    assert layers[1][0].startswith("blocks.0")
    assert layers[-1][0].startswith("blocks.1")
    assert sum(map(len, layers)) == len(names) - 1  # all but the token of hidden patches


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="heads: expected a divisor of the width 30, got 4"):
        rp.build("mae", DIGITS, width=30)
    with pytest.raises(ValueError, match="patch: expected sides"):
        rp.build("mae", DIGITS, patch=9)
    with pytest.raises(ValueError, match="x: "):
        rp.build("vae", DIGITS).reconstruct(torch.full((1, 1, 8, 8), torch.nan))
