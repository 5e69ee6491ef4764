"""Denoising: what each corruption does, that the target is clean, and the optimum on Gaussians."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
import torch
from frequencies import chi_square
from torch import nn

import reparam as rp
from reparam import numerics
from reparam.model import Space

F64 = torch.float64


def grid_of_noise(monkeypatch):
    """Uniform noise that is an even grid in [0, 1): shares come out exactly."""

    def noise(like, kind="normal", generator=None):
        assert kind == "uniform"
        return (torch.arange(like.numel(), dtype=like.dtype) / like.numel()).view_as(like)

    monkeypatch.setattr(numerics, "noise", noise)


PARTIAL = pytest.mark.parametrize("make", [rp.Masking, rp.SaltAndPepper])


@PARTIAL
@pytest.mark.parametrize("share", [0.0, 0.01, 0.25, 0.5, 0.7, 1.0])
@pytest.mark.parametrize("shape", [(1,), (7,), (100,), (1, 5, 3), (3, 8, 8)])
def test_each_example_has_exactly_its_share_of_entries_changed(make, share, shape):
    """round(νD), at least one where there is to be any noise; the others stay bit for bit."""
    x = 2 + torch.rand(50, *shape, generator=torch.Generator().manual_seed(0), dtype=F64)
    seen = make(share)(x)
    changed = (seen != x).flatten(1)
    entries = changed.shape[1]
    wanted = 0 if share == 0 else max(1, round(share * entries))
    assert changed.sum(1).tolist() == [wanted] * 50
    ends = [0.0] if make is rp.Masking else [0.0, 1.0]
    assert set(seen[seen != x].tolist()) <= set(ends)
    if 5 < wanted < entries - 5:
        assert len({tuple(row.tolist()) for row in changed}) == 50  # drawn for each example


@PARTIAL
def test_every_set_of_so_many_entries_is_as_likely(make):
    """All 15 pairs of 6 entries, by a χ² test; so each entry with ν, and every pair alike."""
    pairs = list(itertools.combinations(range(6), 2))
    n = 6000
    changed = make(1 / 3)(torch.full((n, 6), 0.5)) != 0.5
    found = Counter(tuple(row.nonzero().flatten().tolist()) for row in changed)
    assert set(found) == set(pairs)
    counts = torch.tensor([found[pair] for pair in pairs])
    assert chi_square(counts, torch.full((15,), n / 15)) > 1e-4


@PARTIAL
def test_equal_random_numbers_do_not_change_how_many_entries_are_hidden(make, monkeypatch):
    """Two float32 numbers in [0, 1) are equal once in 2²⁴ pairs, so in most batches of images."""
    monkeypatch.setattr(
        numerics, "noise", lambda like, kind, generator=None: like.new_zeros(like.shape)
    )
    assert (make(0.3)(torch.full((4, 10), 0.5)) != 0.5).sum(1).tolist() == [3] * 4


@PARTIAL
def test_independent_entries_are_hidden_by_a_coin_each(make):
    """The number of an example is binomial: mean νD, variance Dν(1−ν)."""
    n, entries, share = 4000, 40, 0.3
    counts = (make(share, independent=True)(torch.full((n, entries), 0.5)) != 0.5).sum(1).double()
    variance = entries * share * (1 - share)
    # Five standard errors: of a mean σ/√n, of a variance nearly σ²√(2/n).
    assert abs(counts.mean().item() - entries * share) < 5 * (variance / n) ** 0.5
    assert abs(counts.var().item() - variance) < 5 * variance * (2 / n) ** 0.5


def test_independent_masking_is_that_of_one_uniform_number_an_entry(monkeypatch):
    grid_of_noise(monkeypatch)
    x = torch.linspace(1, 2, 1000, dtype=F64).view(10, 100)
    seen = rp.Masking(0.3, independent=True)(x)
    assert torch.equal(seen[:3], torch.zeros(3, 100)) and torch.equal(seen[3:], x[3:])


def test_the_two_ends_are_drawn_by_fair_coins():
    seen = rp.SaltAndPepper(0.5, low=-2.0, high=2.0)(torch.full((500, 40), 0.4))
    high = (seen == 2.0).sum().item()
    assert (seen == -2.0).sum().item() == 500 * 20 - high
    assert abs(high - 5000) < 5 * (10_000 * 0.25) ** 0.5  # five deviations of 10 000 coins


@PARTIAL
def test_a_corruption_is_reproducible(make):
    x = torch.full((8, 30), 0.5)
    one, two, other = (seeded_call(make(0.25), x, seed) for seed in (1, 1, 2))
    assert torch.equal(one, two) and not torch.equal(one, other)


def seeded_call(corruption, x, seed):
    torch.manual_seed(seed)
    return corruption(x)


@pytest.mark.parametrize("name", ["masking", "salt-and-pepper"])
def test_the_preset_draws_so_many_entries_or_each_by_itself(name):
    space = Space((20,), "levels", 5)
    for independent in (False, True):
        model = rp.build(
            "denoising-ae",
            space,
            corruption=name,
            amount=0.35,
            independent=independent,
            hidden=(4,),
        )
        changed = (model.corruption(torch.full((200, 20), 0.5)) != 0.5).sum(1)
        assert (changed == 7).all().item() is not independent
        assert model.noise.name.startswith("independent") is independent
        assert model.corruption.at(0.1).independent is independent
    with pytest.raises(ValueError, match="^independent: "):
        rp.build("denoising-ae", space, corruption="gaussian", independent=True)


def test_gaussian_noise_is_added_at_its_scale(monkeypatch):
    noise = torch.randn(4, 3, dtype=F64)
    monkeypatch.setattr(numerics, "noise", lambda like, kind, generator=None: noise)
    x = torch.rand(4, 3, dtype=F64)
    torch.testing.assert_close(rp.GaussianNoise(0.5)(x), x + 0.5 * noise, rtol=0, atol=0)


def test_senseless_amounts_are_refused():
    for make in (rp.Masking, rp.SaltAndPepper):
        with pytest.raises(ValueError, match=r"share: .*1\.5"):
            make(1.5)
    with pytest.raises(ValueError, match="scale: .*-1"):
        rp.GaussianNoise(-1)
    with pytest.raises(ValueError, match="scale: .*nan"):
        rp.GaussianNoise(float("nan"))


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_the_target_is_the_clean_x_and_codes_are_of_what_is_given(training):
    """Identity networks on levels of 5: the loss is Σ (x̃ − x)² on the unit range, x̃ = 2 − x/4."""
    space = Space((3,), "levels", 5)
    flip = lambda x: 2 - x  # noqa: E731
    model = rp.Autoencoder(space, nn.Identity(), nn.Identity(), 3, corruption=flip).double()
    model.train(training)
    x = torch.tensor([[0.0, 1.0, 4.0], [3.0, 3.0, 2.0]], dtype=F64)
    wanted = (2 - 2 * x / 4).square().sum(1)
    torch.testing.assert_close(model.loss(x).terms["squared_error"], wanted)
    torch.testing.assert_close(model.encode(x), x / 4)
    torch.testing.assert_close(model.reconstruct(x), x)


@pytest.mark.parametrize("name", ["masking", "gaussian", "salt-and-pepper"])
def test_the_preset_corrupts_real_data_around_their_mean(name, monkeypatch):
    """Standardized, zero is the mean and the ends are two deviations off; amount 1 shows which."""
    monkeypatch.setattr(
        numerics, "noise", lambda like, kind, generator=None: torch.full_like(like, 0.25)
    )
    space = Space((2,), "real")
    model = rp.build("denoising-ae", space, corruption=name, amount=1.0, hidden=(4,)).double()
    seen = model.corruption(torch.ones(1, 2, dtype=F64))
    wanted = {"masking": 0.0, "gaussian": 1.25, "salt-and-pepper": -2.0}[name]
    assert torch.equal(seen, torch.full((1, 2), wanted, dtype=F64))


def test_the_linear_denoiser_of_a_gaussian_and_its_score(minimize, monkeypatch):
    """f(x̃) = S(S+σ²I)⁻¹ x̃, and (f(x̃)−x̃)/σ² = ∇ log N(x̃; 0, S+σ²I).

    Data and noise have exactly the moments S, I and no correlation (columns of an orthogonal
    matrix, orthogonal to the constant one), so that least squares is the population's.
    """
    n, d, sigma = 200, 3, 0.7
    generator = torch.Generator().manual_seed(0)
    columns = torch.randn(n, 1 + 2 * d, generator=generator, dtype=F64)
    columns[:, 0] = 1
    q = torch.linalg.qr(columns).Q[:, 1:] * n**0.5
    factor = torch.tensor([[1.5, 0, 0], [0.8, 1.0, 0], [-0.3, 0.2, 0.5]], dtype=F64)
    x, noise, s = q[:, :d] @ factor.T, q[:, d:], factor @ factor.T
    monkeypatch.setattr(numerics, "noise", lambda like, kind, generator=None: noise)
    model = rp.Autoencoder(
        Space((d,), "real"), nn.Linear(d, d), nn.Linear(d, d), d, corruption=rp.GaussianNoise(sigma)
    ).double()
    minimize(model, x)
    smoothed = s + sigma**2 * torch.eye(d)
    wanted = s @ torch.linalg.inv(smoothed)
    # A gradient of 1e-11 over a curvature of σ² = 0.5 leaves 1e-10; 1e-6 allows for the product.
    found = model.decoder.weight @ model.encoder.weight
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)
    noisy = torch.randn(5, d, generator=generator, dtype=F64, requires_grad=True)
    density = torch.distributions.MultivariateNormal(torch.zeros(d, dtype=F64), smoothed)
    score = torch.autograd.grad(density.log_prob(noisy).sum(), noisy)[0]
    ours = (model.reconstruct(noisy) - noisy) / sigma**2
    torch.testing.assert_close(ours, score, atol=1e-5, rtol=0)


@pytest.mark.parametrize("make", [rp.Masking, rp.GaussianNoise, rp.SaltAndPepper])
@pytest.mark.parametrize("kind", ["levels", "real"])
def test_the_noise_of_a_model_is_its_corruption_in_data_units(make, kind, monkeypatch):
    """At level 0 x itself, at others M(x̃|x) of the standardized x, put back into data units."""
    space = Space((3,), kind, 5 if kind == "levels" else None)
    model = rp.Autoencoder(space, nn.Identity(), nn.Identity(), 3, corruption=make(0.3)).double()
    x = torch.tensor([[0.0, 1.0, 4.0], [3.0, 3.0, 2.0]], dtype=F64)
    if kind == "real":
        model.standardize.shift.copy_(torch.tensor([1.0, 2.0, 3.0]))
        model.standardize.scale.copy_(torch.tensor([0.5, 1.0, 10.0]))
    fixed = torch.rand(2, 3, dtype=F64, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(numerics, "noise", lambda like, kind, generator=None: fixed)
    noise = model.noise
    assert noise.level == 0.3
    assert torch.equal(noise.corrupt(x, 0.0), x)
    scaled = x / 4 if kind == "levels" else (x - model.standardize.shift) / model.standardize.scale
    wanted = make(0.8)(scaled)
    back = wanted * 4
    if kind == "real":
        back = wanted * model.standardize.scale + model.standardize.shift
    torch.testing.assert_close(noise.corrupt(x, 0.8), back, rtol=1e-14, atol=1e-14)
    assert noise.corrupt(x, min(noise.strongest, 9.0)).isfinite().all()


def test_other_levels_keep_the_ends_of_salt_and_pepper():
    wide = rp.SaltAndPepper(0.1, -2.0, 2.0).at(1.0)
    assert wide(torch.zeros(1, 1000)).unique().tolist() == [-2.0, 2.0]


def test_a_corruption_of_unknown_level_and_none_at_all_have_no_noise():
    space = Space((3,), "real")
    for corruption in (None, lambda x: -x):
        model = rp.Autoencoder(space, nn.Identity(), nn.Identity(), 3, corruption=corruption)
        assert model.noise is None
    mixture = rp.GaussianMixture(Space((3,), "real"), 2)
    codec = rp.Autoencoder(space, nn.Identity(), nn.Identity(), 3, corruption=rp.Masking(0.5))
    assert rp.TwoStage(codec, mixture).noise.level == 0.5
