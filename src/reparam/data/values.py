"""Values of x: their kind, by rules or as asked, whether they are allowed, how they are stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from msgspec import Meta

from reparam.data.binarization import Binarization, binarized
from reparam.data.contents import Array, Contents, require_numbers
from reparam.data.large_arrays import blocks, changed, is_mapped
from reparam.data.scaled_levels import with_whole_levels
from reparam.limits import Limited, Whole
from reparam.numerics import constant_entries, moments
from reparam.space import FLOAT32_EXACT, DataKind

FLOAT64_EXACT = 2**53
FLOAT32_LARGEST = float(np.finfo(np.float32).max)
ROUNDING = 1e-4  # of a column's standard deviation: less is lost in any model
FAR = 1e5  # standard deviations from 0: float32 then keeps a hundredth of one

OneKind = Literal["binary", "levels", "real"]  # of all entries; mixed data have several
Floats = np.ndarray[Any, np.dtype[np.float64]]
Decision = tuple[DataKind, int | None, str]  # kind, levels, the sentence that says why


@dataclass(frozen=True)
class ValueOptions(Limited):
    """What the user says about the values; None: decide by source.

    Args:
        kind: ``"binary"``, ``"levels"`` or ``"real"``.
        levels: K, for values 0 … K−1.
        binarize: a threshold, ``"static"`` or ``"dynamic"``.
        seed: of the static draw and of the carved splits.

    Raises:
        ValueError: choices that mean nothing, or contradict each other.

    >>> ValueOptions(levels=16).kind
    'levels'
    """

    kind: OneKind | None = None
    levels: Annotated[int, Meta(ge=2, le=2**31)] | None = None
    binarize: Binarization | None = None
    seed: Whole = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.levels is not None:
            if self.kind not in (None, "levels"):
                raise ValueError(f"levels: given for kind {self.kind}; leave one of the two out")
            object.__setattr__(self, "kind", "levels")


def is_absent(cell: object) -> bool:
    """Whether an object says that there is nothing: None, NaN, or pandas' own missing value.

    NaN differs from itself, and of its own value pandas says neither that nor the reverse.

    >>> is_absent(None), is_absent(np.nan), is_absent(""), is_absent(np.arange(2))
    (True, True, False, False)
    >>> import torch
    >>> is_absent(torch.tensor(1)), is_absent(torch.tensor(np.nan))
    (False, True)
    """
    if cell is None:
        return True
    same = cell == cell
    if hasattr(same, "item") and np.ndim(same) == 0:  # of NumPy or torch
        same = same.item()
    return not same if isinstance(same, bool) else np.ndim(same) == 0


def decide_kind(contents: Contents, options: ValueOptions) -> Decision:
    """Kind and number of levels, over all splits at once, and the sentence that says why.

    Args:
        contents: arrays of finite numbers.
        options: what the user says, which goes before everything else.

    Raises:
        ValueError: kind levels without a way to know how many.

    >>> from reparam.data.contents import SplitArrays
    >>> halves = SplitArrays(np.array([[0.0, 0.5]]))
    >>> decide_kind(Contents({"train": halves}, "halves", "array"), ValueOptions())
    ('real', None, 'Kind real: floats.')
    """
    arrays = [arrays.x for arrays in contents.splits.values()]
    if options.kind is not None:
        levels = _levels(contents, arrays, options) if options.kind == "levels" else None
        return options.kind, levels, f"Kind {_say(options.kind, levels)}: as asked."
    if contents.levels is not None:
        return "levels", contents.levels, f"Kind levels {contents.levels}: as its source says."
    if all(zeros_and_ones(x) for x in arrays):
        return "binary", None, "Kind binary: all values are 0 or 1."
    if contents.form == "images" and all(black_and_white(x) for x in arrays):
        return "binary", None, "Kind binary: all pixels are 0 or 255, which became 0 and 1."
    return _by_type(contents, arrays)


def zeros_and_ones(x: Array) -> bool:
    """Whether every value is 0 or 1."""
    if x.dtype.kind in "bu":
        return bool(x.max() <= 1)
    head = x[:1]  # nearly always enough to say no
    parts = (head, *(x[rows] for rows in blocks(x)))
    return all(bool(((part == 0) | (part == 1)).all()) for part in parts)


def black_and_white(x: Array) -> bool:
    """Whether every value is 0 or 255."""
    parts = (x[rows] for rows in blocks(x))
    return all(bool(((part == 0) | (part == 255)).all()) for part in parts)


def _by_type(contents: Contents, arrays: list[Array]) -> Decision:
    integers = all(x.dtype.kind in "bui" for x in arrays)
    if contents.form == "table":
        return "real", None, "Kind real: columns of a table."
    if all(x.dtype == np.uint8 for x in arrays):
        hint = "; binarize=0.5 makes them binary" if all(map(black_and_white, arrays)) else ""
        what = "image files" if contents.form == "images" else "uint8"
        return "levels", 256, f"Kind levels 256: {what}{hint}."
    if integers and arrays[0].ndim == 4 and all(x.min() >= 0 and x.max() <= 255 for x in arrays):
        return "levels", 256, "Kind levels 256: images of integers 0 … 255; levels=K overrules."
    if integers:
        return "real", None, "Kind real: integers of no known range; levels=K makes them levels."
    return "real", None, "Kind real: floats."


def _levels(contents: Contents, arrays: list[Array], options: ValueOptions) -> int:
    if options.levels is not None:
        return options.levels
    if contents.levels is not None:
        return contents.levels
    if all(x.dtype == np.uint8 for x in arrays):
        return 256
    broken = next((v for x in arrays for v in x[x % 1 != 0][:1].tolist()), None)
    if broken is not None:
        raise ValueError(
            f"levels: kind levels is of whole numbers, and {contents.origin} holds {broken:g}; "
            "leave kind out, or say with levels=K (--levels) that they are levels divided by K−1"
        )
    largest = max(int(x.max()) for x in arrays)
    raise ValueError(
        f"levels: expected the number of levels for kind levels (the largest value of "
        f"{contents.origin} is {largest}, so levels={max(largest, 1) + 1} or more)"
    )


def _say(kind: DataKind, levels: int | None) -> str:
    return kind if levels is None else f"{kind} {levels}"


def store_values(
    contents: Contents, options: ValueOptions, *, vary: bool = True
) -> tuple[Contents, DataKind, int | None]:
    """Checked values in their compact storage, with their kind and levels before binarization.

    Args:
        contents: arrays (N, *shape) of one shape.
        options: what the user says.
        vary: whether the rows are data to learn from: values that are all the same are refused,
            and how a table is stored is decided by its spread.

    Raises:
        ValueError: values that are not numbers, not finite, all the same, or not of their kind;
            with the cell at fault and the remedy.

    >>> from reparam.data.contents import SplitArrays
    >>> bits = SplitArrays(np.array([[0, 1], [1, 1]]))
    >>> contents = Contents({"train": bits}, "bits", "array")
    >>> stored, kind, levels = store_values(contents, ValueOptions())
    >>> stored.splits["train"].x.dtype, kind, levels
    (dtype('uint8'), 'binary', None)
    """
    _require_numbers(contents)
    if vary and contents.form == "images":  # here: before black and white become 0 and 1
        _require_variation(contents, "nothing can be learned from it")
    if options.kind == "levels" or (options.kind is None and contents.form != "table"):
        contents = with_whole_levels(contents, options.levels, contents.scaled)
    kind, levels, why = decide_kind(contents, options)
    notes = [why]
    if kind == "binary" and contents.form == "images":
        contents = contents.with_x(lambda x: x // 255 if black_and_white(x) else x)
    _require_kind(contents, kind, levels)
    if kind == "real" and contents.form != "table":  # whose columns are looked at one by one
        lost = any(_loses_digits(arrays.x) for arrays in contents.splits.values())
        notes += ["Whole numbers beyond 2^53 lost their last digits."] if lost else []
    contents = contents.with_x(lambda x: _stored(x, kind, levels))
    if kind == "real" and contents.form == "table" and vary:
        notes += far_columns(contents)
        contents = _narrowed(contents)
    if vary:
        _require_variation(contents, "nothing can be learned from it")
    if options.binarize is not None and kind == "binary":
        notes.append("Binary already: binarize changed nothing.")
    elif options.binarize is not None:
        contents, how = binarized(contents, options.binarize, levels, options.seed)
        notes.append(how)
    if options.binarize is not None and vary:
        _require_variation(contents, f"binarize={options.binarize!r} leaves no difference")
    return contents.noted(*notes), kind, levels


def _stored(x: Array, kind: DataKind, levels: int | None) -> Array:
    dtype = np.dtype(_storage(x, kind, levels))
    return x if x.dtype == dtype else changed(x, lambda rows: rows.astype(dtype), dtype)


def _loses_digits(x: Array) -> bool:
    """Whether float64 does not hold the whole numbers of an array."""
    if x.dtype.kind not in "iu" or max(abs(int(x.min())), abs(int(x.max()))) <= FLOAT64_EXACT:
        return False
    with np.errstate(invalid="ignore"):  # what is rounded beyond the largest integer is none
        parts = (x[rows] for rows in blocks(x))
        return any(bool((p.astype(np.float64).astype(p.dtype) != p).any()) for p in parts)


def _storage(x: Array, kind: DataKind, levels: int | None) -> type:
    if kind == "binary" or (levels is not None and levels <= 256):
        return np.uint8
    if kind == "levels":
        return np.int32
    if x.dtype.kind in "bui":
        wide = max(abs(int(x.min())), abs(int(x.max()))) > FLOAT32_EXACT
        return np.float64 if wide else np.float32
    return np.float64 if x.dtype.itemsize >= 8 else np.float32


def _narrowed(contents: Contents) -> Contents:
    """A table of float64 as float32, where that loses nothing: text knows of no precision."""
    others = [arrays.x for split, arrays in contents.splits.items() if split != "train"]
    if not fits_float32([contents.splits["train"].x, *others]):
        return contents
    return contents.with_x(lambda x: x.astype(np.float32, copy=False))


def _require_numbers(contents: Contents) -> None:
    for split, arrays in contents.splits.items():
        require_numbers(arrays.x, contents.at(split))
        if arrays.x.dtype.kind == "f":
            # One pass without a temporary of the data's size: extremes carry NaN and infinities.
            extremes = np.array([arrays.x.min(), arrays.x.max()], np.float64)
            if not (np.abs(extremes) <= FLOAT32_LARGEST).all():
                refuse_first(contents, split, np.isnan(arrays.x), "impute it, or drop the row")
                refuse_infinite(contents, split)


def refuse_infinite(contents: Contents, split: str) -> None:
    """ValueError where x of a split has infinite numbers, or such as single precision has not."""
    x = contents.splits[split].x
    if x.dtype.kind != "f" or x.size == 0:  # no other number is too large
        return
    extremes = np.array([np.fmin.reduce(x, None), np.fmax.reduce(x, None)], np.float64)
    if not (np.abs(extremes) > FLOAT32_LARGEST).any():  # of cells that are there
        return
    refuse_first(contents, split, np.isinf(x), "impute it, or drop the row")
    large = np.abs(x) > FLOAT32_LARGEST
    refuse_first(contents, split, large, "too large for float32; rescale the data")


def _require_kind(contents: Contents, kind: DataKind, levels: int | None) -> None:
    if kind == "real":
        return
    top = 1 if levels is None else levels - 1
    expected = "0 or 1" if levels is None else f"an integer 0 … {top}"
    for split, arrays in contents.splits.items():
        x = arrays.x
        if x.dtype.kind == "b" or (x.dtype.kind in "ui" and x.min() >= 0 and x.max() <= top):
            continue
        if is_mapped(x) and not any(_outside(x[rows], top).any() for rows in blocks(x)):
            continue
        remedy = f"kind {kind} expects {expected}; choose another kind or levels, or binarize"
        refuse_first(contents, split, _outside(x, top), remedy)


def _outside(x: Array, top: int) -> Array:
    with np.errstate(invalid="ignore"):
        return (x < 0) | (x > top) | (x != np.floor(x))


def refuse_first(contents: Contents, split: str, wrong: Array, remedy: str) -> None:
    """ValueError with the first cell of x that is wrong, if one is."""
    if wrong.any():
        index = np.unravel_index(int(wrong.argmax()), wrong.shape)
        value = contents.splits[split].x[index].item()
        where = contents.where(split, tuple(int(i) for i in index))
        others = int(wrong.sum()) - 1
        more = f" (and {others} more)" if others else ""
        raise ValueError(f"{where} is {value!r}{more}: {remedy}")


def _require_variation(contents: Contents, consequence: str) -> None:
    low = min(arrays.x.min() for arrays in contents.splits.values())
    high = max(arrays.x.max() for arrays in contents.splits.values())
    if low == high and contents.form == "images":
        notes = " ".join(note for note in contents.notes if "image" in note)
        raise ValueError(
            f"{contents.origin}: every pixel of all images is {low.item()}; {consequence}; give "
            f"images that are not all of one color{'. ' if notes else ''}{notes}"
        )
    if low == high:
        raise ValueError(f"{contents.origin}: every value is {low.item()!r}; {consequence}")


def fits_float32(splits: Sequence[Array], columns: Sequence[int] | None = None) -> bool:
    """Whether float32 loses nothing of these rows (N, D) that a model could learn.

    Cells that are missing are passed over.

    Args:
        splits: their rows, the training rows first: their spread is what rounding is compared with.
        columns: which of the columns are looked at; None: all.

    >>> fits_float32([np.array([[0.1], [0.7]])]), fits_float32([1.7e9 + np.array([[0.1], [0.7]])])
    (True, False)
    """
    _, deviation, varied = _spread(splits[0], columns)
    for x in splits:
        for part in _parts(x, columns):
            rounding = np.fmax.reduce(np.abs(part - part.astype(np.float32)), 0)
            if (varied & (rounding > ROUNDING * deviation)).any():
                return False
    return True


def far_columns(contents: Contents) -> list[str]:
    """A note for every column of a table of which float32 keeps less than a hundredth."""
    mean, deviation, varied = _spread(contents.splits["train"].x)
    notes = []
    for column in np.flatnonzero(varied & (np.abs(mean) > FAR * deviation)):
        name = contents.columns[column] if contents.columns else str(column)
        notes.append(
            f"Column {name!r} lies more than {FAR:,.0f} standard deviations from 0: the table "
            "stays float64, and so does what leaves a model."
        )
    return notes


def _parts(x: Array, columns: Sequence[int] | None = None) -> Iterator[Floats]:
    """Some columns of an array as float64, so many rows at a time: no copy has its size.

    Each may be written to and runs forwards, as PyTorch wants it.
    """
    chosen = slice(None) if columns is None else list(columns)
    for rows in blocks(x):
        yield np.require(x[rows][:, chosen], np.float64, ["C", "W"])


def _spread(
    x: Array, columns: Sequence[int] | None = None
) -> tuple[Floats, Floats, np.ndarray[Any, np.dtype[np.bool_]]]:
    """Mean and standard deviation of every column, and whether it varies at all."""
    mean, deviation = moments(lambda: map(torch.from_numpy, _parts(x, columns)))
    _, same = constant_entries(map(torch.from_numpy, _parts(x, columns)))
    return mean.numpy(), deviation.numpy(), ~same.numpy()
