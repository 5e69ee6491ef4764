"""Files on the Hugging Face hub: how a repository is named, and how its files are fetched."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

PREFIX = "hf:"
CONFIG_FILE = "config.json"
PLACES = ("source", "test", "attribute_table")  # options of data that say where they lie
MISSING = "hub: needs huggingface_hub; install it with: pip install 'reparam[hub]'"
NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?")
REVISION = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._/-]*[A-Za-z0-9_])?")
LONGEST = 96  # characters of a name, with its owner
LOGIN = "log in with: hf auth login, or set HF_TOKEN"
T = TypeVar("T")


@dataclass(frozen=True)
class HubName:
    """A repository on the hub and, perhaps, one of its revisions.

    Args:
        repository: ``owner/name``.
        revision: a branch, a tag or a commit; None: the main branch.
    """

    repository: str
    revision: str | None = None

    @classmethod
    def parse(cls, text: str) -> HubName:
        """``owner/name`` or ``owner/name@revision``, perhaps behind ``hf:``.

        >>> HubName.parse("hf:me/digits-vae@v1")
        HubName(repository='me/digits-vae', revision='v1')
        >>> HubName.parse("hf:a//b")
        Traceback (most recent call last):
        ValueError: hf:a//b: expected hf:owner/name or hf:owner/name@revision
        """
        repository, at, revision = text.removeprefix(PREFIX).partition("@")
        parts = repository.split("/")
        named = len(parts) == 2 and all(NAME.fullmatch(part) for part in parts)
        unusual = "--" in repository or ".." in repository or repository.endswith(".git")
        if not named or unusual or len(repository) > LONGEST:
            raise ValueError(f"{text}: expected {PREFIX}owner/name or {PREFIX}owner/name@revision")
        if at and (REVISION.fullmatch(revision) is None or ".." in revision or "//" in revision):
            raise ValueError(f"{text}: expected a branch, a tag or a commit, got {revision!r}")
        return cls(repository, revision or None)

    def __str__(self) -> str:
        return f"{PREFIX}{self.repository}" + (f"@{self.revision}" if self.revision else "")


def is_on_hub(path: str | os.PathLike[str]) -> bool:
    """Whether a run is named that lies on the hub.

    >>> is_on_hub("hf:me/vae"), is_on_hub("runs/vae")
    (True, False)
    """
    return os.fspath(path).startswith(PREFIX)


def fetch(name: HubName, files: Sequence[str], token: str | None = None) -> Path:
    """The folder in the cache with these files of a repository, fetched where they are not there.

    Nothing but these files is asked for. Offline (``HF_HUB_OFFLINE=1``) it is what the cache has.

    Raises:
        ValueError: in one sentence, why they cannot be had.
    """
    try:
        import huggingface_hub
    except ImportError as error:
        raise ValueError(MISSING) from error

    def load() -> str:
        return str(
            huggingface_hub.snapshot_download(
                name.repository, revision=name.revision, allow_patterns=list(files), token=token
            )
        )

    folder = Path(told(load, name))
    absent = [file for file in files if not (folder / file).is_file()]
    if absent:
        raise ValueError(
            f"{name}: has no {' and no '.join(absent)}, so that it is no model of reparam, or the "
            "cache holds a part of it; fetch it again online"
        )
    return folder


def told(ask: Callable[[], T], name: HubName) -> T:
    """What the hub answers; ValueError, in one sentence, where it does not."""
    from huggingface_hub import errors

    # Errors of the connection are OSErrors in one of the clients that the library has had.
    failures = (OSError, errors.EntryNotFoundError, getattr(errors, "HTTPError", OSError))
    try:
        return ask()
    except failures as error:
        raise ValueError(f"{name}: {_reason(error, name)}") from error


def _reason(error: Exception, name: HubName) -> str:
    """Why the hub did not answer, and what to do."""
    from huggingface_hub import constants, errors

    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.GatedRepoError):
        return f"may be read by those alone who asked for it; ask on its page, then {LOGIN}"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"there is no such repository, or it is private; check the name, or {LOGIN}"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"has no revision {name.revision or 'main'!r}; name a branch, a tag or a commit"
    if isinstance(error, errors.LocalEntryNotFoundError):
        if constants.HF_HUB_OFFLINE:
            return "is not in the cache, and HF_HUB_OFFLINE is set; fetch it once online"
        return "cannot be reached, and is not in the cache; try again when online"
    if isinstance(error, errors.LocalTokenNotFoundError) or status == 401:
        return f"needs a token, and none is there or it is not valid; {LOGIN}"
    if status == 403:
        return "this token may not do that; use one that may write to it"
    what = " ".join(str(error).split())
    return f"the transfer was interrupted; try again: {what[:200] or type(error).__name__}"
