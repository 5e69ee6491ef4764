"""Encoders and decoders are exported with any batch size, by ``torch.export`` in both modes."""

from __future__ import annotations

import pytest
import torch
from conftest import Case
from torch import Tensor, nn

from reparam.model import Codec, Space
from reparam.models.two_stage import TwoStage
from reparam.presets import PRESETS

# Decoders that walk through the entries of x, one after the other: in caches that they write to,
# or in a pass for each, as those of `maf` do, which are exported.
WALKS = {"pixel-vae", "spline-autoregressive"}
# Presets that say how the nets, posteriors and likelihoods of all others look.
FIRST = ("ae", "vae")


class Both(nn.Module):
    """Encoder and decoder in one graph."""

    def __init__(self, model: Codec, decodes: bool) -> None:
        super().__init__()
        self.model, self.decodes = model, decodes

    def forward(self, x: Tensor, code: Tensor, c: Tensor | None = None) -> tuple[Tensor, ...]:
        encoded = self.model.encode(x, c)
        return (encoded, self.model.decode(code, c)) if self.decodes else (encoded,)


def coding_parts(model: nn.Module) -> str:
    """What ``encode`` and ``decode`` are made of: objectives, corruptions and priors are not."""
    parts = model.codec if isinstance(model, TwoStage) else model
    names = ("standardize", "encoder", "q_z", "decoder", "p_x")
    return "\n".join(f"{n}: {part!r}" for n, part in parts.named_children() if n in names)


def exported(model: Codec, inputs: tuple[Tensor | None, ...], strict: bool, decodes: bool = True):
    batch = torch.export.Dim("batch")
    shapes = tuple(None if value is None else {0: batch} for value in inputs)
    return torch.export.export(Both(model, decodes), inputs, dynamic_shapes=shapes, strict=strict)


def inputs_of(model: Codec, case: Case, rows: int) -> tuple[Tensor | None, ...]:
    x, c = case.x(rows, rows), case.c(rows, rows)
    return x, model.encode(x, c).detach(), c


@pytest.mark.role(cls=Codec)
@pytest.mark.one_space
def test_exported_codecs_take_any_batch_size(case):
    if case.changes:
        pytest.skip("presets only")
    if case.space.is_image:
        side = max(8, PRESETS[case.name].accepts.least)
        case = Case(case.name, Space((1, side, side), case.space.kind, case.space.levels))
    model = case.model().eval()
    if case.name not in FIRST and any(
        coding_parts(Case(name, case.space).model().eval()) == coding_parts(model)
        for name in FIRST
        if case.space.classes is None and case.space.attributes is None
    ):
        pytest.skip("encodes and decodes with the parts of another preset")
    decodes = case.name not in WALKS
    for strict in (False, True):
        program = exported(model, inputs_of(model, case, 3), strict, decodes).module()
        for rows in (2, 5):
            inputs = inputs_of(model, case, rows)
            for found, wanted in zip(program(*inputs), Both(model, decodes)(*inputs), strict=True):
                torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("name", "shape"), [("vae", (1, 20, 28)), ("vae", (7,)), ("ae", (7,))])
def test_decoders_of_many_levels_are_small_graphs(name, shape):
    """Means over 256 levels are sums over blocks of them, not one node after the other."""
    case = Case(name, Space(shape, "levels", 256))
    model = case.model().eval()
    program = exported(model, inputs_of(model, case, 3), strict=False)
    assert len(list(program.graph.nodes)) < 250  # one level at a time: more than 670
    inputs = inputs_of(model, case, 5)
    for found, wanted in zip(program.module()(*inputs), Both(model, True)(*inputs), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)
