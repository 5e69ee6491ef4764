"""``python -m reparam.bijections docs/flows.md`` renews the table of bijections in that file."""

from __future__ import annotations

import inspect
import pkgutil
import re
import sys
from collections import defaultdict
from importlib import import_module
from pathlib import Path

from reparam import bijections
from reparam.bijections.base import Bijection, Costs

HEAD = ("bijection", "log-det", "data → noise", "noise → data")


def concrete() -> list[type[Bijection]]:
    """Every bijection that can be made, module by module."""
    modules = [import_module(f"{bijections.__name__}.{m.name}") for m in _modules()]
    return [
        cls
        for module in modules
        for cls in vars(module).values()
        if inspect.isclass(cls)
        and issubclass(cls, Bijection)
        and cls.__module__ == module.__name__
        and not inspect.isabstract(cls)
        and not cls.__name__.startswith("_")
    ]


def _modules() -> list[pkgutil.ModuleInfo]:
    """The chains and wrappers of ``base`` last."""
    found = [m for m in pkgutil.iter_modules(bijections.__path__) if m.name != "__main__"]
    return sorted(found, key=lambda m: m.name == "base")


def table() -> str:
    """What each costs, in Markdown; those that cost the same stand together."""
    alike: dict[Costs, list[str]] = defaultdict(list)
    for cls in concrete():
        alike[cls.costs].append(f"`{cls.__name__}`")
    rows = [(", ".join(names), *costs) for costs, names in alike.items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in (HEAD, ("---",) * len(HEAD), *rows))


def renewed(page: str) -> str:
    """A page with the table made anew where it stands."""
    return re.sub(
        r"^\| bijection .*\n(\|.*\n)*", lambda m: f"{table()}\n", page, flags=re.MULTILINE
    )


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]):
        path.write_text(renewed(path.read_text(encoding="utf-8")), encoding="utf-8")
