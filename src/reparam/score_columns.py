"""What a score is entered with: its column in tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reparam.terms import Better

Form = Literal["number", "share", "whole"]


@dataclass(frozen=True)
class Measure:
    """What a score is, and its column in the table of the report.

    Args:
        title: what stands above it.
        group: the scores it stands with, all defined for models of one role.
        definition: one or two sentences.
        better: which direction is better; None where neither is.
        unit: shown with the title; None: the score's own.
        told: whether conditional models lack it, since their codes contain the condition.
        headline: above its column where commands print the scores that one looks at first.
        claim: what the model with the best value does, to go on from its name.
        form: how it is printed.
    """

    title: str
    group: str
    definition: str
    better: Better | None = None
    unit: str | None = None
    told: bool = False
    headline: str = ""
    claim: str = ""
    form: Form = "number"
