"""A clock that the steps of training move, so that budgets end where they say on any machine."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import pytest

from reparam.model import Model


@dataclass
class Clock:
    """Stands in for the module ``time``: a second for every training step of a model."""

    now: float = 0.0

    def perf_counter(self) -> float:
        return self.now

    def counts(self, model: Model) -> Model:
        model.register_forward_hook(self._tick)
        return model

    def charges(self, monkeypatch: pytest.MonkeyPatch, name: str, seconds: float) -> None:
        """Let every call of a function, named by its path, take so many seconds."""
        module, _, function = name.rpartition(".")
        inner = getattr(importlib.import_module(module), function)

        def slow(*arguments: Any, **options: Any) -> Any:
            self.now += seconds
            return inner(*arguments, **options)

        monkeypatch.setattr(name, slow)

    def _tick(self, model: Model, *_: object) -> None:
        self.now += model.training


def clock_of_steps(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the training loop from now on."""
    clock = Clock()
    for module in ("loop", "state"):
        monkeypatch.setattr(f"reparam.train.{module}.time", clock)
    return clock
