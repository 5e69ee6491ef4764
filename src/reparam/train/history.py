"""What a training run leaves to read: one row per validation, every term of the loss."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from reparam.display import Displayed
from reparam.model import Keeps
from reparam.wording import counted

if TYPE_CHECKING:
    import pandas as pd

STRIP = "strip/"  # before the step, in names of tensors
WARNINGS_SHOWN = 8  # where it is printed
Row = dict[str, int | float]  # steps are whole


@dataclass(repr=False)
class History(Displayed):
    """The curves of a run.

    Each row has ``epoch``, ``step``, ``seconds``, and ``train/TERM`` and ``valid/TERM`` for every
    term of the loss in nats (or squared error) per example, unweighted. ``best_epoch`` is that of
    the weights that were kept: the best by the validation mean of the term ``judge``, or the last,
    as ``keeps`` says. ``strip`` has, by step, draws of the same z (N, *shape) of a generator that
    keeps its last weights.

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
    keeps: Keeps = "best"
    judge: str = ""
    strip: dict[int, Tensor] = field(default_factory=dict, compare=False)

    def __repr__(self) -> str:
        """In ten lines at most: how it ended, what the weights that were kept had, warnings."""
        kept = (f"{k} {v:.5g}" for k, v in self.kept.items() if not k.startswith("train/"))
        lines = [
            f"History of {counted(len(self.rows), 'validation')} in {self.seconds:.1f} s: "
            f"{self.ended or 'not ended'}",
            f"kept ({self.keeps}): {', '.join(kept) or 'nothing validated'}",
            *(f"warning: {text}" for text in self.warnings[:WARNINGS_SHOWN]),
        ]
        return "\n  ".join(lines)

    def to_frame(self) -> pd.DataFrame:
        """The curves as a DataFrame, a row for each validation; it asks for pandas.

        >>> History([{"epoch": 1.0, "valid/bound": -90.0}]).to_frame().columns.tolist()
        ['epoch', 'valid/bound']
        """
        import pandas as pd

        return pd.DataFrame(self.rows, columns=self.columns)

    def curve(self, column: str) -> list[float]:
        """One column; rows that lack it are left out."""
        return [row[column] for row in self.rows if column in row]

    @property
    def kept(self) -> Row:
        """The row of the weights that were kept; empty where none was validated.

        >>> History([{"epoch": 1.0}, {"epoch": 2.0}], best_epoch=1.0).kept
        {'epoch': 1.0}
        """
        # Of several descents the last one's: its rows come last, and their epochs begin anew.
        return next(
            (row for row in reversed(self.rows) if row.get("epoch", math.nan) == self.best_epoch),
            {},
        )

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
        """All but the tensors."""
        return {name: value for name, value in vars(self).items() if name != "strip"}

    def strip_tensors(self) -> dict[str, Tensor]:
        """The strip, by names in a checkpoint."""
        return {f"{STRIP}{step}": drawn for step, drawn in self.strip.items()}

    def with_strip(self, tensors: Mapping[str, Tensor]) -> History:
        """The same with the strip among the tensors of its checkpoint."""
        found = {
            n.removeprefix(STRIP): drawn for n, drawn in tensors.items() if n.startswith(STRIP)
        }
        return replace(self, strip={step: found[str(step)] for step in sorted(map(int, found))})
