"""What loading gives: Split and Data, and how missing splits are carved from the training rows."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reparam.conditions import check_attributes, check_labels
from reparam.data.binarization import Gray
from reparam.data.contents import FactorKind, Files
from reparam.data.few_labels import Count, labeled_rows
from reparam.data.large_arrays import blocks
from reparam.display import Displayed
from reparam.limits import Whole, convert, positive_count
from reparam.numerics import constant_entries
from reparam.space import Space, check_columns, check_values
from reparam.wording import listed

SPLITS = ("train", "valid", "test")
VALID_SHARE, TEST_SHARE = 0.1, 0.2
ROWS = 4096  # converted to float64 at a time
NOTES_SHOWN = 3  # where data are printed


@dataclass(frozen=True, repr=False)
class Split:
    """Some of the examples, in data units and compact storage.

    Args:
        x: (N, *shape); uint8 for binary data and up to 256 levels, int32 for more levels, float32
            for real data (float64 where an array was, or where a table would lose by float32).
        labels: (N,) int64 class indices, where there are labels.
        factors: (N, F) known factors of variation, where there are any.
        attributes: (N, F), what conditional models take where there are any.
        gray: levels of which x is one fixed draw, where training draws afresh.
        streamed: whether x is a file mapped into memory, to be read batch by batch; ``load_data``
            has looked at its values.
        files: the images that the rows were decoded from, where they were.
        notes: what was decided where they were read by themselves, as ``load_rows`` does.
        rows: (N,), which rows of their source these are, from 0; None: all, in their order.

    Raises:
        ValueError: there are no rows, or not one label (or row of factors …) for each of them.

    >>> Split(torch.zeros(3, 2))
    Split of 3: x (3, 2) float32
    """

    x: Tensor
    labels: Tensor | None = None
    factors: Tensor | None = None
    attributes: Tensor | None = None
    gray: Gray | None = None
    streamed: bool = False
    files: Files | None = None
    notes: tuple[str, ...] = ()
    rows: Tensor | None = None

    def __post_init__(self) -> None:
        if len(self.x) == 0:
            raise ValueError("x: expected at least 1 row, got none")
        for name, values in self.beside_x().items():
            if values is not None and len(values) != len(self.x):
                got, expected = len(values), len(self.x)
                raise ValueError(f"{name}: expected {expected}, one per row of x, got {got}")

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        there = {"x": self.x} | {name: t for name, t in self.beside_x().items() if t is not None}
        parts = (
            f"{name} {tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
            for name, tensor in there.items()
        )
        return f"Split of {len(self)}: {', '.join(parts)}"

    def beside_x(self) -> dict[str, Tensor | None]:
        """What goes with the rows of x, by name."""
        gray = None if self.gray is None else self.gray.values
        names = ("labels", "factors", "attributes")
        return {name: getattr(self, name) for name in names} | {"gray": gray}

    def take(self, rows: Tensor | slice) -> Split:
        """Some of the rows, with all that goes with them.

        >>> Split(torch.zeros(3, 2), torch.tensor([7, 8, 9])).take(slice(1)).labels
        tensor([7])
        """
        beside = self.beside_x().items()
        taken: dict[str, Any] = {k: None if v is None else v[rows] for k, v in beside}
        gray = taken.pop("gray")
        kept = None if gray is None or self.gray is None else Gray(gray, self.gray.levels)
        at = rows if isinstance(rows, slice) else np.asarray(rows)
        files = None if self.files is None else self.files[at]
        return Split(self.x[rows], **taken, gray=kept, files=files, rows=self.numbers[rows])

    @property
    def numbers(self) -> Tensor:
        """(N,), which row of its source each one is, from 0."""
        return torch.arange(len(self)) if self.rows is None else self.rows


@dataclass(frozen=True, repr=False)
class Data(Displayed):
    """Training, validation and test examples of one space.

    Args:
        train, valid, test: the three splits.
        space: what one example is.
        name: what tables and reports call the data.
        class_names: names of the classes, in the order of the label indices.
        columns: names of the entries, where the data are a table.
        attribute_names, factor_names: names of the attributes and of the factors, in their order.
        level_names: of factors whose levels, counted from 0, are known by names; for pictures.
        factor_kinds: of factors that are numbers, or circular as angles are, by name; others are
            names, or it is not known.
        bands: the channels that pictures show; None: the first three.
        scaled: what level 0 was, 0 or -1, where x came as floats of levels divided by K−1.
        notes: every decision taken in loading, one sentence each.
        source: arguments of ``load_data`` that load the same data again in another process
            (JSON-able); without ``source`` where the data came from memory, and None where there is
            nothing to say of how more of them are to be read.
        holds_out: whether valid has rows that training has not, by which weights can be chosen; of
            few labels, where none are left for it, it repeats train.
        true_log_density: log p*(x) in nats, (N,), of points (N, *shape), where it is known of which
            density all rows were drawn; ``evaluate`` then measures the regret.

    Raises:
        ValueError: a split's examples have another shape than ``space``, or values, labels or
            attributes that it does not have, which training relies on; or its factors are not as
            many as their names, or a kind is that of no factor.

    >>> split = Split(torch.zeros(3, 2))
    >>> data = Data(split, split, split, Space((2,), "real"), "zeros")
    >>> [len(split) for split in data.splits.values()], data.fingerprint()
    ([3, 3, 3], 'b98c13d235f76396')
    """

    train: Split
    valid: Split
    test: Split
    space: Space
    name: str
    class_names: tuple[str, ...] | None = None
    columns: tuple[str, ...] | None = None
    attribute_names: tuple[str, ...] | None = None
    factor_names: tuple[str, ...] | None = None
    level_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    factor_kinds: Mapping[str, FactorKind] = field(default_factory=dict)
    bands: tuple[int, ...] | None = None
    scaled: int | None = None
    notes: tuple[str, ...] = ()
    source: dict[str, Any] | None = None
    holds_out: bool = True
    true_log_density: Callable[[Tensor], Tensor] | None = None

    def __post_init__(self) -> None:
        for name, split in self.splits.items():
            if tuple(split.x.shape[1:]) != self.space.shape:
                got = tuple(split.x.shape[1:])
                raise ValueError(f"{name}: expected examples of {self.space.shape}, got {got}")
            self._check_values(name, split)
        channels = self.space.shape[0] if self.space.is_image else 0
        if self.bands is not None and (
            len(self.bands) not in (1, 3) or not all(0 <= band < channels for band in self.bands)
        ):
            raise ValueError(
                f"bands: expected one or three of the {channels} channels, counted from 0, got "
                f"{', '.join(map(str, self.bands))}"
            )
        names = self.factor_names or ()
        unknown = [name for name in self.factor_kinds if name not in names]
        if unknown:
            known = listed(names, 10) or "none, as no factor has a name"
            raise ValueError(f"factor_kinds: expected {known}, got {unknown[0]!r}")

    def __repr__(self) -> str:
        """In ten lines at most; ``describe`` says more."""
        names = ("class_names", "attribute_names", "factor_names", "columns")
        known = {name.replace("_", " "): getattr(self, name) for name in names}
        notes = [f"note: {note}" for note in self.notes[:NOTES_SHOWN]]
        more = len(self.notes) - len(notes)
        lines = [
            f"Data {self.name!r}: {_shape(self.space)}, {_kind(self)}",
            ", ".join(f"{name} {len(split)}" for name, split in self.splits.items()),
            *(f"{what}: {listed(values, 10)}" for what, values in known.items() if values),
            *notes,
            *([f"and {more} more notes"] if more else []),
        ]
        return "\n  ".join(lines)

    def _check_values(self, name: str, split: Split) -> None:
        space = self.space
        if space.columns:
            check_columns(split.x, space.columns, missing=True, name=name)
        elif not split.streamed:
            check_values(split.x, space.level_count, name=name)
        if split.labels is not None and space.classes is not None:
            check_labels(split.labels, len(split), space.classes, f"{name}: labels")
        if split.attributes is not None and space.attributes is not None:
            check_attributes(split.attributes, len(split), space.attributes, f"{name}: attributes")
        if split.factors is not None and self.factor_names is not None:
            got, expected = tuple(split.factors.shape[1:]), len(self.factor_names)
            if got != (expected,):
                raise ValueError(f"{name}: factors: expected {expected}, one per name, got {got}")

    @property
    def splits(self) -> dict[str, Split]:
        return {"train": self.train, "valid": self.valid, "test": self.test}

    def with_labels(self, n: Count, seed: int = 0) -> Data:
        """Training and validation of n labeled rows, out of train; test whole.

        Classes have labels by their frequencies, each at least one, and a fifth of those of each
        class are for validation. Below two a class nothing is held out: valid repeats train. Fewer
        labels of a seed are among more, in training and in validation apart.

        Args:
            n: labels in all, or ``"all"``: these data as they are.
            seed: of the draw.

        Raises:
            ValueError: no labels in train, fewer than classes, or more than a class or all have.

        >>> from reparam.data.loading import load_data
        >>> few = load_data("digits").with_labels(100)
        >>> len(few.train), len(few.valid), few.notes[-1]
        (80, 20, '100 labels of 1258, drawn with seed 0: train 80, valid 20.')
        """
        if n == "all":
            return self
        positive_count("labels", n)
        seed = convert("labels_seed", seed, Whole, text=False)
        if self.train.labels is None or self.space.classes is None:
            raise ValueError(
                f"{self.name}: train has no labels; of a table, name their column (label, --label)"
            )
        source = self.source or {}
        if "labels" in source:
            raise ValueError(f"labels: {self.name} has few already; take them of all its rows")
        names = self.class_names or tuple(map(str, range(self.space.classes)))
        rows, held = labeled_rows(self.train.labels, names, n, seed)
        train = self.train.take(rows)
        valid = train if held is None else self.train.take(held)
        if "source" in source:  # others cannot be loaded again, only more be read as they were
            source = source | {"labels": n, "labels_seed": seed}
        chosen = "nothing held out" if held is None else f"valid {len(held)}"
        drawn = f"{n} labels of {len(self.train)}, drawn with seed {seed}"
        return replace(
            self,
            train=train,
            valid=valid,
            holds_out=held is not None,
            source=source or self.source,
            notes=(*self.notes, f"{drawn}: train {len(rows)}, {chosen}."),
        )

    @cached_property
    def constants(self) -> tuple[Tensor, Tensor] | None:
        """The first training row, and which real entries all others share; None without such."""
        if not self.space.has_reals:
            return None
        row, same = constant_entries(self.train.x.split(ROWS))
        return row, same & self.space.reals & ~row.isnan()

    @property
    def counted(self) -> int:
        """How many entries of x are no constants of real training data."""
        return self.space.dimension - (int(self.constants[1].sum()) if self.constants else 0)

    def true_log_probs(self, split: str) -> Tensor | None:
        """log p*(x) of every row of a split, (N,) in float64; None where it is not known.

        Raises:
            ValueError: a row that has no density, so that it cannot have been drawn of it.

        >>> from reparam.data.loading import load_data
        >>> load_data("checkerboard").true_log_probs("test").mean()
        tensor(-3.4657, dtype=torch.float64)
        """
        if self.true_log_density is None:
            return None
        if split not in self._true:
            values = self.true_log_density(self.splits[split].x).double()
            wrong = (~values.isfinite()).nonzero()
            if len(wrong):
                row = int(wrong[0])
                raise ValueError(
                    f"{split} row {row}: expected a finite true_log_density, got {values[row]}; "
                    "give rows drawn of it, or Data without it"
                )
            self._true[split] = values
        return self._true[split]

    @cached_property
    def _true(self) -> dict[str, Tensor]:
        return {}

    def fingerprint(self) -> str:
        """16 hexadecimal digits of SHA-256 over all splits: the same for the same contents."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.sha256()
        for tensor in self._tensors():
            if tensor is None:
                digest.update(b"none;")
                continue
            array = tensor.detach().cpu().numpy()
            digest.update(f"{array.dtype.str}{array.shape};".encode())
            for rows in blocks(array):
                digest.update(np.ascontiguousarray(array[rows]).data)
        names = self.factor_names or ()
        if names != tuple(map(str, range(len(names)))):  # numbers say nothing
            digest.update(repr(names).encode())
        for column in self.space.columns or ():  # whose indices say nothing without
            if column.names is not None:
                digest.update(repr((column.name, column.names)).encode())
        return digest.hexdigest()[:16]

    def _tensors(self) -> Iterator[Tensor | None]:
        for split in self.splits.values():
            yield from (split.x, split.labels, split.factors)
            yield from (t for t in (split.attributes, split.beside_x()["gray"]) if t is not None)


def carve(
    n: int, seed: int, *, valid: bool = True, test: bool = True
) -> dict[str, np.ndarray[Any, np.dtype[np.intp]]]:
    """Rows of each split, in ascending order, when valid and/or test come out of n training rows.

    Args:
        n: number of rows.
        seed: of the permutation whose first rows become test, and the next valid.
        valid, test: whether that split is wanted: 10 % and 20 % of the rows, at least 1.

    Raises:
        ValueError: fewer rows than splits.

    >>> {name: list(map(int, rows)) for name, rows in carve(5, seed=0).items()}
    {'train': [0, 1, 3], 'valid': [4], 'test': [2]}
    """
    wanted = 1 + valid + test
    if n < wanted:
        raise ValueError(f"expected at least {wanted} rows, one for each split, got {n}")
    order = np.random.default_rng(seed).permutation(n)
    sizes = {
        "test": max(1, round(TEST_SHARE * n)) if test else 0,
        "valid": max(1, round(VALID_SHARE * n)) if valid else 0,
    }
    rows, start = {}, 0
    for name, size in sizes.items():
        if size:
            rows[name] = np.sort(order[start : start + size])
            start += size
    rows["train"] = np.sort(order[start:])
    return {name: rows[name] for name in SPLITS if name in rows}


def describe(data: Data) -> dict[str, str]:
    """What there is to say about data, name by name, in the order to print it.

    >>> split = Split(torch.tensor([[0.0, 2.0]]), torch.tensor([0]))
    >>> space = Space((2,), "real", classes=1)
    >>> describe(Data(split, split, split, space, "two", class_names=("a",)))["range"]
    '0 to 2 in train, mean 1, standard deviation 1'
    """
    lines = {
        "name": data.name,
        "shape": _shape(data.space),
        "kind": _kind(data),
        "examples": ", ".join(f"{name} {len(split)}" for name, split in data.splits.items()),
    }
    if data.space.columns is None:
        lines["range"] = _range(data.train.x)
    else:  # each column has values of its own
        missing = float(data.train.x.isnan().double().mean())
        lines["missing"] = (
            f"{missing:.1%} of the cells in train" if missing else "no cells in train"
        )
    if data.class_names is not None and data.train.labels is not None:
        counts = torch.bincount(data.train.labels, minlength=len(data.class_names)).tolist()
        pairs = zip(data.class_names, counts, strict=True)
        lines["classes"] = ", ".join(f"{name} ({count} in train)" for name, count in pairs)
    if data.attribute_names is not None:
        lines["attributes"] = ", ".join(data.attribute_names)
    if data.factor_names is not None:
        lines["factors"] = ", ".join(data.factor_names)
    if data.columns is not None:
        lines["columns"] = ", ".join(data.columns)
    true = {name: data.true_log_probs(name) for name in data.splits}
    means = [f"{p.mean():.4f} in {name}" for name, p in true.items() if p is not None]
    if means:
        lines["true log p"] = f"mean {', '.join(means)}, nats"
    lines["fingerprint"] = data.fingerprint()
    return lines


def _range(x: Tensor) -> str:
    mean = sum(float(rows.sum(dtype=torch.float64)) for rows in x.split(ROWS)) / x.numel()
    square = sum(float((rows.double() - mean).square().sum()) for rows in x.split(ROWS))
    low, high, deviation = float(x.min()), float(x.max()), (square / x.numel()) ** 0.5
    return f"{low:g} to {high:g} in train, mean {mean:.4g}, standard deviation {deviation:.4g}"


def _shape(space: Space) -> str:
    return " × ".join(map(str, space.shape)) + (" (C, H, W)" if space.is_image else "")


def _kind(data: Data) -> str:
    if data.train.gray is not None:
        return f"binary, drawn from {data.train.gray.levels} gray levels afresh in every batch"
    if data.space.columns:
        counts = Counter(column.kind for column in data.space.columns)
        return f"mixed: {', '.join(f'{count} {kind}' for kind, count in counts.items())}"
    return f"{data.space.kind} {data.space.levels}" if data.space.levels else data.space.kind
