"""Standardization of data by what they are."""

from __future__ import annotations

from reparam.bijections.elementwise import Standardize
from reparam.bijections.standardize_columns import StandardizeColumns
from reparam.model import Space

Standardization = Standardize | StandardizeColumns


def standardization(space: Space) -> Standardization:
    """From the data's units to those of networks and likelihoods: of each column, or of all.

    >>> type(standardization(Space((2,), "real"))).__name__
    'Standardize'
    """
    return StandardizeColumns(space) if space.columns else Standardize(space)
