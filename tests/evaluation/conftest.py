"""Data that the tests of samples share."""

from __future__ import annotations

import pytest

import reparam as rp
from reparam.evaluation import reference_scores


@pytest.fixture(scope="session")
def digits():
    return rp.load_data("digits")


@pytest.fixture(scope="session")
def training(digits):
    return reference_scores(digits)
