"""The VQ-VAE: its bound by enumeration, its gradient, its start, and its grids."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

import reparam as rp
from reparam.model import Batch, Solve, Space
from reparam.models.vq_vae import VQVAE
from reparam.nets.coder import OneGrid
from reparam.nets.quantize import VectorQuantizer

F64 = torch.float64
SMALL = {"codes": 6, "code_dim": 3, "channels": 4, "blocks": 1}
IMAGES = Space((1, 8, 9), "levels", 4)


def rows(space, n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n, *space.shape, generator=generator, dtype=F64)
    return (x * space.level_count).floor()


@pytest.fixture
def tiny():
    """Two tokens of three codes behind four flags, so that all of it can be counted."""
    torch.manual_seed(0)
    space, shape = Space((4,), "binary"), (2, 2)
    encoder = nn.Sequential(nn.Linear(4, 4), nn.Unflatten(1, shape))
    decoder = nn.Sequential(nn.Flatten(), nn.Linear(4, 4))
    quantizer = VectorQuantizer(3, 2)
    coder = OneGrid(encoder, quantizer, decoder, (2,))
    model = VQVAE(space, coder, rp.Bernoulli(space)).double()
    quantizer.codebooks[0].codebook.mul_(4)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(3)
    return model.eval()


ALL_X = torch.tensor(list(itertools.product([0.0, 1.0], repeat=4)), dtype=F64)
ALL_Z = torch.tensor(list(itertools.product(range(3), repeat=2)))


def joint(model):
    """log p(x, z) of all x (rows) and z (columns)."""
    columns = [
        model.likelihood(z.expand(16, 2)).log_prob(ALL_X) + model.prior().log_prob(z[None])
        for z in ALL_Z
    ]
    return torch.stack(columns, 1).detach()


def test_the_bound_is_one_on_a_density_that_sums_to_one(tiny):
    log_joint, found = joint(tiny), tiny.log_prob(ALL_X, samples=7)
    log_p = log_joint.logsumexp(1)
    assert abs(log_p.exp().sum().item() - 1) < 1e-9
    assert found.kind == "lower bound" and found.samples == 1
    assert (found.value < log_p).all()
    own = (tiny.encode(ALL_X)[:, None] == ALL_Z).all(2)
    torch.testing.assert_close(found.value, log_joint[own])


def test_the_bound_is_tight_where_one_code_explains_x(tiny):
    with torch.no_grad():
        for p in tiny.coder.decoder.parameters():
            p.mul_(200)  # every z gives its own x, if any
    log_joint = joint(tiny)
    explained = (log_joint - log_joint.logsumexp(1, keepdim=True)).exp()
    best = explained.max(1)
    own = (tiny.encode(ALL_X)[:, None] == ALL_Z).all(2).int().argmax(1)
    alone = (best.values > 1 - 1e-12) & (best.indices == own)
    assert alone.any()
    found = tiny.log_prob(ALL_X[alone]).value
    torch.testing.assert_close(found, log_joint.logsumexp(1)[alone], rtol=0, atol=1e-9)


def test_the_terms_are_the_bound_and_the_rate_is_that_of_uniform_codes():
    model = rp.build("vq-vae", IMAGES, **SMALL).double().eval()
    x = rows(IMAGES, 5)
    terms = model.loss(x).terms
    torch.testing.assert_close(terms["bound"], -terms["distortion"] - terms["rate"].sum(1))
    torch.testing.assert_close(terms["bound"], model.log_prob(x).value, rtol=0, atol=1e-9)
    assert model.code_space == Space((1, 4, 5), "levels", 6)
    torch.testing.assert_close(terms["rate"], torch.full((5, 1), 20 * math.log(6), dtype=F64))


def test_the_gradient_of_the_distortion_passes_the_quantizer_as_it_is():
    model = rp.build("vq-vae", IMAGES, **SMALL, codebook="gradient").double()
    x = rows(IMAGES, 3)
    seen = {}
    coder = model.coder
    coder.encoder.register_forward_hook(lambda m, a, out: seen.update(before=out))
    coder.decoder.register_forward_pre_hook(lambda m, a: seen.update(after=a[0]))
    distortion = model.loss(x).terms["distortion"].sum()
    before, after, book = torch.autograd.grad(
        distortion,
        (seen["before"], seen["after"], coder.parts[0].codebooks[0].codebook),
        allow_unused=True,
    )
    assert torch.equal(before, after) and before.abs().sum() > 0
    assert book is None, "the codes learn by their own term"


@pytest.mark.parametrize("codebook", ["ema", "gradient"])
def test_the_objective_is_per_nat(codebook):
    model = rp.build("vq-vae", IMAGES, **SMALL, codebook=codebook, beta=0.7, restart=0)
    model = model.double()
    loss = model.loss(rows(IMAGES, 5))
    t = loss.terms
    wanted = t["distortion"] + 0.7 * t["commitment"]
    wanted = wanted + t["codebook"] if codebook == "gradient" else wanted
    torch.testing.assert_close(loss.objective, wanted.mean())
    before = model.coder.parts[0].codebooks[0].codebook.clone()
    model.after_step(loss)
    moved = not torch.equal(before, model.coder.parts[0].codebooks[0].codebook)
    assert moved == (codebook == "ema")


@pytest.mark.parametrize("name", ["vq-vae", "vq-vae-2", "rq-vae"])
def test_codes_start_from_vectors_of_training_data(name):
    space = Space((1, 16, 17), "levels", 4)
    model = rp.build(name, space, **SMALL, **({"depth": 2} if name == "rq-vae" else {}))
    x = rows(space, 5).float()  # 72 vectors of each are all that codes start from
    (solve,) = (s for s in model.stages if isinstance(s, Solve) and s.name == "codebook")
    errors = [model.loss(x).terms["commitment"].mean()]
    solve.solve(model, [Batch(x[:2]), Batch(x[2:])])
    first = model.train().loss(x)
    errors.append(first.terms["commitment"].mean())
    assert errors[1] < 0.5 * errors[0]
    code = model.encode(x)
    for part, grid in zip(model.coder.split(code), model.grids, strict=True):
        assert part.shape[1:] == grid
        assert len(part.unique()) > 3
    model.after_step(first)  # a step at learning rate 0
    assert (model.encode(x) != code).float().mean() < 0.05


def test_more_codes_than_vectors_are_refused():
    model = rp.build("vq-vae", IMAGES, **SMALL | {"codes": 100})
    model.refuse_rows(5)
    with pytest.raises(ValueError, match="codes: .* 80 vectors that 4 training .* got 100"):
        model.refuse_rows(4)


@pytest.mark.parametrize("sides", [(16, 16), (17, 22)])
@pytest.mark.parametrize("channels", [1, 3])
def test_two_grids_are_one_vector_the_top_first(sides, channels):
    space = Space((channels, *sides), "levels", 4)
    model = rp.build("vq-vae-2", space, **SMALL, downsampling=1).eval()
    x = rows(space, 2).float()
    coder, code = model.coder, model.encode(x)
    (_, *top), (_, *bottom) = model.grids
    assert bottom == [-(-s // 2) for s in sides] and top == [-(-s // 2) for s in bottom]
    assert model.layers == (math.prod(top), math.prod(bottom)) == coder.sizes
    first = coder.parts[0](coder.coarser(coder.encoder(x / 3))).indices
    assert torch.equal(code[:, : model.layers[0]], first.flatten(1))
    assert torch.equal(coder.joined(coder.split(code)), code)
    assert model.decode(code).shape == x.shape
    other = model.prior().resample(code, 1, torch.Generator().manual_seed(0))
    assert torch.equal(other[:, : model.layers[0]], code[:, : model.layers[0]])
    assert not torch.equal(other, code)


def test_what_a_code_embeds_is_what_the_decoder_reads():
    model = rp.build("rq-vae", IMAGES, **SMALL, depth=2).double().eval()
    code = model.encode(rows(IMAGES, 3))
    books = [book.codebook for book in model.coder.parts[0].codebooks]
    assert code.shape == (3, 2, 4, 5)
    wanted = books[0][code[:, 0]] + books[1][code[:, 1]]
    assert torch.equal(model.embed(code).view(3, 3, 4, 5), wanted.movedim(-1, 1))


@pytest.mark.parametrize(
    "name, space, options, message",
    [
        ("vq-vae", IMAGES, {"codes": 1}, "codes: expected a whole number of at least 2, got 1"),
        ("vq-vae", Space((1, 3, 9), "binary"), {}, "4 x 4 or more, got 3 x 9"),
        ("vq-vae", IMAGES, {"downsampling": 4}, "downsampling: .* take fewer"),
        ("vq-vae", Space((9,), "binary"), {"second_stage": "pixel-cnn"}, "take transformer or"),
        ("vq-vae", IMAGES, {"quantizer": "fsq", "codes": 9}, "the product of sizes"),
        ("vq-vae", IMAGES, {"quantizer": "fsq", "decay": 0.5}, "decay: fsq has no codebook"),
        ("vq-vae", IMAGES, {"depth": 3}, "depth: expected with quantizer=residual, got vq"),
        ("rq-vae", IMAGES, {"conditional": True}, "conditional: .*second_stage=pixel-cnn"),
        ("vq-vae", IMAGES, {"sizes": (3, 2)}, "sizes: expected with quantizer=fsq, got vq"),
        ("two-stage-vae", IMAGES, {"second_stage": "flow", "latent_dim": 1}, "take mixture or"),
        ("vq-vae", IMAGES, {"conditional": True}, "conditional: .*second_stage=pixel-cnn"),
        ("vq-vae-2", IMAGES, {}, "vq-vae-2: expected images of 16 x 16 or more, got 8 x 9"),
    ],
)
def test_what_cannot_be_is_refused(name, space, options, message):
    with pytest.raises(ValueError, match=message):
        rp.build(name, space, **options)


@pytest.mark.parametrize("name", ["vq-vae", "fsq-vae"])
def test_codes_are_decoded_in_the_dtype_of_the_model(name):
    """That of a model as it was built, too, whose fixed numbers are kept in float64."""
    model = rp.build(name, Space((3,), "binary"), hidden=(4,), tokens=2).eval()
    assert model.decode(model.encode(torch.ones(2, 3))).dtype == torch.get_default_dtype()
    model = model.double()
    assert model.decode(model.encode(torch.ones(2, 3))).dtype == torch.float64
