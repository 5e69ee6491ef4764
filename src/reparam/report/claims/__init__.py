"""Twelve claims of lectures on generative models, and what the models of a comparison say of them.

A claim is a function of ``Compared``; a new one is a function in the module of its models, and a
line in ``CLAIMS``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from reparam.data import Data
from reparam.evaluation.modes import evaluating
from reparam.evaluation.scores import Score
from reparam.model import Space
from reparam.presets.registry import PRESETS
from reparam.report.claims import autoencoder_claims, density_claims, sampling_claims, vae_claims
from reparam.report.claims.compared import Compared
from reparam.report.claims.verdicts import Claim, Part
from reparam.report.trained import TrainedModel, short_names

CLAIMS: tuple[Callable[[Compared], Claim], ...] = (
    autoencoder_claims.reconstruct_but_do_not_generate,
    vae_claims.blur,
    density_claims.have_better_likelihood,
    density_claims.be_stable_and_large,
    sampling_claims.may_lose_modes,
    sampling_claims.be_slow_and_cover,
    density_claims.not_rank_samples,
    density_claims.fail_to_flag,
    autoencoder_claims.memorize,
    autoencoder_claims.find_the_subspace_of_pca,
    vae_claims.vary_too_much_by_the_prior,
    vae_claims.raise_the_distortion,
)


def claims_of(
    data: Data,
    entries: Sequence[TrainedModel],
    seed: int = 0,
    reference: Mapping[str, Score] | None = None,
) -> tuple[Claim, ...]:
    """Every claim with its verdict on these data, in the order of their numbers.

    Args:
        data: what the models were trained on.
        entries: the models.
        seed: of everything drawn for it.
        reference: what training rows score in place of samples.
    """
    names = short_names(entries)
    named = [replace(e, label=name) for e, name in zip(entries, names, strict=True)]
    compared = Compared(data, named, seed, reference or {})
    with evaluating([entry.model for entry in entries]):
        found = [claim(compared) for claim in CLAIMS]
    return tuple(
        replace(claim, parts=[_addable(part, data.space) for part in claim.parts])
        for claim in found
    )


def _addable(part: Part, space: Space) -> Part:
    """The part, with the reason why a model that is missing cannot be added on such data."""
    for text in part.add:
        name = text.split()[0]
        refusal = PRESETS[name].accepts.refusal(space)
        if refusal is not None:
            return replace(part, reason=f"`{name}`, which is missing, is for {refusal}", add=())
    return part
