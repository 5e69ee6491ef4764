"""What is said of models: the rule of errors, which models a claim is about, and each verdict."""

from __future__ import annotations

import dataclasses
import math
import re

import pytest
import torch
from pages import data_of, entry

import reparam as rp
from reparam.comparison import Comparison
from reparam.comparison_runs import Candidate
from reparam.evaluation.quality_by_time import Quality
from reparam.evaluation.scores import Difference, Score, difference, mean_score
from reparam.evaluation.shifted import Told
from reparam.report import page, write_page
from reparam.report.claims import CLAIMS, Claim, claims_of, density_claims, likelier, roles
from reparam.report.claims import autoencoder_claims as of_autoencoders
from reparam.report.claims import sampling_claims as of_samples
from reparam.report.claims import vae_claims as of_vaes
from reparam.report.claims.compared import Compared, seconds
from reparam.report.claims.verdicts import (
    FAILS,
    HOLDS,
    UNTOLD,
    Named,
    Part,
    above,
    exceeds,
    verdict_of,
)
from reparam.report.sections import said, trade_offs
from reparam.report.trained import TrainedModel
from reparam.train.history import History

DATA = rp.load_data("digits")
SMALL = {"hidden": (8,)}
SETTINGS = {
    "pca": {"latent_dim": 4},
    "ae": {"latent_dim": 4, **SMALL},
    "ae-gmm": {"codec.latent_dim": 4, "codec.hidden": (8,)},
    "denoising-ae": {"latent_dim": 4, **SMALL},
    "linear-ae": {"latent_dim": 4},
    "vae": {"latent_dim": 4, **SMALL},
    "beta-vae": {"latent_dim": 4, **SMALL},
    "vq-vae": {},
    "made": SMALL,
    "real-nvp": SMALL,
    "gan": {},
    "ddpm": {"width": 8, "blocks": 1, "times": 10},
}


def model(name):
    return rp.build(name, DATA.space, seed=0, **SETTINGS[name]).eval()


MODELS = {name: model(name) for name in SETTINGS}


def of(name, **scores):
    return entry(name, MODELS[name], **scores)


def score(value, error=0.1, n=100, **about):
    return Score(value, "nats", n, "test", error, **about)


def compared(*entries, **about):
    return Compared(DATA, entries, **about)


@pytest.mark.parametrize(
    ("value", "error", "verdict"),
    [(2.1, 1, HOLDS), (-2.1, 1, FAILS), (1.9, 1, UNTOLD), (-1.9, 1, UNTOLD), (0, 0, UNTOLD)]
    + [(1e-9, 0, HOLDS), (5, None, UNTOLD)]
    + [(math.nan, 1, UNTOLD), (5, math.nan, UNTOLD), (math.inf, 1, UNTOLD)],
)
def test_beyond_two_errors_it_is_told(value, error, verdict):
    assert verdict_of(Difference(value, error))[0] == verdict


def test_a_claim_is_what_its_parts_are():
    def claim(*verdicts, some=False):
        return Claim(1, "", [Part("", v, missing=v is None) for v in verdicts], some).verdict

    missing = Part("", UNTOLD, missing=True)
    assert claim(HOLDS, HOLDS) == HOLDS and claim(HOLDS, UNTOLD) == UNTOLD
    assert claim(HOLDS, FAILS, UNTOLD) == FAILS
    assert claim(HOLDS, FAILS, some=True) == HOLDS and claim(FAILS, UNTOLD, some=True) == UNTOLD
    assert claim(FAILS, FAILS, some=True) == FAILS
    assert Claim(1, "", [missing]).verdict == UNTOLD
    assert Claim(1, "", [missing, Part("", HOLDS)]).verdict == HOLDS


def test_a_model_measured_twice_is_apart_by_nothing_but_its_noise():
    """Two bounds of the same rows by other draws: what rows have in common cancels."""
    generator = torch.Generator().manual_seed(0)
    rows = 30 * torch.randn(500, generator=generator)
    twice = [
        mean_score(rows + torch.randn(500, generator=generator), "nats", "test") for _ in range(2)
    ]
    gap = difference(*twice)
    assert gap.stderr < 0.1 and abs(gap.value) < 4 * gap.stderr
    same = exceeds("", "elbo", Named("a", twice[0]), Named("a", twice[0]))
    assert same.verdict == UNTOLD and "two standard errors" in same.reason


LESS, MORE = score(1.0), score(9.0)
# Claim, part, and by model the scores with which the part holds.
BY_SCORES = [
    (density_claims.have_better_likelihood, 0, "log_likelihood", {"made": MORE, "vae": LESS}),
    (density_claims.be_stable_and_large, 2, "frechet_distance", {"real-nvp": MORE, "gan": LESS}),
    (of_samples.may_lose_modes, 2, "sample_recall", {"gan": LESS, "ddpm": MORE}),
    (of_samples.may_lose_modes, 2, "sample_recall", {"gan": LESS, "vae": MORE}),
    (of_samples.be_slow_and_cover, 1, "sample_recall", {"gan": LESS, "ddpm": MORE}),
    (of_autoencoders.memorize, 2, "neighbor_overlap", {"vae": MORE, "ae": LESS}),
    (of_vaes.raise_the_distortion, 0, "distortion", {"beta-vae": MORE, "vae": LESS}),
]


@pytest.mark.parametrize(("claim", "part", "name", "scores"), BY_SCORES)
def test_a_verdict_flips_with_the_models_and_is_none_within_errors(
    claim, part, name, scores, monkeypatch
):
    monkeypatch.setattr(of_samples, "_seconds_to_draw", lambda entry: LESS)

    def found(values):
        return claim(compared(*(of(k, **{name: v}) for k, v in values.items()))).parts[part]

    first, second = scores
    assert found(scores).verdict == HOLDS
    swapped = {first: scores[second], second: scores[first]}
    assert found(swapped).verdict == FAILS
    same = found(dict.fromkeys(scores, score(5.0)))
    assert same.verdict == UNTOLD and not same.missing
    assert all(label in found(scores).numbers for label in scores)


def test_a_bound_decides_only_in_the_direction_it_bounds(monkeypatch):
    """One that is higher does; one that is lower where its slack is known and small."""
    exact = score(-80.0, kind="exact")
    low, high = (score(v, kind="lower bound") for v in (-90.0, -70.0))

    def found(vae, more):
        monkeypatch.setattr(density_claims, "slack", lambda _, e: more if e.label == "vae" else 0)
        c = compared(of("made", log_likelihood=exact), of("vae", log_likelihood=vae))
        return density_claims.have_better_likelihood(c).parts[0]

    untold, told = found(low, math.inf), found(low, 0.5)
    assert untold.verdict == UNTOLD and "vae is a lower bound" in untold.reason
    assert told.verdict == HOLDS and "raise it by 0.5" in told.reason
    assert found(low, 9.9).verdict == UNTOLD
    assert found(high, math.inf).verdict == FAILS


def test_two_bounds_rank_no_samples():
    bound = {"kind": "lower bound"}
    scores = {"pca": (-150, 2), "vq-vae": (-90, 9)}
    entries = [
        of(k, log_likelihood=score(a, **bound), frechet_distance=score(b))
        for k, (a, b) in scores.items()
    ]
    part = density_claims.not_rank_samples(compared(*entries)).parts[0]
    assert part.verdict == UNTOLD and "which is likelier" in part.reason


def test_the_slack_of_a_bound_is_what_more_draws_tell():
    """Of normal log-weights of deviation s log E w is s²/2 above their mean."""
    generator = torch.Generator().manual_seed(0)
    parts = 0.3 * torch.randn(4000, 20, generator=generator, dtype=torch.float64)
    assert likelier.rise(parts) == pytest.approx(0.5 * 0.09 * 19 / 20, abs=0.002)
    assert likelier.rise(20 * parts) == math.inf
    number = {"log_likelihood": score(-9.0, kind="lower bound", samples=40)}
    assert 0 < likelier.slack(compared(), of("vae", **number))  # inf or not
    assert likelier.slack(compared(), of("vq-vae", **number)) == math.inf
    assert likelier.slack(compared(), of("made", log_likelihood=score(-9.0, kind="exact"))) == 0


def test_fewer_steps_are_held_against_the_same_weights(monkeypatch):
    """And not against a mean over seeds, of which they are one."""
    monkeypatch.setattr(of_samples, "QualityByTime", lambda *_: lambda _: Quality(9.0, 0.1, 1.0))
    monkeypatch.setattr(of_samples, "_seconds_to_draw", lambda entry: LESS)
    by_seed = tuple({"frechet_distance": score(v)} for v in (4.0, 20.0))
    mean = {"frechet_distance": score(12.0)}
    ddpm = TrainedModel("ddpm", MODELS["ddpm"], mean, History(), None, (), by_seed)
    part = of_samples.be_slow_and_cover(compared(ddpm)).parts[2]
    assert part.verdict == HOLDS and "4.0" in part.numbers


def test_the_spread_over_seeds_decides_which_is_more_stable():
    def trained(name, *distances):
        by_seed = tuple({"frechet_distance": score(v)} for v in distances)
        scores = {"frechet_distance": score(sum(distances) / len(distances))}
        return TrainedModel(name, MODELS[name], scores, History(), None, (), by_seed)

    calm, wild = (4.0, 4.1, 3.9, 4.05, 3.95), (4.0, 8.0, 2.0, 12.0, 1.0)
    stable = density_claims.be_stable_and_large
    assert stable(compared(trained("real-nvp", *calm), trained("gan", *wild))).parts[1].verdict == (
        HOLDS
    )
    assert stable(compared(trained("real-nvp", *wild), trained("gan", *calm))).parts[1].verdict == (
        FAILS
    )
    one = stable(compared(trained("real-nvp", 4.0), trained("gan", 5.0))).parts[1]
    assert one.verdict == UNTOLD and "--seeds 5" in one.reason


def test_the_error_of_a_spread_is_that_of_normal_values():
    draws = torch.randn(4000, 20, generator=torch.Generator().manual_seed(0))
    spreads = draws.std(1)
    by_seed = tuple({"frechet_distance": score(v)} for v in draws[0].tolist())
    one = TrainedModel("gan", MODELS["gan"], {}, History(), None, (), by_seed)
    found = density_claims.spread_over_seeds(one, "frechet_distance")
    for n in (2, 3, 5):
        logs = draws[:, :n].std(1).log()
        of_n = density_claims._error_of_log(score(1.0, n=n))
        assert of_n == pytest.approx(logs.std().item(), rel=0.06), n
    assert found.value == pytest.approx(spreads[0].item(), rel=1e-6)
    assert found.error / found.value == pytest.approx(spreads.std().item(), rel=0.1)


def test_likelihood_ranks_samples_or_some_pair_says_that_it_does_not():
    def verdict(**values):
        pairs = {"vae": values["vae"], "made": values["made"], "pca": values["pca"]}
        entries = [
            of(k, log_likelihood=score(a), frechet_distance=score(b)) for k, (a, b) in pairs.items()
        ]
        return density_claims.not_rank_samples(compared(*entries, of("gan"))).parts[0]

    ranked = verdict(made=(-80, 2), vae=(-90, 4), pca=(-99, 9))
    assert ranked.verdict == FAILS and "rank correlation 1 over 3" in ranked.numbers
    turned = verdict(made=(-80, 9), vae=(-90, 4), pca=(-99, 2))
    assert turned.verdict == HOLDS and "rank correlation −1 over 3" in turned.numbers
    assert "2 more pairs" in turned.numbers
    assert verdict(made=(-80, 4), vae=(-90, 4), pca=(-99, 4)).verdict == UNTOLD
    alone = density_claims.not_rank_samples(compared(of("gan"))).parts[0]
    assert alone.missing and "`vae` and `ddpm`" in alone.reason


def test_a_density_flags_images_or_does_not():
    def verdict(*low):
        sets = dict(
            zip(density_claims.OTHERS, (Told(score(0.0), a, 0.5) for a in low), strict=True)
        )
        return density_claims.flagged("", sets, rows=100).verdict  # errors of 0.05

    assert verdict(0.99, 0.9, 1.0) == FAILS
    assert verdict(0.99, 0.2, 1.0) == HOLDS
    assert verdict(0.99, 0.45, 1.0) == verdict(0.99, 0.55, 1.0) == UNTOLD


def test_which_models_a_claim_is_about():
    names = {
        "plain_autoencoder": {"ae", "ae-gmm", "linear-ae"},
        "denoising": {"denoising-ae"},
        "generator_of_codes": {"ae-gmm"},
        "vae": {"vae", "beta-vae"},
        "plain_vae": {"vae"},
        "adversarial": {"gan"},
        "autoregressive": {"made"},
        "flow": {"real-nvp"},
        "diffusion": {"ddpm"},
    }
    for role, expected in names.items():
        assert {n for n, m in MODELS.items() if getattr(roles, role)(m)} == expected, role
    assert (
        roles.weight_of_rate(MODELS["beta-vae"]) == 4 and roles.weight_of_rate(MODELS["ae"]) is None
    )
    linear = {n for n, m in MODELS.items() if of_autoencoders._linear(compared(), m)}
    assert linear == {"pca", "linear-ae"}


def test_without_models_every_claim_names_those_to_add():
    """And what it names can be typed: each is a model of a call."""
    for claim in claims_of(DATA, []):
        assert claim.verdict == UNTOLD
        for part in claim.parts:
            assert part.missing and not part.numbers
            named = re.findall("`([^`]*)`", part.reason)
            assert named, part
            for text in named:
                assert Candidate.parse(text).build(DATA.space, seed=0).space == DATA.space


def test_a_score_that_such_data_do_not_give_is_no_missing_model():
    entries = [of(name) for name in ("real-nvp", "gan", "made", "vae", "ae", "ddpm")]
    found = {claim.number: claim.parts for claim in claims_of(DATA, entries)}
    for number, place in ((3, 0), (4, 1), (4, 2), (5, 2), (6, 1), (7, 0), (9, 2)):
        part = found[number][place]
        assert part.missing and not part.add and "add" not in part.reason, part
    assert "real-nvp and gan have no Fréchet distance" in found[4][2].reason


def test_one_test_row_tells_nothing_and_breaks_nothing(solved):
    one = DATA.test.take(torch.arange(1))
    data = dataclasses.replace(DATA, test=one, valid=one)
    entries = [of(name) for name in MODELS if name != "pca"]
    found = claims_of(data, [*entries, entry("pca", solved)])
    assert [claim.number for claim in found] == list(range(1, len(CLAIMS) + 1))
    of_test_rows = [*found[7].parts, *found[10].parts, found[1].parts[0]]
    assert {part.verdict for part in of_test_rows} == {UNTOLD}


def test_a_model_that_does_not_take_the_data_is_not_to_be_added():
    columns = (rp.Column("a", "real"), rp.Column("b", "category", 3))
    space = rp.Space((2,), "mixed", columns=columns)
    x = torch.cat([torch.randn(9, 1), torch.randint(3, (9, 1)).float()], 1)
    found = claims_of(data_of(x, space), [])
    gan = found[4].parts[0]
    assert gan.reason.startswith("`gan`, which is missing, is for") and "of category" in gan.reason
    assert "add `vae`" in found[10].parts[0].reason


@pytest.fixture(scope="module")
def solved():
    pca = rp.build("pca", DATA.space, latent_dim=4).eval()
    rp.fit(pca, DATA, progress=False)
    return pca


def subspace(pca, columns):
    """Claim 10 of a linear autoencoder whose decoder has these columns (D, 4)."""
    linear = rp.build("linear-ae", DATA.space, latent_dim=4, seed=0).eval()
    with torch.no_grad():
        weights = [p for p in linear.decoder.parameters() if p.ndim == 2]
        assert len(weights) == 1
        weights[0].copy_(columns)
    return of_autoencoders.find_the_subspace_of_pca(
        compared(entry("linear", linear), entry("p", pca))
    )


def test_a_linear_autoencoder_may_span_principal_components_or_be_them(solved):
    axes = solved.components.T.clone()
    mixed = axes @ torch.tensor(
        [[1.0, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]], dtype=torch.float64
    )
    found = subspace(solved, mixed)
    assert [p.verdict for p in found.parts] == [HOLDS, HOLDS] and found.verdict == HOLDS
    assert "angle" in str(found.figure)
    assert [p.verdict for p in subspace(solved, axes).parts] == [HOLDS, FAILS]
    others = torch.linalg.qr(torch.cat([axes, torch.eye(64).double()], 1))[0][:, 30:34]
    assert subspace(solved, others).parts[0].verdict == FAILS


def test_pca_has_to_have_as_many_components():
    few = rp.build("pca", DATA.space, latent_dim=2).eval()
    linear = entry("linear", MODELS["linear-ae"])
    said = of_autoencoders.find_the_subspace_of_pca(compared(linear, entry("pca", few)))
    assert all("`pca latent_dim=4`" in part.reason for part in said.parts)


def test_what_an_autoencoder_remembers(monkeypatch):
    """Errors that are made: of training rows first, then of test rows."""
    large = {"parameters": Score(1e9, "numbers", 1, "train")}
    c = compared(of("ae", **large), of("denoising-ae", **large))

    def parts(plain, denoising):
        made = {"ae": plain, "denoising-ae": denoising}
        errors = {k: tuple(score(v, 0.01) for v in pair) for k, pair in made.items()}
        monkeypatch.setattr(of_autoencoders, "_errors", lambda _, e: errors[e.label])
        return [part.verdict for part in of_autoencoders.memorize(c).parts[:2]]

    assert parts((1, 2), (2, 2.2)) == [HOLDS, HOLDS]
    assert parts((2, 1), (1, 2)) == [FAILS, FAILS]
    assert parts((1, 1), (1, 1)) == [UNTOLD, UNTOLD]
    unlike = of_autoencoders.memorize(compared(of("ae", **large), of("denoising-ae"))).parts[1]
    assert unlike.missing and "denoising-ae hidden=" in unlike.reason  # of another size
    small = of_autoencoders.memorize(compared(of("ae", parameters=score(10.0)))).parts[0]
    hidden = re.search(r"ae (hidden=\d+,\d+)", small.reason)[1]
    wide = Candidate.parse(f"ae {hidden}").build(DATA.space, seed=0)
    assert sum(p.numel() for p in wide.parameters()) > len(DATA.train) * 64


def test_a_number_above_another_that_has_no_error():
    one = Named("vae", score(0.5, 0.1))
    assert above("", "sample_recall", one, 0.2, "by chance").verdict == HOLDS
    assert above("", "neighbor_overlap", one, 0.25, "chance").numbers.endswith("chance 25.0 %")
    assert above("", "sample_recall", one, 0.8, "by chance").verdict == FAILS
    assert above("", "sample_recall", one, 0.4, "by chance").verdict == UNTOLD


def test_times_are_medians_that_one_outlier_does_not_move(monkeypatch):
    times = [1, 1, 10, *[1] * 6]
    ticks = iter([tick for i, t in enumerate(times) for tick in (100 * i, 100 * i + t)])
    monkeypatch.setattr("reparam.report.claims.compared.time.perf_counter", lambda: next(ticks))
    found = seconds(lambda: None, long=99)
    assert (found.value, found.stderr, found.n) == (1, 0, 9)
    ticks = iter([0, 5, 10, 15, 20, 25])
    assert seconds(lambda: None).n == 3  # of what takes long


def test_tables_have_no_edges_and_no_blank_images():
    data = rp.load_data("checkerboard")
    vae = rp.build("vae", data.space, latent_dim=1, hidden=(4,)).eval()
    found = claims_of(data, [entry("vae", vae)])
    by_number = {claim.number: claim for claim in found}
    assert [p.reason for p in by_number[2].parts] == [of_vaes.EDGES] * 2
    assert "made of images" in by_number[8].parts[0].reason


@pytest.fixture(scope="module")
def trained():
    """Small models after an epoch, with all of their scores."""
    found = []
    for name in ("ae", "vae", "gan"):
        made = rp.build(name, DATA.space, seed=0, **SETTINGS[name])
        history = rp.fit(made, DATA, epochs=1, progress=False)
        scores = rp.evaluate(made, DATA, samples=5, history=history)
        found.append(TrainedModel(name, made.eval(), scores, history))
    return found


def test_a_page_says_what_holds_and_scores_repeat_it(trained, tmp_path, monkeypatch):
    sections = (trade_offs.SECTION, said.SECTION)
    assert set(sections) <= set(page.SECTIONS)
    monkeypatch.setattr(page, "SECTIONS", sections)
    reference = rp.reference_scores(DATA)
    claims = claims_of(DATA, trained, reference=reference)
    assert [claim.number for claim in claims] == list(range(1, len(CLAIMS) + 1))
    path = tmp_path / "page.html"
    about = {"reference": reference, "families": True, "claims": claims}
    text = write_page(path, DATA, trained, **about).read_text("utf-8")
    assert '<section id="said"' in text and '<section id="trade-offs"' in text
    assert text.count('<div class="claim">') == 12
    assert "add <code>pixel-cnn</code> and <code>pixel-rnn</code> to the models" in text
    comparison = Comparison(DATA, tuple(trained), families=True, claims=claims)
    written = comparison.to_json()["claims"]
    assert written[6] == claims[6].to_json()
    assert {one["verdict"] for one in written} <= {HOLDS, FAILS, UNTOLD}
    assert "claims" not in Comparison(DATA, tuple(trained)).to_json()
    without = write_page(path, DATA, trained[:1]).read_text("utf-8")
    assert 'id="said"' not in without and 'id="trade-offs"' not in without


def test_what_is_measured_for_claims_is_the_same_again(trained):
    """But for times: every draw has a seed of its own."""
    first, second = (claims_of(DATA, trained) for _ in range(2))
    timed = {(3, 1), (6, 0)}
    for a, b in zip(first, second, strict=True):
        for place, (one, other) in enumerate(zip(a.parts, b.parts, strict=True)):
            assert (a.number, place) in timed or one == other


def test_claims_leave_models_in_their_mode(trained):
    vae = trained[1]
    vae.model.train()
    claims_of(DATA, [vae])
    assert vae.model.training
    vae.model.eval()
