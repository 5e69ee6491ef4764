"""Scores as numbers: with the digits that their errors allow, in percent, or whole."""

from __future__ import annotations

import math

from reparam.evaluation.scores import Score
from reparam.measures import measure


def number(score: Score, name: str) -> tuple[str, str]:
    """Value and standard error over the examples, rounded to the error's second digit.

    Where there is no error over the examples, the value is rounded by that over the seeds. An
    accuracy has an ``interval`` in place of the error.

    >>> number(Score(-91.5432, "nats", 9, "test", 0.0631), "elbo")
    ('−91.543', '0.063')
    >>> number(Score(3.5835189, "nats", 9, "test", 3e-7), "mutual_information")
    ('3.5835', '3e−07')
    """
    if _is_share(score, name):
        error = f"{100 * score.stderr:.1f} %" if score.stderr and not score.interval else ""
        return f"{100 * score.value:.1f} %", error
    if measure(name).form == "whole":
        return _whole(score.value), ""
    rounded = score.seed_stderr if score.stderr is None else score.stderr
    if rounded is None or not 0 < rounded < math.inf:
        return minus(_plain(score.value, 4)), "∞" if score.stderr == math.inf else ""
    digits = max(0, 1 - math.floor(math.log10(rounded)))
    if digits > 5:  # an error that tiny would pad the value with digits nobody compares
        shown = _plain(score.value, 5) if abs(score.value) >= 1e-3 else f"{score.value:.2e}"
        value, error = shown, f"{rounded:.0e}"
    else:
        value, error = f"{score.value:,.{digits}f}", f"{rounded:,.{digits}f}"
    return minus(value), "" if score.stderr is None else minus(error)


def interval(score: Score) -> str:
    """Where an accuracy lies with 95 %; nothing of other scores.

    >>> interval(Score(1.0, "accuracy", 30, "test", stderr=0.0))
    '88.6–100.0 %'
    """
    if score.interval is None:
        return ""
    low, high = (100 * end for end in score.interval)
    return f"{low:.1f}–{high:.1f} %"


def with_error(score: Score | None, name: str) -> tuple[str, str]:
    """The number, and how sure it is: an error, or the interval of an accuracy.

    >>> with_error(Score(1.0, "accuracy", 30, "test", stderr=0.0), "accuracy")
    ('100.0 %', '88.6–100.0 %')
    """
    if score is None:
        return "", ""
    value, error = number(score, name)
    return value, interval(score) or (f"± {error}" if error else "")


def _is_share(score: Score, name: str) -> bool:
    return score.unit == "share" or score.interval is not None or measure(name).form == "share"


def seed_error(score: Score, name: str) -> str:
    """The standard error over the seeds, with two digits of its own.

    >>> seed_error(Score(-91.5432, "nats", 9, "test", 0.0631, seed_stderr=0.00812), "elbo")
    '0.0081'
    """
    if score.seed_stderr is None or measure(name).form == "whole":
        return ""
    if _is_share(score, name):
        return f"{100 * score.seed_stderr:.1f} %"
    return minus(_plain(score.seed_stderr, 2))


def _plain(value: float, digits: int) -> str:
    """So many digits, and up to a billion all that are before the point."""
    rounded = float(f"{value:.{digits}g}")
    return f"{value:,.0f}" if 10**digits <= abs(rounded) < 1e9 else f"{rounded:.{digits}g}"


def _whole(value: float) -> str:
    if value >= 10_000:  # three digits say enough of a speed or a size
        value = float(f"{value:.3g}")  # of 999 600 a million
        for power, suffix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
            if value >= power:
                return f"{value / power:.3g}{suffix}"
    return minus(f"{value:,.0f}")


def minus(text: str) -> str:
    return text.replace("-", "−")


def hundredths(value: float) -> str:
    """Two digits of a share, without the 0 before the point.

    >>> hundredths(-0.428), hundredths(1.0), hundredths(0.004)
    ('−.43', '1', '0')
    """
    text = minus(f"{value:.2f}").replace("0.", ".")
    return {"1.00": "1", "−1.00": "−1", ".00": "0", "−.00": "0"}.get(text, text)
