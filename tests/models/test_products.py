"""Parts that combine: random products, each either built, trained and measured, or refused."""

from __future__ import annotations

import itertools
import random
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import reparam as rp
from reparam import nets
from reparam.distributions.likelihood_names import LIKELIHOODS, make_likelihood
from reparam.model import Space
from reparam.train import fit

L, V, K, CLASSES = 2, 2, 3, 3

WEIGHTINGS: dict[str, Callable[[], Any]] = {
    "beta": lambda: rp.Beta(2.0),
    "schedule": lambda: rp.Schedule(steps=2),
    "capacity": lambda: rp.Capacity(steps=2),
    "free bits": lambda: rp.FreeBits(),
    "learned": lambda: rp.LearnedWeights(steps=1),
    "learned by dimension": lambda: rp.DimensionwiseLearnedWeights(L, steps=1),
    "controlled": lambda: rp.PIController(steps=2),
    "dynamic": lambda: rp.IncrementalPIController(),
}
PENALTIES: dict[str, Callable[[int], list[Any]]] = {
    "none": lambda width: [],
    "total correlation": lambda width: [rp.TotalCorrelation()],
    "critic": lambda width: [rp.CriticTotalCorrelation(width, hidden=(8,))],
    "covariance": lambda width: [rp.DIP("draws")],
    "discrepancy": lambda width: [rp.MMD(1.0)],
    "two": lambda width: [rp.MMD(1.0), rp.DIP()],
}


def path() -> rp.TopDown:
    """Two layers of one dimension each."""
    return rp.TopDown((1, 1), (4,))


POSTERIORS: dict[str, Callable[[], Any]] = {
    "diagonal": lambda: rp.DiagonalNormal(L),
    "full": lambda: rp.FullNormal(L),
    "mixture": lambda: rp.NormalMixture(L, 2),
    "planar": lambda: rp.FlowPosterior(L, rp.Planar(L)),
    "radial": lambda: rp.FlowPosterior(L, rp.Radial(L)),
    "iaf": lambda: rp.FlowPosterior(L, rp.Inverse(rp.MaskedAffine(L, (8,), 2))),
    "categorical": lambda: rp.GumbelSoftmax(V, K),
    "up": lambda: rp.BottomUpPosterior(rp.BottomUp((1, 1), (4,)), 2),
    "down": lambda: rp.LadderPosterior(path()),
}
PRIORS: dict[str, Callable[..., Any]] = {
    "standard": lambda q, encoder, shape: rp.StandardNormal(L),
    "mixture": lambda q, encoder, shape: rp.MixturePrior(L, 2),
    "vamp": lambda q, encoder, shape: rp.VampPrior(encoder, q, shape, 3),
    "class": lambda q, encoder, shape: rp.ClassConditional(L, CLASSES),
    "flow": lambda q, encoder, shape: rp.FlowPrior(L, rp.MaskedAffine(L, (8,))),
    "autoregressive": lambda q, encoder, shape: rp.AutoregressivePrior(
        rp.MADE((L,), 2, (8,), gain=0.1)
    ),
    "uniform": lambda q, encoder, shape: rp.UniformOneHot(V, K),
    "layered": lambda q, encoder, shape: rp.LayeredPrior(q.paths[0] if q.paths else path()),
}
KINDS = {"binary": None, "levels": 5, "real": None}
AXES: dict[str, list[Any]] = {
    "objective": ["elbo", "elbo", "iwae", "dreg"],  # half of them have penalties and all weightings
    "weighting": list(WEIGHTINGS),
    "penalty": ["none", *PENALTIES],
    "posterior": ["diagonal", "diagonal", "diagonal", *POSTERIORS],
    "prior": ["standard", "standard", *PRIORS],
    "likelihood": [name for name, p_x in LIKELIHOODS.items() if "mixed" not in p_x.kinds],
    "kind": list(KINDS),
    "conditional": [False, True],
}


def products(count: int, seed: int) -> list[dict[str, Any]]:
    draw = random.Random(seed)
    found: dict[str, dict[str, Any]] = {}
    while len(found) < count:
        one = {name: draw.choice(values) for name, values in AXES.items()}
        if one["objective"] != "elbo":
            one["penalty"] = "none"  # those objectives take none
        if one["posterior"] == "categorical" and draw.random() < 0.7:
            one["prior"] = "uniform"  # or hardly one would have a meaning
        if one["posterior"] == "down" and draw.random() < 0.7:
            one["prior"] = "layered"
        found[" ".join(map(str, one.values()))] = one
    return list(found.values())


def refusal(one: dict[str, Any]) -> str | None:
    """Which part has no meaning with the others, said without looking at the code."""
    kind, q, p, weighting = (one[n] for n in ("kind", "posterior", "prior", "weighting"))
    of_kind = {
        "binary": {"bernoulli", "categorical"},
        "levels": {"categorical", "discretized-logistic", "discretized-normal"},
        "real": set(),
    }
    wrong = []
    if one["likelihood"] not in of_kind[kind] | {"normal", "heteroscedastic-normal"}:
        wrong.append("likelihood")
    linear = {"beta", "schedule", "controlled", "dynamic"}
    if one["objective"] != "elbo" and weighting not in linear:
        wrong.append("weighting")
    if p == "vamp" and (q != "diagonal" or one["conditional"]):
        wrong.append("prior")
    if (q == "categorical") != (p == "uniform"):
        wrong.append("prior")
    if p == "class" and not one["conditional"]:
        wrong.append("prior")
    if q == "down" and p != "layered":
        wrong.append("prior")
    if weighting in {"learned", "learned by dimension"} and kind == "real":
        wrong.append("weighting")
    # Layers of one dimension are factors; on the way up their rates may be negative.
    factors = {"categorical": {"uniform"}, "down": {"layered"}}
    factors["diagonal"] = {"standard", "class", "autoregressive", "layered"}
    factorized = p in factors.get(q, ())
    if weighting in {"free bits", "learned by dimension"} and not factorized:
        wrong.append("weighting")
    if one["penalty"] in {"total correlation", "covariance", "two"} and q != "diagonal":
        wrong.append("penalty")
    if one["penalty"] in {"critic", "discrepancy"} and q == "categorical":
        wrong.append("penalty")
    if one["objective"] != "elbo" and q == "categorical":
        wrong.append("objective")
    return "|".join(dict.fromkeys(wrong)) or None


def build(one: dict[str, Any]) -> rp.VAE:
    space = Space((4,), one["kind"], KINDS[one["kind"]], classes=CLASSES)
    condition = space if one["conditional"] else None
    likelihood = make_likelihood(one["likelihood"], space)
    q = POSTERIORS[one["posterior"]]()
    encoder = nets.encoder(space.shape, q.parameter_shape, (8,), condition=condition)
    decoder = nets.decoder(
        q.event_shape, likelihood.parameter_shape, space.shape, (8,), condition=condition
    )
    prior = PRIORS[one["prior"]](q, encoder, space.shape)
    weighting = WEIGHTINGS[one["weighting"]]()
    objective: rp.ELBO | rp.IWAE
    if one["objective"] == "elbo":
        objective = rp.ELBO(weighting, PENALTIES[one["penalty"]](q.event_shape[0]))
    else:
        objective = {"iwae": rp.IWAE, "dreg": rp.DReG}[one["objective"]](3, weighting)
    return rp.VAE(
        space, encoder, decoder, q, prior, likelihood, objective, conditional=one["conditional"]
    )


def data_of(kind: str) -> rp.Data:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(36, 4, generator=generator)
    x = {"binary": (x > 0).float(), "levels": (x.abs() * 2).floor().clamp(0, 4), "real": x}[kind]
    labels = torch.arange(36) % CLASSES
    splits = [rp.Split(x[a:b], labels[a:b]) for a, b in ((0, 24), (24, 30), (30, 36))]
    return rp.Data(*splits, Space((4,), kind, KINDS[kind], classes=CLASSES), "random rows")


PRODUCTS = products(240, seed=3)


@pytest.mark.parametrize(
    "one", [p for p in PRODUCTS if refusal(p)], ids=lambda p: "-".join(map(str, p.values()))
)
def test_products_without_meaning_are_refused(one):
    with pytest.raises(ValueError, match=rf"^({refusal(one)}): .*(got|none)"):
        build(one)


@pytest.mark.parametrize(
    "one", [p for p in PRODUCTS if not refusal(p)], ids=lambda p: "-".join(map(str, p.values()))
)
def test_products_with_meaning_train_and_are_measured(one):
    torch.manual_seed(0)
    model, data = build(one), data_of(one["kind"])
    before = {name: p.clone() for name, p in model.named_parameters()}
    with warnings.catch_warnings():  # three epochs settle no controller, which is said
        warnings.filterwarnings("default", ".* before the objective settled: ")
        history = fit(model, data, epochs=3, batch_size=8, progress=False)
    said = [text for text in history.warnings if "before the objective settled: " not in text]
    assert history.rows and not said
    moved = [name for name, p in model.named_parameters() if not torch.equal(p, before[name])]
    assert moved
    scores = rp.evaluate(model, data, samples=2)
    prefix = "conditional_" if one["conditional"] else ""
    assert scores[f"{prefix}log_likelihood"].kind == "lower bound"
    # Unweighted terms: the bound is minus distortion minus rate, whatever the objective.
    assert scores[f"{prefix}elbo"].value == pytest.approx(
        -scores["distortion"].value - scores["rate"].value, rel=1e-5, abs=1e-5
    )
    if isinstance(model.q_z, nn.Module) and one["objective"] == "elbo":
        row = history.rows[-1]
        bound = -row["valid/distortion"] - row["valid/rate"]
        assert row["valid/bound"] == pytest.approx(bound, rel=1e-4, abs=1e-4)


def test_the_draw_holds_every_part_with_and_without_meaning():
    """A draw that left parts out would prove little: each stands in built and in refused ones."""
    built = [p for p in PRODUCTS if not refusal(p)]
    assert 40 <= len(built) <= 200
    seen = Counter(itertools.chain.from_iterable(p.items() for p in built))
    missing = {
        (name, value) for name, values in AXES.items() for value in values if not seen[name, value]
    }
    assert not missing
    reasons = Counter(reason for p in PRODUCTS for reason in (refusal(p) or "").split("|"))
    assert set(reasons) - {""} == {"likelihood", "weighting", "prior", "penalty", "objective"}
