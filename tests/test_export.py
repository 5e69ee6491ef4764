"""Encoders and decoders are exported with any batch size, by ``torch.export``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from conftest import Case, all_cases, graphs
from torch import Tensor, nn

from reparam.model import Codec, Space
from reparam.presets import PRESETS

# Decoders that walk through the entries of x, one after the other: in caches that they write to,
# or in a pass for each, as those of `maf` do, which are exported.
WALKS = {"pixel-vae", "spline-autoregressive"}
# What neither ``encode`` nor ``decode`` runs.
OF_THE_LOSS = ("p_z", "objective", "corruption", "penalty", "generator")


class Both(nn.Module):
    """Encoder and decoder in one graph."""

    def __init__(self, model: Codec, decodes: bool) -> None:
        super().__init__()
        self.model, self.decodes = model, decodes

    def forward(self, x: Tensor, code: Tensor, c: Tensor | None = None) -> tuple[Tensor, ...]:
        encoded = self.model.encode(x, c)
        return (encoded, self.model.decode(code, c)) if self.decodes else (encoded,)


def coding_parts(model: nn.Module) -> Iterator[nn.Module]:
    """What ``encode`` and ``decode`` are made of."""
    yield model
    for name, part in model.named_children():
        if name not in OF_THE_LOSS:
            yield from part.modules()


def small_codecs() -> Iterator[Case]:
    """Presets on few entries: what is repeated for each of them is repeated there as well."""
    seen: set[tuple[str, str]] = set()
    for case in all_cases():
        if not issubclass(PRESETS[case.name].model, Codec) or case.changes:
            continue
        side = max(4, PRESETS[case.name].accepts.least)
        shape = (1, side, side) if case.space.is_image else (min(case.space.dimension, 3),)
        if (case.name, case.variant) not in seen:
            seen.add((case.name, case.variant))
            yield replace(case, space=replace(case.space, shape=shape))


GRAPHS = graphs(list(small_codecs()), coding_parts)


def methods(case: Case) -> tuple[object, object]:
    """How its class of model encodes and decodes: perhaps as the class that it is a kind of."""
    model = PRESETS[case.name].model
    return model.encode, model.decode  # type: ignore[attr-defined]


# The first of each way to encode and decode, which all flows share: one that is inverted in closed
# form, as searching for an inverse makes the longest of their graphs and adds no other way.
SEARCHED = {"planar-flow", "radial-flow"}
STRICT = {methods(c): c for c in reversed(GRAPHS) if c.name not in SEARCHED}.values()


def exported(model: Codec, inputs: tuple[Tensor | None, ...], strict: bool, decodes: bool = True):
    batch = torch.export.Dim("batch")
    shapes = tuple(None if value is None else {0: batch} for value in inputs)
    return torch.export.export(Both(model, decodes), inputs, dynamic_shapes=shapes, strict=strict)


def inputs_of(model: Codec, case: Case, rows: int) -> tuple[Tensor | None, ...]:
    x, c = case.x(rows, rows), case.c(rows, rows)
    return x, model.encode(x, c).detach(), c


@pytest.mark.parametrize("codec", GRAPHS, ids=str)
def test_exported_codecs_take_any_batch_size(codec):
    """Every class of module once, and every ``encode`` and ``decode`` in both modes.

    The strict mode traces as compilation does, which the contract asks of every class of module.
    """
    model, decodes = codec.model().eval(), codec.name not in WALKS
    for strict in (False, True) if codec in STRICT else (False,):
        program = exported(model, inputs_of(model, codec, 3), strict, decodes).module()
        for rows in (2, 5):
            inputs = inputs_of(model, codec, rows)
            for found, wanted in zip(program(*inputs), Both(model, decodes)(*inputs), strict=True):
                torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("name", "shape"), [("vae", (1, 10, 14)), ("vae", (7,)), ("ae", (7,))])
def test_decoders_of_many_levels_are_small_graphs(name, shape):
    """Means over 256 levels are sums over blocks of them, not one node after the other."""
    case = Case(name, Space(shape, "levels", 256))
    model = case.model().eval()
    program = exported(model, inputs_of(model, case, 3), strict=False)
    assert len(list(program.graph.nodes)) < 250  # one level at a time: more than 670
    inputs = inputs_of(model, case, 5)
    for found, wanted in zip(program.module()(*inputs), Both(model, True)(*inputs), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)
