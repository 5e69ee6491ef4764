"""The cache folder: what was decoded, made or unpacked once lies there."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

VARIABLE = "REPARAM_CACHE"  # environment variable: a folder for the caches, or "off"


def cache_root() -> Path | None:
    """The folder of all that is kept; None where the user wants nothing kept."""
    wanted = os.environ.get(VARIABLE)
    if wanted == "off":
        return None
    import pooch

    return Path(wanted).expanduser() if wanted else Path(pooch.os_cache("reparam"))


def digest(content: Any) -> str:
    """32 hexadecimal digits that stand for what JSON can say.

    >>> digest([1]) == digest([1]), digest([1]) == digest([2]), len(digest([1]))
    (True, False, 32)
    """
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]
