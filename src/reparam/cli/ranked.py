"""Examples in the order of their anomaly scores, as files, pictures and tables have them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from torch import Tensor

from reparam.cli.folders import Place, places
from reparam.cli.outputs import Result, Target, beside
from reparam.data import DataRecord, Split
from reparam.data.contents import Array
from reparam.evaluation.column_scores import table_columns
from reparam.report.heat import HeatRow, heat_rows
from reparam.report.pictures import Brightness, Picture
from reparam.use.anomalies import AnomalyScores

IN_A_ROW = 8  # examples of a picture, where no number is asked for
IN_TABLE = 10  # of the oddest, that are printed
MOST = 3  # columns of a table that are named for each row
NAME = 14  # characters of a name below an image
TITLES = {
    "log_prob": "−log p(x)",
    "reconstruction": "squared error of the reconstruction",
    "rate": "KL(q(z|x) ‖ p(z))",
    "typicality": "distance of log p(x) from its mean in training",
}


@dataclass(frozen=True)
class Ranked:
    """Examples and their scores.

    Args:
        rows: the examples.
        found: their scores by name.
        by: the one that they are ranked by.
        record: of the run's data, with the classes of these examples.
        by_column: what columns of a table contribute to that score; None of what has no such parts.
    """

    rows: Split
    found: dict[str, AnomalyScores]
    by: str
    record: DataRecord
    by_column: Tensor | None = None

    @property
    def chosen(self) -> AnomalyScores:
        return self.found[self.by]

    @cached_property
    def order(self) -> Tensor:
        """The examples from the oddest on."""
        return self.chosen.score.argsort(descending=True, stable=True)

    def result(self, target: Target, top: int | None) -> Result:
        """What is written of so many of the oddest; of a picture, as many of the most ordinary."""
        if target.picture:
            return Result({}, picture=partial(self._picture, top or IN_A_ROW))
        order = self.order[:top]
        rows, at = self.rows.take(order), order.numpy()
        rank = np.arange(1, len(order) + 1)
        arrays: dict[str, Any] = {"rank": rank, **beside(rows, self.record)}
        arrays["score"] = self.chosen.score.numpy()[at]
        arrays |= {k: v.score.numpy()[at] for k, v in self.found.items() if k != self.by}
        if target.path.suffix.lower() == ".csv" and not target.folder:
            return Result(arrays | self._most(at))
        parts = self.chosen.parts
        arrays |= {} if parts is None else {"parts": parts.numpy()[at]}
        return Result({"x": rows.x} | arrays, self.record.columns, places=self._places())

    def oddest(self) -> tuple[list[str], list[list[str]]]:
        """The first of them as a table: a header, and rows with all scores side by side."""
        names = [self.by, *(name for name in self.found if name != self.by)]
        most = self._most(self.order[:IN_TABLE].numpy())
        header = ["rank", "example", *names, *(["mostly by"] if most else [])]
        lines = []
        for i, at in enumerate(self.order[:IN_TABLE].tolist()):
            values = [f"{self.found[name].score[at]:.4g}" for name in names]
            by = [", ".join(filter(None, (str(column[i]) for column in most.values())))]
            lines.append([str(i + 1), self._name(at), *values, *(by if most else [])])
        return header, lines

    def _name(self, at: int) -> str:
        """The file of an example, or the number of its row, and its class."""
        files, labels, classes = self.rows.files, self.rows.labels, self.record.class_names
        name = str(int(self.rows.numbers[at])) if files is None else str(files.names[at])
        return name if labels is None or classes is None else f"{name} ({classes[labels[at]]})"

    def _most(self, at: Array) -> dict[str, Array]:
        """Of tables the names of the columns that contribute most, where parts are known."""
        parts = self.by_column
        if parts is None or self.record.space.is_image:
            return {}
        columns = table_columns(self.record.space, self.record.columns)
        names, values = np.array([c.name for c in columns]), parts.numpy()[at]
        largest = (-values).argsort(1, kind="stable")[:, :MOST]
        positive = np.take_along_axis(values, largest, 1) > 0
        named = np.where(positive, names[largest], "")
        return {f"most_{i + 1}": named[:, i] for i in range(named.shape[1])}

    def _places(self) -> list[Place]:
        """Of every example, from the oddest on: its rank before the name of its file."""
        if not self.record.space.is_image:
            return []
        own, digits = places(self.rows), len(str(len(self.order)))
        return [
            own[at]._replace(name=f"{i + 1:0{digits}d}-{own[at].name.replace('/', '-')}")
            for i, at in enumerate(self.order.tolist())
        ]

    def _picture(self, columns: int, brightness: Brightness) -> Picture:
        n = len(self.order)
        columns = min(columns, -(-n // 2))
        rows = [self._row(f"The oddest by {TITLES[self.by]}", self.order[:columns])]
        if n > 1:
            ordinary = self.order[columns:].flip(0)[:columns]
            rows.append(self._row("The most ordinary", ordinary))
        return heat_rows(rows, brightness, self._said(), f"the oddest of {n} images")

    def _row(self, title: str, at: Tensor) -> HeatRow:
        score, parts = self.chosen, self.chosen.parts
        captions = [f"{score.score[i]:.4g}\n{_short(self._name(i))}" for i in at.tolist()]
        return HeatRow(title, self.rows.x[at], captions, None if parts is None else parts[at])

    def _said(self) -> str:
        score = self.chosen
        kind = {"upper bound": " (an upper bound)", "estimate": " (an estimate)"}
        lines = [
            f"Of {len(self.order)} examples. Below each its score in {score.unit}"
            f"{kind.get(score.kind or '', '')}, its number or file, and its class if known."
        ]
        if score.parts is not None:
            lines.append(f"Heat: {score.parts_are}.")
        return "\n".join(lines)


def _short(name: str) -> str:
    return name if len(name) <= NAME else f"…{name[1 - NAME :]}"
