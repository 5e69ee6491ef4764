"""The graphical model: which variables there are, and which depend on which."""

from __future__ import annotations

import math

from reparam.diagrams.blocks import example, shape_words
from reparam.diagrams.canvas import Canvas, Spot
from reparam.diagrams.dependence import dependence_of
from reparam.inspection import DrawnByChains
from reparam.model import (
    Codec,
    Completer,
    Decoder,
    Density,
    Encoder,
    Generator,
    LatentVariable,
    Model,
)
from reparam.models.invertible import Invertible

STEP, MOST = 118.0, 5  # between neighbors; variables that are drawn of a long chain
SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def subscript(number: int) -> str:
    """A number as a subscript.

    >>> subscript(12)
    '₁₂'
    """
    return str(number).translate(SUBSCRIPTS)


def graph_of(model: Model) -> Canvas:
    """What depends on what, by what the model can: solid to generate, dashed to infer.

    Filled variables are observed, a box is a deterministic map, the frame is around what there is
    once for each of N examples.
    """
    canvas = Canvas()
    observed = _variables(model, canvas)
    if model.conditional:
        _condition(model, canvas, observed)
    left, right = canvas.low[0] - 20, canvas.high[0] + 20
    canvas.plate(left, canvas.low[1] - 14, right, canvas.high[1] + 30, "N examples")
    canvas.text(left, canvas.low[1] - 12, "Graphical model", "title")
    canvas.text(left, canvas.high[1] + 22, _legend(model), "soft left")
    return canvas


def _condition(model: Model, canvas: Canvas, observed: Spot) -> None:
    """The condition, and what it enters: solid where x is generated, dashed where z is inferred."""
    made, found = _entered(model, canvas, observed)
    middle = sum(spot.x for spot in made) / len(made)
    c = canvas.node(middle, canvas.low[1] - 52, "c", "known")
    canvas.text(c.x + 34, c.y + 5, "condition", "soft left")
    for spot in made:
        canvas.arrow(c, spot)
    for spot in found:  # beside the solid one, where there are both
        canvas.arrow(c, spot, "dashed", bend=28 if spot in made else 0)


def _entered(model: Model, canvas: Canvas, observed: Spot) -> tuple[list[Spot], list[Spot]]:
    """Of which variables the distribution, and of which the inference, depends on c."""
    all_of = list(canvas.nodes.values())
    hidden = [spot for name, spot in canvas.nodes.items() if name[0] in "zk"]
    if isinstance(model, Invertible):
        return [canvas.nodes["f"]], []  # of one map, in both directions
    if isinstance(model, LatentVariable):
        uses = dependence_of(model)
        made = [*(hidden if uses.prior else []), *([observed] if uses.likelihood else [])]
        side_by_side = _downwards(model) or model.code_space.kind == "levels"
        read = hidden if side_by_side else hidden[-1:]  # as x is: by all, or by the lowest
        return made or [observed], read if uses.posterior else []
    inner = getattr(model, "generator", None)
    if isinstance(inner, Generator):  # of codes, by a codec that knows no c
        return hidden[1:] if inner.from_noise is not None else hidden, []
    if isinstance(model, Generator) and model.from_noise is not None:
        return all_of[1:], []  # every step, not the noise that they start from
    if isinstance(model, Completer) and model.in_order:
        return all_of, []
    return [observed], []


def _legend(model: Model) -> str:
    words = "solid: generates; filled: observed"
    return f"{words}; dashed: infers" if isinstance(model, Encoder) else words


def _variables(model: Model, canvas: Canvas) -> Spot:
    """Everything but the condition; the observed x."""
    if isinstance(model, Invertible):
        return _one_to_one(model, canvas)
    if isinstance(model, LatentVariable):
        return _latent(model, canvas)
    if isinstance(model, Codec):
        return _codec(model, canvas)
    if isinstance(model, Generator) and model.from_noise is not None:
        return _noised(model, canvas, "x", 0, 0)[0]
    if isinstance(model, Completer) and model.in_order:
        return _chain(model, canvas)
    if isinstance(model, DrawnByChains):
        return _undirected(model, canvas)
    if isinstance(model, Decoder):
        z = canvas.node(0, 0, "z", "", shape_words(model.code_space.shape))
        return _through(canvas, z, _x(model, canvas, 2 * STEP), "g(z)")
    if isinstance(model, Encoder):
        code = canvas.node(2 * STEP, 0, "h", "", shape_words(model.code_space.shape))
        x = _x(model, canvas, 0)
        _through(canvas, x, code, "f(x)", "dashed")
        return x
    return _x(model, canvas, 0)


def _x(model: Model, canvas: Canvas, x: float, y: float = 0) -> Spot:
    return canvas.node(x, y, "x", "known", shape_words(model.space.shape))


def _through(canvas: Canvas, start: Spot, end: Spot, name: str, kind: str = "") -> Spot:
    """A deterministic map half way between two variables; returns the end."""
    middle = canvas.box((start.x + end.x) / 2, (start.y + end.y) / 2, [name])
    canvas.arrow(start, middle, kind)
    canvas.arrow(middle, end, kind)
    return end


def _one_to_one(model: Invertible, canvas: Canvas) -> Spot:
    """Noise carried to x by members that all have inverses."""
    z = canvas.node(0, 0, "z", "", f"{model.code_space.dimension}, base")
    members = len(model.passage(*example(model))[1])
    words = ["f⁻¹", f"{members} invertible maps" if members > 1 else "an invertible map"]
    middle = canvas.box(1.5 * STEP, 0, words)
    x = _x(model, canvas, 3 * STEP)
    canvas.arrow(z, middle)
    canvas.arrow(middle, x)
    canvas.arrow(x, z, "dashed", bend=110)
    canvas.text(1.5 * STEP, 74, "z = f(x)", "soft")
    canvas.nodes["f"] = middle
    return x


def _latent(model: LatentVariable, canvas: Canvas) -> Spot:
    """Layers of z, the coarsest first, and x; the posterior as it goes."""
    if model.code_space.kind == "levels":
        return _indices(model, canvas)
    sizes = model.layers or (math.prod(model.code_space.shape),)
    shown = _shown(len(sizes))
    spots = []
    for place, layer in enumerate(shown):
        at = place * STEP
        if layer is None:
            canvas.text(at, 5, "⋯")
            spots.append(Spot(at, 0, 12, 12))
            continue
        name = f"z{subscript(len(sizes) - layer)}" if len(sizes) > 1 else "z"
        spots.append(canvas.node(at, 0, name, "", str(sizes[layer])))
    x = _x(model, canvas, len(shown) * STEP)
    way = [*spots, x]
    for start, end in zip(way, way[1:], strict=False):
        canvas.arrow(start, end)
    _infer(model, canvas, spots, x)
    return x


def _infer(model: LatentVariable, canvas: Canvas, spots: list[Spot], x: Spot) -> None:
    """From x up the layers, or down them with x seen by each, as the posterior's paths say."""
    if _downwards(model):
        for index, spot in enumerate(spots):
            canvas.arrow(x, spot, "dashed", bend=46 + 34 * (len(spots) - 1 - index))
        for start, end in zip(spots, spots[1:], strict=False):
            canvas.arrow(start, end, "dashed", bend=-40)
        return
    way = [x, *spots[::-1]]
    for start, end in zip(way, way[1:], strict=False):
        canvas.arrow(start, end, "dashed", bend=46)


def _downwards(model: LatentVariable) -> bool:
    """Whether layers of z are inferred from the coarsest down, each with x."""
    paths = getattr(getattr(model, "q_z", None), "paths", ())
    return len(model.layers) > 1 and bool(paths)


def _indices(model: LatentVariable, canvas: Canvas) -> Spot:
    """Grids of indices of a codebook, the coarsest first."""
    levels, grids = model.code_space.level_count, model.grids
    x = _x(model, canvas, 2 * STEP)
    for index, grid in enumerate(grids):
        y = (index - (len(grids) - 1) / 2) * 112
        name = f"k{subscript(len(grids) - index)}" if len(grids) > 1 else "k"
        code = canvas.node(0, y, name, "", f"{shape_words(grid)} of {levels}")
        canvas.arrow(code, x, bend=14)
        canvas.arrow(x, code, "dashed", bend=14)
    return x


def _shown(count: int) -> list[int | None]:
    """Which of so many are drawn; None stands for those between.

    >>> _shown(3), _shown(9)
    ([0, 1, 2], [0, 1, None, 7, 8])
    """
    return list(range(count)) if count <= MOST else [0, 1, None, count - 2, count - 1]


def _codec(model: Codec, canvas: Canvas) -> Spot:
    """A code that is made of x: with a density random, else found and decoded by functions."""
    inner = getattr(model, "generator", None)
    size = shape_words(model.code_space.shape)
    if isinstance(inner, Generator) and inner.from_noise is not None:
        z, _ = _noised(inner, canvas, "z", 0, 0)
        x = _x(model, canvas, z.x + 2 * STEP)
    else:
        known = "" if isinstance(model, Generator) else "known"
        z = canvas.node(0, 0, "z", known, size)
        x = _x(model, canvas, 2 * STEP)
    if isinstance(model, Density):
        canvas.arrow(z, x)
        canvas.arrow(x, z, "dashed", bend=46)
        return x
    decode = canvas.box((z.x + x.x) / 2, -42, ["decoder"])
    encode = canvas.box((z.x + x.x) / 2, 42, ["encoder"])
    for start, end, kind in ((z, decode, ""), (decode, x, "")):
        canvas.arrow(start, end, kind)
    canvas.arrow(x, encode, "dashed")
    canvas.arrow(encode, z, "dashed")
    return x


def _noised(model: Generator, canvas: Canvas, name: str, at: float, y: float) -> tuple[Spot, Spot]:
    """x_T … x_0: generated by undoing noise; noise is added by a fixed process."""
    times = getattr(getattr(model, "schedule", None), "times", None)
    last = "T" if times else "1"
    names = [f"{name}{s}" for s in ("ₜ₊₁", "ₜ")] if times else [f"{name}ₜ"]
    spots = [canvas.node(at, y, f"{name}_{last}", "", "noise")]
    spots.append(Spot(at + STEP, y, 12, 12))
    canvas.text(at + STEP, y + 5, "⋯")
    for index, one in enumerate(names):
        spots.append(canvas.node(at + STEP * (2 + index), y, one))
    spots.append(Spot(at + STEP * len(spots), y, 12, 12))
    canvas.text(spots[-1].x, y + 5, "⋯")
    end = at + STEP * len(spots)
    below = shape_words(model.space.shape)
    spots.append(canvas.node(end, y, f"{name}₀", "known" if name == "x" else "", below))
    for start, stop in zip(spots, spots[1:], strict=False):
        canvas.arrow(start, stop)
        canvas.arrow(stop, start, "dashed", bend=46)
    words = f"T = {times} steps" if times else "continuous time"
    words += "; dashed: adds noise, with nothing learned"
    canvas.text((at + end) / 2, y + 68, words, "soft")
    return spots[-1], spots[0]


def _chain(model: Model, canvas: Canvas) -> Spot:
    """Entries of x, each drawn given all before it."""
    count = model.space.dimension
    shown = _shown(count)[:MOST]
    spots: list[Spot] = []
    for place, entry in enumerate(shown):
        if entry is None:
            canvas.text(place * STEP, 5, "⋯")
            spots.append(Spot(place * STEP, 0, 12, 12))
        else:
            spots.append(canvas.node(place * STEP, 0, f"x{subscript(entry + 1)}", "known"))
    for first, start in enumerate(spots):
        for second in range(first + 1, len(spots)):
            apart = second - first
            canvas.arrow(start, spots[second], bend=44.0 * apart if apart > 1 else 0.0)
    canvas.text(spots[len(spots) // 2].x, 52, f"{count} entries in the model's order", "soft")
    return spots[-1]


def _undirected(model: Model, canvas: Canvas) -> Spot:
    """p(x) ∝ exp(−E(x)): an energy of all entries, or hidden units beside them."""
    x = _x(model, canvas, 0)
    if hasattr(model, "hidden_given"):
        h = canvas.node(1.6 * STEP, 0, "h", "", "hidden units")
        canvas.line(x, h)
    else:
        energy = canvas.box(1.6 * STEP, 0, ["E(x)", "p(x) ∝ exp(−E(x))"])
        canvas.line(x, energy)
    return x
