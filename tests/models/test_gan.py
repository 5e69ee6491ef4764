"""Generative adversarial networks: who learns what, in which units, and what a draw is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import reparam as rp
from reparam.data import Data, Split
from reparam.model import Column, Descend, Space

F64 = torch.float64


def gradients(model: rp.GAN, x: Tensor, player: str, module: nn.Module) -> Tensor:
    """Of a player's loss by the weights of a network, zeros where there is no path to them."""
    weights = list(module.parameters())
    torch.manual_seed(0)
    objective = model.loss(x, None, player).objective
    found = torch.autograd.grad(objective, weights, allow_unused=True)
    parts = [torch.zeros_like(w) if g is None else g for w, g in zip(weights, found, strict=True)]
    return torch.cat([part.flatten() for part in parts])


def players(model: rp.Model) -> dict[str, tuple[nn.Module, ...]]:
    (descent,) = (stage for stage in model.stages if isinstance(stage, Descend))
    return {player.name: player.modules for player in descent.players}


def levels(n: int = 64, count: int = 5) -> Data:
    generator = torch.Generator().manual_seed(0)
    split = Split(torch.randint(count, (n, 6), generator=generator).float())
    return Data(split, split, split, Space((6,), "levels", count), "levels")


def test_a_step_of_each_player_moves_its_own_network_alone():
    data = levels()
    model = rp.build("gan", data.space, latent_dim=3, hidden=(8,))
    assert set(players(model)) == {"model", "critic"}
    for player, others in (("model", "critic"), ("critic", "model")):
        for module in players(model)[others]:
            module.requires_grad_(False)
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        own = {id(p) for module in players(model)[player] for p in module.parameters()}
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1)
        model.loss(data.train.x, None, player).objective.backward()
        optimizer.step()
        moved = {id(p) for name, p in model.named_parameters() if not torch.equal(p, before[name])}
        assert moved == own
        model.requires_grad_(True)
        model.zero_grad()


def test_training_gives_each_loss_to_its_own_network_only(monkeypatch):
    """After the generator's turn the critic has no gradient; and what its own turn adds is all."""
    model, seen = rp.build("gan", levels().space, latent_dim=3, hidden=(8,)), []

    def after_step(loss, player="model"):
        nets = (model.generator, model.critic)
        seen.append([[p.grad for p in net.parameters() if p.grad is not None] for net in nets])

    monkeypatch.setattr(model, "after_step", after_step)
    rp.fit(model, levels(), epochs=1, batch_size=64, progress=False)
    (made, unmoved), (still, judged) = seen
    assert made and not unmoved and judged
    assert all(torch.equal(a, b) for a, b in zip(made, still, strict=True))


def test_the_critic_sees_draws_as_they_are_and_the_generator_gets_none_of_its_gradient():
    model = rp.build("gan", levels().space, latent_dim=3, hidden=(8,)).double()
    x = levels().train.x.double()
    assert not gradients(model, x, "critic", model.generator).any()
    assert gradients(model, x, "critic", model.critic).any()
    assert gradients(model, x, "model", model.generator).any()


def test_of_the_saturating_game_one_gains_what_the_other_loses():
    """The generator's gradient is minus that of the critic's cost by the same draws."""
    model = rp.build("gan", levels().space, latent_dim=3, hidden=(8,), loss="saturating").double()
    z = torch.randn(20, 3, dtype=F64)
    logits = model.critic(model.generated(z, None))
    weights = list(model.generator.parameters())
    ours, theirs = (
        torch.autograd.grad(value.mean(), weights, retain_graph=True)
        for value in (model.costs.of_generator(logits), model.costs.of_drawn(logits))
    )
    for gradient, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(gradient, -other)


@pytest.mark.parametrize("loss", ["non-saturating", "wasserstein"])
def test_terms_are_unweighted_and_sum_to_the_objective(loss):
    model = rp.build("gan", levels().space, latent_dim=3, hidden=(8,), loss=loss).double()
    found = model.loss(levels().train.x, None, "critic")
    penalty = "gradient_penalty" if loss == "wasserstein" else "r1"
    assert set(found.terms) == {"critic_loss", "critic_real", "critic_drawn", penalty}
    wanted = (found.terms["critic_loss"] + found.terms[penalty]).mean()
    torch.testing.assert_close(found.objective, wanted)
    real, drawn = found.terms["critic_real"], found.terms["critic_drawn"]
    cost = model.costs.of_real(real) + model.costs.of_drawn(drawn)
    torch.testing.assert_close(found.terms["critic_loss"], cost)


def test_r1_of_a_linear_critic_in_network_units():
    """½ γ ‖w‖², whatever the units of x."""

    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.tensor([3.0, 4.0]))

        def forward(self, x: Tensor) -> Tensor:
            return x @ self.w

    space = Space((2,), "real")
    model = rp.GAN(space, nn.Linear(1, 2), Linear(), latent_dim=1, r1=0.5)
    assert model.loss(torch.randn(4, 2), None, "critic").terms["r1"].tolist() == [6.25] * 4


def test_wasserstein_takes_five_steps_of_the_critic_and_no_r1():
    space = levels().space
    model = rp.build("gan", space, loss="wasserstein")
    descent = next(stage for stage in model.stages if isinstance(stage, Descend))
    assert [(p.name, p.steps) for p in descent.players] == [("model", 1), ("critic", 5)]
    assert model.r1 == 0 and rp.build("gan", space).r1 == 1
    with pytest.raises(ValueError, match=r"r1: expected auto or 0 for loss=wasserstein.*got 2"):
        rp.build("gan", space, loss="wasserstein", r1=2)


@pytest.mark.parametrize("dequantize", [False, True])
def test_draws_have_the_mean_that_decode_gives(dequantize):
    """⌊m + u⌋ has mean m; the middle of a dequantized box rounds to the level itself."""
    space = Space((2,), "levels", 5)
    model = rp.build("gan", space, latent_dim=1, hidden=(4,), dequantize=dequantize).double().eval()
    with torch.no_grad():  # whatever z is, x is tanh 0.3
        for p in model.generator.parameters():
            p.zero_()
        model.generator.rest[-1].bias.fill_(0.3)
    y = torch.tensor(0.3, dtype=F64).tanh()
    draws = model.sample(4000, generator=torch.Generator().manual_seed(0))
    assert set(draws.unique().tolist()) <= {0.0, 1.0, 2.0, 3.0, 4.0}
    if dequantize:
        wanted = (5 * (y + 1) / 2).floor()
        assert (draws == wanted).all()
        return
    wanted = 4 * (y + 1) / 2
    torch.testing.assert_close(model.decode(torch.zeros(1, 1)), wanted.expand(1, 2))
    # A coin of share .58 over 8 000 entries: 4 standard errors are 0.022.
    assert draws.mean().item() == pytest.approx(wanted.item(), abs=0.023)


def test_the_critic_sees_data_in_the_units_of_the_generator():
    """Levels 0 and K − 1 are −1 and 1; dequantized they fill their boxes."""
    space = Space((2,), "levels", 5)
    x = torch.tensor([[0.0, 4.0], [2.0, 2.0]])
    plain = rp.build("gan", space)
    assert plain.units(x)[0].tolist() == [[-1.0, 1.0], [0.0, 0.0]]
    y = rp.build("gan", space, dequantize=True).units(x.repeat(500, 1))[0]
    low, high = y[::2, 0], y[::2, 1]
    assert -1 <= low.min() and low.max() < -0.6 and 0.6 <= high.min() and high.max() < 1


def test_tables_of_all_but_names_have_draws_within_their_columns():
    columns = (
        Column("age", "levels", 5, low=18),
        Column("paid", "binary"),
        Column("income", "log"),
        Column("height", "real"),
    )
    space = Space((4,), "mixed", columns=columns)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(60, 4, generator=generator).double()
    x[:, 0], x[:, 1] = (x[:, 0] * 5).floor() + 18, (x[:, 1] > 0.5).double()
    split = Split(x)
    model = rp.build("gan", space, latent_dim=2, hidden=(8,))
    rp.fit(model, Data(split, split, split, space, "table"), epochs=1, progress=False)
    drawn = model.sample(50)
    assert set(drawn[:, 0].unique().tolist()) <= {18, 19, 20, 21, 22}
    assert set(drawn[:, 1].unique().tolist()) <= {0, 1}
    assert (drawn[:, 2] > 0).all()
    with pytest.raises(ValueError, match="category"):
        names = (Column("city", "category", 3, names=("a", "b", "c")), *columns[1:])
        rp.build("gan", Space((4,), "mixed", columns=names))


def test_validations_say_what_the_critic_makes_of_rows_it_was_not_trained_on():
    data = levels()
    model = rp.build("gan", data.space, latent_dim=2, hidden=(8,))
    history = rp.fit(model, data, epochs=2, progress=False)
    row = history.rows[-1]
    assert {"valid/critic_real", "valid/critic_drawn", "valid/critic_loss"} <= row.keys()
    assert {"train/critic/critic_real", "train/critic/r1", "train/generator_loss"} <= row.keys()
    assert history.keeps == "last"
    with pytest.raises(ValueError, match="patience: expected None for gan"):
        rp.fit(rp.build("gan", data.space), data, patience=3, progress=False)


def test_without_labels_there_is_no_conditional_one():
    with pytest.raises(ValueError, match=r"conditional: expected data with labels"):
        rp.build("gan", levels().space, conditional=True)


def test_logits_are_of_rows_without_noise():
    model = rp.build("gan", levels().space, dequantize=True).eval()
    x = levels().train.x
    assert torch.equal(model.logits(x), model.logits(x))
