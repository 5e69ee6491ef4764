"""Words that messages share."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reparam.model import Model

EMPTY_PATH = "expected a path, got an empty one"


def counted(count: int, one: str, several: str | None = None) -> str:
    """A number of things.

    >>> counted(1, "file"), counted(2, "file"), counted(0, "class", "classes")
    ('1 file', '2 files', '0 classes')
    """
    return f"{count} {one if count == 1 else several or one + 's'}"


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first names, and how many more there are.

    >>> listed("abc", most=2)
    'a, b and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def typed(word: object) -> str:
    """A path or a name as one types it into a shell, for commands that a sentence names.

    >>> typed("runs/vae"), typed("my run"), typed("-run")
    ('runs/vae', "'my run'", './-run')
    """
    text = str(word)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint at the nearest known name, or nothing.

    >>> did_you_mean("latent_dims", ["k", "latent_dim"])
    ' (did you mean latent_dim?)'
    """
    name = name.lower()
    part = [other for other in known if other.endswith(f".{name}") or other.startswith(f"{name}-")]
    near = part or difflib.get_close_matches(name, known, 1)
    return f" (did you mean {near[0]}?)" if near else ""


def name_of(model: Model) -> str:
    """The preset that built a model, or the class of one that none did.

    >>> import reparam as rp
    >>> name_of(rp.build("ae", rp.Space((4,), "real"))), name_of(rp.PCA(rp.Space((4,), "real"), 1))
    ('ae', 'PCA')
    """
    return (model.recipe or {}).get("preset") or type(model).__name__
