"""Data: named sets, files, folders and objects in memory, all as one frozen ``Data``."""

from reparam.data.data_record import DataRecord, check_record, record_json
from reparam.data.known_factors import sprites
from reparam.data.known_space import as_data
from reparam.data.loading import load_data
from reparam.data.named_sets import DataUnavailable, sources
from reparam.data.own_rows import load_foreign_rows, load_rows
from reparam.data.splits import Data, Split, describe
from reparam.data.suitability import (
    condition,
    refuse_few,
    refuse_other_classes,
    refuse_unfit,
    targets_of,
    taught,
)
from reparam.data.tables.column_table import describe_columns

__all__ = [
    "Data",
    "DataRecord",
    "DataUnavailable",
    "Split",
    "as_data",
    "check_record",
    "condition",
    "describe",
    "describe_columns",
    "load_data",
    "load_foreign_rows",
    "load_rows",
    "record_json",
    "refuse_few",
    "refuse_other_classes",
    "refuse_unfit",
    "sources",
    "sprites",
    "targets_of",
    "taught",
]
