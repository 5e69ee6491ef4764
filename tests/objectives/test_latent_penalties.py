"""Total correlation, covariances and discrepancy: definitions, enumeration, who moves what."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor, distributions, nn

import reparam as rp
from reparam.distributions.densities import NormalDensity
from reparam.model import Solve, Space
from reparam.nets.norm import BatchNorm
from reparam.objectives.latent_penalties import mmd_squared, stratified_weights

F64 = torch.float64


def posteriors(rows: int, latent_dim: int = 2, seed: int = 0) -> NormalDensity:
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(rows, latent_dim, generator=generator, dtype=F64)
    return NormalDensity(mean, 0.3 * mean.flip(1) - 1)


def pair_densities(z: Tensor, q: NormalDensity) -> Tensor:
    """q(z_i|x_j), (z, q)."""
    normal = distributions.Normal(q.mean, q.log_scale.exp())
    return normal.log_prob(z[:, None]).sum(2).exp()


@pytest.mark.parametrize(("batch", "rows"), [(2, 6), (4, 6), (6, 6), (64, 60_000)])
def test_stratified_weights_are_where_they_belong_and_sum_to_one(batch, rows):
    weights = stratified_weights(batch, rows)
    m = batch - 1
    torch.testing.assert_close(weights.sum(1), torch.ones(batch, dtype=F64), rtol=1e-14, atol=0)
    assert weights.diagonal().tolist() == pytest.approx([1 / rows] * batch, rel=1e-14)
    for row in range(batch):
        others = sorted([w for j, w in enumerate(weights[row].tolist()) if j != row])
        wanted = sorted([(rows - m) / (rows * m)] + [1 / m] * (batch - 2))
        assert others == pytest.approx(wanted, rel=1e-14)


@pytest.mark.parametrize("batch", [2, 3, 4, 5])
def test_the_estimate_of_the_aggregate_posterior_is_right_on_average(batch):
    """Over all ordered batches of a set of six that hold z's own x first: exactly q(z)."""
    q = posteriors(6)
    z = q.mean + 0.1
    densities = pair_densities(z, q)
    weights = stratified_weights(batch, 6)
    for own in range(6):
        others = [j for j in range(6) if j != own]
        estimates = [
            sum(w * densities[own, j] for w, j in zip(weights[0], (own, *rest), strict=True)).item()
            for rest in itertools.permutations(others, batch - 1)
        ]
        assert np.mean(estimates) == pytest.approx(densities[own].mean().item(), rel=1e-12)


def test_total_correlation_is_its_definition_by_loops():
    """Of 5 rows out of 30: weights 1/30 for the own posterior, 26/120 for one, 1/4 for the rest."""
    q = posteriors(5)
    penalty = rp.TotalCorrelation().double()
    penalty.learn_rows(30)
    z = q.mean + 0.2
    normal = distributions.Normal(q.mean, q.log_scale.exp())
    wanted = []
    for i in range(5):
        weight = {j: 1 / 4 for j in range(5)} | {(i + 1) % 5: 26 / 120, i: 1 / 30}
        each = normal.log_prob(z[i]).exp()  # q_j of every dimension, (5, 2)
        joint = sum(weight[j] * each[j].prod() for j in range(5)).log()
        marginals = sum(sum(weight[j] * each[j, d] for j in range(5)).log() for d in range(2))
        wanted.append((joint - marginals).item())
    assert penalty(z, z, q, q).tolist() == pytest.approx(wanted, rel=1e-10)
    assert penalty(z[:1], z[:1], posteriors(1), q).tolist() == [0.0]


def test_beta_tcvae_is_the_elbo_and_the_weighted_estimate():
    torch.manual_seed(0)
    model = rp.build("beta-tcvae", Space((6,), "binary"), latent_dim=2, hidden=(8,), beta=4.0)
    model.double()
    (solve,) = [s for s in model.stages if isinstance(s, Solve)]
    x = (torch.rand(10, 6, dtype=F64) > 0.5).double()
    from reparam.model import Batch

    solve.solve(model, [Batch(x)] * 7)
    assert model.objective.penalties[0].rows.item() == 70
    loss = model.loss(x)
    wanted = -loss.terms["bound"].mean() + 3 * loss.terms["total_correlation"].mean()
    torch.testing.assert_close(loss.objective, wanted)
    with pytest.raises(ValueError, match=r"beta: .*0.5"):
        rp.build("beta-tcvae", Space((6,), "binary"), beta=0.5)


# -------------------------------------------------------------------------------- critic


def test_the_critic_minimizes_the_cross_entropy_of_true_against_shuffled_codes():
    torch.manual_seed(0)
    penalty = rp.CriticTotalCorrelation(2, hidden=(16,)).double()
    z = torch.randn(50, 2, dtype=F64)
    torch.manual_seed(1)
    found = penalty.play(z, None)
    torch.manual_seed(1)
    order = torch.rand_like(z).argsort(0)
    shuffled = torch.stack([z[order[:, j], j] for j in range(2)], 1)
    assert torch.equal(shuffled.sort(0).values, z.sort(0).values), "every column is a permutation"
    logits = penalty.critic(torch.cat([z, shuffled])).squeeze(1)
    truth = torch.cat([torch.ones(50), torch.zeros(50)]).double()
    wanted = nn.functional.binary_cross_entropy_with_logits(logits, truth)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(penalty(z, z, None, None), logits[:50])


def test_a_trained_critic_estimates_the_total_correlation_of_a_normal():
    """−½ ln(1 − ρ²) of a correlated pair; 0.51 nats at ρ = 0.8."""
    torch.manual_seed(0)
    penalty = rp.CriticTotalCorrelation(2, hidden=(64, 64))
    optimizer = torch.optim.Adam(penalty.parameters(), lr=2e-3)

    def draw(n: int) -> Tensor:
        z = torch.randn(n, 2)
        return torch.stack([z[:, 0], 0.8 * z[:, 0] + 0.6 * z[:, 1]], 1)

    for _ in range(600):
        optimizer.zero_grad()
        penalty.play(draw(512), None).backward()
        optimizer.step()
    with torch.no_grad():
        z = draw(20_000)
        found = penalty(z, z, None, None).mean().item()
    assert found == pytest.approx(-0.5 * math.log(1 - 0.64), abs=0.06)


def test_critic_and_model_move_only_their_own_parts(descent_of):
    torch.manual_seed(0)
    model = rp.build("factor-vae", Space((6,), "binary"), latent_dim=2, hidden=(8,), critic=(8,))
    players = descent_of(model)
    assert set(players) == {"model", "critic"}
    ids = [{id(p) for p in own} for own in players.values()]
    assert not ids[0] & ids[1] and ids[0] | ids[1] == {id(p) for p in model.parameters()}
    x = (torch.rand(10, 6) > 0.5).float()
    model.loss(x, player="critic").objective.backward()
    assert all(p.grad is None for p in players["model"])
    assert all(p.grad.any() for p in players["critic"])
    model.zero_grad(set_to_none=True)
    model.loss(x).objective.backward()
    # The penalty reaches the encoder through the critic.
    other = rp.build("vae", Space((6,), "binary"), latent_dim=2, hidden=(8,))
    other.load_state_dict({k: v for k, v in model.state_dict().items() if "critic" not in k})
    assert model.encoder.first.weight.grad.any()


# ------------------------------------------------------------------- covariance, discrepancy


@pytest.mark.parametrize("codes", ["means", "draws"])
def test_dip_is_the_covariance_by_numpy(codes):
    q = posteriors(40, 3)
    covariance = np.cov(q.mean.numpy(), rowvar=False, bias=True)
    if codes == "draws":
        covariance += np.diag(torch.exp(2 * q.log_scale).mean(0).numpy())
    diagonal = np.diag(covariance)
    off = (covariance**2).sum() - (diagonal**2).sum()
    wanted = 7 * off + 3 * ((diagonal - 1) ** 2).sum()
    found = rp.DIP(codes, 7.0, 3.0)(q.mean, q.mean, q, q)
    assert found.tolist() == pytest.approx([wanted] * 40, rel=1e-12)


def test_dip_draws_is_the_covariance_of_the_aggregate_posterior():
    q = posteriors(20)
    draws = q.repeat(20_000).rsample()
    sampled = np.cov(draws.numpy(), rowvar=False)
    centered = q.mean - q.mean.mean(0)
    ours = (centered.mT @ centered / 20 + torch.diag(q.variance.mean(0))).numpy()
    assert abs(sampled - ours).max() < 0.02


def test_mmd_is_its_double_sum_and_zero_on_average_for_one_distribution():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(7, 2, generator=generator, dtype=F64) for _ in range(2))

    def kernel(u: Tensor, v: Tensor) -> float:
        scales = [4 * c for c in (0.1, 0.2, 0.5, 1, 2, 5, 10)]
        return sum(s / (s + (u - v).square().sum().item()) for s in scales)

    within = sum(
        kernel(s[i], s[j]) for s in (a, b) for i in range(7) for j in range(7) if i != j
    ) / (7 * 6)
    between = sum(kernel(u, v) for u in a for v in b) / 49
    assert mmd_squared(a, b).item() == pytest.approx(within - 2 * between, rel=1e-10)
    pairs = torch.randn(3000, 2, 7, 2, generator=generator, dtype=F64)
    values = torch.stack([mmd_squared(u, v) for u, v in pairs])
    assert abs(values.mean().item()) < 4.5 * values.std().item() / math.sqrt(3000)
    shifted = torch.stack([mmd_squared(u, v + 1) for u, v in pairs[:300]])
    assert shifted.mean().item() > 10 * shifted.std().item() / math.sqrt(300)


def test_info_vae_and_wae_weigh_the_rate_by_what_they_say():
    space, x = Space((6,), "binary"), (torch.rand(10, 6, dtype=F64) > 0.5).double()
    for name, more, share in (
        ("info-vae", {"alpha": 0.25, "weight": 3.0}, 0.75),
        ("wae", {"weight": 3.0}, 0.0),
    ):
        loss = rp.build(name, space, latent_dim=2, hidden=(8,), **more).double().loss(x)
        terms = {n: t.mean() if n != "rate" else t.sum(1).mean() for n, t in loss.terms.items()}
        wanted = terms["distortion"] + share * terms["rate"] + 3 * terms["mmd"]
        torch.testing.assert_close(loss.objective, wanted)


def test_a_critic_without_units_is_refused():
    with pytest.raises(ValueError, match=r"critic: .*got \(8, 0\)"):
        rp.build("factor-vae", Space((6,), "binary"), critic=(8, 0))


def test_the_rate_of_info_vae_has_no_negative_weight():
    with pytest.raises(ValueError, match=r"^alpha: .*at most 1, got 1\.5"):
        rp.build("info-vae", Space((6,), "binary"), alpha=1.5)


def test_relaxed_draws_of_the_prior_itself_are_far_from_it():
    """Why MMD refuses them: at q = p its unbiased estimate is 0, of one-hot draws, not of soft."""
    posterior, p = rp.GumbelSoftmax(4, 5).double(), rp.UniformOneHot(4, 5).double()()
    h = torch.zeros(300, 20, dtype=F64)
    torch.manual_seed(0)
    hard, soft = (
        torch.stack([mmd_squared(q.rsample(), p.repeat(300).rsample()) for _ in range(20)])
        for q in (posterior.eval()(h), posterior.train()(h))
    )
    assert abs(hard.mean().item()) < 4.5 * hard.std().item() / math.sqrt(20)
    assert soft.mean().item() > 10 * soft.std().item()


@pytest.mark.parametrize("penalty", [rp.MMD(1.0), rp.CriticPrior(2)])
def test_priors_with_batch_statistics_are_not_drawn_from(penalty):
    prior = rp.StandardNormal(2)
    prior.add_module("path", BatchNorm(2))  # as the paths of hierarchies have
    with pytest.raises(ValueError, match=f"{type(penalty).__name__} draws from the prior.*batch_n"):
        penalty.refuse(rp.DiagonalNormal(2), prior)


@pytest.mark.parametrize(
    ("penalty", "posterior", "message"),
    [
        (rp.TotalCorrelation(), rp.FullNormal(2), "TotalCorrelation needs .*FullNormal"),
        (rp.DIP(), rp.NormalMixture(2), "DIP needs .*NormalMixture"),
        (rp.CriticTotalCorrelation(6), rp.GumbelSoftmax(2, 3), "one-hot vectors"),
        (rp.CriticTotalCorrelation(3), rp.DiagonalNormal(2), r"judges 3 .*got .*\(2,\)"),
        (rp.MMD(1.0), rp.GumbelSoftmax(2, 3), "MMD compares .*relaxed"),
        (rp.CriticPrior(6), rp.GumbelSoftmax(2, 3), "CriticPrior tells .*relaxed"),
    ],
)
def test_penalties_refuse_posteriors_they_say_nothing_of(penalty, posterior, message):
    space = Space((5,), "binary")
    width = posterior.event_shape[0]
    categorical = posterior.support == "one-hot"
    prior = rp.UniformOneHot(2, 3) if categorical else rp.StandardNormal(width)
    networks = nn.Linear(5, posterior.parameter_shape[0]), nn.Linear(width, 5)
    with pytest.raises(ValueError, match=f"penalty: .*{message}"):
        rp.VAE(
            space, *networks, posterior, prior, rp.Bernoulli(space), rp.ELBO(penalties=[penalty])
        )
