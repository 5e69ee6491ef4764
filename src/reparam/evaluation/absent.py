"""Why a model lacks a score."""

from __future__ import annotations

from collections.abc import Collection

from reparam.coding import refusal
from reparam.evaluation.file_length import coded_name
from reparam.measures import SCORES, measure
from reparam.model import Codec, Density, Encoder, Generator, LatentVariable, Model
from reparam.supervised import Supervised
from reparam.train.collapse import has_indices

TOLD = "Not measured: codes of a conditional model already contain the condition"
WITHHELD = (
    "Withheld: the estimate is within a nat of ln M, the most that a mixture of M examples can "
    "show; or not measured"
)
BITS = "Mixed data have densities and probabilities side by side: bits of no one kind"
NOT_GIVEN = "Defined for models that are given what is left of x, by the option given"
COLORS = "Defined for images of red, green and blue"
NOT_ASKED = "Measured where it is asked for: a file is made for it"
NO_INDICES = "Defined for codes that are indices"
LOGITS = "Not measured of logits, which are codes that tell labels: see the accuracy"
REASONS = (TOLD, WITHHELD)
# What a model must be for the scores of a group.
_ROLE_OF: dict[str, type[Model]] = {
    "Density": Density,
    "Latents": LatentVariable,
    "Classification": Supervised,
    "Index codes": Encoder,
    "Reconstruction": Codec,
    "Representation": Encoder,
    "Factors": Encoder,
    "Samples": Generator,
    "Restoration": Generator,
}


def why_absent(model: Model, name: str) -> str:
    """Why a model has no such score, in a sentence."""
    about = measure(name)
    role = _ROLE_OF.get(about.group, Model)
    if not isinstance(model, role):
        return _lacks(model, role)
    if about.group == "Index codes":
        return "This model has no p(z)" if has_indices(model) else NO_INDICES
    if name == coded_name(model):
        why = refusal(model)
        return NOT_ASKED if why is None else f"No file: {why}"
    if name.endswith("bits_per_dim") and model.space.columns:
        return BITS
    if about.group == "Restoration":
        return COLORS if model.space.given and name.startswith("color") else NOT_GIVEN
    of_likelihood = about.group == "Density" or name.endswith("elbo")
    if of_likelihood and name.startswith("conditional_") != model.conditional:
        return "This model " + ("uses" if model.conditional else "does not use") + " conditions"
    if about.group == "Factors":
        return (
            "Measured of data with known factors, by codes that are real, of at most 100 entries "
            "and not told c"
        )
    if about.group == "Representation" and isinstance(model, Supervised):
        return LOGITS
    if about.told and model.conditional:
        return TOLD
    if name in ("mutual_information", "aggregate_kl"):
        layered = isinstance(model, LatentVariable) and model.layers
        return "Not measured for hierarchies" if layered else WITHHELD
    return "Not measured for this model"


def left_out(model: Model, names: Collection[str]) -> list[str]:
    """Which scores were deliberately not measured, or withheld, and why; often none.

    Args:
        model: that was measured.
        names: of the scores that it has.

    >>> from reparam.model import Space
    >>> from reparam.presets import build
    >>> left_out(build("pca", Space((9,), "real"), latent_dim=2), ["log_likelihood"])
    []
    """
    absent = {name: why_absent(model, name) for name in SCORES if name not in names}
    by_reason = {reason: [n for n, why in absent.items() if why == reason] for reason in REASONS}
    return [f"{why} ({', '.join(found)})" for why, found in by_reason.items() if found]


def _lacks(model: Model, role: type) -> str:
    """What a model is not, for which a score is defined."""
    if role is Density:
        if isinstance(model, Generator):
            return "This model draws x, but has no explicit density"
        plain = isinstance(model, Codec)
        return f"{'A plain autoencoder' if plain else 'This model'} has no likelihood"
    if role is LatentVariable:
        return "Defined for models with q(z|x) and p(z) only"
    if role is Supervised:
        return "This model learns no labels; the linear probe reads them from its codes"
    if role is Codec:
        lacks = "decoder" if isinstance(model, Encoder) else "codes"
        return f"This model has no {lacks}, so it reconstructs nothing"
    if role is Encoder:
        return "This model has no codes"
    return "This model does not generate"
