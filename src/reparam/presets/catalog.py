"""Values that modules of a package register by name, each module imported when it is asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator, MutableMapping
from functools import cached_property
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TypeVar

T = TypeVar("T")


class Catalog(MutableMapping[str, T]):
    """A dictionary that imports the module of a name to find its value, all modules to list names.

    The sources say which module registers which name. Of names that they do not say, all modules
    are imported: then finding one takes longer, no more.

    Args:
        package: to which the modules belong.
        folder: in which they are.
        decorator: which registers, with the name as its first argument.
    """

    def __init__(self, package: str, folder: Path, decorator: str) -> None:
        self._package, self._folder = package, folder
        self._naming = re.compile(rf'\n@{decorator}\(\s*"([^"]+)"')
        self._registered: dict[str, T] = {}

    @cached_property
    def sources(self) -> dict[str, str]:
        """By name the module that registers it, in the order of files and of what is in them."""
        return {
            name: f"{self._package}.{module}"
            for module in self._modules
            for name in self._naming.findall(self._source(module))
        }

    def register(self, name: str, value: T, module: str) -> None:
        """Enter what a module has; ValueError where that or another one has such a name."""
        other = self.sources.get(name, module)
        if name in self._registered or other != module:
            raise ValueError(f"{name}: expected a new name, {other} has registered it already")
        self._registered[name] = value

    def __getitem__(self, name: str) -> T:
        if name not in self._registered and name in self.sources:
            import_module(self.sources[name])
        if name not in self._registered:
            self._import_all()
        return self._registered[name]

    def __setitem__(self, name: str, value: T) -> None:
        self._registered[name] = value

    def __delitem__(self, name: str) -> None:
        del self._registered[name]

    def __iter__(self) -> Iterator[str]:
        """All names, in an order that does not depend on what was imported before."""
        self._import_all()
        told = [name for name in self.sources if name in self._registered]
        return iter([*told, *(name for name in self._registered if name not in self.sources)])

    def __len__(self) -> int:
        self._import_all()
        return len(self._registered)

    def __repr__(self) -> str:
        return f"Catalog({', '.join(self)})"

    @cached_property
    def _modules(self) -> list[str]:
        names = (one.name for one in iter_modules([str(self._folder)]))
        return sorted(name for name in names if name != "__main__")

    def _source(self, module: str) -> str:
        """Nothing where an installation has compiled files alone."""
        path = self._folder / f"{module}.py"
        return path.read_text(encoding="utf-8") if path.is_file() else ""

    def _import_all(self) -> None:
        for module in self._modules:
            import_module(f"{self._package}.{module}")
