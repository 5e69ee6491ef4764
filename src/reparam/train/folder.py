"""The folder of a run: what was asked, the training state, the best weights, the curves."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from reparam.checkpoint import (
    MODEL_FILE,
    Description,
    describe,
    read_json,
    read_tensors,
    write_json,
    write_tensors,
    write_text,
)
from reparam.config import TrainConfig
from reparam.data import Data, check_outline, outline_json
from reparam.model import Model
from reparam.schema import check
from reparam.train.history import History
from reparam.train.state import Header

STATE_FILE, RUN_FILE, HISTORY_FILE = "state.safetensors", "run.json", "history.csv"
MEASURED = ("scores.json", "scores.safetensors")  # what a comparison leaves beside them


class RunFolder:
    """``run.json`` (model, data, config), ``state.safetensors``, ``model.safetensors``, curves.

    ``state.safetensors`` alone is what ``resume`` continues from: one file, replaced in one step,
    so that a run killed at any moment leaves a whole one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(
        cls, path: Path, model: Model, data: Data, config: TrainConfig, force: bool
    ) -> RunFolder:
        """A new run; ValueError where one lies there already and ``force`` is not set."""
        if path.exists() and not path.is_dir():
            raise ValueError(f"{path}: is a file, expected a folder for the run")
        old = [path / name for name in (STATE_FILE, MODEL_FILE, HISTORY_FILE, *MEASURED)]
        if any(file.exists() for file in (path / RUN_FILE, *old)):
            if not force:
                raise ValueError(f"{path}: holds a run already; resume it, or overwrite: force")
            for file in old:
                file.unlink(missing_ok=True)
        content = {
            "model": describe(model),
            "data": outline_json(data),
            "config": dataclasses.asdict(config),
        }
        write_json(path / RUN_FILE, content)
        folder = cls(path)
        folder.sweep()
        return folder

    def sweep(self) -> None:
        """Remove what writes that were killed left half done."""
        for name in (STATE_FILE, MODEL_FILE, RUN_FILE, HISTORY_FILE, *MEASURED):
            for file in self.path.glob(f".{name}.????????"):  # as tempfile names them
                file.unlink(missing_ok=True)

    def read(self) -> dict[str, Any]:
        """What ``run.json`` says; ValueError where that is not what ``create`` wrote."""
        if not (self.path / RUN_FILE).is_file():
            raise ValueError(f"{self.path}: holds no run; expected a folder that fit wrote")
        content = read_json(self.path / RUN_FILE)
        try:
            for part in ("model", "data", "config"):
                if not isinstance(content.get(part), dict):
                    raise ValueError(f"its entry {part!r} is missing")
            check(content["model"], Description, "model")
            check_outline(content["data"])
        except ValueError as error:
            raise ValueError(f"{self.path / RUN_FILE}: damaged, {error}") from error
        return content

    def change(self, config: TrainConfig) -> None:
        """Note another config, where it is one, so that the next ``resume`` has it."""
        if self.config() != config:
            write_json(self.path / RUN_FILE, self.read() | {"config": dataclasses.asdict(config)})

    def config(self) -> TrainConfig:
        content = self.read()["config"]
        try:
            check(content, TrainConfig, "config")
            return TrainConfig(**content)
        except ValueError as error:
            raise ValueError(f"{self.path / RUN_FILE}: its config is not valid: {error}") from error

    def save_state(
        self, tensors: Mapping[str, Tensor], header: Mapping[str, Any], history: History
    ) -> None:
        write_tensors(self.path / STATE_FILE, tensors, header)
        write_text(self.path / HISTORY_FILE, history.to_csv())

    def save_model(self, model: Model, weights: Mapping[str, Tensor]) -> None:
        write_tensors(self.path / MODEL_FILE, weights, describe(model))

    def state(self) -> tuple[dict[str, Tensor], Header] | None:
        """The last checkpoint; None where the run was killed before its first."""
        file = self.path / STATE_FILE
        if not file.exists():
            return None
        tensors, header = read_tensors(file)
        try:
            check(header, Header, "header")
        except ValueError as error:
            raise ValueError(
                f"{file}: not a state of this run, or a damaged one: {error}"
            ) from error
        return tensors, cast(Header, header)

    def history(self) -> History | None:
        """The curves as of the last checkpoint."""
        state = self.state()
        return (
            None if state is None else History.from_json(cast(dict[str, Any], state[1]["history"]))
        )
