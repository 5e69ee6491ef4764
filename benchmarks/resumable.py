"""Runs of the benchmarks that go on where they stopped, and bounds on log p(x) row by row."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import reparam as rp
from reparam.checkpoint import read_tensors, write_tensors
from reparam.data import Data, Split
from reparam.evaluation.likelihood import bound_terms
from reparam.model import LatentVariable
from reparam.train import History

PIECE = 250  # rows between two writes: at most these are measured again after an interruption


def trained(
    preset: str, data: Data, folder: Path, parameters: Mapping[str, Any], **fields: Any
) -> tuple[rp.Model, History]:
    """The model of a run, which is begun, continued or only read, and its curves."""
    if (folder / "run.json").exists():
        model, history = rp.resume(folder, data=data)
    else:
        model = rp.build(preset, data.space, **parameters)
        history = rp.fit(model, data, out=folder, **fields)
    print(f"{folder.name}: {history.ended}, {history.seconds:.0f} s of training", flush=True)
    return model.eval(), history


def log_likelihoods(model: LatentVariable, split: Split, samples: int, file: Path) -> Tensor:
    """The importance-weighted bound on log p(x) of every row (N,), kept in ``file`` by pieces.

    Every piece has noise of its own, seeded by its first row, so that an interrupted measurement
    ends with the numbers of an uninterrupted one. A file of other weights or another number of
    samples is not read.
    """
    done = torch.empty(0, dtype=torch.float64)
    protocol = {"samples": samples, "weights": fingerprint(model), "rows": len(split)}
    if file.exists():
        tensors, header = read_tensors(file)
        if protocol.items() <= header.items():
            done = tensors["values"]
    device = model.anchor.device
    for start in range(len(done), len(split), PIECE):
        generator = torch.Generator(device).manual_seed(start)
        x = split.x[start : start + PIECE].to(device)
        values = model.log_prob(x, samples=samples, generator=generator).value
        done = torch.cat([done, values.cpu().double()])
        write_tensors(file, {"values": done}, protocol)
    return done


def bounds(model: LatentVariable, split: Split) -> tuple[Tensor, Tensor]:
    """The ELBO of a single draw and its rate, for every row (N,)."""
    terms = bound_terms(model, split)
    rate = terms["rate"].flatten(1).sum(1)
    return -(terms["distortion"] + rate).cpu().double(), rate.cpu().double()


def fingerprint(model: rp.Model) -> str:
    """A number that other weights would not have."""
    weights = (t for t in model.state_dict().values() if t.is_floating_point())
    return f"{sum(t.double().abs().sum().item() for t in weights):.17g}"


def mean(values: Tensor) -> tuple[float, float]:
    """The mean of independent rows and its standard error."""
    return values.mean().item(), (values.std() / len(values) ** 0.5).item()


def machine() -> str:
    """What runs were trained on, in words."""
    threads = torch.get_num_threads()
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{platform.machine()}, {threads} thread{'s' if threads > 1 else ''}"
