"""A run ready to be published: its model, data and scores, and what may be said of its data."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reparam.checkpoint import FORMAT, checksum, describe, folder_named, read_json
from reparam.comparison_runs import ScoresFile
from reparam.config import TrainConfig
from reparam.data import Data, load_data, record_json
from reparam.data.named_sets import named_set
from reparam.evaluation import Scores, evaluate, reference_scores
from reparam.evaluation.modes import evaluating
from reparam.hub_files import PLACES
from reparam.limits import check
from reparam.model import Generator, Model
from reparam.progress import Watch
from reparam.report.section import Shown
from reparam.report.trained import TrainedModel
from reparam.train import History, RunFolder
from reparam.train.device import find_device
from reparam.train.folder import SCORES_FILE
from reparam.train.loop import same_data


@dataclass(frozen=True)
class Published:
    """A run as it is published.

    Args:
        model: with the weights that were kept.
        data: what it was trained on.
        scores, reference: of the test split, and what training data score in place of samples.
        config, history: of its training.
        recipe: by which its data are loaded, without places of this machine; empty of such as came
            from memory.
    """

    model: Model
    data: Data
    scores: Scores
    reference: Scores
    config: TrainConfig
    history: History
    recipe: dict[str, Any]

    @property
    def preset(self) -> str | None:
        return (self.model.recipe or {}).get("preset")

    @property
    def label(self) -> str:
        """What the model is called where scores are listed."""
        return self.preset or type(self.model).__name__

    @property
    def public(self) -> bool:
        """Whether anybody can load its data, by the name of a set."""
        return "source" in self.recipe

    @property
    def name(self) -> str:
        """Of the data: of one's own without the folders that it lies in."""
        return self.data.name if self.public else Path(self.data.name).name

    def shown(self) -> Shown:
        """As the report shows it."""
        return Shown(self.data, [TrainedModel(self.label, self.model, self.scores, self.history)])

    def config_json(self) -> dict[str, Any]:
        """The content of ``config.json``: what the weights' header says, the data, the training."""
        recorded = record_json(self.data) | {"name": self.name, "source": self.recipe or None}
        training = dataclasses.asdict(self.config)
        return {
            "library_name": "reparam",
            "format": FORMAT,
            **describe(self.model),
            "data": recorded,
            "training": training,
        }


def opened(
    run: str | os.PathLike[str],
    data: object,
    model: Model | None,
    device: str,
    watch: Watch,
) -> Published:
    """A run with its scores: those that it has of these weights, or measured now.

    Raises:
        ValueError: no run there or no model in it yet, or data that are not those of the run.
    """
    folder = RunFolder(folder_named(run))
    recorded, config, history = folder.read()["data"], folder.config(), folder.history()
    found = folder.model(model).to(find_device(device))
    own = data if data is None or isinstance(data, Data) else _moved(recorded, data)
    loaded = same_data(recorded, own, folder.path)
    measured = _measured(folder, found)
    if measured is None:
        with evaluating([found]):
            scores = evaluate(found, loaded, history=history, watch=watch)
        generates = isinstance(found, Generator)
        measured = scores, reference_scores(loaded) if generates else {}
    recipe = _without_places(recorded["source"])
    return Published(found, loaded, *measured, config, history or History(), recipe)


def _moved(recorded: dict[str, Any], data: object) -> Data:
    """The data of a run from where they lie now."""
    if not isinstance(data, str | os.PathLike):
        raise ValueError(f"data: expected Data or a path, got {type(data).__name__}")
    return load_data(**{**(recorded["source"] or {}), "source": os.fspath(data)})


def _measured(folder: RunFolder, model: Model) -> tuple[Scores, Scores] | None:
    """What a comparison measured of exactly these weights; None where nothing was."""
    file = folder.path / SCORES_FILE
    if not file.is_file():
        return None
    content = read_json(file)
    if content.get("run") != folder.id or content.get("weights") != checksum(model):
        return None
    try:
        read = check(content, ScoresFile, "scores")
    except ValueError as error:
        raise ValueError(f"{file}: damaged, {error}; remove it to measure again") from error
    scores = next(iter(read["models"].values()))
    generates = isinstance(model, Generator)
    if generates and "reference" not in read:
        return None
    return scores, read.get("reference", {})


def _without_places(source: dict[str, Any] | None) -> dict[str, Any]:
    """The options that load the data, but where they lie; of a named set all of them."""
    given = dict(source or {})
    places = [given[name] for name in PLACES if given.get(name)]
    if places and all(named_set(place) is not None for place in places):
        return given
    kept = {name: value for name, value in given.items() if name not in PLACES}
    return kept | {"missing": kept.get("missing", "keep")} if kept else {}  # the default, said
