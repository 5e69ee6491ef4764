"""The preset of classifiers: which encoder, as text, and what of it is trained."""

from __future__ import annotations

import shlex
from typing import Annotated

from reparam.config import TrainConfig
from reparam.limits import Share
from reparam.model import Encoder, Model, Space
from reparam.models.classifier import Classifier, Features, Tune
from reparam.presets.registry import (
    Accepts,
    all_presets,
    find_preset,
    parse_assignments,
    preset,
    shown,
)
from reparam.wording import listed

FAMILY = "Classifiers"
OBJECTIVE = "min −log p(y|x)"
# The same for every encoder. Tried on digits with 20, 100 and all labels, of ae and mae: three
# times the rate is better in some of these and worse in others.
TRAINING = TrainConfig(batch_size=64, lr=1e-3, weight_decay=0.05, warmup=50, schedule="cosine")


@preset(
    "classifier",
    paper="He et al. 2022, Masked autoencoders are scalable vision learners, section 4",
    train=TRAINING,
    small={"encoder": "ae latent_dim=2 hidden=8"},
    when="To tell the classes of unseen examples, from few labels by fine-tuning an encoder.",
)
def classifier(
    space: Annotated[Space, Accepts(labels=True)],
    *,
    encoder: str = "mae",
    tune: Tune = "all",
    features: Features = "whole",
    layer_decay: Share = 0.75,
) -> Classifier:
    """A linear classifier on the codes of an encoder, which is trained too, or stays.

    Args:
        encoder: a model with codes and perhaps its parameters, as "mae width=32 patch=4"; what
            fit makes of it has learned nothing before, finetune begins with the weights of a run.
        tune: linear trains the classifier alone, all the encoder too.
        features: what it sees of a grid of codes: the whole of it, or pooled, the mean over places.
        layer_decay: rate of each layer of the encoder, as a share of that of the next one.
    """
    name, *words = shlex.split(encoder) or [""]
    found = find_preset(name)
    if not issubclass(found.model, Encoder):
        raise ValueError(f"encoder: expected a model with codes, got {name}; take {encoders()}")
    model = found(space, **parse_assignments(words))
    if not isinstance(model, Encoder):
        raise ValueError(f"encoder: expected a model with codes, got {encoder}; take {encoders()}")
    return Classifier(model, None, tune, features, layer_decay)


def encoders() -> str:
    """Some presets that make codes, for messages."""
    names = (p.name for p in all_presets() if issubclass(p.model, Encoder))
    return listed([name for name in names if name != "classifier"], 5)


def spelled_encoder(encoder: Model) -> str | None:
    """An encoder as the preset takes it; None of one that no preset has built.

    >>> import reparam as rp
    >>> spelled_encoder(rp.build("ae", rp.Space((9,), "binary"), latent_dim=2))
    'ae latent_dim=2'
    """
    if encoder.recipe is None:
        return None
    given = encoder.recipe["parameters"].items()
    words = (shlex.quote(f"{name}={shown(value)}") for name, value in given)
    return " ".join([encoder.recipe["preset"], *words])
