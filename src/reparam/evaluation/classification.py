"""How well a classifier tells the labels of a split."""

from __future__ import annotations

from typing import cast

import torch

from reparam.data import Split
from reparam.evaluation.rows import batches
from reparam.evaluation.scores import Scores, mean_score, share_score
from reparam.inspection import Classifies
from reparam.model import Model


@torch.no_grad()
def classification_scores(model: Model, split: Split, name: str) -> Scores:
    """Accuracy and cross-entropy of the labels of a split by a model that ``Classifies``.

    >>> import reparam as rp
    >>> data = rp.load_data("digits")
    >>> model = rp.build("classifier", data.space, encoder="ae latent_dim=2")
    >>> scores = classification_scores(model, data.test, "test")  # its head has learned nothing
    >>> scores["label_cross_entropy"].value  # ln 10
    2.302585...
    """
    assert split.labels is not None
    asked = cast(Classifies, model)
    parts = [asked.log_class_probs(batch.x).cpu().double() for batch in batches(model, split)]
    log_p, labels = torch.cat(parts), split.labels.cpu()
    missed = -log_p.gather(1, labels[:, None])[:, 0]
    return {
        "accuracy": share_score(log_p.argmax(1) == labels, name),
        "label_cross_entropy": mean_score(missed, "nats", name),
    }
