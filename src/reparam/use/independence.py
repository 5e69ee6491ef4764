"""Which attributes can change while others stay, by how they vary in the training examples."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from reparam.use.attributes import Attribute, Attributes
from reparam.wording import counted

LEAST = 2  # examples with a class or flag, and without
MOST_INFLATED = 5  # times the variance of a slope, by correlations with the others
NONE = 1e-6  # weights that are rounding
EXPLAINED = 1e-8  # share of an attribute's variance that others leave, below which it is theirs


def editable(found: Attributes, first: Sequence[str] = ()) -> tuple[list[str], tuple[str, ...]]:
    """The names of attributes that can change while the others of them stay, and notes on the rest.

    Left out are those with too few examples, those that never vary, and of attributes that vary
    together the later ones: such that the variance of each, by the others, is inflated at most
    fivefold, 1/(1 − R²) ≤ 5, as it is where these explain four fifths of it.

    Args:
        found: of the training examples.
        first: names that come before all others, and are among them whatever they are.

    >>> values = torch.tensor([[0.0, 0, 5], [1, 2, 5], [2, 4.1, 5], [0, 0.1, 5]]).double()
    >>> each = tuple(Attribute(n, "number", "factors", i) for i, n in enumerate("abc"))
    >>> editable(Attributes(each, values))[0], editable(Attributes(each, values), ["b"])[0]
    (['a'], ['b'])
    """
    there = found.values.isfinite().all(1)
    values, notes, fit = found.values[there], [], []
    for i, one in enumerate(found.each):
        why = problem(one, values[:, i])
        if one.name in first or not why:
            fit.append(i)
        else:
            notes.append(f"Left out: {why}.")
    gram = _correlations(values)
    kept = [i for i, one in enumerate(found.each) if one.group]
    for i in sorted(fit, key=lambda i: found.names[i] not in first):
        if i in kept:
            continue
        if found.names[i] in first or _stand_beside(gram, found.each, kept, i):
            kept.append(i)
        else:
            why = "hardly varies in the training examples while the others stay"
            notes.append(f"Left out: {found.names[i]!r} {why}; name it to edit it.")
    return [found.names[i] for i in fit if i in kept], tuple(notes)


def _stand_beside(gram: Tensor, each: Sequence[Attribute], kept: list[int], i: int) -> bool:
    """Whether an attribute varies while those kept stay, and each of these while it does."""
    if _left(gram, kept, i) < 1 / MOST_INFLATED:
        return False
    together = [*kept, i]
    alone = [not each[k].group and bool(gram[k, k] > 0) for k in together]
    return not bool((inverse(gram[together][:, together]).diagonal()[alone] > MOST_INFLATED).any())


def problem(one: Attribute, column: Tensor) -> str:
    """Why an attribute cannot be edited by these examples (N,); "" where it can."""
    if one.kind != "class" and (not len(column) or bool((column == column[0]).all())):
        return f"{one.name!r} is the same in all {counted(len(column), 'training example')}"
    if one.whole_way:
        has = int(column.sum())
        if min(has, len(column) - has) < LEAST:
            return (
                f"expected at least {LEAST} training examples with {one.name!r} and {LEAST} "
                f"without, got {has} and {len(column) - has}"
            )
    return ""


def combinations(fitted: Attributes, values: Tensor) -> dict[str, list[str]]:
    """Attributes that are linear combinations of those before them, and of which.

    Args:
        fitted: which, those of groups first.
        values: (N, A), finite.
    """
    gram, found = _correlations(values), dict[str, list[str]]()
    before = [i for i, one in enumerate(fitted.each) if one.group]
    for i, one in enumerate(fitted.each):
        if one.group or gram[i, i] == 0:
            continue
        if _left(gram, before, i) < EXPLAINED:
            weights = inverse(gram[before][:, before]) @ gram[before, i]
            pairs = zip(before, weights.tolist(), strict=True)
            found[one.name] = [fitted.names[k] for k, w in pairs if abs(w) > NONE]
        else:
            before.append(i)
    return found


def with_groups(found: Attributes, names: Sequence[str]) -> Attributes:
    """Those of these names, and with a class all others of its group; classes first."""
    groups = {one.group for one in found.each if one.name in names and one.group}
    at = [i for i, one in enumerate(found.each) if one.group in groups or one.name in names]
    return found.take(sorted(at, key=lambda i: not found.each[i].group))


def inverse(gram: Tensor) -> Tensor:
    """Of a matrix that is singular where classes sum to 1, or where one is constant."""
    return torch.linalg.pinv(gram, rtol=1e-10, hermitian=True)


def _left(gram: Tensor, others: list[int], i: int) -> float:
    """The share of an attribute's variance that is left while others stay."""
    explained = gram[i, others] @ inverse(gram[others][:, others]) @ gram[others, i]
    return (gram[i, i] - explained).item()


def _correlations(values: Tensor) -> Tensor:
    """(P, P); 0 of what is constant, as if it were not there."""
    deviation = values.std(0, correction=0)
    centered = (values - values.mean(0)) / torch.where(deviation > 0, deviation, 1.0)
    centered = torch.where(deviation > 0, centered, 0.0)
    return centered.T @ centered / max(1, len(values))
