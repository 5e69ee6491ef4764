"""What codes are good for."""

from __future__ import annotations

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from reparam.data import Split
from reparam.evaluation.rows import batches
from reparam.evaluation.scores import Score, share_score
from reparam.model import Codec, features


@torch.no_grad()
def code_features(model: Codec, split: Split) -> torch.Tensor:
    """The codes of a split as float64 vectors on the CPU, (N, F)."""
    codes = [features(model.encode(x, c)).cpu().double() for x, c in batches(model, split)]
    return torch.cat(codes)


def linear_probe(model: Codec, train: Split, split: Split, name: str = "test") -> Score | None:
    """Accuracy of logistic regression from standardised codes to labels; None without labels.

    The probe is fitted on the codes of all training examples (scikit-learn's default strength of
    regularisation) and measured on the split; the standard error is that of a proportion.
    """
    if train.labels is None or split.labels is None or len(train.labels.unique()) < 2:
        return None
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    probe.fit(code_features(model, train).numpy(), train.labels.numpy())
    found = torch.from_numpy(probe.predict(code_features(model, split).numpy()))
    return share_score(found == split.labels, name)
