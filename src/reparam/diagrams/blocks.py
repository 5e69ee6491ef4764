"""Encoder, code and decoder as blocks, with the shapes of the tensors that pass through them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from reparam.diagrams.canvas import Canvas, Spot
from reparam.model import Codec, Decoder, Encoder, Generator, Model
from reparam.space import trusted
from reparam.supervised import Supervised

Shape = tuple[int, ...]
ROWS, MOST = 2, 7  # of the batch that is passed through; shapes shown of one block
GAP, LOWER = 46.0, 140.0  # between blocks, and between rows of them


@dataclass
class Block:
    """A part of a model that was called.

    Args:
        name: by which its model has it.
        kind: its class.
        takes: the shape of a row of the first tensor it was given.
        shapes: those of a row of what its layers made, one after the other, repetitions left out;
            the last is what the block gives.
        parameters: how many numbers of it are learned.
        kernels: whether it is convolutional: then vectors between grids are left out.

    >>> Block("encoder", "MLP", (64,), [(32,), (4,)]).gives
    (4,)
    """

    name: str
    kind: str
    takes: Shape
    shapes: list[Shape] = field(default_factory=list)
    parameters: int = 0
    kernels: bool = False

    def add(self, shape: Shape) -> None:
        """The shape of what one of its layers made."""
        grids = self.kernels and len(self.takes) > 2
        while grids and len(shape) > 2 and self.shapes and len(self.shapes[-1]) < 3:
            self.shapes.pop()  # an embedding on the way from grid to grid
        if not self.shapes or self.shapes[-1] != shape:
            self.shapes.append(shape)

    @property
    def gives(self) -> Shape:
        return self.shapes[-1] if self.shapes else ()

    @property
    def lines(self) -> list[str]:
        """What is written in it."""
        shown: list[Shape | None] = list(self.shapes)
        if len(shown) > MOST:
            shown = [*shown[: MOST // 2], None, *shown[-(MOST // 2) :]]
        words = ["…" if one is None else shape_words(one) for one in shown]
        return [
            f"{self.name} ({self.kind})",
            " → ".join([shape_words(self.takes), *words]),
            f"{self.parameters:,} parameters".replace(",", " "),
        ]


def shape_words(shape: Shape) -> str:
    """A shape as one reads it.

    >>> shape_words((1, 28, 28)), shape_words(())
    ('1 × 28 × 28', '1')
    """
    return " × ".join(map(str, shape)) or "1"


def example(model: Model) -> tuple[Tensor, Tensor | None]:
    """Rows that the model accepts, and conditions of them; they mean nothing."""
    x = model.anchor.new_zeros(ROWS, *model.space.shape)
    return x, model.draw_condition(ROWS)


def network_of(model: Model) -> Canvas:
    """Every pass that a model makes, one below the other: what goes in, blocks, what comes out."""
    canvas = Canvas()
    for index, (title, takes, blocks, gives) in enumerate(passes(model)):
        y = index * LOWER
        canvas.text(0, y - 56, title, "title")
        spot = _beside(canvas, None, y, [takes[0], shape_words(takes[1])], "known")
        for block in blocks.values():
            spot = _beside(canvas, spot, y, block.lines)
        _beside(canvas, spot, y, [gives[0], shape_words(gives[1])], "known")
    total = sum(p.numel() for p in model.parameters())
    words = f"{type(model).__name__}: {total:,} parameters; shapes are those of one row"
    canvas.text(0, canvas.high[1] + 30, words.replace(",", " "), "soft left")
    return canvas


def _beside(
    canvas: Canvas, before: Spot | None, y: float, lines: list[str], kind: str = ""
) -> Spot:
    """A box to the right of another one, with an arrow between them."""
    trial = Canvas().box(0, 0, lines)
    left = 0.0 if before is None else before.x + before.half_width + GAP
    spot = canvas.box(left + trial.half_width, y, lines, kind)
    if before is not None:
        canvas.arrow(before, spot)
    return spot


Named = tuple[str, Shape]


@torch.no_grad()
def passes(model: Model) -> Iterator[tuple[str, Named, Mapping[str, Block], Named]]:
    """By title what goes in, the blocks that it passes, and what comes out."""
    was = model.training
    model.eval()
    try:
        with trusted(), torch.random.fork_rng(devices=[]):
            x, c = example(model)
            yield from _passes(model, x, c)
    finally:
        model.train(was)


def _passes(
    model: Model, x: Tensor, c: Tensor | None
) -> Iterator[tuple[str, Named, Mapping[str, Block], Named]]:
    given = ("x", tuple(x.shape[1:]))
    code: Tensor | None = None
    if isinstance(model, Encoder):
        with Watch(model) as blocks:
            code = model.encode(x, c)
        yield "Encode", given, blocks, ("code", tuple(code.shape[1:]))
    if isinstance(model, Decoder):
        if code is None:
            code = model.anchor.new_zeros(ROWS, *model.code_space.shape)
        with Watch(model) as blocks:
            decoded = model.decode(code, c)
        name = "x̂" if isinstance(model, Codec) else "x"
        yield "Decode", ("code", tuple(code.shape[1:])), blocks, (name, tuple(decoded.shape[1:]))
    inner = getattr(model, "generator", None)
    if isinstance(inner, Generator):
        for title, *others in _passes(inner, *example(inner)):
            yield f"{title}, of codes", *others  # type: ignore[misc]
    elif not isinstance(model, Encoder | Decoder):
        targets: dict[str, Any] = {}
        if isinstance(model, Supervised):
            targets["target"] = torch.zeros(ROWS, dtype=torch.int64, device=x.device)
        with Watch(model) as blocks:
            model.loss(x, c, **targets)
        yield "Loss", given, blocks, ("loss", ())


class Watch:
    """The parts of a model that are called inside, in order, each once.

    A part is the outermost module with something to learn that was called, below models and lists
    of modules. Of a part with kernels vectors between grids, as embeddings of times, are left out.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.blocks: dict[str, Block] = {}
        self.open: str | None = None  # the part that is being called
        self.hooks: list[Any] = []

    def __enter__(self) -> dict[str, Block]:
        for name, module in self.model.named_modules():
            if not isinstance(module, Model | nn.ModuleList):
                self._watch(name, module)
        return self.blocks

    def __exit__(self, *raised: object) -> None:
        for hook in self.hooks:
            hook.remove()

    def _watch(self, name: str, module: nn.Module) -> None:
        parameters = list(module.parameters())
        learned, kernels = sum(p.numel() for p in parameters), any(p.ndim > 3 for p in parameters)

        def enters(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
            first = _first([*given, *named.values()])
            if self.open is None and first is not None and learned:
                self.open = name
                takes = tuple(first.shape[1:])
                block = Block(name, type(module).__name__, takes, [], learned, kernels)
                self.blocks.setdefault(name, block)

        def leaves(_: nn.Module, given: Any, made: Any) -> None:
            first, block = _first(made), self.blocks.get(self.open or "")
            if block is not None and first is not None:
                block.add(tuple(first.shape[1:]))
            if self.open == name:
                self.open = None

        self.hooks.append(module.register_forward_pre_hook(enters, with_kwargs=True))
        self.hooks.append(module.register_forward_hook(leaves))


def _first(found: Any) -> Tensor | None:
    """The first tensor of rows among what a part was given or made."""
    if isinstance(found, Tensor):
        return found if found.ndim and len(found) == ROWS else None
    if isinstance(found, list | tuple):
        return next((t for t in map(_first, found) if t is not None), None)
    return None
