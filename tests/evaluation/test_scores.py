"""Scores against known answers."""

import math

import pytest
import torch

import reparam as rp
from reparam.batching import rows_at_once
from reparam.data import Data, Split
from reparam.evaluation import evaluate
from reparam.evaluation.diagnosis import diagnose
from reparam.evaluation.likelihood import bits_per_dim, log_likelihood
from reparam.evaluation.reconstruction import reconstruction_scores
from reparam.evaluation.representation import linear_probe
from reparam.evaluation.scores import Score, mean_score
from reparam.model import Codec, Density, LogProb, Space


class Known(Codec, Density):
    """log p(x) is the first entry of x, the code is x, the reconstruction x plus one level."""

    @property
    def code_space(self):
        return self.space

    def loss(self, x, c=None, player="model"):
        raise AssertionError("not trained")

    def encode(self, x, c=None):
        return self.prepare(x, c)[0]

    def decode(self, code, c=None):
        return code + 1

    def draw(self, n, c, generator):
        return torch.zeros(n, *self.space.shape)

    def density(self, x, c, samples, generator):
        return LogProb(x.flatten(1)[:, 0], "exact")


def _split(rows=7, entries=3, seed=0):
    x = torch.randint(0, 5, (rows, entries), generator=torch.Generator().manual_seed(seed))
    return Split(x.to(torch.uint8))


def test_mean_score_is_mean_and_standard_error():
    values = torch.tensor([1.0, 2.0, 6.0])
    score = mean_score(values, "nats", "test")
    assert score.value == 3.0
    # s = sqrt(((−2)² + (−1)² + 3²) / 2) = sqrt 7
    assert score.stderr == pytest.approx(math.sqrt(7) / math.sqrt(3))
    assert mean_score(values[:1], "nats", "test").stderr is None


def _data(split, space):
    return Data(split, split, split, space, "toy")


@pytest.mark.parametrize("bad", [math.nan, -math.inf, math.inf])
def test_a_score_that_is_not_finite_is_refused_by_its_name(bad):
    class Spoiled(Known):
        def density(self, x, c, samples, generator):
            return LogProb(torch.tensor([1.0, bad]), "exact")

    space = Space((3,), "real")
    split = Split(torch.tensor([[1.0, 2.0, 3.0], [5.0, 2.0, 3.0]]))
    with pytest.raises(ValueError, match=f"^log_likelihood: is {bad} on 2 test examples; .*lr"):
        evaluate(Spoiled(space), _data(split, space))


def test_evaluate_leaves_the_random_generator_alone():
    data = rp.load_data("digits")
    model = rp.build("vae", data.space, latent_dim=2, hidden=(8,))
    before = torch.get_rng_state()
    evaluate(model, data, samples=2)
    assert torch.equal(torch.get_rng_state(), before)


def test_evaluate_tells_how_far_it_is():
    data = rp.load_data("digits")
    model = rp.build("vae", data.space, latent_dim=2, hidden=(8,))
    news = []
    evaluate(model, data, samples=64, watch=lambda *told: news.append(told))
    shares = [share for _, share in news]
    assert shares[0] == 0 and shares[-1] == 1 and shares == sorted(shares)
    # 359 test rows at 16 of 64 samples at a time: news comes often while most of the work is done
    assert sum(what == "likelihood" for what, _ in news) > 5
    what = dict.fromkeys(what for what, _ in news)
    assert list(what) == ["likelihood", "bound", "reconstructions", "codes", "samples", "measured"]


class Counting(Known):
    """Notes how many rows pass at a time."""

    def __init__(self, space):
        super().__init__(space)
        self.rows = []

    def encode(self, x, c=None):
        self.rows.append(len(x))
        return super().encode(x, c)

    def draw(self, n, c, generator):
        self.rows.append(n)
        return torch.rand(n, *self.space.shape, generator=generator)

    def density(self, x, c, samples, generator):
        self.rows.append(len(x))
        return super().density(x, c, samples, generator)


def test_large_images_pass_few_at_a_time():
    space = Space((3, 96, 96), "levels", 5)
    x = torch.randint(0, 5, (100, *space.shape), dtype=torch.uint8)
    model = Counting(space)
    evaluate(model, _data(Split(x, torch.arange(100) % 2), space))
    assert max(model.rows) == rows_at_once(space) == 36


def test_log_likelihood_counts_the_last_partial_batch():
    space = Space((3,), "levels", levels=5)
    split = _split(rows=1003)  # one full batch of 1000 and 3 rows more
    score = log_likelihood(Known(space), split)
    assert score.value == pytest.approx(split.x[:, 0].double().mean().item(), rel=1e-12)
    assert (score.kind, score.n, score.samples) == ("exact", 1003, None)


def test_bits_per_dim_of_a_fair_coin_is_one():
    score = Score(8 * math.log(0.5), "nats", 10, "test", stderr=math.log(2), kind="exact")
    bits = bits_per_dim(score, 8)
    assert (bits.value, bits.stderr) == (pytest.approx(1.0), pytest.approx(1 / 8))


def test_reconstruction_of_levels_is_on_the_unit_range():
    scores = reconstruction_scores(Known(Space((3,), "levels", levels=5)), _split(), _split())
    assert scores["reconstruction_mse"].value == pytest.approx((1 / 4) ** 2)
    assert "psnr" not in scores  # vectors have none


def test_reconstruction_of_tables_counts_every_column_alike():
    """Off by one everywhere: 1/4 in variances at deviation 2, next to nothing at 1e6."""
    rows = torch.tensor([[-2.0, 1e9 - 1e6, 3.0], [2.0, 1e9 + 1e6, 3.0]], dtype=torch.float64)
    scores = reconstruction_scores(Known(Space((3,), "real")).double(), Split(rows), Split(rows))
    # the last column is constant and keeps its unit: (1/4 + 1e-12 + 1) / 3
    assert scores["reconstruction_mse"].value == pytest.approx((1 / 4 + 1e-12 + 1) / 3)
    assert scores["reconstruction_mse"].unit == "variances, per entry"


def test_psnr_of_images():
    space = Space((1, 2, 2), "levels", levels=5)
    split = Split(torch.zeros(4, 1, 2, 2, dtype=torch.uint8))
    # one level off out of 4: 10 log10(1 / (1/16))
    assert reconstruction_scores(Known(space), split, split)["psnr"].value == pytest.approx(
        10 * math.log10(16)
    )


def test_linear_probe_reads_separable_codes_and_nothing_from_noise():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (600,), generator=generator)
    x = torch.nn.functional.one_hot(labels, 3).float()
    model = Known(Space((3,), "real"))
    assert linear_probe(model, Split(x, labels), Split(x, labels)).value == 1.0
    noise = torch.randn(600, 3, generator=generator)
    other = torch.randint(0, 3, (600,), generator=generator)
    score = linear_probe(model, Split(noise, labels), Split(noise, other))
    # Independent labels: 1/3 with standard error .019; six of them.
    assert abs(score.value - 1 / 3) < 6 * math.sqrt(2 / 9 / 600)
    assert linear_probe(model, Split(x), Split(x)) is None


def test_evaluate_defines_only_what_the_model_does():
    data = rp.load_data("digits")
    autoencoder = rp.build("ae", data.space, latent_dim=2, hidden=(8,))
    names = set(evaluate(autoencoder, data))
    pictures = {"reconstruction_mse", "psnr", "sharpness"}
    assert names == {*pictures, "linear_probe_accuracy", "neighbor_overlap", "parameters"}


def test_active_units_counts_the_dimensions_whose_means_vary():
    space = Space((3,), "binary")
    encoder, decoder = torch.nn.Linear(3, 4), torch.nn.Linear(2, 3)
    model = rp.VAE(
        space, encoder, decoder, rp.DiagonalNormal(2), rp.StandardNormal(2), rp.Bernoulli(space)
    )
    with torch.no_grad():
        encoder.weight.zero_()
        encoder.weight[1, 0] = 1.0  # the second mean follows x₀
    x = torch.tensor([[0, 0, 1], [1, 1, 0], [0, 1, 1], [1, 0, 0]], dtype=torch.uint8)
    data = Data(*[Split(x)] * 3, space=space, name="toy")
    scores = evaluate(model, data, samples=5)
    assert scores["active_units"].value == 1
    assert scores["elbo"].value == pytest.approx(
        -scores["distortion"].value - scores["rate"].value, abs=1e-6
    )


def test_parameters_count_what_was_learned():
    space = Space((1, 8, 8), "levels", levels=17)
    assert evaluate_parameters(rp.build("pca", space, latent_dim=2)) == 64 + 64 * 2 + 2 + 1
    linear = rp.build("ae", space, latent_dim=2, hidden=())
    assert evaluate_parameters(linear) == (64 * 2 + 2) + (2 * 64 + 64)


def evaluate_parameters(model):
    data = rp.load_data("digits")
    return evaluate(model, data, samples=1)["parameters"].value


def test_dynamic_data_are_measured_on_one_fixed_draw(monkeypatch):
    """Twice the same, and the same however many rows are read at a time: up to rounding."""
    data = rp.load_data("digits", binarize="dynamic")
    model = rp.build("pca", data.space, latent_dim=5).double()
    rp.fit(model, data, progress=False, precision="float64")
    wanted = evaluate(model, data)["log_likelihood"]
    assert evaluate(model, data)["log_likelihood"] == wanted
    monkeypatch.setattr("reparam.batching.ENTRIES_AT_ONCE", 64 * 37)
    assert evaluate(model, data)["log_likelihood"].value == pytest.approx(wanted.value, rel=1e-12)
    again = rp.load_data("digits", binarize="dynamic")
    assert evaluate(model, again)["log_likelihood"].value == pytest.approx(wanted.value, rel=1e-12)


@pytest.mark.parametrize("fails", [False, True])
def test_models_are_measured_in_evaluation_mode_and_left_in_their_own(fails):
    """Module by module, and also where measuring ends with an exception."""
    data = rp.load_data("digits")
    model = rp.build("vae", data.space, latent_dim=2, hidden=(8,)).train()
    model.decoder.eval()  # a part that its owner has frozen
    before, seen = [module.training for module in model.modules()], []

    def watch(what, share):
        seen.append(any(module.training for module in model.modules()))
        if fails:
            raise KeyboardInterrupt

    if fails:
        with pytest.raises(KeyboardInterrupt):
            evaluate(model, data, samples=1, watch=watch)
    else:
        evaluate(model, data, samples=1, watch=watch)
    assert [module.training for module in model.modules()] == before
    assert seen and not any(seen)


def test_a_diagnosis_is_made_in_evaluation_mode_and_the_mode_put_back():
    data = rp.load_data("digits")
    model, seen = rp.build("vae", data.space, latent_dim=2, hidden=(8,)).train(), []
    model.encoder.register_forward_pre_hook(lambda module, _: seen.append(module.training))
    diagnose(model, data.test)
    assert seen and not any(seen) and model.training
