"""Comparisons: what is refused early, what survives failures and interruptions, what is merged."""

import json
import math
import shutil

import numpy as np
import pytest
import torch
from comparing import AE, QUICK, VAE, page_of_a_comparison, table, word_for_a_page  # noqa: F401
from PIL import Image

import reparam as rp
from reparam import comparison
from reparam.comparison import Candidate, compare
from reparam.comparison_defaults import default_models, refused_defaults
from reparam.data import Data, Split
from reparam.model import Column, Space
from reparam.presets import build
from reparam.train import NonFinite
from reparam.train.loop import choose_config


def failing(monkeypatch, which, error):
    """Let ``fit`` fail for the models of a class name."""
    real = comparison.fit

    def fit(model, *args, **kwargs):
        if type(model).__name__ in which:
            raise error
        return real(model, *args, **kwargs)

    monkeypatch.setattr(comparison, "fit", fit)


# ------------------------------------------------------------------------------ candidates


@pytest.mark.parametrize(
    "text", ["ae hidden=()", "ae latent_dim=3 hidden=8,4", "vae latent_dim=2 network=mlp", "pca"]
)
def test_labels_are_read_back(text):
    candidate = Candidate.parse(text)
    assert candidate.label == text and Candidate.parse(candidate.label) == candidate


def test_the_mask_of_a_file_has_a_short_label(tmp_path):
    """Its bits are thousands of letters, and no name of a folder has more than 255."""
    pixels = np.random.default_rng(0).integers(0, 2, (2, 256, 256), np.uint8) * np.uint8(255)
    labels = []
    for i, mask in enumerate(pixels):
        Image.fromarray(mask).save(tmp_path / f"{i}.png")
        candidate = Candidate.parse(f"regression given=mask:{tmp_path}/{i}.png")
        assert len(candidate.parameters["given"]) > 1000
        labels.append(candidate.label)
    assert labels[0] != labels[1] and labels[0].startswith("regression given=mask:256x256:")
    assert max(map(len, labels)) < 60


def test_no_hidden_layers_is_shown_as_typed():
    recipe = rp.build("ae", Space((3,), "real"), hidden=()).recipe
    assert Candidate(**recipe).label == "ae hidden=()"


@pytest.mark.parametrize(
    "text, message",
    [
        ("vae 'x", 'model: unclosed quote in "vae \'x"'),
        ("vae x\\", "model: unfinished escape in"),
        ("", "model: expected PRESET"),
    ],
)
def test_models_that_cannot_be_read_are_refused(text, message):
    with pytest.raises(ValueError) as refused:
        Candidate.parse(text)
    assert message in str(refused.value)


def test_default_models_fit_the_data():
    space = Space((30,), "real")
    assert "pca latent_dim=16 standardize=true" in default_models(space)
    few = default_models(space, rows=10)
    assert "pca latent_dim=8 standardize=true" in few and "vae latent_dim=16" in few
    assert not any(m.startswith("pca") for m in default_models(space, rows=2))
    constants = default_models(Space((3,), "real"), counted=2)  # PCA sees what varies
    assert [m for m in constants if m.startswith("pca")] == ["pca latent_dim=1 standardize=true"]
    assert default_models(Space((1,), "real")) == ["ae latent_dim=1", "vae latent_dim=1"]


def test_default_models_that_do_not_take_the_data_are_left_out_and_named(tmp_path, page):
    x = torch.stack([torch.arange(40.0) % 3, torch.randn(40)], 1)
    columns = (Column("city", "category", 3), Column("height", "real"))
    split = Split(x)
    data = Data(split, split, split, Space((2,), "mixed", columns=columns), "mixed")
    assert default_models(data.space) == ["ae latent_dim=1", "vae latent_dim=1", "made"]
    result = compare(data, out=tmp_path / "c", **QUICK)
    assert [entry.label for entry in result.entries] == default_models(data.space)
    (note,) = result.notes
    assert note.startswith("Left out of the default models: pca, for ")
    assert "Left out of the default models: pca" in page(tmp_path / "c")
    asked = compare(data, "ae", out=tmp_path / "d", **QUICK)
    assert asked.notes == () == refused_defaults(Space((3,), "real"))


@pytest.mark.parametrize("rows, columns", [(5, 4), (12, 30)])
def test_defaults_work_on_small_data(rows, columns, tmp_path):
    result = compare(table(rows, columns), out=tmp_path / "c", **QUICK)
    assert len(result.entries) >= 5
    pca = result.entries[0].scores["log_likelihood"]
    assert pca.value > -1e4  # some variance is left for the noise


# -------------------------------------------------------------------------------- refusals


def test_each_model_is_built_once_to_be_asked_and_once_for_each_seed(tmp_path, monkeypatch):
    """Also where the usual limits and samples depend on what it is."""
    built, of = [], Candidate.build
    counted = lambda self, space, seed: built.append((self.label, seed)) or of(self, space, seed)  # noqa: E731
    monkeypatch.setattr(Candidate, "build", counted)
    monkeypatch.setattr(comparison, "BY_DEFAULT", {"epochs": 1, "patience": 20})
    ddpm = "ddpm times=4 hidden=4,4 blocks=1"
    found = compare(table(40, 2), [AE, ddpm], out=tmp_path / "c", seeds=2)
    assert built == [(AE, 0), (ddpm, 0), (AE, 0), (AE, 1), (ddpm, 0), (ddpm, 1)]
    assert found.entries[1].scores["log_likelihood"].samples == 20  # times, none being asked for
    ae, diffusion = (entry.config.patience for entry in found.entries)
    assert (ae, diffusion) == (20, None)  # whose learning rate falls


def test_what_the_data_cannot_determine_is_refused_before_training(tmp_path, monkeypatch):
    def refuse(self, rows):
        raise ValueError(f"latent_dim: too large for {rows} rows")

    monkeypatch.setattr("reparam.models.pca.PCA.refuse_rows", refuse)
    with pytest.raises(ValueError, match=r"^pca latent_dim=3: latent_dim: too large for 3 rows$"):
        compare(table(5), [AE, "pca latent_dim=3"], out=tmp_path / "c", **QUICK)
    assert not (tmp_path / "c").exists()


def test_a_model_that_fails_does_not_take_the_others_with_it(tmp_path, monkeypatch):
    failing(monkeypatch, {"VAE"}, NonFinite("not finite\nbefore step 3"))
    with pytest.raises(ValueError) as failed:
        compare(table(60), [VAE, AE, "pca"], out=tmp_path, seeds=2, **QUICK)
    said = str(failed.value)
    assert said.startswith("2 of 6 runs failed: ")
    assert f"{VAE} (seed 0): not finite before step 3; {VAE} (seed 1): not finite" in said
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert set(scores["models"]) == {AE, "pca"}
    assert (tmp_path / "report.html").exists() and str(tmp_path / "report.html") in said


def test_where_all_fail_there_is_no_report(tmp_path, monkeypatch):
    failing(monkeypatch, {"VAE", "Autoencoder"}, ValueError("no"))
    with pytest.raises(ValueError, match="2 of 2 runs failed"):
        compare(table(60), [VAE, AE], out=tmp_path, **QUICK)
    assert not list(tmp_path.glob("*.html"))


def test_processes_give_the_same_scores_and_keep_failures_apart(tmp_path):
    """In one test, where the second comparison finds the processes of the first."""
    data, found = table(60), []
    for jobs in (1, 2):
        asked = {"epochs": 20, "samples": 2, "jobs": jobs}
        entries = compare(data, [AE, "pca latent_dim=2"], out=tmp_path / f"{jobs}", **asked).entries
        found.append([entry.scores["reconstruction_mse"].value for entry in entries])
    # Another number of threads sums in another order: float32 rounding, grown over 20 steps.
    assert found[0] == pytest.approx(found[1], rel=1e-3) and found[0][0] != found[0][1]
    data.train.x[:] = float("nan")  # beyond what load_data lets through
    with pytest.raises(ValueError, match="2 of 2 runs failed: ae"):
        compare(data, [AE, VAE], out=tmp_path / "failed", jobs=2, **QUICK)


def test_without_generators_there_is_nothing_to_hold_training_data_against(page, tmp_path):
    result = compare(table(60), [AE], out=tmp_path, **QUICK)
    assert not result.reference and "reference" not in result.to_json()
    assert "in place of samples" not in page(tmp_path)


# --------------------------------------------------------------------------------- folders


def test_progress_runs_from_nothing_to_everything(tmp_path):
    told = []
    compare(table(60), [AE, VAE], out=tmp_path, watch=lambda *w: told.append(w), **QUICK)
    done = [share for _, share in told]
    assert done == sorted(done) and done[0] == 0 and done[-1] == 1
    measuring = [share for what, share in told if what.startswith(f"measuring {VAE}")]
    assert 0.75 <= min(measuring) < max(measuring) == 1


def interrupted(monkeypatch, data, out, models, **asked):
    """A comparison that ends while the last of its models trains."""
    failing(monkeypatch, {"VAE"}, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        compare(data, models, out=out, **asked)
    monkeypatch.undo()


def test_an_interrupted_comparison_goes_on(tmp_path, monkeypatch):
    data = table(60)
    interrupted(monkeypatch, data, tmp_path / "a", [AE, VAE], **QUICK)
    trained = []
    real = comparison.fit
    monkeypatch.setattr(
        comparison, "fit", lambda m, *a, **k: trained.append(type(m).__name__) or real(m, *a, **k)
    )
    resumed = compare(data, [AE, VAE], out=tmp_path / "a", **QUICK)
    assert trained == ["VAE"]
    whole = compare(data, [AE, VAE], out=tmp_path / "b", **QUICK)
    assert resumed.reference == whole.reference == rp.reference_scores(data)
    written = json.loads((tmp_path / "a" / "scores.json").read_text())
    assert set(written["models"]) == {AE, VAE}  # training data are none of them
    assert set(written["reference"]) == set(whole.reference)
    for one, other in zip(resumed.entries, whole.entries, strict=True):
        for name in set(one.scores) - {"samples_per_second", "train_seconds"}:
            assert one.scores[name] == other.scores[name]
        assert one.history.rows[-1].keys() == other.history.rows[-1].keys()


@pytest.mark.parametrize("changed", ["epochs", "model", "data", "seed"])
def test_runs_of_another_comparison_are_not_taken_over(changed, tmp_path, monkeypatch):
    interrupted(monkeypatch, table(60), tmp_path, [AE, VAE], **QUICK)
    data = table(61) if changed == "data" else table(60)
    models = ["ae latent_dim=2 hidden=5", VAE] if changed == "model" else [AE, VAE]
    asked = QUICK | {"epochs": {"epochs": 2}, "seed": {"seed": 4}}.get(changed, {})
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match="not empty"):
        compare(data, models, out=tmp_path, **asked)
    assert sorted(tmp_path.rglob("*")) == before


def test_other_importance_samples_are_measured_again(tmp_path, monkeypatch):
    data = table(60)
    interrupted(monkeypatch, data, tmp_path, [AE, VAE], **QUICK)
    compare(data, [AE, VAE], out=tmp_path, epochs=1, samples=3)
    monkeypatch.setattr(comparison, "fit", None)  # all is there now
    (tmp_path / "report.html").unlink()
    (tmp_path / "scores.json").unlink()
    entries = compare(data, [AE, VAE], out=tmp_path, epochs=1, samples=3).entries
    assert entries[1].scores["log_likelihood"].samples == 3


def test_force_removes_the_old_comparison_first_and_nothing_else(tmp_path, monkeypatch):
    data = table(60)
    compare(data, [AE, "pca"], out=tmp_path, **QUICK)
    rp.fit(rp.build("pca", data.space), data, out=tmp_path / "mine", progress=False)
    (tmp_path / "notes.txt").write_text("mine too")
    failing(monkeypatch, {"VAE"}, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        compare(data, [VAE], out=tmp_path, force=True, **QUICK)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["comparison.json", "mine", "notes.txt"]


def test_force_removes_the_runs_that_are_written_down_and_no_others(tmp_path):
    """A run of one's own stays though it bears a name that a comparison would give it."""
    data = table(60)
    compare(data, ["pca latent_dim=2"], out=tmp_path, **QUICK)
    compare(data, ["pca latent_dim=2", "pca latent_dim=3"], out=tmp_path, **QUICK)
    own = rp.build("pca", data.space, latent_dim=1)
    rp.fit(own, data, out=tmp_path / "pca_latent_dim=1", progress=False)
    compare(data, ["pca"], out=tmp_path, force=True, **QUICK)
    folders = sorted(p.name for p in tmp_path.iterdir() if p.is_dir())
    assert folders == ["pca", "pca_latent_dim=1"]
    (tmp_path / "comparison.json").write_text('{"runs": ["../elsewhere", 3]}')
    with pytest.raises(ValueError, match=r"json: damaged, comparison.runs.1.: expected str"):
        compare(data, ["pca"], out=tmp_path, force=True, **QUICK)


def test_a_refused_comparison_leaves_the_old_one(tmp_path):
    data = table(60)
    compare(data, ["pca"], out=tmp_path, **QUICK)
    with pytest.raises(ValueError):
        compare(data, ["vea"], out=tmp_path, force=True, **QUICK)
    with pytest.raises(ValueError, match="not empty, and pca is no part of this comparison"):
        compare(data, [AE], out=tmp_path, **QUICK)
    with pytest.raises(ValueError, match="not empty, and pca is a run with other settings"):
        compare(table(61), ["pca"], out=tmp_path, **QUICK)
    assert (tmp_path / "report.html").exists() and torch.is_grad_enabled()


def fitted(monkeypatch):
    """Which models are trained, and whether afresh or on."""
    seen = []

    def watched(name, real, model_of):
        def call(*args, **kwargs):
            result = real(*args, **kwargs)
            seen.append((name, type(model_of(args, result)).__name__))
            return result

        return call

    fit, resume = comparison.fit, comparison.resume
    monkeypatch.setattr(comparison, "fit", watched("fit", fit, lambda args, result: args[0]))
    monkeypatch.setattr(
        comparison, "resume", watched("resume", resume, lambda args, result: result[0])
    )
    return seen


def test_only_what_failed_is_tried_again(tmp_path, monkeypatch):
    data = table(60)
    failing(monkeypatch, {"VAE"}, NonFinite("not finite"))
    with pytest.raises(ValueError, match="1 of 2 runs failed: .*the same call tries these again"):
        compare(data, [VAE, AE], out=tmp_path, **QUICK)
    monkeypatch.undo()
    seen = fitted(monkeypatch)
    result = compare(data, [VAE, AE], out=tmp_path, **QUICK)
    assert seen == [("fit", "VAE")]
    assert [folder.name for folder in result.found] == ["ae_latent_dim=2_hidden=4"]
    assert set(json.loads((tmp_path / "scores.json").read_text())["models"]) == {VAE, AE}


def test_a_model_may_be_added_to_a_comparison(tmp_path, monkeypatch):
    data = table(60)
    compare(data, [AE], out=tmp_path, **QUICK)
    seen = fitted(monkeypatch)
    result = compare(data, [AE, "pca"], out=tmp_path, **QUICK)
    assert seen == [("fit", "RealPCA")] and len(result.entries) == 2


def test_a_run_that_was_interrupted_is_resumed(tmp_path, monkeypatch):
    """Its scores are those of a comparison in one piece."""
    data, asked = table(60), {"epochs": 40, "samples": 2}

    def dies(*args, **kwargs):
        def watch(news):
            if news.step >= 20:
                raise KeyboardInterrupt

        return real(*args, **kwargs | {"watch": watch})

    real = comparison.fit
    monkeypatch.setattr(comparison, "fit", dies)
    monkeypatch.setattr("reparam.train.loop.SECONDS_BETWEEN_NEWS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        compare(data, [AE], out=tmp_path / "a", save_every=0.0, **asked)
    monkeypatch.undo()
    seen = fitted(monkeypatch)
    resumed = compare(data, [AE], out=tmp_path / "a", save_every=0.0, **asked).entries[0]
    assert seen == [("resume", "Autoencoder")]
    whole = compare(data, [AE], out=tmp_path / "b", **asked).entries[0]
    for name in set(whole.scores) - {"samples_per_second", "train_seconds"}:
        assert resumed.scores[name] == whole.scores[name]


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    compare(table(60), ["pca"], out=folder, **QUICK)
    return folder


@pytest.mark.parametrize(
    "file, content, message",
    [
        ("scores.json", "{", "scores.json: cannot be read as JSON"),
        ("scores.json", '{"data": {}, "models": {"pca": {"a": {"value": "x"}}}}', "remove it to"),
        ("scores.json", '{"data": {}, "models": {}}', "scores.json: damaged, 'pca'"),
        ("scores.safetensors", "", "scores.safetensors: not a file of reparam"),
        ("state.safetensors", "", "state.safetensors: not a file of reparam"),
        ("run.json", "{", "not empty, and pca is a run with other settings"),
    ],
)
def test_a_damaged_run_in_a_comparison_is_named(compared, tmp_path, file, content, message):
    folder = shutil.copytree(compared, tmp_path / "c")
    (folder / "pca" / file).write_text(content)
    with pytest.raises(ValueError, match=message):
        compare(table(60), ["pca"], out=folder, **QUICK)


def test_seeds_that_would_run_over_are_refused_before_anything(tmp_path):
    with pytest.raises(ValueError, match="seed: expected less than 2\\^63"):
        compare(table(60), ["pca"], out=tmp_path / "c", seeds=3, seed=2**63 - 2, **QUICK)
    assert not (tmp_path / "c").exists()


@pytest.mark.filterwarnings("default::RuntimeWarning")
def test_a_budget_that_ends_before_the_first_step_fails_no_comparison(tmp_path):
    """What was not trained is measured as it is, and its history says so."""
    models = ["vae latent_dim=1 hidden=4", "pca latent_dim=1"]
    result = compare(table(40, 4), models, out=tmp_path / "c", budget=1e-9, samples=2)
    vae, pca = result.entries
    assert vae.history.ended == "budget used up" and pca.history.ended == "solved"
    assert vae.history.best_epoch == 0.0 and "before the first step" in vae.history.warnings[0]
    assert all(math.isfinite(score.value) for score in vae.scores.values())


@pytest.mark.parametrize(
    ("text", "patience"),
    [("ae", 20), ("sparse-ae", None), ("l-vae", None)],
    ids=["fixed objective", "falling learning rate", "last weights kept"],
)
def test_limits_that_nobody_asked_for_fit_the_model(text, patience):
    """Patience would end a cosine before its steps are small, and means nothing for l-vae."""
    space, candidate = Space((9,), "binary"), Candidate.parse(text)
    known = candidate.config(space), candidate.build(space, seed=0).keeps
    found = comparison.config_within(*known, {}, comparison.BY_DEFAULT)
    assert (found.patience, found.budget) == (patience, 40.0)
    asked = comparison.config_within(*known, {"epochs": 3}, {})
    assert (asked.epochs, asked.budget, asked.patience) == (3, None, None)


def test_presets_may_be_trained_by_the_size_of_the_data():
    """Of ae: small steps where networks are fully connected by default, up to 1024 entries."""
    small, large = Space((1, 32, 32), "levels", 4), Space((1, 33, 32), "levels", 4)
    for space, lr in ((small, 3e-4), (large, 1e-3)):
        model = build("ae", space, latent_dim=2, hidden=(4,))
        assert choose_config(model, None, {}).lr == lr
        assert choose_config(model, None, {"lr": 0.5}).lr == 0.5
