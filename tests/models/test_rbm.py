"""Restricted Boltzmann machines beside sums over all states of both layers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import reparam as rp
from reparam.chains.enumeration import states
from reparam.model import Space
from reparam.models.rbm import RBM

LIKE = torch.empty(0, dtype=torch.float64)


def machine(visible: int = 4, hidden: int = 3, **options) -> RBM:
    torch.manual_seed(0)
    model = RBM(Space((visible,), "binary"), hidden, chains=5, **options).double()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn_like(p))
        model.base.logits.copy_(torch.linspace(-1, 1, visible))
    return model.eval()


def joint(model: RBM) -> Tensor:
    """p(v, h), a row for each v and a column for each h."""
    visible, hidden = model.weight.shape
    v, h = states(visible, LIKE), states(hidden, LIKE)
    weights = v @ model.weight @ h.T + (v @ model.visible_bias)[:, None] + h @ model.hidden_bias
    return weights.flatten().softmax(0).view_as(weights)


def test_log_prob_is_the_sum_over_hidden_states():
    model = machine()
    found = model.log_prob(states(4, LIKE))
    assert found.kind == "exact" and model.approximation == "tractable"
    torch.testing.assert_close(found.value, joint(model).sum(1).log(), rtol=0, atol=1e-12)
    assert abs(found.value.exp().sum().item() - 1) < 1e-9


def test_sums_over_either_layer_agree():
    for visible, hidden in ((4, 9), (9, 4), (6, 6)):
        model = machine(visible, hidden)
        by_visible = model.log_weight(states(visible, LIKE)).logsumexp(0)
        by_hidden = model._log_weight_of_hidden(states(hidden, LIKE)).logsumexp(0)
        assert abs((by_visible - by_hidden).item()) < 1e-9
        assert abs((model.enumerated() - by_hidden).item()) < 1e-9


@torch.no_grad()
@pytest.mark.parametrize("beta", [0.4, 1.0])
def test_gibbs_steps_leave_the_law_as_it_is(beta):
    """The transition matrix on 2⁴ states, by way of all hidden states, at two temperatures."""
    model = machine()
    v, h = states(4, LIKE), states(3, LIKE)

    def chances(shares: Tensor, bits: Tensor) -> Tensor:
        """P(bits | …), a row for each row of shares."""
        each = torch.where(bits.bool(), shares[:, None], 1 - shares[:, None])
        return each.prod(2)

    matrix = chances(model.hidden_given(v, beta), h) @ chances(model.visible_given(h, beta), v)
    law = model.tempered(v, beta).softmax(0)
    torch.testing.assert_close(law @ matrix, law, rtol=0, atol=1e-12)
    if beta == 1:
        torch.testing.assert_close(law, joint(model).sum(1), rtol=0, atol=1e-12)
    n = 40_000  # steps drawn from one state, within five standard errors
    end = model.advanced(v[5].expand(n, 4), 1, beta, torch.Generator().manual_seed(0))
    places = (end @ torch.tensor([1.0, 2, 4, 8]).double()).long()
    shares = torch.bincount(places, minlength=16).double() / n
    error = (matrix[5] * (1 - matrix[5]) / n).sqrt()
    assert ((shares - matrix[5]).abs() < 5 * error).all()


@torch.no_grad()
def test_annealing_starts_where_it_says_and_ends_at_the_machine():
    model = machine(runs=2000, temperatures=100)
    v = states(4, LIKE)
    base = torch.distributions.Bernoulli(logits=model.base.logits).log_prob(v).sum(1)
    start = model.tempered(v, 0.0)
    torch.testing.assert_close(start.softmax(0), base.exp(), rtol=0, atol=1e-12)
    torch.testing.assert_close(model.tempered(v, 1.0), model.log_weight(v), rtol=0, atol=1e-12)
    found = model.annealed(torch.Generator().manual_seed(0))
    exact = model.enumerated().item()
    assert abs(found.value.item() - exact) < 4 * found.stderr.item() < 0.2
    assert found.kind == "estimate"


def test_the_gradient_of_the_loss_is_that_of_the_likelihood_under_all_states():
    """With chains in place that have the frequencies of p(v): −log p(x), to 1e-12.

    Of the objective it is linear in the energies of chains, so that the mean over chains may be
    taken state by state.
    """
    model = machine()
    x, weights = states(4, LIKE)[[3, 5, 9]], list(model.parameters())
    share = joint(model).sum(1).detach()
    found = [torch.zeros_like(w) for w in weights]
    for state, p in zip(states(4, LIKE), share, strict=True):
        model.states = state.expand(5, 4)
        slopes = torch.autograd.grad(model.loss(x).objective, weights)
        found = [f + p * s for f, s in zip(found, slopes, strict=True)]
    wanted = torch.autograd.grad(-model.log_prob(x).value.mean(), weights)
    for mine, its in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, its, rtol=0, atol=1e-12)


def test_training_comes_near_to_the_entropy_of_the_data():
    """Three patterns of six bits with a little noise: exact −log p(x) is within .15 nats of it."""
    generator = torch.Generator().manual_seed(0)
    patterns = torch.tensor([[1, 1, 0, 0, 1, 0], [0, 1, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1]])
    x = patterns[torch.randint(3, (1200,), generator=generator)].bool()
    x = (x ^ (torch.rand(1200, 6, generator=generator) < 0.02)).float()
    data = rp.Data(*(rp.Split(p) for p in x.split([800, 200, 200])), Space((6,), "binary"), "toy")
    model = rp.build("rbm", data.space, hidden=4, seed=0)
    rp.fit(model, data, epochs=50, batch_size=64, lr=0.05, progress=False)
    counts = torch.unique(x, dim=0, return_counts=True)[1] / len(x)
    entropy = -(counts * counts.log()).sum()
    with torch.no_grad():
        nll = -model.log_prob(x).value.mean()
    assert nll < entropy + 0.15
    draws = model.sample(1000, generator=torch.Generator().manual_seed(1))
    assert ((draws.mean(0) - x.mean(0)).abs() < 0.08).all()


@pytest.mark.parametrize("kind", ["levels", "real"])
def test_other_data_are_refused_with_what_to_do(kind):
    space = Space((1, 8, 8), kind, 17 if kind == "levels" else None)
    with pytest.raises(ValueError, match=f"rbm: expected binary data, got {kind}.*--binarize 0.5"):
        rp.build("rbm", space)
    with pytest.raises(ValueError, match=f"space: expected binary data, got {kind}"):
        RBM(space)


def test_bad_numbers_are_refused():
    space = Space((30,), "binary")
    with pytest.raises(ValueError, match=r"2\^20 states or fewer.*got 2\^25; take"):
        rp.build("rbm", space, hidden=25, partition="enumerate")
    with pytest.raises(ValueError, match="chains: expected a whole number of at least 1, got 0"):
        rp.build("rbm", space, chains=0)
    assert rp.build("rbm", space, hidden=25).approximation == "markov chain"
    assert rp.build("rbm", space, hidden=20).approximation == "tractable"
