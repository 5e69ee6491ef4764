"""How well linear predictors read factors off codes: explicitness of all latents, SAP of single."""

from __future__ import annotations

import warnings
from typing import Any, Literal, Unpack

import numpy as np
from scipy.stats import rankdata
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from reparam.data.contents import Array
from reparam.evaluation.disentanglement.inputs import Coded, Reading, read
from reparam.evaluation.disentanglement.resampling import factor_score, halves, standard_error
from reparam.evaluation.scores import Score

REFITS, RESAMPLES = 5, 50  # resamples that fit again by descent, and those in closed form
STRENGTH = 1000.0  # inverse one of the penalty: 40 levels on a line take weights of tens
SAPForm = Literal["own", "reference"]
DISCRIMINANT, CORRELATION = "nearest class mean", "squared correlation"
SVM = "LinearSVC, C = 0.01"


def explicitness(
    codes: Any,
    factors: Any,
    *,
    seed: int = 0,
    bootstrap: int = REFITS,
    **reading: Unpack[Reading],
) -> Score:
    """How well multinomial logistic regression on all latents tells the levels of each factor.

    Area under the ROC of the probability of a level against the rest, on the rows that it was not
    fitted on, averaged over levels and then factors. Chance is 0.5; some papers rescale that to 0.
    Regressions of one level against the rest, fitted apart, would fail on the middle levels of an
    ordered factor, which no plane cuts off. Dead latents tell nothing and change nothing.

    Args:
        codes: (N, L).
        factors: (N, F), integers or floats.
        seed: of the halves and of the bootstrap.
        bootstrap: resamples of the training and of the test half, each of which is a fit anew.
        reading: ordered, names and rates, as ``disentanglement`` takes them.

    Reference: Ridgeway & Mozer 2018, "Learning deep disentangled embeddings with the F-statistic
    loss", section 3, https://arxiv.org/abs/1802.05312

    >>> import numpy as np
    >>> grid = np.stack(np.meshgrid(*[np.arange(12)] * 2), -1).reshape(-1, 2)
    >>> explicitness(1.0 * grid, grid, bootstrap=0).value > 0.9
    True
    """
    return explicitness_of(read(codes, factors, **reading), seed, bootstrap)


def explicitness_of(coded: Coded, seed: int, bootstrap: int = REFITS) -> Score:
    """``explicitness`` of what was read."""
    parts = halves(len(coded), seed)
    fits = [_Regression() for _ in range(coded.factors)]

    def mean_area(train: Array, test: Array) -> float:
        scaled = standardized(coded.z, train)
        return float(
            np.mean(
                [
                    fit.area(scaled, levels, train, test)
                    for fit, levels in zip(fits, coded.levels.T, strict=True)
                ]
            )
        )

    value = mean_area(*parts)
    return factor_score(
        coded,
        value,
        "area under the ROC, 0.5 by chance",
        stderr=standard_error(mean_area, parts, bootstrap, seed),
        seed=seed,
        predictor="multinomial logistic regression",
    )


def standardized(z: Array, train: Array) -> Array:
    """Codes by the mean and deviation of the training rows; what does not vary there becomes 0."""
    centered = z - z[train].mean(0)
    deviation = centered[train].std(0)
    return np.where(deviation > 0, centered / np.where(deviation > 0, deviation, 1), 0.0)


class _Regression:
    """Logistic regression of one factor, which starts where the fit before ended."""

    def __init__(self) -> None:
        self.start: tuple[Array, LogisticRegression] | None = None

    def area(self, z: Array, levels: Array, train: Array, test: Array) -> float:
        """Mean area under the ROC over the levels that are in both halves."""
        classes = np.unique(levels[train])
        if len(classes) < 2:
            return 0.5
        fitted = self._fitted(z[train], levels[train], classes)
        p = fitted.predict_proba(z[test])
        areas = [
            area_under_roc(p[:, i], levels[test] == level)
            for i, level in enumerate(classes)
            if 0 < (levels[test] == level).sum() < len(test)
        ]
        return float(np.mean(areas)) if areas else 0.5

    def _fitted(self, z: Array, levels: Array, classes: Array) -> LogisticRegression:
        model = LogisticRegression(C=STRENGTH, max_iter=300, warm_start=True)
        if self.start is not None and np.array_equal(self.start[0], classes):
            model = self.start[1]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # ranks hardly move by then
            model.fit(z, levels)
        self.start = classes, model
        return model


def area_under_roc(score: Array, positive: Array) -> float:
    """How often one of the positive rows has a higher score than another row, ties counted half.

    >>> area_under_roc(np.array([0.1, 0.4, 0.4, 0.8]), np.array([False, True, False, True]))
    0.875
    """
    ranks, many = rankdata(score), int(positive.sum())
    above = ranks[positive].sum() - many * (many + 1) / 2
    return float(above / (many * (len(score) - many)))


def sap(
    codes: Any,
    factors: Any,
    form: SAPForm = "own",
    *,
    seed: int = 0,
    bootstrap: int | None = None,
    **reading: Unpack[Reading],
) -> Score:
    """Separated attribute predictability: the gap of the two latents that tell most of a factor.

    Of one latent and a factor of numbers it is the squared correlation over all rows, of a circular
    factor that with cosine and sine together. Of names it is the balanced accuracy, on the rows
    that it was not fitted on, of the linear classifier that takes the class whose mean is nearest.
    ``form="reference"`` is what published numbers are: every factor as classes, plain accuracy of a
    weakly regularized linear SVM for each level against the rest, which fails on middle levels;
    gaps are then of the order of 0.01. A dead latent, or none beside a single one, tells what
    chance does: 0, or one over the number of levels.

    Args:
        codes: (N, L).
        factors: (N, F), integers or floats.
        form: ``"own"`` or ``"reference"``.
        seed: of the halves and of the bootstrap.
        bootstrap: resamples of rows, of each half by itself; None: 50, and none of the reference.
        reading: ordered, names and rates, as ``disentanglement`` takes them.

    Returns:
        The score; its ``matrix`` is (L, F).

    Reference: Kumar et al. 2018, "Variational inference of disentangled latent concepts from
    unlabeled observations", section 3, https://arxiv.org/abs/1711.00848

    >>> import numpy as np
    >>> grid = np.stack(np.meshgrid(*[np.arange(12)] * 2), -1).reshape(-1, 2)
    >>> round(sap(-1.0 * grid, grid, ordered=[0, 1], bootstrap=0).value, 9)
    1.0
    """
    return sap_of(read(codes, factors, **reading), form, seed, bootstrap)


def sap_of(coded: Coded, form: SAPForm, seed: int, bootstrap: int | None = None) -> Score:
    """``sap`` of what was read."""
    check_form(form)
    reference = form == "reference"
    matrix_of = _reference_matrix if reference else _own_matrix
    chance = np.array(
        [
            1 / count if reference or kind == "names" else 0.0
            for count, kind in zip(coded.counts, coded.kinds, strict=True)
        ]
    )
    parts = halves(len(coded), seed)
    resamples = (0 if reference else RESAMPLES) if bootstrap is None else bootstrap
    matrix = matrix_of(coded, *parts)

    def resampled(*rows: Array) -> float:
        return gap_of_two(matrix_of(coded, *rows), chance)

    return factor_score(
        coded,
        gap_of_two(matrix, chance),
        "gap of the two best",
        stderr=standard_error(resampled, parts, resamples, seed),
        seed=seed,
        predictor=SVM if reference else _own_predictor(coded),
        matrix=matrix,
    )


def _own_predictor(coded: Coded) -> str:
    of_names = [kind == "names" for kind in coded.kinds]
    return " or ".join([CORRELATION] * (not all(of_names)) + [DISCRIMINANT] * any(of_names))


def check_form(form: SAPForm) -> None:
    if form not in ("own", "reference"):
        raise ValueError(f'form: expected "own" or "reference", got {form!r}')


def gap_of_two(matrix: Array, chance: Array) -> float:
    """The largest entry of each column less the next one, averaged; chance stands in for none.

    >>> gap_of_two(np.array([[0.75, 0.25], [0.5, 1.0]]), np.zeros(2))
    0.5
    """
    if len(matrix) == 1:
        matrix = np.vstack([matrix, chance])
    ranked = np.sort(matrix, axis=0)
    return float((ranked[-1] - ranked[-2]).mean())


def _own_matrix(coded: Coded, train: Array, test: Array) -> Array:
    columns = []
    everything = np.concatenate([train, test])
    for factor, kind in enumerate(coded.kinds):
        if kind == "names":
            levels = coded.levels[:, factor]
            columns.append(nearest_mean(coded.z, levels, train, test, coded.counts[factor]))
            continue
        seen = coded.values[everything, factor][:, None]
        if kind == "circular":
            turn = 2 * np.pi * coded.turns(factor)[coded.levels[everything, factor]]
            seen = np.stack([np.cos(turn), np.sin(turn)], 1)
        columns.append(explained(coded.z[everything], seen))
    return np.stack(columns, 1)


def explained(z: Array, seen: Array) -> Array:
    """Squared multiple correlation of each latent (N, L) with one or two columns (N, C), (L,)."""
    z, seen = z - z.mean(0), seen - seen.mean(0)
    basis, weight, _ = np.linalg.svd(seen, full_matrices=False)
    basis = basis[:, weight > 1e-9 * weight.max(initial=0)]
    total = np.square(z).sum(0)
    along = np.square(basis.T @ z).sum(0)
    return np.where(total > 0, along / np.where(total > 0, total, 1), 0.0)


def nearest_mean(z: Array, levels: Array, train: Array, test: Array, count: int) -> Array:
    """Balanced accuracy (L,) on test rows of the nearest training mean of each latent (N, L).

    It is what linear discriminants with equal priors decide on one variable. Levels without test
    rows are left out; those without training rows are never found. Of means that are equal the
    first is taken, so that a constant has one over the number of levels.
    """
    there = np.bincount(levels[train], minlength=count)
    tested = np.bincount(levels[test], minlength=count)
    known = np.flatnonzero(there)
    found = np.empty(z.shape[1])
    for i, column in enumerate(z.T):
        means = np.bincount(levels[train], column[train], count)[known] / there[known]
        order = np.argsort(means, kind="stable")
        ends = (means[order][1:] + means[order][:-1]) / 2
        said = known[order][np.searchsorted(ends, column[test])]
        right = np.bincount(levels[test], said == levels[test], count)
        found[i] = (right[tested > 0] / tested[tested > 0]).mean()
    return found


def _reference_matrix(coded: Coded, train: Array, test: Array) -> Array:
    return np.stack(
        [
            [_svm_accuracy(column[:, None], levels, train, test) for column in coded.z.T]
            for levels in coded.levels.T
        ],
        1,
    )


def _svm_accuracy(z: Array, levels: Array, train: Array, test: Array) -> float:
    if len(np.unique(levels[train])) < 2:
        return float((levels[test] == levels[train][0]).mean())
    svm = LinearSVC(C=0.01, class_weight="balanced", random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        svm.fit(z[train], levels[train])
    return float((svm.predict(z[test]) == levels[test]).mean())
