"""Adversarial losses against what is known where everything can be enumerated."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from reparam.objectives.adversarial_losses import LOSSES, gradient_penalty, squared_slopes

F64 = torch.float64
OUTCOMES = 12


def shares(seed: int, zeros: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    p = torch.rand(OUTCOMES, generator=generator, dtype=F64)
    p[:zeros] = 0
    return p / p.sum()


def kl(p: Tensor, q: Tensor) -> Tensor:
    there = p > 0
    return (p[there] * (p[there] / q[there]).log()).sum()


def jsd(p: Tensor, q: Tensor) -> Tensor:
    middle = (p + q) / 2
    return (kl(p, middle) + kl(q, middle)) / 2


def cost(logits: Tensor, p: Tensor, q: Tensor, name: str = "non-saturating") -> Tensor:
    """What the critic minimizes, in expectation over data p and draws q."""
    loss = LOSSES[name]
    return (p * loss.of_real(logits)).sum() + (q * loss.of_drawn(logits)).sum()


def fitted(p: Tensor, q: Tensor) -> Tensor:
    """The best table of logits, by L-BFGS."""
    logits = torch.zeros(OUTCOMES, dtype=F64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [logits],
        max_iter=500,
        tolerance_grad=1e-14,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = cost(logits, p, q)
        value.backward()
        return value

    optimizer.step(closure)
    return logits.detach()


@pytest.mark.parametrize("zeros", [0, 3])
def test_the_best_critic_is_the_share_of_the_data_and_its_cost_that_of_the_divergence(zeros):
    """Where one of both never occurs logits run away: what is left of their cost is below 1e-6."""
    p, q = shares(0), shares(1, zeros)
    logits = fitted(p, q)
    both = (p > 0) & (q > 0)
    torch.testing.assert_close(logits.sigmoid()[both], (p / (p + q))[both], rtol=0, atol=1e-3)
    wanted = math.log(4) - 2 * jsd(p, q)
    assert cost(logits, p, q).item() == pytest.approx(wanted.item(), abs=1e-6)


def test_of_equal_distributions_the_critic_knows_nothing():
    p = shares(2)
    logits = fitted(p, p)
    torch.testing.assert_close(logits, torch.zeros_like(logits), rtol=0, atol=1e-6)
    assert cost(logits, p, p).item() == pytest.approx(2 * math.log(2), abs=1e-12)


@pytest.mark.parametrize(
    ("name", "divergence"),
    [
        ("saturating", lambda p, q: 2 * jsd(p, q)),
        ("non-saturating", lambda p, q: kl(q, p) - 2 * jsd(p, q)),
    ],
)
def test_gradients_of_the_generator_at_the_best_critic(
    name: str, divergence: Callable[[Tensor, Tensor], Tensor]
):
    p, table = (
        shares(3),
        torch.randn(OUTCOMES, dtype=F64, generator=torch.Generator().manual_seed(4)),
    )
    table.requires_grad_()
    q = table.softmax(0)
    best = (p.log() - q.log()).detach()
    generator = (q * LOSSES[name].of_generator(best)).sum()
    found, wanted = (
        torch.autograd.grad(value, table, retain_graph=True)[0]
        for value in (generator, divergence(p, q))
    )
    assert wanted.abs().max() > 0.01
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-10)


def test_costs_by_hand():
    """Of a logit of 2: ln(1 + e⁻²) = 0.1269, ln(1 + e²) = 2.1269."""
    logit = torch.tensor([2.0], dtype=F64)
    low, high = math.log1p(math.exp(-2)), math.log1p(math.exp(2))
    wanted = {
        "non-saturating": (low, high, low),
        "saturating": (low, high, -high),
        "hinge": (0.0, 3.0, -2.0),
        "wasserstein": (-2.0, 2.0, -2.0),
    }
    for name, values in wanted.items():
        loss = LOSSES[name]
        found = [f(logit).item() for f in (loss.of_real, loss.of_drawn, loss.of_generator)]
        assert found == pytest.approx(list(values), abs=1e-12), name


def test_slopes_of_a_linear_critic_are_its_weights():
    """R1 is then ½ γ ‖w‖², and the penalty between data and draws (‖w‖ − 1)² wherever they are."""
    w = torch.randn(5, dtype=F64, requires_grad=True)
    x = torch.randn(7, 5, dtype=F64)
    logits, squares = squared_slopes(lambda x: x @ w, x)
    torch.testing.assert_close(logits, x @ w)
    torch.testing.assert_close(squares, (w @ w).expand(7))
    (slope,) = torch.autograd.grad(0.5 * squares.mean(), w)
    torch.testing.assert_close(slope, w.detach())
    penalty = gradient_penalty(lambda x: x @ w, x, x + 1)
    torch.testing.assert_close(penalty, (w.norm() - 1).square().expand(7))


def test_the_gradient_penalty_is_of_points_between_a_row_and_its_draw():
    seen: list[Tensor] = []

    def critic(x: Tensor) -> Tensor:
        seen.append(x.detach())
        return x.flatten(1).sum(1)

    real, drawn = torch.zeros(200, 1, 2, 2), torch.ones(200, 1, 2, 2)
    gradient_penalty(critic, real, drawn)
    shares = seen[0].flatten(1)
    assert (shares == shares[:, :1]).all(), "one share for a whole row"
    assert 0 < shares.min() < 0.1 and 0.9 < shares.max() < 1


def test_slopes_are_there_without_gradients():
    with torch.no_grad():
        _, squares = squared_slopes(lambda x: 2 * x.sum(1), torch.ones(2, 3))
    assert squares.tolist() == [12.0, 12.0]
