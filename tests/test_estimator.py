"""The scikit-learn estimator: its checks, PCA's own numbers, and what users of PCA do with it."""

from __future__ import annotations

import pickle
import threading
import warnings

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from small_estimators import SMALL, SMALL_VAE, frame, labeled, rows

import reparam as rp
from reparam.estimator import GenerativeModel
from reparam.presets import PRESETS


@pytest.fixture(scope="module")
def vae():
    return GenerativeModel("vae", **SMALL_VAE).fit(rows())


@parametrize_with_checks(
    [
        GenerativeModel("pca"),
        GenerativeModel("pca", latent_dim=1),
        GenerativeModel("ae", **SMALL_VAE),
        GenerativeModel("vae", **SMALL_VAE),
    ]
)
def test_scikit_learns_checks(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # two epochs settle nothing
        check(estimator)


def both_pcas(x, q=2):
    return GenerativeModel("pca", latent_dim=q).fit(x), PCA(q).fit(x)


def test_codes_are_those_of_pca_up_to_signs():
    x, new = rows(), rows(seed=1)
    ours, theirs = both_pcas(x)
    codes, expected = ours.transform(new), theirs.transform(new)
    signs = np.sign((codes * expected).sum(0))
    # Relative to columns up to 100: eigenvectors of two solvers agree to rounding over the gap.
    np.testing.assert_allclose(codes * signs, expected, rtol=1e-9, atol=1e-8)


def test_rows_of_codes_are_those_of_pca():
    x, new = rows(), rows(seed=1)
    ours, theirs = both_pcas(x)
    back = ours.inverse_transform(ours.transform(new))
    expected = theirs.inverse_transform(theirs.transform(new))
    np.testing.assert_allclose(back, expected, rtol=1e-9, atol=1e-8)
    np.testing.assert_allclose(ours.reconstruct(new), back, rtol=1e-12)


@pytest.mark.parametrize(("top", "levels"), [(2, None), (17, 17)])
def test_flags_and_levels_have_the_codes_of_pca_too(top, levels):
    """Dequantization adds ½ to the mean and I/12 to the covariance: no eigenvector moves."""
    x = np.random.default_rng(0).integers(0, top, (80, 6))
    ours = GenerativeModel("pca", latent_dim=2, levels=levels).fit(x)
    theirs = PCA(2).fit(x)
    codes, expected = ours.transform(x), theirs.transform(x)
    signs = np.sign((codes * expected).sum(0))
    np.testing.assert_allclose(codes * signs, expected, atol=1e-10)
    back = theirs.inverse_transform(expected)
    np.testing.assert_allclose(ours.reconstruct(x), back, atol=1e-10)


def test_log_probs_are_those_of_pca_with_variances_over_n():
    """C/n in place of C/(n−1): log det moves by D ln(n/(n−1)), the distance by its factor."""
    x, new = rows(), rows(seed=1)
    ours, theirs = both_pcas(x)
    n, d, factor = len(x), x.shape[1], len(x) / (len(x) - 1)
    centered = new - x.mean(0)
    distance = np.einsum("nd,de,ne->n", centered, theirs.get_precision(), centered)
    expected = theirs.score_samples(new) + 0.5 * d * np.log(factor) - 0.5 * distance * (factor - 1)
    np.testing.assert_allclose(ours.score_samples(new), expected, rtol=1e-9)
    # Covariances have a condition of 1.3e5, to which a precision matrix, as theirs, is rounded:
    # 3e-11. Beside 50 digits they are off by 1.6e-12, and what we sum over eigenvectors by 2e-13.
    assert n == 60 and ours.score(new) == pytest.approx(expected.mean(), rel=3e-11)


def test_it_is_what_build_and_fit_give():
    x = rows()
    estimator = GenerativeModel("vae", latent_dim=2, validation_fraction=0, **SMALL).fit(x)
    split = rp.Split(torch.from_numpy(x))
    data = rp.Data(split, split, split, rp.Space((4,), "real"), "X", holds_out=False)
    model = rp.build("vae", data.space, latent_dim=2, seed=0)
    rp.fit(model, data, epochs=2, seed=0, precision="float64", progress=False)
    np.testing.assert_array_equal(estimator.transform(x), model.encode(x).detach().numpy())


def test_scores_are_anomaly_scores_with_the_other_sign(vae):
    x = rows(seed=1)
    found = rp.anomaly_scores(vae.model_, x, "log_prob", samples=1, seed=0).score.numpy()
    np.testing.assert_array_equal(vae.score_samples(x), -found)
    assert vae.score(x) == pytest.approx(-found.mean(), rel=1e-12)


def test_more_draws_tighten_the_bound(vae):
    x = rows(seed=1)
    more = pickle.loads(pickle.dumps(vae)).set_params(samples=200)
    assert more.score(x) > vae.score(x)


def test_the_score_of_an_autoencoder_is_minus_the_squared_error_per_row():
    x = rows()
    estimator = GenerativeModel("ae", **SMALL_VAE).fit(x)
    errors = np.square(x - estimator.reconstruct(x)).sum(1)
    assert estimator.score(x) == pytest.approx(-errors.mean(), rel=1e-12)
    assert not hasattr(estimator, "score_samples")
    assert "squared error" in " ".join(GenerativeModel.score.__doc__.split())


@pytest.mark.parametrize(
    ("preset", "has", "lacks"),
    [
        ("ae", "transform inverse_transform reconstruct score", "score_samples sample"),
        (
            "made",
            "score_samples score sample",
            "transform fit_transform inverse_transform reconstruct",
        ),
        ("gan", "sample inverse_transform", "transform score_samples score reconstruct"),
        ("mae", "transform reconstruct", "score_samples sample"),
        ("classifier", "transform", "inverse_transform score_samples score sample"),
    ],
)
def test_methods_are_there_by_capability_before_and_after_fit(preset, has, lacks):
    estimator = GenerativeModel(preset, parameters=dict(PRESETS[preset].small), **SMALL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        fitted = clone(estimator).fit(rows(), np.arange(60) % 2)
    for one in (estimator, fitted):
        assert [name for name in has.split() if not hasattr(one, name)] == []
        assert [name for name in lacks.split() if hasattr(one, name)] == []


def test_what_hides_entries_has_no_score_once_it_is_known():
    """A masked autoencoder is not trained to give back what it sees."""
    estimator = GenerativeModel("mae", parameters=dict(PRESETS["mae"].small), **SMALL)
    assert not hasattr(estimator.fit(rows()), "score")


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_samples_are_in_the_units_of_the_columns(dtype):
    x = rows().astype(dtype)
    estimator = GenerativeModel("pca", latent_dim=3, random_state=0).fit(x)
    drawn = estimator.sample(4000)
    # 4000 draws: a mean is off by 1/63 of a deviation, a deviation by 1/90 of itself; 5 of these.
    deviation = x.std(0)
    assert drawn.dtype == dtype and drawn.shape == (4000, 4)
    assert (np.abs(drawn.mean(0) - x.mean(0)) < 5 / 63 * deviation).all()
    assert (np.abs(drawn.std(0) / deviation - 1) < 5 / 90).all()


def test_an_int_draws_the_same_and_a_random_state_moves_on():
    x = rows()
    fixed = GenerativeModel("pca", latent_dim=2, random_state=3).fit(x)
    moving = GenerativeModel("pca", latent_dim=2, random_state=np.random.RandomState(3)).fit(x)
    np.testing.assert_array_equal(fixed.sample(3), fixed.sample(3))
    assert not np.array_equal(moving.sample(3), moving.sample(3))
    again = GenerativeModel("pca", latent_dim=2, random_state=np.random.RandomState(3)).fit(x)
    assert np.array_equal(
        again.sample(3),
        GenerativeModel("pca", latent_dim=2, random_state=np.random.RandomState(3))
        .fit(x)
        .sample(3),
    )
    assert not np.array_equal(
        *(GenerativeModel("pca", latent_dim=2).fit(x).sample(3) for _ in range(2))
    )


def test_fitting_twice_is_fitting_once_and_leaves_torch_as_it_was():
    x = rows()
    before, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(2)
    try:
        once = GenerativeModel("vae", **SMALL_VAE).fit(x)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert torch.equal(torch.get_rng_state(), state)
    codes = once.transform(x)
    np.testing.assert_array_equal(once.fit(x).transform(x), codes)
    np.testing.assert_array_equal(clone(once).fit(x).transform(x), codes)


def test_threads_wait_for_each_other():
    """joblib's threading backend fits several at a time; of fit itself one thread may."""
    x, found = rows(), {}

    def train(seed):
        found[seed] = GenerativeModel("vae", **{**SMALL_VAE, "random_state": seed}).fit(x)

    workers = [threading.Thread(target=train, args=(seed,)) for seed in (0, 1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    alone = GenerativeModel("vae", **SMALL_VAE).fit(x)
    np.testing.assert_array_equal(found[0].transform(x), alone.transform(x))


def test_grid_search_finds_the_rank():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 6)) + 0.1 * rng.normal(size=(300, 6))
    search = GridSearchCV(GenerativeModel("pca"), {"latent_dim": [1, 2, 4]}, cv=3).fit(x)
    assert search.best_params_ == {"latent_dim": 2}
    by_theirs = GridSearchCV(PCA(), {"n_components": [1, 2, 4]}, cv=3).fit(x)
    assert by_theirs.best_params_ == {"n_components": 2}
    scores = cross_val_score(GenerativeModel("ae", **SMALL_VAE), x, cv=2)
    assert scores.shape == (2,) and (scores < 0).all()


def test_in_a_pipeline_with_labels_that_are_not_its_own():
    x, y = load_digits(return_X_y=True)
    ours, theirs = (
        make_pipeline(StandardScaler(), pca, LogisticRegression(max_iter=300)).fit(x[:600], y[:600])
        for pca in (GenerativeModel("pca", latent_dim=16), PCA(16, svd_solver="full"))
    )
    # The same codes up to signs, and a penalty that knows no signs.
    assert ours.score(x[600:], y[600:]) == pytest.approx(theirs.score(x[600:], y[600:]), abs=0.005)
    assert ours[:-1].get_feature_names_out().tolist() == [f"pca{i}" for i in range(16)]


def test_frames_in_frames_out():
    x = frame()
    estimator = GenerativeModel("beta-vae", **SMALL_VAE).fit(x)
    assert estimator.feature_names_in_.tolist() == list("abcd")
    assert estimator.set_output(transform="pandas").transform(x).columns.tolist() == [
        "beta_vae0",
        "beta_vae1",
    ]
    assert estimator.transform(x[5:7]).index.tolist() == [5, 6]
    assert isinstance(estimator.set_output(transform="polars").transform(x), pl.DataFrame)
    by_polars = GenerativeModel("beta-vae", **SMALL_VAE).fit(pl.from_pandas(x))
    np.testing.assert_array_equal(by_polars.transform(pl.from_pandas(x)), by_polars.transform(x))
    with pytest.raises(ValueError, match="feature names"):
        estimator.transform(x[list("dcba")])


def test_some_columns_by_a_column_transformer():
    x = frame()
    both = ColumnTransformer(
        [
            ("codes", GenerativeModel("vae", **SMALL_VAE), ["a", "b", "c"]),
            ("rest", "passthrough", ["d"]),
        ]
    ).set_output(transform="pandas")
    found = both.fit_transform(x)
    assert found.columns.tolist() == ["codes__vae0", "codes__vae1", "rest__d"]
    np.testing.assert_array_equal(found["rest__d"], x["d"])


def test_images_are_rows_of_pixels():
    x = load_digits().data[:100]
    estimator = GenerativeModel("ae", image_shape=(8, 8), levels=17, **SMALL_VAE).fit(x)
    assert estimator.space_ == rp.Space((1, 8, 8), "levels", levels=17)
    assert estimator.transform(x).shape == (100, 2) and estimator.reconstruct(x).shape == x.shape
    direct = estimator.model_.reconstruct(x.reshape(-1, 1, 8, 8)).detach().numpy()
    np.testing.assert_allclose(estimator.reconstruct(x), direct.reshape(100, 64), rtol=1e-12)


@pytest.mark.parametrize(
    ("x", "options", "kind", "levels"),
    [
        (np.eye(9), {}, "binary", None),
        (np.eye(9, dtype=bool), {}, "binary", None),
        (np.eye(9), {"kind": "real"}, "real", None),
        (np.arange(18).reshape(9, 2), {}, "real", None),
        (np.arange(18).reshape(9, 2) / 17, {}, "real", None),
        (np.arange(18, dtype=np.uint8).reshape(9, 2), {}, "levels", 256),
        (np.arange(18).reshape(9, 2), {"levels": 18}, "levels", 18),
        (np.arange(18.0).reshape(9, 2), {"kind": "levels", "levels": 20}, "levels", 20),
    ],
)
def test_kinds(x, options, kind, levels):
    space = GenerativeModel("pca", latent_dim=1, **options).fit(x).space_
    assert (space.kind, space.levels) == (kind, levels)


def test_rows_hold_out_no_value_that_training_has_not():
    """A pixel that is hardly ever on: held out alone it would have density 0."""
    x = rows(n=40)
    x[:, 0] = 0.0
    x[7, 0] = 1.0
    for seed in range(8):
        options = SMALL_VAE | {"random_state": seed, "epochs": 1}
        history = GenerativeModel("vae", validation_fraction=0.5, **options).fit(x).history_
        assert np.isfinite(history.curve("valid/bound")).all()


def test_solved_models_learn_from_all_rows():
    x = rows()
    estimator = GenerativeModel("pca", latent_dim=2, validation_fraction=0.5).fit(x)
    np.testing.assert_allclose(estimator.model_.mean.numpy(), x.mean(0), rtol=1e-12)


@pytest.fixture(scope="module")
def cvae():
    options = SMALL_VAE | {"epochs": 20}
    return GenerativeModel("cvae", **options).fit(*labeled())


def test_conditional_models_take_labels(cvae):
    x, y = labeled()
    assert cvae.classes_.tolist() == ["cat", "dog"]
    c = torch.arange(60) % 2
    direct = cvae.model_.reconstruct(x, c).detach().numpy()
    np.testing.assert_allclose(cvae.reconstruct(x, y), direct, rtol=1e-12)
    swapped = np.where(y == "cat", "dog", "cat")
    assert not np.array_equal(cvae.score_samples(x, y), cvae.score_samples(x, swapped))
    assert np.isfinite(cross_val_score(GenerativeModel("cvae", **SMALL_VAE), x, y, cv=2)).all()
    assert cvae.sample(3, "dog").shape == cvae.sample(2, ["cat", "dog"]).shape[:0] + (3, 4)
    assert cvae.sample(2).shape == (2, 4)


def test_conditional_models_refuse_rows_without_labels(cvae):
    x, y = labeled()
    reason = "cvae is conditional on the label of each row"
    with pytest.raises(ValueError, match=f"transform: {reason}"):
        cvae.transform(x)
    with pytest.raises(ValueError, match=f"inverse_transform: {reason}"):
        cvae.inverse_transform(np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"use score_samples\(X, y\)"):
        cvae.score_samples(x)
    with pytest.raises(ValueError, match="expected one of cat, dog; got 'cow'|got 'cow'"):
        cvae.sample(2, "cow")
    with pytest.raises(ValueError, match="y: expected 60 labels, one per row, got 3"):
        cvae.reconstruct(x, y[:3])
    for preset, parameters in (("cvae", {}), ("vae", {"conditional": True})):
        with pytest.raises(ValueError, match=f"y: expected class labels, which {preset} is to"):
            GenerativeModel(preset, parameters=parameters).fit(x)
    with pytest.raises(ValueError, match="y: expected class labels, got continuous numbers"):
        GenerativeModel("cvae").fit(x, np.linspace(0, 1, 60))
    assert GenerativeModel("cvae").__sklearn_tags__().target_tags.required


def test_a_model_of_each_class_learns_labels_and_needs_none():
    x, y = labeled()
    estimator = GenerativeModel("pca", parameters={"per_class": True}, latent_dim=1).fit(x, y)
    assert np.isfinite(estimator.score_samples(x)).all()
    assert estimator.sample(50, "dog")[:, 0].min() > 500
    with pytest.raises(ValueError, match="y: pca has learned no labels"):
        GenerativeModel("pca", latent_dim=1).fit(x, y).sample(2, "dog")


def test_unconditional_models_ignore_y(vae):
    x = rows()
    other = GenerativeModel("vae", **SMALL_VAE).fit(x, np.random.default_rng(0).normal(size=60))
    np.testing.assert_array_equal(other.transform(x), vae.transform(x))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"preset": "veo"}, "veo: no such model"),
        ({"preset": 3}, "preset: expected a text, got 3"),
        ({"preset": ["vae"]}, r"preset: expected a text, got \['vae'\]"),
        ({"parameters": {"hiden": (8,)}}, r"hiden: no parameter of vae \(did you mean hidden\?"),
        ({"parameters": {"hidden": "many"}}, "hidden: expected"),
        ({"parameters": [("hidden", 8)]}, "parameters: expected a dictionary"),
        ({"parameters": {8: "hidden"}}, "parameters: expected a dictionary, .* got {8: 'hidden'}"),
        ({"parameters": {"latent_dim": 2}, "latent_dim": 2}, "latent_dim: given twice"),
        ({"latent_dim": 0}, "latent_dim: expected a whole number of at least 1, got 0"),
        ({"preset": "real-nvp", "latent_dim": 2}, "latent_dim: no parameter of real-nvp"),
        ({"preset": "pca", "latent_dim": 4}, "latent_dim: expected less than the 4 entries"),
        ({"image_shape": (3, 3)}, r"image_shape: .* whose product is 4, .* got \(3, 3\)"),
        ({"image_shape": (2, 2, 1)}, r"seems to be \(H, W, C\); give \(1, 2, 2\)"),
        ({"kind": "reals"}, "kind: expected auto, binary, levels or real, got 'reals'"),
        ({"kind": "binary"}, "X: train row 0, column '?0'? is .* kind binary expects 0 or 1"),
        ({"kind": "levels"}, "levels: kind levels is of whole numbers"),
        ({"kind": "real", "levels": 4}, "levels: given for kind real"),
        ({"epochs": 0}, "epochs: expected"),
        ({"budget": -1}, "budget: expected"),
        ({"lr": 0.0}, "lr: expected"),
        ({"device": "abacus"}, "device: 'abacus' is not available here"),
        ({"validation_fraction": 1.0}, "validation_fraction: expected"),
        ({"preset": "rbm"}, "rbm: expected binary data, got real"),
        ({"preset": "pixel-cnn"}, "pixel-cnn: expected images, got vectors of 4 entries"),
    ],
)
def test_what_is_wrong_is_said_at_fit(options, said):
    estimator = GenerativeModel(**options)  # stores and does not look
    with pytest.raises(ValueError, match=said):
        estimator.fit(rows())


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (["cat", float("nan")] * 30, "y: expected class labels of one type, .* got float, str"),
        ([0.0, float("nan")] * 30, "contains NaN"),
        (np.linspace(0, 1, 60), "y: expected class labels, got continuous numbers"),
        (["cat"] * 59, "y: expected 60 labels, one per row, got 59"),
    ],
)
def test_what_is_no_label_is_refused(y, said):
    with pytest.raises(ValueError, match=said):
        GenerativeModel("cvae", **SMALL).fit(rows(), np.array(y, object if y[0] == "cat" else None))


def test_one_row_at_least_is_trained_on():
    model = GenerativeModel("vae", **SMALL_VAE, validation_fraction=0.999).fit(rows())
    assert np.isfinite(model.transform(rows())).all()


def test_levels_outside_the_data_are_refused():
    x = load_digits().data[:50]
    with pytest.raises(ValueError, match="levels: expected 17 or more, as X holds 16, got 16"):
        GenerativeModel("pca", levels=16).fit(x)
    with pytest.raises(ValueError, match=r"levels: .* give \(X \* 16\)\.round\(\)"):
        GenerativeModel("pca", levels=17).fit(x / 16)


def test_samples_and_calls_are_checked(vae):
    with pytest.raises(ValueError, match="n_samples: expected a positive whole number, got 0"):
        vae.sample(0)
    with pytest.raises(ValueError, match="X: expected codes of 2 entries, .* got 3"):
        vae.inverse_transform(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="samples: expected a positive whole number"):
        pickle.loads(pickle.dumps(vae)).set_params(samples=0).score(rows())
    with pytest.raises(NotFittedError):
        GenerativeModel("vae").sample()


def test_a_preset_after_another_keeps_nothing_of_it():
    x, y = labeled()
    estimator = GenerativeModel("cvae", **SMALL_VAE).fit(x, y)
    estimator.set_params(preset="vae").fit(x, y)
    assert not hasattr(estimator, "classes_") and estimator.transform(x).shape == (60, 2)
