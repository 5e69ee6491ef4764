"""Disentanglement: how far latents and known factors of variation go with each other, one by one.

Every metric takes two arrays, codes (N, L) and factors (N, F), and says in its score what it did:
rows, bins, predictor, seed, and a standard error by bootstrap. They measure agreement with the axes
that are given, so that a factor which the data do not show cannot be found (``mig_ceiling``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, Literal

from reparam.evaluation.disentanglement.ceilings import mig_ceiling
from reparam.evaluation.disentanglement.information import (
    BINS,
    Bins,
    check_bins,
    mig,
    mig_of,
    modularity,
    modularity_of,
)
from reparam.evaluation.disentanglement.inputs import (
    Coded,
    FactorKind,
    UnmeasurableError,
    read,
)
from reparam.evaluation.disentanglement.interventions import (
    beta_vae_metric,
    beta_vae_of,
    factor_vae_metric,
    factor_vae_of,
    irs,
    irs_of,
)
from reparam.evaluation.disentanglement.predictors import (
    SAPForm,
    check_form,
    explicitness,
    explicitness_of,
    sap,
    sap_of,
)
from reparam.evaluation.disentanglement.resampling import factor_score
from reparam.evaluation.disentanglement.seeds import udr
from reparam.evaluation.disentanglement.trees import (
    Predictor,
    check_predictor,
    dci,
    dci_of,
)
from reparam.evaluation.scores import Score, ScoreTable
from reparam.progress import Watch, unwatched
from reparam.wording import did_you_mean

__all__ = [
    "beta_vae_metric",
    "dci",
    "disentanglement",
    "explicitness",
    "factor_vae_metric",
    "irs",
    "mig",
    "mig_ceiling",
    "modularity",
    "sap",
    "udr",
]

# About how many seconds of a core each takes of 10 000 rows, 10 latents and 5 factors.
METRICS = {
    "mig": 0.5,
    "modularity": 0.5,
    "sap": 1.0,
    "irs": 1.0,
    "factor_vae_metric": 1.5,
    "beta_vae_metric": 2.0,
    "explicitness": 8.0,
    "dci": 60.0,
}
Measure = Callable[[Coded], Score | ScoreTable]
CHEAP = ("mig", "modularity", "sap", "irs")


def disentanglement(
    codes: Any,
    factors: Any,
    metrics: Literal["all"] | Collection[str] = "all",
    ordered: Mapping[Any, FactorKind] | Collection[Any] | None = None,
    names: Collection[str] | None = None,
    rates: Any = None,
    *,
    bins: Bins = BINS,
    predictor: Predictor | None = None,
    form: SAPForm = "own",
    seed: int = 0,
    bootstrap: int | None = None,
    watch: Watch = unwatched,
) -> ScoreTable:
    """Score how far the latents of codes follow known factors one by one, by several metrics.

    Args:
        codes: (N, L) real numbers, an array or tensor.
        factors: (N, F), in the same order. Integers are levels; so are floats of at most 100
            different values, fewer than half as many as rows. Others are cut into levels of equally
            many rows: 20, or fewer where these would have less than 5 rows each.
        metrics: ``"all"``, or some of mig, modularity, sap, irs, factor_vae_metric,
            beta_vae_metric, explicitness, dci.
        ordered: which factors are numbers (names or indices), or by name or index what they are:
            ``"names"``, ``"numbers"`` or ``"circular"``. Where nothing is said, whole numbers are
            names, levels without order.
        names: of the factors.
        rates: KL of each latent in nats, (L,) or (N, L).
        bins: of the histograms of ``mig`` and ``modularity``, or ``"levels"``.
        predictor: the trees of ``dci``.
        form: of ``sap``.
        seed: of the halves into which rows are shuffled, of all draws and of the bootstrap.
        bootstrap: resamples of rows for standard errors; None: as many as each metric affords.
        watch: is told what is being measured and which share of the work is done.

    Returns:
        Scores by name. ``dead_latents``, always first, counts those with less than a millionth of
        the largest deviation, or with a mean rate below 0.01 nats; every metric takes them for
        constants. Of ``"all"`` what is not defined is absent, and a note says why.

    Raises:
        ValueError: what ``codes`` and ``factors`` cannot be: of different length, not finite, fewer
            than 20 rows, all latents dead, a factor of whole numbers that tells every row apart.

    >>> import numpy as np
    >>> grid = np.stack(np.meshgrid(*[np.arange(12)] * 2), -1).reshape(-1, 2)
    >>> scores = disentanglement(-1.0 * grid, grid, ["mig", "irs"], names=["x", "y"])
    >>> {name: round(score.value, 6) for name, score in scores.items()}
    {'dead_latents': 0.0, 'mig': 1.0, 'irs': 1.0}
    """
    asked = _asked(metrics)
    check_bins(bins)
    check_form(form)
    if "dci" in asked:
        check_predictor(predictor)
    coded = read(codes, factors, ordered, names, rates)
    measures = _measures(bins, predictor, form, seed, bootstrap)
    return measured(coded, {name: measures[name] for name in asked}, metrics == "all", watch)


def measured(
    coded: Coded, measures: Mapping[str, Measure], lenient: bool, watch: Watch = unwatched
) -> ScoreTable:
    """The dead latents and some metrics; lenient where what is not defined is left out."""
    scores, notes = ScoreTable(), list(coded.notes)
    work, done = sum(METRICS[name] for name in measures), 0.0
    for name, measure in measures.items():
        watch(name, done / work)
        done += METRICS[name]
        try:
            found = measure(coded)
        except UnmeasurableError as error:
            if not lenient:
                raise
            notes.append(f"Not measured: {error}.")
        else:
            scores |= {name: found} if isinstance(found, Score) else found
    dead = factor_score(coded, coded.dead.sum(), f"of {coded.latents} latents")
    return ScoreTable({"dead_latents": dataclasses.replace(dead, notes=tuple(notes)), **scores})


def cheap_scores(coded: Coded, seed: int) -> ScoreTable:
    """What ``evaluate`` affords: MIG, modularity, SAP and IRS, in about 3 s of a core."""
    measures = _measures(BINS, None, "own", seed, None)
    return measured(coded, {name: measures[name] for name in CHEAP}, lenient=True)


def _asked(metrics: Literal["all"] | Collection[str]) -> list[str]:
    if metrics == "all":
        return list(METRICS)
    asked = [metrics] if isinstance(metrics, str) else list(metrics)
    for name in asked:
        if name not in METRICS:
            known = ", ".join(METRICS)
            raise ValueError(
                f"metrics: expected some of {known}, got {name!r}{did_you_mean(name, METRICS)}"
            )
    return [name for name in METRICS if name in asked]


def _measures(
    bins: Bins, predictor: Predictor | None, form: SAPForm, seed: int, bootstrap: int | None
) -> dict[str, Measure]:
    """What each metric makes of what was read."""
    own: dict[str, Any] = {"seed": seed} | ({} if bootstrap is None else {"bootstrap": bootstrap})
    return {
        "mig": partial(mig_of, bins=bins, **own),
        "modularity": partial(modularity_of, bins=bins, **own),
        "sap": partial(sap_of, form=form, **own),
        "irs": partial(irs_of, **own),
        "factor_vae_metric": partial(factor_vae_of, **own),
        "beta_vae_metric": partial(beta_vae_of, **own),
        "explicitness": partial(explicitness_of, **own),
        "dci": partial(dci_of, predictor=predictor, **own),
    }
