"""Models of what is left of x: normalized, causal, keeping what is known, right on Gaussians."""

import math

import numpy as np
import pytest
import torch
from autoregressive_models import all_states, random_model
from conftest import solve_stages
from PIL import Image

import reparam as rp
from reparam.degradation import mask_name
from reparam.model import Space
from reparam.space import trusted

F64 = torch.float64
AUTOREGRESSIVE = [
    ("pixel-cnn", {"width": 6, "layers": 2, "first_kernel": 3}),
    ("gated-pixel-cnn", {"width": 6, "layers": 2, "first_kernel": 3}),
    ("pixel-cnn++", {"width": 3, "blocks": 1, "scales": 2, "components": 2}),
    ("pixel-rnn", {"width": 4, "layers": 1, "first_kernel": 3}),
    ("image-transformer", {"width": 6, "layers": 1, "heads": 2}),
]
GIVEN = ["subsample:2", "downscale:2", "mask:half"]
ODD = [Space((1, 5, 3), "levels", 3), Space((3, 3, 4), "binary")]
of_each = pytest.mark.parametrize("which", AUTOREGRESSIVE, ids=lambda which: which[0])
of_odd = pytest.mark.parametrize("space", ODD, ids=lambda space: "x".join(map(str, space.shape)))


def some(space, rows=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(space.level_count, (rows, *space.shape), generator=generator).double()


# ------------------------------------------------------------------------------ probabilities


@of_each
@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("shape", [(1, 2, 2), (1, 3, 3)], ids=["2x2", "3x3"])
def test_probabilities_given_y_sum_to_one(which, given, shape):
    space = Space(shape, "binary")
    model = random_model(which, space, given=given)
    x = all_states(space)
    y = model.degradation(x[len(x) // 3 : len(x) // 3 + 1])
    found = model.log_prob(x, y.expand(len(x), *y.shape[1:]))
    assert found.kind == "exact"
    p = found.value.exp()
    assert p.sum().item() == pytest.approx(1, abs=1e-9)
    agrees = (model.degradation.keep(x, y.expand(len(x), *y.shape[1:])) == x).flatten(1).all(1)
    assert torch.equal(p > 0, agrees)  # y of a mean or more excludes no x by itself
    assert p[agrees].std() > 1e-4  # and not because all are alike
    factors = found.per_dimension[agrees]
    assert not factors[:, model.degradation.known].any()
    torch.testing.assert_close(factors.flatten(1).sum(1), found.value[agrees])


def test_factors_of_vectors_given_y_sum_to_one():
    space = Space((5,), "binary")
    model = random_model(AUTOREGRESSIVE[-1], space, given="subsample:2")
    x = all_states(space)
    y = model.degradation(x[9:10]).expand(len(x), 3)
    assert model.log_prob(x, y).value.exp().sum().item() == pytest.approx(1, abs=1e-9)
    assert model.counted == 2


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("given", GIVEN)
def test_probabilities_of_a_cvae_given_y_are_unbiased(given, dtype):
    """By quadrature over its one z, all x together have 1, and weights have the right mean."""
    space = Space((1, 2, 2), "binary")
    torch.manual_seed(0)
    model = rp.build("cvae", space, latent_dim=1, hidden=(6,), given=given).to(dtype).eval()
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
        for parameter in model.encoder.parameters():
            parameter.mul_(0.1)  # q is nearly p(z), so that weights p(x|z) p(z) / q(z) have no tail
    x = all_states(space).to(dtype)
    y = model.degradation(x[6:7])
    z = torch.linspace(-9, 9, 601, dtype=dtype)[:, None]
    with torch.no_grad():
        told = y.expand(len(z), *y.shape[1:])
        weights = torch.softmax(model.prior(told).log_prob(z), 0)  # a sum is the integral here
        by_z = torch.stack([model.likelihood(z, told).log_prob(v.expand(601, 1, 2, 2)) for v in x])
    p = (by_z.exp() * weights).sum(1)
    assert p.sum().item() == pytest.approx(1, abs=1e-5)
    chosen = p > 0
    told = y.expand(int(chosen.sum()), *y.shape[1:])
    generator = torch.Generator().manual_seed(1)
    draws = torch.stack(
        [model.log_prob(x[chosen], told, samples=20, generator=generator).value for _ in range(100)]
    )
    found, stderr = draws.exp().mean(0), draws.exp().std(0) / math.sqrt(100)
    assert ((found - p[chosen]).abs() < 4 * stderr + 1e-5).all()
    assert (draws.mean(0) < p[chosen].log() + 4 * draws.std(0) / math.sqrt(100) + 1e-4).all()
    if (~chosen).any():
        wrong = y.expand(int((~chosen).sum()), *y.shape[1:])
        assert (model.log_prob(x[~chosen], wrong, samples=3).value == -math.inf).all()


# ----------------------------------------------------------------------- causality and sampling


@of_each
@of_odd
def test_steps_see_what_a_pass_over_all_of_x_does(which, space):
    """Caches and the context of coarser grids: the factors met on the way are those of x."""
    model = random_model(which, space, given="downscale:2")
    x = some(space)
    y = model.degradation(x)
    layout = x.view(model.network.layout(len(x)))
    met = torch.full_like(layout, torch.nan)

    def visit(p, sites):
        value = layout[..., sites]
        met[..., sites] = p.log_prob_terms(value).view_as(value)
        return value

    assert torch.equal(model.walk(len(x), visit, y), x)
    factors = model._factors(x, model._context(y, len(x)))
    torch.testing.assert_close(met.view_as(x), factors, rtol=1e-9, atol=1e-9)


@of_each
@of_odd
def test_entries_see_those_before_them_and_all_of_y(which, space):
    model = random_model(which, space, given="downscale:2")
    x = some(space, 1)
    y = model.degradation(x)
    ranks = model.network.ranks_of().tolist()
    others = x.expand(space.dimension, *space.shape).clone().flatten(1)
    for entry in range(space.dimension):
        others[entry, entry] = (others[entry, entry] + 1) % space.level_count
    rows = torch.cat([x, others.view(-1, *space.shape)])

    def factors(y):
        return model.log_prob(rows, y.expand(len(rows), *y.shape[1:])).per_dimension.flatten(1)

    found = factors(y)
    moved = (found[1:] - found[:1]).abs() > 1e-9
    for entry in range(space.dimension):
        before = [other for other in range(space.dimension) if ranks[other] < ranks[entry]]
        assert not moved[entry, before].any()
    first = int(np.argmin(ranks))
    assert moved[first].sum() > 1
    other = y.clone()
    other[..., -1, -1] = (space.level_count - 1) - other[..., -1, -1] + 0.25
    assert (factors(other.clamp(0, space.level_count - 1)) - found)[0, first].abs() > 1e-9


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize(
    ("name", "small"),
    [
        *AUTOREGRESSIVE,
        ("cvae", {"hidden": (4,), "latent_dim": 2}),
        ("gan", {"hidden": (4,)}),
        ("ddpm", {"times": 3, "network": "mlp", "hidden": (4, 4), "blocks": 1}),
        ("regression", {"hidden": ()}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("given", ["mask:random", "subsample:2", "downscale:1"])
def test_draws_keep_what_y_says_bit_for_bit(name, small, given, dtype):
    kind = "levels" if name in ("image-transformer", "pixel-cnn", "pixel-rnn") else None
    space = (
        Space((1, 3, 5), "levels", 7) if kind or name == "pixel-cnn++" else Space((1, 3, 5), "real")
    )
    if name == "gated-pixel-cnn":
        space = Space((1, 3, 5), "binary")
    model = rp.build(name, space, seed=0, given=given, **small).to(dtype).eval()
    x = some(space, 3) if space.kind != "real" else 1e6 + torch.randn(3, 1, 3, 5, dtype=F64)
    solve_stages(model, x)
    known = model.degradation.known
    y = model.degradation(x)
    drawn = model.sample(3, y)
    assert known.any()
    assert torch.equal(drawn[:, known].to(F64), x[:, known].to(drawn.dtype).to(F64))
    without = model.sample(2)
    assert without.shape == (2, *space.shape)
    assert without.isfinite().all()


# ---------------------------------------------------------------------------------- the condition


def test_y_is_made_of_x_where_it_is_not_said():
    space = Space((1, 5, 3), "levels", 3)
    model = random_model(AUTOREGRESSIVE[1], space, given="downscale:2")
    x = some(space)
    assert torch.equal(model.told(x, None), model.degradation(x))
    torch.testing.assert_close(
        model.log_prob(x).value, model.log_prob(x, model.degradation(x)).value
    )
    y = torch.zeros(4, 1, 3, 2, dtype=F64)
    assert (model.log_prob(x, y).value != model.log_prob(x).value).any()


def test_the_ys_of_training_are_kept_and_networks_see_which_entries_are_known():
    space = Space((3, 4, 4), "levels", 5)
    model = rp.build("gated-pixel-cnn", space, width=4, layers=1, given="mask:half").double()
    x = some(space, 6)
    solve_stages(model, x)
    y = model.degradation(x)
    kept = {tuple(row) for row in model.told_of.rows.flatten(1).tolist()}
    assert kept == {tuple(row) for row in y.flatten(1).tolist()}
    torch.testing.assert_close(model.told_of.mean, x.mean(0))
    seen = model.network_condition(y)
    assert seen.shape == (6, 4, 4, 4)  # and a channel of what is known
    assert torch.equal(seen[:, 3].bool(), model.degradation.known[0].expand(6, 4, 4))
    back = seen[:, :3] * 4  # levels in units of networks are divided by K − 1
    torch.testing.assert_close(back[:, :, :2], x[:, :, :2])
    torch.testing.assert_close(back[:, :, 2:], x.mean(0)[:, 2:].expand(6, 3, 2, 4))


def test_data_of_another_shape_are_refused_and_labels_do_not_matter():
    space = Space((1, 4, 4), "binary")
    model = rp.build("cvae", space, hidden=(4,), given="downscale:2")
    model.refuse_other(space)
    model.refuse_other(Space((1, 4, 4), "binary", classes=3))
    with pytest.raises(ValueError, match="^data: expected"):
        model.refuse_other(Space((1, 4, 5), "binary"))


def test_a_run_needs_its_mask_no_longer(tmp_path):
    white = np.zeros((5, 4), np.uint8)
    white[:, 2:] = 255
    Image.fromarray(white).save(tmp_path / "mask.png")
    x = some(Space((1, 5, 4), "binary"), 40).numpy().astype(np.uint8)
    data = rp.load_data(x, kind="binary")
    name = f"mask:{tmp_path / 'mask.png'}"
    model = rp.build("cvae", data.space, seed=0, hidden=(4,), latent_dim=2, given=name)
    rp.fit(model, data, out=tmp_path / "run", epochs=1, progress=False)
    (tmp_path / "mask.png").unlink()
    loaded = rp.load(tmp_path / "run")
    assert torch.equal(loaded.degradation.known, torch.from_numpy(white > 0)[None])
    again, history = rp.resume(tmp_path / "run", data=data, epochs=2, progress=False)
    assert history.ended
    assert again.recipe["parameters"]["given"].startswith("mask:5x4:")
    y = model.degradation(data.test.x.float())
    drawn = [
        m.sample(len(y), y, generator=torch.Generator().manual_seed(0)) for m in (model, loaded)
    ]
    assert torch.equal(*drawn)


# -------------------------------------------------------------------------------- networks


def without_what_is_beside(name, space, **small):
    """The same weights, those of y 0, and a model that is given nothing."""
    given = rp.build(name, space, seed=0, given="downscale:2", **small).double().eval()
    plain = rp.build(PLAIN.get(name, name), space, seed=1, **small).double().eval()
    with torch.no_grad():
        for path, parameter in given.named_parameters():
            own = ("beside", "condition", "context")
            if any(part in own for part in path.split(".")):
                parameter.zero_()
    shared = {k: v for k, v in given.state_dict().items() if k in plain.state_dict()}
    missing, _ = plain.load_state_dict(shared, strict=False)
    assert not missing
    return given, plain


PLAIN = {"cvae": "vae"}


@pytest.mark.parametrize(
    ("name", "shape", "small"),
    [
        ("cvae", (1, 5, 7), {"hidden": (4,), "latent_dim": 2}),
        ("cvae", (3, 9, 6), {"hidden": (8, 4), "latent_dim": 2, "network": "conv"}),
        ("ddpm", (1, 5, 3), {"times": 3, "network": "mlp", "hidden": (4, 4), "blocks": 1}),
        ("ddpm", (3, 5, 7), {"times": 3, "width": 4}),
        ("ddpm", (1, 17, 19), {"times": 3, "width": 4}),  # of which blocks are gathered
        ("gated-pixel-cnn", (3, 5, 3), {"width": 4, "layers": 2}),
        ("pixel-cnn++", (1, 5, 3), {"width": 3, "blocks": 1, "scales": 2, "components": 2}),
        ("image-transformer", (1, 5, 3), {"width": 6, "layers": 1, "heads": 2}),
    ],
)
def test_without_weights_of_y_networks_compute_what_they_do_without_it(name, shape, small):
    space = Space(shape, "binary")
    given, plain = without_what_is_beside(name, space, **small)
    x = some(space, 3)
    found = []
    for model in (given, plain):
        torch.manual_seed(0)
        with torch.no_grad():
            found.append(model.loss(x).terms)
    # Corners of odd sides are y's own entries, and no part of p(x|y).
    if given.degradation.knows:
        c = given.degradation(x)
        with trusted(), torch.no_grad():
            if name == "cvae":
                z = torch.randn(3, 2, dtype=F64, generator=torch.Generator().manual_seed(0))
                torch.testing.assert_close(
                    given.decoder(z, given.network_condition(c)), plain.decoder(z)
                )
                torch.testing.assert_close(
                    given.encoder(x, given.network_condition(c)), plain.encoder(x)
                )
            elif name == "ddpm":
                t = torch.tensor([0.2, 0.5, 0.9], dtype=F64)
                torch.testing.assert_close(
                    given.network(x, t, given.network_condition(c)), plain.network(x, t)
                )
            else:
                context = given._context(c, 3)
                torch.testing.assert_close(given.network(x, context), plain.network(x))
        return
    for term, value in found[1].items():
        torch.testing.assert_close(found[0][term], value)


# ------------------------------------------------------------------------------ Gaussian data


def gaussian(rows):
    """x ~ N(μ, Σ) of four entries."""
    generator = torch.Generator().manual_seed(4)
    root = torch.randn(4, 4, generator=generator, dtype=F64)
    mean = torch.tensor([10.0, -5.0, 0.0, 300.0], dtype=F64)
    x = mean + torch.randn(rows, 4, generator=generator, dtype=F64) @ root.T
    return x, mean, root @ root.T


def conditional(mean, cov, k, u):
    """Of entries u given k: the mean where these are 0, their matrix, the covariance."""
    matrix = cov[u][:, k] @ torch.linalg.inv(cov[k][:, k])
    return mean[u] - matrix @ mean[k], matrix, cov[u][:, u] - matrix @ cov[k][:, u]


def test_the_linear_regression_is_the_mean_of_x_given_y():
    flat, mean, cov = gaussian(400)
    x, k, u = flat.view(-1, 1, 2, 2), [0, 3], [1, 2]
    diagonal = mask_name(torch.eye(2).bool())
    space = Space((1, 2, 2), "real")
    model = rp.build("regression", space, seed=0, given=diagonal, hidden=()).double()
    solve_stages(model, x)
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.LBFGS(
        weights,
        max_iter=300,
        tolerance_grad=1e-12,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def closure():
        optimizer.zero_grad()
        objective = model.loss(x).objective
        objective.backward()
        return objective

    optimizer.step(closure)
    with torch.no_grad():
        found = model.expected(model.degradation(x[:20])).flatten(1)
    design = torch.cat([torch.ones(400, 1, dtype=F64), flat[:, k]], 1)
    rows, y = design[:20], flat[:20, k]
    least = torch.linalg.lstsq(design, flat[:, u]).solution
    assert (found[:, u] - rows @ least).abs().max() < 1e-5  # the least error of this sample
    assert torch.equal(found[:, k], y)
    start, matrix, cov = conditional(mean, cov, k, u)
    inverse = torch.linalg.inv(design.T @ design)
    spread = torch.einsum("bi,ij,bj->b", rows, inverse, rows)[:, None] * cov.diagonal()
    assert ((found[:, u] - start - y @ matrix.T).abs() < 4 * spread.sqrt()).all()


def test_draws_of_a_linear_gaussian_cvae_have_the_conditional_law():
    """C = W Wᵀ + σ² for two hidden entries: σ² is the smaller eigenvalue, W the other's vector."""
    x, mean, cov = gaussian(400)
    k, u = [0, 2], [1, 3]
    start, matrix, c = conditional(mean, cov, k, u)
    model = (
        rp.build(
            "cvae",
            Space((4,), "real"),
            seed=0,
            latent_dim=1,
            hidden=(),
            given="subsample:2",
            likelihood="normal",
        )
        .double()
        .eval()
    )
    solve_stages(model, x)
    scale = x.std(0, correction=0)
    inner = c / scale[u, None] / scale[u]
    values, vectors = torch.linalg.eigh(inner)
    sigma2, w = values[0], vectors[:, 1] * (values[1] - values[0]).sqrt()
    center = x.mean(0)
    with torch.no_grad():
        decoder = model.decoder
        told = decoder.condition.map[1].weight
        for part in (decoder.first.weight, decoder.first.bias, told):
            part.zero_()
        decoder.first.weight[u, 0] = w
        told[torch.tensor(u)[:, None], torch.tensor(k)] = matrix * scale[k] / scale[u, None]
        decoder.first.bias[u] = (start + matrix @ center[k] - center[u]) / scale[u]
        model.p_x.log_scale.fill_(0.5 * sigma2.log())
    y, n = x[7, k], 40_000
    drawn = model.sample(n, y.expand(n, 2), generator=torch.Generator().manual_seed(0))
    assert torch.equal(drawn[:, k], y.expand(n, 2))
    hidden = drawn[:, u]
    expected = start + matrix @ y
    assert ((hidden.mean(0) - expected).abs() < 4 * (c.diagonal() / n).sqrt()).all()
    stderr = ((c.diagonal()[:, None] * c.diagonal() + c.square()) / n).sqrt()
    assert ((hidden.T.cov() - c).abs() < 4 * stderr).all()
    # And importance weights of any q have the conditional density as their mean.
    law = torch.distributions.MultivariateNormal(expected, c)
    points = torch.cat([hidden[:5], expected[None]])
    told = y.expand(6, 2)
    full = torch.empty(6, 4, dtype=F64)
    full[:, k], full[:, u] = told, points
    generator = torch.Generator().manual_seed(1)
    weights = torch.stack(
        [model.log_prob(full, told, samples=500, generator=generator).value for _ in range(60)]
    ).exp()
    stderr = weights.std(0) / math.sqrt(60)
    assert ((weights.mean(0) - law.log_prob(points).exp()).abs() < 4 * stderr).all()
