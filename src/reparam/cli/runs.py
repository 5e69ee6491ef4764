"""A run as the commands that use it open it: its model, what its data were, and where they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from reparam.cli.commands import OPTIONS
from reparam.cli.options import PATH
from reparam.hub_files import CONFIG_FILE, PLACES, HubName, is_on_hub
from reparam.wording import typed

if TYPE_CHECKING:
    from reparam.data import Data, DataRecord
    from reparam.model import Model
    from reparam.train import History, RunFolder

Run = Annotated[Path, PATH, Parameter(help="Folder of a run, or hf:owner/name[@revision].")]
Moved = Annotated[
    str | None,
    Parameter(
        name="--data",
        metavar="SOURCE",
        help="Where the run's data lie now: a path, or a named set.",
    ),
]


@Parameter(name="*", group=OPTIONS)
@dataclass(frozen=True)
class Where:
    """Where a run's data lie, and where its model runs.

    Args:
        moved: Where the run's data lie now: a path, or a named set.
        device: auto (CUDA, then MPS, then CPU) or a torch device.
    """

    moved: Moved = None
    device: str = "auto"

    def open(self, path: Path) -> OpenRun:
        """The model of a run on that device.

        Raises:
            ValueError: no run there, a damaged one, a model of another run, or none yet.
        """
        from reparam.checkpoint import MODEL_FILE
        from reparam.data import DataRecord
        from reparam.train import RunFolder
        from reparam.train.device import find_device

        if is_on_hub(path):
            return self._pull(path)
        folder = RunFolder(path)
        recorded = folder.read()["data"]
        if not (path / MODEL_FILE).exists():
            raise ValueError(
                f"{path}: ended before its first validation, so that it has no model yet; "
                f"continue it with: reparam resume {typed(path)}"
            )
        model = folder.model()
        model.to(find_device(self.device))
        record = DataRecord.from_json(recorded, model.space)
        return OpenRun(path, model, record, recorded, self.moved, folder)

    def _pull(self, path: Path) -> OpenRun:
        """The model of a run on the hub, whose data are not there."""
        from reparam.checkpoint import read_pulled
        from reparam.data import DataRecord, check_record
        from reparam.train.device import find_device

        model, config = read_pulled(HubName.parse(str(path)))
        recorded = config.get("data")
        try:
            if not isinstance(recorded, dict):
                raise ValueError("its entry 'data' is missing")
            check_record(recorded)
            _refuse_places(recorded["source"])
        except ValueError as error:
            raise ValueError(f"{path}: its {CONFIG_FILE} is damaged, {error}") from error
        model.to(find_device(self.device))
        record = DataRecord.from_json(recorded, model.space)
        return OpenRun(path, model, record, recorded, self.moved)


HERE = Where()


@dataclass(frozen=True)
class OpenRun:
    """A trained model, and what its run remembers of the data without reading them."""

    path: Path
    model: Model
    record: DataRecord
    recorded: dict[str, Any]
    moved: str | None = None
    folder: RunFolder | None = None  # none of a run on the hub

    def history(self) -> History | None:
        """The curves of its training, where they are at hand."""
        return None if self.folder is None else self.folder.history()

    def data(self) -> Data:
        """The data it was trained on, perhaps from another place."""
        return recorded_data(self.recorded, self.path, self.moved)

    def labeled_data(self, source: str | None = None) -> Data:
        """All rows of other data, or of its own, read as those of the run: labels not made few."""
        from reparam.data import load_data

        recipe = recipe_of(self.recorded, source or self.moved)
        few = {name: recipe.pop(name) for name in ("labels", "labels_seed") if name in recipe}
        if source is None and not few:
            return self.data()
        if "source" not in recipe:
            raise ValueError(f"{self.path}: its data came from memory; name a file of them")
        return load_data(**recipe)


def recorded_data(recorded: dict[str, Any], path: Path, moved: str | None = None) -> Data:
    """The data of a run, refused where they are not those that it was trained on."""
    from reparam.data import load_data
    from reparam.train.loop import same_data

    recipe = recipe_of(recorded, moved)
    if "source" not in recipe:
        where = "are not on the hub" if is_on_hub(path) else "came from memory"
        raise ValueError(f"{path}: its data {where}; name a file of them with --data")
    for place in (recipe.get(name) for name in PLACES):
        if moved is None and place is not None and not _there(place):
            raise ValueError(
                f"{path}: its data are not at {place} any more; say with --data where they are now"
            )
    return same_data(recorded, load_data(**recipe), path)


def recipe_of(recorded: dict[str, Any], moved: str | None = None) -> dict[str, Any]:
    """The arguments that load the data of a run, perhaps from another place, as far as known."""
    recipe = dict(recorded["source"] or {})
    if moved is None:
        return recipe
    for name in PLACES[1:]:
        if recipe.get(name) and not _there(recipe[name]):  # it moved along
            recipe[name] = str(Path(moved).parent / Path(recipe[name]).name)
    return recipe | {"source": moved}


def _refuse_places(source: dict[str, Any] | None) -> None:
    """ValueError where a file that was fetched says which file of this machine is to be read."""
    from reparam.data.named_sets import named_set

    for place in ((source or {}).get(name) for name in PLACES):
        if place is not None and named_set(place) is None:
            raise ValueError(f"it names {place!r}, expected the name of a set or none")


def _there(place: str) -> bool:
    from reparam.data.named_sets import named_set

    return named_set(place) is not None or Path(place).exists()
