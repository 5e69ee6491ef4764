"""The σ-VAE: what each scale promises, the optimal one in particular, which couples the rows."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import reparam as rp
from reparam.model import Batch, Solve, Space

F64 = torch.float64
SPACES = {
    "real": Space((6,), "real"),
    "levels": Space((6,), "levels", 17),
    "binary": Space((1, 2, 3), "binary"),
}


def data(space: Space, n: int, seed: int = 0) -> Tensor:
    x = torch.rand(n, *space.shape, generator=torch.Generator().manual_seed(seed), dtype=F64)
    k = space.level_count
    return 5 + 3 * x if k is None else (x * k).floor()


def sigma_vae(space: Space, **parameters: object) -> rp.VAE:
    torch.manual_seed(1)
    model = rp.build("sigma-vae", space, latent_dim=2, hidden=(8,), **parameters).double()
    for stage in model.stages:
        if isinstance(stage, Solve):
            stage.solve(model, [Batch(data(space, 50, seed=9))])
    assert isinstance(model, rp.VAE)
    return model


def mean_squared_error(model: rp.VAE, x: Tensor, seed: int) -> Tensor:
    """Of the draws that a loss under this seed makes: in standardized units, or in level units
    with its expectation over the dequantizing noise."""
    torch.manual_seed(seed)
    outputs = model.decoder(model.posterior(x).rsample()).view(x.shape)
    if model.space.level_count is None:
        return (model.standardize.scaled(x) - outputs).square().mean()
    # u is uniform on [0, 1), the mean in the middle of its level's bin, [m, m + 1):
    # E (x + u − m − ½)² = (x − m)² + 1/12.
    return (x - outputs * (model.space.level_count - 1)).square().mean() + 1 / 12


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_training_value_at_the_optimal_scale_is_its_closed_form(space):
    """−log p = D/2 (ln 2πσ² + 1) on average, σ² the mean squared error of the batch."""
    model, x = sigma_vae(space), data(space, 20)
    assert model.training
    assert model.couples_rows
    torch.manual_seed(7)
    loss = model.loss(x)
    sigma2 = mean_squared_error(model, x, seed=7)
    wanted = space.dimension / 2 * (torch.log(2 * math.pi * sigma2) + 1)
    if space.kind == "real":  # in the data's own units: the columns' scales are the Jacobian
        wanted = wanted + model.standardize.scale.log().sum()
    torch.testing.assert_close(loss.terms["distortion"].mean(), wanted, rtol=1e-12, atol=0)


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_no_other_scale_gives_the_batch_a_better_value(space):
    """The frozen density at the optimal σ equals the training value, at other σ it is lower."""
    model, x = sigma_vae(space), data(space, 20)
    torch.manual_seed(7)
    loss = model.loss(x)
    with torch.no_grad():
        model.after_step(loss)  # the first step takes the batch's own value
    model.eval()

    def distortion(change: float) -> float:
        with torch.no_grad():
            model.p_x.log_scale += change
        torch.manual_seed(7)
        value = model.loss(x).terms["distortion"].mean().item()
        with torch.no_grad():
            model.p_x.log_scale -= change
        return value

    best = loss.terms["distortion"].mean().item()
    assert distortion(0.0) == pytest.approx(best, rel=1e-10)
    assert distortion(0.05) > best
    assert distortion(-0.05) > best


def test_the_optimal_scale_couples_rows_in_training_and_not_in_evaluation():
    space = SPACES["real"]
    model, x = sigma_vae(space), data(space, 8)
    far = x.clone()
    far[4:] += 50
    epsilon_seed = 2

    def first_rows(rows: Tensor) -> Tensor:
        torch.manual_seed(epsilon_seed)
        return model.loss(rows).terms["distortion"][:4].detach()

    assert not torch.allclose(first_rows(x), first_rows(far), rtol=1e-3)
    assert model.log_prob(x).kind == "estimate"  # σ has seen x: no bound
    model.eval()
    torch.testing.assert_close(first_rows(x), first_rows(far), rtol=1e-12, atol=1e-12)
    assert model.log_prob(x).kind == "lower bound"


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_the_running_scale_follows_the_batches(space):
    """A plain mean of σ² over the first hundred steps, in network units; then it forgets."""
    model, seen = sigma_vae(space), []
    top = 1 if space.level_count is None else space.level_count - 1
    before = model.p_x.log_scale.clone()
    for step in range(5):
        loss = model.loss(data(space, 10, seed=step))
        assert torch.equal(model.p_x.log_scale, before), "a loss moves nothing"
        seen.append((loss.statistics["squared_error"] / loss.statistics["entries"]).item())
        with torch.no_grad():
            model.after_step(loss)
        before = model.p_x.log_scale.clone()
        wanted = sum(seen) / len(seen) / top**2
        assert torch.exp(2 * model.p_x.log_scale).item() == pytest.approx(wanted, rel=1e-12)
    statistics = {"squared_error": torch.tensor(9.0 * top**2), "entries": torch.tensor(1.0)}
    for _ in range(2000):  # weights of at least 1 in 100: what was before has share e^−20
        model.p_x.after_step(statistics)
    assert torch.exp(2 * model.p_x.log_scale).item() == pytest.approx(9.0, rel=1e-6)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_statistics_of_a_skipped_step_are_left_out(bad):
    model = sigma_vae(SPACES["real"])
    model.p_x.after_step({"squared_error": torch.tensor(8.0), "entries": torch.tensor(2.0)})
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.p_x.after_step({"squared_error": torch.tensor(bad), "entries": torch.tensor(2.0)})
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.5])
def test_gradient_at_fixed_sigma_is_that_of_the_weighted_squared_error(sigma):
    """1/(2σ²) times the gradient of ‖x − f‖² + 2σ² KL, through real networks."""
    space = SPACES["real"]
    model, x = sigma_vae(space, scale="fixed", sigma=sigma), data(space, 12)
    # log σ was rounded to float32 before .double(), which is rounding of data to this test.
    model.p_x.log_scale.fill_(math.log(sigma))
    weights = [p for p in model.parameters() if p.requires_grad]
    torch.manual_seed(3)
    found = torch.autograd.grad(model.loss(x).objective, weights)
    torch.manual_seed(3)
    q = model.posterior(x)
    z = q.rsample()
    error = (model.standardize.scaled(x) - model.decoder(z).view(x.shape)).square().sum(1)
    kl = 0.5 * (q.mean**2 + (2 * q.log_scale).exp() - 1 - 2 * q.log_scale).sum(1)
    plain = torch.autograd.grad((error + 2 * sigma**2 * kl).mean(), weights)
    for ours, theirs in zip(found, plain, strict=True):
        torch.testing.assert_close(ours, theirs / (2 * sigma**2), rtol=1e-9, atol=1e-11)


def test_a_perfect_fit_stays_finite():
    space = Space((3,), "real")
    p_x = rp.Normal(space, "optimal").double()
    mean = torch.zeros(4, 3, dtype=F64, requires_grad=True)
    value = p_x(mean).log_prob_terms(torch.zeros(4, 3, dtype=F64))
    (gradient,) = torch.autograd.grad(value.sum(), mean)
    assert value.isfinite().all()
    assert gradient.isfinite().all()
    p_x.after_step(p_x(mean).statistics(torch.zeros(4, 3, dtype=F64)))
    p_x.eval()
    # Evaluation does not claim more than training could: one floor for both.
    evaluated = p_x(mean).log_prob_terms(torch.zeros(4, 3, dtype=F64))
    torch.testing.assert_close(evaluated, value, rtol=1e-9, atol=0)
