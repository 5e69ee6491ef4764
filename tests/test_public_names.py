"""The public names: listed once, in the stub, and there when they are asked for."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import reparam as rp

STUB = ast.parse(Path(rp.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
LISTED = [a for node in STUB.body if isinstance(node, ast.ImportFrom) for a in node.names]


def test_every_public_name_resolves():
    assert len(rp.__all__) > 100
    for name in rp.__all__:
        value = getattr(rp, name)
        assert not inspect.ismodule(value), name
        assert name == "PRESETS" or name == value.__name__


def test_each_is_listed_once_and_public_to_type_checkers():
    """A stub exports what it imports under the same name, and nothing else."""
    assert all(alias.asname == alias.name for alias in LISTED)
    names = [alias.name for alias in LISTED]
    assert sorted(names) == sorted(rp.__all__) == sorted(set(dir(rp)))
    assert "__all__" not in ast.unparse(STUB)
