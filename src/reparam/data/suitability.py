"""What models cannot take of data: no condition, impossible rows, columns without a density."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from reparam import numerics
from reparam.conditions import check_labels
from reparam.data.splits import ROWS, Data, Split
from reparam.inspection import LearnsClasses
from reparam.model import Density, Model
from reparam.space import check_columns
from reparam.supervised import Supervised
from reparam.wording import listed, name_of

LOOKED_AT, MOST_ROWS = 2_000_000, 10_000  # values and rows whose repetitions are counted
REPEATED = 0.1  # of the rows with one value: a continuous quantity hardly ever repeats one
GRAY_LEVELS = 256  # different values of images up to which these are taken for levels


def column_notes(data: Data) -> list[str]:
    """What there is to say about the entries of real data, one sentence each.

    >>> import torch
    >>> from reparam.data.splits import Split
    >>> from reparam.model import Space
    >>> split = Split(torch.tensor([[7.0, 0.5], [7.0, 0.1], [7.0, 0.3]]))
    >>> column_notes(Data(split, split, split, Space((2,), "real"), "a", columns=("x", "y")))[0]
    "Constant in training: 'x' (7). It is no part of densities and comes back as it is."
    """
    if data.constants is None:
        return []
    row, same = data.constants
    if same.all():
        return ["All training rows are the same: nothing can be learned from them."]
    return [*_of_constants(data, row, same), *_of_few_values(data, same)]


def condition(model: Model, split: Split, name: str = "data") -> Tensor | None:
    """What the model takes as c of these examples; None if it takes none.

    That is their labels or attributes, or what is left of x.

    Args:
        model: perhaps conditional; on attributes, where its space has them.
        split: the examples.
        name: of the split, for the message.

    Raises:
        ValueError: a conditional model, and examples without its condition.
    """
    if not model.conditional:
        return None
    if model.space.given is not None:
        return torch.cat([_left(model, x) for x in split.x.split(ROWS)])
    by_attributes = model.space.attributes is not None
    c = split.attributes if by_attributes else split.labels
    if c is None:
        what = "attributes" if by_attributes else "labels"
        remedy = "name " + (
            "their columns" if by_attributes else "their column, or use class folders"
        )
        raise ValueError(f"{name}: expected {what} for a conditional model, got none; {remedy}")
    return c


def _left(model: Model, x: Tensor) -> Tensor:
    """What is left of x, where x is."""
    y = model.told(x, None)
    assert y is not None
    return y.to(x.device)


def taught(model: Model, split: Split, name: str = "data") -> Tensor | None:
    """What is said to the model's ``loss`` as c: its condition, or the labels it learns from.

    None where it takes none, or makes it of x.

    Args:
        model: perhaps conditional, or one that ``LearnsClasses``.
        split: the examples.
        name: of the split, for the message.

    Raises:
        ValueError: the model needs conditions or labels that the examples do not have.
    """
    if not isinstance(model, LearnsClasses):
        return None if model.space.given else condition(model, split, name)
    if split.labels is None:
        raise ValueError(
            f"{name}: expected labels for a model of each class, got none; name their column, or "
            "use class folders"
        )
    return check_labels(split.labels, len(split), model.space.classes, f"{name}: labels")


def targets_of(model: Model, split: Split, name: str = "data") -> Tensor | None:
    """The labels that a model learns to tell, (N,) int64; None for one that learns none.

    Raises:
        ValueError: a ``Supervised`` model, and examples without labels or with other ones.
    """
    if not isinstance(model, Supervised):
        return None
    if split.labels is None:
        what = name_of(model)
        raise ValueError(
            f"{name}: expected labels, which {what} learns to tell, got none; name their column, "
            "or use class folders"
        )
    return check_labels(split.labels, len(split), model.space.classes, f"{name}: labels")


def refuse_few(model: Model, data: Data) -> None:
    """ValueError where the training rows, all of them or those of a class, determine no model.

    A class may have none: it is then never drawn. What is the same in all rows of one class and
    varies in others has no density among them, which the class as a whole would need.
    """
    if not isinstance(model, LearnsClasses):
        model.refuse_rows(len(data.train))
        return
    labels, valid = (
        taught(model, data.splits[name], f"{data.name}: {name}") for name in ("train", "valid")
    )
    assert labels is not None and valid is not None and model.space.classes is not None
    names = data.class_names or tuple(map(str, range(model.space.classes)))
    counts = torch.bincount(labels.cpu(), minlength=len(names)).tolist()
    for label in valid.unique().tolist():
        if not counts[label]:
            raise ValueError(
                f"{data.name}: valid: class {names[label]!r} has no training rows; leave it out or "
                "split anew"
            )
    for label, count in enumerate(counts):
        if not count:
            continue
        try:
            model.refuse_class(count)
        except ValueError as refusal:
            raise ValueError(
                f"class {names[label]!r}: has too few training rows for a model of its own, "
                f"{count}: {refusal}"
            ) from None
        _refuse_constants(data, labels.cpu() == label, names[label])


def _refuse_constants(data: Data, chosen: Tensor, name: str) -> None:
    """Of the rows of a class: what varies in others has a density in none of its own."""
    if data.constants is None:
        return
    parts = zip(data.train.x.split(ROWS), chosen.split(ROWS), strict=True)
    _, same = numerics.constant_entries(
        part[rows.to(part.device)] for part, rows in parts if rows.any()
    )
    only = same.cpu() & ~data.constants[1].cpu()
    if only.any():
        entry = only.nonzero()[0].tolist()
        what = _name(data, entry)
        raise ValueError(
            f"{what} varies, but not within class {name!r}, which has no density of it then; "
            f"{_remedy(data)}, or train a conditional model, as cvae"
        )


def refuse_other_classes(model: Model, data: Data) -> None:
    """ValueError where a model of classes was trained on other ones, or in another order.

    Labels are numbers of names, so that they would mean other classes.
    """
    known, names = model.class_names, data.class_names
    asks = model.conditional or isinstance(model, Supervised)
    if asks and known and names and known != names:
        raise ValueError(
            f"{data.name}: expected the classes {listed(known)}, as in training, "
            f"got {listed(names)}"
        )


def refuse_unfit(model: Model, data: Data, *splits: str) -> None:
    """ValueError where the model cannot read or score these splits.

    They are of another space, or have no conditions, or missing cells that it does not take, or a
    density that is learned from the training rows gives some of theirs probability 0.
    """
    model.refuse_other(data.space)
    for name in splits:
        if model.space.given is None:
            condition(model, data.splits[name], f"{data.name}: {name}")
        if data.space.columns and not model.takes_missing:
            check_columns(data.splits[name].x, data.space.columns, name=f"{data.name}: {name}")
        targets_of(model, data.splits[name], f"{data.name}: {name}")
    if data.constants is None or not isinstance(model, Density):
        return
    for name in splits:
        found = _exception(data, name)
        if found is not None:
            raise ValueError(f"{data.name}: {found}")


def _exception(data: Data, split: str) -> str | None:
    """What is impossible in a split, in words: a value where all training rows have another."""
    assert data.constants is not None
    first, same = data.constants
    if split == "train" or not same.any():
        return None
    x, start = data.splits[split].x, 0
    for part in x.split(ROWS):
        differs = (part != first.to(part)) & same & ~part.isnan()
        if differs.any() and same.all():
            only = " (there is only 1)" if len(data.train) == 1 else ""
            return (
                f"every training row is the same{only}, so that nothing can be learned; give rows "
                "that differ"
            )
        if differs.any():
            row, *entry = differs.nonzero()[0].tolist()
            name, value = _name(data, entry), part[row, *entry].item()
            return (
                f"{name} is {_number(first[*entry])} in every training row, but {value:g} in row "
                f"{start + row} of {split}, which has probability 0 for a density; {_remedy(data)}"
            )
        start += len(part)
    return None


def _remedy(data: Data) -> str:
    if data.space.is_image:
        return "leave out such images, or load whole numbers 0 … K−1 with levels=K"
    if data.columns is None:
        return "leave that column out of the array, or such rows"
    return "leave the column out (drop), or such rows"


def _of_constants(data: Data, row: Tensor, same: Tensor) -> list[str]:
    if not same.any():
        return []
    found = same.nonzero().tolist()
    if data.space.is_image:
        what, one = f"{len(found)} of {same.numel()} entries", len(found) == 1
    else:
        known = [f"{_name(data, entry)} ({_number(row[*entry])})" for entry in found]
        what, one = listed(known), len(found) == 1
    kept = "It is no part of densities and comes back as it is."
    several = "They are no part of densities and come back as they are."
    notes = [f"Constant in training: {what}. {kept if one else several}"]
    exceptions = (_exception(data, split) for split in ("valid", "test"))
    return notes + [f"{text[0].upper()}{text[1:]}." for text in exceptions if text is not None]


def _of_few_values(data: Data, same: Tensor) -> list[str]:
    """Where values repeat as those of a continuous quantity do not.

    A density that is high at such values alone has no bound, and a model finds that in the end: its
    log p(x) then says how far it went. Columns count where one value has more than a tenth of the
    rows, or where all are whole and each is there twice on average; of images the values as a
    whole.
    """
    x = data.train.x.flatten(1)
    rows = min(max(LOOKED_AT // x.shape[1], 20), MOST_ROWS)
    x = x[:: math.ceil(len(x) / rows)]
    if data.space.is_image:
        distinct = len(x.unique())
        if distinct > GRAY_LEVELS or 10 * distinct > x.numel():
            return []
        return [
            f"The images take only {distinct} different values, of which a density has no bound: "
            "log p(x) says little. As whole numbers 0 … K−1, with levels=K, they have "
            "probabilities."
        ]
    x, apart = x.sort(0).values, max(1, int(REPEATED * len(x)))
    repeated = (x[apart:] == x[:-apart]).any(0)
    often = 2 * (1 + (x[1:] != x[:-1]).sum(0)) <= len(x)
    whole = (x == x.floor()).all(0)
    few = (repeated | (whole & often)) & ~same & data.space.reals
    if not few.any():
        return []
    columns = listed([_name(data, [entry]) for entry in few.nonzero().flatten().tolist()])
    pure = whole.all() and not data.space.columns
    levels = " As all are whole numbers, levels=K gives them probabilities." if pure else ""
    drop = "Leave them out (drop)" if data.columns is not None else "Leave them out"
    given = ", or make them attributes, that others are conditional on" if data.columns else ""
    return [
        f"Few or only whole values: {columns}. A density of them has no bound, so that log p(x) "
        f"says little. {drop}{given}.{levels}"
    ]


def _name(data: Data, entry: Sequence[int]) -> str:
    if data.space.is_image:
        return f"pixel {tuple(entry[1:])} of channel {entry[0]}"
    return repr(data.columns[entry[0]]) if data.columns else f"column {entry[0]}"


def _number(value: Tensor) -> str:
    return f"{value.item():.6g}"
