"""What was measured of the models of a transfer, kept so that it goes on where it was."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from reparam.checkpoint import read_json, write_json
from reparam.evaluation.probing import Probe
from reparam.limits import check


@dataclass(frozen=True)
class Point:
    """The accuracy of a fine-tuned model on the test split, and the seconds that it took."""

    accuracy: float
    seconds: float


class PointsFile(TypedDict):
    """The contents of a file of points."""

    settings: dict[str, Any]
    weights: str | None
    probes: dict[str, list[Probe]]
    tuned: dict[str, list[Point]]


@dataclass
class Points:
    """All that was measured of a model, written whenever there is more.

    Args:
        file: where.
        settings: what it depends on but for the weights.
        weights: of the encoder before it is tuned, as a checksum; None of none.
        probes: by number of labels.
        tuned: by number of labels and by draw.
    """

    file: Path
    settings: dict[str, Any]
    weights: str | None
    probes: dict[str, list[Probe]] = field(default_factory=dict)
    tuned: dict[str, list[Point]] = field(default_factory=dict)

    @classmethod
    def at(cls, file: Path, settings: dict[str, Any], weights: str | None) -> Points:
        """What stands there of the same settings and weights; else nothing yet."""
        there = cls.read(file)
        if there is not None and (there.settings, there.weights) == (settings, weights):
            return there
        return cls(file, settings, weights)

    @classmethod
    def read(cls, file: Path) -> Points | None:
        """What stands in a file, if there is one."""
        if not file.is_file():
            return None
        try:
            content = check(read_json(file), PointsFile, "points")
        except ValueError as error:
            raise ValueError(f"{file}: damaged, {error}; remove it") from error
        return cls(file, **content)

    def write(self) -> None:
        """Put it into its file, which is whole or as it was."""
        write_json(
            self.file,
            {
                "settings": self.settings,
                "weights": self.weights,
                "probes": {n: [asdict(one) for one in found] for n, found in self.probes.items()},
                "tuned": {n: [asdict(one) for one in found] for n, found in self.tuned.items()},
            },
        )
