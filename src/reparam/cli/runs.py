"""A run as the commands that use it open it: its model, what its data were, and where they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from reparam.data import Data, DataRecord
    from reparam.model import Model
    from reparam.train import RunFolder

Run = Annotated[Path, typer.Argument(help="Folder of a run, as fit or compare wrote it.")]
Moved = Annotated[
    str | None,
    typer.Option("--data", help="Where the run's data lie now: a path, or a named set."),
]
Device = Annotated[str, typer.Option(help="auto (CUDA, then MPS, then CPU) or a torch device.")]


@dataclass(frozen=True)
class OpenRun:
    """A trained model, and what its run remembers of the data without reading them."""

    folder: RunFolder
    model: Model
    outline: DataRecord
    recorded: dict[str, Any]

    @property
    def path(self) -> Path:
        return self.folder.path

    def data(self, moved: str | None = None) -> Data:
        """The data it was trained on, perhaps from another place."""
        return recorded_data(self.recorded, self.path, moved)


def open_run(path: Path, device: str) -> OpenRun:
    """The model of a run on a device.

    Raises:
        ValueError: no run there, a damaged one, a model of another run, or none yet.
    """
    from reparam.checkpoint import MODEL_FILE
    from reparam.data import DataRecord
    from reparam.train import RunFolder
    from reparam.train.device import find_device

    folder = RunFolder(path)
    recorded = folder.read()["data"]
    if not (path / MODEL_FILE).exists():
        raise ValueError(
            f"{path}: ended before its first validation, so that it has no model yet; continue it "
            f"with: reparam resume {path}"
        )
    model = folder.model()
    model.to(find_device(device))
    return OpenRun(folder, model, DataRecord.from_json(recorded, model.space), recorded)


def recorded_data(recorded: dict[str, Any], path: Path, moved: str | None = None) -> Data:
    """The data of a run, refused where they are not those that it was trained on."""
    from reparam.data import load_data
    from reparam.train.loop import same_data

    recipe = dict(recorded["source"] or {})
    if moved is not None:
        if recipe.get("test") and not _there(recipe["test"]):  # it moved along
            recipe["test"] = str(Path(moved).parent / Path(recipe["test"]).name)
        return same_data(recorded, load_data(**recipe | {"source": moved}), path)
    if not recipe:
        raise ValueError(f"{path}: its data came from memory; name a file of them with --data")
    for place in (recipe["source"], recipe.get("test")):
        if place is not None and not _there(place):
            raise ValueError(
                f"{path}: its data are not at {place} any more; say with --data where they are now"
            )
    return same_data(recorded, load_data(**recipe), path)


def _there(place: str) -> bool:
    from reparam.data import sources

    return place in dict(sources()) or Path(place).exists()
