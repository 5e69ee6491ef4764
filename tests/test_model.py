"""What the base classes do for every author: counts, conditions, noise, vectors of codes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import reparam as rp
from reparam import numerics
from reparam.batching import draws_at_once
from reparam.model import Codec, Column, Density, Encoder, Generator, Loss
from reparam.space import Space

BITS = Space((9,), "binary")


class Coin(Density):
    """Independent fair coins, which need not be looked after: the base class does it."""

    def __init__(self, space=BITS):
        super().__init__(space)
        self.logit = nn.Parameter(torch.zeros(()))

    def density(self, x, c, samples, generator):
        each = nn.functional.logsigmoid(torch.where(x > 0.5, self.logit, -self.logit))
        return rp.LogProb(each.sum(1), "exact")

    def draw(self, n, c, generator):
        return torch.ones(n, 9)


class Indices(Encoder):
    """Codes of two indices below 4."""

    code_space = Space((2,), "levels", 4)

    def loss(self, x, c=None, player="model"):
        raise AssertionError

    def encode(self, x, c=None):
        return torch.tensor([[0, 3], [2, 2]])


@pytest.mark.parametrize("n", [0, -1])
def test_no_draws_and_no_samples_are_refused(n):
    with pytest.raises(ValueError, match=f"^n: expected a positive whole number, got {n}"):
        Coin().sample(n)
    with pytest.raises(ValueError, match=f"^samples: expected a positive whole number, got {n}"):
        Coin().log_prob(torch.ones(1, 9), samples=n)
    with pytest.raises(ValueError, match="^noise: expected independent or shared, got 'same'"):
        Coin().log_prob(torch.ones(1, 9), noise="same")


def test_a_density_is_trained_on_its_negative_log_likelihood():
    """Of three ones in nine entries the derivative of −log p at logit 0 is 9/2 − 3."""
    model, x = Coin(), torch.tensor([[1.0] * 3 + [0.0] * 6])
    loss = model(x)
    assert isinstance(loss, Loss)
    torch.testing.assert_close(loss.terms["nll"], 9 * torch.log(torch.tensor([2.0])))
    loss.objective.backward()
    torch.testing.assert_close(model.logit.grad, torch.tensor(1.5))
    assert not model.sample(2).requires_grad


def test_codecs_are_encoders_and_their_own_codecs():
    model = rp.build("ae", BITS, latent_dim=2, hidden=(4,))
    assert isinstance(model, Encoder)
    assert model.as_codec() is model
    assert Coin().as_codec() is None
    assert isinstance(rp.build("ae-gmm", BITS, **{"codec.latent_dim": 2}), Codec | Generator)


def test_codes_become_vectors_in_which_distances_mean_something():
    model = Indices(BITS)
    code = model.encode(torch.ones(2, 9))
    wanted = [[1.0, 0, 0, 0, 0, 0, 0, 1], [0.0, 0, 1, 0, 0, 0, 1, 0]]
    assert model.embed(code).tolist() == wanted
    real = rp.build("vae", BITS, latent_dim=2, hidden=(4,))
    z = real.encode(torch.ones(3, 9))
    assert torch.equal(real.embed(z), z)


@pytest.mark.parametrize("posterior", ["diagonal", "mixture", "iaf", "categorical"])
def test_shared_noise_makes_a_row_the_same_in_any_company(posterior):
    """Alone, among others, in another order, under a memory that takes few rows at once."""
    torch.manual_seed(0)
    model = rp.build("vae", BITS, latent_dim=3, hidden=(8,), posterior=posterior).double().eval()
    x = (torch.rand(7, 9) > 0.5).double()

    def of(rows, samples=150):
        generator = torch.Generator().manual_seed(1)
        return model.log_prob(rows, samples=samples, generator=generator, noise="shared").value

    every = of(x)
    tolerance = {"rtol": 1e-12, "atol": 1e-12}  # sums over other numbers of rows round otherwise
    torch.testing.assert_close(of(x.flip(0)).flip(0), every, **tolerance)
    for row in range(7):
        torch.testing.assert_close(of(x[row : row + 1])[0], every[row], **tolerance)
    many = of(x.repeat(300, 1))  # more than one block
    torch.testing.assert_close(many, every.repeat(300), **tolerance)
    # Twice the same row: independent noise tells them apart, shared noise cannot.
    twice = x[:1].repeat(2, 1)
    apart = model.log_prob(twice, samples=3, generator=torch.Generator().manual_seed(1)).value
    assert apart[0] != apart[1]
    assert abs(of(twice)[0] - of(twice)[1]) < 1e-12


def test_shared_noise_decodes_no_more_of_large_images_at_once_than_memory_allows():
    space = Space((3, 256, 256), "binary")
    model = rp.build("vae", space, latent_dim=1, hidden=(1,), network="mlp").eval()
    decoded: list[int] = []
    model.decoder.register_forward_hook(lambda module, given, out: decoded.append(len(out)))
    model.log_prob(torch.zeros(2, *space.shape), samples=20, noise="shared")
    assert max(decoded) <= draws_at_once(space) == 16
    assert sum(decoded) == 40


def test_shared_noise_keeps_what_is_said_of_every_entry():
    class ByEntry(Coin):
        log_prob_draws = True

        def density(self, x, c, samples, generator):
            noisy = x + numerics.noise(x, "normal", generator)
            return rp.LogProb(noisy.sum(1), "estimate", samples, per_dimension=noisy)

    x = torch.rand(2 * draws_at_once(BITS) + 1, 9).round()  # three blocks
    found = ByEntry().log_prob(x, noise="shared")
    assert found.per_dimension is not None
    torch.testing.assert_close(found.per_dimension.sum(1), found.value)


def test_shared_noise_is_not_drawn_for_what_has_no_row_for_every_example():
    with numerics.shared_noise(3), pytest.raises(AssertionError):
        numerics.noise(torch.zeros(1, 2))


def test_shared_noise_gives_the_same_expectation():
    """The weights of K = 1 are unbiased for p(x): their mean over seeds, within 4 errors."""
    torch.manual_seed(0)
    space = Space((3,), "binary")
    model = rp.build("vae", space, latent_dim=1, hidden=(4,)).double().eval()
    x = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]).double()
    values = torch.stack(
        [
            model.log_prob(
                x, generator=torch.Generator().manual_seed(seed), noise="shared"
            ).value.exp()
            for seed in range(2000)
        ]
    )
    grid = torch.linspace(-9, 9, 20_001, dtype=torch.float64)[:, None]
    mass = torch.distributions.Normal(0, 1).log_prob(grid).exp()[:, 0] * (grid[1] - grid[0])
    with torch.no_grad():
        p = model.likelihood(grid)
        truth = torch.stack(
            [(mass * p.log_prob(row.expand(len(grid), 3)).exp()).sum() for row in x]
        )
    error = values.std(0) / 2000**0.5
    assert ((values.mean(0) - truth).abs() < 4 * error).all()


def test_missing_entries_are_for_models_that_take_them():
    x = torch.tensor([[1.0] * 8 + [torch.nan]])
    with pytest.raises(ValueError, match="got NaN in 1 of 1 rows"):
        Coin().prepare(x)
    model = Coin()
    model.takes_missing = True
    assert model.prepare(x)[0].isnan().sum() == 1
    with pytest.raises(ValueError, match=r"^x: expected 0 or 1 \(binary\), got 2"):
        model.prepare(torch.where(x.isnan(), x, 2.0))


def test_mixed_spaces_have_a_column_for_each_entry():
    age = Column("age", "levels", 100)
    assert Space((1,), "mixed", columns=(age,)).columns == (age,)
    for shape, kind, columns in (((2,), "mixed", (age,)), ((1,), "real", (age,))):
        with pytest.raises(ValueError, match="^columns: expected one for each entry of mixed"):
            Space(shape, kind, columns=columns)
