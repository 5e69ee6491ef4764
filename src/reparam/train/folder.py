"""The folder of a run: what was asked, the training state, the best weights, the curves."""

from __future__ import annotations

import dataclasses
import shutil
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from torch import Tensor

from reparam.allotment import Allotment
from reparam.atomic import Unwritable, sweep, write_atomically
from reparam.checkpoint import (
    FORMAT,
    MODEL_FILE,
    RUN_FILE,
    Description,
    describe,
    folder_named,
    read_model,
    read_run,
    read_tensors,
    rebuild,
    refuse_other_run,
    write_json,
    write_tensors,
    write_text,
)
from reparam.config import TrainConfig
from reparam.data import Data, check_record, record_json
from reparam.limits import check
from reparam.lock import locked
from reparam.model import Model
from reparam.train.history import History
from reparam.train.state import StateHeader

STATE_FILE, HISTORY_FILE, SCORES_FILE = "state.safetensors", "history.csv", "scores.json"
VALUES_FILE = "scores.safetensors"  # of the scores, by example
END_FILE = "state-{}.safetensors"  # of a descent that ended, by its stage
FILES = (STATE_FILE, MODEL_FILE, HISTORY_FILE, SCORES_FILE, VALUES_FILE)  # beside run.json

State = tuple[dict[str, Tensor], StateHeader]


class RunFolder:
    """``run.json`` (id, model, data, config), ``state.safetensors``, ``model.safetensors``, curves.

    ``state.safetensors`` is what ``resume`` continues from: one file, replaced in one step, so that
    a run killed at any moment leaves a whole one. Of a descent that other stages follow, a copy as
    it ended stays in ``state-STAGE.safetensors``: more epochs go on from there. Whoever writes
    holds the lock, and says in every file which run it is of.
    """

    def __init__(self, path: Path, id: str = "") -> None:
        self.path = folder_named(path)
        self.id = id  # of the run that is meant; else of the one that begins here, or is read

    def locked(self) -> AbstractContextManager[None]:
        """Nobody else trains here inside; ``InUse`` where somebody does."""
        return locked(self.path)

    def begin(
        self, model: Model, data: Data | Mapping[str, Any], config: TrainConfig, force: bool
    ) -> None:
        """A new run of data, or of those with such a record (``record_json``).

        Raises:
            ValueError: one lies there already and ``force`` is not set.
        """
        old = [*(self.path / name for name in FILES), *self.path.glob(END_FILE.format("*"))]
        if any(file.exists() for file in (self.path / RUN_FILE, *old)):
            if not force:
                raise ValueError(
                    f"{self.path}: holds a run already; resume it, or overwrite: force"
                )
            for file in old:
                file.unlink(missing_ok=True)
        self.id = uuid.uuid4().hex
        content = {
            "format": FORMAT,
            "id": self.id,
            "model": describe(model),
            "data": record_json(data) if isinstance(data, Data) else data,
            "config": dataclasses.asdict(config),
        }
        write_json(self.path / RUN_FILE, content)
        self.sweep()

    def sweep(self) -> None:
        """Remove what writes that were killed left half done."""
        sweep(self.path, (RUN_FILE, *FILES, END_FILE.format("*")))

    def read(self) -> dict[str, Any]:
        """What ``run.json`` says; ValueError where that is not what ``begin`` wrote."""
        content = read_run(self.path)
        try:
            for part in ("model", "data", "config"):
                if not isinstance(content.get(part), dict):
                    raise ValueError(f"its entry {part!r} is missing")
            check(content["model"], Description, "model")
            check_record(content["data"])
        except ValueError as error:
            raise ValueError(f"{self.path / RUN_FILE}: damaged, {error}") from error
        self.id = content["id"]
        return content

    def change(self, config: TrainConfig) -> None:
        """Note another config, where it is one, so that the next ``resume`` has it."""
        if self.config() != config:
            content = self.read() | {"config": dataclasses.asdict(config)}
            self._write(lambda: write_json(self.path / RUN_FILE, content, make_folder=False))

    def config(self) -> TrainConfig:
        content = self.read()["config"]
        try:
            return check(content, TrainConfig, "config")
        except ValueError as error:
            raise ValueError(f"{self.path / RUN_FILE}: its config is not valid: {error}") from error

    def save_state(
        self, tensors: Mapping[str, Tensor], header: Mapping[str, Any], history: History
    ) -> None:
        state, header = self.path / STATE_FILE, {"run": self.id, **header}
        self._write(lambda: write_tensors(state, tensors, header, make_folder=False))
        self.save_curves(history)

    def save_model(self, model: Model, weights: Mapping[str, Tensor]) -> None:
        file, header = self.path / MODEL_FILE, {"run": self.id, **describe(model)}
        self._write(lambda: write_tensors(file, weights, header, make_folder=False))

    def save_curves(self, history: History) -> None:
        curves = self.path / HISTORY_FILE
        self._write(lambda: write_text(curves, history.to_csv(), make_folder=False))

    def _write(self, write: Callable[[], None]) -> None:
        """Write while the folder is still that of this run: one that was removed stays so."""
        self._refuse_others()
        try:
            write()
        except Unwritable:
            self._refuse_others()  # if it was removed meanwhile, that is the reason
            raise

    def _refuse_others(self) -> None:
        gone = not (self.path / RUN_FILE).exists()
        if gone or read_run(self.path)["id"] != self.id:
            what = "removed" if gone else "replaced by another run"
            raise ValueError(
                f"{self.path}: was {what} while it was being trained, so that nothing more can "
                "be saved; fit again"
            )

    def keep_end(self, stage: int) -> None:
        """Keep the state as it is now, at the end of a descent that other stages follow."""
        state, end = self.path / STATE_FILE, self.path / END_FILE.format(stage)
        self._write(
            lambda: write_atomically(
                end, lambda temporary: shutil.copyfile(state, temporary), make_folder=False
            )
        )

    def state(self) -> State | None:
        """The last checkpoint; None where the run was killed before its first."""
        return self._state(self.path / STATE_FILE)

    def end(self, stage: int) -> State | None:
        """The checkpoint of the end of a descent that other stages followed."""
        return self._state(self.path / END_FILE.format(stage))

    def _state(self, file: Path) -> State | None:
        if not file.exists():
            return None
        tensors, header = read_tensors(file)
        refuse_other_run(header, self._id(), file)
        try:
            return tensors, check(header, StateHeader, "header")
        except ValueError as error:
            raise ValueError(
                f"{file}: not a state of this run, or a damaged one: {error}"
            ) from error

    def rebuilt(self, seed: int) -> Model:
        """The model, untrained; where there is a state, no larger than it can be one of."""
        described, state = self.read()["model"], self.path / STATE_FILE
        with Allotment(state.stat().st_size) if state.exists() else nullcontext():
            return rebuild(described, self.path, seed)

    def model(self, model: Model | None = None) -> Model:
        """The weights that are kept, in evaluation mode; in ``model``, if no preset builds it."""
        return read_model(self.path / MODEL_FILE, model, run=self._id())

    def _id(self) -> str:
        return self.id or read_run(self.path)["id"]

    def history(self) -> History | None:
        """The curves, and draws on the way, as of the last checkpoint."""
        state = self.state()
        return None if state is None else state[1]["history"].with_strip(state[0])
