"""Anomaly scores: closed forms, sums of parts, and rows that do not depend on their company."""

from __future__ import annotations

import math

import pytest
import torch

import reparam as rp
from reparam.use.anomalies import AnomalyScores, column_parts, every_anomaly_score, known_scores

LEVELS = rp.Space((1, 4, 4), "levels", 5)
GENERATOR = torch.Generator().manual_seed(0)
X = torch.randint(0, 5, (7, 1, 4, 4), generator=GENERATOR, dtype=torch.uint8)
TRAIN = rp.Split(torch.randint(0, 5, (9, 1, 4, 4), generator=GENERATOR, dtype=torch.uint8))
COLUMNS = (
    rp.Column("height", "real"),
    rp.Column("income", "log"),
    rp.Column("city", "category", 3),
    rp.Column("owner", "binary"),
)
TABLE = torch.tensor(
    [[170.0, 3e4, 2, 1], [160.0, 2e4, 0, 0], [torch.nan, 5e4, 1, 1], [181.0, torch.nan, 0, 0]],
    dtype=torch.float64,
)
MADE = {
    "vae": {"latent_dim": 2, "hidden": (8,)},
    "vae posterior=flow": {"latent_dim": 2, "hidden": (8,), "posterior": "iaf"},
    "hierarchical-vae": {},
    "pca": {"latent_dim": 2},
    "nice": {"layers": 2, "hidden": (8,)},  # dequantized: x + u
    "made": {"hidden": (8,)},
    "ddpm": {"times": 5, "width": 4},
    "ae": {"latent_dim": 2, "hidden": (8,)},
    "vq-vae": {},
}


def made(name, space=LEVELS):
    model = rp.build(name.split()[0], space, seed=0, **MADE[name]).double().eval()
    with torch.no_grad():  # so that posteriors are not all the same
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(
                parameter.shape, generator=GENERATOR, dtype=parameter.dtype
            )
    return model


@pytest.mark.parametrize("name", list(MADE))
def test_a_row_depends_neither_on_order_nor_on_company_nor_on_batches(name, monkeypatch):
    """In float64, where products of matrices round by their number of rows at about 1e-16."""
    model = made(name)
    names = known_scores(model)

    def scores(x):
        found = every_anomaly_score(
            model, rp.Split(x), names, samples=3, seed=1, train=TRAIN, parts_of=names[0]
        )
        parts = found[names[0]].parts
        columns = [found[name].score for name in names]
        return torch.stack(columns), None if parts is None else parts.flatten(1)

    whole, parts = scores(X)
    order = torch.tensor([3, 0, 6, 2, 1, 5, 4])
    permuted, _ = scores(X[order])
    single = [scores(X[i : i + 1]) for i in range(len(X))]
    monkeypatch.setattr("reparam.use.anomalies.rows_at_once", lambda space: 2)
    monkeypatch.setattr("reparam.use.anomalies.draws_at_once", lambda space: 6)
    small, other = scores(X)
    for found in (permuted[:, order.argsort()], torch.cat([s for s, _ in single], 1), small):
        torch.testing.assert_close(found, whole, rtol=1e-9, atol=1e-9)
    assert (parts is None) == (other is None)
    if parts is not None:
        torch.testing.assert_close(other, parts, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(torch.cat([p for _, p in single]), parts, rtol=1e-9, atol=1e-9)
    assert whole.std(1).min() > 0  # they do tell rows apart


def test_rates_by_draws_are_bounded_in_memory_and_means_over_all_draws(monkeypatch):
    """Of 7 draws, 3 at a time: the mean of what those of each block are by themselves."""
    model, seen = made("vae posterior=flow"), []
    prior = model.prior

    def counted(c=None):
        seen.append(c)
        return prior(c)

    whole = rp.anomaly_scores(model, X, "rate", samples=7).score
    monkeypatch.setattr("reparam.use.anomalies.draws_at_once", lambda space: 3)
    monkeypatch.setattr(model, "prior", counted)
    blocks = rp.anomaly_scores(model, X, "rate", samples=7).score
    assert len(seen) == 1 + 3 * len(X)
    # Normal noise is drawn in the order of draws, so that blocks of it are the same draws.
    torch.testing.assert_close(blocks, whole, rtol=1e-9, atol=1e-9)


def test_scores_of_a_vae_are_what_their_names_say():
    model = made("vae")
    data = rp.Data(TRAIN, TRAIN, rp.Split(X), LEVELS, "few")
    log_p = rp.anomaly_scores(model, data, samples=40)
    assert (log_p.by, log_p.unit, log_p.kind) == ("log_prob", "nats", "upper bound")
    rate = rp.anomaly_scores(model, data, "rate").score
    q = model.posterior(X)
    torch.testing.assert_close(rate, q.kl(model.prior()).sum(1).detach())
    # Distortion and rate are minus the bound of one draw, which K draws tighten; 10 draws of the
    # distortion deviate by their spread, whose four standard errors are allowed.
    one = torch.stack([rp.anomaly_scores(model, X, samples=1, seed=s).score for s in range(60)])
    expected, error = one.mean(0), one.std(0) * (1 / 10 + 1 / 60) ** 0.5
    assert ((log_p.parts.flatten(1).sum(1) + rate - expected).abs() < 4 * error).all()
    assert (log_p.score < expected + 4 * one.std(0) / 60**0.5).all()
    assert "not to the score" in log_p.parts_are


def test_reconstruction_errors_are_on_the_scale_of_their_kind():
    model = made("ae")
    found = rp.anomaly_scores(model, X)
    apart = (model.reconstruct(X).detach() - X) / 4
    assert found.by == "reconstruction" and found.kind is None
    torch.testing.assert_close(found.parts, apart.square())
    torch.testing.assert_close(found.score, apart.square().flatten(1).sum(1))
    real = rp.build("pca", rp.Space((2,), "real"), latent_dim=1).double()
    train = torch.tensor([[0.0, 0], [2, 100], [0, 100], [2, 0]], dtype=torch.float64)
    data = rp.Data(rp.Split(train), rp.Split(train), rp.Split(train + 1), real.space, "square")
    rp.fit(real, data, progress=False)
    apart = (real.reconstruct(data.test.x) - data.test.x) / torch.tensor([1.0, 50.0])
    wide = rp.anomaly_scores(real, data, "reconstruction")
    torch.testing.assert_close(wide.parts, apart.double().square())
    assert wide.unit == "squared errors in deviations"
    with pytest.raises(ValueError, match="^train: expected the training rows"):
        rp.anomaly_scores(real, data.test, "reconstruction")


def test_typicality_is_the_distance_from_the_mean_of_training_rows():
    model = made("made")
    values = model.log_prob(X).value.detach()
    typical = model.log_prob(TRAIN.x).value.mean().detach()
    found = rp.anomaly_scores(model, rp.Split(X), "typicality", train=TRAIN)
    torch.testing.assert_close(found.score, (values - typical).abs())
    assert "mean of 9 training rows" in found.notes[0] and found.kind is None
    log_p = rp.anomaly_scores(model, X)
    torch.testing.assert_close(log_p.score, -values)
    assert log_p.kind == "exact"
    torch.testing.assert_close(log_p.parts.flatten(1).sum(1), -values)


def test_training_rows_that_cannot_be_are_not_typical():
    """Of real data an entry that never varied is no part of p(x): elsewhere log p(x) is −∞."""
    train = torch.tensor([[0, 5, 1], [1, 5, 3], [3, 5, 0], [2, 5, 1]], dtype=torch.float64)
    split = rp.Split(train)
    data = rp.Data(split, split, split, rp.Space((3,), "real"), "two thirds")
    model = rp.build("pca", data.space, latent_dim=1).double()
    rp.fit(model, data, progress=False)
    off = train + torch.tensor([0.0, 1, 0])
    mixed = rp.anomaly_scores(model, split, "typicality", train=torch.cat([train, off]))
    assert "the mean of 4 training rows" in mixed.notes[0] and mixed.score.isfinite().all()
    with pytest.raises(ValueError, match="^train: expected rows that may occur, got log p"):
        rp.anomaly_scores(model, split, "typicality", train=off)
    assert rp.anomaly_scores(model, off, "typicality", train=split).score.isposinf().all()


def test_missing_cells_contribute_nothing():
    space = rp.Space((4,), "mixed", columns=COLUMNS)
    split = rp.Split(TABLE)
    data = rp.Data(split, split, split, space, "four")
    for name in ("vae", "made"):
        model = rp.build(name, space, seed=0, hidden=(4,)).double()
        rp.fit(model, data, epochs=1, progress=False)
        names = known_scores(model)
        found = every_anomaly_score(model, data, names, samples=3, parts_of="log_prob")
        assert all(f.score.isfinite().all() for f in found.values())
        for one in found.values():
            if one.parts is not None:
                assert (one.parts[TABLE.isnan()] == 0).all()
                assert (one.parts[~TABLE.isnan()] != 0).any()
    assert not found.keys() & {"rate", "reconstruction"}


def test_columns_compare_in_whatever_unit_they_are():
    """Of columns that are normal, or so in the logarithm, −log N(z; 0, 1) in deviations z."""
    z = torch.randn(6, 3, generator=GENERATOR, dtype=torch.float64)
    columns = (rp.Column("g", "real"), rp.Column("income", "log"), rp.Column("owner", "binary"))
    space, ends = rp.Space((3,), "mixed", columns=columns), torch.tensor([[-1.0], [1.0]]).double()
    g, income, owner = 5e6 + 1e3 * z[:, 0], (9 + 0.5 * z[:, 1]).exp(), (z[:, 2] > 0).double()
    x = torch.stack([g, income, owner], 1)
    x[2, 0] = torch.nan
    train = torch.cat([5e6 + 1e3 * ends, (9 + 0.5 * ends).exp(), ends > 0], 1).double()
    of_z = z.square() / 2 + math.log(2 * math.pi) / 2
    parts = of_z + torch.tensor([math.log(1e3), math.log(0.5), 0])
    parts[:, 1] += x[:, 1].log()
    parts = torch.where(x.isnan(), 0.0, parts)
    found = AnomalyScores(parts.sum(1), "log_prob", "nats", parts=parts)
    compared = column_parts(found, rp.Split(x), space, rp.Split(train))
    torch.testing.assert_close(compared, torch.where(x.isnan(), 0.0, of_z))
    assert column_parts(found, rp.Split(x), space, None) is parts
    other = AnomalyScores(parts.sum(1), "reconstruction", "", parts=parts)
    assert column_parts(other, rp.Split(x), space, rp.Split(train)) is parts


def test_what_a_model_lacks_is_said_with_what_has_it():
    gan = rp.build("gan", LEVELS, seed=0)
    assert known_scores(gan) == ()
    with pytest.raises(ValueError, match=r"^by: GAN has neither log p\(x\) nor .* use .* vae$"):
        rp.anomaly_scores(gan, X)
    with pytest.raises(ValueError, match=r"^by: Autoencoder has no rate, only reconstruction; .*"):
        rp.anomaly_scores(made("ae"), X, "rate")
    with pytest.raises(ValueError, match="^by: expected one of auto, .* got 'odd'"):
        rp.anomaly_scores(made("ae"), X, "odd")
    assert "reconstruction" not in known_scores(made("nice"))  # it gives every x back
    assert known_scores(rp.build("mae", LEVELS)) == ()  # of a whole x it learned nothing
    assert "rate" not in known_scores(made("vq-vae"))  # ln K nats for every index
    with pytest.raises(ValueError, match="^samples: "):
        rp.anomaly_scores(made("vae"), X, samples=0)
    with pytest.raises(ValueError, match="^split: expected examples"):
        rp.anomaly_scores(made("vae"), 3)
    with pytest.raises(ValueError, match="expected at least 1 row"):
        rp.anomaly_scores(made("vae"), X[:0])
    broken = made("made")
    for parameter in broken.parameters():
        torch.nn.init.constant_(parameter, math.nan)
    with pytest.raises(ValueError, match="^log_prob: is nan for 7 of 7 examples; the model has"):
        rp.anomaly_scores(broken, X)


def test_the_mode_of_the_model_stays_and_conditions_are_those_of_the_rows():
    model = rp.build("cvae", rp.Space((1, 4, 4), "levels", 5, classes=2), seed=0, hidden=(8,))
    model.train()
    rows = [rp.Split(X, torch.full((7,), label)) for label in (0, 1)]
    first, second = (rp.anomaly_scores(model, split, samples=2) for split in rows)
    assert model.training and not torch.equal(first.score, second.score)
    assert "log p(x|c)" in first.notes[0] and not rp.anomaly_scores(made("vae"), X).notes
