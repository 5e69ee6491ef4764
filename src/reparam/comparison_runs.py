"""The runs of a comparison and their folder: taken over, resumed, refused or cleared."""

from __future__ import annotations

import copy
import dataclasses
import json
import shlex
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, TypedDict

from reparam.atomic import sweep
from reparam.checkpoint import RUN_FILE, checksum, read_json, read_run, write_json
from reparam.config import TrainConfig
from reparam.data import Data
from reparam.degradation import brief_name
from reparam.evaluation import Score, Scores
from reparam.evaluation.by_example import read_values
from reparam.evaluation.file_length import lacks_file
from reparam.limits import check
from reparam.lock import LOCK_FILE, locked
from reparam.model import Model, Space
from reparam.presets import build, find_preset
from reparam.presets.registry import parse_assignments, shown
from reparam.train import History, RunFolder
from reparam.train.folder import SCORES_FILE, VALUES_FILE
from reparam.train.loop import choose_config
from reparam.wording import name_of

MOST = 1000  # seeds, and models trained at a time
REPORT_FILE = "report.html"
RUNS_FILE = "comparison.json"  # which folders are runs of the comparison: others are left alone
WAIT = 10.0  # seconds for the workers of a comparison that was killed to notice, and to save


@dataclass(frozen=True)
class Candidate:
    """A preset with parameters of its own, in a comparison.

    >>> Candidate.parse("vae latent_dim=2").label
    'vae latent_dim=2'
    """

    preset: str
    parameters: dict[str, Any]

    @classmethod
    def parse(cls, text: str) -> Candidate:
        """From ``"PRESET key=value …"``; ValueError for an unknown name or bad value."""
        try:
            words = shlex.split(text)
        except ValueError as error:
            what = "unclosed quote" if "quotation" in str(error) else "unfinished escape"
            raise ValueError(f"model: {what} in {text!r}") from error
        if not words:
            raise ValueError("model: expected PRESET key=value …, got nothing")
        chosen = find_preset(words[0])
        return cls(chosen.name, chosen.check(parse_assignments(words[1:])))

    def build(self, space: Space, seed: int) -> Model:
        """The model before training, its first weights by the seed."""
        return build(self.preset, space, seed=seed, **self.parameters)

    def config(self, space: Space) -> TrainConfig:
        """How it is trained where nothing else is asked."""
        return find_preset(self.preset).train_on(space)

    @property
    def label(self) -> str:
        given = ((name, shown(value)) for name, value in self.parameters.items())
        return " ".join([self.preset, *(f"{name}={brief_name(value)}" for name, value in given)])


@dataclass(frozen=True, eq=False)
class OwnModel:
    """A model that Python brings to a comparison; every seed begins with a copy of its weights.

    >>> import reparam as rp
    >>> OwnModel("mine", rp.build("pca", rp.Space((3,), "real"))).label
    'mine'
    """

    label: str
    model: Model

    def build(self, space: Space, seed: int) -> Model:
        return copy.deepcopy(self.model)

    def config(self, space: Space) -> TrainConfig:
        return choose_config(self.model, None, {})


Given = str | Model | tuple[str, Model]  # as models are given to a comparison


def candidate(given: Given) -> Candidate | OwnModel:
    """A preset with its parameters as text, or a model, perhaps with what it is to be called."""
    if isinstance(given, str):
        return Candidate.parse(given)
    if isinstance(given, Model):
        return OwnModel(name_of(given), given)
    if not isinstance(given, tuple) or len(given) != 2:
        raise ValueError(
            "models: expected presets as text, models, or pairs of a name and a model, got "
            f"{type(given).__name__}"
        )
    label, model = given
    if not isinstance(model, Model):
        raise ValueError(f"models: expected a model, got {type(model).__name__} for {label!r}")
    if not (isinstance(label, str) and _file_name(label).strip(".")):
        raise ValueError(f"models: expected a name that a folder may have, got {label!r}")
    return OwnModel(label, model)


def refuse_counts(seeds: int, jobs: int) -> None:
    """ValueError for no seeds or jobs, and for more than anyone means."""
    for name, count in (("seeds", seeds), ("jobs", jobs)):
        if not 1 <= count <= MOST:
            raise ValueError(f"{name}: expected 1 to {MOST}, got {count}")


def refuse_same(labels: Sequence[str]) -> None:
    """ValueError where two models would have one label, or one folder."""
    for label in labels:
        if labels.count(label) > 1:
            raise ValueError(f"models: {label!r} stands twice; give them other parameters")
    folders = [_file_name(label) for label in labels]
    for label, folder in zip(labels, folders, strict=True):
        if folders.count(folder) > 1:
            raise ValueError(f"models: {label!r} would share the folder {folder} with another one")


def folder_name(label: str, seed: int, seeds: int) -> str:
    """The name of a run's folder; the seed is in it where there are several."""
    name = _file_name(label)
    return name if seeds == 1 else f"{name}_seed={seed}"


def _file_name(text: str) -> str:
    return "".join(c if c.isalnum() or c in "=.-" else "_" for c in text)


@dataclass(frozen=True)
class Trial:
    """One training of a comparison: a candidate under one seed, and where it is written.

    Args:
        data: what it is trained and measured on.
        candidate: the model.
        config: how it is trained, seed included.
        folder: where it is written.
        samples: importance samples per example.
        force: whether whatever lies there is overwritten.
        coded: whether the length of a file is measured, too.
    """

    data: Data
    candidate: Candidate | OwnModel
    config: TrainConfig
    folder: Path
    samples: int
    force: bool = False
    coded: bool = False


class Measured(NamedTuple):
    """The scores and the curves of a run, which run it was and, as a checksum, which weights."""

    scores: Scores
    history: History
    run: str
    weights: str


class FamilyEntry(TypedDict):
    """The family of a model, null for one of your own, and where it stands, null for nowhere."""

    family: str | None
    place: list[str] | None


class ScoresFile(TypedDict):
    """The contents of ``scores.json``; that of a run says of which, and of which weights."""

    data: dict[str, Any]
    models: dict[str, dict[str, Score]]
    reference: NotRequired[dict[str, Score]]
    families: NotRequired[dict[str, FamilyEntry]]
    run: NotRequired[str]
    weights: NotRequired[str]


class RunsFile(TypedDict):
    """The contents of ``comparison.json``: the names of the folders that hold its runs."""

    runs: list[str]


def take_folder(path: Path, work: Sequence[Trial], force: bool) -> None:
    """Refuse a folder in use, unless it holds some of these runs or is to be cleared."""
    sweep(path, (REPORT_FILE, SCORES_FILE, RUNS_FILE))
    asked = {trial.folder: trial for trial in work}
    if force:
        _clear(path)
    else:
        _refuse_others(path, asked)
    names = {folder.name for folder in asked} | _names(path)
    write_json(path / RUNS_FILE, {"runs": sorted(names)})


def _refuse_others(path: Path, asked: Mapping[Path, Trial]) -> None:
    """ValueError where the folder holds more than some of these runs and what is made of them."""
    files = (REPORT_FILE, SCORES_FILE, RUNS_FILE, LOCK_FILE)
    for there in path.iterdir():
        if there in asked and not (is_of(asked[there]) or _is_empty(there)):
            why = f"{there.name} is a run with other settings, of other data or another version"
            if isinstance(asked[there].candidate, OwnModel):
                why = f"{there.name} is a run of a model of your own, which is never taken over"
        elif there not in asked and there.name not in files:
            why = f"{there.name} is no part of this comparison"
        else:
            continue
        raise ValueError(f"{path}: is not empty, and {why}; choose another folder or force")
    for folder in sorted(asked.keys() & set(path.iterdir())):
        with locked(folder, WAIT):  # before all else is trained
            pass


def _is_empty(folder: Path) -> bool:
    """Whether there is nothing in it but what a process that was killed left before its run."""
    return folder.is_dir() and all(item.name.startswith(".") for item in folder.iterdir())


def _clear(path: Path) -> None:
    """Remove what an earlier comparison left, so that nothing of it is taken for the new one."""
    names = _names(path)
    folders = (there for there in path.iterdir() if there.is_dir() and not there.is_symlink())
    old = [f for f in sorted(folders) if f.name in names and (f / RUN_FILE).is_file()]
    with ExitStack() as held:
        for folder in old:  # nothing is removed where anything is in use
            held.enter_context(locked(folder, WAIT))
        for name in (REPORT_FILE, SCORES_FILE, RUNS_FILE):
            (path / name).unlink(missing_ok=True)
        for item in (item for folder in old for item in folder.iterdir()):
            if item.is_dir() and not item.is_symlink():
                shutil.rmtree(item)
            elif item.name != LOCK_FILE:
                item.unlink()
    for folder in old:
        folder.rmdir()


def _names(path: Path) -> set[str]:
    """The names of the folders that hold the runs of the comparison there."""
    file = path / RUNS_FILE
    if not file.is_file():
        return set()
    content = read_json(file)
    try:
        check(content, RunsFile, "comparison")
    except ValueError as error:
        raise ValueError(f"{file}: damaged, {error}; remove it") from error
    return set(content["runs"])


def is_of(trial: Trial) -> bool:
    """Whether its folder holds this very run: model, data and config are the same.

    Of models that no preset builds nobody can tell.
    """
    if isinstance(trial.candidate, OwnModel):
        return False
    try:
        there = RunFolder(trial.folder).read()
    except ValueError:
        return False
    preset = find_preset(trial.candidate.preset)
    parameters = preset.complete(trial.candidate.parameters)
    model = {"preset": preset.name, "parameters": parameters}
    asked = json.loads(json.dumps({"model": model, "config": dataclasses.asdict(trial.config)}))
    return (
        {key: there["model"].get(key) for key in model} == asked["model"]
        and there["config"] == asked["config"]
        and there["data"].get("fingerprint") == trial.data.fingerprint()
    )


def earlier(trial: Trial) -> Measured | None:
    """What an interrupted comparison measured of this run, as it is asked for here."""
    file, folder = trial.folder / SCORES_FILE, RunFolder(trial.folder)
    if not file.is_file() or not is_of(trial):
        return None
    content, of = read_json(file), folder.read()["id"]
    try:
        scores = check(content, ScoresFile, "scores")["models"][trial.candidate.label]
    except (KeyError, ValueError) as error:
        raise ValueError(f"{file}: damaged, {error}; remove it to measure again") from error
    history = folder.history() if content.get("run") == of else None
    if history is None:  # they are of a run that stood here before
        return None
    model = folder.model()  # of another run it is refused now, before all is trained
    weights = checksum(model)
    if content.get("weights") != weights:  # trained on since, even if not for long
        return None
    scores = read_values(trial.folder / VALUES_FILE, scores, of)
    asked = (None, trial.samples)
    if trial.coded and lacks_file(model, scores):
        return None
    same = all(s.samples in asked for name, s in scores.items() if name.endswith("likelihood"))
    return Measured(scores, history, of, weights) if same else None


def measured_model(trial: Trial, measured: Measured) -> Model:
    """The weights that were measured; ValueError where others, or none, are in their place now."""
    try:
        own = trial.candidate.model if isinstance(trial.candidate, OwnModel) else None
        model = RunFolder(trial.folder, measured.run).model(copy.deepcopy(own))
        same = read_run(trial.folder)["id"] == measured.run and checksum(model) == measured.weights
    except ValueError:
        same = False
    if not same:
        raise ValueError(
            f"{trial.folder}: was removed, replaced or trained on since it was measured"
        )
    return model
