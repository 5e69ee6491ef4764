"""What tests of loading share: files of text, what a run remembers, items, names that count."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from reparam.data import Data, DataRecord, check_record, record_json


def table(folder: Path, text: str, name: str = "t.csv", encoding: str = "utf-8") -> Path:
    """A file of that text."""
    path = folder / name
    path.write_text(text, encoding=encoding)
    return path


def remembered(data: Data) -> DataRecord:
    """What a run of the data remembers, by way of its file."""
    entry = json.loads(json.dumps(record_json(data)))
    check_record(entry)
    return DataRecord.from_json(entry, data.space)


class Items(Dataset[Any]):
    """Items by number, as datasets that people write have them."""

    def __init__(self, items: Sequence[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


class CountedName(str):
    """A name that counts how often names are compared, in ``compared``."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        CountedName.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__
