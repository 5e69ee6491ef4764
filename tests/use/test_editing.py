"""Interpolation, traversal and classification against closed forms, on models that have them."""

import math

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from torch import nn

import reparam as rp
from reparam.distributions.densities import StandardNormalDensity, StandardUniformDensity
from reparam.evaluation.latents import influence
from reparam.model import Codec, Decoder, Density, Generator, LogProb, Space
from reparam.use.editing import draw_codes, noise_decoder

SPACE = Space((4,), "real")


class Identity(Codec):
    """z = x: what happens to codes is what happens to x."""

    code_space = SPACE

    def __init__(self):
        super().__init__(SPACE)

    def loss(self, x, c=None, player="model"):
        raise AssertionError

    def encode(self, x, c=None):
        return x

    def decode(self, code, c=None):
        return code


class Indices(Identity):
    code_space = Space((4,), "levels", 9)

    def encode(self, x, c=None):
        return x.long()


RNG = torch.Generator().manual_seed(0)
PLAIN = rp.build("made", Space((4,), "binary"), hidden=(4,))
VAE = rp.build("vae", Space((4,), "real"), latent_dim=2, hidden=(4,))
FIRST, SECOND = (torch.randn(3, 4, generator=RNG, dtype=torch.float64) for _ in range(2))


def test_linear_paths_are_straight_and_even():
    walk = rp.interpolate(Identity(), FIRST, SECOND, steps=5)
    assert walk[:, 0].equal(FIRST) and walk[:, -1].equal(SECOND)
    assert torch.allclose(walk.diff(dim=1), ((SECOND - FIRST) / 4)[:, None], atol=1e-15)


def test_spherical_paths_turn_by_equal_angles_and_keep_equal_norms():
    first, second = (nn.functional.normalize(x) * 3 for x in (FIRST, SECOND))
    walk = rp.interpolate(Identity(), first, second, steps=7, path="spherical")
    assert torch.allclose(walk.norm(dim=2), torch.full((3, 7), 3.0, dtype=torch.float64))
    cosine = nn.functional.cosine_similarity(walk[:, 1:], walk[:, :-1], dim=2)
    whole = nn.functional.cosine_similarity(first, second).arccos()
    assert torch.allclose(cosine.arccos(), (whole / 6)[:, None].expand(3, 6))
    assert torch.allclose(walk[:, [0, -1]], torch.stack([first, second], 1))


def test_spherical_paths_without_a_great_circle_are_straight():
    ends = torch.cat([FIRST[:1], -FIRST[:1], torch.zeros(1, 4, dtype=torch.float64)])
    walk = rp.interpolate(Identity(), FIRST[:1].repeat(3, 1), ends, steps=3, path="spherical")
    assert torch.allclose(walk[:, 1], (FIRST[:1] + ends) / 2)


def test_traversals_move_one_entry_only():
    values = torch.tensor([-2.0, 0.5, 7.0])
    for entry in range(4):
        walk = rp.traverse(Identity(), FIRST, entry, values)
        others = [i for i in range(4) if i != entry]
        assert walk[:, :, entry].equal(values.double().expand(3, 3))
        assert walk[:, :, others].equal(FIRST[:, None, others].expand(3, 3, 3))


def test_entries_may_be_in_arrays_and_tensors():
    values = torch.tensor([[-1.0, 1.0], [2.0, 3.0]])
    expected = rp.traverse(Identity(), FIRST, [0, 2], values)
    for dimension in (np.array([0, 2]), torch.tensor([0, 2]), (0, 2)):
        assert torch.equal(rp.traverse(Identity(), FIRST, dimension, values), expected)
    for dimension in (np.int64(2), torch.tensor(2), np.array(2)):
        one = rp.traverse(Identity(), FIRST, dimension, values[1])
        assert torch.equal(one, expected[:, 1])


def test_several_entries_move_each_by_itself():
    values = torch.tensor([[-2.0, 0.5, 7.0], [1.0, 0.0, 3.0]])
    walks = rp.traverse(Identity(), FIRST, [3, 0], values)
    assert walks.shape == (3, 2, 3, 4)
    for walk, entry, along in zip(walks.unbind(1), (3, 0), values, strict=True):
        assert walk.equal(rp.traverse(Identity(), FIRST, entry, along))
        assert walk.equal(rp.traverse(Identity(), FIRST, torch.tensor(entry), along))


def test_traversals_decode_few_rows_at_a_time_each_under_its_condition(monkeypatch):
    space = Space((4,), "real", classes=2)
    decoder = Conditioned()
    parts = (rp.DiagonalNormal(2), rp.StandardNormal(2), rp.Normal(space))
    model = rp.VAE(space, Conditioned(2 * 2), decoder, *parts, conditional=True)
    model.double().eval()
    c = torch.tensor([0, 1, 1])
    whole = rp.traverse(model, FIRST, [0, 1], torch.randn(2, 5), c)
    values = model.encode(FIRST, c)[:1, :1]
    at_rest = rp.traverse(model, FIRST[:1], 0, values.flatten(), c[:1])[:, 0]
    torch.testing.assert_close(at_rest, model.reconstruct(FIRST[:1], c[:1]))
    monkeypatch.setattr("reparam.batching.ROWS_AT_ONCE", 7)
    decoder.seen.clear()
    torch.manual_seed(0)
    rp.traverse(model, FIRST, [0, 1], torch.randn(2, 5), c)
    assert [len(seen) for seen in decoder.seen] == [7, 7, 7, 7, 2]
    assert torch.cat(decoder.seen).equal(c.repeat_interleave(10))
    assert whole.shape == (3, 2, 5, 4)


def test_each_end_has_its_condition():
    space = Space((4,), "real", classes=2)
    decoder = Conditioned()
    parts = (rp.DiagonalNormal(2), rp.StandardNormal(2), rp.Normal(space))
    model = rp.VAE(space, Conditioned(2 * 2), decoder, *parts, conditional=True)
    model.double().eval()
    zero, one = torch.zeros(3, dtype=torch.int64), torch.ones(3, dtype=torch.int64)
    walk = rp.interpolate(model, FIRST, SECOND, steps=4, c=zero, c_second=one)
    seen = [c.unique().tolist() for c in decoder.seen]
    assert seen == [[0], [0], [1], [1]]
    assert torch.allclose(walk[:, 0], model.reconstruct(FIRST, zero))
    assert torch.allclose(walk[:, -1], model.reconstruct(SECOND, one))


class Conditioned(nn.Module):
    """A linear map of four or two numbers, and which conditions it was given."""

    def __init__(self, outputs=4):
        super().__init__()
        self.linear, self.seen = nn.LazyLinear(outputs), []

    def forward(self, x, c):
        self.seen.append(c)
        return self.linear(x) + c[:, None]


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: rp.interpolate(Identity(), FIRST, SECOND, steps=1), "steps"),
        (lambda: rp.interpolate(Identity(), FIRST, SECOND[:2]), "second"),
        (lambda: rp.interpolate(Identity(), FIRST, SECOND, path="curved"), "path"),
        (lambda: rp.interpolate(Indices(), FIRST, SECOND), "indices"),
        (lambda: rp.traverse(Indices(), FIRST, 0, torch.zeros(1)), "indices"),
        (lambda: rp.traverse(Identity(), FIRST, 4, torch.zeros(1)), "0 to 3"),
        (lambda: rp.traverse(Identity(), FIRST, -1, torch.zeros(1)), "0 to 3"),
        (lambda: rp.traverse(Identity(), FIRST, 0, torch.zeros(0)), "values"),
        (lambda: rp.traverse(Identity(), FIRST, [0, 4], torch.zeros(2, 1)), "0 to 3, got 4"),
        (lambda: rp.traverse(Identity(), FIRST, [0, 1], torch.zeros(3, 2)), "values: .* of 2"),
        (lambda: rp.traverse(Identity(), FIRST, [0, 1], torch.zeros(2)), "values: .* of 2"),
        (lambda: rp.traverse(Identity(), FIRST, [], torch.zeros(0, 2)), "values"),
        (lambda: rp.traverse(Identity(), FIRST, 1.5, torch.zeros(1)), "dimension: .* whole"),
        (lambda: rp.traverse(Identity(), FIRST, "a", torch.zeros(1)), "dimension"),
        (
            lambda: rp.interpolate(Identity(), FIRST, SECOND, steps=2.5),
            "steps: .* whole number, got 2.5",
        ),
        (lambda: rp.interpolate(PLAIN, FIRST, SECOND), "model: expected one with codes"),
        (lambda: rp.traverse(PLAIN, FIRST, 0, torch.zeros(1)), "model: expected one with codes"),
        (lambda: rp.redraw(Identity(), FIRST), "model: expected one with q"),
        (lambda: rp.variations(Identity(), FIRST[:1], 2), "model: expected one with q"),
        (lambda: rp.variations(VAE, FIRST[:1], 2, spread=None), "spread"),
        (lambda: rp.variations(VAE, FIRST[:1], 2, spread=math.inf), "spread: .* finite"),
        (
            lambda: rp.variations(VAE, FIRST[:1], 2, spread=torch.ones(1)),
            "spread: .* finite number",
        ),
        (lambda: rp.variations(VAE, FIRST[:1], 2, spread="1"), "spread"),
        (lambda: rp.classify(Identity(), FIRST), "conditional on labels"),
    ],
)
def test_what_means_nothing_is_refused(call, named):
    with pytest.raises(ValueError, match=named):
        call()


@pytest.mark.parametrize("spread", [torch.tensor(0.5), np.array(0.5), np.float32(0.5)])
def test_the_spread_is_taken_as_a_number_of_numpys_or_torchs(spread):
    x = [
        rp.variations(VAE, FIRST[:1], 2, spread=s, generator=torch.Generator().manual_seed(0))
        for s in (0.5, spread)
    ]
    assert x[0].equal(x[1])


class ClassNormals(Density):
    """p(x|y) = N(m_y, S_y), exact: the quadratic discriminant."""

    conditional = True

    def __init__(self, means, covariances, frequencies):
        super().__init__(Space((2,), "real", classes=len(means)))
        self.double()
        self.normals = [
            torch.distributions.MultivariateNormal(m, s)
            for m, s in zip(means, covariances, strict=True)
        ]
        self.frequencies = frequencies

    @property
    def class_frequencies(self):
        return self.frequencies

    def loss(self, x, c=None, player="model"):
        raise AssertionError

    def draw(self, n, c, generator):
        raise AssertionError

    def density(self, x, c, samples, generator):
        value = [self.normals[label].log_prob(row) for row, label in zip(x, c, strict=True)]
        return LogProb(torch.stack(value), "exact")


def test_classes_are_those_of_the_quadratic_discriminant():
    """Against scikit-learn's posteriors, from the class moments and frequencies that it found."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(60, 2)), rng.normal(size=(40, 2)) * 2 + [2, 0]])
    y = np.repeat([0, 1], [60, 40])
    peer = QuadraticDiscriminantAnalysis(store_covariance=True).fit(x, y)
    model = ClassNormals(
        torch.from_numpy(peer.means_),
        [torch.from_numpy(s) for s in peer.covariance_],
        torch.from_numpy(peer.priors_),
    )
    log_p = rp.classify(model, torch.from_numpy(x))
    assert np.allclose(log_p.exp().numpy(), peer.predict_proba(x), atol=1e-9)


def test_a_class_that_never_occurs_is_never_found():
    identity = torch.eye(2, dtype=torch.float64)
    means = [torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)]
    model = ClassNormals(means, [identity, identity], torch.tensor([1.0, 0.0]))
    log_p = rp.classify(model, means[1][None])
    assert log_p[0].tolist() == [0.0, -math.inf]


def test_a_row_that_only_a_class_without_examples_allows_is_refused():
    class Impossible(ClassNormals):
        def density(self, x, c, samples, generator):
            found = super().density(x, c, samples, generator).value
            return LogProb(torch.where(c == 0, -math.inf, found), "exact")

    identity, mean = torch.eye(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    model = Impossible([mean, mean], [identity, identity], torch.tensor([1.0, 0.0]))
    with pytest.raises(ValueError, match="^x: row 0 has probability 0 in every class"):
        rp.classify(model, mean[None])


def test_only_densities_conditional_on_labels_classify():
    model = rp.build("vae", Space((4,), "real"), latent_dim=2, hidden=(4,))
    with pytest.raises(ValueError, match="conditional on labels"):
        rp.classify(model, torch.zeros(1, 4))


def test_an_exact_conditional_density_classifies_exactly():
    """Of all 2⁴ binary x: Σ_y p(x|y) p(y) is p(x), and Σ_x p(y|x) p(x) gives p(y) back."""
    space = Space((4,), "binary", classes=3)
    model = rp.build("made", space, hidden=(8,), conditional=True).double().eval()
    model.frequencies.copy_(torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64))
    x = torch.cartesian_prod(*[torch.arange(2)] * 4)
    joint = torch.stack(
        [
            model.log_prob(x, torch.full((16,), y)).value.exp() * p
            for y, p in enumerate([0.5, 0.2, 0.3])
        ],
        1,
    )
    posterior = rp.classify(model, x).exp()
    assert torch.allclose((posterior * joint.sum(1, keepdim=True)).sum(0), model.frequencies)
    assert joint.sum().item() == pytest.approx(1, abs=1e-9)


class Generated(Decoder, Generator):
    """x = A z with z ~ N(0, I) that no x has."""

    code_space = Space((2,), "real")

    def __init__(self, space=SPACE):
        super().__init__(space)
        slopes = [[1.0, 0.0], [2.0, 0.0], [0.0, 3.0], [0.0, 0.0]]
        self.slopes = torch.tensor(slopes, dtype=torch.float64)
        self.to(torch.float64)

    def loss(self, x, c=None, player="model"):
        raise AssertionError

    def prior(self, c=None):
        return StandardNormalDensity(torch.zeros(1, 2, dtype=torch.float64))

    def decode(self, code, c=None):
        return code @ self.slopes.T

    def draw(self, n, c, generator):
        return self.decode(draw_codes(self, n, generator))


class Uniform(Generated):
    def prior(self, c=None):
        return StandardUniformDensity(torch.zeros(1, 2, dtype=torch.float64))


def test_what_decodes_noise():
    gan = rp.build("gan", SPACE, latent_dim=2, hidden=(4,))
    model = Generated()
    assert noise_decoder(gan) is gan and noise_decoder(model) is model
    aae = rp.build("aae", SPACE, latent_dim=2, hidden=(4,))
    for other in (VAE, PLAIN, Identity(), aae, Uniform()):
        assert noise_decoder(other) is None


def test_codes_are_drawn_from_the_prior():
    for model in (Generated(), VAE, rp.build("gan", SPACE, latent_dim=2, hidden=(4,))):
        codes = draw_codes(model, 5, torch.Generator().manual_seed(0))
        expected = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=codes.dtype)
        assert codes.equal(expected)
    with pytest.raises(ValueError, match="expected one with a prior"):
        draw_codes(Identity(), 5)
    with pytest.raises(ValueError, match="n: "):
        draw_codes(Generated(), 0)


def test_between_codes_that_no_x_has():
    """Along an arc, unless a line is asked for."""
    model, first, second = Generated(), torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    turns = torch.linspace(0, math.pi / 2, 5, dtype=torch.float64)
    arc = 2 * torch.stack([turns.cos(), turns.sin()], 1)
    walk = rp.interpolate(model, first.double(), second.double(), steps=5)
    torch.testing.assert_close(walk, model.decode(arc)[None], rtol=0, atol=1e-7)  # of PARALLEL
    straight = rp.interpolate(model, first, second, steps=5, path="linear")
    assert straight[0, 2].equal(model.decode(torch.ones(1, 2).double())[0])
    with pytest.raises(ValueError, match=r"code: expected shape \(B, 2\), got \(3, 4\)"):
        rp.interpolate(model, FIRST, SECOND)


def test_traversals_of_codes_that_no_x_has():
    space = Space((4,), "levels", 5, classes=3)
    model = rp.build("gan", space, latent_dim=3, hidden=(4,), conditional=True)
    model.class_names = ("a", "b", "c")
    z, values = torch.randn(2, 3), torch.tensor([[-1.0, 1.0], [0.5, 0.0]])
    walk = rp.traverse(model, z, [2, 0], values, c="b")
    moved = z[1:].clone()
    moved[:, 0] = 0.5
    torch.testing.assert_close(walk[1, 1, 0], model.decode(moved, torch.tensor([1]))[0])
    assert walk.shape == (2, 2, 2, 4)


def test_influence_is_how_far_x_moves():
    """Columns of x = A z, of variance a², move by 2 a, but for one that never moves."""
    codes = torch.tensor([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]]).double()
    axes = influence(Generated(), codes)  # of codes of variance 1 columns vary by their slopes
    torch.testing.assert_close(axes.amount, torch.tensor([2.0, 1.0]).sqrt())
    assert axes.alive.all()
    # Of pixels all have one variance, the mean of 1, 4, 9 and 0.
    pixels = Generated(Space((1, 2, 2), "real"))
    amount = torch.tensor([4 * (1 + 4) / 4, 4 * 9 / 4]) / (14 / 4)
    torch.testing.assert_close(influence(pixels, codes).amount, amount.sqrt())
    with torch.no_grad():
        pixels.slopes[:, 1] *= 1e-3
    assert influence(pixels, codes).alive.tolist() == [True, False]


def test_a_plane_of_two_entries_is_a_traversal_of_each_in_its_middle():
    model = rp.build("vae", rp.Space((6,), "real"), latent_dim=3, hidden=(5,), seed=0).double()
    x = torch.randn(2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    first, second = torch.linspace(-1, 1, 4).double(), torch.linspace(-2, 2, 3).double()
    with torch.no_grad():
        code = model.eval().encode(x)
    grid = rp.traverse_plane(model, x, (2, 0), first, second)
    assert grid.shape == (2, 3, 4, 6)
    for i in range(2):
        own = torch.tensor([[code[i, 2], 7.0]])
        line = rp.traverse(model, x[i : i + 1], [0], second[None])[0, 0]
        across = rp.traverse_plane(model, x[i : i + 1], (2, 0), own[0, :1].double(), second)
        assert torch.allclose(across[0, :, 0], line)
    for said, dimensions in (
        ("two entries", (1, 1)),
        ("two entries", (1,)),
        ("dimensions: expected 0 to 2", (0, 3)),
    ):
        with pytest.raises(ValueError, match=said):
            rp.traverse_plane(model, x, dimensions, first, second)
    with pytest.raises(ValueError, match="second: expected some values"):
        rp.traverse_plane(model, x, (0, 1), first, second[:0])
