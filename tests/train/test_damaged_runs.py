"""A run whose files were damaged is refused by the name of the file, and nothing is lost."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import reparam as rp
from reparam import checkpoint
from reparam.data import Data, Split
from reparam.train import fit, resume


def data() -> Data:
    x = torch.randn(60, 12, generator=torch.Generator().manual_seed(0))
    return Data(*map(Split, x.split([40, 10, 10])), rp.Space((12,), "real"), "made up")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory) -> Path:
    """A run that can go on: what is damaged is a copy."""
    folder, made = tmp_path_factory.mktemp("stopped") / "run", data()
    model = rp.build("vae", made.space, latent_dim=2, hidden=(8,), batch_norm=True, seed=0)
    fit(model, made, out=folder, epochs=1, ema=0.95, progress=False)
    return folder


@pytest.fixture
def resumable(stopped, tmp_path) -> Data:
    shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)
    return data()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"model": 1, "data": {}, "config": {}}'])
def test_a_damaged_run_file_is_refused(tmp_path, resumable, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(ValueError, match="run.json"):
        resume(tmp_path, data=resumable, progress=False)


@pytest.mark.parametrize(
    "change", [{"epochs": -1}, {"lr": "fast"}, {"color": 1}, {"schedule": "linear"}], ids=str
)
def test_a_tampered_config_is_refused(tmp_path, resumable, change):
    run = checkpoint.read_json(tmp_path / "run.json")
    checkpoint.write_json(tmp_path / "run.json", run | {"config": run["config"] | change})
    with pytest.raises(ValueError, match="run.json: its config is not valid"):
        resume(tmp_path, data=resumable, progress=False)


def without(key: str) -> Any:
    return lambda tensors, header: header.pop(key)


def cut_weight(tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    name = next(n for n in tensors if n.startswith("model/") and tensors[n].ndim == 2)
    tensors[name] = tensors[name][:-1].contiguous()


@pytest.mark.parametrize(
    "spoil",
    [
        without("step"),
        without("history"),
        without("tallies"),
        without("optimizers"),
        lambda tensors, header: header.update(history={"rows": [], "color": 1}),
        lambda tensors, header: header.update(stage="first"),
        lambda tensors, header: header.update(optimizers=["nobody"]),
        lambda tensors, header: tensors.pop("rng/cpu"),
        lambda tensors, header: tensors.update({"rng/cpu": torch.zeros(3, dtype=torch.uint8)}),
        lambda tensors, header: [tensors.pop(n) for n in list(tensors) if n.startswith("model/")],
        lambda tensors, header: tensors.pop(next(n for n in tensors if n.startswith("model/"))),
        cut_weight,
        lambda tensors, header: tensors.pop(next(n for n in tensors if n.endswith("exp_avg_sq"))),
    ],
    ids=[
        "no step",
        "no history",
        "no tally",
        "no optimizers",
        "odd history",
        "odd stage",
        "unknown player",
        "no generator",
        "odd generator",
        "no weights",
        "a weight missing",
        "a weight cut",
        "a moment missing",
    ],
)
def test_a_tampered_state_is_refused_by_name(tmp_path, resumable, spoil):
    file = tmp_path / "state.safetensors"
    tensors, header = checkpoint.read_tensors(file)
    spoil(tensors, header)
    checkpoint.write_tensors(file, tensors, header)
    with pytest.raises(ValueError, match="state.safetensors"):
        resume(tmp_path, data=resumable, progress=False)


def test_a_truncated_state_is_refused_by_name(tmp_path, resumable):
    file = tmp_path / "state.safetensors"
    content = file.read_bytes()
    for size in (0, 7, 100, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:size])
        with pytest.raises(ValueError, match="state.safetensors"):
            resume(tmp_path, data=resumable, progress=False)
