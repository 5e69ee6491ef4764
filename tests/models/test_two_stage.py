"""A codec and a generator of its codes: who sees what, and what a sample is."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

import reparam as rp
from reparam.model import Descend, Solve, Space

F64 = torch.float64
SPACE = Space((6,), "levels", 4)
SMALL = {"latent_dim": 2, "hidden": (5,)}


class Constant(rp.Generator):
    """The same code always; its loss is the squared distance of what it is shown to it."""

    def __init__(self, code):
        super().__init__(Space((len(code),), "real"))
        self.code = nn.Parameter(torch.tensor(code))
        self.seen = []

    def loss(self, x, c=None, player="model"):
        self.seen.append((x, player))
        nll = (x - self.code).square().sum(1)
        return rp.Loss(nll.mean(), {"nll": nll})

    def after_step(self, loss, player="model"):
        self.seen.append(("after", player))

    def draw(self, n, c, generator):
        return self.code.expand(n, -1)


def identities():
    return nn.Identity(), nn.Identity()


def codec(space=SPACE):
    return rp.build("ae", space, latent_dim=2, hidden=(5,))


def test_the_mixture_is_of_the_codes(solve):
    """With one component: mean and covariance of encode(x), over all batches."""
    space = Space((6,), "real")
    model = rp.build("ae-gmm", space, codec=SMALL, generator={"components": 1}).double()
    x = 10 + 3 * torch.randn(40, 6, dtype=F64)
    names = [stage.name for stage in model.stages]
    assert names == ["standardize", "descend", "expectation maximization of codes"]
    solve(model, x)
    code = model.encode(x).detach()
    assert code.mean().abs() < 5, "standardized first: x is about 10"
    torch.testing.assert_close(model.generator.means[0], code.mean(0))
    wanted = torch.cov(code.T, correction=0) + 1e-6 * torch.diag(code.var(0, correction=0))
    torch.testing.assert_close(model.generator.covariances[0], wanted)


def test_a_sample_is_a_decoded_draw_of_the_codes(solve):
    model = rp.build("ae-gmm", Space((6,), "real"), codec=SMALL, generator={"components": 2})
    solve(model.double(), torch.randn(40, 6, dtype=F64))
    codes = model.generator.sample(9, generator=torch.Generator().manual_seed(3))
    x = model.sample(9, generator=torch.Generator().manual_seed(3))
    assert torch.equal(x, model.decode(codes))
    assert not x.requires_grad


@pytest.mark.parametrize("kind, levels", [("binary", None), ("levels", 4)])
def test_samples_of_levels_have_the_decoded_mean(kind, levels):
    space, n = Space((6,), kind, levels), 20000
    part = rp.Autoencoder(space, nn.Linear(6, 2), nn.Linear(2, 6), 2, "cross_entropy")
    model = rp.TwoStage(part, Constant([0.5, -1.0])).double()
    mean = model.decode(model.generator.code[None])[0].detach()
    top = space.level_count - 1
    assert mean.min() > 0.01 and mean.max() < top - 0.01 and mean.unique().numel() == 6
    x = model.sample(n, generator=torch.Generator().manual_seed(0))
    assert torch.isin(x, torch.arange(top + 1, dtype=F64)).all()
    assert (x - mean).abs().max() < 1, "rounded to a neighbor"
    part_of_level = mean - mean.floor()
    error = (part_of_level * (1 - part_of_level) / n).sqrt()
    assert ((x.mean(0) - mean).abs() < 4.5 * error).all()


def test_each_descent_moves_and_shows_its_own_part():
    model = rp.TwoStage(codec(), Constant([0.0, 0.0])).double()
    first, second = model.stages
    assert isinstance(first, Descend) and isinstance(second, Descend)
    assert [p.modules for p in (*first.players, *second.players)] == [
        (model.codec,),
        (model.generator,),
    ]
    names = [p.name for p in (*first.players, *second.players)]
    assert names == ["model", "model of codes"]
    x = torch.randint(0, 4, (5, 6)).double()
    ours, theirs = model.loss(x, player=names[0]), model.codec.loss(x)
    torch.testing.assert_close(ours.terms, theirs.terms)
    assert not model.generator.seen
    loss = model.loss(x, player=names[1])
    assert list(loss.terms) == ["code_nll"], "no likelihood of x"
    seen, player = model.generator.seen[0]
    assert player == "model" and torch.equal(seen, model.encode(x))
    loss.objective.backward()
    assert model.generator.code.grad is not None
    assert all(p.grad is None for p in model.codec.parameters())
    model.after_step(loss, names[1])
    assert model.generator.seen[1:] == [("after", "model")]
    model.after_step(ours, names[0])
    assert len(model.generator.seen) == 2


def test_it_is_a_codec_and_a_generator_without_a_likelihood():
    model = rp.build("ae-gmm", SPACE, codec=SMALL)
    assert isinstance(model, rp.Codec) and isinstance(model, rp.Generator)
    assert not isinstance(model, rp.Density)
    x = torch.randint(0, 4, (5, 6)).float()
    assert torch.equal(model.reconstruct(x), model.codec.reconstruct(x))


def test_the_vae_with_a_mixture_is_its_posterior_means_and_a_mixture(solve):
    vae = rp.build("vae", SPACE, **SMALL)
    model = rp.TwoStage(vae, rp.GaussianMixture(vae.code_space, 1)).double()
    x = torch.randint(0, 4, (40, 6)).double()
    solve(model, x)
    torch.testing.assert_close(model.generator.means[0], vae.posterior(x).center.mean(0).detach())


def test_a_saved_mixture_comes_back_in_full_precision(solve, tmp_path):
    model = rp.build("ae-gmm", SPACE, codec=SMALL, generator={"components": 3})
    solve(model, torch.randint(0, 4, (40, 6)).float())
    rp.save(model, tmp_path)
    back = rp.load(tmp_path)
    assert back.generator.components == 3
    for name in ("weights", "means", "covariances"):
        stored, mine = getattr(back.generator, name), getattr(model.generator, name)
        assert stored.dtype == F64 and torch.equal(stored, mine), name
        assert not torch.equal(mine, mine.to(torch.float32).double()), name
    draws = [m.sample(5, generator=torch.Generator().manual_seed(1)) for m in (model, back)]
    assert torch.equal(*draws)


def test_codes_that_are_all_the_same_are_not_laid_to_the_data(solve):
    model = rp.build("ae-gmm", Space((6,), "real"), codec=SMALL, generator={"components": 2})
    with torch.no_grad():
        for parameter in model.codec.encoder.parameters():
            parameter.zero_()
    with pytest.raises(ValueError, match="^codes: .* got the same of every training row"):
        solve(model, torch.randn(40, 6))


def test_a_conditional_generator_is_told_the_labels(solve):
    """Labels as bits of x: codes, and so samples, of a class are those of its rows."""
    space, rows = Space((6,), "real", classes=2), 40
    part = rp.Autoencoder(replace(space, classes=None), *identities(), 6, "squared_error")
    prior = rp.build("made", Space((6,), "real", classes=2), conditional=True, hidden=(4,))
    model = rp.TwoStage(part, prior).double()
    assert model.conditional and model.space == space
    c = torch.arange(rows) % 4 == 0
    x = torch.cat([c[:, None].expand(-1, 3), torch.rand(rows, 3)], 1).double()
    solve(model, x, c.long())
    assert model.class_frequencies.tolist() == [0.75, 0.25]
    loss = model.loss(x, c.long(), "model of codes")
    wanted = prior.loss(model.encode(x), c.long()).terms["nll"]
    assert torch.equal(loss.terms["code_nll"], wanted)
    assert not torch.equal(wanted, prior.loss(model.encode(x), 1 - c.long()).terms["nll"])
    one, two = (torch.Generator().manual_seed(0) for _ in range(2))
    codes = prior.sample(rows, c.long(), generator=one)
    assert torch.equal(model.sample(rows, c.long(), generator=two), model.decode(codes))
    assert model.sample(3).shape == (3, 6), "it draws the labels"
    assert torch.equal(model.encode(x, c.long()), model.encode(x))
    for call in (model.loss, model.encode, model.decode):
        with pytest.raises(ValueError, match="c: expected .* got"):
            call(x, c.double())


def test_a_draw_costs_the_passes_of_the_generator():
    codec = rp.build("ae", Space((9,), "binary"), latent_dim=2, hidden=(4,))
    generator = rp.GaussianMixture(codec.code_space, 2)
    assert rp.TwoStage(codec, generator).passes_per_draw == 1
    generator.passes_per_draw = 50
    assert rp.TwoStage(codec, generator).passes_per_draw == 50


def test_a_generator_without_condition_sees_no_labels():
    space = Space((6,), "binary", classes=2)
    model = rp.TwoStage(codec(space), Constant([0.0, 0.0]))
    assert not model.conditional and model.draw_condition(3) is None
    with pytest.raises(ValueError, match="c: TwoStage is not conditional"):
        model.loss(torch.zeros(3, 6), torch.zeros(3, dtype=torch.int64))


def test_too_few_rows_are_refused():
    with pytest.raises(ValueError, match="components: expected at most the 4 "):
        rp.build("ae-gmm", SPACE, generator={"components": 5}).refuse_rows(4)


def test_parts_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="generator: expected one of the codes .*2.*got .*3"):
        rp.TwoStage(codec(), Constant([0.0, 0.0, 0.0]))
    labeled = rp.build("cvae", Space((6,), "binary", classes=3), latent_dim=2, hidden=(5,))
    with pytest.raises(ValueError, match="codec: expected an unconditional one"):
        rp.TwoStage(labeled, Constant([0.0, 0.0]))


def test_the_codecs_solves_are_given_the_codec():
    """PCA's solve asserts that the model is a PCA."""
    pca = rp.build("pca", SPACE, latent_dim=2)
    model = rp.TwoStage(pca, rp.GaussianMixture(pca.code_space, 2)).double()
    assert all(isinstance(stage, Solve) for stage in model.stages)
    x = torch.randint(0, 4, (40, 6)).double()
    for stage in model.stages:
        stage.solve(model, [rp.model.Batch(x)])
    torch.testing.assert_close(model.codec.mean, x.mean(0))
