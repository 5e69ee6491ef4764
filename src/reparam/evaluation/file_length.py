"""The length of a file: what a code that was made with the model takes, counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from reparam.chain_rule import ChainRule
from reparam.coding import Compressed, code, estimate, refusal
from reparam.data import Split, condition
from reparam.evaluation.rows import subset
from reparam.evaluation.scores import Score, Scores, mean_score
from reparam.model import Density, Model
from reparam.space import ROWS

CODED = "coded_bits_per_dim"
MOST_ROWS, LEAST_ROWS = 2000, 32
# Of entries one by one, as a chain rule needs, and of levels of entries: minutes, both ways.
MOST_VISITS, MOST_LEVELS = 2_000_000, 400_000_000


def coded_name(model: Model) -> str:
    """The name of the score: log p(x|c) makes another file than log p(x)."""
    return f"conditional_{CODED}" if model.conditional else CODED


def why_no_file(model: Model) -> list[str]:
    """Why the model makes no file, in a sentence; none where it makes one."""
    why = refusal(model)
    return [] if why is None else [f"No file: {why} ({coded_name(model)})"]


def lacks_file(model: Model, scores: Scores) -> bool:
    """Whether the length of its file was not measured, though there is one."""
    return coded_name(model) not in scores and refusal(model) is None


def rows_coded(model: Density, rows: int, share: float = 1.0) -> int:
    """How many of so many rows are coded: 2000 at most, fewer where they are dear.

    Args:
        model: that codes them.
        rows: that there are.
        share: of the time that may be taken.
    """
    entries = model.space.dimension
    most = MOST_LEVELS // (entries * (model.space.level_count or 2))
    if isinstance(model, ChainRule):
        most = min(most, MOST_VISITS // entries)
    return min(rows, MOST_ROWS, max(LEAST_ROWS, int(share * most)))


def rows_to_code(model: Density, split: Split) -> Split:
    """The rows that are coded, in their order: the same whatever the seed."""
    whole = whole_rows(split)
    return subset(whole, rows_coded(model, len(whole)), seed=0)


def whole_rows(split: Split) -> Split:
    """Those without missing cells, which have no code.

    Raises:
        ValueError: there are none.
    """
    missing = _missing(split)
    return split.take((~missing).nonzero()[:, 0]) if missing.any() else split


def _missing(split: Split) -> Tensor:
    """Which rows have missing cells, (N,)."""
    if not split.x.is_floating_point():
        return torch.zeros(len(split), dtype=torch.bool)
    return torch.cat([x.isnan().flatten(1).any(1) for x in split.x.split(ROWS)])


def coded_scores(
    model: Density,
    split: Split,
    name: str = "test",
    tell: Callable[[float], None] = lambda share: None,
) -> Scores:
    """Bits per entry of a file of a split, which was read back and compared; none where there is
    none to make, or every row has missing cells.

    What the header and the ends of the stacks take is shared evenly among the values by example,
    so that these have the file's length as their sum.

    Args:
        model: any density.
        split: its examples.
        name: of the split.
        tell: is told the share that is done.
    """
    missing = _missing(split)
    if missing.all() or refusal(model) is not None:
        return {}
    part = rows_to_code(model, split)
    x, c = part.x, condition(model, part)
    coded = code(model, x, c, bare=True, watch=lambda _, share: tell(share))
    own = estimate(model, x, c).mean().item() / model.counted
    bits = coded.bits.double().cpu()
    shared = (coded.header_bits + coded.payload_bits - bits.sum()) / len(bits)
    score = mean_score((bits + shared) / model.counted, "bits", name, kind="file")
    notes = [*_some(len(bits), int((~missing).sum()), len(split)), *file_notes(coded, score, own)]
    return {coded_name(model): replace(score, notes=tuple(notes))}


def _some(coded: int, whole: int, rows: int) -> list[str]:
    if coded == rows:
        return []
    chosen = "" if coded == whole else ", chosen at random"
    without = "" if whole == rows else f"; {rows - whole:,} have missing cells, which have no code"
    return [f"coded were {coded:,} of {rows:,} rows{chosen}{without}"]


def file_notes(coded: Compressed, score: Score, own: float) -> list[str]:
    """How the file was made, what it exceeds the model's own number by, and what came back.

    Args:
        coded: the file, and what each row took.
        score: its bits/dim.
        own: bits/dim by log p(x), or by the ELBO of one draw, of the same rows.
    """
    more = 100 * (score.value / own - 1) if own else 0.0
    found = [
        f"{score.n:,} rows by {coded.method}: {coded.payload_bits:,} bits, and "
        f"{coded.header_bits:,} of header",
        f"{more:+.2f} % beside the {own:.4f} bits/dim of the same rows by the model itself",
    ]
    if coded.paid.any():
        taken, expected = (t[coded.paid].mean().item() for t in (coded.back, coded.expected))
        found.append(
            f"what came off the stack took {taken:,.1f} bits a row by −log₂ q(z|x), where "
            f"{expected:,.1f} are expected"
        )
    return [*found, *coded.warnings]
