"""A score: a number that says what it is."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from reparam.display import Displayed
from reparam.measures import SCORES, measure
from reparam.model import Kind

if TYPE_CHECKING:
    import pandas as pd

# No log p(x) is an upper bound, but what is made of several may be; a length is no log p(x) at all.
ScoreKind = Kind | Literal["upper bound", "file"]
SIGNS: dict[ScoreKind, str] = {
    "exact": "=",
    "lower bound": "≥",
    "upper bound": "≤",
    "estimate": "≈",
    "file": "file",
}


ACCURACY = "accuracy"  # the unit of a share of examples, each of which is right or not
Z95 = 1.959963984540054  # of a standard normal, 95 % lie within so many deviations


@dataclass(frozen=True)
class Score(Displayed):
    """One measured number with its uncertainty and protocol.

    Args:
        value: the number itself.
        unit: nats, bits, dimensions, seconds …
        n: how many examples it was measured on.
        split: of the data that was read; ``"none"`` where ``n`` counts samples, ``"runs"`` of
            annealing or ``"states"`` where it counts these.
        stderr: standard error over the examples.
        kind: exact, a lower or an upper bound (in expectation), or an estimate; of bits/dim, that
            of the log-likelihood in nats; ``"file"`` of the length of one.
        samples: draws per example, where there are any.
        seed: of the draws; a list where the value is a mean over trained seeds.
        seed_stderr: standard error over the trained seeds, where there are several.
        common_stderr: the part of ``stderr`` that all examples share, as the error of log Ẑ: it
            does not cancel in differences by example.
        values: by example, all of the split in its order, of which ``value`` is the mean; for
            differences in pairs. Not part of the JSON.
        bins: of the histograms it was found by, or ``"levels"``.
        predictor: that was fitted for it.
        notes: what was decided on the way, one sentence each.
        matrix: what it was found from, a row per latent. Not part of the JSON.

    >>> Score(0.5, "nats", n=10, split="test").stderr is None
    True
    """

    value: float
    unit: str
    n: int
    split: str
    stderr: float | None = None
    kind: ScoreKind | None = None
    samples: int | None = None
    seed: int | list[int] | None = None
    seed_stderr: float | None = None
    common_stderr: float | None = None
    values: Tensor | None = field(default=None, repr=False, compare=False)
    bins: int | Literal["levels"] | None = None
    predictor: str | None = None
    notes: tuple[str, ...] = field(default=(), repr=False)
    matrix: Tensor | None = field(default=None, repr=False, compare=False)

    @property
    def error(self) -> float | None:
        """The standard error over examples and seeds together; None where neither is known.

        >>> Score(0.5, "nats", 10, "test", stderr=0.3, seed_stderr=0.4).error
        0.5
        """
        return _together(self.stderr, self.seed_stderr)

    @property
    def counted(self) -> str:
        """What ``n`` is the number of.

        >>> Score(0.5, "nats", 10, "test").counted, Score(0.5, "nats", 10, "runs").counted
        ('test examples', 'runs')
        """
        if self.split in ("runs", "states"):
            return self.split
        return "samples" if self.split == "none" else f"{self.split} examples"

    @property
    def interval(self) -> tuple[float, float] | None:
        """Of an accuracy, what ``wilson`` says of it; None of other scores.

        A mean over seeds varies less over the examples than one of them: it is then a little wide.

        >>> low, high = Score(1.0, "accuracy", 30, "test", stderr=0.0).interval
        >>> f"{low:.3f} {high:.3f}"
        '0.886 1.000'
        """
        of_examples = self.unit.split(",")[0] == ACCURACY
        return wilson(self.value, self.n) if of_examples else None

    def to_json(self) -> dict[str, Any]:
        content = dataclasses.asdict(dataclasses.replace(self, values=None, matrix=None))
        # Of few scores: left out of the rest.
        own = {"bins": None, "predictor": None, "common_stderr": None, "notes": ()}
        absent = {name for name, default in own.items() if content[name] == default}
        return {k: v for k, v in content.items() if k not in {"values", "matrix"} | absent}


def mark(score: Score, name: str) -> str:
    """=, ≥, ≤, ≈ or ``file``; a lower bound in nats bounds bits from above.

    >>> mark(Score(1.2, "bits", 9, "test", kind="lower bound"), "bits_per_dim")
    '≤'
    """
    if score.kind is None:
        return ""
    sign = SIGNS[score.kind]
    return {"≥": "≤", "≤": "≥"}.get(sign, sign) if name.endswith("bits_per_dim") else sign


@dataclass(frozen=True)
class Difference:
    """Of two scores: its value, its standard error, and by how many pairs of examples.

    Args:
        value: the first less the second.
        stderr: over examples and seeds together; None where it is not known.
        pairs: examples on which both were measured; None where the errors were taken as those of
            different examples.
    """

    value: float
    stderr: float | None
    pairs: int | None = None


def difference(first: Score, second: Score) -> Difference:
    """What one score exceeds the other by, example by example where both have their values.

    Of the same examples, what makes some harder for every model cancels:
    Var(ā − b̄) = Var(a − b) / n. Models are trained apart, so that the errors over seeds add up.

    >>> import torch
    >>> easy_and_hard = torch.tensor([-10.0, -90.0])
    >>> better = mean_score(easy_and_hard + 1, "nats", "test")
    >>> difference(better, mean_score(easy_and_hard, "nats", "test"))
    Difference(value=1.0, stderr=0.0, pairs=2)
    """
    value, pairs = first.value - second.value, None
    if _same_rows(first, second):
        assert first.values is not None and second.values is not None
        apart = mean_score(first.values - second.values, first.unit, first.split)
        over_examples, pairs = _together(apart.stderr, _of_all(first, second)), apart.n
    elif first.error is None or second.error is None:
        return Difference(value, None)
    else:
        over_examples = _together(first.stderr, second.stderr)
    over_seeds = _together(first.seed_stderr, second.seed_stderr)
    return Difference(value, _together(over_examples, over_seeds), pairs)


def _of_all(first: Score, second: Score) -> float | None:
    """What errs alike in all examples, of two models."""
    return _together(first.common_stderr, second.common_stderr)


def _same_rows(first: Score, second: Score) -> bool:
    a, b = first.values, second.values
    same = (first.split, first.unit) == (second.split, second.unit)
    return same and a is not None and b is not None and len(a) == len(b) > 1


def _together(first: float | None, second: float | None) -> float | None:
    """The standard error of a sum of independent errors, of those that are known."""
    known = [error for error in (first, second) if error is not None]
    return math.hypot(*known) if known else None


Scores = dict[str, Score]


class ScoreTable(Displayed, Scores):
    """Scores by name, as ``evaluate`` gives them.

    >>> ScoreTable(elbo=Score(-90.0, "nats", n=10, split="test")).to_frame().loc["elbo", "value"]
    np.float64(-90.0)
    """

    def to_frame(self) -> pd.DataFrame:
        """A DataFrame with a row for each score; it asks for pandas."""
        import pandas as pd

        rows = {name: score.to_json() for name, score in self.items()}
        return pd.DataFrame.from_dict(rows, orient="index")


def groups_in_order(models: Iterable[Collection[str]]) -> list[str]:
    """The groups of scores in the order of their columns.

    Likelihoods come first. Where some model has scores of samples and no likelihood, samples come
    next: they stand in its place.

    Args:
        models: the names of the scores of each.

    >>> groups_in_order([["log_likelihood", "frechet_distance"]])[:2]
    ['Density', 'Latents']
    >>> groups_in_order([["frechet_distance", "reconstruction_mse"]])[:2]
    ['Density', 'Samples']
    """
    groups = list(dict.fromkeys(known.group for known in SCORES.values()))
    for names in models:
        found = {measure(name).group for name in names}
        if "Samples" in found and "Density" not in found:
            rest = [group for group in groups if group not in ("Density", "Samples")]
            return ["Density", "Samples", *rest]
    return groups


def finite(scores: Mapping[str, Score]) -> Scores:
    """The scores; ValueError, with its name, for one that is NaN or infinite.

    >>> finite({"elbo": Score(float("nan"), "nats", n=10, split="test")})
    Traceback (most recent call last):
    ValueError: elbo: is nan on 10 test examples; the model has diverged, train it with a smaller lr
    """
    for name, score in scores.items():
        if not math.isfinite(score.value):
            why = "the model has diverged, train it with a smaller lr"
            if score.value == -math.inf:
                why += ", or an entry that never varied in its training data does so here"
            raise ValueError(f"{name}: is {score.value} on {score.n} {score.counted}; {why}")
    return dict(scores)


def mean_score(values: Tensor, unit: str, split: str, **protocol: Any) -> Score:
    """The mean over examples (B,), in float64, with its standard error.

    >>> import torch
    >>> score = mean_score(torch.tensor([1.0, 3.0]), "nats", "test")
    >>> score.value, score.stderr, score.n
    (2.0, 1.0, 2)
    """
    values = values.cpu().double()
    n = len(values)
    stderr = (values.std() / math.sqrt(n)).item() if n > 1 else None
    return Score(values.mean().item(), unit, n, split, stderr, values=values, **protocol)


def wilson(share: float, n: int) -> tuple[float, float]:
    """The 95 % score interval of a proportion of n examples, which never leaves [0, 1].

    Where all of n are right, the standard error is 0 and says nothing; this interval does.

    Reference: Wilson 1927, "Probable inference, the law of succession, and statistical inference".

    >>> [round(end, 3) for end in wilson(0.5, 10)]
    [0.237, 0.763]
    """
    z = Z95 / math.sqrt(n)
    middle, half = share + z * z / 2, z * math.sqrt(share * (1 - share) + z * z / 4)
    low, high = ((middle + way * half) / (1 + z * z) for way in (-1, 1))
    return max(low, 0.0), min(high, 1.0)


def share_score(right: Tensor, split: str) -> Score:
    """The accuracy, the share of true entries (B,), with the standard error of a proportion.

    >>> import torch
    >>> share_score(torch.tensor([True, False]), "test").stderr
    0.3535533905932738
    """
    values, n = right.cpu().double(), len(right)
    share = values.mean().item()
    stderr = math.sqrt(share * (1 - share) / n)
    return Score(share, ACCURACY, n, split, stderr, values=values)


def ratio_score(above: Tensor, below: Tensor, unit: str, split: str, **protocol: Any) -> Score:
    """R = mean(above) / mean(below) over examples (B,), with its linearized standard error.

    Var R ≈ Var(above − R below) / (n mean(below)²), the delta method; the value of an example is
    R + (above − R below) / mean(below), the mean of which is R.

    >>> import torch
    >>> ratio_score(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 6.0]), "of x", "test").stderr
    0.0
    """
    above, below = above.cpu().double(), below.cpu().double()
    ratio = above.mean() / below.mean()
    influence = ratio + (above - ratio * below) / below.mean()
    return dataclasses.replace(mean_score(influence, unit, split, **protocol), value=ratio.item())
