"""Processes of one run that do not train the same are refused alike, at the start."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json, shutil, sys, warnings
from pathlib import Path
import numpy as np, torch, reparam as rp
from reparam.train.ranks import Ranks

here, rank = Path(sys.argv[1]), Ranks().rank
rows = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)

def data(rows):
    return rp.load_data({"train": rows[:40], "valid": rows[40:50], "test": rows[50:]})

def train(rows=rows, out="run", latent_dim=2, epochs=2, **options):
    made = data(rows)
    model = rp.build("ae", made.space, latent_dim=latent_dim, hidden=(4,))
    where = None if out is None else here / out
    rp.fit(model, made, out=where, epochs=epochs, progress=False, force=True, **options)

def said(call, *arguments, **options):
    try:
        call(*arguments, **options)
        return "nothing"
    except ValueError as error:
        return str(error)

other = rows + (rank == 1) * np.eye(60, 4, dtype=np.float32)
results = {
    "data": said(train, other),
    "rows": said(train, rows[: 60 - rank]),
    "config": said(train, lr=0.1 + rank),
    "model": said(train, latent_dim=2 + rank),
    "given a folder": said(train, out=None if rank else "unsaved"),
    "both": said(train, other, lr=0.1 + rank),
    "refused": said(train, out="file"),
    "bad config": said(train, precision="float8" if rank else "float32"),
    "none": said(train),
}
torch.distributed.barrier()
if rank:  # a folder of its own, one checkpoint behind
    shutil.copytree(here / "run", here / "behind")
torch.distributed.barrier()
results["resumed"] = said(rp.resume, here / "run", data=data(rows), epochs=4, progress=False)
mine = here / ("behind" if rank else "run")
results["checkpoint"] = said(rp.resume, mine, data=data(rows), epochs=6, progress=False)
train(out="second")
mine = here / ("second" if rank else "run")
results["run"] = said(rp.resume, mine, data=data(rows), epochs=2, progress=False)
(here / f"{rank}.json").write_text(json.dumps(results))
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory) -> list[dict[str, str]]:
    """What each of two processes was told, by what they did not have alike."""
    here = tmp_path_factory.mktemp("unlike")
    (here / "script.py").write_text(SCRIPT)
    (here / "file").write_text("no folder")
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *torchrun, str(here / "script.py"), str(here)],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(Path(here / f"{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.parametrize(
    "what, named",
    [
        ("data", "data"),
        ("rows", "rows, data"),
        ("config", "config"),
        ("model", "model"),
        ("given a folder", "the folder (out), which only some are given"),
        ("both", "data, config"),
        ("checkpoint", "checkpoint"),
        ("run", "run"),
    ],
)
def test_what_differs_is_named_by_all(said, what, named):
    first, second = (messages[what] for messages in said)
    assert first == second and "\n" not in first
    assert first.startswith(f"torchrun: the processes of this run differ in {named}; give every")


def test_what_one_refuses_the_other_does_not_wait_for(said):
    first, second = said
    other = "torchrun: another process of this run cannot start; it says why"
    assert "file: is a file, expected a folder" in first["refused"] and second["refused"] == other
    assert first["bad config"] == other and second["bad config"].startswith("precision: expected")


def test_what_is_alike_is_trained(said):
    assert [messages["none"] for messages in said] == ["nothing"] * 2
    assert [messages["resumed"] for messages in said] == ["nothing"] * 2
