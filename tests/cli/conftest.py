"""The command line in this process, and small runs that it made."""

import sys

import pytest
from commands import succeed

from reparam.cli.main import main


@pytest.fixture
def reparam(monkeypatch, capsys):
    """Run a command in this process; returns exit code, output and errors."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["reparam", *map(str, words)])
        with pytest.raises(SystemExit) as exit_:
            main()
        captured = capsys.readouterr()
        return exit_.value.code or 0, captured.out, captured.err

    return run


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """A folder with one small run of each family, made by the command line itself."""
    folder = tmp_path_factory.mktemp("runs")
    for words in (
        ["fit", "vae", "digits", "latent_dim=2", "hidden=16", "-o", folder / "vae", "--epochs", 3],
        ["fit", "ae", "digits", "latent_dim=2", "hidden=16", "-o", folder / "ae", "--epochs", 3],
        ["fit", "pca", "digits", "-o", folder / "pca"],
        ["fit", "made", "digits", "hidden=16", "-o", folder / "made", "--epochs", 1],
    ):
        succeed(*words)
    return folder
