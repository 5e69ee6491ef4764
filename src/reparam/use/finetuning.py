"""Fine-tuning: a classifier that begins with what an encoder has learned."""

from __future__ import annotations

import copy
import dataclasses
import os
from collections.abc import Callable
from typing import Any

from reparam.config import TrainConfig
from reparam.data import Data, as_data
from reparam.model import Encoder, Model
from reparam.models.classifier import Classifier, Features, Tune
from reparam.presets.classifier import TRAINING, encoders, spelled_encoder
from reparam.presets.registry import PRESETS
from reparam.train import fit
from reparam.train.loop import News
from reparam.wording import name_of

STEPS = 500  # at least, and more where that is fewer than so many epochs
EPOCHS = 5


def finetune(
    model: Model,
    data: Any,
    config: TrainConfig | None = None,
    *,
    tune: Tune = "all",
    features: Features = "whole",
    layer_decay: float = 0.75,
    out: str | os.PathLike[str] | None = None,
    force: bool = False,
    watch: Callable[[News], None] | None = None,
    progress: bool = True,
    **fields: Any,
) -> Classifier:
    """A classifier trained on the labeled rows of data, on a copy of an encoder.

    Its weights are the best by the cross-entropy of the validation split, or the last where that
    holds nothing out (``Data.with_labels``).

    Args:
        model: a trained encoder, which stays as it is.
        data: of the encoder's space, with labels.
        config: how; None: as ``classifier`` is trained, for at least 500 steps and 5 epochs.
        tune: ``"linear"`` trains the classifier alone, ``"all"`` the encoder too.
        features: what it sees of a grid of codes (``Classifier``).
        layer_decay: rate of each layer of the encoder, as a share of that of the next one.
        out, force, watch, progress: as for ``fit``.
        **fields: of ``TrainConfig``, replacing those of ``config``.

    Raises:
        ValueError: a model without codes, or data of another space or without labels.

    >>> import reparam as rp
    >>> data = rp.load_data("digits")
    >>> encoder = rp.build("pca", data.space, latent_dim=8)
    >>> _ = rp.fit(encoder, data, progress=False)
    >>> classifier = finetune(encoder, data, tune="linear", epochs=2, progress=False)
    >>> classifier.log_class_probs(data.test.x[:5]).shape
    torch.Size([5, 10])
    """
    encoder = refuse_unfit_encoder(model)
    data = as_data(data, encoder.space)
    refuse_unfit_data(encoder, data)
    found = make_classifier(encoder, data, tune, features, layer_decay)
    if config is None:
        config = training_of(data, fields)
    fit(found, data, config, out=out, force=force, watch=watch, progress=progress, **fields)
    return found


def make_classifier(
    encoder: Encoder,
    data: Data,
    tune: Tune = "all",
    features: Features = "whole",
    layer_decay: float = 0.75,
) -> Classifier:
    """A classifier of data on a copy of an encoder, before it is trained; see ``finetune``."""
    how = (tune, features, layer_decay)
    found = Classifier(copy.deepcopy(encoder), data.space.classes, *how, trained=True)
    found.recipe = _recipe(encoder, *how)
    return found


def refuse_unfit_encoder(model: Model, name: str = "model") -> Encoder:
    """The model as an encoder; ValueError where it makes no codes."""
    if isinstance(model, Encoder):
        return model
    kind = name_of(model)
    raise ValueError(
        f"{name}: expected a model with codes, got {kind}, which has none; take {encoders()}"
    )


def refuse_unfit_data(encoder: Encoder, data: Data) -> None:
    """ValueError where no classifier of these data can be made of the encoder."""
    encoder.refuse_other(data.space)
    if data.space.classes is None or data.train.labels is None:
        raise ValueError(
            f"{data.name}: expected data with class labels, got none; name their column, or use "
            "class folders"
        )


def training_of(data: Data, fields: dict[str, Any]) -> TrainConfig:
    """How classifiers are trained on so many rows: a least number of steps and of epochs.

    Batches are smaller where rows would be left over, so that there may be twice as many steps.
    """
    rows = len(data.train)
    batch = min(rows, fields.get("batch_size") or TRAINING.batch_size or rows)
    epochs = max(EPOCHS, -(-STEPS // max(1, rows // batch)))
    config = PRESETS["classifier"].train_on(data.space)
    return dataclasses.replace(config, epochs=epochs)


def _recipe(encoder: Encoder, *given: object) -> dict[str, Any] | None:
    """How the preset builds such a classifier; None where none has built the encoder."""
    text = spelled_encoder(encoder)
    if text is None:
        return None
    names = ("tune", "features", "layer_decay")
    known = PRESETS["classifier"].parameters
    parameters = {"encoder": text} | dict(zip(names, given, strict=True))
    special = {n: value for n, value in parameters.items() if value != known[n].default}
    return {"preset": "classifier", "parameters": special}
