"""What the report asks of a model; answers are float32 on the CPU, but x keeps its precision."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from reparam import data
from reparam.batching import in_batches, rows_at_once
from reparam.data import Split
from reparam.model import Codec, Density, Distribution, Encoder, Generator, LatentVariable, Model
from reparam.models.invertible import Invertible
from reparam.train.collapse import has_indices
from reparam.use.editing import draw_codes

ROWS_AT_ONCE = 250  # at most


def seeded_generator(seed: int) -> torch.Generator:
    """A generator on the CPU: the models move its draws to where they are."""
    return torch.Generator().manual_seed(seed)


def plain(x: Tensor) -> Tensor:
    """The tensor as float32 on the CPU."""
    return x.detach().to("cpu", torch.float32)


def in_data_units(x: Tensor) -> Tensor:
    """Values of x on the CPU, float64 where they come so: data far from 0 need it."""
    return x.detach().to("cpu", torch.promote_types(x.dtype, torch.float32))


def condition(model: Model, split: Split, rows: Tensor | slice = slice(None)) -> Tensor | None:
    """The conditions of these rows for a model that uses them, None for the others."""
    c = data.condition(model, split)
    return None if c is None else c[rows]


def at_once(model: Model) -> int:
    """How many rows of a model's space keep within a modest memory."""
    return min(ROWS_AT_ONCE, rows_at_once(model.space))


def encode(model: Encoder, split: Split, rows: Tensor | None = None) -> Tensor | None:
    """The codes of these rows, (B, *event); None where codes are not real.

    Index codes have no straight lines between them, which is what every
    picture of code space needs.
    """
    if model.code_space.kind != "real":
        return None
    rows = torch.arange(len(split)) if rows is None else rows
    codes = []
    for part in rows.split(at_once(model)):
        codes.append(plain(model.encode(split.x[part], condition(model, split, part))))
    return torch.cat(codes)


def indices(model: Encoder, split: Split) -> Tensor | None:
    """The codes of a split as indices (N, *code_space.shape); None where they are none."""
    if not has_indices(model):
        return None
    codes = [
        model.encode(split.x[part], condition(model, split, part)).cpu()
        for part in torch.arange(len(split)).split(at_once(model))
    ]
    return torch.cat(codes).long()


def decode(model: Codec, code: Tensor, c: Tensor | None) -> Tensor:
    """The means of x given codes (B, *event)."""
    parts, count = [], at_once(model)
    for start in range(0, len(code), count):
        rows = slice(start, start + count)
        parts.append(model.decode(code[rows].to(model.anchor), _at(model, c, rows)))
    return torch.cat([in_data_units(part) for part in parts])


def reconstruct(model: Codec, split: Split, rows: Tensor) -> Tensor:
    """The reconstructions of these rows, in data units."""
    return in_data_units(model.reconstruct(split.x[rows], condition(model, split, rows)))


def predicts_hidden(model: Encoder) -> bool:
    """Whether it learned to predict what is hidden, and of a whole x learned nothing."""
    return model.noise is not None and model.noise.hides


def outcome(model: LatentVariable, split: Split, rows: Tensor) -> Distribution:
    """p(x|z) at the codes of these rows."""
    c = condition(model, split, rows)
    return model.likelihood(model.encode(split.x[rows], c), c)


def log_p(model: Density, x: Tensor, draws: int, seed: int, label: int | None = None) -> Tensor:
    """ln p, or ln p(x|y), of rows (N, *shape), by so many draws where it is had by draws."""
    generator = seeded_generator(seed)

    def of(part: Tensor) -> Tensor:
        c = None if label is None else torch.full((len(part),), label)
        return plain(model.log_prob(part, c, samples=draws, generator=generator).value)

    return in_batches(of, 2000, x)


@dataclass(frozen=True)
class Samples:
    """New x of a model: draws x ~ p(x) and, for latent-variable models, the means behind them."""

    draws: Tensor
    means: Tensor | None = None


def sample(model: Generator, n: int, like: Split, seed: int) -> Samples:
    """n draws under the conditions of the first n rows of ``like``.

    Those of a latent-variable model come from the z of its means, one by one.
    """
    generator = seeded_generator(seed)
    c = _at(model, condition(model, like), slice(n))
    if not isinstance(model, LatentVariable):
        return Samples(in_data_units(model.sample(n, c, generator=generator)))
    z = draw_codes(model, n, generator, c)
    means = in_data_units(model.decode(z, c))
    return Samples(in_data_units(model.likelihood(z, c).sample(generator)), means)


def cooled(model: Invertible, temperature: float, n: int, like: Split, seed: int) -> Tensor:
    """What ``sample`` draws of a flow, from the same noise, scaled."""
    c = _at(model, condition(model, like), slice(n))
    generator = seeded_generator(seed)
    return in_data_units(model.sample(n, c, temperature=temperature, generator=generator))


def _at(model: Model, c: Tensor | None, rows: slice) -> Tensor | None:
    return None if c is None else c[rows].to(model.anchor.device)
