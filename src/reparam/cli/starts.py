"""Where interpolations and traversals start: at examples, or at draws of z where x has no code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from reparam.cli.examples import asked_condition, codec, condition_of, one_example
from reparam.cli.options import Seed
from reparam.cli.runs import OpenRun
from reparam.cli.tables import named

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from reparam.cli.folders import Place
    from reparam.evaluation.latents import Axes
    from reparam.model import Decoder

OfDraws = Annotated[Seed, Parameter(help="Of z, where it is drawn.")]


@dataclass(frozen=True)
class Start:
    """An example (1, *shape) with its condition, or a code in its place where that was drawn."""

    x: Tensor
    c: Tensor | None
    name: str
    place: Place
    drawn: bool = False


def decoder(run: OpenRun, own: bool = False) -> Decoder:
    """What decodes the codes of a run: a generator of noise itself, else as of ``codec``."""
    from reparam.use.editing import noise_decoder

    return noise_decoder(run.model) or codec(run, own)


def starts(
    run: OpenRun, asked: Sequence[str | None], split: str, label: str | None, seed: int
) -> list[Start]:
    """The examples that were asked for; or as many draws of z, all under one condition."""
    from reparam.cli.folders import Place
    from reparam.use.editing import draw_codes, noise_decoder

    model = noise_decoder(run.model)
    if model is None:
        return [_example(run, which, split, label) for which in asked]
    if any(which is not None for which in asked):
        raise ValueError(
            f"{run.path}: {type(model).__name__} has no codes of given examples; name none, and "
            "it starts at draws of z, by --seed"
        )
    generator = _seeded(run, seed)
    codes = draw_codes(model, len(asked), generator).split(1)
    c = asked_condition(model, label, None, 1, run.record)
    c = model.draw_condition(1, generator) if c is None else c
    names = ("a draw of z",) if len(codes) == 1 else ("one draw of z", "another")
    return [Start(z, c, name, Place("z.png"), True) for z, name in zip(codes, names, strict=True)]


def _example(run: OpenRun, which: str | None, split: str, label: str | None) -> Start:
    from reparam.cli.folders import place_of

    if which is None:
        raise ValueError(f"{run.path}: expected two examples to go between, by number or file")
    found = one_example(which, run, split)
    return Start(found.x, condition_of(run, found, label), named(which), place_of(found, which))


def spread(run: OpenRun, model: Decoder, start: Start, seed: int) -> tuple[Tensor, Tensor, Axes]:
    """Mean and standard deviation of the entries of codes, (F,) each, and how much they carry.

    Of codes of test examples, or of z ~ N(0, I).
    """
    import torch

    from reparam.evaluation.latents import INFLUENCED, importance, influence
    from reparam.evaluation.representation import code_features
    from reparam.model import Codec
    from reparam.use.editing import draw_codes

    if not isinstance(model, Codec):
        codes = draw_codes(model, INFLUENCED, _seeded(run, seed))
        zeros = torch.zeros(codes[0].numel())
        return zeros, zeros + 1, influence(model, codes, start.c)
    test = run.data().test
    codes = code_features(model, test)
    axes = importance(model, test, codes, seed=0)
    return codes.mean(0), codes.std(0, correction=0), axes


def _seeded(run: OpenRun, seed: int) -> torch.Generator:
    import torch

    return torch.Generator(run.model.anchor.device).manual_seed(seed)
