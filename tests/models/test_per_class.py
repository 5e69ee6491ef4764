"""A density for each class: the mixture by hand, what training gives it, and what it refuses."""

from __future__ import annotations

import os
import signal
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TINY, random_x, solve_stages, tiny_model
from scipy import stats
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from torch import Tensor

import reparam as rp
from reparam import numerics
from reparam.data import Data, Split, taught
from reparam.data.suitability import refuse_few
from reparam.evaluation.likelihood import log_likelihood
from reparam.model import Batch, Descend, Loss, Space
from reparam.models.per_class import PerClass
from reparam.presets import PRESETS

F64 = torch.float64
BINARY, PLANE = Space((5,), "binary", classes=3), Space((2,), "real", classes=3)


def bits(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Rows whose classes differ, of unequal frequency."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.tensor([0, 2, 1, 0, 0, 2])[torch.arange(n) % 6]
    p = torch.rand(3, 5, generator=torch.Generator().manual_seed(9), dtype=F64)
    return (torch.rand(n, 5, generator=generator, dtype=F64) < p[y]).double(), y


def data_of(x: Tensor, y: Tensor | None, space: Space, names: Any = ("a", "b", "c")) -> Data:
    return Data(*3 * [Split(x, y)], space, "made", class_names=names)


def built(name: str, space: Space = BINARY, **changes: Any) -> Any:
    known = PRESETS[name].parameters
    small = {k: v for k, v in TINY.items() if k in known} | dict(PRESETS[name].small)
    return rp.build(name, space, seed=1, **small | {"per_class": True} | changes).double()


def trained(name: str, x: Tensor, y: Tensor, space: Space, **changes: Any) -> Any:
    model = built(name, space, **changes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rp.fit(model, data_of(x, y, space), progress=False, epochs=2)
    return model


# ------------------------------------------------------------------------------- the density


def test_it_is_the_mixture_of_its_parts():
    x, y = bits(60)
    model = trained("made", x, y, BINARY)
    torch.testing.assert_close(model.frequencies, torch.tensor([3.0, 1.0, 2.0], dtype=F64) / 6)
    parts = torch.stack([part.log_prob(x).value for part in model.parts], 1)
    found = model.log_prob(x)
    torch.testing.assert_close(found.value, (parts.exp() @ model.frequencies).log())
    assert found.kind == "exact"
    given = model.log_prob(x, y)
    assert torch.equal(given.value, parts.gather(1, y[:, None])[:, 0]) and given.kind == "exact"
    everything = torch.cartesian_prod(*5 * [torch.arange(2, dtype=F64)])
    assert model.log_prob(everything).value.exp().sum().item() == pytest.approx(1, abs=1e-12)
    joint = parts + model.frequencies.log()
    torch.testing.assert_close(rp.classify(model, x), joint.log_softmax(1))


def test_with_probabilistic_pca_it_is_quadratic_discriminant_analysis():
    """With one component of two dimensions C = W Wᵀ + σ² I is the covariance itself."""
    rng = np.random.default_rng(3)
    shapes = [np.array([[2.0, 0.3], [0.3, 0.5]]), np.array([[0.4, 0], [-0.6, 1.5]]), np.eye(2)]
    y = np.repeat([0, 1, 2], [120, 60, 20])
    centers = np.array([[0.0, 0.0], [1.5, 1.0], [-2.0, 2.0]])
    x = np.stack([centers[k] + shapes[k] @ rng.normal(size=2) for k in y])
    model = built("pca", PLANE, latent_dim=1)
    rp.fit(model, data_of(torch.from_numpy(x), torch.from_numpy(y), PLANE), progress=False)
    new = rng.normal(size=(50, 2)) * 3
    log_p = rp.classify(model, torch.from_numpy(new))
    joint = np.zeros((50, 3))
    for k in range(3):
        mine = x[y == k]
        law = stats.multivariate_normal(mine.mean(0), np.cov(mine.T, bias=True))
        joint[:, k] = np.log(len(mine) / len(x)) + law.logpdf(new)
    # The last bits are those of an eigendecomposition and of a Cholesky factor.
    total = np.logaddexp.reduce(joint, 1)
    np.testing.assert_allclose(model.log_prob(torch.from_numpy(new)).value, total, rtol=1e-9)
    np.testing.assert_allclose(log_p, joint - total[:, None], rtol=1e-9, atol=1e-9)
    # scikit-learn divides by n − 1: with each class at the variance that this leaves, it is the
    # same rule, and what is found of x that lie within a class's spread is the same class.
    theirs = QuadraticDiscriminantAnalysis().fit(x, y).predict(x)
    assert (rp.classify(model, torch.from_numpy(x)).argmax(1).numpy() == theirs).mean() > 0.98


@pytest.mark.parametrize(
    ("name", "kind"), [("vae", "lower bound"), ("ddpm", "estimate"), ("nade", "exact")]
)
def test_the_weakest_word_holds_and_bounds_in_nats_make_estimates(name, kind):
    x, y = bits(24)
    model = built(name)
    solve_stages(model, x, y)
    assert model.log_prob(x, samples=2).kind == kind
    part = model.parts[0].log_prob(x, samples=2).kind
    assert model.log_prob(x, y, samples=2).kind == part  # of one class nothing is mixed
    assert model.approximation == model.parts[0].approximation
    assert model.passes_per_sample == 3 * model.parts[0].passes_per_sample


def test_errors_of_log_z_of_the_classes_are_in_that_of_the_likelihood():
    x, y = bits(120)
    model = trained("ebm", x, y, BINARY).eval()
    parts, frequencies = [part.log_partition for part in model.parts], model.frequencies.double()
    found = model.log_partition
    each = torch.stack([part.stderr for part in parts])
    assert found.kind == "estimate" and (each > 0).all()
    assert found.effective_samples == min(part.effective_samples for part in parts)
    torch.testing.assert_close(found.stderr, (frequencies * each).square().sum().sqrt())
    score = log_likelihood(model, Split(x))
    assert score.common_stderr == found.stderr.item() and "log Z" in score.notes[0]
    # On average log p(x) moves by p(y) times what log Z of class y does. The mean of n shares
    # p(y|x), which are in [0, 1], is off by 1/(2 √n) = 0.011 at most; four times that is allowed.
    drawn = model.sample(2000, generator=torch.Generator().manual_seed(3))
    before, step = model.log_prob(drawn).value.mean(), 1e-4
    for label, part in enumerate(model.parts):
        part.partition.found[0] += step
        moved = (before - model.log_prob(drawn).value.mean()) / step
        part.partition.found[0] -= step
        assert abs(moved - frequencies[label]) < 0.045


def test_noise_of_a_row_does_not_depend_on_its_company():
    x, y = bits(24)
    model = built("vae")
    solve_stages(model, x, y)
    for c in (None, y):

        def one(rows: slice, c: Tensor | None = c) -> Tensor:
            seeds = range(24)[rows]
            with numerics.own_noise([torch.Generator().manual_seed(s) for s in seeds]):
                return model.log_prob(x[rows], None if c is None else c[rows], samples=3).value

        torch.testing.assert_close(one(slice(7, 15)), one(slice(None))[7:15])


# ---------------------------------------------------------------------------------- the draws


def test_draws_have_the_frequencies_of_the_classes_and_are_each_classes_own():
    space, n = Space((2,), "real", classes=3), 4000
    y = torch.tensor([0, 2, 1, 0, 0, 2])[torch.arange(600) % 6]
    far = torch.tensor([[0.0, 0.0], [50.0, 0.0], [0.0, 50.0]], dtype=F64)
    x = far[y] + torch.randn(600, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    model = trained("pca", x, y, space, latent_dim=1)
    drawn = model.sample(n, generator=torch.Generator().manual_seed(1))
    of = torch.cdist(drawn, far).argmin(1)
    counts = torch.bincount(of, minlength=3).numpy()
    assert stats.chisquare(counts, n * np.array([3, 1, 2]) / 6).pvalue > 1e-3
    # No order of classes among the draws: neighbors are alike as often as independent ones.
    alike = (of[1:] == of[:-1]).double().mean().item()
    p = (9 + 1 + 4) / 36
    assert abs(alike - p) < 5 * (p * (1 - p) / n) ** 0.5
    c = torch.arange(30) % 3
    mine = model.sample(30, c, generator=torch.Generator().manual_seed(2))
    assert torch.equal(torch.cdist(mine, far).argmin(1), c)
    assert (torch.cdist(model.sample(5, "b"), far).argmin(1) == 1).all()  # by the class's name


# -------------------------------------------------------------------------------- the training


def test_a_loss_is_the_mean_over_rows_of_their_own_models():
    x, y = bits(12)
    model = built("made")
    solve_stages(model, x, y)
    loss = model.loss(x, y)
    own = torch.stack([model.parts[k].loss(x[i : i + 1]).terms["nll"][0] for i, k in enumerate(y)])
    torch.testing.assert_close(loss.terms["nll"], own)
    torch.testing.assert_close(loss.objective, own.mean())
    loss.objective.backward()
    only = built("made")
    solve_stages(only, x, y)
    (only.parts[1].loss(x[y == 1]).objective * (y == 1).double().mean()).backward()
    for mine, theirs in zip(model.parts[1].parameters(), only.parts[1].parameters(), strict=True):
        if mine.requires_grad:
            torch.testing.assert_close(mine.grad, theirs.grad)


def test_full_batches_train_each_part_as_it_would_be_alone():
    """Adam does not see that a loss is a third of what it would be, but for its ε of 1e-8.

    That counts where a gradient is about as small; all weights but these move by about 0.1.
    """
    x, y = bits(60)
    model = built("nade")
    alone = built("nade").parts[2]
    config: dict[str, Any] = {"progress": False, "epochs": 30, "lr": 1e-2}
    rp.fit(model, data_of(x, y, BINARY), batch_size=60, **config)
    mine = data_of(x[y == 2], None, replace(BINARY, classes=None), None)
    rp.fit(alone, mine, batch_size=20, **config)
    for ours, theirs in zip(model.parts[2].parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-3)


def test_statistics_and_what_moves_without_gradients_are_those_of_each_class():
    x, y = bits(36)
    model, apart = (built("vae", batch_norm=True).train() for _ in range(2))
    for one in (model, apart):
        solve_stages(one, x, y)
    model.after_step(model.loss(x, y))
    for label, part in enumerate(apart.parts):
        part.after_step(part.loss(x[y == label]))
    moved = [name for name in model.state_dict() if name.endswith("running")]
    assert moved
    # Means of the first layer do not depend on the draws of z; later ones do.
    encoder = [name for name in moved if "encoder" in name]
    for name in encoder:
        torch.testing.assert_close(model.state_dict()[name], apart.state_dict()[name])


def test_a_batch_without_rows_of_a_class_moves_nothing_of_it():
    x, y = bits(36)
    model = built("vae", batch_norm=True).train()
    solve_stages(model, x, y)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    loss = model.loss(x[y != 1], y[y != 1])
    loss.objective.backward()
    model.after_step(loss)
    of = [name for name in before if name.startswith("parts.1.")]
    assert all(torch.equal(before[name], model.state_dict()[name]) for name in of)
    assert all(not p.grad.any() for p in model.parts[1].parameters() if p.grad is not None)
    # The processes of one run add these up, so that all need the same ones.
    assert loss.statistics.keys() == model.loss(x, y).statistics.keys()
    assert all(p.grad is not None for p in model.parts[1].parameters())


def test_a_class_without_rows_is_never_drawn_and_has_no_density():
    x, y = bits(60)
    y = torch.where(y == 1, 0, y)
    model = trained("vae", x, y, BINARY)
    assert model.frequencies[1] == 0 and model.seen == [0, 2]
    fresh = built("vae")
    for ours, theirs in zip(model.parts[1].parameters(), fresh.parts[1].parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert model.log_prob(x).value.isfinite().all()
    assert model.log_prob(x, 1).value.isneginf().all()
    posterior = rp.classify(model, x, samples=3)
    assert posterior[:, 1].isneginf().all() and posterior[:, [0, 2]].isfinite().all()
    assert model.sample(200).isfinite().all()
    with pytest.raises(ValueError, match="c: class 'b' had no training rows"):
        model.sample(3, torch.tensor([0, 1, 2]))


@pytest.mark.parametrize("name", ["vae", "nade", "real-nvp", "rbm", "sigma-vae"])
def test_a_class_of_one_row_gives_numbers(name):
    x, y = bits(40)
    y = torch.where(y == 1, 0, y)
    y[7] = 1
    model = trained(name, x, y, BINARY)
    assert model.log_prob(x).value.isfinite().all()
    assert all(value.isfinite().all() for value in model.state_dict().values())


# ---------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("text", "space", "why"),
    [
        ("pca", replace(BINARY, classes=None), "per_class: expected data with class labels"),
        ("vae conditional=true", BINARY, "per_class: expected no conditional model"),
        ("factor-vae", BINARY, "per_class: .* one loss, got VAE, which several players"),
        ("two-stage-vae", BINARY, "per_class: .* one loss, got TwoStageDensity"),
        ("gan", BINARY, "per_class: no parameter of gan"),
        ("cvae", BINARY, "per_class: no parameter of cvae"),
        ("ae", BINARY, "per_class: no parameter of ae"),
    ],
)
def test_what_cannot_be_built_is_refused_in_a_sentence(text, space, why):
    name, *words = text.split()
    parameters = dict(word.split("=") for word in words)
    with pytest.raises(ValueError, match=why):
        rp.build(name, space, per_class=True, **parameters)


def test_parts_without_a_density_or_with_a_condition_are_refused():
    with pytest.raises(ValueError, match="with a density, got Autoencoder"):
        PerClass(BINARY, lambda alone: rp.build("ae", alone))
    with pytest.raises(ValueError, match="an unconditional model"):
        PerClass(BINARY, lambda alone: rp.build("cvae", BINARY))


def test_data_that_cannot_teach_it_are_refused_before_anything_is_written(tmp_path):
    x, y = bits(40)
    real = 3 + torch.randn(40, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    flat = torch.where((y == 1)[:, None] & torch.tensor([True, False]), 7.0, real)
    lacking = Data(Split(x, torch.zeros_like(y)), *2 * [Split(x, y)], BINARY, "made")
    few = torch.where(y == 1, 0, y)
    few[3] = 1
    cases: list[tuple[Any, Data, str]] = [
        (built("vae"), data_of(x, None, BINARY), "made: train: expected labels .* name their col"),
        (built("vae"), data_of(x, y + 5, replace(BINARY, classes=9), None), "labels 0 … 2"),
        (built("vae"), lacking, "valid: class '1' has no training rows"),
        (built("pca", PLANE, latent_dim=1), data_of(flat, y, PLANE), "column 0 varies, .* 'b'"),
        (built("pca", PLANE, latent_dim=1), data_of(real, few, PLANE), "class 'b': .* 1: "),
    ]
    for model, data, why in cases:
        with pytest.raises(ValueError, match=why):
            rp.fit(model, data, progress=False, out=tmp_path / "run")
        assert not (tmp_path / "run").exists()


def test_labels_are_what_losses_take_and_nothing_else_asks_for():
    x, y = bits(24)
    model, data = built("vae"), data_of(x, y, BINARY)
    assert torch.equal(taught(model, data.train), y)
    assert rp.data.condition(model, data.train) is None
    refuse_few(model, data)
    with pytest.raises(ValueError, match="c: expected the label of each row"):
        model.loss(x)
    rp.fit(model, data, epochs=1, progress=False)
    found = rp.evaluate(model, data_of(x, None, replace(BINARY, classes=None), None), samples=2)
    assert "log_likelihood" in found and "conditional_log_likelihood" not in found


# --------------------------------------------------------------------------- saved and resumed


def test_it_is_saved_loaded_and_resumed_as_every_model(tmp_path, monkeypatch):
    monkeypatch.setattr("reparam.train.loop.SECONDS_BETWEEN_NEWS", 0.0)
    data = rp.load_data("digits")

    def watch(news: Any) -> None:
        if news.step == 7:
            os.kill(os.getpid(), signal.SIGINT)

    config: dict[str, Any] = {"epochs": 1, "progress": False, "ema": 0.9}
    one, two = (
        rp.build("vae", data.space, seed=0, latent_dim=2, hidden=(4,), per_class=True, steps=2)
        for _ in range(2)
    )
    rp.fit(one, data, out=tmp_path / "one", **config)
    with pytest.raises(KeyboardInterrupt):
        rp.fit(two, data, out=tmp_path / "two", watch=watch, **config)
    again, _ = rp.resume(tmp_path / "two", progress=False)
    assert isinstance(again, PerClass)
    loaded = rp.load(tmp_path / "one")
    for name, value in one.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
        assert torch.equal(value, loaded.state_dict()[name]), name
    assert loaded.class_names == one.class_names == tuple("0123456789")
    assert loaded.recipe == one.recipe and loaded.recipe["parameters"]["per_class"] is True


def test_the_option_leaves_every_preset_as_it_was():
    for name, preset in PRESETS.items():
        assert ("per_class" in preset.parameters) == preset.takes_classes
        assert not preset.takes_classes or preset.parameters["per_class"].default is False, name
    model = tiny_model("vae", BINARY)
    assert not isinstance(model, PerClass) and model.recipe is not None
    assert "per_class" not in model.recipe["parameters"]
    assert random_x(BINARY, 3).shape == (3, 5)


def test_stages_are_those_of_a_part_after_the_frequencies():
    names = [stage.name for stage in built("real-nvp", PLANE).stages]
    assert names == ["class frequencies"] + [
        s.name for s in built("real-nvp", PLANE).parts[0].stages
    ]
    assert not any(s.players for s in built("vae").stages if isinstance(s, Descend))
    batch, loss = Batch(torch.zeros(1, 5)), Loss(torch.zeros(()), {})
    built("vae").after_step(loss)  # of no row: there are no statistics
    with pytest.raises(ValueError, match="expected labels"):
        built("vae").stages[0].solve(built("vae"), [batch])
