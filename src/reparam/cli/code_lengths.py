"""The table of how long examples are: as they are, by general compressors, as scored, as a file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reparam.cli.tables import told
from reparam.wording import counted

if TYPE_CHECKING:
    from rich.table import Table
    from torch import Tensor

    from reparam.coding import Compressed
    from reparam.model import Density

CLOSE = 0.005  # of the model's number, within which a file is as long as it says


@dataclass(frozen=True)
class Lengths:
    """How many bits examples take.

    Args:
        entries: of all examples, N · D.
        raw: as they are.
        others: by general compressors, by name.
        model: by the model's log p(x).
        called: what the model's number is, with its kind.
        coded: the file, where one was made.
        error: standard error of the difference of the file and the model's number, in bits, where
            each of them is found by draws of its own.
    """

    entries: int
    raw: float
    others: dict[str, int]
    model: float
    called: str
    coded: Compressed | None = None
    error: float = 0.0

    def table(self) -> Table:
        """A row for each, with the difference to the model's number."""
        from rich.table import Table

        table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
        table.add_column("")
        for heading in ("bits", "bits/dim", f"more than {self.called.partition(' (')[0]}"):
            table.add_column(heading, justify="right", no_wrap=True)
        rows = {"raw": self.raw, **self.others, self.called: self.model}
        for name, bits in rows.items():
            table.add_row(name, *self._cells(bits), "" if name == self.called else self._more(bits))
        if self.coded is not None:
            file = 8 * len(self.coded.file)
            table.add_row("file", *self._cells(file), self._more(file), style="bold")
            table.add_row("  its header", *self._cells(self.coded.header_bits), "")
            payload = self.coded.payload_bits
            table.add_row("  its payload", *self._cells(payload), self._more(payload))
        return table

    def sentence(self) -> str:
        """Whether a file is as long as the model says, without its header and with it."""
        assert self.coded is not None
        short = self.called.partition(" (")[0]
        more = self._share(self.coded.payload_bits)
        near = "within" if abs(more) <= CLOSE else "not within"
        whole = self._share(8 * len(self.coded.file))
        error = self.error / self.model if self.model else 0.0
        draws = f" (± {error:.2%} by the draws of z)" if error >= 1e-4 else ""
        return (
            f"Without its header the file is {_longer(more)} than {short}{draws}, {near} "
            f"{CLOSE:.1%}; with it {_longer(whole)}."
        )

    def _cells(self, bits: float) -> tuple[str, str]:
        return f"{bits:,.0f}", f"{bits / self.entries:.4f}"

    def _more(self, bits: float) -> str:
        return f"{bits - self.model:+,.0f} ({self._share(bits):+.2%})"

    def _share(self, bits: float) -> float:
        """By which bits exceed the model's number, which is 0 where it is certain of all data."""
        return (bits - self.model) / self.model if self.model else math.inf if bits else 0.0


def _longer(share: float) -> str:
    return f"{abs(share):.2%} {'longer' if share >= 0 else 'shorter'}"


def called(model: Density, x: Tensor, c: Tensor | None) -> str:
    """What the model's own number is: −log₂ p or −ELBO, with its kind."""
    import torch

    from reparam.model import LatentVariable

    with torch.no_grad():
        kind = model.log_prob(x[:1], None if c is None else c[:1]).kind
    bound = kind == "lower bound" and isinstance(model, LatentVariable)
    words = {"exact": "exact", "lower bound": "an upper bound", "estimate": "an estimate"}
    return f"{'−ELBO' if bound else '−log₂ p'} ({words[kind]})"


def back_and_dirty(coded: Compressed) -> list[str]:
    """Of bits back: which rows got none, and whether what was popped was as good as noise."""
    if coded.way != "bits back":
        return []
    first = f"{coded.first} of {counted(len(coded.back), 'row')} went without bits back."
    expected, popped = (values[coded.paid] for values in (coded.expected, coded.back))
    if len(popped) < 2:
        return [first]
    off = (popped - expected).std() / len(popped) ** 0.5
    said = f"{popped.mean():.2f} ± {off:.2f} bits a row by −log₂ q, {expected.mean():.2f} expected"
    return [first, f"Dirty bits: the popped z took {said}."]


def speeds(n: int, what: str, seconds: tuple[float, float | None]) -> str:
    """How fast coding was, and decoding, where that was done."""
    there, back = seconds
    said = f"coded at {rate(n, there)} {what} a second"
    if back is None:
        return f"{said}, not checked"
    return f"{said}, decoded at {rate(n, back)}, all equal"


def rate(n: int, seconds: float) -> str:
    rate = n / max(seconds, 1e-9)
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"


def written(what: str, coded: Compressed, out: str) -> str:
    """What lies where."""
    return f"{len(coded.bits)} {what} in {told(out)} by {coded.method}, {len(coded.file):,} bytes"
