"""What the latent code carries: by layer, in all, against its prior, and which parts collapsed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from reparam import numerics
from reparam.data import Split
from reparam.evaluation.latents import ACTIVE_VARIANCE
from reparam.evaluation.likelihood import bound_terms
from reparam.evaluation.modes import evaluating
from reparam.evaluation.representation import code_features
from reparam.evaluation.rows import batches, subset
from reparam.evaluation.scores import Score, Scores, mean_score
from reparam.model import LatentVariable, Model
from reparam.train.random import seeded

MOST_PAIRED = 500  # examples whose posteriors are mixed: their pairs are squared
COLLAPSED_NATS = 0.01  # mean rate below which a dimension says nothing


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
    if not model.layers:
        return {}
    scores: Scores = {}
    parts = code_features(model, split).split(model.layers, 1)
    by_layer, protocol = rate.shape[1] == len(parts), {"samples": model.draws, "seed": seed}
    for number, means in enumerate(parts[::-1], 1):
        if by_layer:
            score = mean_score(rate[:, -number], "nats", name, **protocol)
            scores[f"rate_layer_{number}"] = score
        active = (means.var(0, correction=0) > ACTIVE_VARIANCE).sum().item()
        unit = f"of {means.shape[1]} dimensions"
        scores[f"active_units_layer_{number}"] = Score(float(active), unit, len(means), name)
    return scores


@torch.no_grad()
def information_scores(
    model: LatentVariable, split: Split, name: str = "test", seed: int = 0
) -> Scores:
    """``mutual_information`` I(x; z) under q, and ``aggregate_kl``, KL(q(z) ‖ p(z)), in nats.

    With q(z) the mixture of the posteriors of n examples (500 at most) the mean rate is the sum of
    the two: E KL(q(z|x) ‖ p(z)) = I(x; z) + KL(q(z) ‖ p(z)). One draw of z per example; I is at
    most ln n. Absent for conditional models and hierarchies.

    Reference: Hoffman & Johnson 2016, "ELBO surgery", eq. 10.
    """
    if model.conditional or model.layers:
        return {}
    examples = subset(split, MOST_PAIRED, seed)
    x = torch.cat([batch.x for batch in batches(model, examples)])
    q, p = model.posterior(x), model.prior()
    with seeded(seed, model.anchor.device):
        z, own = q.rsample_with_log_prob()
    pairs = torch.stack([q.log_prob(row.expand_as(z)).sum(1) for row in z])  # (z, q)
    pairs.diagonal().copy_(own.sum(1))
    aggregate = numerics.log_mean_exp(pairs.cpu().double(), 1)
    protocol = {"samples": 1, "seed": seed}
    information = own.sum(1).cpu().double() - aggregate
    divergence = aggregate - p.log_prob(z).sum(1).cpu().double()
    return {
        "mutual_information": mean_score(information, "nats", name, **protocol),
        "aggregate_kl": mean_score(divergence, "nats", name, **protocol),
    }


def collapsed(rate: Tensor) -> Tensor:
    """Which columns of the rates (N, G) carry next to nothing on average, (G,)."""
    return rate.cpu().double().mean(0) < COLLAPSED_NATS


def collapse_notes(rate: Tensor, layers: Sequence[int] = ()) -> list[str]:
    """What to say of latent dimensions, or layers, that carry next to nothing; often nothing.

    Args:
        rate: (N, G) in nats, by latent dimension or by layer, coarsest first.
        layers: their sizes, for a hierarchy.

    >>> collapse_notes(torch.tensor([[2.0, 0.001, 0.0]]))[0][:55]
    'collapsed: dimensions 1, 2 of 3 carry less than 0.01 na'
    """
    idle, count = collapsed(rate).nonzero().flatten().tolist(), rate.shape[1]
    if not idle:
        return []
    what = "layers" if layers else "dimensions"
    numbers = [count - index for index in idle][::-1] if layers else idle
    listed = ", ".join(map(str, numbers[:12])) + (" …" if len(numbers) > 12 else "")
    remedy = "free bits, a slower rise of beta, or fewer layers"
    if not layers:
        remedy = "a smaller beta, annealed-vae, free-bits-vae, or, if this is enough, fewer of them"
    which = f"{what} {listed} of {count} carry" if count > 1 else "all of z carries"
    return [f"collapsed: {which} less than {COLLAPSED_NATS} nats; try {remedy}"]


def diagnose(model: Model, split: Split, seed: int = 0) -> list[str]:
    """``collapse_notes`` of a trained model; none for models without latent variables."""
    if not isinstance(model, LatentVariable):
        return []
    with evaluating([model]):
        rate = bound_terms(model, split, seed)["rate"]
    return collapse_notes(rate, model.layers)
