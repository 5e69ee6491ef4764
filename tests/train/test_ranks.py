"""Two processes that train one model: as one process does, and agreeing bit for bit.

What they do not have alike is refused by both, at the start.
"""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import reparam as rp
from reparam.cli.main import app
from reparam.model import Loss
from reparam.train.ranks import Ranks

FIT = ["fit", "ae", "digits", "hidden=16", "latent_dim=3", "--epochs", "6", "--batch-size", "61"]
FIT += ["--precision", "float64", "--device", "cpu"]
SCRIPT = """
import hashlib, json, sys, torch, reparam as rp
from pathlib import Path
from reparam.cli.main import app
from reparam.train.ranks import Ranks

here = Path(sys.argv[1])
app([*json.loads(sys.argv[2]), "-o", str(here / "ae")])

data = rp.load_data("digits", binarize="dynamic")
options = dict(batch_size=61, clip=1.0, ema=0.9, progress=False, device="cpu")

def noisy(name, epochs, preset="sigma-vae", **parameters):
    torch.manual_seed(Ranks().rank)  # other first weights in each: the first process's count
    parameters = parameters or {"scale": "optimal"}
    model = rp.build(preset, data.space, hidden=(16,), latent_dim=3, **parameters)
    return model, rp.fit(model, data, epochs=epochs, out=here / name, **options)

def told(model, history):
    weights = b"".join(v.numpy().tobytes() for v in model.state_dict().values())
    return [hashlib.sha256(weights).hexdigest(), history.rows[-1]["valid/bound"]]

results = {"straight": told(*noisy("straight", 4)), "stopped": told(*noisy("resumed", 2))}
results["normalized"] = told(*noisy("normalized", 2, "vae", batch_norm=True))
codes = rp.build("vq-vae", data.space, codes=16, channels=8, blocks=1, restart=0.4)
results["codes"] = told(codes, rp.fit(codes, data, epochs=2, **options))
small = dict(hidden=4, chains=4, sweeps=1, seed=0)
options["schedule"] = "constant"
rbm = rp.build("rbm", data.space, **small)
rp.fit(rbm, data, epochs=4, out=here / "chains", **options)
rp.fit(rp.build("rbm", data.space, **small), data, epochs=2, out=here / "again", **options)
again, _ = rp.resume(here / "again", epochs=4, progress=False)
results["chains"] = [model.states.tolist() for model in (rbm, again)]
results["resumed"] = told(*rp.resume(here / "resumed", epochs=4, progress=False))
(here / f"rank{Ranks().rank}.json").write_text(json.dumps(results))
"""


UNLIKE = """
import shutil
import numpy as np

rank = Ranks().rank
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
(here / f"unlike{rank}.json").write_text(json.dumps(results))
"""


@pytest.fixture(scope="module")
def together(tmp_path_factory) -> tuple[Path, str]:
    """What two processes under torchrun wrote and said, where all is alike and where it is not."""
    here = tmp_path_factory.mktemp("ranks")
    (here / "script.py").write_text(SCRIPT + UNLIKE)  # at once: processes start slowly
    (here / "file").write_text("no folder")
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *torchrun, str(here / "script.py"), str(here), json.dumps(FIT)],
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return here, done.stdout


def curves(folder: Path) -> list[dict[str, float]]:
    with (folder / "history.csv").open() as file:
        rows = [{name: float(v) for name, v in row.items() if v} for row in csv.DictReader(file)]
    return [{name: v for name, v in row.items() if name != "seconds"} for row in rows]


def test_two_processes_have_the_loss_curve_of_one(together, tmp_path):
    """An autoencoder has no noise: sums over parts of 30 and 31 rows differ by rounding alone.

    120 steps of Adam in float64 let 1e-16 grow to some 1e-13; a row twice, or a mean of the means
    of unequal parts, would show at 1e-2.
    """
    here, said = together
    app([*FIT, "-o", str(tmp_path / "ae")])
    expected, got = curves(tmp_path / "ae"), curves(here / "ae")
    assert len(expected) == len(got) == 2
    assert {"train/objective", "train/squared_error", "valid/squared_error"} <= set(got[0])
    for mine, theirs in zip(expected, got, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-9)
    assert expected[0]["train/objective"] > 1.01 * expected[1]["train/objective"]  # it learned
    assert said.count("next: ") == 1  # the first process alone speaks


def test_processes_of_a_noisy_model_agree_bit_for_bit_and_resume_exactly(together):
    here, _ = together
    first, second = (json.loads((here / f"rank{rank}.json").read_text()) for rank in (0, 1))
    ours, theirs = first.pop("chains"), second.pop("chains")
    assert ours[0] == ours[1] != theirs[0] == theirs[1], "each has chains of its own, and resumes"
    assert first == second
    assert first["straight"] == first["resumed"] != first["stopped"]
    assert len(first) == 5  # equal above, a batch norm's statistics and codes that move included
    saved = rp.load(here / "straight").state_dict().values()
    weights = b"".join(value.numpy().tobytes() for value in saved)
    assert hashlib.sha256(weights).hexdigest() == first["straight"][0]


@pytest.fixture(scope="module")
def said(together) -> list[dict[str, str]]:
    """What each of the two processes was told, by what they did not have alike."""
    here, _ = together
    return [json.loads((here / f"unlike{rank}.json").read_text()) for rank in (0, 1)]


DIFFERS = {
    "data": "data",
    "rows": "rows, data",
    "config": "config",
    "model": "model",
    "given a folder": "the folder (out), which only some are given",
    "both": "data, config",
    "checkpoint": "checkpoint",
    "run": "run",
}


def test_what_differs_is_named_by_all(said):
    for what, named in DIFFERS.items():
        first, second = (messages[what] for messages in said)
        assert first == second and "\n" not in first, what
        start = f"torchrun: the processes of this run differ in {named}; give every"
        assert first.startswith(start), what


def test_what_one_refuses_the_other_does_not_wait_for(said):
    first, second = said
    other = "torchrun: another process of this run cannot start; it says why"
    assert "file: is a file, expected a folder" in first["refused"] and second["refused"] == other
    assert first["bad config"] == other and second["bad config"].startswith("precision: expected")


def test_what_is_alike_is_trained(said):
    assert [messages["none"] for messages in said] == ["nothing"] * 2
    assert [messages["resumed"] for messages in said] == ["nothing"] * 2


def test_a_comparison_refuses_torchrun(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    data = rp.load_data("digits")
    with pytest.raises(ValueError, match=r"^torchrun: .*jobs"):
        rp.compare(data, ["pca"], out=tmp_path / "out")


class Two(Ranks):
    """The second of two processes, the other one being told by the test."""

    def __init__(self, size: int = 2, rank: int = 1) -> None:
        self.rank, self.size = rank, size

    def add_up(self, tensors: Any) -> None:
        self.sent = [tensor.clone() for tensor in tensors]


@pytest.mark.parametrize("n", [2, 3, 61, 128])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_shares_cover_every_row_once(n, size):
    rows: list[int] = []
    for rank in range(size):
        rows += range(n)[Two(size, rank).share(n)]
    assert rows == list(range(n))


def test_what_is_sent_is_weighted_by_the_rows():
    weight = torch.nn.Parameter(torch.zeros(2))
    weight.grad = torch.tensor([3.0, -6.0])
    terms: dict[str, Tensor] = {"nll": torch.tensor([1.0, 2.0, 6.0])}
    loss = Loss(torch.tensor(9.0), terms, {"rows": torch.tensor(3.0)})
    ranks = Two()
    ranks.combine(loss, [weight], weight=0.25)
    gradient, objective, nll, rows = ranks.sent
    assert gradient.tolist() == [0.75, -1.5] and objective.item() == 2.25
    assert nll.tolist() == [0.75] and rows.item() == 3.0  # means are weighted, statistics are sums


def test_noise_differs_between_processes_and_not_between_runs():
    seeds = [Two(3, rank).seed(5) for rank in range(3)]
    assert seeds[0] == 5 and len(set(seeds)) == 3
    assert seeds == [Two(3, rank).seed(5) for rank in range(3)]
