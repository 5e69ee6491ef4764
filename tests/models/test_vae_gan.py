"""VAE-GAN: three losses, each for one part, and the sign of what they say to each other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import reparam as rp
from reparam.data import Data, Split
from reparam.model import Descend, Player, Space

F64 = torch.float64
SPACE = Space((6,), "levels", 5)


def rows(n: int = 32) -> Tensor:
    return torch.randint(5, (n, 6), generator=torch.Generator().manual_seed(0)).double()


def tiny(**parameters: object) -> rp.VAE:
    torch.manual_seed(0)
    sizes = {"latent_dim": 2, "hidden": (8,), "critic": (7, 5)}
    return rp.build("vae-gan", SPACE, **sizes | parameters).double()


def players(model: rp.VAE) -> dict[str, Player]:
    (descent,) = (stage for stage in model.stages if isinstance(stage, Descend))
    return {player.name: player for player in descent.players}


def gradient(model: rp.VAE, objective: Tensor, player: str) -> Tensor:
    weights = [p for m in players(model)[player].modules for p in m.parameters()]
    found = torch.autograd.grad(objective, weights, retain_graph=True, allow_unused=True)
    pairs = zip(weights, found, strict=True)
    return torch.cat([(w * 0 if g is None else g).flatten() for w, g in pairs])


def test_every_weight_is_moved_by_one_of_three_players():
    model = tiny()
    assert list(players(model)) == ["model", "decoder", "critic"]
    owned = [id(p) for one in players(model).values() for m in one.modules for p in m.parameters()]
    assert len(owned) == len(set(owned))
    assert set(owned) == {id(p) for p in model.parameters()}


def test_training_gives_each_loss_to_its_own_part_only(monkeypatch):
    """After each turn the others' gradients are those of their own last turn."""
    model, seen = tiny(), []

    def after_step(loss, player="model"):
        whose = {
            name: [p.grad for m in one.modules for p in m.parameters()]
            for name, one in players(model).items()
        }
        seen.append((player, {n: any(g is not None for g in gs) for n, gs in whose.items()}))

    monkeypatch.setattr(model, "after_step", after_step)
    split = Split(rows())
    rp.fit(model, Data(split, split, split, SPACE, "rows"), epochs=1, batch_size=32, progress=False)
    assert seen == [
        ("model", {"model": True, "decoder": False, "critic": False}),
        ("decoder", {"model": True, "decoder": True, "critic": False}),
        ("critic", {"model": True, "decoder": True, "critic": True}),
    ]


def test_the_encoders_loss_is_the_rate_and_the_error_of_features():
    model, x = tiny(beta=3.0), rows()
    loss = model.loss(x)
    wanted = (loss.terms["feature_error"] + 3 * loss.terms["rate"].sum(1)).mean()
    torch.testing.assert_close(loss.objective, wanted)
    torch.testing.assert_close(
        loss.terms["bound"], -loss.terms["distortion"] - loss.terms["rate"].sum(1)
    )
    assert not loss.terms["distortion"].requires_grad, "nothing is trained by it"


def test_the_adversarial_gradient_of_the_decoder_is_minus_that_of_the_critics_cost():
    """Not plus, which would train it to be found out."""
    model, x = tiny(gamma=0.0, r1=0.0), rows()
    torch.manual_seed(1)
    ours = gradient(model, model.loss(x, None, "decoder").objective, "decoder")
    torch.manual_seed(1)
    z = model.posterior(x).rsample()
    fresh = model.prior().repeat(len(x)).rsample()
    cost = torch.zeros((), dtype=F64)
    for code in (z.detach(), fresh):
        logits = model.objective.critic(model.likelihood(code).center / 4)
        cost = cost + F.softplus(logits).mean()
    theirs = gradient(model, cost, "decoder")
    assert theirs.norm() > 1e-4
    torch.testing.assert_close(ours, -theirs)
    assert F.cosine_similarity(ours, theirs, dim=0).item() == pytest.approx(-1, abs=1e-12)


def test_the_critics_loss_is_of_real_reconstructed_and_drawn_rows():
    model, x = tiny(r1=2.0), rows()
    torch.manual_seed(1)
    loss = model.loss(x, None, "critic")
    torch.manual_seed(1)
    with torch.no_grad():
        z = model.posterior(x).rsample()
        fresh = model.prior().repeat(len(x)).rsample()
        seen = [model.likelihood(code).center / 4 for code in (z, fresh)]
    y = (x / 4).requires_grad_()
    real, again, new = (model.objective.critic(one) for one in (y, *seen))
    (slope,) = torch.autograd.grad(real.sum(), y)
    wanted = F.softplus(-real) + F.softplus(again) + F.softplus(new) + slope.square().sum(1)
    torch.testing.assert_close(loss.objective, wanted.mean())
    assert not gradient(model, loss.objective, "model").any()
    assert not gradient(model, loss.objective, "decoder").any()


def test_the_error_of_features_is_that_of_the_critics_last_hidden_layer():
    model, x = tiny(), rows()
    model.objective.variance.fill_(0.25)
    torch.manual_seed(1)
    found = model.loss(x).terms["feature_error"]
    torch.manual_seed(1)
    mean = model.likelihood(model.posterior(x).rsample()).center
    critic = model.objective.critic
    apart = critic.features(mean / 4) - critic.features(x / 4)
    assert apart.shape == (32, 5)
    torch.testing.assert_close(found, 2 * apart.square().sum(1))


def test_the_scale_of_features_is_their_variance_over_data_after_the_critics_steps():
    """The mean of the first steps, and later an average that follows."""
    model, x = tiny(), rows()
    objective = model.objective
    wanted = objective.critic.features(x / 4).var(0, correction=0).mean().detach()
    model.after_step(model.loss(x, None, "decoder"), "decoder")
    assert objective.variance == 1, "only the critic moves features"
    model.after_step(model.loss(x, None, "critic"), "critic")
    torch.testing.assert_close(objective.variance, wanted)
    model.after_step(model.loss(x[:8], None, "critic"), "critic")
    second = objective.critic.features(x[:8] / 4).var(0, correction=0).mean().detach()
    torch.testing.assert_close(objective.variance, (wanted + second) / 2)
    objective.steps.fill_(10_000)
    model.after_step(model.loss(x, None, "critic"), "critic")
    follows = 0.99 * (wanted + second) / 2 + 0.01 * wanted
    torch.testing.assert_close(objective.variance, follows)


def test_a_batch_that_says_nothing_of_the_variance_of_features_leaves_it():
    """Of one row it is 0, by which no error could be divided; of a skipped step it is no number."""
    model, x = tiny(), rows()
    objective = model.objective
    model.after_step(model.loss(x[:1], None, "critic"), "critic")
    spoiled = model.loss(x, None, "critic")
    spoiled.statistics["squares"].fill_(torch.nan)
    model.after_step(spoiled, "critic")
    assert objective.variance == 1 and model.loss(x[:1]).objective.isfinite()
    model.after_step(model.loss(x, None, "critic"), "critic")
    wanted = objective.critic.features(x / 4).var(0, correction=0).mean().detach()
    torch.testing.assert_close(objective.variance, wanted)


def test_a_bound_is_there_and_one():
    model = tiny().eval()
    assert model.log_prob(rows(), samples=3).kind == "lower bound"
    assert model.keeps == "last"
