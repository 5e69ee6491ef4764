"""Completion: the rest of an x drawn from p(x_rest | x_given)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from reparam import numerics
from reparam.batching import draws_at_once, slices
from reparam.conditions import refuse_unsaid
from reparam.model import Completer, Encoder, LatentVariable, Model, positive_count
from reparam.space import as_tensor, check_mask, check_shape, trusted
from reparam.use.latent_chains import CompletingChains, LatentChains

STEPS = 100  # of a chain


@dataclass(frozen=True)
class Imputation:
    """Examples whose missing entries were drawn given the others.

    Args:
        x: (B, draws, *shape); entries that were given are as they were.
        steps: of each Markov chain; None: the model draws without, as its own ``complete`` says.
        acceptance: the share of the proposals of q that the chains accepted.
    """

    x: Tensor
    steps: int | None = None
    acceptance: float | None = None


@torch.no_grad()
def complete(
    model: Model,
    x: Tensor,
    mask: Tensor,
    c: Tensor | None = None,
    *,
    draws: int = 1,
    steps: int = STEPS,
    generator: torch.Generator | None = None,
) -> Imputation:
    """Draw what is not given of each example.

    Autoregressive models, diffusion models, PCA and those of two stages draw it as their own
    ``complete`` does. Latent-variable models whose entries are independent given z do by Markov
    chains, one for every draw: Metropolis within Gibbs on z and what is missing, where q(z|x) of
    the given and the drawn part proposes, and now and then the prior (``CompletingChains``). A low
    acceptance says that more steps are needed. Where nothing is given, a draw is one of ``sample``.

    Args:
        model: one that completes.
        x: (B, *shape), in data units; entries outside the mask are not looked at.
        mask: bool, (*shape) or (B, *shape): which entries are given; they stay bit for bit.
        c: the condition, for models that use one.
        draws: for each example.
        steps: of a chain.
        generator: of the draws.

    Raises:
        ValueError: a model that does not complete, or a mask of another shape.

    Reference: Mattei & Frellsen 2018, "Leveraging the exact likelihood of deep latent variable
    models", algorithm 2.
    https://arxiv.org/abs/1802.04826

    >>> import reparam as rp
    >>> model = rp.build("vae", rp.Space((1, 4, 4), "binary"), latent_dim=2, hidden=(8,)).eval()
    >>> x, upper = torch.ones(3, 1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.bool)
    >>> upper[:, :2] = True
    >>> completed = rp.complete(model, x, upper, draws=5)
    >>> completed.x.shape, bool((completed.x[..., :2, :] == 1).all())
    (torch.Size([3, 5, 1, 4, 4]), True)
    """
    positive_count("draws", draws)
    positive_count("steps", steps)
    reason = why_not(model)
    if reason is not None:
        raise ValueError(f"model: {reason}")
    x, mask = as_tensor(x), as_tensor(mask, "mask")
    check_shape(x, model.space.shape)
    check_mask(mask, x)
    if model.space.keeps_precision and numerics.needs_float64(x.dtype):
        x = x.double()  # whole numbers that float32 would round
    given = mask.to(x.device).expand_as(x)
    given = given & ~x.isnan() if model.takes_missing else given
    refuse_unsaid(model.space, c)
    known, c = model.prepare(torch.where(given, x, unseen(model)), c)
    return rest(model, x, known, given, c, draws, steps, generator)


@torch.no_grad()
def why_not(model: Model) -> str | None:
    """A sentence that says why a model draws no rest of x given a part, and which does; else None.

    >>> import reparam as rp
    >>> why_not(rp.build("ae", rp.Space((9,), "binary")))
    'Autoencoder does not complete; use vae, an autoregressive model or ddpm'
    """
    name = type(model).__name__
    if isinstance(model, Completer):
        return None
    if isinstance(model, Encoder) and model.code_space.kind == "levels":
        if not model.space.is_image:
            return f"{name} does not complete vectors; use vae or an autoregressive model, as made"
        return (
            f"{name} has no autoregressive prior of its codes to complete by; train with "
            "second_stage=pixel-cnn, gated-pixel-cnn, transformer or made"
        )
    if isinstance(model, Encoder) and model.noise is not None and model.noise.hides:
        return f"{name} predicts what is hidden, once, and draws none of it; use reconstruct --hide"
    if not isinstance(model, LatentVariable):
        return f"{name} does not complete; use vae, an autoregressive model or ddpm"
    why = why_no_chains(model)
    return why and f"{name} does not complete, as {why}; use vae, or an autoregressive model"


@torch.no_grad()
def why_no_chains(model: LatentVariable) -> str | None:
    """Why no chain on its code and x has x given a part as its target; None where one has."""
    with numerics.noise_of_its_own(), trusted():
        generator = torch.Generator(model.anchor.device).manual_seed(0)
        c = model.draw_condition(1, generator)
        prior = model.prior(c)
        z = prior.sample(generator)
        law = model.likelihood(z, c).by_entry
        once, again = prior.log_prob(z), prior.log_prob(z)
    if law is None:
        return "entries of its p(x|z) depend on each other"
    if not torch.allclose(once, again, rtol=0, atol=0, equal_nan=True):
        return "its p(z) is known by draws alone"  # by which a chain would not know where it is
    return None


def unseen(model: Model) -> float:
    """What stands where nothing is given."""
    return torch.nan if model.takes_missing else 0.0


def rest(
    model: Model,
    x: Tensor,
    known: Tensor,
    given: Tensor,
    c: Tensor | None,
    draws: int,
    steps: int,
    generator: torch.Generator | None,
) -> Imputation:
    """Draws of what is not given, (B, draws, *shape), of a model that was not refused.

    Args:
        model: one that completes, or fills missing cells.
        x: (B, *shape), of which the given entries come back.
        known: the same, prepared, with ``unseen`` where nothing is given.
        given: bool (B, *shape).
        c: prepared.
        draws, steps, generator: as of ``complete``.
    """
    most, owner = draws_at_once(model.space, model.anchor.device), torch.arange(len(x))
    owner = owner.repeat_interleave(draws)  # the row of each draw
    if numerics.noise_is_by_example():
        most = max(1, len(owner))  # there is noise for all of them together
    parts: list[Tensor] = []
    accepted = tried = 0.0
    for part in slices(0, len(owner), most):
        asked, seen, mask = (t[owner[part].to(t.device)] for t in (x, known, given))
        of_part = None if c is None else c[owner[part].to(c.device)]
        if isinstance(model, Completer):
            parts.append(model.complete(asked, mask, of_part, generator=generator))
            continue
        assert isinstance(model, LatentVariable)
        drawn, share, chains = _by_chains(model, seen, mask, of_part, steps, generator)
        parts.append(drawn)
        accepted, tried = accepted + share * chains, tried + chains
    drawn = torch.cat(parts) if parts else known.repeat_interleave(draws, 0)
    dtype = torch.promote_types(x.dtype, drawn.dtype)
    mask = given.repeat_interleave(draws, 0).to(drawn.device)
    whole = torch.where(
        mask, x.repeat_interleave(draws, 0).to(drawn.device, dtype), drawn.to(dtype)
    )
    found = whole.unflatten(0, (len(x), draws))
    return Imputation(found, steps, accepted / tried) if tried else Imputation(found)


def _by_chains(
    model: LatentVariable,
    x: Tensor,
    given: Tensor,
    c: Tensor | None,
    steps: int,
    generator: torch.Generator | None,
) -> tuple[Tensor, float, int]:
    """x with what is missing, the share of accepted proposals, and of how many chains it is.

    Rows of which nothing is given are draws of p(x), and rows of which all is given stay.
    """
    given = given.to(x.device)
    told, whole = given.flatten(1).any(1), given.flatten(1).all(1)
    drawn, share, chained = x.clone(), 0.0, told & ~whole
    if not told.all():
        some = None if c is None else c[~told]
        with numerics.noise_of(~told):
            fresh = model.draw(int((~told).sum()), some, generator)
        drawn = drawn.to(torch.promote_types(drawn.dtype, fresh.dtype))
        drawn[~told] = fresh.to(drawn)
    if chained.any():
        some = None if c is None else c[chained]
        kind = LatentChains if model.takes_missing else CompletingChains
        with numerics.noise_of(chained):
            found, share = kind(model, x[chained], given[chained], some, generator).run(steps)
        drawn = drawn.to(torch.promote_types(drawn.dtype, found.dtype))
        drawn[chained] = found.to(drawn)
    return drawn, share, int(chained.sum())
