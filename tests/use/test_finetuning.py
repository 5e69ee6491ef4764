"""Fine-tuning begins with what an encoder learned, and leaves the encoder as it was."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
import torch

import reparam as rp
from reparam.lock import InUse, locked
from reparam.model import Space
from reparam.presets.classifier import spelled_encoder
from reparam.train.batches import Batches
from reparam.use.finetuning import EPOCHS, STEPS, training_of
from reparam.use.finetuning_runs import TUNED_FILE, finetune_all, folder_name, read_tuned

QUICK = dict(epochs=2, progress=False)


@pytest.fixture(scope="module")
def data() -> rp.Data:
    return rp.load_data("digits")


@pytest.fixture(scope="module")
def encoder(data) -> rp.Encoder:
    model = rp.build("ae", data.space, seed=0, latent_dim=8, hidden=(16,))
    rp.fit(model, data, epochs=3, progress=False)
    return model


def weights(model: torch.nn.Module) -> list[torch.Tensor]:
    return [value.clone() for value in model.state_dict().values()]


def test_a_copy_is_tuned_and_the_default_generator_stays(data, encoder):
    before, state = weights(encoder), torch.get_rng_state()
    tuned = rp.finetune(encoder, data.with_labels(100), **QUICK)
    assert torch.equal(state, torch.get_rng_state())
    assert all(map(torch.equal, before, weights(encoder)))
    assert not all(map(torch.equal, before, weights(tuned.encoder)))
    assert tuned.class_names == data.class_names and not tuned.training


def test_a_run_is_opened_without_that_of_its_encoder(data, encoder, tmp_path):
    tuned = rp.finetune(encoder, data.with_labels(30), tune="linear", out=tmp_path / "run", **QUICK)
    back = rp.load(tmp_path / "run")
    x = data.test.x[:5]
    assert torch.equal(back.log_class_probs(x), tuned.log_class_probs(x))
    assert back.recipe == tuned.recipe
    assert back.recipe["parameters"] == {"encoder": "ae latent_dim=8 hidden=16", "tune": "linear"}


def test_names_of_encoders_are_read_as_they_are_written():
    space = Space((1, 8, 8), "levels", levels=17, classes=10)
    for name, given in (
        ("vae", {"posterior": "mixture", "components": 3, "batch_norm": True, "hidden": (4, 3)}),
        ("ae-gmm", {"codec.latent_dim": 2, "codec.hidden": ()}),
        ("mae", {"patch": "2x4", "width": 8, "normalize_target": True}),
    ):
        model = rp.build(name, space, **given)
        text = spelled_encoder(model)
        assert rp.build("classifier", space, encoder=text).encoder.recipe == model.recipe, text


def test_few_labels_get_a_number_of_steps_and_many_a_number_of_epochs(data):
    few = data.with_labels(20)  # 10 rows that train
    assert training_of(few, {}).epochs == STEPS
    rows = data.train.x[:1].expand(300 * 64, -1, -1, -1)
    many = replace(data, train=rp.Split(rows, torch.zeros(len(rows), dtype=torch.int64)))
    assert training_of(many, {}).epochs == EPOCHS
    assert training_of(many, {"batch_size": 64 * 30}).epochs == STEPS // 10


@pytest.mark.parametrize("n", [10, 80, 100, 300, 1000])
def test_few_labels_get_the_least_number_of_steps_and_at_most_twice_as_many(data, n):
    few = data.with_labels(n)
    config = training_of(few, {})
    batches = Batches(few.train, config.batch_size, 0, torch.device("cpu"))
    assert STEPS <= config.epochs * batches.steps_per_epoch <= 2 * STEPS


def test_what_cannot_be_tuned_is_refused(data, encoder):
    with pytest.raises(ValueError, match="model: expected a model with codes, got made, .* take "):
        rp.finetune(rp.build("made", data.space), data)
    bare = replace(data, train=rp.Split(data.train.x), space=replace(data.space, classes=None))
    with pytest.raises(ValueError, match="digits: expected data with class labels, got none; name"):
        rp.finetune(encoder, bare)
    with pytest.raises(ValueError, match="data: expected Space"):
        rp.finetune(encoder, rp.load_data("checkerboard"))


def test_a_folder_is_continued_and_only_by_the_same(data, encoder, tmp_path):
    out, made = tmp_path / "tuned", []
    watch = lambda what, share: made.append(what)  # noqa: E731
    first = finetune_all(encoder, data, [10], 2, out=out, epochs=2, watch=watch)
    assert [one.labels for one in first] == [10, 10] and len(made) == 2
    again = finetune_all(encoder, data, [10, "all"], 2, out=out, epochs=2, watch=watch)
    assert again[:2] == first and len(made) == 3
    assert [one.folder for one in again] == [
        folder_name(*a) for a in ((10, 0), (10, 1), ("all", 0))
    ]
    assert read_tuned(out)[0] == again[2]
    assert read_tuned(tmp_path) == []
    with pytest.raises(ValueError, match="holds a fine-tuning with other tune and fields; choose"):
        finetune_all(encoder, data, [10], 1, out=out, tune="linear", epochs=1)
    with pytest.raises(ValueError, match="is not empty, and tuned is no part of a fine-tuning"):
        finetune_all(encoder, data, [10], 1, out=tmp_path, force=True)
    forced = finetune_all(encoder, data, [10], 1, out=out, tune="linear", epochs=1, force=True)
    assert [one.labels for one in read_tuned(out)] == [10] and len(forced) == 1
    assert not (out / folder_name("all", 0)).exists()


def test_a_number_that_is_said_twice_is_tuned_once(data, encoder, tmp_path):
    out = tmp_path / "tuned"
    found = finetune_all(encoder, data, [10, 20, 10], 1, out=out, epochs=1)
    assert [one.labels for one in found] == [10, 20] and found == read_tuned(out)[::-1]


def test_a_test_split_without_labels_is_refused_before_training(data, encoder, tmp_path):
    bare = replace(data, test=rp.Split(data.test.x))
    with pytest.raises(ValueError, match="test has no labels to be compared with"):
        finetune_all(encoder, bare, [10], 1, out=tmp_path / "out", epochs=1)
    assert not (tmp_path / "out").exists()


def test_a_damaged_folder_is_refused_and_forced(data, encoder, tmp_path):
    out = tmp_path / "tuned"
    finetune_all(encoder, data, [10], 1, out=out, epochs=1)
    (out / TUNED_FILE).write_text('{"of": {}, "runs": 3}')
    with pytest.raises(ValueError, match="damaged, .*; fine-tune again with --force"):
        finetune_all(encoder, data, [10], 1, out=out, epochs=1)
    assert finetune_all(encoder, data, [10], 1, out=out, epochs=1, force=True) == read_tuned(out)


def test_a_folder_in_use_is_refused(data, encoder, tmp_path):
    def elsewhere() -> None:
        with locked(tmp_path):
            held.set()
            done.wait()

    held, done = threading.Event(), threading.Event()
    other = threading.Thread(target=elsewhere)
    other.start()
    held.wait()
    try:
        with pytest.raises(InUse):
            finetune_all(encoder, data, [10], 1, out=tmp_path, epochs=1)
    finally:
        done.set()
        other.join()
    assert not any(tmp_path.iterdir())


def test_an_interrupted_folder_goes_on(data, encoder, tmp_path, monkeypatch):
    from reparam.use import finetuning_runs

    whole = finetune_all(encoder, data, [10, 20], 1, out=tmp_path / "a", epochs=2)
    measured = finetuning_runs.classification_scores

    def interrupted(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(finetuning_runs, "classification_scores", interrupted)
    with pytest.raises(KeyboardInterrupt):
        finetune_all(encoder, data, [10, 20], 1, out=tmp_path / "b", epochs=2)
    assert (tmp_path / "b" / folder_name(10, 0)).exists() and not read_tuned(tmp_path / "b")
    monkeypatch.setattr(finetuning_runs, "classification_scores", measured)
    resume, resumed = finetuning_runs.resume, []
    spy = lambda folder, **how: resumed.append(folder.name) or resume(folder, **how)  # noqa: E731
    monkeypatch.setattr(finetuning_runs, "resume", spy)
    found = finetune_all(encoder, data, [10, 20], 1, out=tmp_path / "b", epochs=2)
    assert [o.cross_entropy for o in found] == [o.cross_entropy for o in whole]
    assert resumed == [folder_name(10, 0)]  # and only the other one was trained anew
