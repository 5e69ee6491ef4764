"""A clock that the steps of training move, so that budgets end where they say on any machine."""

from __future__ import annotations

from dataclasses import dataclass

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

    def _tick(self, model: Model, *_: object) -> None:
        self.now += model.training


def clock_of_steps(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the training loop from now on."""
    clock = Clock()
    for module in ("loop", "state"):
        monkeypatch.setattr(f"reparam.train.{module}.time", clock)
    return clock
