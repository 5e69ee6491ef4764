"""Commands that a sentence names can be typed as they stand, also of runs with spaces."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from reparam.cli.commands import GROUPS

SOURCES = Path(__file__).parents[2] / "src" / "reparam"
COMMANDS = {one.partition(":")[2] for group in GROUPS.values() for one in group}


def test_every_path_in_a_command_is_quoted():
    for file in SOURCES.rglob("*.py"):
        text = re.sub(r'"\s+f?"', "", file.read_text(encoding="utf-8"))  # strings over lines
        for command, path in re.findall(
            r"reparam ([a-z]+) \{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}", text
        ):
            if command in COMMANDS:
                assert re.search(r"typed\(|shlex\.join\(", path), (file, command, path)


@pytest.fixture
def run(reparam, tmp_path):
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).integers(0, 9, (30, 1, 4, 4), np.uint8))
    folder = tmp_path / "my 'first' run"
    words = ["latent_dim=2", "hidden=4", "--epochs", 1]
    code, out, error = reparam("fit", "vae", tmp_path / "x.npz", *words, "-o", folder)
    assert code == 0, error
    return folder, out


def next_of(text):
    """The words of the command that a text ends with."""
    return shlex.split(" ".join(text.split()).partition("reparam ")[2])


def test_what_comes_next_can_be_typed(reparam, run, monkeypatch):
    folder, _ = run
    monkeypatch.setenv("COLUMNS", "1000")
    out = reparam("resume", folder)[1]
    assert next_of(out.splitlines()[-1]) == ["evaluate", str(folder)]
    error = reparam("reconstruct", folder, "--hide", ".5")[2]
    assert next_of(error) == ["complete", str(folder)]
    (folder / "model.safetensors").unlink()
    error = reparam("sample", folder)[2]
    assert next_of(error) == ["resume", str(folder)]


def test_spaces_of_a_path_are_kept_in_the_command_of_an_error(reparam, run, tmp_path):
    folder, _ = run
    moved = folder.rename(tmp_path / "two  spaces")
    (moved / "model.safetensors").unlink()
    error = reparam("sample", moved)[2].rstrip("\n")
    assert shlex.split(error.partition("reparam ")[2]) == ["resume", str(moved)]


def test_a_column_is_named_as_it_is_typed(reparam, tmp_path):
    table = tmp_path / "people.csv"
    table.write_text("full name,age\n" + "".join(f"name {i},{i % 7}.5\n" for i in range(40)))
    error = reparam("fit", "vae", table, "--out", tmp_path / "run")[2]
    assert "--kind 'full name'=category" in " ".join(error.split())
