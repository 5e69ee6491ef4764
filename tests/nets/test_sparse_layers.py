"""The k largest units, and tied weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import reparam as rp
from reparam.model import Space

F64 = torch.float64


def winners(layer, h):
    """The mask itself, also where a kept value is 0: where the gradient passes."""
    h = h.clone().requires_grad_()
    layer(h).sum().backward()
    return h.grad


@pytest.mark.parametrize("k", [1, 3, 6])
def test_exactly_k_units_win_with_ties_too(k):
    rows = torch.tensor([[0.0] * 6, [1, 1, 1, 1, 0, 0], [-1, -1, -2, -2, -3, -3]], dtype=F64)
    rows = torch.cat([rows, torch.randn(50, 6, dtype=F64)])
    mask = winners(rp.KSparse(k), rows)
    assert torch.isin(mask, torch.tensor([0.0, 1.0], dtype=F64)).all(), "losers: exactly 0"
    assert (mask.sum(1) == k).all()
    smallest = torch.where(mask == 1, rows, torch.inf).min(1).values
    largest = torch.where(mask == 0, rows, -torch.inf).max(1).values
    assert (smallest >= largest).all()
    torch.testing.assert_close(rp.KSparse(k)(rows), rows * mask, rtol=0, atol=0)


def test_the_threshold_leaves_no_negative_winner():
    h = torch.tensor([[3.0, -1.0, -2.0, -3.0]])
    assert rp.KSparse(2)(h).tolist() == [[3.0, -1.0, 0.0, 0.0]]
    assert rp.KSparse(2, threshold=True)(h).tolist() == [[3.0, 0.0, 0.0, 0.0]]


def test_alpha_times_k_units_are_features_after_training():
    h = torch.randn(5, 8)
    for alpha, count in ((1.0, 2), (1.5, 3), (3.0, 6), (9.0, 8)):
        layer = rp.KSparse(2, alpha)
        assert (winners(layer.train(), h).sum(1) == 2).all()
        assert (winners(layer.eval(), h).sum(1) == count).all()


def test_senseless_counts_are_refused():
    with pytest.raises(ValueError, match="k: .*0"):
        rp.KSparse(0)
    with pytest.raises(ValueError, match=r"alpha: .*0\.5"):
        rp.KSparse(1, alpha=0.5)
    with pytest.raises(ValueError, match="k: expected at most the 3 units, got 4"):
        rp.KSparse(4)(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="k: expected at most latent_dim 3, got 4"):
        rp.build("k-sparse-ae", Space((5,), "real"), latent_dim=3, k=4)


def tied_linear(space, weight, bias, offset, x):
    """Σ (x − (Wx + b)Wᵀ − a)², written out."""
    code = x.flatten(1) @ weight.T + bias
    return (x.flatten(1) - code @ weight - offset).square().sum(1)


def test_with_all_units_it_is_the_tied_linear_autoencoder():
    """Values, and gradients that reach W from both of its uses."""
    space = Space((1, 2, 3), "real")
    model = rp.build("k-sparse-ae", space, latent_dim=4, k=4).double()
    x = torch.randn(7, 1, 2, 3, dtype=F64)
    names = dict(model.named_parameters())
    assert set(names) == {"encoder.1.weight", "encoder.1.bias", "decoder.bias"}
    error = tied_linear(space, *names.values(), x)
    loss = model.loss(x)
    torch.testing.assert_close(loss.terms["squared_error"], error)
    ours = torch.autograd.grad(loss.objective, names.values())
    wanted = torch.autograd.grad(error.mean(), names.values())
    torch.testing.assert_close(ours, wanted)
    fewer = rp.build("k-sparse-ae", space, latent_dim=4, k=2).double()
    fewer.load_state_dict(model.state_dict())
    assert not torch.isclose(fewer.loss(x).terms["squared_error"], error).any()


def test_losers_leave_no_gradient_on_their_weights():
    """One row, k = 1: the weights and bias of the three units that lose."""
    model = rp.build("k-sparse-ae", Space((5,), "real"), latent_dim=4, k=1).double()
    x = torch.randn(1, 5, dtype=F64)
    lost = model.encode(x)[0] == 0
    assert lost.sum() == 3
    model.loss(x).objective.backward()
    linear = model.encoder[1]
    assert (linear.weight.grad[lost] == 0).all() and (linear.bias.grad[lost] == 0).all()
    assert linear.weight.grad[~lost].all()


def test_tied_weights_stay_tied_through_copies_and_casts():
    import copy

    linear = nn.Linear(3, 2)
    pair = copy.deepcopy(nn.Sequential(linear, rp.Tied(linear, (3,)))).double()
    with torch.no_grad():
        pair[0].weight.fill_(2.0)
    torch.testing.assert_close(
        pair[1](torch.ones(1, 2, dtype=F64)), torch.full((1, 3), 4.0, dtype=F64)
    )
