"""Data: named sets, files, folders and objects in memory, all as one frozen ``Data``."""

from reparam.data.conditions import condition, refuse_unfit
from reparam.data.download import DataUnavailable
from reparam.data.load import load_data
from reparam.data.named_sets import sources
from reparam.data.outline import Outline, check_outline, outline_json
from reparam.data.rows import load_rows
from reparam.data.splits import Data, Split, describe

__all__ = [
    "Data",
    "DataUnavailable",
    "Outline",
    "Split",
    "check_outline",
    "condition",
    "describe",
    "load_data",
    "load_rows",
    "outline_json",
    "refuse_unfit",
    "sources",
]
