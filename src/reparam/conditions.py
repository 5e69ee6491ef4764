"""What a condition c may be: labels (B,), float attributes (B, F), or an image (B, *given)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from reparam import numerics
from reparam.space import Space, as_tensor, check_values, looked_at, refuse_masked

BEYOND = 5e-3  # of the levels, by which what is left may lie outside: a blur's up to 0.0017


def condition_of(
    c: object, rows: int, space: Space, class_names: Sequence[str] | None = None
) -> Tensor:
    """c of each row, of the kind that a space has: an image, else attributes, else labels.

    Raises:
        ValueError: c is none of these, or not of so many rows.

    >>> condition_of(2, 3, Space((1,), "real", classes=5))
    tensor([2, 2, 2])
    """
    if space.given is not None:
        y = given_of(c, rows, space.given)
        return check_given(y, rows, space.given, space.level_count)
    if space.attributes is not None:
        return check_attributes(attributes_of(c, rows, space.attributes), rows, space.attributes)
    return check_labels(labels_of(c, rows, class_names), rows, space.classes)


def labels_of(c: object, rows: int, names: Sequence[str] | None = None) -> object:
    """Labels by their numbers or by the names of their classes, each row's own or one for all.

    >>> labels_of("dog", 2, ("cat", "dog")), labels_of([0, 1], 2)
    (tensor([1, 1]), tensor([0, 1]))
    """
    if c is None or (isinstance(c, Tensor) and c.ndim):
        return c
    refuse_masked(c, "c")
    given = c.tolist() if isinstance(c, np.ndarray) else c
    if isinstance(given, str):
        given = _index(given, names)
    elif isinstance(given, Sequence) and any(isinstance(one, str) for one in given):
        given = [_index(one, names) for one in given]
    labels = as_tensor(given, "c")
    return labels.expand(rows) if labels.ndim == 0 else labels


def _index(name: object, names: Sequence[str] | None) -> int:
    known = list(map(str, names or ()))
    if name not in known:
        among = ", ".join(known) or "the numbers of classes, whose names are not known"
        raise ValueError(f"c: expected one of {among}; got {name!r}")
    return known.index(str(name))


def attributes_of(c: object, rows: int, count: int) -> object:
    """Attributes of each row, or those of one row for all.

    >>> attributes_of(30, 2, 1), attributes_of([1.0, 2.0], 1, 2)
    (tensor([[30.],
            [30.]], dtype=torch.float64), tensor([[1., 2.]], dtype=torch.float64))
    """
    if c is None or (isinstance(c, Tensor) and c.ndim):
        return c
    values = as_tensor(c, "c").double()
    if values.shape in ((), (count,)) and values.numel() == count:
        return values.expand(rows, count)
    return values


def check_labels(c: object, rows: int, classes: int | None, name: str = "c") -> Tensor:
    """Labels, one integer 0 … classes−1 for each row; ValueError otherwise.

    >>> check_labels(torch.tensor([0, 2]), rows=2, classes=3)
    tensor([0, 2])
    """
    if not isinstance(c, Tensor) or tuple(c.shape) != (rows,) or c.is_floating_point():
        raise ValueError(f"{name}: expected {rows} integer labels, one per row, got {_got(c)}")
    if classes is not None and looked_at():
        low, high = int(c.min()), int(c.max())
        if low < 0 or high >= classes:
            raise ValueError(f"{name}: expected labels 0 … {classes - 1}, got {low} … {high}")
    return c.to(torch.int64)


def check_attributes(c: object, rows: int, count: int, name: str = "c") -> Tensor:
    """Attributes, ``count`` finite floats for each row; ValueError otherwise.

    >>> check_attributes(torch.tensor([[0.5, 2.0]]), rows=1, count=2)
    tensor([[0.5000, 2.0000]])
    """
    if not isinstance(c, Tensor) or tuple(c.shape) != (rows, count) or not c.is_floating_point():
        raise ValueError(
            f"{name}: expected floats, attributes of shape ({rows}, {count}), got {_got(c)}"
        )
    if looked_at() and not bool(c.isfinite().all()):
        raise ValueError(f"{name}: expected finite attributes, got NaN or infinity")
    return c


def given_of(c: object, rows: int, shape: tuple[int, ...]) -> object:
    """y of each row, or one y for all.

    >>> given_of([[1.0, 2.0]], 3, (1, 2)).shape
    torch.Size([3, 1, 2])
    """
    if c is None:
        return c
    y = as_tensor(c, "c")
    return y.expand(rows, *shape) if tuple(y.shape) == shape else y


def check_given(
    c: object, rows: int, shape: tuple[int, ...], levels: int | None, name: str = "c"
) -> Tensor:
    """What is left of x, y (rows, *shape) in its units; ValueError otherwise.

    >>> check_given(torch.tensor([[0, 16]], dtype=torch.uint8), 1, (2,), 17)
    tensor([[ 0., 16.]])
    """
    if not isinstance(c, Tensor) or tuple(c.shape) != (rows, *shape):
        expected = ", ".join(map(str, (rows, *shape)))
        raise ValueError(
            f"{name}: expected what is given of x, of shape ({expected}), got {_got(c)}"
        )
    if not c.is_floating_point():
        wide = numerics.needs_float64(c.dtype)
        c = c.to(numerics.accumulator(c) if wide else torch.get_default_dtype())
    if looked_at():
        check_values(c, None, "finite", name)
        low, high = (float(end) for end in c.aminmax())
        top = levels - 1 if levels is not None else math.inf
        # A mean rounds, and a blur without what it weakens most reaches a little beyond.
        if levels is not None and (low < -BEYOND * top or high > (1 + BEYOND) * top):
            raise ValueError(
                f"{name}: expected values in [0, {top}], as what is left of levels has, got "
                f"{low:.6g} to {high:.6g}"
            )
    return c


def refuse_unsaid(space: Space, c: object) -> None:
    """ValueError where what is left of x would be made of an x of which a part is to be drawn.

    >>> refuse_unsaid(Space((2,), "real"), None)
    """
    if space.given is not None and c is None:
        raise ValueError(
            "c: expected what is left of x, of which the model draws x; made of x it would tell of "
            "entries that are not given; use restore, or give c"
        )


def placed(c: Tensor, space: Space, like: Tensor) -> Tensor:
    """A checked c on the device of ``like``, in its dtype where c needs no more precision.

    Attributes in float64 keep it, as real x does, and what is left of such x.

    >>> placed(torch.zeros(1, 2).double(), Space((4,), "binary", given=(2,)), torch.zeros(1)).dtype
    torch.float32
    """
    wide = c.dtype == torch.float64 and (space.given is None or space.keeps_precision)
    if c.is_floating_point() and (not wide or like.device.type == "mps"):  # it has no float64
        c = c.to(like.dtype)
    return c.to(like.device)


def _got(c: object) -> str:
    return f"{c.dtype} {tuple(c.shape)}" if isinstance(c, Tensor) else repr(c)
