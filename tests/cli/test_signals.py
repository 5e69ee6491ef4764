"""Ctrl-C and SIGTERM in every phase: saved, said how to go on, and an exit code that says which."""

from __future__ import annotations

import importlib
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reparam.checkpoint import read_tensors

# The command line, one function of which waits until the signal was sent.
SCRIPT = """
import importlib, pathlib, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells' background jobs ignore it
place, module, owner, name = sys.argv[1:5]
place, at, nth = pathlib.Path(place), importlib.import_module(module), int(sys.argv[5])
at = getattr(at, owner) if owner else at
real, calls = getattr(at, name), []

def waiting(*arguments, **options):
    calls.append(1)
    if len(calls) == nth:
        (place / "now").touch()
        while not (place / "sent").exists():
            time.sleep(0.01)
    return real(*arguments, **options)

setattr(at, name, waiting)
sys.argv = ["reparam", *sys.argv[6:]]
from reparam.cli.main import main
main()
"""
At = tuple[str, str, str, int]  # module, class or "", function, which call
HANGS = 600  # seconds after which something waits for ever


def signalled(place: Path, at: At, sent: int, *words: object) -> tuple[int, str]:
    """Send a signal to a command inside the nth call of some function; exit code and errors."""
    command = [sys.executable, "-c", SCRIPT, str(place), *map(str, at), *map(str, words)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as p:
        end = time.monotonic() + HANGS
        while not (place / "now").exists():
            assert p.poll() is None and time.monotonic() < end, p.communicate()
            time.sleep(0.01)
        p.send_signal(sent)
        (place / "sent").touch()
        _, err = p.communicate(timeout=HANGS)
    return p.returncode, err


@pytest.fixture
def fit(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(300, 5)).astype(np.float32))
    run = tmp_path / "my run"  # which a command line has to quote
    return ["fit", "vae", tmp_path / "x.npy", "latent_dim=2", "hidden=4", "-o", run]


@pytest.fixture
def interrupted(reparam, monkeypatch):
    """As ``signalled`` in this process, which sends the signal to itself."""

    def run(at: At, sent: int, *words: object) -> tuple[int, str]:
        module, owner, name, nth = at
        place: Any = importlib.import_module(module)
        place = getattr(place, owner) if owner else place
        real, calls = getattr(place, name), []

        def raising(*arguments: Any, **options: Any) -> Any:
            calls.append(1)
            if len(calls) == nth:
                signal.raise_signal(sent)
            return real(*arguments, **options)

        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a worker ignores it
        try:
            with monkeypatch.context() as patch:
                patch.setattr(place, name, raising)
                code, _, err = reparam(*words)
        finally:
            signal.signal(signal.SIGINT, before)
        assert len(calls) >= nth
        return code, err

    return run


def continues(reparam, run: Path, ended: int, code: int, err: str) -> None:
    """A run that was interrupted says so, left nothing half written, and goes on."""
    assert ended == code, err
    said = f"interrupted; what was trained is saved; continue with: reparam resume '{run}'"
    assert err.strip().splitlines()[-1] == said
    _, header = read_tensors(run / "state.safetensors")
    assert header["stage"] in (0, 1) and not list(run.glob(".*"))
    ended, out, err = reparam("resume", run)
    assert ended == 0 and "all epochs" in out, err


def test_a_process_that_is_ended_saves_its_training(reparam, tmp_path, fit):
    """With a real signal from outside; what ends where is tested without processes below."""
    at = ("reparam.checkpoint", "", "save_file", 3)
    ended, err = signalled(tmp_path, at, signal.SIGTERM, *fit, "--epochs", 10)
    continues(reparam, tmp_path / "my run", ended, 143, err)


@pytest.mark.parametrize(
    ("at", "sent", "code"),
    [
        (("reparam.bijections.elementwise", "Standardize", "_solve", 1), signal.SIGTERM, 143),
        (("reparam.train.loop", "", "validate", 2), signal.SIGINT, 130),
        (("reparam.checkpoint", "", "save_file", 3), signal.SIGTERM, 143),
    ],
    ids=["solve", "validation", "save"],
)
def test_training_is_saved_and_goes_on(reparam, interrupted, tmp_path, fit, at, sent, code):
    ended, err = interrupted(at, sent, *fit, "--epochs", 10)
    continues(reparam, tmp_path / "my run", ended, code, err)


def test_measuring_ends_at_once(reparam, interrupted, tmp_path, fit):
    assert reparam(*fit, "--epochs", 1)[0] == 0
    at = ("reparam.evaluation", "", "evaluate", 1)
    ended, err = interrupted(at, signal.SIGINT, "evaluate", tmp_path / "my run")
    assert (ended, err.strip().splitlines()[-1]) == (130, "interrupted")


def test_a_comparison_says_how_it_goes_on(reparam, interrupted, tmp_path, fit, monkeypatch):
    monkeypatch.setattr("reparam.comparison.write_page", lambda *_, **__: None)
    words = ["compare", fit[2], "--model", "pca latent_dim=2", "--model", "ae hidden=4"]
    words += ["--epochs", 2, "--samples", 2, "-o", tmp_path / "c"]
    at = ("reparam.comparison", "", "evaluate", 2)
    ended, err = interrupted(at, signal.SIGTERM, *words)
    said = "interrupted; what was trained is saved; the same command without --force continues"
    assert (ended, err.strip().splitlines()[-1]) == (143, said)
    assert (tmp_path / "c" / "pca_latent_dim=2" / "scores.json").exists()
    ended, out, err = reparam(*words)
    assert ended == 0 and "taken over" in out and "pca_latent_dim=2" in "".join(out.split()), err


def test_a_draw_of_a_diffusion_ends_between_its_steps(reparam, interrupted, tmp_path, fit):
    run, out = fit[-1], tmp_path / "x.npz"
    words = ["fit", "ddpm", fit[2], "times=9", "hidden=8,8", "blocks=1", "-o", run, "--epochs", 1]
    assert reparam(*words)[0] == 0
    at = ("reparam.diffusion.samplers", "", "ancestral", 3)
    ended, err = interrupted(at, signal.SIGINT, "sample", run, "-o", out)
    assert ended == 130 and err.strip() == "interrupted" and not out.exists()
