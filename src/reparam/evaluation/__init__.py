"""Evaluation: every score a model defines, each with its uncertainty and protocol."""

from __future__ import annotations

from reparam.data import Data
from reparam.evaluation.latents import active_units
from reparam.evaluation.likelihood import (
    bits_per_dim,
    bound_scores,
    bound_terms,
    log_likelihood,
)
from reparam.evaluation.reconstruction import reconstruction_scores
from reparam.evaluation.representation import linear_probe
from reparam.evaluation.samples import Extractor, frechet_score, sampling_speed
from reparam.evaluation.scores import Score, Scores
from reparam.model import Codec, Density, Generator, LatentVariable, Model
from reparam.train import History

__all__ = ["Extractor", "Score", "Scores", "evaluate"]


def evaluate(
    model: Model,
    data: Data,
    *,
    split: str = "test",
    samples: int = 1000,
    seed: int = 0,
    history: History | None = None,
    extractor: Extractor | None = None,
) -> Scores:
    """Measure everything the model defines, on one split of the data.

    Args:
        model: any model; it is put into evaluation mode.
        data: of the model's space.
        split: ``"test"``, ``"valid"`` or ``"train"``.
        samples: importance samples per example of the log-likelihood.
        seed: of all draws.
        history: of the training, for ``train_seconds``.
        extractor: features of the Fréchet distance; None: ``RandomFeatures``.

    Returns:
        Scores by name. What a model does not define is absent.

    Raises:
        ValueError: the data are not the model's, or a score is NaN or infinite.

    >>> import reparam as rp
    >>> data = rp.load_data("digits")
    >>> model = rp.build("pca", data.space, latent_dim=8)
    >>> _ = rp.fit(model, data, progress=False)
    >>> rp.evaluate(model, data)["log_likelihood"].kind
    'lower bound'
    """
    model.refuse_other(data.space)
    if split not in data.splits:
        raise ValueError(f"split: expected one of {', '.join(data.splits)}, got {split!r}")
    model.eval()
    scores: Scores = {}
    if isinstance(model, Density):
        scores |= _likelihood_scores(model, data, split, samples, seed)
    if isinstance(model, LatentVariable):
        scores |= bound_scores(bound_terms(model, data.splits[split], seed), split, seed)
        scores["active_units"] = active_units(model, data.splits[split], split)
    if isinstance(model, Codec):
        scores |= _codec_scores(model, data, split)
    if isinstance(model, Generator):
        distance = frechet_score(model, data.train, data.splits[split], split, extractor, seed)
        scores |= {"frechet_distance": distance} if distance else {}
        scores["samples_per_second"] = sampling_speed(model)
    scores["parameters"] = Score(float(learned_numbers(model)), "numbers", len(data.train), "train")
    if history is not None:
        scores["train_seconds"] = Score(history.seconds, "s", len(data.train), "train")
    return scores


def _likelihood_scores(model: Density, data: Data, split: str, samples: int, seed: int) -> Scores:
    value = log_likelihood(model, data.splits[split], split, samples, seed)
    # log p(x|c) is another quantity than log p(x), up to the entropy of c.
    prefix = "conditional_" if model.conditional else ""
    return {
        f"{prefix}log_likelihood": value,
        f"{prefix}bits_per_dim": bits_per_dim(value, model.space.dimension),
    }


def _codec_scores(model: Codec, data: Data, split: str) -> Scores:
    train = data.train.x
    spread = (train.max() - train.min()).item() if model.space.kind == "real" else None
    scores = reconstruction_scores(model, data.splits[split], split, spread)
    accuracy = linear_probe(model, data.train, data.splits[split], split)
    return scores | ({"linear_probe_accuracy": accuracy} if accuracy else {})


def learned_numbers(model: Model) -> int:
    """How many numbers the model took from the data: weights and solved statistics."""
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    learned = (t for name, t in model.state_dict().items() if name not in frozen)
    return sum(t.numel() for t in learned)
