"""What a validation is judged by, and where that is not what the weights were trained for."""

from __future__ import annotations

import math
from collections.abc import Iterable

from reparam.terms import JUDGES
from reparam.train.history import Row

APART = 0.1  # of a rate, or of one nat where it is less: a difference that is worth a warning


def find_judge(terms: Iterable[str], named: str | None = None) -> str:
    """The term by which validations are judged: that which a model names, else the first it has.

    >>> find_judge(["rate", "bound"]), find_judge(["code_bound"])
    ('bound', 'objective')
    """
    there = set(terms)
    return next((name for name in (named, *JUDGES) if name in there and name), "objective")


def judge(valid: dict[str, float], named: str | None = None) -> float:
    """The validation value by which weights are kept; lower is better, NaN never the best."""
    name = find_judge(valid, named)
    return JUDGES.get(name, 1.0) * valid[name]


def judged(row: Row, named: str | None = None) -> str:
    """What a row of the curves is judged by, in words.

    >>> judged({"epoch": 3.0, "valid/bound": -93.14})
    'valid/bound -93.14'
    """
    terms = {name.removeprefix("valid/") for name in row if name.startswith("valid/")}
    name = f"valid/{find_judge(terms, named)}"
    return f"{name} {row[name]:.2f}" if name in row else ""


def disagreement(last: Row, kept: Row) -> str:
    """What to say where the weights that are kept are not what the objective made of them.

    Nothing where both have the same rate, to a tenth; nor where the objective, if it is the same in
    both rows, finds the kept ones better too, as where a model overfits.
    """
    ours, theirs = (
        [v for name, v in row.items() if name.startswith("valid/") and name.endswith("rate")]
        for row in (last, kept)
    )
    if not ours or not theirs:
        return ""
    apart = abs(ours[0] - theirs[0]) > APART * max(abs(ours[0]), abs(theirs[0]), 1.0)
    moved = last.get("valid/beta") != kept.get("valid/beta")
    nowhere = math.nan
    better = last.get("valid/objective", nowhere) < kept.get("valid/objective", nowhere)
    if not (apart and (moved or better)):
        return ""
    return (
        f"at step {last['step']:g}: the weights kept are those of epoch {kept['epoch']:g}, with a "
        f"rate of {theirs[0]:.3g} nats and the best unweighted validation; the last, with "
        f"{ours[0]:.3g} nats, are nearer to what the objective asks for"
    )
