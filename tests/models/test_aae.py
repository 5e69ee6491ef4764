"""Adversarial autoencoders: what the critic of codes finds, and which way it pulls them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import reparam as rp
from reparam.data import Data, Split
from reparam.distributions.priors import MixturePrior, StandardNormal
from reparam.model import Descend, Space

F64 = torch.float64
MEAN, SCALE, POINTS = 1.0, 0.7, 4000


class Quadratic(nn.Module):
    """a + b z + c z², the form of a difference of the log-densities of two normals."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(3, dtype=F64))

    def forward(self, z: Tensor) -> Tensor:
        return torch.cat([torch.ones_like(z), z, z.square()], 1) @ self.weights[:, None]


class Quantiles:
    """N(0, 1) by its quantiles, as even as draws can be."""

    rows = 1

    def repeat(self, n: int) -> Quantiles:
        assert n == POINTS
        return self

    def rsample(self) -> Tensor:
        shares = (torch.arange(POINTS, dtype=F64) + 0.5) / POINTS
        return torch.special.ndtri(shares)[:, None]


def fitted() -> rp.CriticPrior:
    """The best critic of codes N(1, 0.7²) under the prior N(0, 1)."""
    penalty, p = rp.CriticPrior(1, hidden=(2,)), Quantiles()
    penalty.critic = Quadratic()
    codes = MEAN + SCALE * p.rsample()
    optimizer = torch.optim.LBFGS(
        penalty.parameters(), max_iter=300, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = penalty.play(codes, p)
        value.backward()
        return value

    optimizer.step(closure)
    return penalty


def test_the_best_critic_of_codes_is_their_log_ratio():
    """ln q(z) − ln p(z), codes labeled 1; the quantiles are off an integral by less than 1e-2."""
    penalty = fitted()
    z = torch.linspace(-2, 3, 11, dtype=F64)[:, None]
    q, p = torch.distributions.Normal(MEAN, SCALE), torch.distributions.Normal(0.0, 1.0)
    wanted = (q.log_prob(z) - p.log_prob(z)).squeeze(1)
    torch.testing.assert_close(penalty.logits(z).detach(), wanted, rtol=0, atol=1e-2)
    codes = MEAN + SCALE * Quantiles().rsample()
    divergence = -math.log(SCALE) + (SCALE**2 + MEAN**2 - 1) / 2
    assert penalty(codes, codes, None, None).mean().item() == pytest.approx(divergence, abs=1e-2)


def test_the_encoder_descends_the_mean_logit_towards_the_prior():
    """d/dm KL(N(m, s²) ‖ N(0, 1)) = m, and d/ds = s − 1/s."""
    penalty = fitted()
    for parameter in penalty.parameters():
        parameter.requires_grad_(False)
    mean, scale = (torch.tensor(v, dtype=F64, requires_grad=True) for v in (MEAN, SCALE))
    codes = mean + scale * Quantiles().rsample()
    value = penalty(codes, codes, None, None).mean()
    pull, spread = torch.autograd.grad(value, (mean, scale))
    # The logit's own shape depends on q as well: at the best critic that part is 0 on average,
    # so that what is left is the derivative of the divergence.
    assert pull.item() == pytest.approx(MEAN, abs=1e-2)
    assert spread.item() == pytest.approx(SCALE - 1 / SCALE, abs=2e-2)


def data(n: int = 48) -> Data:
    generator = torch.Generator().manual_seed(0)
    split = Split(torch.randint(5, (n, 6), generator=generator).float())
    return Data(split, split, split, Space((6,), "levels", 5), "levels")


def tiny(**parameters: object) -> rp.Model:
    torch.manual_seed(0)
    return rp.build("aae", data().space, latent_dim=2, hidden=(8,), critic=(8,), **parameters)


def test_the_objective_is_the_error_and_the_weighted_logit():
    model, x = tiny(weight=3.0), data().train.x
    loss = model.loss(x)
    assert set(loss.terms) == {"squared_error", "prior_kl"}
    wanted = (loss.terms["squared_error"] + 3 * loss.terms["prior_kl"]).mean()
    torch.testing.assert_close(loss.objective, wanted)
    torch.testing.assert_close(loss.terms["prior_kl"], model.prior_penalty.logits(model.encode(x)))


def test_the_critic_is_a_player_of_its_own_and_sees_codes_without_gradients():
    model = tiny()
    (descent,) = (stage for stage in model.stages if isinstance(stage, Descend))
    assert [player.name for player in descent.players] == ["model", "critic"]
    model.loss(data().train.x, None, "critic").objective.backward()
    assert all(p.grad is None for p in (*model.encoder.parameters(), *model.decoder.parameters()))
    assert all(p.grad is not None for p in model.prior_penalty.parameters())


def test_x_is_drawn_from_the_prior_and_rounded():
    model = tiny().double().eval()
    drawn = model.sample(500, generator=torch.Generator().manual_seed(0))
    assert set(drawn.unique().tolist()) <= {0.0, 1.0, 2.0, 3.0, 4.0}
    z = torch.randn(500, 2, dtype=F64, generator=torch.Generator().manual_seed(0))
    apart = drawn - model.decode(z).clamp(0, 4)
    assert apart.abs().max() < 1, "up or down to the next whole number"
    assert not isinstance(model, rp.Density)


def test_a_mixture_stays_as_it_is_and_is_what_x_is_drawn_from():
    model = tiny(prior="mixture", components=3)
    before = [p.clone() for p in model.p_z.parameters()]
    rp.fit(model, data(), epochs=2, weight_decay=0.1, progress=False)
    assert all(torch.equal(a, b) for a, b in zip(before, model.p_z.parameters(), strict=True))


def test_with_a_normal_posterior_it_is_a_vae_whose_rate_has_no_weight():
    model, x = tiny(posterior="normal"), data().train.x
    assert isinstance(model, rp.VAE)
    loss = model.loss(x)
    wanted = (loss.terms["distortion"] + loss.terms["prior_kl"]).mean()
    torch.testing.assert_close(loss.objective, wanted)
    assert model.eval().log_prob(x, samples=2).kind == "lower bound"


def test_the_prior_of_normal_codes_is_the_one_asked_for_and_stays():
    model = tiny(posterior="normal", prior="mixture", components=3)
    assert isinstance(model.p_z, MixturePrior) and model.p_z.mean.shape[-2:] == (3, 2)
    before = [p.clone() for p in model.p_z.parameters()]
    history = rp.fit(model, data(), epochs=2, weight_decay=0.1, progress=False)
    assert all(torch.equal(a, b) for a, b in zip(before, model.p_z.parameters(), strict=True))
    assert history.keeps == "last", "no validation judges a game"


@pytest.mark.parametrize("posterior", ["deterministic", "normal"])
@pytest.mark.parametrize("latent_dim", [1, 2, 5])
def test_components_of_a_mixture_are_apart(posterior, latent_dim):
    """The next one is four deviations away; on a sphere, where chance has them, at least one."""
    options = {"prior": "mixture", "components": 10, "posterior": posterior}
    torch.manual_seed(0)
    model = rp.build("aae", data().space, latent_dim=latent_dim, hidden=(8,), **options)
    p = model.prior()
    mean, scale = p.mean[0].detach(), p.log_scale.exp().max().item()
    nearest = torch.cdist(mean, mean).fill_diagonal_(math.inf).min().item()
    assert nearest > (1 if latent_dim > 2 else 3.9) * scale


def test_what_would_be_ignored_is_refused():
    with pytest.raises(ValueError, match="loss: expected auto with posterior=normal"):
        tiny(posterior="normal", loss="squared_error")
    with pytest.raises(ValueError, match="corruption: no parameter of aae"):
        tiny(corruption="masking")


def test_training_gives_each_player_its_own_gradients_only(monkeypatch):
    model, seen = tiny(), []

    def after_step(loss, player="model"):
        parts = (model.encoder, model.decoder, model.prior_penalty)
        seen.append([any(p.grad is not None for p in part.parameters()) for part in parts])

    monkeypatch.setattr(model, "after_step", after_step)
    rp.fit(model, data(), epochs=1, batch_size=48, progress=False)
    assert seen == [[True, True, False], [True, True, True]]


def test_a_critic_of_other_codes_is_refused():
    with pytest.raises(ValueError, match="CriticPrior judges 3 latent dimensions"):
        rp.CriticPrior(3).refuse(rp.DiagonalNormal(2), StandardNormal(2))
    networks = nn.Linear(6, 2), nn.Linear(2, 6)
    with pytest.raises(ValueError, match="penalty: expected a critic of 2 latent dimensions"):
        rp.AdversarialAutoencoder(data().space, *networks, StandardNormal(2), rp.CriticPrior(3))
