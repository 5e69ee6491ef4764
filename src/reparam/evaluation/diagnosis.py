"""What the latent code carries: by layer, in all, against its prior, and which parts collapsed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from reparam.batching import rows_at_once
from reparam.data import Split
from reparam.evaluation.latents import COLLAPSED_NATS, active, collapsed
from reparam.evaluation.likelihood import bound_terms
from reparam.evaluation.modes import evaluating
from reparam.evaluation.representation import code_features
from reparam.evaluation.scores import Scores, mean_score
from reparam.model import Distribution, LatentVariable, Model
from reparam.train.collapse import collapse_of, has_indices
from reparam.train.random import seeded

MOST_DRAWN, MOST_MIXED = 125, 2000  # examples whose z are drawn; whose posteriors are mixed
PAIRS_AT_ONCE = 10_000  # of a z and a posterior
COLLAPSED_RATE = 1.0  # nats: a z of less cannot even tell three examples apart
MOST_NAMED = 12  # idle dimensions at most
LEAST_BELOW_LIMIT = 1.0  # nats: nearer to ln M a mixture of M posteriors says nothing else


def layer_scores(model: LatentVariable, split: Split, rate: Tensor, name: str, seed: int) -> Scores:
    """Rate and active units of every layer of a hierarchy; nothing for a single layer.

    ``rate_layer_1`` is that of the layer next to x, the last column of the rates. Layers have no
    rates of their own under a posterior that draws all of z at once.

    Args:
        model: any latent-variable model.
        split: its examples.
        rate: (N, G) over them, coarsest layer first, or (N, 1), of all layers together.
        name: of the split.
        seed: of the draws of the rates.
    """
    scores: Scores = {}
    if not model.layers:
        return scores
    protocol = {"samples": model.draws, "seed": seed}
    if rate.shape[1] == len(model.layers):
        for number in range(1, len(model.layers) + 1):
            score = mean_score(rate[:, -number], "nats", name, **protocol)
            scores[f"rate_layer_{number}"] = score
    if has_indices(model) or model.conditional:  # whose means may vary with the condition alone
        return scores
    parts = code_features(model, split).split(model.layers, 1)
    for number, means in enumerate(parts[::-1], 1):
        scores[f"active_units_layer_{number}"] = active(means, name)
    return scores


@torch.no_grad()
def information_scores(
    model: LatentVariable,
    split: Split,
    name: str = "test",
    seed: int = 0,
    train: Split | None = None,
) -> Scores:
    """``mutual_information`` I(x; z) under q, and ``aggregate_kl``, KL(q(z) ‖ p(z)), in nats.

    With m(z) = 1/M Σ q(z|x_j) the mixture of the posteriors of M examples, that of z's own x among
    them, the mean rate E KL(q(z|x) ‖ p(z)) is the sum of E log q(z|x) / m(z) and E log m(z) / p(z).
    In expectation the first is I(x; z) − E KL(m ‖ q), a lower bound of at most ln M, and the second
    KL(q(z) ‖ p(z)) + E KL(m ‖ q), an upper bound, as far as the posteriors of training examples are
    distributed as those of the split. One draw of z for each of n examples, 125 at most; M is 2000
    at most, of the split and, where it has fewer, of the training data. Absent for conditional
    models, hierarchies, codes that are indices, and where the bound comes within a nat of ln M:
    there it tells how many examples were mixed, and little of the model.

    Args:
        model: any latent-variable model.
        split: its examples.
        name: of the split.
        seed: of the rows and the draws.
        train: further examples to mix; None: those of the split alone.

    Reference: Hoffman & Johnson 2016, "ELBO surgery", eq. 10; Poole et al. 2019, "On variational
    bounds of mutual information", for the bound of known densities
    (https://arxiv.org/abs/1905.06922).
    """
    if model.conditional or model.layers or model.code_space.kind != "real":
        return {}
    own_rows, *further = _mixed_rows(split, train, seed)
    draws, own = _draws(model, own_rows, seed)
    total, count, kinds = torch.full_like(own, -torch.inf), 0, {model.prior().kind}
    for q in _posteriors(model, own_rows, *further):
        densities = _log_densities(q, draws)
        if count < len(own):  # as they were drawn: families know the density of their draws best
            rows = torch.arange(q.rows)
            densities[rows, count + rows] = own[count : count + q.rows]
        total = torch.logaddexp(total, densities.logsumexp(0))
        count, kinds = count + q.rows, kinds | {q.kind}
    aggregate = total - math.log(count)
    if (own - aggregate).mean() > math.log(count) - LEAST_BELOW_LIMIT:
        return {}
    prior = model.prior().log_prob(draws).cpu().double()
    guess = "estimate" in kinds
    return {
        score: mean_score(values, "nats", name, kind=kind, samples=1, seed=seed)
        for score, values, kind in (
            ("mutual_information", own - aggregate, "estimate" if guess else "lower bound"),
            ("aggregate_kl", aggregate - prior, "estimate" if guess else "upper bound"),
        )
    }


Rows = tuple[Split, Tensor]  # a split and which of its rows


def _mixed_rows(split: Split, train: Split | None, seed: int) -> list[Rows]:
    """The examples of which z are drawn, and those that are mixed beside them."""
    order = _shuffled(len(split), seed)
    mixed = [(split, order[:MOST_DRAWN].sort().values), (split, order[MOST_DRAWN:MOST_MIXED])]
    if train is not None and train is not split:
        room = max(0, MOST_MIXED - len(split))
        mixed.append((train, _shuffled(len(train), seed)[:room].sort().values))
    return mixed


def _shuffled(count: int, seed: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def _posteriors(model: LatentVariable, *chosen: Rows) -> Iterator[Distribution]:
    """q(z|x) of these rows, as many at a time as memory allows."""
    for split, rows in chosen:
        for part in rows.split(rows_at_once(model.space)) if len(rows) else ():
            yield model.posterior(split.x[part])


def _draws(model: LatentVariable, rows: Rows, seed: int) -> tuple[Tensor, Tensor]:
    """One z ~ q(z|x) for each row, and log q(z|x), (n,) in float64 on the CPU."""
    with seeded(seed, model.anchor.device):
        drawn = [q.rsample_with_log_prob_terms() for q in _posteriors(model, rows)]
    own = torch.cat([log_q.sum(1) for _, log_q in drawn])
    return torch.cat([z for z, _ in drawn]), own.cpu().double()


def _log_densities(q: Distribution, z: Tensor) -> Tensor:
    """log q_j(z_i) for each of the rows of q and each z, (rows, n) in float64 on the CPU."""
    parts = []
    for block in z.split(max(1, PAIRS_AT_ONCE // q.rows)):
        every = block.repeat(q.rows, *[1] * (block.ndim - 1))
        parts.append(q.repeat(len(block)).log_prob(every).view(q.rows, len(block)))
    return torch.cat(parts, 1).cpu().double()


class Idle(NamedTuple):
    """What there is to say of parts of z that carry next to nothing."""

    text: str
    collapsed: bool  # whether next to nothing is left of the rate, which is no good news


def idle(rate: Tensor, layers: Sequence[int] = ()) -> Idle | None:
    """Which latent dimensions, or layers, carry next to nothing, and whether z has collapsed.

    A VAE leaves dimensions idle that it does not need; collapsed is a z that in all carries less
    than ``COLLAPSED_RATE`` nats about x, or of which every part is idle.

    Args:
        rate: (N, G) in nats, by latent dimension or by layer, coarsest first.
        layers: their sizes, for a hierarchy.

    Returns:
        None where all of z is used.

    >>> idle(torch.tensor([[2.0, 0.001, 3.0]])).text
    '1 of 3 dimensions (z1) is idle: less than 0.01 nats'
    """
    columns = collapsed(rate).nonzero().flatten().tolist()
    count, total = rate.shape[1], max(rate.cpu().double().sum(1).mean().item(), 0.0)
    gone = len(columns) == count or total < COLLAPSED_RATE
    if not columns and not gone:
        return None
    remedy = "a smaller beta, annealed-vae or free-bits-vae"
    if layers:
        remedy = "free bits, a slower rise of beta, or fewer layers"
    all_of_it = f"collapsed: z carries {total:.2g} nats in all; try {remedy}" if gone else ""
    which = f"{_named(columns, count, layers)}: less than {COLLAPSED_NATS} nats" if columns else ""
    return Idle("; ".join(filter(None, (all_of_it, which))), gone)


def _named(columns: Sequence[int], count: int, layers: Sequence[int]) -> str:
    """How many of how many parts are idle, and which, the layer next to x being number 1."""
    what, names = "dimension", [f"z{column}" for column in columns]
    if layers:
        what, names = "layer", [f"layer {count - column}" for column in reversed(columns)]
    if len(columns) == count > 1:
        return f"all {count} {what}s are idle"
    some = ", ".join(names[:MOST_NAMED]) + (" …" if len(names) > MOST_NAMED else "")
    are = "is" if len(columns) == 1 else "are"
    return f"{len(columns)} of {count} {what}{'s' * (count > 1)} ({some}) {are} idle"


def diagnose(model: Model, split: Split, seed: int = 0) -> list[str]:
    """``idle`` of a trained model in words, of index codes ``collapse``; none without codes."""
    with evaluating([model]):
        if has_indices(model):
            return list(filter(None, [collapse_of(model, split)]))
        if not isinstance(model, LatentVariable):
            return []
        found = idle(bound_terms(model, split, seed)["rate"], model.layers)
    return [] if found is None else [found.text]
