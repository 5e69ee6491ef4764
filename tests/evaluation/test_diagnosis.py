"""Information of codes, rates of layers, collapse, and annealed importance sampling."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

import reparam as rp
from reparam.bijections.base import Inverse
from reparam.bijections.masked_affine import MaskedAffine
from reparam.data import Split
from reparam.evaluation.absent import WITHHELD
from reparam.evaluation.annealing import annealed_log_prob
from reparam.evaluation.diagnosis import idle, information_scores, layer_scores
from reparam.evaluation.likelihood import bound_terms
from reparam.evaluation.scores import mean_score
from reparam.model import Space
from reparam.report import TrainedModel
from reparam.report.section import Shown
from reparam.report.sections import layers, rates
from reparam.report.table import score_table
from reparam.train.history import History

F64 = torch.float64
WEIGHT = torch.tensor([[0.9, 0.3], [0.9, -0.3], [0.2, 0.8]], dtype=F64)
SIGMA = 0.7
INFORMATION = {"mutual_information", "aggregate_kl"}


def linear_model(posterior_scale: float = 0.3) -> rp.VAE:
    """p(x|z) = N(Wz, σ²I); q(z|x) = N(first two entries of x, scale²)."""
    space = Space((3,), "real")
    parts = (rp.DiagonalNormal(2), rp.StandardNormal(2), rp.Normal(space, "fixed"))
    model = rp.VAE(space, nn.Linear(3, 4), nn.Linear(2, 3), *parts).double().eval()
    with torch.no_grad():
        model.p_x.log_scale.fill_(math.log(SIGMA))
        model.decoder.weight.copy_(WEIGHT)
        model.decoder.bias.zero_()
        model.encoder.weight.copy_(torch.eye(4, 3, dtype=F64) * torch.tensor([[1], [1], [0], [0]]))
        model.encoder.bias.copy_(
            torch.tensor([0.0, 0.0, math.log(posterior_scale), math.log(posterior_scale)])
        )
    return model


def test_information_and_divergence_add_up_to_the_rate():
    same = Split(torch.ones(60, 3, dtype=F64))
    assert information_scores(linear_model(), same)["mutual_information"].value == pytest.approx(0)
    data = Split(torch.randn(400, 3, dtype=F64))
    found = information_scores(linear_model(0.5), data)
    q = linear_model(0.5).posterior(data.x)
    rate = q.kl(linear_model().prior()).sum(1)
    total = found["mutual_information"].value + found["aggregate_kl"].value
    n = found["mutual_information"].n
    # Of the mean over n of the 400 rows of Σ ½(z² − ε²), one draw each.
    spread = 4.5 * math.sqrt(2 * (1 + 1)) / math.sqrt(n)
    assert total == pytest.approx(rate.mean().item(), abs=spread)


def channel(noise: tuple[float, ...]) -> rp.VAE:
    """z = a x + s ε with a² + s² = 1: of x ~ N(0, I), q(z) is N(0, I), the prior, exactly."""
    d, space = len(noise), Space((len(noise),), "real")
    parts = (rp.DiagonalNormal(d), rp.StandardNormal(d), rp.Normal(space, "fixed"))
    model = rp.VAE(space, nn.Linear(d, 2 * d), nn.Linear(d, d), *parts).double().eval()
    s = torch.tensor(noise, dtype=F64)
    with torch.no_grad():
        model.encoder.weight.copy_(torch.cat([(1 - s**2).sqrt().diag(), torch.zeros(d, d)]))
        model.encoder.bias.copy_(torch.cat([torch.zeros(d), s.log()]))
    return model


def normal_rows(n: int, d: int, seed: int) -> Split:
    """Of other seeds than those of the posteriors' draws, which would be these very numbers."""
    generator = torch.Generator().manual_seed(1000 + seed)
    return Split(torch.randn(n, d, generator=generator, dtype=F64))


@pytest.mark.parametrize(("noise", "rows"), [((0.6, 0.6), 125), ((0.1,) * 2, 2000), ((0.3,), 60)])
def test_information_of_a_normal_channel_and_how_far_its_bounds_lie(noise, rows):
    """I = −Σ ln s, KL(q(z) ‖ p(z)) = 0, and both bounds are off by at most ln(1 + χ²/M).

    By Jensen's inequality E KL(m ‖ q) ≤ ln(1 + E χ²(m ‖ q)) = ln(1 + χ²(q(x, z) ‖ q(x) q(z)) / M)
    for a mixture m of M posteriors, and 1 + χ² is Π 1/s² for normal channels (Mehler's kernel).
    """
    model, found = channel(noise), []
    for seed in range(8):
        split, train = normal_rows(60, len(noise), seed), normal_rows(rows, len(noise), 99 + seed)
        found.append(information_scores(model, split, seed=seed, train=train))
    truth, mixed = -sum(map(math.log, noise)), min(60 + rows, 2000)
    slack = math.log(1 + (math.prod(noise) ** -2 - 1) / mixed)
    assert slack < 2  # so that the bounds say something
    for name, true, sign in (("mutual_information", truth, 1), ("aggregate_kl", 0.0, -1)):
        values = [scores[name].value for scores in found]
        error = 4 * np.std(values, ddof=1) / math.sqrt(len(values))
        assert -error < sign * (true - np.mean(values)) < slack + error
    kinds = {name: score.kind for name, score in found[0].items()}
    assert kinds == {"mutual_information": "lower bound", "aggregate_kl": "upper bound"}


def test_training_rows_raise_what_can_be_told_apart():
    """I = 4.6 nats: beyond what 60 examples show, ln 60 − 1 = 3.1, within what 2000 do, 6.6."""
    model, split = channel((0.1, 0.1)), normal_rows(60, 2, 0)
    assert information_scores(model, split) == {}
    assert "mutual_information" in information_scores(model, split, train=normal_rows(1940, 2, 1))


def test_information_beyond_what_the_examples_show_is_withheld():
    """I = 48.75 and KL(q(z) ‖ p(z)) = 0; the estimators would say ln n and I − ln n."""
    model = channel((math.exp(-4.875),) * 10)
    split, train = normal_rows(300, 10, 0), normal_rows(300, 10, 1)
    assert information_scores(model, split, train=train) == {}
    data = rp.Data(train, split, split, model.space, "random rows")
    scores = rp.evaluate(model, data, samples=2)
    assert "rate" in scores and not INFORMATION & scores.keys()
    other = {name: mean_score(torch.ones(3), "nats", "test") for name in INFORMATION}
    entries = [
        TrainedModel("VAE", model, scores, History()),
        TrainedModel("other", model, other, History()),
    ]
    reasons = {cell.absent for cell in score_table(entries).rows[0] if cell.absent}
    assert reasons == {WITHHELD}


def test_draws_have_the_densities_they_were_drawn_with():
    """An inverse flow with z₂ = y₂ − 10¹¹ y₁ loses y₂ on the way back from z, where y₁ is large.

    Forty rows have one posterior, y₁ = .001 ε, and twenty each their own, y₁ = 10⁶ k + .001 ε:
    log q(z|x) / m(z) is ln 60/40 of the former and ln 60 of the latter, whatever the draw.
    """
    space, flow = Space((1,), "real"), MaskedAffine(2, ())
    q = rp.FlowPosterior(2, Inverse(flow))
    parts = q, rp.StandardNormal(2), rp.Normal(space, "fixed")
    model = rp.VAE(space, nn.Linear(1, 4), nn.Linear(2, 1), *parts).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        flow.network.head.weight[1, 0] = 1e11  # what is taken off the second entry
        model.encoder.weight[0, 0] = 1.0
        model.encoder.bias[2] = math.log(1e-3)
    own = 1e6 * torch.arange(1, 21, dtype=F64)
    split = Split(torch.cat([torch.zeros(40, dtype=F64), own])[:, None])
    found = information_scores(model, split)["mutual_information"].value
    wanted = (40 * math.log(60 / 40) + 20 * math.log(60)) / 60
    # Among the forty y₂ is found to 10⁻⁷, the rounding of 10⁸ y₁ / σ in float64.
    assert found == pytest.approx(wanted, abs=1e-5)


def test_a_row_is_mixed_once_even_where_the_training_data_are_measured():
    """Twice in the mixture, an example would seem half as informative."""
    model, split = channel((0.3,)), normal_rows(80, 1, 0)
    data = rp.Data(split, split, split, model.space, "random rows")
    wanted = information_scores(model, split, "train")["mutual_information"].value
    found = rp.evaluate(model, data, split="train", samples=1)["mutual_information"].value
    assert found == pytest.approx(wanted, rel=1e-12)


def test_layers_have_rates_that_add_up_and_active_units_of_their_own():
    space = Space((1, 8, 8), "binary")
    torch.manual_seed(0)
    model = rp.build("ladder-vae", space, latent_dims=(3, 2), between=(6,), hidden=(8,)).eval()
    split = Split((torch.rand(30, 1, 8, 8) > 0.5).float())
    rate = bound_terms(model, split)["rate"]
    scores = layer_scores(model, split, rate, "test", 0)
    assert scores["rate_layer_1"].value == pytest.approx(rate[:, 1].mean().item(), rel=1e-5)
    assert scores["rate_layer_2"].value == pytest.approx(rate[:, 0].mean().item(), rel=1e-5)
    assert scores["active_units_layer_1"].unit == "of 3 dimensions"
    assert scores["active_units_layer_2"].unit == "of 2 dimensions"
    data = rp.Data(split, split, split, space, "random bits")
    found = rp.evaluate(model, data, samples=2)
    total = found["rate_layer_1"].value + found["rate_layer_2"].value
    assert total == pytest.approx(found["rate"].value, rel=1e-6)


def test_layers_under_a_posterior_of_all_of_them_have_no_rates_of_their_own():
    """A flow over both layers has one density: the rate is one number, and so it is in scores."""
    space = Space((1, 6, 6), "binary")
    q = rp.FlowPosterior(5, rp.Planar(5))
    p = rp.LayeredPrior(rp.TopDown((2, 3), (4,)))
    networks = nn.Sequential(nn.Flatten(), nn.Linear(36, q.parameter_shape[0])), nn.Linear(5, 36)
    decoder = nn.Sequential(networks[1], nn.Unflatten(1, (1, 6, 6)))
    model = rp.VAE(space, networks[0], decoder, q, p, rp.Bernoulli(space)).eval()
    split = Split((torch.rand(12, 1, 6, 6) > 0.5).float())
    data = rp.Data(split, split, split, space, "random bits")
    scores = rp.evaluate(model, data, samples=2)
    assert not any(name.startswith("rate_layer") for name in scores)
    assert scores["active_units_layer_2"].unit == "of 2 dimensions"
    shown = Shown(data, [TrainedModel("flow over layers", model, scores, History())])
    found, pictures = rates.build(shown), layers.build(shown)
    assert found is None or not found.layers
    assert pictures is not None and len(pictures.cards[0].figures) == 1


@pytest.mark.parametrize(("name", "k"), [("vae", None), ("iwae", 4), ("hierarchical-vae", 3)])
def test_scores_of_the_bound_say_how_many_draws_they_are_means_of(name, k):
    space = Space((5,), "binary")
    model = rp.build(name, space, hidden=(4,), **({} if k is None else {"k": k}))
    split = Split((torch.rand(9, 5) > 0.5).float())
    scores = rp.evaluate(model, rp.Data(split, split, split, space, "random bits"), samples=7)
    measured = {"elbo", "distortion", "rate"} | {n for n in scores if n.startswith("rate_layer")}
    assert {scores[n].samples for n in measured} == {k or 1}
    assert scores["log_likelihood"].samples == scores["posterior_gap"].samples == 7


def test_the_gap_is_what_importance_weighting_gains():
    model = linear_model(1.0)  # wide enough for 500 samples to find all of p(z|x)
    split = Split(torch.randn(40, 3, dtype=F64))
    data = rp.Data(split, split, split, model.space, "random rows")
    scores = rp.evaluate(model, data, samples=500)
    gap = scores["posterior_gap"].value
    assert gap == pytest.approx(scores["log_likelihood"].value - scores["elbo"].value)
    covariance = (WEIGHT @ WEIGHT.T).numpy() + SIGMA**2 * np.eye(3)
    exact = stats.multivariate_normal(np.zeros(3), covariance).logpdf(split.x.numpy()).mean()
    assert gap == pytest.approx(exact - scores["elbo"].value, abs=0.1)


def test_idle_dimensions_are_counted_and_named():
    found = idle(torch.tensor([[1.0, 0.0, 2.0, 0.009]]))
    assert found.text == "2 of 4 dimensions (z1, z3) are idle: less than 0.01 nats"
    assert not found.collapsed  # a VAE leaves idle what it does not need
    one = torch.full((3, 16), 2.0)
    one[:, 12] = 0.001
    assert idle(one) == ("1 of 16 dimensions (z12) is idle: less than 0.01 nats", False)
    assert idle(torch.tensor([[1.0, 0.02]])) is None
    layer = idle(torch.tensor([[0.001, 3.0, 2.0]]), (2, 3, 4))
    assert layer.text.startswith("1 of 3 layers (layer 3) is idle")  # coarsest first
    many = idle(torch.cat([torch.zeros(1, 40), torch.ones(1, 2)], 1)).text
    assert many.startswith("40 of 42 dimensions (z0, z1, ") and "z11 …) are idle" in many


def test_collapsed_is_what_has_next_to_no_rate_left():
    gone = idle(torch.tensor([[0.5, 0.001, 0.4]]))
    assert gone.collapsed and gone.text.startswith("collapsed: z carries 0.9 nats in all; try a s")
    assert gone.text.endswith("; 1 of 3 dimensions (z1) is idle: less than 0.01 nats")
    assert idle(torch.tensor([[0.3, 0.2]])).text.endswith("free-bits-vae")  # none of them idle
    every = idle(torch.full((2, 200), 0.009))  # 1.8 nats, of which no dimension has any
    assert every.collapsed and "all 200 dimensions are idle" in every.text
    assert idle(torch.tensor([[-0.002]])).text == (
        "collapsed: z carries 0 nats in all; try a smaller beta, annealed-vae or free-bits-vae; "
        "1 of 1 dimension (z0) is idle: less than 0.01 nats"
    )
    assert "free bits" in idle(torch.tensor([[0.0, 0.2]]), (2, 3)).text


# ------------------------------------------------------- annealed importance sampling


def true_log_prob(x: Tensor) -> Tensor:
    covariance = (WEIGHT @ WEIGHT.T).numpy() + SIGMA**2 * np.eye(3)
    return torch.as_tensor(stats.multivariate_normal(np.zeros(3), covariance).logpdf(x.numpy()))


def test_annealing_finds_the_likelihood_without_the_posterior():
    x = torch.tensor([[0.3, -1.0, 0.5], [2.0, 1.1, -0.4]], dtype=F64)
    model = linear_model(1e-3)  # a posterior that is no help
    found = annealed_log_prob(
        model, x, temperatures=60, chains=40, generator=torch.Generator().manual_seed(0)
    )
    assert found.kind == "lower bound" and found.samples == 40
    # Weights of these chains deviate by about 0.4: their mean of 40 by 0.06.
    torch.testing.assert_close(found.value, true_log_prob(x), rtol=0, atol=0.2)
    importance = model.log_prob(x, samples=40, generator=torch.Generator().manual_seed(0)).value
    assert (true_log_prob(x) - importance).min() > 1, "which importance weighting misses"


def test_annealing_takes_data_of_more_precision_than_the_model():
    x = torch.tensor([[0.3, -1.0, 0.5]], dtype=F64)
    found = annealed_log_prob(
        linear_model().float(),
        x,
        temperatures=60,
        chains=40,
        generator=torch.Generator().manual_seed(0),
    )
    torch.testing.assert_close(found.value, true_log_prob(x).view(1), rtol=0, atol=0.2)


def test_the_mean_weight_of_annealing_is_unbiased_even_with_few_temperatures():
    x = torch.tensor([[0.3, -1.0, 0.5]], dtype=F64).expand(2000, -1)
    found = annealed_log_prob(
        linear_model(),
        x,
        temperatures=3,
        chains=1,
        leapfrogs=3,
        generator=torch.Generator().manual_seed(1),
    )
    weights = (found.value - true_log_prob(x)).exp()
    error = weights.std().item() / math.sqrt(2000)
    assert weights.mean().item() == pytest.approx(1, abs=4.5 * error)
    assert error < 0.1
    assert found.value.mean() < true_log_prob(x[:1]).item()


def test_annealing_of_a_conditional_model_is_that_of_its_conditions():
    """p(x|z, c) = N(z + b_c, 1) and p(z|c) = N(m_c, 1) by class: p(x|c) = N(m_c + b_c, 2)."""

    class Shifted(nn.Module):
        def forward(self, z: Tensor, c: Tensor) -> Tensor:
            return z + 3.0 * c[:, None]

    class Anything(nn.Module):
        def forward(self, x: Tensor, c: Tensor) -> Tensor:
            return x.new_zeros(len(x), 2)

    space = Space((1,), "real", classes=3)
    parts = (rp.DiagonalNormal(1), rp.ClassConditional(1, 3), rp.Normal(space, "fixed"))
    model = rp.VAE(space, Anything(), Shifted(), *parts, conditional=True).double().eval()
    x, c = torch.tensor([[0.4], [0.4], [5.0]], dtype=F64), torch.tensor([0, 1, 2])
    found = annealed_log_prob(
        model, x, c, temperatures=60, chains=60, generator=torch.Generator().manual_seed(0)
    )
    mean = model.p_z.mean[c].detach() + 3.0 * c[:, None]
    # Soft bounds of the prior's scales, −8 and 8, leave 1 to within a thousandth.
    wanted = torch.distributions.Normal(mean, math.sqrt(2)).log_prob(x).sum(1)
    torch.testing.assert_close(found.value, wanted, rtol=0, atol=0.15)
    with pytest.raises(ValueError, match="c: expected"):
        annealed_log_prob(model, x)


def test_annealing_says_what_it_is_and_refuses_codes_without_gradients():
    x = torch.ones(2, 4)
    model = rp.build("vae", Space((4,), "binary"), latent_dim=2, posterior="categorical")
    with pytest.raises(ValueError, match="model: expected .*continuous z.*categorical"):
        annealed_log_prob(model.eval(), x, temperatures=2)
    # A scale that has seen x in training is none of a density; in evaluation it is frozen.
    model = rp.build("sigma-vae", Space((4,), "real"), latent_dim=2, hidden=(4,))
    for training, kind in ((True, "estimate"), (False, "lower bound")):
        model.train(training)
        assert annealed_log_prob(model, x, temperatures=2).kind == kind
