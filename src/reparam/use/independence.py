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
SINGULAR = 1e-10  # of the largest eigenvalue, below which one is rounding
EXPLAINED = 1e-8  # share of an attribute's variance that others leave, below which it is theirs


def editable(found: Attributes, first: Sequence[str] = ()) -> tuple[list[str], tuple[str, ...]]:
    """The names of attributes that can change while the others of them stay, and notes on the rest.

    Left out are those that are unknown of most examples, those with too few examples, those that
    never vary, and of attributes that vary together the later ones: such that the variance of each,
    by the others, is inflated at most fivefold, 1/(1 − R²) ≤ 5, as it is where these explain four
    fifths of it; of groups of classes, those that depend on classes of others.

    Args:
        found: of the training examples.
        first: names that come before all others, and are among them whatever they are.

    >>> values = torch.tensor([[0.0, 0, 5], [1, 2, 5], [2, 4.1, 5], [0, 0.1, 5]]).double()
    >>> each = tuple(Attribute(n, "number", "factors", i) for i, n in enumerate("abc"))
    >>> editable(Attributes(each, values))[0], editable(Attributes(each, values), ["b"])[0]
    (['a'], ['b'])
    """
    known = found.values.isfinite()
    unknown = (len(known) - known.sum(0)).tolist()
    mostly = [2 * n <= len(known) for n in unknown]
    of_rows = [m or n in first for m, n in zip(mostly, found.names, strict=True)]
    values = found.values[known[:, torch.tensor(of_rows, dtype=torch.bool)].all(1)]
    notes, fit = [], []
    for i, one in enumerate(found.each):
        why = problem(one, values[:, i])
        if not mostly[i]:
            why = f"{one.name!r} is unknown of {unknown[i]} of {len(known)} training examples"
        if one.name in first or not why:
            fit.append(i)
        else:
            notes.append(f"Left out: {why}.")
    if not fit:
        return [], tuple(notes)
    gram, kept = _correlations(values), list[int]()
    groups = _groups(found.each)
    for group in sorted(groups, key=lambda g: all(found.names[i] not in first for i in groups[g])):
        if _depends(gram, kept, groups[group]):
            why = "depend on other classes in the training examples"
            notes.append(f"Left out: the classes of {group!r} {why}; name one to edit it.")
        else:
            kept += groups[group]
    for i in sorted(fit, key=lambda i: found.names[i] not in first):
        if found.each[i].group:
            continue
        if found.names[i] in first or _stand_beside(gram, found.each, kept, i):
            kept.append(i)
        else:
            why = "hardly varies in the training examples while the others stay"
            notes.append(f"Left out: {found.names[i]!r} {why}; name it to edit it.")
    return [found.names[i] for i in fit if i in kept], tuple(notes)


def _groups(each: Sequence[Attribute]) -> dict[str, list[int]]:
    """The places of the classes of each group."""
    groups = dict.fromkeys(one.group for one in each if one.group)
    return {group: [i for i, one in enumerate(each) if one.group == group] for group in groups}


def _depends(gram: Tensor, others: list[int], group: list[int]) -> bool:
    """Whether a mixture of classes of a group is one of others: then ranks do not add up."""
    apart, together = (_rank(gram, others) + _rank(gram, group)), _rank(gram, [*others, *group])
    return together < apart


def _rank(gram: Tensor, at: list[int]) -> int:
    part = gram[at][:, at]
    return int(torch.linalg.matrix_rank(part, rtol=SINGULAR, hermitian=True)) if at else 0


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

    Of a group whose classes depend on those of others it is the first.

    Args:
        fitted: which, those of groups first.
        values: (N, A), finite.
    """
    gram, found, before = _correlations(values), dict[str, list[str]](), list[int]()
    for group in _groups(fitted.each).values():
        if _depends(gram, before, group):
            found[fitted.names[group[0]]] = [fitted.names[i] for i in before]
        before += group
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
    return torch.linalg.pinv(gram, rtol=SINGULAR, hermitian=True)


def _left(gram: Tensor, others: list[int], i: int) -> float:
    """The share of an attribute's variance that is left while others stay."""
    explained = gram[i, others] @ inverse(gram[others][:, others]) @ gram[others, i]
    return (gram[i, i] - explained).item()


def _correlations(values: Tensor) -> Tensor:
    """(P, P); 0 of what is constant, as if it were not there."""
    mean = values.mean(0)
    deviation = (values - mean).square().mean(0).sqrt()
    centered = (values - mean) / torch.where(deviation > 0, deviation, 1.0)
    centered = torch.where(deviation > 0, centered, 0.0)
    return centered.T @ centered / max(1, len(values))
