"""Classifiers: what is trained, by which rates, and that labels are targets and nothing else."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

import reparam as rp
from reparam.data import Data, Split
from reparam.inspection import Classifies
from reparam.model import Batch, Descend, Space
from reparam.models.classifier import Classifier, FeatureScale
from reparam.train.loop import resume

SPACE = Space((4,), "real", classes=3)
CONSTANT = dict(schedule="constant", warmup=0, batch_size=8, progress=False)


def rows(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Three overlapping clouds of different units, float64."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 3
    centers = torch.tensor([[0.0, 0, 0, 5], [1, 1, 0, 5], [0, 2, -1, 5]], dtype=torch.float64)
    x = centers[labels] + torch.randn(n, 4, generator=generator, dtype=torch.float64)
    return x * torch.tensor([1.0, 10, 0.1, 1]), labels


def clouds(n: int = 48) -> Data:
    parts = [Split(*rows(n, seed)) for seed in (1, 2, 3)]
    return Data(*parts, space=SPACE, name="clouds", class_names=("a", "b", "c"))


def encoder(name: str = "ae", space: Space = SPACE, **parameters: object) -> rp.Encoder:
    small = {"ae": {"latent_dim": 3, "hidden": (5,)}, "pca": {"latent_dim": 3}}.get(name, {})
    found = rp.build(name, space, seed=0, **small | parameters)
    assert isinstance(found, rp.Encoder)
    return found


def solved(model: Classifier, x: Tensor, labels: Tensor) -> Classifier:
    for stage in model.stages:
        if not isinstance(stage, Descend):
            stage.solve(model, [Batch(x[:10], None, labels[:10]), Batch(x[10:], None, labels[10:])])
    return model


def state(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


# ------------------------------------------------------------------------------------ the loss


def test_a_head_that_has_learned_nothing_finds_all_classes_equally_probable():
    model = Classifier(encoder())
    x, labels = rows(9)
    loss = model.loss(x, target=labels)
    torch.testing.assert_close(loss.terms["cross_entropy"], torch.full((9,), math.log(3)))
    assert isinstance(model, Classifies)
    assert loss.terms["error"].tolist() == [0, 1, 1] * 3  # the first class, where none is better


def test_the_linear_probe_ends_at_the_logistic_regression_of_another_library():
    """On standardized features, without regularization: the minimum of a convex function."""
    x, labels = rows(60)
    model = solved(Classifier(encoder("pca"), tune="linear").double(), x, labels).train()
    optimizer = torch.optim.LBFGS(
        model.head.parameters(),
        max_iter=500,
        tolerance_grad=1e-12,
        tolerance_change=1e-16,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        objective = model.loss(x, target=labels).objective
        objective.backward()
        return objective

    optimizer.step(closure)
    codes = model.encoder.encode(x).detach().numpy()
    z = (codes - codes.mean(0)) / codes.std(0)
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=5000).fit(z, labels.numpy())
    wanted = torch.from_numpy(theirs.predict_log_proba(z))
    # Both stop where gradients are about 1e-9 of curvatures about 0.1.
    torch.testing.assert_close(model.log_class_probs(x).detach(), wanted, rtol=0, atol=1e-5)


def test_features_are_standardized_in_one_pass_and_constants_keep_their_unit():
    x = torch.cat([rows(30)[0], torch.full((30, 1), 7.0)], 1).float()
    scale = FeatureScale(5)
    scale.learn([x[:4], x[4:5], x[5:]])
    torch.testing.assert_close(scale.mean, x.mean(0))
    wanted = torch.cat([x[:, :4].std(0, unbiased=False), torch.ones(1)])
    torch.testing.assert_close(scale.deviation, wanted)
    found = scale(x)
    torch.testing.assert_close(found.mean(0), torch.zeros(5), rtol=0, atol=1e-5)
    deviations = torch.tensor([1.0, 1, 1, 1, 0])
    torch.testing.assert_close(found.std(0, unbiased=False), deviations, rtol=0, atol=1e-5)


def test_features_are_scaled_as_they_are_in_use():
    """With the running statistics of batch normalization, not those of a batch, in which mode."""
    x, labels = rows(30)
    vae = encoder("vae", latent_dim=3, hidden=(5,), batch_norm=True)
    model = solved(Classifier(vae, trained=True).double().train(), x, labels)
    assert model.training and model.encoder.training
    with torch.no_grad():
        features = model.eval()._features(x)
    torch.testing.assert_close(model.scale.mean, features.mean(0))


def test_labels_are_targets_and_never_conditions():
    model, (x, labels) = Classifier(encoder()).eval(), rows(6)
    with pytest.raises(ValueError, match="c: .*not conditional"):
        model.encode(x, labels)
    with pytest.raises(ValueError, match="target: expected the label of each row, got None"):
        model.loss(x)
    with pytest.raises(ValueError, match="target: expected labels 0 … 2, got 1 … 3"):
        model.loss(x, target=labels + 1)


# ------------------------------------------------------------------------------ what is trained


def test_rates_fall_from_the_head_to_the_first_layer():
    mae = encoder("mae", Space((8,), "real", classes=3), width=8, layers=3, heads=2)
    model = Classifier(mae, layer_decay=0.5)
    (descent,) = (stage for stage in model.stages if isinstance(stage, Descend))
    (player,) = descent.players
    assert len(player.modules) == len(mae.stack()) + 1
    assert player.modules[-1] is model.head and player.rates[-2:] == (0.5, 1.0)
    assert all(b == 2 * a for a, b in zip(player.rates, player.rates[1:], strict=False))
    decoder = {id(p) for p in mae.decoder.parameters()}
    assert not decoder & {id(p) for module in player.modules for p in module.parameters()}


@pytest.mark.parametrize("name", ["ae", "mae"])
def test_a_decay_of_0_is_the_linear_probe_and_leaves_the_encoder_bit_for_bit(name):
    data, found = clouds(), []
    small = {"width": 8, "layers": 1, "heads": 2} if name == "mae" else {}
    for how in ({"tune": "linear"}, {"layer_decay": 0.0}, {}):
        model = Classifier(encoder(name, **small), **how)
        before = state(model.encoder)
        rp.fit(model, data, epochs=2, lr=1e-2, **CONSTANT)
        solved_too = {n: v for n, v in before.items() if "standardize" not in n}
        assert same(solved_too, state(model.encoder)) == bool(how)
        found.append(model.encode(data.test.x))
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_logits_have_gradients_in_x_whatever_is_trained():
    found, x = [], rows(5)[0].float()
    for tune in ("all", "linear"):
        model = Classifier(encoder(), tune=tune).eval()
        nn.init.eye_(model.head.weight)
        asked = x.clone().requires_grad_()
        model.encode(asked).square().sum().backward()
        found.append(asked.grad)
    assert torch.equal(*found) and found[0].any()
    assert not Classifier(encoder(), tune="linear")._features(x).requires_grad


def test_what_an_encoder_moved_without_gradients_is_trained_too():
    frozen = encoder().requires_grad_(False)
    before = state(frozen.encoder)
    rp.fit(Classifier(frozen), clouds(), epochs=1, **CONSTANT)
    assert not same(before, state(frozen.encoder))


def test_an_encoder_that_brings_what_it_learned_is_not_solved_again():
    data = clouds()
    pca = encoder("pca")
    rp.fit(pca, data, progress=False)
    few = Data(data.train.take(slice(0, 6)), data.valid, data.test, SPACE, "few")
    before = state(pca)
    rp.fit(Classifier(pca, tune="linear", trained=True), few, epochs=1, **CONSTANT)
    assert same(before, state(pca))
    rp.fit(Classifier(pca, tune="linear"), few, epochs=1, **CONSTANT)
    assert not same(before, state(pca))


def test_statistics_of_batch_normalization_move_with_the_encoder_alone():
    for tune, moved in (("all", True), ("linear", False)):
        vae = encoder("vae", latent_dim=3, hidden=(5,), batch_norm=True)
        before = {n: v for n, v in state(vae).items() if n.endswith("running")}
        rp.fit(Classifier(vae, tune=tune), clouds(), epochs=1, **CONSTANT)
        of_encoder = {n: v for n, v in before.items() if "encoder" in n or "posterior" in n}
        assert of_encoder and same(of_encoder, state(vae)) != moved


def test_features_that_stay_are_the_same_in_training():
    x, found = rows(12)[0].float(), []
    for mode in (True, False):
        vae = encoder("vae", latent_dim=3, hidden=(5,), batch_norm=True)
        found.append(Classifier(vae, tune="linear").train(mode)._features(x))
    assert torch.equal(*found)


@pytest.mark.filterwarnings("ignore:most of .* codes are idle")
def test_codes_that_are_indices_are_probed_by_their_vectors():
    vq = encoder("vq-vae", codes=8, code_dim=2, tokens=2, hidden=(4,))
    with pytest.raises(ValueError, match="tune: expected linear, .* have no gradients, got all"):
        Classifier(vq)
    model = Classifier(vq, tune="linear")
    assert model.head.in_features == vq.embed(vq.encode(rows(2)[0])).shape[1]
    rp.fit(model, clouds(), epochs=1, **CONSTANT)


def test_what_no_classifier_can_be_made_of_is_refused():
    with pytest.raises(ValueError, match="encoder: expected an unconditional one, .* leave out"):
        Classifier(encoder("cvae", latent_dim=2, hidden=(4,)))
    with pytest.raises(ValueError, match="classes: expected data with class labels, got none"):
        Classifier(encoder(space=Space((4,), "real")))
    with pytest.raises(ValueError, match="encoder: expected a model with codes, got made; take"):
        rp.build("classifier", SPACE, encoder="made")
    with pytest.raises(ValueError, match="classifier: expected data with labels, got none; name"):
        rp.build("classifier", Space((4,), "real"), encoder="ae")


# -------------------------------------------------------------------------------- in training


def test_data_without_labels_are_refused_before_training():
    data = clouds()
    bare = Data(data.train, Split(data.valid.x), data.test, SPACE, "bare")
    with pytest.raises(ValueError, match="bare: valid: expected labels, which classifier learns"):
        rp.fit(rp.build("classifier", SPACE, encoder="ae"), bare, progress=False)


def test_a_resumed_classifier_is_the_uninterrupted_one_bit_for_bit(tmp_path):
    data = clouds()
    for tune in ("all", "linear"):
        whole, left = (
            rp.build("classifier", SPACE, seed=3, encoder="ae latent_dim=3 hidden=5", tune=tune)
            for _ in range(2)
        )
        rp.fit(whole, data, epochs=7, **CONSTANT)
        rp.fit(left, data, epochs=3, out=tmp_path / tune, **CONSTANT)
        back, history = resume(tmp_path / tune, data=data, epochs=7, progress=False)
        assert history.rows[-1]["step"] == 42
        assert same(state(whole), state(back)), tune
        assert back.class_names == ("a", "b", "c")


def test_heads_of_a_seed_are_the_same_and_encoders_those_of_their_preset():
    """Scratch and tuned differ by what the encoder learned, and by nothing else."""
    text = "ae latent_dim=3 hidden=5"
    scratch = rp.build("classifier", SPACE, seed=0, encoder=text)
    alone = rp.build("ae", SPACE, seed=0, latent_dim=3, hidden=(5,))
    assert same(state(alone), state(scratch.encoder))
    tuned = Classifier(rp.build("ae", SPACE, seed=9, latent_dim=3, hidden=(5,)), trained=True)
    assert same(state(scratch.head), state(tuned.head))


def test_permuted_labels_are_told_by_chance():
    """Σ_k p̂(k) p(k): predictions then know nothing of the labels they are compared with."""
    data, generator = clouds(300), torch.Generator().manual_seed(5)
    mixed = {
        name: Split(split.x, split.labels[torch.randperm(len(split), generator=generator)])
        for name, split in data.splits.items()
    }
    data = Data(**mixed, space=SPACE, name="permuted")
    model = Classifier(encoder())
    rp.fit(model, data, epochs=5, lr=1e-2, **CONSTANT)
    found = rp.classify(model, data.test.x).argmax(1)
    shares = [torch.bincount(labels, minlength=3) / 300 for labels in (found, data.test.labels)]
    chance = float((shares[0] * shares[1]).sum())
    accuracy = rp.evaluate(model, data)["accuracy"].value
    assert accuracy == (found == data.test.labels).double().mean()
    assert abs(accuracy - chance) < 4 * math.sqrt(chance * (1 - chance) / 300)
