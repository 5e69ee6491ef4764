"""``python -m reparam.presets README.md docs/vocabulary.md`` writes the tables of models anew.

Each stands between ``<!-- table of NAME … -->`` and ``<!-- end of table -->``.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from reparam.model import Codec, Completer, Density, Generator, LatentVariable
from reparam.presets.registry import all_presets

ROLES = (Codec, Generator, Completer, Density, LatentVariable)


def models() -> str:
    """What each preset is, and its paper."""
    rows = ((f"`{p.name}`", p.summary.replace("|", "\\|"), p.paper) for p in all_presets())
    return table(("model", "what it is", "paper"), rows)


def roles() -> str:
    """Which words of the vocabulary each preset is, and on which data its log p(x) is exact."""
    alike: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for p in all_presets():
        words = ("✓" if issubclass(p.model, role) else "" for role in ROLES)
        kinds = ", ".join(p.exact)
        alike[*words, f"{kinds}, {p.exact_where}" if p.exact_where else kinds].append(f"`{p.name}`")
    rows = ((", ".join(names), *cells) for cells, names in alike.items())
    return table(("model", *(role.__name__ for role in ROLES), "exact on"), rows)


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ("---",) * len(head), *rows))


def renewed(page: str) -> str:
    """The page with its tables as the registry has them."""
    between = r"(<!-- table of (models|roles)[^\n]*-->\n\n).*?(\n\n<!-- end of table -->)"
    made = {"models": models, "roles": roles}
    return re.sub(between, lambda m: m[1] + made[m[2]]() + m[3], page, flags=re.DOTALL)


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_text(renewed(path.read_text(encoding="utf-8")), encoding="utf-8")
