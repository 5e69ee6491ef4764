"""Which latents boosted trees need to tell the levels of each factor: DCI."""

from __future__ import annotations

import warnings
from typing import Any, Literal, Unpack

import numpy as np
from sklearn.ensemble import GradientBoostingClassifier

from reparam.data.contents import Array
from reparam.evaluation.disentanglement.inputs import Coded, Reading, read
from reparam.evaluation.disentanglement.predictors import standardized
from reparam.evaluation.disentanglement.resampling import factor_score, halves, standard_error
from reparam.evaluation.scores import ScoreTable

Predictor = Literal["lightgbm", "gradient boosting"]
ROUNDS, DEPTH = 100, 3
MOST_IN_LEAF = 20  # rows that LightGBM asks of a leaf, and a fiftieth of fewer than 1000
RESAMPLES = 100
NAMES: dict[Predictor, str] = {
    "lightgbm": f"LightGBM, {ROUNDS} rounds of depth {DEPTH}, gain",
    "gradient boosting": f"scikit-learn's gradient boosting, {ROUNDS} rounds of depth {DEPTH}",
}
SLOW = (
    "dci: LightGBM is not installed; scikit-learn's boosting takes more than ten times as long, "
    "many minutes where thousands of rows have tens of levels; install it with: pip install "
    "'reparam[disentangle]'"
)


def dci(
    codes: Any,
    factors: Any,
    predictor: Predictor | None = None,
    *,
    seed: int = 0,
    bootstrap: int = RESAMPLES,
    **reading: Unpack[Reading],
) -> ScoreTable:
    """Disentanglement, completeness and informativeness of the importance R of latents for factors.

    Boosted trees tell the levels of each factor from all latents; R_ij is how much of the gain of
    factor j comes from latent i, Σ_i R_ij = 1. Disentanglement is 1 − the entropy, base F, of each
    latent's importances, latents weighted by theirs; completeness 1 − the entropy, base L, of each
    factor's, factors weighted alike; informativeness the accuracy on the rows that no tree was
    fitted on. Importances, so the first two, depend on the trees: compare by one predictor only.
    A dead latent has R = 0: it leaves disentanglement as it is, and raises completeness a little by
    the base of its entropy.

    Args:
        codes: (N, L).
        factors: (N, F), integers or floats.
        predictor: ``"lightgbm"`` (the extra ``reparam[disentangle]``) or ``"gradient boosting"``,
            scikit-learn's, by which published numbers were found; None: the first where it is
            installed.
        seed: of the halves, the trees and the bootstrap.
        bootstrap: resamples of the test rows for the error of informativeness; of the others
            there is none, as no test row enters them.
        reading: ordered, names and rates, as ``disentanglement`` takes them.

    Returns:
        The scores that are defined: no disentanglement of one factor, no completeness of one
        latent. Their ``matrix`` is R, (L, F).

    Raises:
        ValueError: LightGBM was asked for and is not installed.

    Reference: Eastwood & Williams 2018, "A framework for the quantitative evaluation of
    disentangled representations", https://openreview.net/forum?id=By-7dz-AZ

    >>> import numpy as np
    >>> grid = np.stack(np.meshgrid(*[np.arange(8)] * 2), -1).reshape(-1, 2).repeat(3, 0)
    >>> scores = dci(-1.0 * grid, grid // 4, "gradient boosting", bootstrap=0)
    >>> [round(score.value, 3) for score in scores.values()]
    [1.0, 1.0, 1.0]
    """
    return dci_of(read(codes, factors, **reading), predictor, seed, bootstrap)


def dci_of(
    coded: Coded, predictor: Predictor | None, seed: int, bootstrap: int = RESAMPLES
) -> ScoreTable:
    """``dci`` of what was read."""
    chosen = _chosen(predictor)
    train, test = halves(len(coded), seed)
    z = standardized(coded.z, train)  # LightGBM has a bin of its own around 0, wherever that is
    fits = [_fit(z, levels, train, test, chosen, seed) for levels in coded.levels.T]
    importance = np.stack([gains for gains, _ in fits], 1)
    right = np.stack([correct for _, correct in fits], 1).mean(1)
    rows = [np.arange(len(test))]
    values = {
        "dci_disentanglement": disentangled(importance) if coded.factors > 1 else None,
        "dci_completeness": disentangled(importance.T) if coded.latents > 1 else None,
        "dci_informativeness": float(right.mean()),
    }
    errors = {
        "dci_informativeness": standard_error(lambda r: right[r].mean(), rows, bootstrap, seed)
    }
    units = {"dci_informativeness": "share of levels told"}
    return ScoreTable(
        {
            name: factor_score(
                coded,
                value,
                units.get(name, "1 − entropy"),
                stderr=errors.get(name),
                seed=seed,
                predictor=NAMES[chosen],
                matrix=importance,
            )
            for name, value in values.items()
            if value is not None
        }
    )


def disentangled(importance: Array) -> float:
    """1 − the entropy of each row of R over its columns (I, J), rows weighted by what they have.

    >>> two_of_ten = np.eye(5).repeat(2, 0)
    >>> round(disentangled(two_of_ten), 6), round(disentangled(two_of_ten.T), 6)  # 1 − ln 2/ln 10
    (1.0, 0.69897)
    """
    weight = importance.sum(1)
    if not weight.sum() > 0:
        return 0.0
    p = importance / np.where(weight > 0, weight, 1)[:, None]
    entropy = -(p * np.log(np.where(p > 0, p, 1))).sum(1) / np.log(importance.shape[1])
    return float(((1 - entropy) * weight).sum() / weight.sum())


def check_predictor(predictor: Predictor | None) -> None:
    """ValueError for one that is unknown or not installed."""
    if predictor not in (None, *NAMES):
        raise ValueError(f"predictor: expected one of {', '.join(NAMES)}, got {predictor!r}")
    if predictor == "lightgbm" and not installed():
        raise ValueError(
            "predictor: LightGBM is not installed; install it with: pip install "
            "'reparam[disentangle]', or take \"gradient boosting\""
        )


def _chosen(predictor: Predictor | None) -> Predictor:
    check_predictor(predictor)
    if predictor is None and not installed():
        warnings.warn(SLOW, stacklevel=4)
    return predictor or ("lightgbm" if installed() else "gradient boosting")


def installed() -> bool:
    """Whether LightGBM can be loaded; its library needs one of the system's, for threads."""
    try:
        import lightgbm  # noqa: F401
    except (ImportError, OSError):
        return False
    return True


def _fit(
    z: Array, levels: Array, train: Array, test: Array, predictor: Predictor, seed: int
) -> tuple[Array, Array]:
    """Importances of the latents for a factor, (L,) that sum to 1, and which test rows are right.

    Trees that never split leave all importances 0, as do training rows of one level.
    """
    if len(np.unique(levels[train])) < 2:
        return np.zeros(z.shape[1]), levels[test] == levels[train][0]
    model = _classifier(predictor, seed, len(train))
    model.fit(z[train], levels[train])
    gains = np.asarray(model.feature_importances_, dtype=np.float64)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*valid feature names")  # LightGBM's own
        right = model.predict(z[test]) == levels[test]
    return gains / (gains.sum() or 1), right


def _classifier(predictor: Predictor, seed: int, rows: int) -> Any:
    if predictor == "gradient boosting":
        return GradientBoostingClassifier(n_estimators=ROUNDS, max_depth=DEPTH, random_state=seed)
    import torch
    from lightgbm import LGBMClassifier

    return LGBMClassifier(
        n_estimators=ROUNDS,
        max_depth=DEPTH,
        num_leaves=2**DEPTH,
        # As of scikit-learn's trees, few rows may be told apart: with leaves and bins as LightGBM
        # has them by default, trees of 30 rows do not split at all.
        min_child_samples=min(MOST_IN_LEAF, max(1, rows // 50)),
        min_data_in_bin=1,
        importance_type="gain",  # counts of splits are spread far more evenly over latents
        random_state=seed,
        n_jobs=torch.get_num_threads(),
        deterministic=True,
        force_col_wise=True,  # so that it does not time both ways
        verbosity=-1,
    )
