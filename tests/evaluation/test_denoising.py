"""Errors of corrupted and repaired examples against what the noise must give."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import reparam as rp
from reparam.data import Split
from reparam.evaluation.denoising import repair
from reparam.model import Batch, Space


def codec(space, corruption, decoder=None):
    d = space.dimension
    model = rp.Autoencoder(
        space, nn.Identity(), decoder or nn.Identity(), d, "squared_error", corruption
    )
    return model.double()


def made(kind="levels", rows=400):
    x = torch.randint(0, 5, (rows, 6), generator=torch.Generator().manual_seed(0))
    if kind == "real":
        return Space((6,), "real"), Split(x.double() * torch.tensor([1, 10, 1e-3, 1e5, 1, 1]))
    return Space((6,), "levels", 5), Split(x)


@pytest.mark.parametrize("level", [0.0, 0.3, 0.9])
def test_gaussian_noise_is_as_wrong_as_its_variance(level):
    space, split = made()
    model = codec(space, rp.GaussianNoise(0.3))
    found = repair(model, model.noise, split, split, level)
    # 2400 squared normals: a relative deviation of √(2/2400) = 2.9 %, four of them.
    assert found.corrupted.value == pytest.approx(level**2, rel=0.12)
    # The identity repairs nothing, and meets the same x̃.
    assert found.repaired.value == pytest.approx(found.corrupted.value, rel=1e-12)
    assert (found.level, found.corrupted.n, found.corrupted.seed) == (level, 400, 0)


def test_masking_is_as_wrong_as_what_it_hides():
    space, split = made()
    model = codec(space, rp.Masking(0.25))
    everything = (split.x.double() / 4).square().mean().item()
    assert repair(model, model.noise, split, split, 1.0).corrupted.value == pytest.approx(
        everything
    )
    # Each entry is hidden or not: 2400 coins put 2 % on the half, and squares a little more.
    half = repair(model, model.noise, split, split, 0.5).corrupted.value
    assert half == pytest.approx(everything / 2, rel=0.1)


def test_a_codec_that_knows_the_answer_repairs_everything():
    space = Space((6,), "levels", 5)
    split = Split(torch.full((20, 6), 3))

    class Three(nn.Module):
        def forward(self, z):
            return torch.full_like(z, 0.75)

    model = codec(space, rp.SaltAndPepper(0.4), Three())
    found = repair(model, model.noise, split, split, 0.4)
    assert found.repaired.value == pytest.approx(0, abs=1e-30) and found.corrupted.value > 0.01


def test_columns_of_tables_count_in_their_deviations():
    space, split = made("real")
    model = codec(space, rp.GaussianNoise(0.5))
    model.standardize.stages[0].solve(model, [Batch(split.x)])
    found = repair(model, model.noise, split, split, 0.5)
    assert found.corrupted.value == pytest.approx(0.25, rel=0.12)


def test_one_seed_one_noise_for_every_codec_and_nothing_global_moves():
    space, split = made()
    first, second = codec(space, rp.Masking(0.1)), codec(space, rp.Masking(0.7))
    before = torch.get_rng_state()
    a = repair(first, first.noise, split, split, 0.3, seed=4)
    b = repair(second, second.noise, split, split, 0.3, seed=4)
    c = repair(first, first.noise, split, split, 0.3, seed=5)
    assert a.corrupted == b.corrupted != c.corrupted
    assert torch.equal(torch.get_rng_state(), before)
