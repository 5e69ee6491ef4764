"""Kernels leave their densities as they are: by transition matrices written out, by quadrature."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from reparam.chains.enumeration import log_sum, refuse_beyond, states
from reparam.chains.kernels import (
    Point,
    Tempered,
    flip,
    flipped,
    hamiltonian,
    langevin,
    log_flips,
    trajectory,
)

ALL = states(4, torch.empty(0, dtype=torch.float64))


@pytest.fixture
def bits() -> Tempered:
    """Four bits with couplings of three, which no gradient tells exactly."""
    generator = torch.Generator().manual_seed(0)
    logits, couplings = (
        torch.randn(size, generator=generator, dtype=torch.float64) for size in (4, 4)
    )

    def energy(y: Tensor) -> Tensor:
        triples = torch.stack([y[:, [i, (i + 1) % 4, (i + 2) % 4]].prod(1) for i in range(4)], 1)
        return 2 * (triples @ couplings) + (y @ couplings).square()

    return Tempered(lambda y: y @ logits, energy)


def law(target: Tempered, beta: float) -> Tensor:
    return target.at(ALL).log_density(beta).softmax(0)


def index_of(y: Tensor) -> Tensor:
    return (y @ torch.tensor([1.0, 2.0, 4.0, 8.0]).to(y)).long()


def matrix_of_flips(target: Tempered, beta: float) -> Tensor:
    """P, (16, 16), a row for each state that is left."""
    found = torch.zeros(16, 16, dtype=torch.float64)
    start = target.at(ALL)
    proposed = log_flips(start, beta)
    for i in range(4):
        index = torch.full((16, 1), i)
        end = flipped(target, start, index)
        gain = end.log_density(beta) - start.log_density(beta)
        ratio = log_flips(end, beta)[:, i] - proposed[:, i]
        there = proposed[:, i].exp() * (gain + ratio).exp().clamp(max=1)
        found[torch.arange(16), index_of(end.y)] += there
    found[range(16), range(16)] = 1 - found.sum(1)
    return found


@pytest.mark.parametrize("beta", [0.3, 1.0])
def test_gibbs_with_gradients_leaves_the_law_as_it_is(bits, beta):
    p, matrix = law(bits, beta), matrix_of_flips(bits, beta)
    assert matrix.min() >= -1e-15
    torch.testing.assert_close(p @ matrix, p, rtol=0, atol=1e-10)
    balance = p[:, None] * matrix  # each flip is as frequent as its way back
    torch.testing.assert_close(balance, balance.T, rtol=0, atol=1e-12)
    assert (matrix.diagonal() < 1).all()


def test_flips_are_drawn_as_the_matrix_says(bits):
    """40 000 steps from each of three states, frequencies within five standard errors."""
    n, matrix = 40_000, matrix_of_flips(bits, 1.0)
    for state in (0, 5, 15):
        start = bits.at(ALL[state].expand(n, 4))
        end, accepted = flip(bits, start, 1.0, torch.Generator().manual_seed(state))
        shares = torch.bincount(index_of(end.y), minlength=16).double() / n
        error = (matrix[state] * (1 - matrix[state]) / n).sqrt()
        assert ((shares - matrix[state]).abs() <= 5 * error + 1e-12).all()
        assert accepted.double().mean() == pytest.approx(1 - shares[state].item(), abs=1e-12)
        again = bits.at(end.y)  # what is carried along is what is there
        for carried, anew in zip(end, again, strict=True):
            torch.testing.assert_close(carried, anew, rtol=0, atol=1e-12)


def normal(scale: float = 1.0, boxed: bool = False) -> Tempered:
    """A flat base and the energy of a normal; moves are in units of another scale."""
    return Tempered(
        lambda y: 0 * y.sum(1),
        lambda y: 0.5 * (y / scale).square().sum(1),
        boxed=boxed,
        scale=torch.tensor([0.9]).double(),
    )


def expected_move(target: Tempered, f, y: Tensor, size: float, leapfrogs: int) -> Tensor:
    """E f(y') for each y by Gauss–Legendre quadrature over the momentum, (N,)."""
    nodes, weights = (8 * torch.tensor(part) for part in np.polynomial.legendre.leggauss(1000))
    weights = weights * torch.exp(-0.5 * nodes.square()) / math.sqrt(2 * math.pi)
    each = y.repeat_interleave(len(nodes), 0)
    momentum = nodes.repeat(len(y))[:, None]
    start = target.at(each)
    end, speed = trajectory(target, start, momentum, 1.0, torch.tensor([size]), leapfrogs)
    kinetic = 0.5 * (momentum.square() - speed.square()).sum(1)
    gain = end.log_density(1.0) - start.log_density(1.0) + kinetic
    share = gain.exp().clamp(max=1)
    values = share * f(end.y) + (1 - share) * f(each)
    return values.view(len(y), -1) @ weights


@pytest.mark.parametrize("leapfrogs", [1, 3])
@pytest.mark.parametrize("boxed", [False, True], ids=["line", "box"])
def test_corrected_steps_leave_a_normal_as_it_is(leapfrogs, boxed):
    """E f(y') = E f(y) for y of the normal, truncated where it is boxed.

    The share that is accepted has a kink, and a wall another one, at which quadrature by 1 000
    nodes errs by 1e-4. Clipped at the walls, f's mean would move by 0.02.
    """
    reach, size = (1.0, 0.8) if boxed else (9.0, 1.2)
    target = normal(0.7 if boxed else 1.0, boxed)
    nodes, weights = np.polynomial.legendre.leggauss(200)
    y = reach * torch.tensor(nodes)[:, None]
    density = torch.tensor(weights) * target.at(y).log_density(1.0).exp()
    density = density / density.sum()

    def f(y: Tensor) -> Tensor:
        return torch.cos(2 * y[:, 0]) + 0.5 * y[:, 0]

    moved = expected_move(target, f, y, size, leapfrogs)
    assert (density * moved).sum().item() == pytest.approx((density * f(y)).sum().item(), abs=3e-4)
    assert (moved - f(y)).abs().max() > 0.05, "it moves"


def test_a_step_accepts_as_often_as_quadrature_says():
    target, n = normal(), 100_000
    start = torch.full((n, 1), 1.5, dtype=torch.float64)
    size = torch.tensor([1.2], dtype=torch.float64)
    noise = torch.Generator().manual_seed(1)
    end, accepted = hamiltonian(target, target.at(start), 1.0, size, 2, noise)
    wanted = expected_move(target, lambda y: y[:, 0].square(), start[:1], 1.2, 2).item()
    squares = end.y.square()
    error = (squares.std() / math.sqrt(n)).item()
    assert squares.mean().item() == pytest.approx(wanted, abs=4 * error + 1e-3)
    assert torch.equal(accepted, end.y[:, 0] != 1.5)


def test_a_trajectory_between_walls_goes_back_the_way_it_came():
    """Reversible, and of unit volume: det ∂(y', p')/∂(y, p) = 1."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 8), nn.SiLU(), nn.Linear(8, 1)).double()
    target = Tempered(
        lambda y: -y.square().sum(1),
        lambda y: 5 * network(y).squeeze(1),
        boxed=True,
        scale=torch.tensor([0.5, 1.5]).double(),
    )
    y, momentum = 1.8 * torch.rand(50, 2).double() - 0.9, 3 * torch.randn(50, 2).double()
    size = torch.tensor([0.25]).double()
    end, speed = trajectory(target, target.at(y), momentum, 1.0, size, 5)
    assert end.y.abs().max() <= 1
    back, first = trajectory(target, end, -speed, 1.0, size, 5)
    torch.testing.assert_close(back.y, y, rtol=0, atol=1e-10)
    torch.testing.assert_close(-first, momentum, rtol=0, atol=1e-10)
    h = 1e-5
    for row in range(5):
        both = torch.cat([y[row], momentum[row]])
        ends = []
        for shift in [*h * torch.eye(4).double(), *-h * torch.eye(4).double()]:
            at, of = (both + shift).split(2)
            point, of_end = trajectory(target, target.at(at[None]), of[None], 1.0, size, 5)
            ends.append(torch.cat([point.y[0], of_end[0]]))
        jacobian = (torch.stack(ends[:4]) - torch.stack(ends[4:])) / (2 * h)
        assert abs(jacobian.det().abs().item() - 1) < 1e-6


def test_nothing_piles_up_at_the_walls():
    """Uniform noise stays uniform under steps without a force, as a χ² test of ten bins finds."""
    flat = Tempered(lambda y: 0 * y.sum(1), lambda y: 0 * y.sum(1), boxed=True)
    y = 2 * torch.rand(50_000, 1, generator=torch.Generator().manual_seed(0)) - 1
    noise = torch.Generator().manual_seed(1)
    for _ in range(20):
        y = langevin(flat, y, 1.0, 0.1, 0.7, generator=noise)
    counts = torch.histc(y, 10, -1, 1)
    assert (counts - 5000).square().sum() / 5000 < 33.7  # of 9 degrees of freedom 1 in 10 000


def test_uncorrected_steps_have_the_variance_that_they_must():
    """Of a normal the chain is autoregressive: y ← (1 − s) y + √(2s) ε, variance 1/(1 − s/2).

    In units of .9, s is .81 times the step.
    """
    target, step = normal(), 0.2
    y = torch.randn(20_000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    noise = torch.Generator().manual_seed(1)
    for _ in range(30):
        y = langevin(target, y, 1.0, step, math.sqrt(2 * step), generator=noise)
    wanted = 1 / (1 - 0.81 * step / 2)
    assert y.var().item() == pytest.approx(wanted, abs=4 * wanted * math.sqrt(2 / 20_000))


def test_gradients_are_clipped_once_by_their_norm():
    steep = Tempered(lambda y: 0 * y.sum(1), lambda y: 100 * y.sum(1))
    y = torch.zeros(1, 4)
    torch.testing.assert_close(langevin(steep, y, 1.0, 1.0, 0.0, most=2.0), y - 1)
    torch.testing.assert_close(langevin(steep, y, 0.001, 1.0, 0.0, most=2.0), y - 0.1)


def test_a_point_that_is_not_finite_is_never_accepted():
    cliff = Tempered(
        lambda y: 0 * y.sum(1), lambda y: torch.where(y.sum(1) > 0, torch.nan, y.sum(1))
    )
    start = cliff.at(torch.full((100, 1), -0.1))
    end, accepted = hamiltonian(cliff, start, 1.0, torch.tensor([1.0]))
    assert isinstance(end, Point) and end.y.max() <= 0
    assert accepted.any() and not accepted.all()


def test_a_sum_over_states_is_the_product_of_independent_bits(monkeypatch):
    """In blocks as in one, with its gradient, the probabilities of the bits."""
    logits = torch.linspace(-3, 3, 7, dtype=torch.float64, requires_grad=True)
    for at_once in (2**13, 16):
        monkeypatch.setattr("reparam.chains.enumeration.STATES_AT_ONCE", at_once)
        found = log_sum(lambda s: s @ logits, 7, logits.detach())
        wanted = nn.functional.softplus(logits).sum()
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)
        (slope,) = torch.autograd.grad(found, logits)
        torch.testing.assert_close(slope, logits.sigmoid(), rtol=0, atol=1e-12)


def test_too_many_states_are_refused_with_their_number():
    refuse_beyond(20, "")
    with pytest.raises(ValueError, match=r"2\^20 states or fewer.*got 2\^21; take annealed"):
        refuse_beyond(21, "take annealed")
