"""Errors of invertible models: how far from x it is to noise and back, member by member."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from reparam.data import Split, condition
from reparam.evaluation.modes import evaluating
from reparam.evaluation.rows import subset
from reparam.models.invertible import Invertible, Members

ROWS, ENTRIES, LEAST = 64, 2**15, 8  # examples, and of large ones so many, but not fewer
DEPTHS = 6  # numbers of members after which they turn back, at most
TYPICAL = 0.99  # of the entries err by no more than ``typical``
Precision = Literal["float32", "float64"]


@dataclass(frozen=True)
class RoundTrip:
    """|x − x'| of all entries, x' being x after some members and back through them.

    Args:
        members: k, how many.
        largest: error, infinite where an entry is not finite.
        typical: the 99th percentile, of which entries that are not finite are a part, too.
        not_finite: entries of x' that are NaN or infinite.
        entries: how many there are, of all examples.
    """

    members: int
    largest: float
    typical: float
    not_finite: int
    entries: int


def round_trips(
    model: Invertible, split: Split, precision: Precision, seed: int = 0
) -> list[RoundTrip]:
    """Errors of x → z → x after one member, some or all, of a few examples.

    They are in training deviations where x is real and in levels elsewhere. The rounding to levels
    that decoding ends with, behind which they could not be seen, is left out, and so is the
    standardization of real x.

    Args:
        model: any invertible model.
        split: of its data; at most 64 of its rows are taken, of large images
            fewer.
        precision: of numbers; where the model has another one, that of a copy.
        seed: of the choice of rows.

    Returns:
        At most six, the last of them of all members.

    >>> import reparam as rp
    >>> x = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    >>> flow = rp.build("nice", rp.Space((2,), "real"), layers=1, hidden=(4,))
    >>> [trip.largest for trip in round_trips(flow, rp.Split(x), "float64")]
    [0.0, 0.0]
    """
    dtype = getattr(torch, precision)
    if model.anchor.dtype != dtype:
        model = copy.deepcopy(model).to("cpu", dtype)  # not every device has float64
    count = min(ROWS, max(LEAST, ENTRIES // model.space.dimension))
    rows = subset(split, count, seed)
    with evaluating([model]):
        x, members = model.passage(rows.x, condition(model, rows))
        depths = _spread(len(members))
        back = _there_and_back(x, members, depths)
    return [_errors(depth, x, one) for depth, one in zip(depths, back, strict=True)]


def _there_and_back(x: Tensor, members: Members, depths: list[int]) -> list[Tensor]:
    """x after so many members and back, for each of the depths, all ways back made at once."""
    after, z = {}, x
    for depth, (member, context) in enumerate(members, 1):
        z = member(z, context)[0]
        if depth in depths:
            after[depth] = z
    back: Tensor | None = None
    for depth in range(len(members), 0, -1):
        member, context = members[depth - 1]
        if depth in after:
            back = after[depth] if back is None else torch.cat([after[depth], back])
        assert back is not None  # the last depth is that of all members
        if context is not None and len(context) == len(x):
            context = context.repeat(len(back) // len(x), 1)
        back = member.inverse(back, context)[0]
    return [] if back is None else list(back.split(len(x)))


def _errors(depth: int, x: Tensor, back: Tensor) -> RoundTrip:
    error = (x.cpu().double() - back.cpu().double()).abs().flatten()
    bad = ~error.isfinite()
    error = torch.where(bad, torch.inf, error).sort().values
    rank = min(int(TYPICAL * len(error)), len(error) - 1)
    return RoundTrip(depth, float(error[-1]), float(error[rank]), int(bad.sum()), len(error))


def _spread(count: int) -> list[int]:
    """Numbers from 1 to ``count``, evenly spread, and not too many.

    >>> _spread(3), _spread(29)
    ([1, 2, 3], [1, 7, 12, 18, 23, 29])
    """
    return sorted({int(k) for k in torch.linspace(1, count, min(count, DEPTHS)).round()})
