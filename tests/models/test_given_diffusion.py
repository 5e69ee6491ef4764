"""Diffusion of what is left of x: entries that y says outright are no part of its density."""

import itertools
import math

import pytest
import torch

import reparam as rp
from reparam.model import Batch, Solve

TINY = dict(times=6, width=4, predict="velocity")


@pytest.fixture(autouse=True)
def coarse_solver(monkeypatch):
    """Units and masks do not depend on how well an equation is solved."""
    monkeypatch.setattr("reparam.models.diffusion.ODE_STEPS", 4)


def solved(model, x):
    for stage in model.stages:
        if isinstance(stage, Solve):
            stage.solve(model, [Batch(x)])
    return model.eval()


def test_bounds_given_what_is_known_sum_to_less_than_1():
    """Of the sixteen x with one y the probabilities sum to 1, and the means of bounds to less.

    Were what is known counted, they would sum to the probability of that half of x, which without
    training is far below the half that is left here.
    """
    space = rp.Space((1, 2, 4), "binary")
    torch.manual_seed(0)
    model = rp.build("ddpm", space, given="mask:half", seed=0, **TINY).double()
    every = torch.tensor(list(itertools.product((0.0, 1.0), repeat=4)), dtype=torch.float64)
    known = torch.tensor([1.0, 0, 0, 1]).double().expand(16, 4)
    x = torch.cat([known, every], 1).view(16, 1, 2, 4)
    solved(model, x)
    assert model.counted == 4
    draws = [model.log_prob(x, samples=6).value.detach() for _ in range(200)]
    bound = torch.stack(draws).mean(0)
    total = bound.exp().sum().item()
    assert 0.1 < total < 1.0
    assert model.log_prob(x[:1], model.degradation(x[1:2] * 0)).value.item() == -math.inf


@pytest.mark.parametrize("preset", ["ddpm", "score-sde"])
def test_densities_are_in_the_units_of_the_entries_that_are_not_known(preset):
    space = rp.Space((1, 4, 3), "real")
    options = TINY if preset == "ddpm" else {k: TINY[k] for k in ("width", "predict")}
    x = torch.randn(40, 1, 4, 3, generator=torch.Generator().manual_seed(1)).double()
    found = []
    for scale, shift in ((1.0, 0.0), (8.0, 100.0)):
        model = rp.build(preset, space, given="mask:half", seed=0, **options).double()
        torch.manual_seed(5)
        of = solved(model, scale * x + shift)
        generator = torch.Generator().manual_seed(2)
        found.append(of.log_prob(scale * x[:5] + shift, samples=6, generator=generator).value)
    # Six entries are not known: each of their densities is an eighth.
    difference = (found[0] - found[1]).detach()
    assert torch.allclose(difference, torch.full_like(difference, 6 * math.log(8)), atol=1e-6)


@pytest.mark.parametrize("preset", ["ddpm", "score-sde"])
def test_the_noise_of_what_is_known_reaches_no_network(preset):
    space = rp.Space((1, 4, 3), "levels", 5)
    options = {k: TINY[k] for k in ("width", "predict")}
    model = rp.build(preset, space, given="subsample:2", seed=0, **options).double()
    x = torch.randint(0, 5, (3, 1, 4, 3)).double()
    y, seen = model.degradation(x), []
    model.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model.loss(x)
    model.sample(3, y)
    model.log_prob(x)
    assert len(seen) > 3
    assert all(not one[:, model.degradation.known].any() for one in seen)
    code = model.as_codec(sampling_steps=3)
    back = code.reconstruct(x)
    assert torch.equal(back[:, model.degradation.known], x[:, model.degradation.known])


def test_where_all_is_given_nothing_is_left_to_learn():
    model = rp.build("ddpm", rp.Space((1, 4, 4), "real"), given="downscale:1", **TINY).double()
    x = torch.randn(5, 1, 4, 4).double()
    solved(model, x)
    assert model.loss(x).objective.item() == 0
    assert torch.equal(model.sample(5, x), x)
    assert model.log_prob(x, samples=3).value.abs().max() == 0
