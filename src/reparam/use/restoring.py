"""Restoration: an x drawn of which a degradation left y, p(x | A x = y)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from reparam import numerics
from reparam.batching import draws_at_once, slices
from reparam.conditions import check_given
from reparam.degradation import Degradation
from reparam.distributions.conditioned import (
    MOST_ROWS,
    Conditioned,
    Groups,
    NormalImage,
    NormalSums,
    groups_of,
)
from reparam.distributions.level_solutions import LevelSolutions
from reparam.distributions.level_sums import LevelSums
from reparam.model import Completer, Generator, LatentVariable, Model, positive_count
from reparam.presets.given import degraded
from reparam.space import as_tensor
from reparam.use.missing_part import STEPS, complete, why_no_chains, why_not
from reparam.use.restoring_chains import RestoringChains

How = Literal["trained", "exact", "by chains", "approximate"]
TABLES = 2**25  # numbers of p(x|z) of all levels, at once


@dataclass(frozen=True)
class Restoration:
    """Examples that were drawn given what a degradation left of them.

    Args:
        x: (B, draws, *shape); entries that y says outright are as they were.
        how: ``"trained"``, by a model that was trained on what is given; ``"exact"``, draws of
            p(x | y) of another; ``"by chains"`` that have it as their target; ``"approximate"``.
        remark: a sentence, where it is not p(x | y) that was drawn from.
        steps: of each Markov chain.
        acceptance: the share of the proposals of q that the chains accepted.
    """

    x: Tensor
    how: How
    remark: str = ""
    steps: int | None = None
    acceptance: float | None = None


@torch.no_grad()
def restore(
    model: Model,
    y: Tensor,
    degradation: str | Degradation | None = None,
    *,
    c: Tensor | None = None,
    draws: int = 1,
    steps: int = STEPS,
    within: float = 0.0,
    generator: torch.Generator | None = None,
) -> Restoration:
    """Draw what an image may have been of which y is left.

    A model that was trained with ``given=`` draws x given y. Of others, where y are entries of x
    (a mask, every so manieth pixel), it is ``complete``. Latent-variable models whose entries are
    independent given z draw by Markov chains (``RestoringChains``): x ~ p(x | z, y) exactly, for
    whole numbers where y are sums of separate pixels, for normal entries whatever y is. Diffusion
    models draw approximately, by moving what they estimate to where y is left of it.

    Args:
        model: one that was trained for it, or a VAE, or a diffusion model; for pixels that come
            first an autoregressive one.
        y: (B, *given), in data units.
        degradation: what left y, as ``given=`` names it; of a model that was trained for one it
            is that one.
        c: the condition, for models that use another than y.
        draws: for each y.
        steps: of a chain.
        within: how far y of whole numbers may be from what is left of x: 0.5 where it was rounded.
            All x that are as near are then possible, each as likely as p(x) says.
        generator: of the draws.

    Raises:
        ValueError: a model that cannot, another degradation than the model was trained for, y of
            another shape or that is left of no x.

    >>> import reparam as rp
    >>> model = rp.build("vae", rp.Space((1, 4, 4), "binary"), latent_dim=2, hidden=(8,)).eval()
    >>> y = torch.tensor([[[[1.0, 0.5], [0.25, 0.0]]]])
    >>> found = rp.restore(model, y, "downscale:2", draws=3)
    >>> found.x.shape, found.how
    (torch.Size([1, 3, 1, 4, 4]), 'by chains')
    >>> from reparam.degradation import degradation
    >>> bool((degradation("downscale:2", (1, 4, 4))(found.x[0]) == y).all())
    True
    """
    positive_count("draws", draws)
    positive_count("steps", steps)
    given = degradation_of(model, degradation)
    reason = why_not_restored(model, given)
    if reason is not None:
        raise ValueError(f"model: {reason}")
    y = _checked(y, model, given)
    if trained_for(model) is not None:
        if c is not None:
            raise ValueError("c: the model's condition is y; leave it out")
        return _by_training(model, y, draws, generator)
    if selects(given):
        return _by_completion(model, y, given, c, draws, steps, within, generator)
    some = _some_x(model, given, y)
    _, c = model.prepare(some, c)
    if isinstance(model, Generator) and not isinstance(model, LatentVariable):
        return _by_undoing(model, y, given, c, draws, generator)
    assert isinstance(model, LatentVariable)
    return _by_chains(model, y, given, some, c, draws, steps, within, generator)


def degradation_of(model: Model, degradation: str | Degradation | None) -> Degradation:
    """What is asked for, of x of the model; where nothing is, what the model was trained for."""
    trained = trained_for(model)
    if degradation is None:
        if trained is None:
            raise ValueError(
                f"degradation: {type(model).__name__} was trained for none; say what left y, as "
                "downscale:2"
            )
        return trained
    if isinstance(degradation, str):
        degradation = degraded(degradation, model.space)
    if degradation.shape != model.space.shape:
        raise ValueError(
            f"degradation: expected one of x {model.space.shape}, got one of {degradation.shape}"
        )
    return degradation.to(model.anchor.device)


def trained_for(model: Model) -> Degradation | None:
    """The degradation that a model was trained for; None of others."""
    found = getattr(model, "degradation", None)
    return found if isinstance(found, Degradation) else None


def selects(given: Degradation) -> bool:
    """Whether y are entries of x and nothing else.

    >>> from reparam.degradation import degradation
    >>> selects(degradation("subsample:2", (1, 4, 4))), selects(degradation("gray", (3, 4, 4)))
    (True, False)
    """
    return given.knows and not bool(given((~given.known)[None].double()).any())


@torch.no_grad()
def why_not_restored(model: Model, given: Degradation) -> str | None:
    """A sentence that says why a model draws no x of such y, and which does; else None."""
    name, trained = type(model).__name__, trained_for(model)
    train = f"train cvae, gated-pixel-cnn or ddpm with given={_short(given)}"
    if trained is not None:
        if _same(trained, given):
            return None
        one, other = _short(trained), _short(given)
        other = "another mask" if one == other else other
        return f"{name} was trained with given={one}, not {other}; train one with that"
    if selects(given):
        return why_not(model) or _out_of_order(model, given)
    if isinstance(model, LatentVariable):
        indices = "its codes are indices" if model.code_space.kind == "levels" else None
        why = indices or why_no_chains(model) or _why_no_draw(model, given)
        return why and f"{name} does not restore {_short(given)}, as {why}; use ddpm, or {train}"
    if isinstance(model, Generator) and model.from_noise is not None and model.from_noise.restores:
        return None
    if isinstance(model, Completer) and model.in_order:
        return (
            f"{name} draws entry by entry, and sees no {_short(given)} that it was not trained "
            f"for; use vae or ddpm, or {train}"
        )
    return f"{name} does not restore {_short(given)}; use vae or ddpm, or {train}"


def _out_of_order(model: Model, given: Degradation) -> str | None:
    if not isinstance(model, Completer):
        return None
    try:
        model.refuse_given(given.known[None])
    except ValueError:
        return (
            f"{type(model).__name__} draws entry by entry, and {_short(given)} says entries that "
            "come after others, in whose draws they would have no say; use vae or ddpm, or train "
            f"gated-pixel-cnn with given={_short(given)}"
        )
    return None


def _why_no_draw(model: LatentVariable, given: Degradation) -> str | None:
    """Why x is not drawn exactly given z and y."""
    groups, levels = groups_of(given), model.space.level_count
    if levels is None:
        if model.space.columns:
            return "its columns are of several kinds"
        if groups is None and math.prod(given.given) > MOST_ROWS:
            return f"that takes a system of {math.prod(given.given)} equations at every step"
        return None
    if groups is None:
        return "the whole numbers that are left so are not known to be drawn exactly"
    if _alike(groups):
        return None
    one = (groups.weights == groups.weights[:1]).all()
    if one and groups.weights.shape[1] <= 3 and (groups.weights > 0).all():
        return None
    return "its sums have weights that differ"


def _alike(groups: Groups) -> bool:
    """Whether the entries of a group have one weight."""
    most = groups.weights.amax(1, keepdim=True)
    return torch.allclose(torch.where(groups.members >= 0, groups.weights, most), most)


def _same(one: Degradation, other: Degradation) -> bool:
    alike = one.shape == other.shape and one.given == other.given
    if alike and selects(one) and selects(other):
        return torch.equal(one.known.cpu(), other.known.cpu())
    return alike and one.name == other.name


def _short(given: Degradation) -> str:
    """The name, of a mask that a file says without its bits."""
    parts = given.name.split(":")
    return given.name if len(parts) < 3 else "mask:FILE"


def _checked(y: object, model: Model, given: Degradation) -> Tensor:
    y = as_tensor(y, "y")
    rows = len(y) if y.ndim else 0
    if not rows:
        expected = ", ".join(map(str, given.given))
        raise ValueError(f"y: expected a tensor of shape (B ≥ 1, {expected}), got {tuple(y.shape)}")
    y = check_given(y, rows, given.given, model.space.level_count, "y")
    return y.to(model.anchor.device)


def _some_x(model: Model, given: Degradation, y: Tensor) -> Tensor:
    """Data that look like y, to begin with, and to be checked with c."""
    x, levels = given.pseudo_inverse(y), model.space.level_count
    return x if levels is None else x.round().clamp(0, levels - 1)


def _by_training(
    model: Model, y: Tensor, draws: int, generator: torch.Generator | None
) -> Restoration:
    assert isinstance(model, Generator)  # as all are that take a degradation

    def drawn(y: Tensor) -> Tensor:
        return model.sample(len(y), y, generator=generator)

    return Restoration(_in_parts(model, drawn, draws, y), "trained")


def _by_completion(
    model: Model,
    y: Tensor,
    given: Degradation,
    c: Tensor | None,
    draws: int,
    steps: int,
    within: float,
    generator: torch.Generator | None,
) -> Restoration:
    x, levels = given.pseudo_inverse(y), model.space.level_count
    if levels is not None:
        x, off = x.round(), (x - x.round()).abs()
        if off.max() > max(within, 1e-3):
            value = y.flatten()[(y - y.round()).abs().argmax()].item()
            raise ValueError(
                f"y: {_short(given)} leaves whole numbers as they are, got {value:.6g}; give y as "
                "it was left, or say with within=0.5 (--rounded) that it was rounded"
            )
    if given.known.all():
        model.prepare(x, c)  # to refuse what is no x
        return Restoration(x.unsqueeze(1).repeat_interleave(draws, 1), "exact")
    found = complete(model, x, given.known, c, draws=draws, steps=steps, generator=generator)
    if found.steps is not None:
        return Restoration(found.x, "by chains", "", found.steps, found.acceptance)
    remark = model.approximates if isinstance(model, Completer) else ""
    return Restoration(found.x, "approximate" if remark else "exact", remark)


def _by_undoing(
    model: Generator,
    y: Tensor,
    given: Degradation,
    c: Tensor | None,
    draws: int,
    generator: torch.Generator | None,
) -> Restoration:
    view = model.from_noise
    assert view is not None  # else it was refused

    def drawn(y: Tensor, c: Tensor | None = None) -> Tensor:
        return view.restored(given, y, c, generator)

    return Restoration(_in_parts(model, drawn, draws, y, c), "approximate", view.restores)


def _by_chains(
    model: LatentVariable,
    y: Tensor,
    given: Degradation,
    some: Tensor,
    c: Tensor | None,
    draws: int,
    steps: int,
    within: float,
    generator: torch.Generator | None,
) -> Restoration:
    shares: list[float] = []

    def drawn(y: Tensor, some: Tensor, c: Tensor | None = None) -> Tensor:
        told = _conditioned(model, given, y, within)
        x, _ = model.prepare(some, c)
        found, share = RestoringChains(model, told, x, c, generator).run(steps)
        shares.extend([share] * len(y))
        return found

    x = _in_parts(model, drawn, draws, y, some, c)
    return Restoration(x, "by chains", "", steps, sum(shares) / len(shares))


def _conditioned(
    model: LatentVariable, given: Degradation, y: Tensor, within: float
) -> Conditioned:
    groups, levels = groups_of(given), model.space.level_count
    if groups is None:
        return NormalImage(given, y)
    if levels is None:
        return NormalSums(given, y, groups)
    kind = LevelSums if _alike(groups) else LevelSolutions
    return kind(given, y, groups, levels, within)


def _in_parts(
    model: Model, drawn: Callable[..., Tensor], draws: int, y: Tensor, *others: Tensor | None
) -> Tensor:
    """So many draws of each y, (B, draws, *shape), as many at a time as memory allows."""
    rows = len(y) * draws
    # There is noise for all of them together, where it is that of each example.
    most = rows if numerics.noise_is_by_example() else at_once(model)
    whole = [None if t is None else t.repeat_interleave(draws, 0) for t in (y, *others)]
    parts = [
        drawn(*(None if t is None else t[part] for t in whole)) for part in slices(0, rows, most)
    ]
    return torch.cat(parts).unflatten(0, (len(y), draws))


def at_once(model: Model) -> int:
    """Draws together: fewer where tables of many levels are kept of each."""
    most = draws_at_once(model.space, model.anchor.device)
    return min(most, max(1, TABLES // (model.space.dimension * (model.space.level_count or 1))))
