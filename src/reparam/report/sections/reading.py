"""The section that says how to read all others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from reparam.report.recipes import python
from reparam.report.section import Section, Shown
from reparam.report.table import ColumnHead


class Explanations(NamedTuple):
    """What each score is, and the Python that makes the models again."""

    headers: Sequence[ColumnHead]
    code: str


def build(shown: Shown) -> Explanations:
    return Explanations(shown.table.headers, python(shown.data, shown.entries))


SECTION: Section = Section("reading", "How to read", "", build, "reading.html.j2", drawn=False)
