"""How good restorations are: draws of x given what is left of it, beside the x that was there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from reparam import numerics
from reparam.batching import cost, rows_at_once
from reparam.conditions import check_given
from reparam.data import Data, Split, as_data
from reparam.degradation import Degradation
from reparam.evaluation.lab import lab
from reparam.evaluation.modes import evaluating
from reparam.evaluation.reconstruction import SMALLEST_ERROR
from reparam.evaluation.rows import seeded_slices, subset
from reparam.evaluation.scores import Scores, ScoreTable, finite, mean_score
from reparam.evaluation.vectors import Vectors, unit_range
from reparam.model import Generator, Model, Space, positive_count
from reparam.models.conditional import Conditional
from reparam.presets.given import degraded

DRAWS = 19  # of an example: the truth among them has 20 places, of which 18 are 90 %
COVERED = 0.9
MOST_EXAMPLES, FEWEST_EXAMPLES = 100, 20
MOST_PASSED = 10**8  # entries of x through networks for all draws, a hundredth of those of samples

Restore = Callable[[Tensor], Tensor]  # y (B, *given) → draws (B, k, *shape)


@dataclass(frozen=True)
class Restored:
    """Examples, what is left of them, and draws of what they may have been.

    Args:
        x: (B, *shape), in data units.
        y: (B, *given).
        draws: (B, k, *shape).
        uniform: (B, *shape), noise in [0, 1) by which equal values are put in an order.
    """

    x: Tensor
    y: Tensor
    draws: Tensor
    uniform: Tensor


def places(x: Tensor, draws: Tensor, uniform: Tensor) -> Tensor:
    """Where x lies among k draws, in [0, 1]: (those below + u (those equal + 1)) / (k + 1).

    Of a model whose draws are of p(x|y) this is uniform, exactly and whatever k: x is then one of
    k + 1 values of one law, and u both orders those that are equal and spreads each over its k-th
    part.

    Shape: x and uniform (B, *shape), draws (B, k, *shape) → (B, *shape).

    Reference: Czado, Gneiting & Held 2009, "Predictive model assessment for count data", for the
    randomized integral transform of discrete laws.
    https://doi.org/10.1111/j.1541-0420.2009.01191.x

    >>> x, draws = torch.tensor([[2.0]]), torch.tensor([[[1.0], [2.0], [3.0]]])
    >>> places(x, draws, torch.tensor([[0.5]]))  # one is below, and one equal
    tensor([[0.5000]])
    """
    below, equal = ((compare(draws, x[:, None])).sum(1) for compare in (torch.lt, torch.eq))
    return (below + uniform * (equal + 1)) / (draws.shape[1] + 1)


def hidden_places(degradation: Degradation, found: Restored) -> Tensor:
    """The ``places`` of the entries that y does not say, (B · entries,)."""
    hidden = ~degradation.known.cpu()
    return places(found.x, found.draws, found.uniform)[:, hidden].flatten()


class Standard:
    """What restorations are measured in, made of the data alone.

    Args:
        data: its training split sets units of tables, the peak of real images and the mean color.
        degradation: that was undone.
    """

    def __init__(self, data: Data, degradation: Degradation) -> None:
        self.space, self.degradation = data.space, degradation
        self.vectors = Vectors(data.space, data.train.x)
        real = data.space.kind == "real"
        self.peak = (data.train.x.max() - data.train.x.min()).item() if real else 1.0
        self.color = _mean_color(data) if has_color(data.space) else None

    def measures(self, found: Restored) -> dict[str, Tensor]:
        """The scores of every example, (B,), by name; what is not defined is absent."""
        x, draws = self.vectors(found.x), self._of_draws(found.draws)
        single = (draws - x[:, None]).square().mean(2)  # (B, k)
        of_mean = (draws.mean(1) - x).square().mean(1)
        values = {"restoration_mse": single.mean(1), "restoration_mean_mse": of_mean}
        if self.space.is_image and self.peak:
            values["restoration_psnr"] = self._decibels(single).mean(1)
            values["restoration_mean_psnr"] = self._decibels(of_mean)
        values["consistency"] = self._inconsistency(found)
        unsaid = ~self.degradation.known.flatten().cpu()
        if unsaid.any() and draws.shape[1] > 1:
            values["spread"] = draws.var(1)[:, unsaid].mean(1).sqrt()
        if unsaid.any() and draws.shape[1] >= DRAWS:  # of fewer it tells little: of one, nothing
            place = places(x, draws, found.uniform.flatten(1).cpu().double())[:, unsaid]
            values["coverage"] = ((place - 0.5).abs() <= COVERED / 2).double().mean(1)
        return values if self.color is None else values | self._colors(found, self.color)

    def units(self) -> dict[str, str]:
        error = self.vectors.unit
        of_y = "squared data units" if self.space.kind == "real" else "per entry, values in [0, 1]"
        spread = "deviations" if self.vectors.scale.ndim else "data units"
        spread = "values in [0, 1]" if self.space.kind != "real" else spread
        named = {"restoration_mse": error, "restoration_mean_mse": error, "consistency": of_y}
        return named | {"spread": spread, "coverage": "of entries"}

    def _of_draws(self, draws: Tensor) -> Tensor:
        return self.vectors(draws.flatten(0, 1)).unflatten(0, draws.shape[:2])

    def _decibels(self, errors: Tensor) -> Tensor:
        peak = self.peak**2
        return 10 * torch.log10(peak / errors.clamp(min=SMALLEST_ERROR * peak))

    def _inconsistency(self, found: Restored) -> Tensor:
        """The mean over draws and over the entries of y that depend on x."""
        given = self.degradation
        device = given.known.device
        left = given(found.draws.flatten(0, 1).to(device).double())
        apart = left.unflatten(0, found.draws.shape[:2]) - found.y[:, None].to(left)
        seen = given(torch.ones(1, *given.shape, device=device, dtype=left.dtype))[0] != 0
        return unit_range(apart, self.space).square()[:, :, seen].mean((1, 2)).cpu()

    def _colors(self, found: Restored, average: Tensor) -> dict[str, Tensor]:
        """Squared errors of a* and b*, the mean over pixels and the two."""
        x, draws = (_color(part, self.space) for part in (found.x, found.draws))
        mean = _color(found.draws.double().mean(1), self.space)

        def error(guess: Tensor, truth: Tensor = x) -> Tensor:
            return (guess - truth).square().flatten(1).mean(1)

        return {
            "color_mse": error(draws, x[:, None]),
            "color_mean_mse": error(mean),
            "color_mse_of_gray": error(torch.zeros(())),
            "color_mse_of_average": error(average[:, None, None]),
        }


def has_color(space: Space) -> bool:
    """Whether x is an image of red, green and blue in levels."""
    return space.is_image and space.shape[0] == 3 and space.kind == "levels"


def _color(x: Tensor, space: Space) -> Tensor:
    return lab(unit_range(x.cpu().double(), space))[..., 1:, :, :]


def _mean_color(data: Data) -> Tensor:
    """a* and b*, the mean over all pixels of training."""
    parts = [_color(x, data.space).sum((0, 2, 3)) for x in data.train.x.split(500)]
    return torch.stack(parts).sum(0) / (data.train.x.numel() // 3)


def scores_of(
    parts: Iterable[Restored], standard: Standard, name: str = "test", seed: int | None = 0
) -> Scores:
    """The scores of examples that come in parts."""
    drawn, found = 0, []
    for part in parts:
        drawn = part.draws.shape[1]
        found.append(standard.measures(part))
    units = standard.units()
    scores: Scores = {}
    for key in found[0]:
        unit = units.get(key, "dB" if key.endswith("psnr") else "a*b*, squared")
        protocol: dict[str, Any] = {} if "_of_" in key else {"samples": drawn, "seed": seed}
        values = torch.cat([values[key] for values in found])
        scores[key] = mean_score(values, unit, name, **protocol)
    return scores


def restoration_scores(
    data: Any,
    x: Tensor,
    y: Tensor,
    draws: Tensor,
    degradation: str | Degradation,
    *,
    split: str = "test",
    seed: int = 0,
) -> ScoreTable:
    """The scores of restorations that were made elsewhere.

    Args:
        data: its training split sets units; what is no ``Data`` is read by ``load_data``.
        x: (B, *shape), what there was.
        y: (B, *given), what was left of it.
        draws: (B, k, *shape), what it may have been.
        degradation: by which y is left of x, or its name.
        split: that x are of, for the protocol.
        seed: of the order of equal values in ``coverage``.

    >>> import reparam as rp
    >>> data = rp.load_data("digits")
    >>> x = data.test.x[:50].float()
    >>> found = rp.restoration_scores(data, x, x[..., ::2, ::2], x[:, None], "subsample:2")
    >>> found["restoration_mse"].value, found["consistency"].value, "spread" in found
    (0.0, 0.0, False)
    """
    data = as_data(data)
    given = _degradation(degradation, data.space)
    generator = torch.Generator().manual_seed(seed)
    uniform = torch.rand(x.shape, generator=generator)
    _refuse_other_shapes(x, draws)
    y = check_given(y, len(x), given.given, data.space.level_count, "y")
    found = Restored(x, y, draws, uniform)
    return ScoreTable(finite(scores_of([found], Standard(data, given), split, seed)))


def restoration_quality(
    model: Generator | Restore,
    data: Any,
    degradation: str | Degradation | None = None,
    *,
    split: str = "test",
    draws: int = DRAWS,
    examples: int | None = None,
    seed: int = 0,
) -> ScoreTable:
    """How good the restorations of a model are, or of any function.

    Args:
        model: trained with ``given=``; or a function from y (B, *given) to draws (B, k, *shape),
            such as ``lambda y: rp.restore(vae, y, "downscale:2", draws=19).x``.
        data: of which examples are degraded; what is no ``Data`` is read by ``load_data``.
        degradation: of the function, or its name; that of a model is known.
        split: ``"test"``, ``"valid"`` or ``"train"``.
        draws: of each example, for a model.
        examples: how many; None: 100 at most, fewer where draws are dear.
        seed: of all draws; that of the examples is always the same.

    Returns:
        ``restoration_mse`` and ``restoration_psnr`` of single draws, ``restoration_mean_mse`` and
        ``restoration_mean_psnr`` of the mean of the draws of an example, ``consistency``,
        ``spread``, ``coverage`` by 19 draws or more, and of images of red, green and blue the
        errors of their color.

    Raises:
        ValueError: a model that is not given anything, or a function without a degradation.

    >>> import reparam as rp
    >>> data = rp.load_data("digits")
    >>> def enlarged(y):  # the nearest pixel that is there
    ...     return y.repeat_interleave(2, 2).repeat_interleave(2, 3)[:, None]
    >>> found = rp.restoration_quality(enlarged, data, "subsample:2")
    >>> round(found["restoration_mse"].value, 2), found["consistency"].value
    (0.1, 0.0)
    """
    positive_count("draws", draws)
    if isinstance(model, Generator):
        own = given_to(model)
        asked = degradation if isinstance(degradation, str) else getattr(degradation, "name", None)
        if own is None:
            raise ValueError(
                f"model: {type(model).__name__} is given nothing; train one with given=, or pass a "
                "function, such as lambda y: rp.restore(model, y, degradation, draws=19).x"
            )
        if asked not in (None, own.name):
            raise ValueError(f"degradation: expected {own.name}, as trained, got {asked}")
        data = as_data(data, model.space)
        rows = chosen(data, split, model, draws, examples)
        with evaluating([model]):
            parts = list(restorations(model, rows, draws, seed))
        return ScoreTable(finite(scores_of(parts, Standard(data, own), split, seed)))
    if degradation is None:
        raise ValueError("degradation: expected that of the function, got none")
    data = as_data(data)
    given = _degradation(degradation, data.space)
    rows = subset(data.splits[split], examples or MOST_EXAMPLES, 0)
    made = _made(rows, lambda x: given(x.double()), model, rows_at_once(data.space), seed)
    return ScoreTable(finite(scores_of(made, Standard(data, given), split, seed)))


def given_to(model: Model) -> Degradation | None:
    """The degradation whose y a model is given; None where it draws nothing by one."""
    if isinstance(model, Conditional) and isinstance(model, Generator):
        return model.degradation
    return None


def model_scores(model: Generator, data: Data, split: str, seed: int) -> Scores:
    """The scores of a model that was trained with ``given=``, by as many examples as it affords."""
    own = given_to(model)
    assert own is not None
    rows = chosen(data, split, model)
    return scores_of(restorations(model, rows, DRAWS, seed), Standard(data, own), split, seed)


def chosen(
    data: Data, split: str, model: Generator, draws: int = DRAWS, examples: int | None = None
) -> Split:
    """The examples that are restored, the same whatever the seed."""
    if examples is None:
        examples = affordable_examples(model, draws)
    return subset(data.splits[split], examples, 0)


def affordable_examples(model: Generator, draws: int = DRAWS) -> int:
    """So many draws of how many examples are affordable: 100 at most, 20 at least."""
    each = draws * model.passes_per_draw * model.pass_cost * cost(model.space)
    return min(MOST_EXAMPLES, max(FEWEST_EXAMPLES, MOST_PASSED // each))


def restorations(model: Generator, split: Split, draws: int, seed: int) -> Iterator[Restored]:
    """So many draws of each example of a split given what is left of it, in parts."""

    def left(x: Tensor) -> Tensor:
        y = model.told(x, None)
        assert y is not None
        return y

    def restore(y: Tensor) -> Tensor:
        drawn = model.sample(len(y) * draws, y.repeat_interleave(draws, 0))
        return drawn.unflatten(0, (len(y), draws))

    at_once = max(1, rows_at_once(model.space) // draws)  # so that no model takes them in parts
    return _made(split, left, restore, at_once, seed, model.anchor.device)


@torch.no_grad()
def _made(
    split: Split,
    left: Callable[[Tensor], Tensor],
    restore: Restore,
    rows: int,
    seed: int,
    device: torch.device | None = None,
) -> Iterator[Restored]:
    """Every row by noise of its own: it does not matter which stand beside it."""
    for part, noise in seeded_slices(len(split), rows, seed, device or torch.device("cpu")):
        x = split.x[part]
        y = left(x)
        with noise:
            draws = restore(y)
            uniform = numerics.noise(torch.empty(x.shape), "uniform")
        _refuse_other_shapes(x, draws)
        yield Restored(x.cpu(), y, draws.cpu(), uniform)


def _degradation(degradation: str | Degradation, space: Space) -> Degradation:
    return degraded(degradation, space) if isinstance(degradation, str) else degradation


def _refuse_other_shapes(x: Tensor, draws: Tensor) -> None:
    got, (rows, *shape) = tuple(draws.shape), x.shape
    if draws.ndim != x.ndim + 1 or (got[0], *got[2:]) != tuple(x.shape):
        wanted = ", ".join(map(str, (rows, "draws", *shape)))
        raise ValueError(f"draws: expected shape ({wanted}), got {got}")
