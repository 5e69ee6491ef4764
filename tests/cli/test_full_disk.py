"""Disks that are full and folders that cannot be written: one line, and what was there is whole."""

import errno
import os
import subprocess
import sys

import pytest

LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
sys.argv = ["reparam", *sys.argv[2:]]
from reparam.cli.main import main
main()
"""
FIT = ["fit", "vae", "digits", "latent_dim=2", "hidden=8", "--epochs", "2"]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.skipif(sys.platform == "win32", reason="no limits there")
def test_a_file_that_may_not_grow(reparam, tmp_path):
    """The kernel really refuses to write: a limit on the size of files, below that of a state."""
    run = tmp_path / "run"
    assert reparam(*FIT, "-o", run)[0] == 0
    before = contents(run)
    assert len(before["state.safetensors"]) > 10_000 > len(before["run.json"])
    command = [sys.executable, "-c", LIMITED, "10000", "resume", str(run), "--epochs", "5"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(f"error: {run / 'state.safetensors'}: cannot be written: ")
    assert "File too large" in line and "/." not in line
    assert line.endswith(f"the last checkpoint is whole; continue with: reparam resume {run}")
    after = contents(run)
    assert (
        after.keys() == before.keys() and after["state.safetensors"] == before["state.safetensors"]
    )
    code, out, err = reparam("resume", run)  # to the epochs that were asked for by then
    assert code == 0 and "all epochs" in out, err


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_no_room_is_said_of_the_file_that_was_meant(reparam, monkeypatch, tmp_path, call):
    run = tmp_path / "run"
    assert reparam(*FIT, "-o", run)[0] == 0
    before = contents(run)

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *arguments[:1])

    monkeypatch.setattr(os, call, full)
    code, _, err = reparam("resume", run)
    assert code == 2 and len(err.strip().splitlines()) == 1
    assert f"{run / 'state.safetensors'}: cannot be written: No space left on device" in err
    assert contents(run) == before


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="no folder here that refuses root")
def test_a_folder_where_nothing_can_be_written(reparam):
    for words in (
        [*FIT, "-o", "/proc/runs/here"],
        ["compare", "digits", "--model", "pca", "-o", "/proc/runs"],
    ):
        code, _, err = reparam(*words)
        last = err.strip().splitlines()[-1]  # after the bar of a comparison
        assert code == 2 and last.startswith("error: /proc/runs") and "cannot be written" in last
