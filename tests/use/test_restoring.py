"""What an image may have been of which y is left, against enumeration and closed forms."""

from __future__ import annotations

import math
from functools import partial

import exact_denoisers
import pytest
import torch
from scipy import stats
from torch import nn

import reparam as rp
from reparam.degradation import degradation, mask_name
from reparam.diffusion.schedules import cosine
from reparam.evaluation.rows import seeded_slices
from reparam.model import Space

DRAWS = 4000


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@torch.no_grad()
def toy_vae(space, scale=0.7, **options):
    """A VAE of a code of one number with random weights, so that q(z|x) is not the truth."""
    model = rp.build("vae", space, latent_dim=1, hidden=(6,), **options).double()
    generator = seeded(7)
    for parameter in model.parameters():
        parameter.normal_(0, scale, generator=generator)
    return model.eval()


@pytest.mark.parametrize(
    "kind, levels, options, within",
    [
        ("binary", None, {}, 0.0),
        ("levels", 3, {"likelihood": "categorical"}, 0.0),
        ("levels", 3, {"likelihood": "normal"}, 0.0),  # drawn by its mass
        ("levels", 3, {"likelihood": "categorical"}, 0.3),
    ],
)
@torch.no_grad()
def test_chains_have_the_enumerated_conditional(kind, levels, options, within):
    """p(x | y) of four pixels of which two means are left, by quadrature over z."""
    space = Space((1, 2, 3), kind, levels)
    model, k = toy_vae(space, **options), levels or 2
    given = degradation("downscale:2", space.shape)
    every = torch.cartesian_prod(*[torch.arange(k)] * 6).double().view(-1, 1, 2, 3)
    y = torch.tensor([[[[0.5, 1.0]]]]).double()
    possible = every[((given(every) - y).abs() <= within + 1e-9).flatten(1).all(1)]
    z = torch.linspace(-8, 8, 801, dtype=torch.float64)[:, None]
    law, prior = model.likelihood(z).by_entry, model.prior().log_prob(z)
    rows = [law.log_prob(x.expand(len(z), 1, 2, 3)) + prior for x in possible]
    truth = torch.stack(rows).logsumexp(1).softmax(0) * DRAWS
    options = {"draws": DRAWS, "steps": 100, "within": within, "generator": seeded()}
    found = rp.restore(model, y, "downscale:2", **options)
    assert found.how == "by chains" and found.steps == 100
    assert 0.02 < found.acceptance < 0.99  # q is not the truth
    counts = (found.x[0][:, None] == possible).flatten(2).all(2).sum(0)
    assert counts.sum() == DRAWS  # each is one of which y is left
    rare = truth < 5
    pooled = [torch.cat([v[~rare], v[rare].sum()[None]]) for v in (counts, truth)]
    pooled = [v[pooled[1] > 0] for v in pooled]
    assert stats.chisquare(*pooled).pvalue > 1e-4


def test_colors_are_drawn_of_which_the_gray_is_left_bit_for_bit():
    space = Space((3, 2, 2), "levels", 256)
    model = rp.build("vae", space, latent_dim=2, hidden=(4,), seed=0).eval()
    x = torch.randint(256, (2, 3, 2, 2), generator=seeded()).float()
    y = degradation("gray", space.shape)(x)
    found = rp.restore(model, y, "gray", draws=2, steps=5, generator=seeded())
    assert found.how == "by chains" and (found.x == found.x.round()).all()
    left = degradation("gray", space.shape)(found.x[:, 1].double())
    assert (left - degradation("gray", space.shape)(x.double())).abs().max() < 1e-9


def test_a_single_step_is_not_enough():
    """The test above can fail: few steps after the start have another distribution."""
    model = toy_vae(Space((1, 2, 3), "binary"), scale=2.0)
    y = torch.tensor([[[[0.5, 1.0]]]]).double()
    draw = partial(rp.restore, model, y, "downscale:2", draws=DRAWS)
    few, many = (draw(steps=n, generator=seeded()).x[0].mean(0) for n in (1, 80))
    error = (many * (1 - many) / DRAWS).sqrt()
    assert ((few - many).abs() > 6 * error).any()


@pytest.mark.parametrize("name", ["downscale:2", "blur:0.8"])
def test_a_linear_gaussian_model_has_the_conditional_mean_and_covariance(name):
    """x = W z + b + σ ε under a q(z|x) that is too wide: N(b, W Wᵀ + σ² I) given A x."""
    space, sigma, size = Space((1, 2, 3), "real"), 0.5, 6
    weight = torch.randn(size, 2, generator=seeded(3), dtype=torch.float64)
    bias = torch.linspace(-1, 2, size, dtype=torch.float64)
    covariance = torch.linalg.inv(torch.eye(2).double() + weight.T @ weight / sigma**2)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(size, 4))
    decoder = nn.Sequential(nn.Linear(2, size), nn.Unflatten(1, (1, 1, 2, 3)))
    p_x = rp.Normal(space, "fixed", sigma=sigma)
    parts = rp.DiagonalNormal(2), rp.StandardNormal(2), p_x
    model = rp.VAE(space, encoder, decoder, *parts).double().eval()
    with torch.no_grad():
        decoder[0].weight.copy_(weight)
        decoder[0].bias.copy_(bias)
        encoder[1].weight[:2] = covariance @ weight.T / sigma**2
        encoder[1].weight[2:] = 0
        encoder[1].bias[:2] = -covariance @ weight.T @ bias / sigma**2
        encoder[1].bias[2:] = 0.5 * covariance.diagonal().log() + 0.3
    given = degradation(name, space.shape)
    a = given(torch.eye(size, dtype=torch.float64).view(-1, 1, 2, 3)).flatten(1).T
    whole = weight @ weight.T + sigma**2 * torch.eye(size).double()
    x = torch.randn(1, 1, 2, 3, generator=seeded(9), dtype=torch.float64)
    gain = whole @ a.T @ torch.linalg.pinv(a @ whole @ a.T, rtol=1e-10)
    mean = bias + gain @ (given(x).flatten() - a @ bias)
    left = whole - gain @ a @ whole
    found = rp.restore(model, given(x), name, draws=DRAWS, steps=100, generator=seeded())
    drawn, variance = found.x[0].flatten(1), left.diagonal().clamp(min=0)
    assert (given(found.x[0]) - given(x)).abs().max() < 1e-9
    assert ((drawn.mean(0) - mean).abs() < 4 * (variance / DRAWS).sqrt() + 1e-9).all()
    error = ((variance[:, None] * variance + left.square()) / DRAWS).sqrt()
    assert ((drawn.T.cov() - left).abs() < 4 * error + 1e-9).all()


@pytest.mark.parametrize("name", ["vae", "ddpm", "made", "pixel-cnn"])
@pytest.mark.parametrize("how", ["downscale:1", "subsample:1", "white"])
def test_what_gives_everything_comes_back_bit_for_bit(name, how):
    space = Space((1, 4, 4), "levels", 5)
    model = rp.build(name, space, seed=0).eval()
    if how == "white":
        how = mask_name(torch.ones(4, 4, dtype=torch.bool))
    x = torch.randint(5, (3, 1, 4, 4), generator=seeded()).float()
    found = rp.restore(model, x, how, draws=2)
    assert torch.equal(found.x[:, 1], x) and found.how == "exact"


@pytest.mark.parametrize("name", ["cvae", "gated-pixel-cnn", "ddpm", "gan", "regression"])
def test_models_draw_what_they_were_trained_for(name):
    space = Space((1, 4, 4), "levels", 5)
    few = {"times": 10} if name == "ddpm" else {}
    model = rp.build(name, space, given="mask:half", seed=0, **few).eval()
    y = degradation("mask:half", space.shape)(torch.randint(5, (2, 1, 4, 4), generator=seeded()))
    found = rp.restore(model, y, draws=3, generator=seeded())
    assert found.x.shape == (2, 3, 1, 4, 4) and found.how == "trained" and found.steps is None
    assert torch.equal(found.x[:, 2, :, :2], y[:, :, :2])
    again = rp.restore(model, y, "mask:half", draws=3, generator=seeded())
    assert torch.equal(found.x, again.x)
    with pytest.raises(
        ValueError, match="trained with given=mask:half, not downscale:2; train one"
    ):
        rp.restore(model, y, "downscale:2")
    top = torch.zeros(4, 4, dtype=torch.bool)
    masks = [mask_name(top.index_fill(0, torch.tensor(rows), True)) for rows in ([0], [1])]
    model = rp.build("regression", space, given=masks[0], seed=0).eval()
    with pytest.raises(ValueError, match="trained with given=mask:FILE, not another mask; train"):
        rp.restore(model, y, masks[1])
    with pytest.raises(ValueError, match="c: the model's condition is y"):
        rp.restore(model, y, c=torch.tensor([0, 1]))


@pytest.mark.parametrize("kind, name", [("real", "downscale:2"), ("levels", "blur:0.7")])
def test_diffusion_models_are_projected_and_say_so(kind, name):
    space = Space((1, 4, 4), kind, 5 if kind == "levels" else None)
    model = rp.build("ddpm", space, times=10, seed=0).eval()
    given = degradation(name, space.shape)
    y = given(torch.randint(5, (2, 1, 4, 4), generator=seeded()).float())
    found = rp.restore(model, y, name, draws=2, generator=seeded())
    assert found.how == "approximate" and "no draws of p(x | y)" in found.remark
    off = (given(found.x[:, 0]) - y).abs().max()
    small = 1e-5 * found.x.abs().max()  # untrained, it takes x to be large
    assert off < small if kind == "real" else off <= 0.51  # whole numbers were rounded
    assert kind == "real" or "rounded" in found.remark


def test_projection_of_the_exact_denoiser_comes_near_to_the_conditional_normal():
    """N(0, C) of two entries of which the sum is given: as approximate as it is said to be."""
    law = exact_denoisers.Normal(torch.tensor([[1.0, 0.6], [0.6, 2.0]], dtype=torch.float64))
    model = exact_denoisers.diffusion(law, cosine(100), "velocity")
    model = exact_denoisers.with_best_variances(model, law)
    given, c = degradation("downscale:2", (2,)), law.covariance
    y = torch.full((1, 1), 1.5).double()
    found = rp.restore(model, y, given, draws=DRAWS, generator=seeded()).x[0]
    assert (given(found) - y).abs().max() < 1e-9
    a = torch.tensor([0.5, 0.5]).double()
    mean = c @ a / (a @ c @ a) * 1.5
    variance = (c - torch.outer(c @ a, c @ a) / (a @ c @ a)).diagonal()
    free = model.sample(DRAWS, generator=seeded()).mean(0)
    assert (found.mean(0) - mean).abs().max() < 0.2 < (free - mean).abs().max()
    assert ((found.var(0) / variance - 1).abs() < 0.35).all()


def test_single_rows_do_not_depend_on_their_company():
    space = Space((1, 4, 4), "levels", 5)
    y = degradation("downscale:2", space.shape)(
        torch.randint(5, (3, 1, 4, 4), generator=seeded()).float()
    )
    for name, parameters in (("vae", {"latent_dim": 2, "hidden": (6,)}), ("ddpm", {"times": 4})):
        model = rp.build(name, space, seed=0, **parameters).double().eval()
        found = []
        for rows in (3, 1):
            parts = []
            for part, own_noise in seeded_slices(3, rows, 5, torch.device("cpu")):
                with own_noise:
                    parts.append(rp.restore(model, y[part], "downscale:2", draws=2, steps=5).x)
            found.append(torch.cat(parts))
        assert torch.allclose(*found, rtol=0, atol=1e-9), name


def test_first_pixels_are_completed_exactly_and_others_refused():
    space = Space((1, 4, 4), "binary")
    model = rp.build("made", space, hidden=(8,), seed=0).eval()
    y = torch.ones(1, 1, 4, 4)
    assert rp.restore(model, y, "mask:half").how == "exact"
    for name in ("mask:square", "subsample:2", "downscale:2"):
        y = degradation(name, space.shape)(torch.ones(1, 1, 4, 4))
        with pytest.raises(ValueError, match=f"entry by entry.*use vae or ddpm, or train .*{name}"):
            rp.restore(model, y, name)


@pytest.mark.parametrize(
    "name, how, said",
    [
        ("gan", "downscale:2", "GAN does not restore downscale:2; use vae or ddpm, or train cvae"),
        ("ae", "mask:half", "Autoencoder does not complete; use vae"),
        ("vae", "blur:1", "whole numbers that are left so are not known to be drawn exactly"),
        ("vq-vae", "downscale:2", "its codes are indices"),
        ("vae", "downscale:9", "leaves no pixel"),
        ("vae", None, "VAE was trained for none; say what left y, as downscale:2"),
    ],
)
def test_what_cannot_restore_is_refused_in_a_sentence(name, how, said):
    space = Space((1, 8, 8), "levels", 5)
    model = rp.build(name, space, seed=0).eval()
    with pytest.raises(ValueError, match=said):
        rp.restore(model, torch.zeros(1, 1, 8, 8), how)


@pytest.mark.parametrize(
    "y, options, said",
    [
        (torch.zeros(2, 1, 3, 2), {}, r"y: expected what is given of x, of shape \(2, 1, 2, 2\)"),
        (torch.zeros(0, 1, 2, 2), {}, r"y: expected a tensor of shape \(B ≥ 1, 1, 2, 2\)"),
        (torch.full((1, 1, 2, 2), 4.5), {}, r"y: expected values in \[0, 4\], as"),
        (torch.full((1, 1, 2, 2), math.nan), {}, "y: expected finite numbers"),
        (torch.full((1, 1, 2, 2), 0.3), {}, "which downscale:2 leaves of no whole numbers"),
        (torch.zeros(1, 1, 2, 2), {"draws": 0}, "draws"),
        (torch.zeros(1, 1, 2, 2), {"steps": 0}, "steps"),
    ],
)
def test_a_y_that_is_none_is_refused(y, options, said):
    model = rp.build("vae", Space((1, 4, 4), "levels", 5), latent_dim=2, hidden=(4,)).eval()
    with pytest.raises(ValueError, match=said):
        rp.restore(model, y, "downscale:2", **options)


def test_a_model_that_is_given_y_completes_only_where_y_is_said():
    space, mask = Space((1, 4, 4), "binary"), torch.ones(1, 4, 4, dtype=torch.bool)
    mask[:, 2:] = False
    x = torch.ones(1, 1, 4, 4)
    for name, few in (("cvae", {}), ("gated-pixel-cnn", {}), ("ddpm", {"times": 10})):
        model = rp.build(name, space, given="downscale:2", seed=0, **few).eval()
        with pytest.raises(ValueError, match="c: expected what is left of x.*use restore"):
            rp.complete(model, x, mask)
        if isinstance(model, rp.Completer):
            with pytest.raises(ValueError, match="c: expected what is left of x"):
                model.complete(x, mask)
        y = torch.ones(1, 1, 2, 2)
        assert torch.equal(rp.complete(model, x, mask, y, steps=3).x[0, 0, :, :2], x[0, :, :2])
