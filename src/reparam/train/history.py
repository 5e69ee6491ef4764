"""What a training run leaves to read: one row per validation, every term of the loss."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from typing import Any

Row = dict[str, float]


@dataclass
class History:
    """The curves of a run.

    Each row has ``epoch``, ``step``, ``seconds``, and ``train/TERM`` and ``valid/TERM`` for every
    term of the loss in nats (or squared error) per example, unweighted.

    >>> history = History()
    >>> history.rows.append({"epoch": 1.0, "valid/bound": -90.0})
    >>> history.curve("valid/bound")
    [-90.0]
    """

    rows: list[Row] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    best_epoch: float | None = None
    ended: str = ""

    def curve(self, column: str) -> list[float]:
        """One column; rows that lack it are left out."""
        return [row[column] for row in self.rows if column in row]

    @property
    def columns(self) -> list[str]:
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def to_csv(self) -> str:
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return text.getvalue()

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> History:
        return cls(**content)
