"""What commands write where no file is named: a picture of images, a table of other data."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from commands import succeed

from reparam.cli.commands import GROUPS

SOURCES = Path(__file__).parents[2] / "src" / "reparam" / "cli"
WORDS = {
    "sample": ["-n", 2],
    "reconstruct": ["-n", 2],
    "decode": ["codes.csv", "-n", 2],
    "interpolate": [0, 1, "--steps", 2],
    "traverse": ["--steps", 2],
    "denoise": ["--noise", "gaussian", "-n", 2],
    "complete": ["-n", 2, "--draws", 1, "--steps", 2],
    "restore": ["--degradation", "mask:half", "-n", 2, "--draws", 1, "--steps", 2],
    "edit": [0, "--toward", "a"],
    "vary": ["-n", 2],
}


def named(command):
    """The name that a command chooses by what the data are; None where it does not."""
    module = next(one for group in GROUPS.values() for one in group if one.endswith(f":{command}"))
    source = (SOURCES / f"{module.partition(':')[0]}.py").read_text()
    signature = source.partition(f"def {command}(")[2].partition(") -> None")[0]
    found = re.search(r'out: Out = "(\S+)\.png\|csv"', signature)
    return found and found[1]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A VAE of a table, and one of images, with their codes."""
    folder, rng = tmp_path_factory.mktemp("named"), np.random.default_rng(0)
    rows = [f"{a:.3f},{b:.3f},{'ab'[i % 2]}" for i, (a, b) in enumerate(rng.normal(size=(40, 2)))]
    (folder / "table.csv").write_text("\n".join(["u,v,y", *rows]))
    images = rng.integers(0, 256, (40, 1, 4, 4), np.uint8)
    np.savez(folder / "images.npz", x=images, y=np.array(["a", "b"] * 20))
    small = ["latent_dim=2", "hidden=4", "--epochs", 1]
    for name, *words in (("table.csv", "--label", "y"), ("images.npz",)):
        run = folder / name.partition(".")[0]
        succeed("fit", "vae", folder / name, *words, *small, "-o", run)
        succeed("encode", run, "-o", folder / f"{run.name}-codes.csv")
    return folder


def test_no_command_names_a_picture_whatever_the_data_are():
    for file in SOURCES.glob("*.py"):
        assert not re.findall(r'out: Out = "\S+\.png"', file.read_text()), file
    commands = [one.partition(":")[2] for group in GROUPS.values() for one in group]
    assert {command for command in commands if named(command)} == WORDS.keys()


@pytest.mark.parametrize("command", WORDS)
@pytest.mark.parametrize(("data", "suffix"), [("table", ".csv"), ("images", ".png")])
def test_a_name_follows_the_data(reparam, made, monkeypatch, tmp_path, command, data, suffix):
    monkeypatch.chdir(tmp_path)
    words = [str(word).replace("codes", f"{made / data}-codes") for word in WORDS[command]]
    code, out, error = reparam(command, made / data, *words)
    assert code == 0, error
    file = f"{named(command)}{suffix}"
    assert [path.name for path in tmp_path.iterdir()] == [file] and file in out
    code, _, error = reparam(command, made / data, *words)
    assert code == 2 and f"{file}: exists already" in error


def test_a_picture_of_rows_that_is_asked_for_is_refused(reparam, made):
    code, _, error = reparam("sample", made / "table", "-o", made / "s.png")
    assert code == 2 and "s.png: these are not images; write .npz or .csv" in error
