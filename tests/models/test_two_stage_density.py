"""A prior fitted afterwards: who is trained on what, what the bound is, and what is drawn."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from autoregressive_models import all_states

import reparam as rp
from reparam.data import Data, Split
from reparam.distributions.index_codes import ModelDensity
from reparam.evaluation.likelihood import kind_of_bound
from reparam.model import Space
from reparam.models.autoregressive import Autoregressive
from reparam.models.two_stage_density import CompletingTwoStage, TwoStageDensity

F64 = torch.float64
SPACE = Space((1, 8, 8), "levels", 4)
SMALL = {"codes": 4, "code_dim": 3, "channels": 4, "blocks": 1}
PRIOR = {"second_stage": "pixel-cnn", "generator": {"width": 8, "layers": 1, "first_kernel": 3}}


def rows(space, n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n, *space.shape, generator=generator, dtype=F64)
    return (x * space.level_count).floor()


def data_of(x, labels=None, classes=None, space=SPACE):
    cut = len(x) // 5
    c = [None] * 3 if labels is None else labels.split([len(x) - 2 * cut, cut, cut])
    parts = x.split([len(x) - 2 * cut, cut, cut])
    splits = (Split(part.float(), label) for part, label in zip(parts, c, strict=True))
    return Data(*splits, replace(space, classes=classes), "toy")


def test_players_have_the_losses_of_the_parts_and_the_whole_its_bound():
    model = rp.build("vq-vae", SPACE, **SMALL, **PRIOR).double()
    assert type(model) is CompletingTwoStage
    x = rows(SPACE, 5)
    names = [p.name for s in model.stages if hasattr(s, "players") for p in s.players]
    assert names == ["model of the codec", "model of codes"]
    ours = model.loss(x, player=names[0]).terms
    theirs = model.codec.loss(x).terms
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    code = model.encode(x)
    nll = model.loss(x, player=names[1]).terms["code_nll"]
    torch.testing.assert_close(nll, -model.generator.log_prob(code).value)
    terms = model.eval().loss(x).terms
    torch.testing.assert_close(terms["rate"].sum(1), nll)
    found = model.log_prob(x)
    assert found.samples == 1 and found.kind == "lower bound"
    rate_and_distortion = terms["rate"].sum(1) + terms["distortion"]
    torch.testing.assert_close(rate_and_distortion, -found.value, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "small", "kind"),
    [
        ("ddpm", {"times": 10, "hidden": (8, 8), "blocks": 1}, "estimate"),
        ("vae", {"latent_dim": 1, "hidden": (8,)}, "lower bound"),
    ],
)
def test_a_bound_in_nats_on_the_prior_makes_an_estimate(name, small, kind):
    """Weights of noise in nats are too large on average: what they bound sums to more than 1."""
    codec = rp.build("vae", Space((3,), "binary"), latent_dim=2, hidden=(8,), seed=0)
    generator = rp.build(name, codec.code_space, seed=0, **small)
    source = torch.Generator().manual_seed(1)
    model = TwoStageDensity(codec, generator).double().eval()
    with torch.no_grad():
        for p in generator.parameters():
            p += 0.3 * torch.randn(p.shape, generator=source, dtype=F64)
    found = model.log_prob(all_states(codec.space), samples=2000, generator=source)
    assert found.kind == kind
    # Of four other seeds of these draws the sums are 2.4 to 12, and 0.9 to 1.2 with a VAE, whose
    # exp(log p) is right on average, so that the sum is 1 but for its noise.
    assert (found.value.exp().sum() > 1.5) == (kind == "estimate")


def test_the_error_of_a_priors_log_z_is_in_what_it_bounds():
    codec = rp.build("vae", Space((3,), "binary"), latent_dim=2, hidden=(8,), seed=0)
    small = {"chains": 8, "sweeps": 2, "runs": 4, "temperatures": 3}
    prior = rp.build("ebm", codec.code_space, seed=0, **small)
    model = TwoStageDensity(codec, prior)
    x = all_states(codec.space).float()
    scores = rp.evaluate(model, Data(Split(x), Split(x), Split(x), codec.space, "all"), samples=5)
    error = prior.log_partition.stderr.item()
    assert error > 0
    for name in ("log_likelihood", "elbo"):
        assert scores[name].kind == "estimate"
        assert scores[name].common_stderr == error and scores[name].stderr >= error
    gap = scores["posterior_gap"]  # in whose difference log Z cancels
    apart = scores["log_likelihood"].values - scores["elbo"].values
    assert gap.stderr == pytest.approx((apart.std() / len(apart) ** 0.5).item())
    assert gap.common_stderr is None


def test_the_second_stage_is_trained_on_draws_and_the_bound_gains():
    """Of two clusters one latent dimension tells which: the prior has two modes, as wide as q."""
    torch.manual_seed(0)
    space = Space((3,), "real")
    x = torch.randn(600, 1).sign() * 4 + torch.randn(600, 3)
    data = data_of(x.double(), space=space)
    model = rp.build("two-stage-vae", space, latent_dim=1, hidden=(8,), generator={"components": 2})
    rp.fit(model, data, progress=False, epochs=10, lr=1e-2)
    q = model.codec.posterior(data.train.x)
    drawn = model.codes_of(data.train.x)
    assert not torch.equal(drawn, q.center)
    variance = model.generator.sample(20000, generator=torch.Generator().manual_seed(0)).var()
    assert variance > 1.02 * q.center.var()
    torch.testing.assert_close(variance.float(), drawn.var(), rtol=0.1, atol=0)
    draws = {"samples": 1, "generator": torch.Generator().manual_seed(1)}
    fitted = model.log_prob(data.valid.x, **draws).value
    draws["generator"].manual_seed(1)
    gain = fitted - model.codec.log_prob(data.valid.x, **draws).value
    assert gain.mean() > 4 * gain.std() / math.sqrt(len(gain))


def test_rates_of_several_grids_are_those_of_each():
    space = Space((1, 16, 16), "levels", 4)
    model = rp.build("vq-vae-2", space, **SMALL, downsampling=1, **PRIOR).double().eval()
    x = rows(space, 3)
    rate = model.loss(x).terms["rate"]
    factors = -model.generator.log_prob(model.encode(x)).per_dimension
    torch.testing.assert_close(rate, torch.stack([p.sum(1) for p in factors.split((16, 64), 1)], 1))
    z = model.encode(x)
    other = model.prior().resample(z, 1, torch.Generator().manual_seed(0))
    assert torch.equal(other[:, :16], z[:, :16].to(other)) and not torch.equal(other, z.to(other))


def test_the_prior_of_independent_codes_costs_what_they_do():
    """Indices drawn entry by entry: of a fitted prior 0 ≤ rate − H ≤ 2 % of H, row by row."""
    generator = torch.Generator().manual_seed(0)
    p = torch.tensor([0.6, 0.3, 0.1])
    code = torch.multinomial(p, 9 * 4000, True, generator=generator).view(-1, 1, 3, 3)
    space = Space((1, 3, 3), "levels", 3)
    model = rp.build("pixel-cnn", space, inputs="one-hot", width=4, layers=0, first_kernel=3)
    rp.fit(model, data_of(code, space=space), progress=False, epochs=6, lr=1e-2)
    test = torch.multinomial(p, 9 * 4000, True, generator=generator).view(-1, 1, 3, 3)
    true = p.log()[test].flatten(1).sum(1)
    excess = true - model.log_prob(test).value.detach()
    entropy = -9 * (p * p.log()).sum()
    error = excess.std() / math.sqrt(len(excess))
    assert -3 * error < excess.mean() < 0.02 * entropy


def test_a_conditional_prior_gives_the_codes_of_each_class():
    """Class 0 is dark and class 1 bright: a draw is of its class. χ² of both against chance."""
    labels = torch.arange(400) % 2
    x = labels.view(-1, 1, 1, 1) * 2.0 + rows(Space((1, 8, 8), "binary"), 400)
    data = data_of(x, labels, 2)
    wide = SMALL | {"channels": 16}
    model = rp.build("vq-vae", data.space, **wide, **PRIOR, conditional=True)
    rp.fit(model, data, progress=False, epochs=6, lr=3e-3, batch_size=16)
    counts = []
    for label in (0, 1):
        drawn = model.sample(60, label, generator=torch.Generator().manual_seed(0))
        bright = (drawn.flatten(1).mean(1) > 1.5).sum()
        counts.append([60 - bright, bright])
    counts = torch.tensor(counts, dtype=F64)
    expected = counts.sum(1, keepdim=True) * counts.sum(0) / counts.sum()
    chi2 = ((counts - expected).square() / expected.clamp(min=1e-9)).sum()
    assert chi2 > 60 and counts.argmax(1).tolist() == [0, 1]
    assert model.codec.conditional is False
    terms = model.loss(data.test.x, data.test.labels).terms
    wrong = model.loss(data.test.x, 1 - data.test.labels).terms
    assert (terms["rate"] < wrong["rate"]).float().mean() > 0.9
    assert torch.equal(terms["distortion"], wrong["distortion"])


def test_a_conditional_prior_is_made_of_codes_that_are_still_all_the_same(solve):
    """Early in training a codebook may be collapsed: indices are no reals that need a scale."""
    space = replace(SPACE, classes=2)
    model = rp.build("vq-vae", space, **SMALL, **PRIOR, conditional=True, start="random").double()
    torch.nn.init.zeros_(model.codec.coder.encoder.head.weight)
    x, c = rows(SPACE, 12), torch.arange(12) % 3 % 2
    assert len(model.encode(x).unique()) == 1
    solve(model, x, c)
    torch.testing.assert_close(model.class_frequencies, torch.tensor([2 / 3, 1 / 3], dtype=F64))


def test_a_completion_keeps_what_is_given_and_the_codes_of_it():
    model = rp.build("vq-vae", SPACE, **SMALL, **PRIOR).eval()
    x = rows(SPACE, 6).float()
    given = torch.zeros(1, 8, 8, dtype=torch.bool)
    given[:, :5] = True
    kept = model._kept(given.expand(6, 1, 8, 8))
    assert kept[0, 0].tolist() == [[True] * 4] * 2 + [[False] * 4] * 2
    generator = torch.Generator().manual_seed(0)
    one = model.complete(x, given, generator=generator)
    two = model.complete(x, given, generator=generator)
    assert torch.equal(one[:, :, :5], x[:, :, :5]) and not torch.equal(one, two)
    other = x.clone()
    other[:, :, 5:] = 0
    again = model.complete(other, given, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again, one), "what is not given is not looked at"


@pytest.mark.parametrize("side, times", [(33, 3), (17, 2), (9, 1), (10, 2), (16, 2)])
def test_codes_are_given_where_all_of_what_they_halve_is(side, times):
    """Sides are padded behind, so that a code is of 2^times rows, from the first on."""
    space = Space((1, side, side), "levels", 4)
    model = rp.build("vq-vae", space, **SMALL, **PRIOR, downsampling=times)
    for rows_given in range(side + 1):
        given = torch.zeros(1, 1, side, side, dtype=torch.bool)
        given[:, :, :rows_given] = True
        size = model.code_space.shape[1]
        wanted = [min((i + 1) * 2**times, side) <= rows_given for i in range(size)]
        assert model._kept(given)[0, 0, :, 0].tolist() == wanted
        assert torch.equal(model._kept(given.mT), model._kept(given).mT)


def test_the_prior_is_the_generator():
    codec = rp.build("vae", Space((9,), "binary"), latent_dim=2, hidden=(4,))
    mixture = rp.GaussianMixture(codec.code_space, components=2)
    model = TwoStageDensity(codec, mixture)
    prior = model.prior()
    assert isinstance(prior, ModelDensity) and prior.repeat(3).rows == 3
    z = torch.randn(5, 2)
    assert torch.equal(prior.log_prob(z), mixture.log_prob(z).value)
    drawn = prior.repeat(4).sample(torch.Generator().manual_seed(2))
    assert torch.equal(drawn, mixture.sample(4, generator=torch.Generator().manual_seed(2)))
    assert isinstance(rp.build("vq-vae", SPACE, **SMALL, **PRIOR).generator, Autoregressive)


def test_parts_without_a_likelihood_and_codes_of_another_measure_are_refused():
    vector = rp.Space((9,), "binary")
    plain, codec = (rp.build(name, vector, latent_dim=2) for name in ("ae", "vae"))
    mixture = rp.GaussianMixture(codec.code_space, components=2)
    with pytest.raises(ValueError, match="codec: expected a LatentVariable, got Autoencoder"):
        TwoStageDensity(plain, mixture)
    two = rp.TwoStage(
        rp.build("ae", codec.code_space, latent_dim=1),
        rp.GaussianMixture(Space((1,), "real"), components=2),
    )
    with pytest.raises(ValueError, match="generator: expected a Density, got TwoStage"):
        TwoStageDensity(codec, two)
    # log q(z|x) is a probability there and log p(z) a density, without limit at one-hot codes.
    with pytest.raises(ValueError, match="codes with probabilities; take another posterior"):
        rp.build("two-stage-vae", vector, posterior="categorical")


def test_a_bound_is_one_as_far_down_as_priors_go():
    """Of a prior that is itself a model of two stages, whose own prior is an estimate."""
    outer = rp.build("vae", Space((3,), "binary"), latent_dim=2, hidden=(4,))
    inner = rp.build("vae", outer.code_space, latent_dim=1, hidden=(4,))
    noisy = rp.build("ddpm", inner.code_space, times=4, hidden=(4, 4), blocks=1)
    exact = rp.GaussianMixture(inner.code_space, components=2)
    kinds = {}
    for name, prior in {"noisy": noisy, "exact": exact}.items():
        model = TwoStageDensity(outer, TwoStageDensity(inner, prior)).eval()
        assert model.tightens == (name == "exact"), "draws of a bound in nats add nothing"
        kinds[name] = model.log_prob(torch.ones(2, 3), samples=2).kind
        assert kind_of_bound(model) == "lower bound", "its mean in nats is at most log p(x)"
    assert kinds == {"noisy": "estimate", "exact": "lower bound"}
