"""A seed decides the first weights of a model, and touches nothing else."""

from __future__ import annotations

import pytest
import torch

import reparam as rp
from reparam.presets import PRESETS

SPACE = rp.Space((1, 8, 8), "binary")


def weights(model):
    return torch.cat([value.flatten().double() for value in model.state_dict().values()])


@pytest.mark.parametrize("name", ["vae", "made", "pixel-cnn", "ladder-vae", "pca"])
def test_weights_are_a_function_of_the_seed(name):
    before = torch.get_rng_state()
    first, second, other = (weights(rp.build(name, SPACE, seed=seed)) for seed in (4, 4, 5))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, second)
    assert torch.equal(first, other) == (name == "pca")  # which draws none
    torch.manual_seed(4)
    assert torch.equal(weights(rp.build(name, SPACE)), first)  # as ever


def test_two_models_of_one_seed_are_trained_alike():
    data = rp.load_data("digits")
    found = []
    for start in (1, 2):
        torch.manual_seed(start)
        model = rp.build("vae", data.space, latent_dim=2, hidden=(4,), seed=0)
        rp.fit(model, data, seed=0, epochs=1, progress=False)
        found.append(weights(model))
    assert torch.equal(*found)


@pytest.mark.parametrize("seed", ["3", -1, True, 2**63, 0.5])
def test_what_is_no_seed_is_refused(seed):
    with pytest.raises(ValueError, match="^seed: expected"):
        rp.build("vae", SPACE, seed=seed)


def test_no_preset_has_a_parameter_of_that_name():
    taken = {"name", "space", "seed"}
    assert not [name for name, preset in PRESETS.items() if taken & preset.parameters.keys()]


def test_comparing_loading_and_resuming_leave_the_default_generator_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("reparam.comparison.write_page", lambda *_, **__: None)
    before, name = torch.get_rng_state(), "ae latent_dim=2 hidden=4"
    rp.compare(rp.load_data("digits"), [name], epochs=1, samples=2, out=tmp_path / "c")
    assert torch.equal(torch.get_rng_state(), before)
    run = tmp_path / "c" / "ae_latent_dim=2_hidden=4"
    rp.load(run)
    rp.resume(run, progress=False)
    assert torch.equal(torch.get_rng_state(), before)
