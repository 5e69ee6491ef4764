"""write_card and push_to_hub: a folder that says what a model is, and the same on the hub."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from reparam.atomic import check_place, write_atomically
from reparam.checkpoint import (
    MODEL_FILE,
    RUN_FILE,
    describe,
    folder_named,
    read_json,
    read_run,
    write_json,
    write_tensors,
    write_text,
)
from reparam.comparison import scores_json
from reparam.evaluation.modes import evaluating
from reparam.hub.card import card
from reparam.hub.card_pictures import pictures
from reparam.hub.published import Published, opened
from reparam.hub_files import CONFIG_FILE, LOGIN, MISSING, HubName, told
from reparam.model import Model
from reparam.progress import Watch, unwatched
from reparam.train.folder import HISTORY_FILE, SCORES_FILE

CARD_FILE = "README.md"
PICTURES = ("samples.png", "reconstructions.png", "latent.png")
FILES = (CARD_FILE, CONFIG_FILE, MODEL_FILE, SCORES_FILE, HISTORY_FILE, *PICTURES)
SAME = ("preset", "parameters", "space")  # what two states of one model have in common
LICENSE = re.compile(r"[a-z0-9][a-z0-9.-]*")


def write_card(
    run: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    name: str | None = None,
    license: str | None = None,
    data: Any = None,
    model: Model | None = None,
    device: str = "auto",
    force: bool = False,
    watch: Watch = unwatched,
) -> Path:
    """Write what ``push_to_hub`` uploads into a folder: model, config, scores, pictures and card.

    The folder is itself one that ``load`` reads. It holds no path, no name of a user or a machine,
    and no state of the optimizer.

    Args:
        run: the folder of a run.
        folder: made if absent.
        name: ``owner/name`` of the repository that it is for; None: the card speaks of its folder.
        license: as the hub names it, ``"mit"``; None: the card says nothing of one.
        data: where the run's data lie now, or the data; None: where they were. They have to be
            those that it was trained on.
        model: the module to fill, for models that no preset builds.
        device: that measures and draws.
        force: overwrite what lies there.
        watch: is told how far it is.

    Returns:
        The path of the card.

    Raises:
        ValueError: no run there, data that are not its own, or a folder that is taken.
    """
    target = folder_named(folder)
    if name is not None:
        name = _repository(name).repository
    _check_license(license)
    check_place(target, folder=True)
    read_run(folder_named(run))
    if (target / RUN_FILE).exists():
        raise ValueError(f"{folder}: holds a run; choose another folder")
    there = [file for file in FILES if (target / file).exists()]
    if there and not force:
        raise ValueError(f"{target / there[0]}: exists already; choose another folder or set force")
    _write(opened(run, data, model, device, watch), target, name, license)
    return target / CARD_FILE


def push_to_hub(
    run: str | os.PathLike[str],
    name: str,
    *,
    private: bool = False,
    license: str | None = None,
    data: Any = None,
    model: Model | None = None,
    device: str = "auto",
    force: bool = False,
    token: str | None = None,
    watch: Watch = unwatched,
) -> str:
    """Upload the model of a run, with its scores, pictures and card, to the Hugging Face hub.

    Args:
        run: the folder of a run.
        name: ``owner/name``; the repository is made if absent.
        private: whether a new repository can be seen by its owner alone.
        license: as the hub names it, ``"mit"``; None: the card says nothing of one.
        data, model, device: as for ``write_card``.
        force: replace another model that lies there.
        token: of the hub; None: that of ``hf auth login`` or of ``HF_TOKEN``.
        watch: is told how far it is.

    Returns:
        The address of the repository.

    Raises:
        ValueError: a wrong name, no token, no right to write, another model there, a transfer that
            was interrupted: one sentence each.
    """
    target = _repository(name)
    _check_license(license)
    mine = read_run(folder_named(run))
    try:
        from huggingface_hub import HfApi, get_token
    except ImportError as error:
        raise ValueError(MISSING) from error
    if token is None and get_token() is None:
        raise ValueError(f"{target}: needs a token to write, and there is none; {LOGIN}")
    api = HfApi(token=token)
    if not force:
        _refuse_other_model(api, target, mine)
    published = opened(run, data, model, device, watch)
    with tempfile.TemporaryDirectory() as place:
        _write(published, Path(place), target.repository, license)
        told(lambda: api.create_repo(target.repository, private=private, exist_ok=True), target)
        absent = [file for file in PICTURES if not (Path(place) / file).exists()]
        told(
            lambda: api.upload_folder(
                repo_id=target.repository,
                folder_path=place,
                commit_message=f"Upload {published.label} by reparam",
                allow_patterns=list(FILES),
                delete_patterns=absent or None,
            ),
            target,
        )
    return f"https://huggingface.co/{target.repository}"


def _repository(name: str) -> HubName:
    found = HubName.parse(name)
    if found.revision is not None:
        raise ValueError(f"{name}: expected owner/name without a revision, which the hub makes")
    return found


def _check_license(license: str | None) -> None:
    if license is not None and LICENSE.fullmatch(license) is None:
        raise ValueError(f"license: expected a name as mit or apache-2.0, got {license!r}")


def _refuse_other_model(api: Any, target: HubName, mine: dict[str, Any]) -> None:
    """ValueError where the repository holds a model that is not an earlier state of this one."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    def files() -> Sequence[str]:
        try:
            return list(api.list_repo_files(target.repository))
        except GatedRepoError:
            raise
        except RepositoryNotFoundError:
            return []

    there = told(files, target)
    other = f"{target}: holds another model; choose another name, or set force (--force)"
    if CONFIG_FILE in there:
        file = told(lambda: api.hf_hub_download(target.repository, CONFIG_FILE), target)
        theirs = read_json(Path(file))
        same = all(theirs.get(entry) == mine["model"].get(entry) for entry in SAME)
        data = theirs.get("data")
        same &= isinstance(data, dict) and data.get("fingerprint") == mine["data"]["fingerprint"]
        if not same:
            raise ValueError(other)
    elif any(Path(file).suffix in (".safetensors", ".bin", ".pt") for file in there):
        raise ValueError(other)


def _write(run: Published, folder: Path, name: str | None, license: str | None) -> None:
    """All files of a run that are published."""
    with evaluating([run.model]):
        drawn = list(pictures(run.shown()))
    write_tensors(folder / MODEL_FILE, run.model.state_dict(), describe(run.model))
    write_json(folder / CONFIG_FILE, run.config_json())
    scores = scores_json(run.data, {run.label: run.scores}, run.reference)
    del scores["data"]["notes"]  # which name files
    scores["data"]["name"] = run.name
    write_json(folder / SCORES_FILE, scores)
    write_text(folder / HISTORY_FILE, run.history.to_csv())
    for file in PICTURES:
        (folder / file).unlink(missing_ok=True)
    for file, content, _ in drawn:
        write_atomically(folder / file, partial(_fill, content))
    captions = {file: caption for file, _, caption in drawn}
    write_text(folder / CARD_FILE, card(run, name, license, captions))


def _fill(content: bytes, file: str) -> None:
    Path(file).write_bytes(content)
