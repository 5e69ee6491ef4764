"""What is given of x at its edges: other units and types, blurs, parts, and nothing left over."""

import pytest
import torch

import reparam as rp
from reparam.evaluation import evaluate
from reparam.model import Batch, Solve

REAL = rp.Space((1, 4, 4), "real")
LEVELS = rp.Space((1, 4, 4), "levels", levels=17)
SIZES = {
    "gated-pixel-cnn": {"width": 4, "layers": 1},
    "image-transformer": {"width": 8, "layers": 1, "heads": 1},
    "ddpm": {"times": 8, "width": 4, "hidden": (8, 8), "blocks": 1},
    "cvae": {"latent_dim": 2, "hidden": (8,)},
}


def built(preset, space, given, **options):
    torch.manual_seed(0)
    return rp.build(preset, space, given=given, **SIZES[preset], **options).eval()


def solved(model, x):
    for stage in model.stages:
        if isinstance(stage, Solve) and stage.name != "reverse variances":
            stage.solve(model, [Batch(x)])
    return model


@pytest.mark.parametrize("preset", ["gated-pixel-cnn", "image-transformer", "cvae"])
def test_draws_of_real_data_have_what_is_given_to_the_bit_and_a_density(preset):
    x = 1e9 + 10 * torch.randn(8, 1, 4, 4, dtype=torch.float64)
    model = solved(built(preset, REAL, "subsample:2"), x)
    drawn = model.sample(8, x[..., ::2, ::2])
    assert drawn[..., ::2, ::2].equal(x[..., ::2, ::2])
    assert model.log_prob(drawn, x[..., ::2, ::2]).value.isfinite().all()


@pytest.mark.parametrize("preset", ["gated-pixel-cnn", "image-transformer", "cvae", "ddpm"])
def test_levels_are_given_in_any_type(preset):
    x = torch.randint(17, (2, 1, 4, 4))
    model = built(preset, LEVELS, "subsample:2")
    for dtype in (torch.uint8, torch.int64, torch.float32, torch.float64):
        y = x[..., ::2, ::2].to(dtype)
        assert model.sample(2, y)[..., ::2, ::2].equal(y.to(model.sample(2, y).dtype))


def test_large_whole_numbers_keep_what_float32_would_round():
    x = 2**30 + torch.randint(1000, (8, 1, 4, 4))
    model = solved(built("gated-pixel-cnn", REAL, "subsample:2"), x.double())
    assert model.log_prob(x, x[..., ::2, ::2]).value.isfinite().all()


def test_what_a_blur_leaves_of_levels_is_given_though_it_is_beyond_their_range():
    space = rp.Space((1, 28, 28), "binary")
    model = rp.build("regression", space, given="blur:3", network="mlp", hidden=(2,))
    weights = model.degradation.matrix_1  # of a row of y by its sign: the x that leaves most
    row = weights[weights.clamp(max=0).sum(1).argmin()]
    x = (torch.outer(row, row) > 0).float()[None, None]
    y = model.told(x, None)
    assert y.max() > 1 + 1e-4
    assert model.loss(x).objective.isfinite()
    with pytest.raises(ValueError, match=r"c: expected values in \[0, 1\], as what is left"):
        model.sample(1, y * 1.05)


@pytest.mark.parametrize("preset", ["gated-pixel-cnn", "ddpm"])
def test_completions_have_what_c_says_as_well(preset):
    model = built(preset, LEVELS, "subsample:2")
    x, mask = torch.randint(17, (2, 1, 4, 4)).float(), torch.zeros(1, 4, 4, dtype=torch.bool)
    mask[:, 0, :3] = True
    drawn = model.complete(x, mask, x[..., ::2, ::2])
    said = mask.clone()
    said[:, ::2, ::2] = True
    assert torch.where(said, drawn, 0).equal(torch.where(said, x, 0))


@pytest.mark.parametrize("preset", ["gated-pixel-cnn", "ddpm", "cvae"])
def test_no_condition_is_made_of_a_part_of_x(preset):
    model = built(preset, LEVELS, "downscale:2")
    x, upper = torch.ones(1, 1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.bool)
    upper[:, :2] = True
    with pytest.raises(ValueError, match="c: expected what is left of x, of which"):
        rp.complete(model, x, upper)
    assert rp.complete(model, x, upper, torch.ones(1, 1, 2, 2)).x[..., :2, :].eq(1).all()


def test_gradients_of_a_density_are_those_given_c():
    model = built("gated-pixel-cnn", REAL, "downscale:2")
    x = torch.randn(2, 1, 4, 4, requires_grad=True)
    y = torch.nn.functional.avg_pool2d(x.detach(), 2)
    made, said = (torch.autograd.grad(model.log_prob(x, c).value.sum(), x)[0] for c in (None, y))
    torch.testing.assert_close(made, said)


def test_priors_that_take_no_image_are_refused():
    with pytest.raises(ValueError, match="prior: VampPrior"):
        built("cvae", LEVELS, "downscale:2", prior="vamp")
    labeled = rp.Space((1, 4, 4), "binary", classes=3)
    with pytest.raises(ValueError, match="prior: ClassConditional"):
        built("cvae", labeled, "downscale:2", prior="class")


def test_nothing_of_a_code_is_given():
    with pytest.raises(ValueError, match=r"generator\.given: no parameter"):
        rp.build("latent-diffusion", LEVELS, **{"generator.given": "mask:half"})


def test_where_all_is_given_there_are_no_bits_per_entry():
    data = rp.load_data(torch.randint(2, (40, 1, 4, 4)).numpy().astype("uint8"))
    model = built("gated-pixel-cnn", data.space, "downscale:1")
    scores = evaluate(model, data, samples=1)
    assert scores["conditional_log_likelihood"].value == 0
    assert "conditional_bits_per_dim" not in scores


def test_an_x_of_another_shape_is_refused_before_anything_is_made_of_it():
    model = built("cvae", LEVELS, "downscale:2")
    with pytest.raises(ValueError, match="x: expected a tensor of shape"):
        model.reconstruct(torch.zeros(2, 4, 4))
