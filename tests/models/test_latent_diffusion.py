"""Diffusion of the codes of an autoencoder or a VAE."""

import pytest
import torch

import reparam as rp
from reparam.config import TrainConfig
from reparam.models.diffusion import Diffusion
from reparam.models.two_stage import TwoStage
from reparam.report.recipes import _call

SMALL = {
    "codec.latent_dim": 3,
    "codec.hidden": (8,),
    "generator.times": 8,
    "generator.hidden": (8, 8),
    "generator.blocks": 1,
}


def built(space=None, **changes):
    space = space or rp.Space((1, 8, 8), "levels", 17, classes=10)
    return rp.build("latent-diffusion", space, seed=0, **SMALL | changes)


@pytest.mark.parametrize("codec", ["ae", "vae"])
def test_the_parts_are_those_that_are_asked_for(codec):
    model = built(codec=codec)
    assert type(model) is TwoStage and type(model.generator) is Diffusion
    assert type(model.codec).__name__ == {"ae": "Autoencoder", "vae": "VAE"}[codec]
    assert model.code_space.shape == (3,) and model.generator.space == model.code_space
    names = [stage.name for stage in model.stages]
    solved = ["standardize", "range", "descend", "reverse variances"]
    assert names[-4:] == [f"{name} of codes" for name in solved]
    given = {} if codec == "ae" else {"codec": "vae"}  # the recipe has both kinds of names
    assert model.recipe["parameters"] == given | SMALL
    again = rp.build(model.recipe["preset"], model.space, **model.recipe["parameters"])
    assert type(again.codec) is type(model.codec)


def test_a_recipe_with_names_that_are_no_keywords_is_python():
    call = _call("dict", [], {"codec": "vae", "codec.latent_dim": 3})
    assert eval(call) == {"codec": "vae", "codec.latent_dim": 3}


def test_codes_are_standardized_before_they_are_noised():
    data = rp.load_data("digits")
    model = rp.build("latent-diffusion", data.space, seed=0, **SMALL)
    rp.fit(model, data, TrainConfig(epochs=1), progress=False)
    code = model.codes_of(data.train.x)
    y, _ = model.generator.units(code)
    torch.testing.assert_close(y.mean(0), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(y.std(0, correction=0), torch.ones(3), atol=1e-3, rtol=0)


def test_conditional_draws_are_of_the_condition():
    model = built(**{"generator.conditional": True}).eval()
    assert model.conditional and not model.codec.conditional
    with torch.no_grad():
        for p in model.generator.parameters():  # the last layer starts at 0
            p.add_(0.1)

    def draw(c, guidance=1.0):
        inner = model.generator.through(rp.DDPM(guidance=guidance))
        of_seed = torch.Generator().manual_seed(0)
        return model.with_generator(inner).sample(4, c, generator=of_seed)

    one, two = torch.full((4,), 1), torch.full((4,), 2)
    assert torch.equal(draw(one), draw(one)) and not torch.equal(draw(one), draw(two))
    assert torch.equal(draw(one, 0.0), draw(two, 0.0)), "without guidance c is nothing"


def test_another_generator_leaves_the_model_as_it_was():
    model = built()
    fast = model.with_generator(model.generator.through(rp.DDIM(steps=2)))
    assert (fast.passes_per_draw, model.passes_per_draw) == (2, 8)
    assert fast.codec is model.codec and type(model.generator.sampler) is rp.DDPM
    assert fast.generator.network is model.generator.network, "the same weights"


def test_a_draw_costs_what_its_codes_do():
    codes = {"generator.hidden": (256, 512), "generator.blocks": 3}
    small = built(rp.Space((1, 8, 8), "levels", 17), **codes)
    large = built(rp.Space((3, 64, 64), "levels", 256), **codes)
    assert small.pass_cost > large.pass_cost == 1 == built().pass_cost
