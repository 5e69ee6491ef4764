"""A trained model and what belongs to it as bytes: safetensors and JSON, for pickles of others."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from reparam.checkpoint import describe, filled, from_bytes, to_bytes
from reparam.config import TrainConfig
from reparam.data import check_record
from reparam.limits import check
from reparam.model import Model
from reparam.train.folder import RunFolder
from reparam.train.history import STRIP, History

ORIGIN = "pickle of GenerativeModel"


class Trained(NamedTuple):
    """A model, its curves, and what its run would say: a record of the data, and the config."""

    model: Model
    history: History
    record: dict[str, Any]
    config: TrainConfig


class Beside(TypedDict):
    """What stands in the header beside the model's description."""

    history: History
    record: dict[str, Any]
    config: TrainConfig


def sealed(trained: Trained) -> bytes:
    """All of it as safetensors with a header; ``unsealed`` gives it back on the CPU."""
    model, history = trained.model, trained.history
    beside = {
        "history": history.to_json(),
        "record": trained.record,
        "config": dataclasses.asdict(trained.config),
    }
    tensors = {**model.state_dict(), **history.strip_tensors()}
    return to_bytes(tensors, {**describe(model), "beside": beside})


def unsealed(content: bytes) -> Trained:
    """What ``sealed`` took.

    Raises:
        ValueError: another version of this library made it, or it is damaged.
    """
    tensors, header = from_bytes(content, ORIGIN)
    try:
        found = check(header.pop("beside", {}), Beside, "beside")
        check_record(found["record"])
    except ValueError as error:
        raise ValueError(f"{ORIGIN}: does not fit this version: {error}; fit it again") from error
    weights = {name: t for name, t in tensors.items() if not name.startswith(STRIP)}
    model = filled(weights, header, Path(ORIGIN))
    return Trained(model, found["history"].with_strip(tensors), found["record"], found["config"])


def write_run(trained: Trained, folder: RunFolder, force: bool) -> None:
    """The folder of a run that has ended, without what ``resume`` would go on from."""
    with folder.locked():
        folder.begin(trained.model, trained.record, trained.config, force)
        folder.save_curves(trained.history)
        folder.save_model(trained.model, trained.model.state_dict())
