"""The conditional VAE: what labels change, and what they leave alone."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

import reparam as rp
from reparam.data import Data, Split
from reparam.model import Batch, Solve, Space
from reparam.report import TrainedModel, write_page

F64 = torch.float64
SPACES = [Space((7,), "binary", classes=3), Space((1, 8, 8), "levels", 5, classes=3)]


def labeled(space: Space, n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(space.level_count or 9, (n, *space.shape), generator=generator).double()
    return x, torch.randint(3, (n,), generator=generator)


@pytest.mark.parametrize("hidden", [(), (8,), (8, 6)], ids=str)
@pytest.mark.parametrize("network", ["mlp", "conv"])
@pytest.mark.parametrize("space", SPACES, ids=["vector", "image"])
def test_with_the_weights_of_the_label_at_zero_it_is_the_vae_bit_for_bit(space, network, hidden):
    if network == "conv" and not (space.is_image and hidden):
        pytest.skip("conv is for images and a hidden width")
    sizes = {"latent_dim": 2, "hidden": hidden, "network": network}
    plain = rp.build("vae", dataclasses.replace(space, classes=None), **sizes).double()
    model = rp.build("cvae", space, **sizes).double()
    missing, unexpected = model.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected
    embeddings = [name for name in missing if "condition" in name]
    assert len(embeddings) == 2  # of the encoder and of the decoder
    assert set(missing) == {*embeddings, "frequencies"}
    x, c = labeled(space, 6)
    for zero in (False, True):
        if zero:
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    if name in embeddings:
                        parameter.zero_()
        torch.manual_seed(5)
        ours = model.loss(x, c)
        torch.manual_seed(5)
        theirs = plain.loss(x)
        same = [torch.equal(ours.terms[name], term) for name, term in theirs.terms.items()]
        assert torch.equal(ours.objective, theirs.objective) == zero
        assert all(same) == zero
    assert torch.equal(model.encode(x, c), plain.encode(x))
    assert torch.equal(model.reconstruct(x, c), plain.reconstruct(x))
    values = [
        m.log_prob(x, *labels, samples=3, generator=torch.Generator().manual_seed(1)).value
        for m, labels in ((model, (c,)), (plain, ()))
    ]
    assert torch.equal(*values)


LAYERED = {"hierarchical-vae": {"latent_dims": (2, 1)}, "ladder-vae": {"latent_dims": (2, 2, 1)}}


@pytest.mark.parametrize("network", ["mlp", "conv"])
@pytest.mark.parametrize("given", ["labels", "attributes"])
@pytest.mark.parametrize("name", LAYERED)
def test_hierarchies_take_conditions_as_the_vae_does(name, given, network):
    """With the condition's weights at zero the model without it, bit for bit; else another."""
    space = Space((1, 8, 8), "binary", classes=3, attributes=2 if given == "attributes" else None)
    sizes = LAYERED[name] | {"between": (4,), "hidden": (8,), "network": network}
    bare = dataclasses.replace(space, classes=None, attributes=None)
    plain = rp.build(name, bare, **sizes).double()
    model = rp.build(name, space, conditional=True, **sizes).double()
    missing, unexpected = model.load_state_dict(plain.state_dict(), strict=False)
    embeddings = [key for key in missing if "condition" in key]
    assert not unexpected and len(embeddings) == 2  # of the encoder and of the decoder
    x, c = labeled(space, 6)
    x = x % 2
    if given == "attributes":
        c = torch.randn(6, 2, dtype=F64)
    for zero in (False, True):
        if zero:
            with torch.no_grad():
                for key in embeddings:
                    model.get_parameter(key).zero_()
        torch.manual_seed(5)
        ours = model.loss(x, c).terms
        torch.manual_seed(5)
        theirs = plain.loss(x).terms
        assert all(torch.equal(ours[key], term) for key, term in theirs.items()) == zero
    generators = [torch.Generator().manual_seed(1) for _ in range(2)]
    found = model.log_prob(x, c, samples=3, generator=generators[0]).value
    assert torch.equal(found, plain.log_prob(x, samples=3, generator=generators[1]).value)


@pytest.mark.parametrize(("name", "dims"), [("hierarchical-vae", (1, 1)), ("ladder-vae", (1, 1))])
def test_the_likelihood_of_a_conditional_hierarchy_is_its_integral(name, dims):
    """Of each class a grid over both layers against the importance-weighted bound."""
    space = Space((4,), "binary", classes=3)
    torch.manual_seed(0)
    model = rp.build(
        name, space, conditional=True, latent_dims=dims, between=(4,), hidden=(6,)
    ).double()
    model.eval()
    line = torch.linspace(-8, 8, 401, dtype=F64)
    z = torch.stack(torch.meshgrid(line, line, indexing="ij"), -1).view(-1, 2)
    x, truths = torch.tensor([[1.0, 0.0, 1.0, 1.0]], dtype=F64), []
    for label in range(3):
        c = torch.tensor([label])
        with torch.no_grad():
            log_p = model.prior(c).log_prob_terms(z).sum(1)
            log_p = log_p + model.likelihood(z, c.expand(len(z))).log_prob(x.expand(len(z), 4))
            truths.append(log_p.logsumexp(0).item() + 2 * math.log((line[1] - line[0]).item()))
            generator = torch.Generator().manual_seed(0)
            found = model.log_prob(x, c, samples=20_000, generator=generator)
        assert found.value.item() == pytest.approx(truths[-1], abs=0.03)
    assert max(truths) - min(truths) > 0.1


def test_a_trained_conditional_hierarchy_is_measured_and_reported(tmp_path):
    space = Space((1, 6, 6), "binary", classes=3)
    x, c = labeled(space, 60)
    part = Split(x.float(), c)
    data = Data(part, part, part, space=space, name="toy")
    sizes = {"latent_dims": (3, 2), "between": (4,), "hidden": (8,)}
    model = rp.build("hierarchical-vae", space, conditional=True, **sizes)
    history = rp.fit(model, data, epochs=1, progress=False)
    scores = rp.evaluate(model, data, samples=2)
    assert {"conditional_log_likelihood", "rate_layer_1", "rate_layer_2"} <= scores.keys()
    entry = TrainedModel("layers", model, scores, history)
    text = write_page(tmp_path / "r.html", data, [entry]).read_text("utf-8")
    assert "1 of 2 layers and the condition shared in each row" in text


def test_importance_samples_keep_the_label_of_their_row():
    """A decoder that puts all on its label: a row's bound is high exactly where c is its own."""

    class OneHot(nn.Module):
        def forward(self, z: Tensor, c: Tensor) -> Tensor:
            return 20 * (2 * nn.functional.one_hot(c, 3).to(z) - 1)

    class Anything(nn.Module):
        def forward(self, x: Tensor, c: Tensor) -> Tensor:
            return x.new_zeros(len(x), 4)

    space = Space((3,), "binary", classes=3)
    for objective in (rp.ELBO(), rp.IWAE(4), rp.DReG(4)):
        parts = (rp.DiagonalNormal(2), rp.StandardNormal(2), rp.Bernoulli(space), objective)
        model = rp.VAE(space, Anything(), OneHot(), *parts, conditional=True).double()
        c = torch.tensor([0, 2, 1, 1, 0])
        x = nn.functional.one_hot(c, 3).double()
        # q is the prior, so that every weight is p(x|c): 1 to within 3 e⁻²⁰, or two errors of 20.
        assert model.loss(x, c).terms["bound"].abs().max() < 1e-3
        assert model.log_prob(x, c, samples=5).value.abs().max() < 1e-3
        wrong = model.log_prob(x, (c + 1) % 3, samples=5).value
        assert (wrong < -39).all()
        assert torch.equal(model.sample(5, c), x)


def solved(counts: list[int], dtype: torch.dtype = F64) -> rp.VAE:
    space = Space((4,), "binary", classes=len(counts))
    model = rp.build("cvae", space, latent_dim=2, hidden=(4,)).to(dtype)
    c = torch.tensor([label for label, count in enumerate(counts) for _ in range(count)])
    x = torch.zeros(len(c), 4)
    for stage in model.stages:
        if isinstance(stage, Solve):
            stage.solve(model, [Batch(x[:7], c[:7]), Batch(x[7:], c[7:])])
    assert isinstance(model, rp.VAE)
    return model


@pytest.mark.parametrize("dtype", [F64, torch.float32])
def test_classes_are_drawn_as_often_as_they_occur_in_training(dtype):
    counts = [5, 20, 0, 10, 1, 0]
    model = solved(counts, dtype)
    shares = np.array(counts) / sum(counts)
    np.testing.assert_allclose(model.frequencies.numpy(), shares, rtol=1e-6)
    drawn = model.draw_condition(20_000, torch.Generator().manual_seed(0))
    assert drawn is not None
    assert drawn.dtype == torch.int64
    found = np.bincount(drawn.numpy(), minlength=6)
    assert found[[2, 5]].sum() == 0
    kept = shares > 0
    assert stats.chisquare(found[kept], 20_000 * shares[kept]).pvalue > 1e-4


def test_the_ends_of_the_uniform_noise_draw_classes_that_occur(monkeypatch):
    from reparam import numerics

    model = solved([0, 3, 3, 3, 0], torch.float32)
    ends = torch.tensor([0.0, 1 - 2**-24])
    monkeypatch.setattr(numerics, "noise", lambda like, kind, generator: ends.to(like))
    assert model.draw_condition(2).tolist() == [1, 3]


def test_samples_without_c_follow_the_frequencies():
    """A model whose x tells its class: samples counted against the training shares, χ²."""

    class Tell(nn.Module):
        def forward(self, z: Tensor, c: Tensor) -> Tensor:
            return 60 * (2 * nn.functional.one_hot(c, 4).to(z) - 1)

    model = solved([8, 1, 4, 3])
    model.decoder = Tell()
    x = model.sample(5000, generator=torch.Generator().manual_seed(2))
    assert torch.equal(x.sum(1), torch.ones(5000, dtype=F64))
    expected = 5000 * np.array([8, 1, 4, 3]) / 16
    assert stats.chisquare(x.sum(0).numpy(), expected).pvalue > 1e-4


def test_data_without_labels_are_refused():
    space = Space((4,), "binary")
    with pytest.raises(ValueError, match="cvae: expected data with labels or attributes, got none"):
        rp.build("cvae", space)
    for name in LAYERED:
        with pytest.raises(
            ValueError, match="conditional: expected data with labels or attributes"
        ):
            rp.build(name, space, conditional=True)
    parts = (rp.DiagonalNormal(1), rp.StandardNormal(1), rp.Bernoulli(space))
    with pytest.raises(ValueError, match="conditional: expected data with labels or attributes"):
        rp.VAE(space, nn.Linear(4, 2), nn.Linear(1, 4), *parts, conditional=True)
    model = rp.build("cvae", dataclasses.replace(space, classes=2))
    counted = next(stage for stage in model.stages if stage.name == "class frequencies")
    with pytest.raises(ValueError, match="data: expected labels or attributes for a condit"):
        counted.solve(model, [Batch(torch.zeros(3, 4))])


def test_labels_given_to_a_model_that_uses_none_are_refused():
    model = rp.build("vae", Space((4,), "binary", classes=3), latent_dim=2).double()
    z, c = torch.zeros(2, 2), torch.zeros(2, dtype=torch.int64)
    for wrong in (lambda: model.decode(z, c), lambda: model.sample(2, c)):
        with pytest.raises(ValueError, match="c: VAE is not conditional"):
            wrong()


def test_scores_of_a_conditional_model_have_a_name_of_their_own():
    space = Space((7,), "binary", classes=3)
    splits = [Split(*labeled(space, n, seed)) for seed, n in enumerate((60, 20, 20))]
    data = Data(*splits, space=space, name="toy")
    model = rp.build("cvae", space, latent_dim=2, hidden=(8,))
    rp.fit(model, data, epochs=1, progress=False)
    counts = torch.bincount(splits[0].labels, minlength=3)
    torch.testing.assert_close(model.frequencies, counts / counts.sum())
    scores = rp.evaluate(model, data, samples=5)
    assert {"conditional_log_likelihood", "conditional_bits_per_dim"} <= scores.keys()
    assert not {"log_likelihood", "bits_per_dim", "elbo"} & scores.keys()
    assert scores["conditional_log_likelihood"].kind == "lower bound"
    plain = rp.build("vae", space, latent_dim=2, hidden=(8,))
    rp.fit(plain, data, epochs=1, progress=False)
    names = rp.evaluate(plain, data, samples=5).keys()
    assert {"log_likelihood", "bits_per_dim"} <= names
    assert not any(name.startswith("conditional") for name in names)
