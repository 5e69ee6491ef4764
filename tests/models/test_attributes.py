"""Float attributes as conditions: what they change, how they are scaled, drawn and refused."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

import reparam as rp
from reparam.data import Data, Split
from reparam.evaluation.likelihood import log_likelihood
from reparam.model import Batch, Solve, Space
from reparam.models.conditional import KEPT_ROWS

F64 = torch.float64
REAL = Space((3,), "real", attributes=2)


def solved(space: Space, x: Tensor, c: Tensor, **sizes: Any) -> Any:
    torch.manual_seed(1)
    model = rp.build("cvae", space, **sizes).double()
    for stage in model.stages:
        if isinstance(stage, Solve):
            stage.solve(model, [Batch(x[:7], c[:7]), Batch(x[7:], c[7:])])
    return model


def terms(model: Any, *inputs: Tensor) -> dict[str, Tensor]:
    torch.manual_seed(5)
    loss = model.loss(*inputs)
    return loss.terms | {"objective": loss.objective}


@pytest.mark.parametrize("hidden", [(), (8,)], ids=str)
@pytest.mark.parametrize(
    "space",
    [Space((7,), "binary", attributes=2), Space((1, 8, 8), "levels", 5, attributes=2)],
    ids=["vector", "image"],
)
def test_with_the_weights_of_the_attributes_at_zero_it_is_the_vae_bit_for_bit(space, hidden):
    network = "conv" if space.is_image and hidden else "mlp"
    sizes = {"latent_dim": 2, "hidden": hidden, "network": network}
    plain = rp.build("vae", dataclasses.replace(space, attributes=None), **sizes).double()
    x = torch.randint(space.level_count or 9, (6, *space.shape)).double()
    c = torch.randn(6, 2, dtype=F64) * torch.tensor([1.0, 1000.0])
    model = solved(space, x, c, **sizes)
    missing, unexpected = model.load_state_dict(plain.state_dict(), strict=False)
    weights = [name for name in missing if "condition" in name]
    assert not unexpected and len(weights) == 2  # of the encoder and of the decoder
    theirs = terms(plain, x)
    for zero in (False, True):
        if zero:
            with torch.no_grad():
                for name in weights:
                    model.get_parameter(name).zero_()
        ours = terms(model, x, c)
        assert torch.equal(ours["objective"], theirs["objective"]) == zero
        assert all(torch.equal(ours[name], term) for name, term in theirs.items()) == zero
    assert torch.equal(model.reconstruct(x, c), plain.reconstruct(x))


def test_the_units_of_the_attributes_do_not_matter():
    """Years or seconds since 1970: standardized, they are the same condition."""
    x, c = torch.randn(20, 3, dtype=F64), torch.randn(20, 2, dtype=F64)
    moved = c * torch.tensor([3e7, -0.01], dtype=F64) + torch.tensor([1.7e9, 5.0], dtype=F64)
    one, two = (solved(REAL, x, c, latent_dim=2, hidden=(8,)) for c in (c, moved))
    with torch.no_grad():  # what the second attribute says is turned round: so are its weights
        for network in (two.encoder, two.decoder):
            network.condition.map.weight[:, 1] *= -1
    ours, theirs = terms(one, x, c), terms(two, x, moved)
    for name, value in ours.items():
        torch.testing.assert_close(theirs[name], value, rtol=1e-6, atol=1e-6)
    # In float32 too: they are centered before they are rounded.
    ours, theirs = terms(one.float(), x, c), terms(two.float(), x, moved)
    assert theirs["objective"].dtype == torch.float32
    for name, value in ours.items():
        torch.testing.assert_close(theirs[name], value, rtol=1e-4, atol=1e-4)


def linear_gaussian(n: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """x | y ~ N(3 + B y, a aᵀ + diag s²) with a one-dimensional z; and log p(x|y) of every row.

    s is the same share of every column's deviation: one σ in network units.
    """
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(n, 2)) * [1, 10] + [0, 50]
    mean = 3.0 + y @ MAP.T
    x = mean + rng.normal(size=(n, 1)) * LOADING + rng.normal(size=(n, 3)) * SIGMA * DEVIATION
    exact = stats.multivariate_normal(np.zeros(3), COVARIANCE).logpdf(x - mean)
    return torch.from_numpy(x), torch.from_numpy(y), torch.from_numpy(exact)


MAP = np.array([[1.0, 0.0], [-2.0, 0.3], [0.5, -0.1]])
LOADING, SIGMA = np.array([2.0, 1.0, -1.0]), 0.2
DEVIATION = np.sqrt((MAP**2 @ [1, 100] + LOADING**2) / (1 - SIGMA**2))
COVARIANCE = np.outer(LOADING, LOADING) + np.diag((SIGMA * DEVIATION) ** 2)


def test_the_true_linear_gaussian_model_gives_the_exact_conditional_density():
    """With the true weights the posterior is exact, and so is the bound at one sample."""
    x, y, exact = linear_gaussian(50, seed=0)
    model = solved(REAL, x, y, latent_dim=1, hidden=(), likelihood="normal")
    shift, scale = model.standardize.shift, model.standardize.scale
    middle, spread = model.attributes.scale.shift, model.attributes.scale.scale
    scale.copy_(torch.from_numpy(DEVIATION))
    a, b = torch.from_numpy(LOADING) / scale, torch.from_numpy(MAP) / scale[:, None]
    bias = (3.0 + torch.from_numpy(MAP) @ middle - shift) / scale
    by_attribute = b * spread
    precision = 1 + (a @ a).item() / SIGMA**2  # of z given x and y
    gain = a / SIGMA**2 / precision
    with torch.no_grad():
        model.decoder.first.weight.copy_(a[:, None])
        model.decoder.first.bias.copy_(bias)
        model.decoder.condition.map.weight.copy_(by_attribute)
        _set_rows(model.encoder.first.weight, gain)
        _set_rows(model.encoder.first.bias, -gain @ bias)
        _set_rows(model.encoder.condition.map.weight, -gain @ by_attribute)
        _match(
            lambda: model.p_x(torch.zeros(1, 3, dtype=F64)).log_scale[0, 0],
            model.p_x.log_scale,
            math.log(SIGMA),
        )
        _match(
            lambda: model.posterior(x[:1], y[:1]).log_scale[0, 0],
            model.encoder.first.bias[1:],
            -0.5 * math.log(precision),
        )
    found = model.log_prob(x, y, samples=1).value
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-8)
    wrong = model.log_prob(x, y.roll(1, 0), samples=1).value
    assert (wrong - exact).abs().min() > 1e-3


def _set_rows(parameter: Tensor, mean: Tensor) -> None:
    """The row of the posterior's mean, and nothing for its scale."""
    parameter.zero_()
    parameter[0] = mean


def _match(read: Any, parameter: Tensor, wanted: float) -> None:
    """Move a parameter behind a monotone soft bound until what is read is as wanted."""
    low, high = -30.0, 30.0
    for _ in range(200):
        parameter.fill_((low + high) / 2)
        low, high = ((low + high) / 2, high) if read() < wanted else (low, (low + high) / 2)


def test_training_finds_the_conditional_density():
    """On fresh data within 0.03 nats of the truth, which is a nat above the true density of x."""
    rows = [linear_gaussian(n, seed) for seed, n in enumerate((3000, 300, 2000))]
    splits = [Split(x, attributes=y) for x, y, _ in rows]
    data = Data(*splits, space=REAL, name="toy", attribute_names=("a", "b"))
    torch.manual_seed(0)
    model = rp.build("cvae", data.space, latent_dim=1, hidden=())
    rp.fit(model, data, epochs=30, batch_size=100, lr=0.02, schedule="cosine", progress=False)
    x, _, exact = rows[2]
    marginal = stats.multivariate_normal(
        3.0 + MAP @ [0, 50], MAP @ np.diag([1, 100]) @ MAP.T + COVARIANCE
    )
    assert marginal.logpdf(x).mean() < exact.mean() - 1
    found = log_likelihood(model, data.test, samples=20)
    assert found.value == pytest.approx(exact.mean().item(), abs=0.03)


@pytest.mark.parametrize("n", [3, 5000])
def test_attributes_are_drawn_as_rows_of_the_training_data(n):
    """Together as they occur, evenly: few rows all, many rows a random part."""
    c = torch.stack([torch.arange(n), -torch.arange(n)], 1).double()
    model = solved(REAL, torch.randn(n, 3, dtype=F64), c, latent_dim=1)
    drawn = model.draw_condition(4000, torch.Generator().manual_seed(0))
    assert torch.equal(drawn[:, 0], -drawn[:, 1])
    rows = drawn[:, 0].long()
    if n == 3:
        assert stats.chisquare(torch.bincount(rows, minlength=3).numpy()).pvalue > 1e-4
    else:
        assert len(model.attributes.rows.unique(dim=0)) == KEPT_ROWS
        # 1024 rows drawn at random: their mean is that of all within 5 standard errors.
        assert abs(rows.double().mean() / n - 0.5) < 5 / math.sqrt(12 * KEPT_ROWS)
    samples = model.sample(9, generator=torch.Generator().manual_seed(1))
    assert samples.shape == (9, 3)


@pytest.mark.parametrize(
    ("bad", "got"),
    [
        (torch.zeros(4, 3), r"torch.float32 \(4, 3\)"),
        (torch.zeros(3, 2), r"torch.float32 \(3, 2\)"),
        (torch.zeros(4, 2, dtype=torch.int64), r"torch.int64 \(4, 2\)"),
        (torch.zeros(4), r"torch.float32 \(4,\)"),
        (torch.full((4, 2), math.nan), "NaN or infinity"),
        (None, "None"),
    ],
    ids=str,
)
def test_wrong_attributes_are_refused(bad, got):
    model = solved(REAL, torch.randn(9, 3), torch.randn(9, 2), latent_dim=1)
    x, z = torch.zeros(4, 3), torch.zeros(4, 1)
    for method in (model.loss, model.encode, model.log_prob):
        with pytest.raises(ValueError, match=f"^c: expected .*got {got}"):
            method(x, bad)
    with pytest.raises(ValueError, match=f"^c: expected .*got {got}"):
        model.decode(z, bad)


def test_data_of_other_attributes_are_refused():
    model = rp.build("cvae", REAL, latent_dim=1)
    model.refuse_other(dataclasses.replace(REAL, classes=4))  # labels do not matter to it
    for other in ({"attributes": 3}, {"attributes": None, "classes": 2}):
        with pytest.raises(ValueError, match="data: expected Space"):
            model.refuse_other(dataclasses.replace(REAL, **other))
    by_class = rp.build("cvae", Space((3,), "real", classes=2), latent_dim=1)
    with pytest.raises(ValueError, match="data: expected Space"):
        by_class.refuse_other(dataclasses.replace(REAL, classes=2))


@pytest.mark.parametrize("what", ["labels", "attributes"])
@pytest.mark.parametrize("lacking", ["train", "valid", "test"])
def test_a_split_without_conditions_is_refused_before_any_training(tmp_path, what, lacking):
    values = {"labels": torch.arange(20) % 2, "attributes": torch.randn(20, 2)}[what]
    whole = Split(torch.randn(20, 3), **{what: values})
    splits = dict.fromkeys(("train", "valid", "test"), whole) | {lacking: Split(whole.x)}
    counts = {"classes": 2} if what == "labels" else {"attributes": 2}
    data = Data(**splits, space=Space((3,), "real", **counts), name="toy")
    message = f"toy: {lacking}: expected {what} for a conditional model, got none"
    model = rp.build("cvae", data.space, latent_dim=1)
    with pytest.raises(ValueError, match=message):
        rp.compare(data, ["vae latent_dim=1", "cvae latent_dim=1"], out=tmp_path / "out", epochs=1)
    if lacking != "test":
        with pytest.raises(ValueError, match=message):
            rp.fit(model, data, out=tmp_path / "out", epochs=1, progress=False)
    if lacking != "valid":
        with pytest.raises(ValueError, match=message):
            rp.evaluate(model, data)
    assert not (tmp_path / "out").exists()
    plain = rp.build("vae", data.space, latent_dim=1)
    rp.fit(plain, data, epochs=1, progress=False)  # which asks for none


@pytest.mark.parametrize("classes", [None, 2])
def test_a_prior_by_class_is_refused_where_attributes_are_the_condition(classes):
    space = dataclasses.replace(REAL, classes=classes)
    with pytest.raises(ValueError, match="prior: class needs data with labels and no attributes"):
        rp.build("cvae", space, prior="class")
