"""Constants of a program as bytes, weights in half precision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

Kind = Literal["f32", "f64"]  # of a buffer in the page
WIDE_AT_MOST = 4096  # numbers of a constant that keep float64
SMALL = 256  # numbers of a weight that keep float32
NORMAL = 2.0**-14  # the least number that half precision has in full


class Constant(NamedTuple):
    """A tensor of a program, and whether it is the weight of a map with rows of outputs."""

    value: Tensor
    weight: bool

    @property
    def kind(self) -> Kind:
        """Which precision it has in the page."""
        wide = self.value.dtype == torch.float64 and not self.weight
        exact = not wide or bool((self.value.float().double() == self.value).all())
        return "f32" if exact or self.value.numel() > WIDE_AT_MOST else "f64"


def stored(constants: Mapping[int, Constant]) -> tuple[bytes, list[dict[str, Any]]]:
    """All of them one after the other, each at a multiple of 8 bytes, and where each stands."""
    parts: list[bytes] = []
    entries: list[dict[str, Any]] = []
    at = 0
    for buffer, constant in constants.items():
        entry: dict[str, Any] = {"buffer": buffer}
        for name, part in _parts(constant):
            if name == "rows":
                entry["count"] = part.numel()
            data = part.contiguous().numpy().tobytes()
            data += bytes(-len(data) % 8)
            entry[name] = at
            parts.append(data)
            at += len(data)
        entries.append(entry)
    return b"".join(parts), entries


def _parts(constant: Constant) -> Iterable[tuple[str, Tensor]]:
    """What is written of it: numbers by their format, and ``rows``, factors of whole outputs."""
    value = constant.value.detach().cpu()
    if value.dtype == torch.bool:
        return [("u8", value.to(torch.uint8))]
    if constant.kind == "f64":
        return [("f64", value.double())]
    whole = constant.weight and bool(value.isfinite().all())
    if not whole or value.numel() < SMALL:
        return [("f32", value.float())]
    rows = value.double().flatten(1)
    largest = rows.abs().amax(1, keepdim=True)
    if bool(((largest >= NORMAL) & (largest < 2.0**15)).all()):
        return [("f16", rows.half())]
    factor = torch.exp2(largest.clamp(min=2.0**-126).log2().floor())
    return [("f16", (rows / factor).half()), ("rows", factor.flatten().float())]
