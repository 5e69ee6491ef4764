"""Levels of which sums of groups are given: drawn exactly, by tables of what sums there are."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from reparam import numerics
from reparam.degradation import Degradation
from reparam.distributions.conditioned import Conditioned, Groups
from reparam.model import Distribution

DEEP = 600.0  # nats below the most probable, above which no product of float64 has underflowed
NUMBERS_AT_ONCE = 2**23  # of tables
ROUNDINGS = 16  # of floats, in the last digit of y: a sum of so few terms has fewer


class _Window(NamedTuple):
    """The whole sums that y may stand for, first and last, (R, M)."""

    first: Tensor
    last: Tensor


class LevelSums(Conditioned):
    """Levels 0 … K−1, the sum of each group given, by sums of ever larger parts of the group.

    The law of the sum of two parts is the convolution of their laws. From the whole group, whose
    sum is given, to its entries the sum of each part is drawn given that of the two together.
    Where y was rounded, each sum that it may stand for is as likely as another before x is known.

    Args:
        given: a degradation whose y are sums of disjoint groups, with one weight for each group.
        y: (R, *given.given).
        groups: of the degradation.
        levels: K.
        within: how far y may be from A x, in its units.

    Cost: about n² K² operations for a group of n entries, where K is large.

    Raises:
        ValueError: a y that is no mean of levels.

    >>> from reparam.degradation import degradation
    >>> from reparam.distributions.conditioned import groups_of
    >>> from reparam.distributions.masses import BernoulliMass
    >>> half = degradation("downscale:2", (2,))
    >>> found = LevelSums(half, torch.tensor([[0.5]]), groups_of(half), 2)
    >>> law = BernoulliMass(torch.zeros(1, 2).double())
    >>> found.log_prob(law).exp().item(), found.draw(law)[0].sum().item()
    (0.5, 1.0)
    """

    def __init__(
        self, given: Degradation, y: Tensor, groups: Groups, levels: int, within: float = 0.0
    ) -> None:
        super().__init__(given, y)
        self.groups, self.levels = groups, levels
        there = groups.members >= 0
        weight = groups.weights.amax(1)
        self.scale = torch.where(weight > 0, 1 / torch.where(weight > 0, weight, 1), 0)
        counts = there.sum(1)
        flat = y.flatten(1).double()
        exact = ROUNDINGS * torch.finfo(y.dtype).eps * max(1, levels - 1)
        reach = (max(within, exact) * self.scale).clamp(max=levels * int(counts.max()))
        most = counts * (levels - 1)
        first = (flat * self.scale - reach).ceil().clamp(min=0).long()
        last = torch.minimum((flat * self.scale + reach).floor().long(), most)
        refuse_impossible(first > last, flat, given, within)
        self.window = _Window(first, last)

    def log_prob(self, law: Distribution) -> Tensor:
        return self._walk(law)[1]

    def _draw(self, law: Distribution, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        parts = self.groups.members.shape[1]
        like = self.y.new_empty(len(self.y), len(self.scale), 2 * parts, dtype=torch.float64)
        x, evidence = self._walk(law, numerics.noise(like, "uniform", generator))
        free = torch.ones(x.shape[1], dtype=torch.bool, device=x.device)
        free[self.groups.members[self.groups.members >= 0]] = False
        if free.any():  # of which y says nothing
            x = torch.where(free, law.sample(generator).flatten(1).to(x), x)
        return x, evidence

    def _walk(self, law: Distribution, uniform: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Draws by the noise (R, M, 2 n), if there is some, and log p(y)."""
        table = law.log_table()
        assert table is not None
        table = table.to(torch.float64)
        members, rows = self.groups.members, len(table)
        most = max(1, NUMBERS_AT_ONCE // (members.numel() * self.levels))
        drawn, found = [], []
        for start in range(0, rows, most):
            part = slice(start, start + most)
            window = _Window(self.window.first[part], self.window.last[part])
            noise = None if uniform is None else uniform[part]
            values, evidence = self._walk_some(table[part], window, noise)
            drawn.append(values)
            found.append(evidence)
        evidence = torch.cat(found)
        if uniform is None:
            return table, evidence
        x = table.new_zeros(rows, table.shape[1])
        return self.groups.back(torch.cat(drawn), x), evidence

    def _walk_some(
        self, table: Tensor, window: _Window, uniform: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        members = self.groups.members
        leaves = table[:, members.clamp(min=0)]  # (R, M, n, K)
        none = torch.full((self.levels,), -torch.inf).to(table)
        none[0] = 0.0
        leaves = torch.where((members >= 0).unsqueeze(2), leaves, none)
        tree = _tree(leaves, deep=False)
        sums, evidence = _at_the_top(tree[-1], window, None if uniform is None else uniform[..., 0])
        highest = leaves.amax(3).sum(2)
        if bool((evidence < highest - DEEP).any()):
            tree = _tree(leaves, deep=True)
            top = None if uniform is None else uniform[..., 0]
            sums, evidence = _at_the_top(tree[-1], window, top)
        if uniform is None:
            return sums, evidence.sum(1)
        used, sums = 1, sums.unsqueeze(2)
        for below in reversed(tree):
            if below.shape[2] == 1:
                break
            left, right = below[:, :, 0::2], below[:, :, 1::2]
            sums = sums[:, :, : left.shape[2]]  # without what is always 0
            noise = uniform[..., used : used + left.shape[2]]
            sums, used = _halved(left, right, sums, noise), used + left.shape[2]
        return sums[..., : members.shape[1]], evidence.sum(1)


def refuse_impossible(none: Tensor, y: Tensor, given: Degradation, within: float) -> None:
    """ValueError where there is an entry of y that is left of no levels.

    Args:
        none: (R, M), where there is none.
        y: (R, M).
        given: of which y would be.
        within: how far it may be.
    """
    if not none.any():
        return
    row, entry = (int(place) for place in none.nonzero()[0])
    place = [entry]
    for side in reversed(given.given[1:]):
        place[:1] = [place[0] // side, place[0] % side]
    raise ValueError(
        f"y: row {row} has {float(y[row, entry]):.6g} at ({', '.join(map(str, place))}), which "
        f"{given.name} leaves of no whole numbers; give y as it was left, or say with within=0.5 "
        f"(--rounded) that it was rounded (now {within:g})"
    )


def _tree(leaves: Tensor, deep: bool) -> list[Tensor]:
    """Laws of sums of one part, of two, of four, … down to two: (R, M, parts, sums), in logs.

    An odd part is left with one that is always 0.
    """
    found = [leaves]
    while found[-1].shape[2] > 2:
        last = found[-1] = _even(found[-1])
        found.append(_convolved(last[:, :, 0::2], last[:, :, 1::2], deep))
    return found


def _even(parts: Tensor) -> Tensor:
    if parts.shape[2] % 2 == 0:
        return parts
    none = torch.full_like(parts[:, :, :1], -torch.inf)
    none[..., 0] = 0.0
    return torch.cat([parts, none], 2)


def _convolved(left: Tensor, right: Tensor, deep: bool) -> Tensor:
    """The log of the convolution of two laws along the last dimension, given by their logs.

    Products of probabilities are taken, each scaled by its largest, or, where they may underflow,
    sums of logs.
    """
    size = left.shape[-1]
    found = left.new_full((*left.shape[:-1], 2 * size - 1), -torch.inf if deep else 0.0)
    if deep:
        for k in range(size):
            part = found[..., k : k + size]
            found[..., k : k + size] = torch.logaddexp(part, left[..., k : k + 1] + right)
        return found
    tops = left.amax(-1, keepdim=True), right.amax(-1, keepdim=True)
    left, right = (left - tops[0]).exp(), (right - tops[1]).exp()
    for k in range(size):
        found[..., k : k + size].addcmul_(left[..., k : k + 1], right)
    return found.log() + tops[0] + tops[1]


def _at_the_top(parts: Tensor, window: _Window, uniform: Tensor | None) -> tuple[Tensor, Tensor]:
    """The sum of each group, (R, M), drawn among those in its window, and the log of all of these.

    Args:
        parts: laws of the one or two parts of each group, (R, M, 1 or 2, sums).
        window: the sums that it may have.
        uniform: (R, M).
    """
    width = int((window.last - window.first).max()) + 1
    values = []
    for step in range(width):
        sums = (window.first + step).unsqueeze(2)
        if parts.shape[2] == 1:
            value = _picked(parts[:, :, 0], sums).squeeze(2)
        else:
            value = _pairs(parts[:, :, 0], parts[:, :, 1], sums.squeeze(2)).logsumexp(2)
        values.append(torch.where(sums.squeeze(2) <= window.last, value, -torch.inf))
    by_sum = torch.stack(values, 2)
    chosen = window.first
    if uniform is not None and width > 1:
        chosen = chosen + draw_index(by_sum, uniform)
    return chosen, by_sum.logsumexp(2)


def _picked(law: Tensor, sums: Tensor) -> Tensor:
    """The logs of sums, −∞ of those that there are not."""
    inside = (sums >= 0) & (sums < law.shape[-1])
    return torch.where(inside, law.gather(-1, sums.clamp(0, law.shape[-1] - 1)), -torch.inf)


def _pairs(left: Tensor, right: Tensor, sums: Tensor) -> Tensor:
    """The log of p(left = k) p(right = sum − k), (…, sums of one part)."""
    k = torch.arange(left.shape[-1], device=left.device)
    return left + _picked(right, sums.unsqueeze(-1) - k)


def _halved(left: Tensor, right: Tensor, sums: Tensor, uniform: Tensor) -> Tensor:
    """Sums of the two parts of each, side by side: (R, M, P) become (R, M, 2 P)."""
    of_left = draw_index(_pairs(left, right, sums), uniform)
    return torch.stack([of_left, sums - of_left], 3).flatten(2)


def draw_index(logits: Tensor, uniform: Tensor) -> Tensor:
    """Indices drawn with probabilities softmax(logits) in the last dimension."""
    shares = logits.softmax(-1).cumsum(-1)
    # Of the last digit of the noise nothing is left that could reach beyond what is possible.
    reached = uniform.unsqueeze(-1) * (1 - 1e-12) * shares[..., -1:]
    return (shares <= reached).sum(-1)
