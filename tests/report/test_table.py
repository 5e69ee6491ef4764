"""Marks, ranks and absences of the score table."""

import dataclasses
import math

import pytest
import torch
from scipy.stats import binomtest

from reparam.evaluation.scores import Difference, Score, difference, mark, mean_score, share_score
from reparam.measures import SCORES
from reparam.model import Space
from reparam.presets import build
from reparam.report.numbers import number, seed_error
from reparam.report.summary import findings
from reparam.report.table import rank, score_table
from reparam.report.trained import TrainedModel
from reparam.train.history import History

SPACE = Space((6,), "real")


def score(value, stderr=None, kind=None):
    return Score(value, "nats", 90, "test", stderr, kind)


def entry(label, preset="vae", **scores):
    return TrainedModel(label, build(preset, SPACE, latent_dim=2), scores, History())


@pytest.mark.parametrize(
    "kind, name, sign",
    [
        ("exact", "log_likelihood", "="),
        ("lower bound", "log_likelihood", "≥"),
        ("lower bound", "bits_per_dim", "≤"),
        ("exact", "bits_per_dim", "="),
        ("estimate", "bits_per_dim", "≈"),
        (None, "rate", ""),
    ],
)
def test_marks(kind, name, sign):
    assert mark(score(1.0, kind=kind), name) == sign


def test_the_best_follows_the_direction_of_the_score():
    scores = [score(1.0), score(2.0), None]
    assert rank(scores, "log_likelihood") == ["", "best", ""]
    assert rank(scores, "bits_per_dim") == ["best", "", ""]
    assert rank(scores, "rate") == ["", "", ""]


def test_ties_are_within_one_standard_error_of_the_difference():
    assert rank([score(0.0, 0.3), score(0.49, 0.4)], "elbo") == ["tied", "best"]
    assert rank([score(0.0, 0.3), score(0.51, 0.4)], "elbo") == ["", "best"]
    assert rank([score(0.0), score(0.1, 0.4)], "elbo") == ["", "best"]


def test_a_single_value_is_not_the_best_of_anything():
    assert rank([score(1.0, 0.1), None], "elbo") == ["", ""]


def test_equal_values_are_both_best():
    assert rank([score(1.0), score(1.0)], "psnr") == ["best", "best"]


@pytest.mark.parametrize(
    "value, stderr, text",
    [
        (-91.5432, 0.0631, ("−91.543", "0.063")),
        (-9668.4, 36.2, ("−9,668", "36")),
        (0.0, None, ("0", "")),
        (1e-9, 1e-10, ("1.00e−09", "1e−10")),
        (1000000.123, 1e-7, ("1,000,000", "1e−07")),
        (-91.5, math.inf, ("−91.5", "∞")),
        (123456.7, None, ("123,457", "")),
        (9999.96, None, ("10,000", "")),
    ],
)
def test_numbers_have_the_digits_of_their_error(value, stderr, text):
    assert number(score(value, stderr), "elbo") == text


def test_numbers_keep_their_power_of_ten_when_they_are_rounded():
    speeds = [score(value) for value in (999_600.0, 9_999.7, 12_345.0, 999.6e6)]
    shown = [number(speed, "samples_per_second")[0] for speed in speeds]
    assert shown == ["1 M", "10,000", "12.3 k", "1 G"]
    assert seed_error(Score(1.0, "nats", 9, "test", seed_stderr=123.4), "elbo") == "123"


def test_absent_scores_say_why_and_are_not_zero():
    table = score_table([entry("AE", "ae"), entry("PCA", "pca", elbo=score(0.0))])
    absent, zero = table.rows[0][0], table.rows[1][0]
    assert absent.key is None and absent.value == "—" and absent.absent
    assert zero.key == 0.0 and zero.value == "0" and not zero.absent


def test_reasons_follow_what_a_model_is():
    scores = {"log_likelihood": score(1.0, kind="exact"), "elbo": score(1.0)}
    table = score_table([entry("AE", "ae"), entry("PCA", "pca"), entry("VAE", **scores)])
    reasons = [[cell.absent for cell in row] for row in table.rows]
    assert reasons[0][0] == "A plain autoencoder has no likelihood"
    assert reasons[1] == [
        "Not measured for this model",
        "Defined for models with q(z|x) and p(z) only",
    ]
    assert reasons[2] == ["", ""]


def test_scores_it_does_not_know_are_shown_without_a_best():
    table = score_table([entry("A", fancy_new_score=score(1.0)), entry("B")])
    assert table.headers[-1].title == "Fancy new score"
    assert [row[0].rank for row in table.rows] == ["", ""]


def test_columns_stand_in_groups_and_tell_their_protocol():
    value = Score(-1.0, "nats", 360, "test", 0.1, "lower bound", samples=1000, seed=0)
    table = score_table([entry("A", log_likelihood=value, rate=score(1.0), elbo=value)])
    assert [head.name for head in table.first.headers] == ["log_likelihood"]
    assert [(part.title, len(part.headers)) for part in table.more] == [("Latents", 2)]
    assert "360 test examples, 1,000 samples, seed 0" in table.headers[0].definition
    assert "Higher is better" in table.headers[0].definition and table.headers[0].unit == "nats"


def test_the_best_of_bounds_and_exact_values_is_the_best_shown():
    exact, bound = score(-10.0, 0.1, "exact"), score(-12.0, 0.1, "lower bound")
    mixed = score_table([entry("A", log_likelihood=exact), entry("B", log_likelihood=bound)])
    assert mixed.mixed
    assert "highest value shown: a bound's true value may be better" in mixed.rows[0][0].why
    bits = score_table([entry("A", bits_per_dim=exact), entry("B", bits_per_dim=bound)])
    assert "lowest value shown" in bits.rows[1][0].why
    same = score_table([entry("A", log_likelihood=exact), entry("B", log_likelihood=exact)])
    assert not same.mixed and "best of this column" in same.rows[0][0].why


def test_errors_say_what_they_are_over():
    over_seeds = Score(-1.0, "nats", 90, "test", 0.1, seed=[0, 1, 2], seed_stderr=0.02)
    only_seeds = Score(-2.0, "nats", 90, "test", seed=[0, 1, 2], seed_stderr=0.3)
    entries = [entry("A", elbo=over_seeds), entry("B", elbo=only_seeds)]
    cells = [row[0] for row in score_table([*entries, entry("C", elbo=score(-3.0, 0.1))]).rows]
    assert "standard error 0.1 over the examples and 0.02 over seeds; " in cells[0].why
    assert "mean over seeds 0, 1, 2" in cells[0].why
    assert "standard error 0.3 over seeds; " in cells[1].why
    assert "standard error 0.1 over the examples; " in cells[2].why
    shown = [(cell.value, cell.error, cell.seed_error) for cell in cells]
    assert shown == [("−1.00", "0.10", "0.02"), ("−2.00", "", "0.3"), ("−3.00", "0.10", "")]


def measured(values, **more):
    return dataclasses.replace(mean_score(torch.tensor(values), "nats", "test"), **more)


def test_differences_are_taken_by_example():
    """A constant apart on every example: no error of the difference, however large that of each."""
    easy_and_hard = [-10.0, -200.0, -70.0, -130.0]
    best = measured(easy_and_hard)
    worse = measured([value - 0.5 for value in easy_and_hard])
    assert min(best.stderr, worse.stderr) > 40
    assert rank([best, worse], "elbo") == ["best", ""]
    apart = difference(worse, best)
    assert (apart.value, apart.stderr, apart.pairs) == (-0.5, pytest.approx(0, abs=1e-12), 4)
    # Differences of −1, 0, 1 and 0 less a half: a mean of −.5 with a standard error of √(2/3/4).
    noisy = measured([v - 0.5 + e for v, e in zip(easy_and_hard, (-1, 0, 1, 0), strict=True)])
    assert difference(noisy, best).stderr == pytest.approx((2 / 3 / 4) ** 0.5)
    assert rank([best, noisy], "elbo") == ["best", ""]
    (cell,) = score_table([entry("A", elbo=best), entry("B", elbo=noisy)]).rows[1]
    assert "difference from the best −0.5 ± 0.41 (paired over 4 examples)" in cell.why


def test_the_error_over_seeds_is_part_of_that_of_a_difference():
    values = [-10.0, -200.0, -70.0, -130.0]
    best = measured(values, seed=[0, 1], seed_stderr=0.3)
    worse = measured([v - 0.5 for v in values], value=best.value - 0.5, seed_stderr=0.4)
    assert difference(worse, best).stderr == pytest.approx(0.5)  # √(.3² + .4²), none by example
    assert rank([best, worse], "elbo") == ["best", "tied"]


def test_without_values_by_example_errors_are_those_of_different_examples():
    first, second = score(0.0, 0.3), dataclasses.replace(score(0.49, 0.4), seed_stderr=1.2)
    assert difference(first, second) == Difference(-0.49, pytest.approx(1.3), None)  # 5, 12: 13
    others = measured([0.0, 0.5, 1.0])
    assert difference(measured([0.0, 1.0]), others).pairs is None  # of other examples
    assert difference(measured([1.0]), measured([2.0])).stderr is None  # one tells of no error
    (cell,) = score_table([entry("A", elbo=score(1.0, 0.3)), entry("B", elbo=first)]).rows[1]
    assert "difference from the best −1 ± 0.42 (unpaired)" in cell.why


def test_bounds_from_above_are_marked_and_have_no_best():
    assert mark(score(1.0, kind="upper bound"), "aggregate_kl") == "≤"
    assert mark(score(1.0, kind="lower bound"), "mutual_information") == "≥"
    names = ("aggregate_kl", "mutual_information", "posterior_gap")
    for name in names:
        assert rank([score(1.0, 0.1), score(2.0, 0.1)], name) == ["", ""]


def test_accuracies_have_an_interval_in_place_of_an_error():
    """All of 30 right is no proof: an error of 0 stands nowhere, in the table or beside it."""
    all_right = share_score(torch.ones(30, dtype=torch.bool), "test")
    some = share_score(torch.arange(30) < 27, "test")
    ends = binomtest(30, 30).proportion_ci(method="wilson")
    assert all_right.interval == pytest.approx((ends.low, 1.0))
    ends = binomtest(27, 30).proportion_ci(method="wilson")
    assert some.interval == pytest.approx((ends.low, ends.high))
    assert score(0.5, 0.1).interval is None
    entries = [entry(n, linear_probe_accuracy=s) for n, s in (("A", all_right), ("B", some))]
    best, other = (row[0] for row in score_table(entries).rows)
    assert (best.value, best.error, best.interval) == ("100.0 %", "", "88.6–100.0 %")
    assert "Wilson interval of 95 % 88.6–100.0 %" in best.why and "error 0" not in best.why
    assert (other.value, other.interval) == ("90.0 %", "74.4–96.5 %")
    (finding,) = findings(entries)
    assert "100.0 % (88.6–100.0 %)" in finding.text.replace("\u00a0", " ")
    assert "±" not in finding.text and "not known" not in finding.text
    seeds = dataclasses.replace(all_right, unit="accuracy, fitted on 9 codes", seed_stderr=0.02)
    (cell,) = score_table([entry("A", linear_probe_accuracy=seeds)]).rows[0]
    assert cell.interval == best.interval and "; standard error 0.02 over seeds" in cell.why


def test_an_error_of_zero_is_known():
    zero, none = (
        findings([entry("A", reconstruction_mse=score(1.0, e)), entry("B", reconstruction_mse=far)])
        for e, far in ((0.0, score(2.0, 0.1)), (None, score(2.0)))
    )
    assert "not known" not in zero[0].text and "not known" in none[0].text


def test_the_elbo_is_explained_beside_a_bound():
    definition = SCORES["elbo"].definition
    assert "itself a bound" in definition and "least that the misfit can be" in definition


def test_the_number_of_samples_of_the_frechet_distance_is_not_draws_per_example():
    table = score_table([entry("A", frechet_distance=Score(1.0, "f", 90, "test", seed=0))])
    assert "samples, seed" not in table.headers[0].definition
    assert "5,000 at most" in table.headers[0].definition


def test_training_data_are_a_row_that_is_ranked_with_no_model():
    def distance(value):
        return {"frechet_distance": Score(value, "f", 359, "test", 0.1, seed=0)}

    shares = {"sample_precision": Score(0.922, "share", 359, "test", 0.0174)}
    entries = [entry("A", **distance(3.0)), entry("B", **distance(4.0), elbo=score(-1.0))]
    table = score_table(entries, distance(1.6) | shares)
    assert [row[0].rank for row in table.rows] == ["best", ""]
    floor, elbo = table.reference  # of the columns that models have, where A has no likelihood
    assert (floor.value, floor.error, floor.rank, floor.key) == ("1.60", "0.10", "", None)
    assert "training examples in place of samples; 359 test examples" in floor.why
    assert elbo.absent == "A score of models, not of data"
    assert score_table(entries).reference == []
    assert number(shares["sample_precision"], "sample_precision") == ("92.2 %", "1.7 %")


def test_being_near_training_data_is_neither_good_nor_bad():
    for name in ("nearest_training", "near_copies", "sample_sharpness", "label_entropy"):
        assert SCORES[name].better is None
    assert "Below 1 alone says little" in SCORES["nearest_training"].definition


def test_findings_name_ties_and_warn_of_bounds():
    one, two, three = findings_of(
        PCA=score(-10.0, 0.1, "exact"),
        VAE=score(-10.1, 0.1, "lower bound"),
        Far=score(-50.0, 0.1, "exact"),
    )
    assert one.model == 0 and "= −10.00 ± 0.10 nats" in one.text.replace("\u00a0", " ")
    assert two == "VAE cannot be told apart from it (within one standard error)."
    assert three == "The true values of models with a lower bound (≥) may be higher than shown."


def test_lines_of_findings_end_neither_within_a_number_nor_within_its_error():
    over_seeds = dataclasses.replace(score(-10.0, 0.1, "exact"), seed=[0, 1], seed_stderr=0.37)
    entries = [entry("A", log_likelihood=over_seeds), entry("B", log_likelihood=score(-20.0, 0.1))]
    (only,) = findings(entries)
    numbers = only.text.partition(": ")[2].split(" ")
    assert [one.replace("\u00a0", " ") for one in numbers] == [
        "= −10.00 ± 0.10", "(± 0.37 over seeds)", "nats."
    ]  # fmt: skip
    shares = [entry(n, linear_probe_accuracy=Score(v, "share", 90, "test", 0.02, seed_stderr=0.01))
              for n, v in (("A", 0.9), ("B", 0.1))]  # fmt: skip
    (only,) = findings(shares)
    shares = only.text.partition(": ")[2].split(" ")
    assert [one.replace("\u00a0", " ") for one in shares] == [
        "90.0 % ± 2.0 %", "(± 1.0 % over seeds)."
    ]  # fmt: skip


def findings_of(**scores):
    (only,) = findings([entry(label, log_likelihood=s) for label, s in scores.items()])
    _, tied = only.text.split("; ")
    tie, caution = tied.split(". ")
    return only, tie + ".", caution


def test_scores_of_layers_stand_with_those_of_the_whole_and_say_of_how_many():
    """Each in dimensions of its own layer, whichever model has how many."""
    layers = {
        "rate_layer_1": score(2.0, 0.1),
        "active_units_layer_1": Score(3.0, "of 6 dimensions", 90, "test"),
        "parameters": Score(9.0, "numbers", 90, "test"),
    }
    other = {"active_units_layer_1": Score(1.0, "of 2 dimensions", 90, "test")}
    table = score_table([entry("a", **layers), entry("b", **other)])
    titles = {head.name: (head.title, head.unit) for head in table.headers}
    assert titles["rate_layer_1"] == ("Rate, layer 1", "nats")
    assert titles["active_units_layer_1"] == ("Active units, layer 1", "dimensions")
    names = [head.name for head in table.headers]
    shown = [row[names.index("active_units_layer_1")].value for row in table.rows]
    assert shown == ["3 / 6", "1 / 2"]
    overlap, sharp = (
        Score(0.9, "of 10, Euclidean", 9, "test"),
        Score(1.5, "of the originals", 9, "t"),
    )
    (row,) = score_table([entry("a", neighbor_overlap=overlap, sharpness=sharp)]).rows
    assert [cell.value for cell in row] == ["1.5", "90.0 %"]  # no numbers of dimensions
    latents, cost = table.more
    assert latents.title == "Latents" and [h.name for h in latents.headers] == names[:2]
    assert [index for index, _ in latents.rows] == [0, 1]
    assert cost.title == "Cost" and [index for index, _ in cost.rows] == [0]


def test_models_that_are_told_different_things_are_not_ranked_by_what_they_make_of_it():
    """Of a small hole less is open than of a small image: no model is better for it."""
    space = Space((1, 4, 4), "binary")
    scores = {
        "restoration_mean_mse": Score(0.1, "", 9, "test", 0.001),
        "conditional_log_likelihood": score(-3.0, 0.1, "lower bound"),
        "frechet_distance": score(2.0, 0.1),
    }
    lower = {name: dataclasses.replace(one, value=one.value - 1) for name, one in scores.items()}

    def told(given, scores):
        model = build("cvae", space, hidden=(4,), given=given)
        return TrainedModel(given or "labels", model, scores, History())

    first = told("downscale:2", scores)
    for other, ranked in (("downscale:2", True), ("mask:half", False)):
        entries = [first, told(other, lower)]
        found = " ".join(finding.text for finding in findings(entries))
        assert ("restores best" in found) == ranked, found
        table = score_table(entries)
        best = {
            head.name: {row[i].rank for row in table.rows} for i, head in enumerate(table.headers)
        }
        assert "best" in best["frechet_distance"]
        for name in ("restoration_mean_mse", "conditional_log_likelihood"):
            assert ("best" in best[name]) == ranked, name
