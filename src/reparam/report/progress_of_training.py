"""When in its training a model had made most of its way."""

from __future__ import annotations

import math

from reparam.terms import JUDGES
from reparam.train.history import History

MOST = 0.9  # of the way


def seconds_to_most(history: History, share: float = MOST) -> float | None:
    """Seconds of training until the validation term had fallen a share of its way.

    The way is that from the first validation to the one whose weights were kept, of the term by
    which the model was judged; the time is that of the first validation at or beyond the share.
    None where there are fewer than three validations or no fall, and of models that keep their last
    weights, as no term of their loss says how far they are.

    >>> values = ((1, 10.0), (2, 5.0), (3, 1.2), (4, 1.0))
    >>> rows = [{"epoch": t, "seconds": 2.0 * t, "valid/nll": v} for t, v in values]
    >>> seconds_to_most(History(rows, best_epoch=4, judge="nll"))
    6.0
    """
    column = f"valid/{history.judge}"
    sign = JUDGES.get(history.judge, 1.0)
    rows = [row for row in history.rows if math.isfinite(row.get(column, math.nan))]
    kept = history.kept.get(column, math.nan)
    if len(rows) < 3 or history.keeps != "best" or not math.isfinite(kept):
        return None
    first, last = sign * rows[0][column], sign * kept
    if not last < first:
        return None
    wanted = first + share * (last - first)
    return next(row["seconds"] for row in rows if sign * row[column] <= wanted)
