"""Which latent dimensions are used."""

from __future__ import annotations

from reparam.data import Split
from reparam.evaluation.representation import code_features
from reparam.evaluation.scores import Score
from reparam.model import LatentVariable

ACTIVE_VARIANCE = 0.01


def active_units(model: LatentVariable, split: Split, name: str = "test") -> Score | None:
    """How many dimensions' posterior means vary by more than 0.01 over the data.

    None of conditional models, whose means may vary with the condition alone.

    Reference: Burda et al. 2016, section 5 (A_u = Cov_x(E_{q(u|x)}[u]) > 10⁻²).
    """
    if model.conditional:
        return None
    means = code_features(model, split)
    active = (means.var(0, correction=0) > ACTIVE_VARIANCE).sum().item()
    return Score(float(active), f"of {means.shape[1]} dimensions", len(means), name)
