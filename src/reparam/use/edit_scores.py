"""How far edits move what they are to move, and what else they move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import nan

import torch
from torch import Tensor

from reparam.data import Data, Split
from reparam.evaluation.modes import evaluating
from reparam.evaluation.representation import LEAST_PROBED, PROBED_ENTRIES, codes
from reparam.evaluation.rows import batches, chosen_rows, subset
from reparam.evaluation.scores import Score, ScoreTable, mean_score
from reparam.model import Codec, Model, positive_count
from reparam.space import trusted
from reparam.use.directions import Direction, Directions, editable_codec, other_condition
from reparam.use.moments import measure_images

MOST_EDITED = 1000  # test examples, where nothing else is said
MOVED, LEAKED, MOST = "moved_", "leaked_", "Of the others, most: "
FEW = 10  # training examples for each entry of a code, below which the read-out is regularized
ROUNDING = 1e-10  # of the mean variance of codes: what is solved stays definite


def edit_quality(
    model: Model,
    data: Data,
    directions: Directions,
    *,
    names: Sequence[str] | None = None,
    n: int = MOST_EDITED,
    seed: int = 0,
) -> ScoreTable:
    """How far each attribute moves per strength, and how far the others move with it.

    Every test example is decoded half a strength below its code and half a strength above, and all
    attributes are measured on both. ``moved_NAME`` is the mean change of the attribute itself, 1
    where it does all that it is to do. ``leaked_NAME`` is the mean absolute change of the others,
    0 where they stay: the mean over them, each in its own strengths; a note names the one that
    moves most. Other classes of its group are not counted, as they have to give way.

    Attributes of images are measured on the decoded pixels. Classes and columns, which no pixel
    shows, are read out of the code that the decoded x has when it is encoded again, by a linear
    regression on the codes of training examples, that is, of none of these. It sees what is linear
    in the codes, and shrinks what they know little of. What is part of the condition cannot be read
    so, and has no ``moved``: to a class its edits go from the example's own, of a flag from 0 to 1.

    Args:
        model: the codec that the directions were found for, measured in evaluation mode.
        data: the same data.
        directions: those of ``attribute_directions``; the others are those among them.
        names: of those to score, the others being others all the same; None: of all.
        n: how many test examples at most; drawn at random.
        seed: of the draw.

    Returns:
        The scores, with standard errors over test examples. Without others nothing leaks, and there
        is no such score; nor any where every edited image is black, as of a model that is not
        trained, or every example is of the class already that a condition is to change to.

    >>> import reparam as rp
    >>> data = rp.load_data("digits")
    >>> model = rp.build("pca", data.space, latent_dim=16)
    >>> _ = rp.fit(model, data, progress=False)
    >>> found = rp.edit_quality(model, data, rp.attribute_directions(model, data, ["slant", "ink"]))
    >>> list(found)
    ['moved_slant', 'leaked_slant', 'moved_ink', 'leaked_ink']
    """
    positive_count("n", n)
    codec, split = editable_codec(model), subset(data.test, n, seed)
    drawn = seed if len(split) < len(data.test) else None
    found = ScoreTable()
    with evaluating([codec]):
        meters = _Meters.of(codec, data.train, directions, seed)
        for name in directions if names is None else names:
            together = _changes(codec, split, directions[name], meters)
            changes = dict(zip(meters.names, together.unbind(1), strict=True))
            found |= _scores(name, changes, directions, drawn)
    return found


@dataclass(frozen=True)
class _Meters:
    """What measures the attributes on decoded x; of a part of the condition there is no measure.

    Args:
        codec: that encodes decoded x again.
        measured: of images, with the values that are black and white.
        read: out of codes, in the order of the columns of ``weights`` (F, A).
    """

    codec: Codec
    measured: dict[str, tuple[float, float]]
    read: list[str]
    weights: Tensor

    @classmethod
    def of(cls, codec: Codec, train: Split, directions: Directions, seed: int) -> _Meters:
        each = directions.items()
        measured = {name: d.scale for name, d in each if d.attribute.kind == "measured"}
        read = [name for name, d in each if name not in measured and not d.conditional]
        weights = _read_out(codec, train, directions, read, seed) if read else torch.zeros(0, 0)
        return cls(codec, measured, read, weights)

    @property
    def names(self) -> list[str]:
        return [*self.measured, *self.read]

    def __call__(self, x: Tensor, c: Tensor | None) -> Tensor:
        """(B, M), of decoded x under its condition."""
        found = [measure_images(x, name, scale) for name, scale in self.measured.items()]
        if self.read:
            found += (self.codec.encode(x, c).flatten(1).cpu().double() @ self.weights).unbind(1)
        return torch.stack(found, 1) if found else torch.zeros(len(x), 0).double()


def _read_out(
    codec: Codec, train: Split, directions: Directions, names: list[str], seed: int
) -> Tensor:
    """(F, A): linear regression of attributes on codes of training examples, but for constants."""
    width = codec.code_space.dimension
    values = directions.attributes.find(names).values
    known = values.isfinite().all(1).nonzero().flatten()
    rows = known[chosen_rows(len(known), max(LEAST_PROBED, PROBED_ENTRIES // width), seed)]
    values = values[rows]
    z = codes(codec, train.take(rows))
    z, values = z - z.mean(0), values - values.mean(0)
    share = width / len(z) if len(z) < FEW * width else ROUNDING
    ridge = (share * z.square().mean() * len(z)).clamp(min=torch.finfo(z.dtype).tiny)
    if width <= len(z):
        return torch.linalg.solve(z.T @ z + ridge * torch.eye(width).to(z), z.T @ values)
    return z.T @ torch.linalg.solve(z @ z.T + ridge * torch.eye(len(z)).to(z), values)


def _changes(codec: Codec, split: Split, direction: Direction, meters: _Meters) -> Tensor:
    """What one strength changes of each attribute, (N, M), in the attributes' own values."""
    parts = []
    for x, own, _ in batches(codec, split):
        code = codec.encode(x, own)
        c = codec._condition(own, len(code))
        with trusted():
            (low, c_low), (high, c_high) = _both_sides(codec, code, c, direction)
            change = meters(high, c_high) - meters(low, c_low)
        parts.append(torch.where(_stays(c_low, c_high, direction)[..., None], nan, change))
    return torch.cat(parts)


def _stays(low: Tensor | None, high: Tensor | None, direction: Direction) -> Tensor:
    """Which rows are of the class already, (B,), or one False for all: no edit changes them."""
    if low is None or high is None or not direction.conditional:
        return torch.tensor(False)
    return (low == high).view(len(low), -1).all(1).cpu()


def _both_sides(
    codec: Codec, code: Tensor, c: Tensor | None, direction: Direction
) -> tuple[tuple[Tensor, Tensor | None], tuple[Tensor, Tensor | None]]:
    """x decoded half a strength below and above, and its conditions; of these flags and classes
    go from 0 to 1."""
    if direction.step is not None:
        half = direction.step.to(code) / 2
        return (codec.decode(code - half, c), c), (codec.decode(code + half, c), c)
    half = torch.full((len(code),), 0.0 if direction.attribute.kind == "class" else 0.5).double()
    if c is not None and direction.attribute.kind == "flag":
        half = c[:, direction.attribute.index].cpu().double()  # all the way down, and to 1
    low, high = (other_condition(c, direction, by) for by in (-half, 1 - half))
    return (codec.decode(code, low), low), (codec.decode(code, high), high)


def _scores(
    name: str, changes: dict[str, Tensor], directions: Directions, seed: int | None
) -> dict[str, Score]:
    """Moved and leaked, of the examples where all attributes are known on both sides."""
    own = directions[name].attribute
    in_strengths = {other: changes[other] / directions[other].unit for other in changes}
    if not in_strengths:
        return {}
    there = torch.stack(list(in_strengths.values())).isfinite().all(0)
    if not bool(there.any()):  # black, or of the class already
        return {}
    found: dict[str, Score] = {}
    if name in in_strengths:
        moved = mean_score(in_strengths[name][there], "strengths per strength", "test", seed=seed)
        by = None if own.kind == "measured" else "linear read-out"
        found[MOVED + name] = replace(moved, predictor=by)
    others = {
        other: values[there].abs()
        for other, values in in_strengths.items()
        if other != name and not (own.group and directions[other].attribute.group == own.group)
    }
    if others:
        unit = f"strengths of {len(others)} others per strength"
        together = torch.stack(list(others.values())).mean(0)
        most = max(others, key=lambda other: others[other].mean().item())
        note = f"{MOST}{most} {others[most].mean().item():.2g}"
        found[LEAKED + name] = mean_score(together, unit, "test", seed=seed, notes=(note,))
    return found
