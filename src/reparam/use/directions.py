"""Directions of codes along which one attribute changes, and edits by them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import normalize

from reparam.data import Data, Split
from reparam.evaluation.modes import evaluating
from reparam.evaluation.rows import batches
from reparam.model import Codec, Encoder, Model
from reparam.space import as_tensor, trusted
from reparam.use.attributes import Attribute, Attributes, find_attributes
from reparam.use.independence import combinations, editable, inverse, problem, with_groups
from reparam.use.moments import measure_images
from reparam.wording import listed

Method = Literal["joint", "difference"]


@dataclass(frozen=True)
class Direction:
    """What strength 1 changes: the code of x by a step, or the condition of a conditional model.

    Args:
        attribute: which.
        unit: what strength 1 adds to it: a standard deviation of a number, 1 of a class or flag.
        step: (*code_space.shape) in float64, what strength 1 adds to the code; None: the attribute
            is part of the condition.
        scale: the values of x that are black and white, by which images are measured.
        excludes: columns of the condition, those of the other classes of its group.
    """

    attribute: Attribute
    unit: float
    step: Tensor | None
    scale: tuple[float, float] = (0.0, 1.0)
    excludes: tuple[int, ...] = ()

    @property
    def conditional(self) -> bool:
        """Whether it changes the condition and leaves the code."""
        return self.step is None

    @property
    def said(self) -> str:
        """What strength 1 adds, with its unit."""
        if self.attribute.whole_way:
            return "0 → 1"
        return f"{self.unit:.3g}{self.attribute.unit}"


@dataclass(frozen=True)
class Directions(Mapping[str, Direction]):
    """The direction of each attribute by its name.

    Args:
        each: of them, in order.
        method: how they were found.
        examples: of training, that they were found from.
        r2: the share of the variance of the codes that is linear in all of the attributes together.
        cosines: (A, A) between the steps; NaN where there is none, as of a condition.
        attributes: of the training examples; what is edited is measured with them.
        notes: what was left out, one sentence each.
    """

    each: tuple[Direction, ...]
    method: Method
    examples: int
    r2: float
    cosines: Tensor
    attributes: Attributes = field(repr=False)
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Direction:
        for one in self.each:
            if one.attribute.name == name:
                return one
        known = ", ".join(one.attribute.name for one in self.each)
        raise KeyError(f"expected one of {known}; got {name!r}")

    def nearest(self, name: str) -> str:
        """The other attribute whose direction is most alike, with the cosine between them."""
        at = list(self).index(name)
        cosines = self.cosines[at].clone()
        cosines[at] = torch.nan
        if not bool(cosines.isfinite().any()):
            return "—"
        other = int(cosines.abs().nan_to_num(-1.0).argmax())
        return f"{cosines[other].item():+.2f} {list(self)[other]}"

    def __iter__(self) -> Iterator[str]:
        return (one.attribute.name for one in self.each)

    def __len__(self) -> int:
        return len(self.each)


@torch.no_grad()
def attribute_directions(
    model: Model,
    data: Data | Split,
    names: Sequence[str] | None = None,
    *,
    method: Method = "joint",
    attributes: Attributes | None = None,
) -> Directions:
    """The directions of codes along which attributes change, found on the training examples.

    ``joint`` is the least-squares fit of the codes on all the attributes named, z = b + A a + ε.
    The direction of attribute j is column j of A: what changes in z when aⱼ grows and *the other
    attributes stay*. ``difference`` is the mean code with an attribute minus the mean code without
    it, and of a number the slope of z on it alone. Where attributes are correlated in the data, the
    difference carries the others along: where s₁ grows by 1, s₂ does by their correlation. Use it
    to see what goes together, and ``joint`` to change one thing.

    The classes of a group, as those of the labels, exclude each other and sum to 1, so that none
    can grow while the others stay. Whichever is named, all enter the fit, with a mean code bₖ each
    at equal values of the other attributes, and the direction of class j is bⱼ less the mean of the
    other bₖ, weighted by how frequent they are. For classes alone, both methods are therefore the
    same.

    Nothing is regularized: what would need it is refused by name. A conditional model's codes are
    encoded under the condition of each example; attributes that are part of the condition get a
    direction that changes it in place of the code.

    Args:
        model: any codec with real codes; it encodes in evaluation mode and is left in its own.
        data: of which the training split counts; or that split itself.
        names: of attributes; ``"labels"``: of all classes; None: those that ``editable`` finds.
        method: ``"joint"`` or ``"difference"``.
        attributes: of the training examples; None: those that ``find_attributes`` finds.

    Raises:
        ValueError: no codes, or codes that are indices; no such attribute; fewer than 2 examples
            with or without it; one that is constant or (``joint``) a linear combination of others.

    Reference: joint and single directions are the slopes of a multiple and of single linear
    regressions; Larsen et al. 2016, "Autoencoding beyond pixels using a learned similarity metric",
    section 4.2, edits faces by differences of mean codes. https://arxiv.org/abs/1512.09300

    >>> import reparam as rp
    >>> data = rp.load_data("digits")
    >>> model = rp.build("pca", data.space, latent_dim=8)
    >>> _ = rp.fit(model, data, progress=False)
    >>> directions = rp.attribute_directions(model, data, ["slant", "ink"])
    >>> directions["slant"].step.shape, directions.examples
    (torch.Size([8]), 1258)
    """
    if method not in get_args(Method):
        raise ValueError(f"method: expected {' or '.join(get_args(Method))}, got {method!r}")
    codec = editable_codec(model)
    split = data.train if isinstance(data, Data) else data
    found = attributes or find_attributes(data, space=model.space)
    if len(found.values) != len(split):
        raise ValueError(
            f"attributes: expected a row for each of {len(split)} training examples, got "
            f"{len(found.values)}"
        )
    wanted, notes = editable(found) if names is None else (_chosen(found, names), ())
    if not wanted:
        why = "; ".join(notes) or "nothing is known of these examples"
        raise ValueError(f"names: expected attributes that can be edited, got none: {why}")
    fitted = with_groups(found, wanted)
    there = fitted.values.isfinite().all(1)
    values = fitted.values[there]
    if not len(values):
        known = listed(fitted.names)
        raise ValueError(f"names: expected training examples of which {known} are known, got none")
    _refuse(fitted, values, wanted, method)
    with evaluating([codec]):
        fit = _Fit.of(codec, split, there, values)
    each = tuple(_direction(codec, fitted, fit, method, name) for name in wanted)
    unknown = torch.full_like(fit.shift, torch.nan)  # of what changes the condition
    steps = [unknown if one.step is None else one.step.flatten() for one in each]
    unit = normalize(torch.stack(steps), dim=1)
    kept, examples = found.find(wanted), int(there.sum())
    return Directions(each, method, examples, fit.r2, unit @ unit.T, kept, notes)


def editable_codec(model: Model) -> Codec:
    """The model, where it has codes of x that can be moved; refused in one sentence else."""
    name = type(model).__name__
    if not isinstance(model, Encoder):
        raise ValueError(
            f"model: {name} has no codes of given examples that could be edited; use one that "
            "has, such as vae"
        )
    if not isinstance(model, Codec):
        raise ValueError(f"model: {name} decodes no codes; use one that does, such as vae")
    if model.code_space.kind != "real":
        raise ValueError(
            f"model: the codes of {name} are indices, and nothing lies between two of them; use "
            "one with real codes, such as vae"
        )
    return model


@torch.no_grad()
def edit(
    model: Model,
    x: Tensor,
    direction: Direction,
    *,
    strength: float | Sequence[float] | Tensor | None = None,
    to: float | None = None,
    at: float | None = None,
    c: Tensor | None = None,
) -> Tensor:
    """x decoded with one attribute changed by each strength, and the rest of its code as it is.

    That is decode(encode(x) + strength · step), and of an attribute that is part of the condition
    decode(encode(x, c), c′). At strength 0 it is the reconstruction, bit for bit.

    Args:
        model: the codec that the direction was found for.
        x: (B, *shape), in data units.
        direction: one of ``attribute_directions``.
        strength: (S,) or one number: in standard deviations of a number, and 1 is the whole way
            from without a class to with it. A class that is a condition knows 0 and 1 alone.
        to: in place of a strength, the value that a number is to have. It gets there where
            everything is linear, and else about as far as ``edit_quality`` says that it is moved.
        at: the value that it has now, from which it goes there; None: it is measured on the
            reconstruction, or read in the condition.
        c: the condition of x, for conditional models.

    Returns:
        (B, S, *shape), in data units; S is 1 with ``to``.

    Raises:
        ValueError: neither strength nor ``to``, one that is not finite, a direction of other codes,
            or a value that is not known now.

    >>> import reparam as rp
    >>> data = rp.load_data("digits")
    >>> model = rp.build("pca", data.space, latent_dim=8)
    >>> _ = rp.fit(model, data, progress=False)
    >>> directions = rp.attribute_directions(model, data, ["slant", "ink"])
    >>> strip = rp.edit(model, data.test.x[:2], directions["slant"], strength=[-2, 0, 2])
    >>> strip.shape, bool(strip[:, 1].equal(model.reconstruct(data.test.x[:2])))
    (torch.Size([2, 3, 1, 8, 8]), True)
    """
    codec = editable_codec(model)
    code = codec.encode(x, c)
    if direction.step is not None and direction.step.shape != code.shape[1:]:
        expected, got = tuple(code.shape[1:]), tuple(direction.step.shape)
        raise ValueError(f"direction: expected one of codes of shape {expected}, got {got}")
    c = codec._condition(c, len(code))
    with trusted():
        if to is None:
            strengths = _strengths(strength).expand(len(code), -1)
        elif strength is None:
            strengths = _way_to(codec, code, c, direction, to, at)[:, None]
        else:
            raise ValueError("to: is a value in place of a strength; leave one of them out")
        strip = [_moved(codec, code, c, direction, by) for by in strengths.T]
    return torch.stack(strip, 1)


def _moved(
    codec: Codec, code: Tensor, c: Tensor | None, direction: Direction, by: Tensor
) -> Tensor:
    """x decoded with the strength of each row, (B,); as many rows at once as a reconstruction."""
    if direction.step is None:
        return codec.decode(code, other_condition(c, direction, by))
    along = by.to(code)[(...,) + (None,) * (code.ndim - 1)]
    return codec.decode(code + along * direction.step.to(code), c)


def other_condition(c: Tensor | None, direction: Direction, by: Tensor) -> Tensor:
    """c with the attribute of a direction changed by the strength of each row, (B,)."""
    if c is None:
        raise ValueError("direction: expected one of this model, got that of a condition")
    index = direction.attribute.index
    if direction.attribute.kind != "class":
        changed = c.clone()
        changed[:, index] += (direction.unit * by).to(c)
        return changed
    if not bool(((by == 0) | (by == 1)).all()):
        raise ValueError(
            f"strength: {direction.attribute.name!r} is a condition of this model, and nothing "
            "lies between two classes: expected 0 or 1"
        )
    chosen = (by == 1).to(c.device)
    if c.ndim == 1:
        return torch.where(chosen, index, c)
    changed = c.clone()
    changed[:, list(direction.excludes)] = 0
    changed[:, index] = 1
    return torch.where(chosen[:, None], changed, c)


def _strengths(strength: float | Sequence[float] | Tensor | None) -> Tensor:
    if strength is None:
        raise ValueError("strength: expected one or several numbers, or a value to go to, got none")
    found = as_tensor(strength, "strength").double().cpu()
    found = found[None] if found.ndim == 0 else found
    if found.ndim != 1 or not len(found):
        raise ValueError(f"strength: expected numbers (S,), got shape {tuple(found.shape)}")
    wrong = found[~found.isfinite()]
    if len(wrong):
        raise ValueError(f"strength: expected finite numbers, got {wrong[0].item()}")
    return found


def _way_to(
    codec: Codec,
    code: Tensor,
    c: Tensor | None,
    direction: Direction,
    to: float,
    at: float | None,
) -> Tensor:
    """The strength that takes each row from the value it has to another, (B,)."""
    one = direction.attribute
    if one.kind == "class":
        raise ValueError(f"to: {one.name!r} is a class and has no values; give a strength")
    if not bool(torch.tensor([to, 0.0 if at is None else at]).isfinite().all()):
        raise ValueError(f"to: expected finite numbers, got {to!r} from {at!r}")
    if at is not None:
        now = torch.full((len(code),), float(at)).double()
    elif direction.step is None and c is not None:
        now = c[:, one.index].double().cpu()
    elif one.kind == "measured":
        now = measure_images(codec.decode(code, c), one.name, direction.scale)
    else:
        raise ValueError(
            f"at: expected the value of {one.name!r} that x has now, which no image shows; give "
            "it, or a strength"
        )
    if bool(now.isnan().any()):
        raise ValueError(f"to: the reconstruction is black and has no {one.name}; give a strength")
    return (to - now) / direction.unit


@dataclass(frozen=True)
class _Fit:
    """Least squares of codes on attributes, from their second moments in float64.

    Args:
        mean: of the attributes (P,).
        deviation: of them, (P,).
        gram: (P, P), of the standardized attributes, over examples.
        cross: (P, F), of these with the codes: the slopes on each by itself.
        variance: of the codes, summed over their entries.
        shift: (F,), a code near the others, taken off so that their squares do not cancel.
    """

    mean: Tensor
    deviation: Tensor
    gram: Tensor
    cross: Tensor
    variance: float
    shift: Tensor

    @classmethod
    def of(cls, model: Codec, split: Split, there: Tensor, values: Tensor) -> _Fit:
        """Of the examples that are ``there``, whose attributes are (N, P), batch by batch."""
        mean, deviation = values.mean(0), values.std(0, correction=0)
        centered = (values - mean) / torch.where(deviation > 0, deviation, 1.0)
        sums: Tensor | None = None
        shift = cross = squares = torch.zeros(())
        start = at = 0
        for x, c, _ in batches(model, split):
            kept = there[at : at + len(x)]
            at += len(x)
            codes = model.encode(x, c).flatten(1).cpu().double()[kept]
            if not len(codes):
                continue
            if sums is None:
                shift = codes.mean(0)
                sums, squares = torch.zeros_like(shift), torch.zeros_like(shift)
                cross = shift.new_zeros(values.shape[1], len(shift))
            codes = codes - shift
            cross += centered[start : start + len(codes)].T @ codes
            sums, squares = sums + codes.sum(0), squares + codes.square().sum(0)
            start += len(codes)
        assert sums is not None
        variance = (squares / start - (sums / start).square()).sum().item()
        gram = centered.T @ centered / start
        return cls(mean, deviation, gram, cross / start, variance, shift)

    @property
    def joint(self) -> Tensor:
        """(P, F), of standardized attributes together; of classes the solution of least norm."""
        return inverse(self.gram) @ self.cross

    @property
    def r2(self) -> float:
        """The share of the codes' variance that is linear in the attributes."""
        explained = (self.joint * self.cross).sum().item()
        return explained / self.variance if self.variance > 0 else 0.0


def _direction(model: Codec, fitted: Attributes, fit: _Fit, method: Method, name: str) -> Direction:
    """That of one attribute, in its unit."""
    at = fitted.names.index(name)
    one = fitted.each[at]
    unit = 1.0 if one.whole_way else fit.deviation[at].item()
    group = [i for i, other in enumerate(fitted.each) if one.group and other.group == one.group]
    if _is_condition(model, one):
        others = tuple(fitted.each[i].index for i in group if i != at)
        return Direction(one, unit, None, fitted.scale, others)
    slopes = fit.joint if method == "joint" else fit.cross
    raw = slopes / torch.where(fit.deviation > 0, fit.deviation, 1.0)[:, None]
    step = unit * raw[at]
    if group and method == "joint":  # bⱼ less the mean of the others'
        rest = [i for i in group if i != at]
        step = raw[at] - (fit.mean[rest] @ raw[rest]) / fit.mean[rest].sum()
    return Direction(one, unit, step.view(model.code_space.shape), fitted.scale)


def _is_condition(model: Model, one: Attribute) -> bool:
    if not model.conditional:
        return False
    return one.source == ("labels" if model.space.attributes is None else "attributes")


def _chosen(found: Attributes, names: Sequence[str]) -> list[str]:
    """The names of the attributes that are asked for."""
    if names == "labels":
        names = [one.name for one in found.each if one.source == "labels"]
        if not names:
            raise ValueError("names: the data have no labels; name attributes of them")
    names = [names] if isinstance(names, str) else names
    if not names:
        raise ValueError("names: expected at least one attribute, got none")
    return list(found.find(list(dict.fromkeys(names))).names)


def _refuse(fitted: Attributes, values: Tensor, wanted: Sequence[str], method: Method) -> None:
    """ValueError where the examples do not say what changes with an attribute."""
    for one, column in zip(fitted.each, values.T, strict=True):
        why = problem(one, column) if one.name in wanted else ""
        if why:
            raise ValueError(f"names: {why}")
    if method == "joint":
        for name, others in combinations(fitted, values).items():
            raise ValueError(
                f"names: {name!r} is a linear combination of {listed(others)} in the training "
                "examples, so that it cannot change while they stay; leave one of them out, or use "
                "method='difference'"
            )
