"""Diffusion models through the commands: samplers, guidance, completion, codes of noise."""

from typing import get_args

import numpy as np
import pytest
from commands import succeed

import reparam as rp
from reparam.cli.drawing import SamplerName
from reparam.presets.diffusion import SAMPLERS

TINY = ["times=12", "width=4"]
OF_CODES = ["generator.times=12", "generator.hidden=8,8", "generator.blocks=1", "codec.hidden=8"]


@pytest.fixture(scope="module")
def diffusions(tmp_path_factory):
    """Runs of a diffusion of digits, one given their class, and one of codes."""
    folder = tmp_path_factory.mktemp("diffusions")
    for name, words in (
        ("ddpm", ["ddpm", "digits", *TINY]),
        ("by-class", ["ddpm", "digits", *TINY, "conditional=true"]),
        ("latent", ["latent-diffusion", "digits", *OF_CODES]),
    ):
        succeed("fit", *words, "-o", folder / name, "--epochs", 1)
    return folder


def test_the_command_line_knows_every_sampler():
    assert set(get_args(SamplerName)) == set(SAMPLERS)


@pytest.mark.parametrize("run", ["ddpm", "latent"])
def test_a_sampler_is_chosen_when_it_draws(reparam, diffusions, tmp_path, run):
    drawn = {}
    for name, words, said in (
        ("usual", [], "9 samples by ddpm in 12 steps in"),
        ("fast", ["--sampler", "ddim", "--sampling-steps", 3], "9 samples by ddim in 3 steps in"),
        ("noisy", ["--sampler", "ddim", "--sampling-steps", 3, "--eta", 1], "by ddim in 3 steps"),
        ("ode", ["--sampler", "ode", "--sampling-steps", 2, "--method", "heun"], "by ode in 2"),
    ):
        out = tmp_path / f"{name}.npz"
        code, text, error = reparam("sample", diffusions / run, "-n", 9, *words, "-o", out)
        assert code == 0 and said in text, error
        drawn[name] = np.load(out)["x"]
        assert drawn[name].shape == (9, 1, 8, 8)
    names = list(drawn)
    for first, second in zip(names, names[1:], strict=False):
        assert (drawn[first] != drawn[second]).any()
    model = rp.load(diffusions / run)
    if run == "ddpm":  # the same as from Python
        import torch

        of_seed = torch.Generator().manual_seed(0)
        same = model.through(rp.DDIM(steps=3)).sample(9, generator=of_seed)
        assert (drawn["fast"] == same.numpy()).all()


def test_guidance_changes_draws_of_a_class_and_is_told(reparam, diffusions, tmp_path):
    drawn = []
    for guidance, said in ((1, "12 steps in"), (3, "guidance 3, not of p(x|c), in")):
        out, words = tmp_path / f"{guidance}.npz", ["--label", 3, "--guidance", guidance]
        code, text, error = reparam("sample", diffusions / "by-class", *words, "-n", 9, "-o", out)
        assert code == 0 and said in " ".join(text.split()), error
        drawn.append(np.load(out)["x"])
    assert (drawn[0] != drawn[1]).any()


@pytest.mark.parametrize(
    ("run", "words", "part"),
    [
        ("ddpm", ["--guidance", 2], "guidance: expected 1 for a model without a condition, got 2"),
        (
            "ddpm",
            ["--sampling-steps", 13],
            "error: sampling_steps: expected at most 12, the model",
        ),
        (
            "ddpm",
            ["--sampling-steps", 0],
            "error: sampling_steps: expected a whole number",
        ),
        ("ddpm", ["--sampler", "ddim", "--eta", 1.5], "eta: expected a number of at least 0"),
        (
            "ddpm",
            ["--eta", 1],
            "eta: ddpm has none, but --sampler ddim; it has --sampling-steps\n",
        ),
        (
            "by-class",
            ["--snr", 1],
            "--sampler predictor-corrector; it has --sampling-steps, --guid",
        ),
        ("ddpm", ["--sampler", "ode", "--method", "rk4"], "method: rk4 needs continuous time"),
        ("by-class", ["--guidance", -1], "guidance: expected a number of at least 0, got -1"),
        (
            "ddpm",
            ["--temperature", 0.7],
            "temperature: Diffusion has no base to scale, only flows do; it has --sampler, "
            "--sampling-steps",
        ),
        (
            "by-class",
            ["--temperature", 0.7],
            "it has --sampler, --sampling-steps, --guidance, --label",
        ),
        ("latent", ["--guidance", 2], "got 2; train one with generator.conditional=true\n"),
    ],
)
def test_options_that_a_model_does_not_have_are_refused_with_its_own(
    reparam, diffusions, tmp_path, run, words, part
):
    out = tmp_path / "x.npz"
    code, _, error = reparam("sample", diffusions / run, *words, "-o", out)
    assert code == 2 and part in error and error.count("\n") == 1 and not out.exists()


@pytest.mark.parametrize("words", [["--sampler", "ddim"], ["--guidance", 2], ["--eta", 0]], ids=str)
def test_other_models_have_no_sampler(reparam, runs, tmp_path, words):
    code, _, error = reparam("sample", runs / "vae", *words, "-o", tmp_path / "x.npz")
    assert code == 2 and "VAE is no diffusion model; leave it out" in error
    assert error.startswith(f"error: {words[0].removeprefix('--')}:")


def test_news_of_every_step_while_drawing(reparam, diffusions, tmp_path, monkeypatch):
    from contextlib import contextmanager

    shares = []

    @contextmanager
    def bar(name):
        yield lambda doing, share: shares.append(share)

    monkeypatch.setattr("reparam.progress.bar", bar)
    assert reparam("sample", diffusions / "ddpm", "-n", 4, "-o", tmp_path / "x.npz")[0] == 0
    assert len(shares) == 1 + 12 and shares == sorted(shares) and shares[-1] == 11 / 12
    shares.clear()
    words = ["--sampling-steps", 3, "-n", 2, "--draws", 1, "-o", tmp_path / "y.npz"]
    assert reparam("complete", diffusions / "ddpm", *words)[0] == 0
    assert len(shares) == 2 * 10 + 1 and shares == sorted(shares)  # the last step is made once


@pytest.mark.parametrize("words", [["--keep", 0.5], ["--box", "2,2,3,3"]], ids=str)
def test_any_mask_is_completed_and_said_to_be_approximate(reparam, diffusions, tmp_path, words):
    out = tmp_path / "x.npz"
    more = ["-n", 2, "--draws", 2, "--sampling-steps", 3, "-o", out]
    code, text, error = reparam("complete", diffusions / "ddpm", *words, *more)
    text = " ".join(text.split())
    assert code == 0 and "no draws of p(rest | given), but an approximation" in text, error
    assert "in the model's order" not in text
    x, test = np.load(out)["x"].reshape(2, 2, 8, 8), rp.load_data("digits").test.x[:2, 0].numpy()
    given = np.ones((8, 8), bool)
    given[(slice(4, 8), slice(None)) if words[0] == "--keep" else (slice(2, 5), slice(2, 5))] = 0
    assert (x[..., given] == test[:, None][..., given]).all()
    assert (x[..., ~given] != test[:, None][..., ~given]).any()


@pytest.mark.parametrize(
    ("option", "part"),
    [
        ("--steps", "steps: of chains, by which Autoregressive does not draw; leave it out"),
        ("--sampling-steps", "sampling_steps: Autoregressive is no diffusion model; leave it out"),
    ],
)
def test_completions_by_other_models_take_no_steps(reparam, runs, tmp_path, option, part):
    code, _, error = reparam("complete", runs / "made", option, 5, "-o", tmp_path / "x.npz")
    assert code == 2 and error == f"error: {part}\n"


def test_steps_of_chains_are_none_of_a_diffusion(reparam, diffusions, tmp_path):
    words = ["complete", diffusions / "ddpm", "--steps", 3, "-o", tmp_path / "x.npz"]
    code, _, error = reparam(*words)
    assert code == 2 and "steps: of chains" in error and not (tmp_path / "x.npz").exists()


def test_a_mask_that_gives_all_is_refused_in_one_line(reparam, diffusions, tmp_path):
    out = tmp_path / "x.npz"
    code, text, error = reparam("complete", diffusions / "ddpm", "--keep", 1, "-o", out)
    assert code == 2 and not out.exists() and "approximation" not in text + error
    assert error == "error: mask: expected an entry that is not given, got all given\n"


def test_completion_of_a_table_asks_for_the_columns_that_stay(reparam, tmp_path):
    rows = "\n".join(f"{i % 7 + 0.5},{i % 2}" for i in range(40))
    (tmp_path / "t.csv").write_text("size,flag\n" + rows)
    words = ["ddpm", tmp_path / "t.csv", "times=3", "hidden=4,4", "blocks=1", "--epochs", 1]
    succeed("fit", *words, "-o", tmp_path / "run")
    command, out = ["complete", tmp_path / "run", "-n", 2], tmp_path / "x.csv"
    code, _, error = reparam(*command, "-o", out)
    assert code == 2 and "give the columns that stay by --keep, or use a VAE" in error
    code, _, error = reparam(*command, "--sampling-steps", 2, "-o", out)
    assert code == 2 and error.startswith("error: sampling_steps: ") and not out.exists()
    succeed(*command, "--keep", 0.5, "--sampling-steps", 2, "-o", out)
    assert out.read_text().count("\n") == 1 + 2 * 4


@pytest.mark.parametrize(
    ("name", "part"),
    [("ddim", "it is ddpm, drawn with sampler=ddim"), ("diffusion", "it is ddpm, or score-sde")],
)
def test_other_names_of_diffusion_models_lead_to_them(reparam, tmp_path, name, part):
    code, _, error = reparam("fit", name, "digits", "-o", tmp_path / "run")
    assert code == 2 and f"{name}: no such model ({part}" in error and error.count("\n") == 1


def test_codes_of_noise_say_what_they_are_and_cost(reparam, diffusions, tmp_path):
    run, z = diffusions / "ddpm", tmp_path / "z.npz"
    said = "they are the noise that its ODE makes of x, by 24 passes of the network for each way"
    for words in (
        ["interpolate", run, 3, 17, "--path", "spherical", "--steps", 3, "-o", tmp_path / "i.npz"],
        ["reconstruct", run, "-n", 2, "-o", tmp_path / "r.npz"],
        ["encode", run, "-n", 2, "-o", z],
        ["decode", run, z, "-o", tmp_path / "d.npz"],
    ):
        code, text, error = reparam(*words)
        assert code == 0 and said in " ".join(text.split()), error
    arrays = [np.load(tmp_path / f"{name}.npz") for name in "ird"]
    assert [a["x"].shape[0] for a in arrays] == [3, 2, 2]
    np.testing.assert_allclose(arrays[1]["x"], arrays[2]["x"], atol=1e-4)  # float32, in levels


@pytest.mark.parametrize("command", ["traverse", "denoise", "disentangle"])
def test_what_needs_learned_codes_refuses_noise(reparam, diffusions, tmp_path, command):
    out = [] if command == "disentangle" else ["-o", tmp_path / "x.npz"]
    code, _, error = reparam(command, diffusions / "ddpm", *out)
    assert code == 2 and "learns no codes, only noise stands for x" in error


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["ddpm", "times=1"], "times: expected a whole number of at least 2, got '1'"),
        (["ddpm", "schedule=linear", "times=20"], "times: expected at least 21 for a linear"),
        (["ddpm", "times=4", "sampling_steps=5"], "error: sampling_steps: expected at most 4"),
        (["score-sde", "objective=vlb"], "objective: no parameter of score-sde"),
        (["latent-diffusion", "codec=pca"], "codec: expected ae or vae, got 'pca'"),
        (["latent-diffusion", "generator.width=8"], "generator.width: no parameter"),
        (["ddpm", "hidden=8", "network=mlp"], "hidden: expected two widths"),
    ],
    ids=str,
)
def test_bad_options_are_one_line(reparam, tmp_path, words, part):
    code, _, error = reparam("fit", words[0], "digits", *words[1:], "-o", tmp_path / "run")
    assert code == 2 and part in error and error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_ve_needs_two_training_rows(reparam, tmp_path):
    import reparam as rp

    model = rp.build("score-sde", rp.Space((3,), "real"), sde="ve")
    with pytest.raises(ValueError, match="data: expected 2 training rows or more for sde=ve"):
        model.refuse_rows(1)


def test_tables_with_names_are_refused_by_column(reparam, tmp_path):
    rows = "\n".join(f"{i % 7},{'abc'[i % 3]}" for i in range(60))
    (tmp_path / "t.csv").write_text("size,kind\n" + rows)
    code, _, error = reparam("fit", "ddpm", tmp_path / "t.csv", *TINY, "-o", tmp_path / "run")
    assert code == 2 and "'kind' of category" in error and "--one-hot" in error
