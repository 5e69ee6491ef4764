"""Mixtures of discretized logistics: probabilities, their single component, means and draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch import Tensor

import reparam as rp
from reparam.distributions.masses import LogisticMixtureMass
from reparam.model import Space

F64 = torch.float64
LEVELS = 17


def mixture(levels: int = LEVELS, narrowest: float = -0.5) -> LogisticMixtureMass:
    """Three components in two entries: one far outside, one narrow, one wide."""
    logits = torch.tensor([[0.3, -1.0], [1.0, 0.5], [-0.7, 0.0]], dtype=F64)[None]
    location = torch.tensor([[-40.0, 2.2], [4.4, 9.0], [8.0, 11.6]], dtype=F64)[None]
    log_scale = torch.tensor([[1.0, 0.2], [narrowest, -0.4], [1.3, 0.6]], dtype=F64)[None]
    return LogisticMixtureMass(logits, location, log_scale, levels)


def masses(p: LogisticMixtureMass) -> np.ndarray:
    """(levels, entries) from SciPy's logistic, weighted by SciPy's softmax."""
    edges = np.concatenate([[-np.inf], np.arange(p.levels - 1) + 0.5, [np.inf]])
    weights = special.softmax(p.logits[0].numpy(), 0)
    cdf = stats.logistic(p.location[0].numpy(), np.exp(p.log_scale[0].numpy())).cdf
    return np.diff(np.stack([(weights * cdf(edge)).sum(0) for edge in edges]), axis=0)


def log_masses(p: LogisticMixtureMass) -> Tensor:
    """(levels, rows, entries) of the distribution itself."""
    x = torch.ones_like(p.location[:, 0])
    return torch.stack([p.log_prob_terms(x * level) for level in range(p.levels)])


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_masses_are_the_weighted_differences_of_cdfs_and_sum_to_one(levels):
    p = mixture(levels)
    found = log_masses(p)
    assert found.shape == (levels, 1, 2)
    np.testing.assert_allclose(found[:, 0].exp().numpy(), masses(p), rtol=1e-9, atol=1e-14)
    assert found.logsumexp(0).abs().max() < 1e-9


@pytest.mark.parametrize(("dtype", "tolerance"), [(F64, 1e-9), (torch.float32, 3e-5)])
@pytest.mark.parametrize("narrowest", [-7.0, -7.0 + math.log(127.5)])
def test_they_sum_to_one_at_a_log_scale_of_minus_seven(narrowest, dtype, tolerance):
    """−7 in level units, and in units of half the range, where others have their floor."""
    p = mixture(256, narrowest)
    p = LogisticMixtureMass(*(v.to(dtype) for v in (p.logits, p.location, p.log_scale)), 256)
    assert log_masses(p).logsumexp(0).abs().max() < tolerance


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_any_decoder_output_gives_probabilities_and_gradients(levels):
    likelihood = rp.DiscretizedLogistic(Space((1,), "levels", levels), mixture=3)
    generator = torch.Generator().manual_seed(0)
    raw = torch.randn(200, 9, 1, generator=generator, dtype=F64)
    raw = (raw * torch.logspace(-1, 3, 200, dtype=F64)[:, None, None]).requires_grad_()
    found = log_masses(likelihood.double()(raw))
    assert (found <= 0).all() and found.isfinite().all()
    assert found.logsumexp(0).abs().max() < 1e-9
    (gradient,) = torch.autograd.grad(found.sum(), raw)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("shape", [(4,), (3, 2, 2)], ids=str)
def test_one_component_is_the_plain_logistic_and_so_are_equal_ones(shape):
    space = Space(shape, "levels", LEVELS)
    plain, one = rp.DiscretizedLogistic(space), rp.DiscretizedLogistic(space, mixture=1)
    raw = torch.randn(5, *plain.parameter_shape, dtype=F64)
    x = torch.randint(LEVELS, (5, *shape)).double()
    assert one.parameter_shape == plain.parameter_shape
    assert torch.equal(one(raw).log_prob_terms(x), plain(raw).log_prob_terms(x))
    three = rp.DiscretizedLogistic(space, mixture=3).double()
    assert three.parameter_shape == (9, *shape)
    location = raw[:, :1].expand(-1, 3, *shape[0:]) - three.middles  # where all start together
    logits = torch.randn(5, 3, *shape, dtype=F64)
    alike = torch.cat([logits, location, raw[:, 1:].expand(-1, 3, *shape)], 1)
    p, q = three(alike), plain(raw)
    torch.testing.assert_close(p.log_prob_terms(x), q.log_prob_terms(x), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(p.center, q.center, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(p.variance, q.variance, rtol=1e-9, atol=1e-9)


def test_mean_variance_and_frequencies():
    p = mixture()
    wanted, k = masses(p), np.arange(LEVELS)[:, None]
    mean = (k * wanted).sum(0)
    np.testing.assert_allclose(p.center[0].numpy(), mean, rtol=1e-11)
    np.testing.assert_allclose(p.variance[0].numpy(), ((k - mean) ** 2 * wanted).sum(0), rtol=1e-10)
    draws = p.repeat(20_000).sample(torch.Generator().manual_seed(2))
    assert draws.shape == (20_000, 2)
    for entry in range(2):
        counts = np.bincount(draws[:, entry].long().numpy(), minlength=LEVELS)
        assert stats.chisquare(counts, wanted[:, entry] * 20_000).pvalue > 1e-4
    # Entries choose their components on their own.
    both = np.corrcoef(draws.T.numpy())[0, 1]
    assert abs(both) < 5 / math.sqrt(20_000)


def test_rows_repeat_and_generators():
    p = mixture().repeat(4)
    x = torch.randint(LEVELS, (4, 2)).double()
    assert p.rows == 4 and p.repeat(2).rows == 8
    torch.testing.assert_close(
        p.repeat(2).log_prob_terms(x.repeat_interleave(2, 0)),
        p.log_prob_terms(x).repeat_interleave(2, 0),
    )
    one, two, other = (p.sample(torch.Generator().manual_seed(s)) for s in (7, 7, 8))
    assert torch.equal(one, two) and not torch.equal(one, other)


def test_a_vae_with_a_mixture_is_built_by_its_preset_and_finds_two_peaks():
    """Every entry is 2 or 14, by a coin of its own: two narrow peaks, or one broad logistic.

    The entropy is ln 2 an entry; a single logistic has to spread over 13 levels.
    """
    x = torch.randint(2, (600, 4), generator=torch.Generator().manual_seed(0)) * 12 + 2
    data = rp.load_data(x.numpy(), levels=LEVELS)
    nll = {}
    for components in (1, 2):
        torch.manual_seed(0)
        model = rp.build("vae", data.space, latent_dim=1, hidden=(8,), mixture=components)
        rp.fit(model, data, epochs=60, batch_size=60, lr=0.02, progress=False)
        nll[components] = -model.log_prob(data.test.x, samples=20).value.mean().item()
    assert nll[2] < 4 * math.log(2) + 0.4
    assert nll[1] > nll[2] + 2


def test_what_has_no_components_is_refused():
    with pytest.raises(ValueError, match="mixture: expected a whole number of at least 1, got 0"):
        rp.build("vae", Space((4,), "levels", 5), mixture=0)
    for space, name in ((Space((4,), "binary"), "bernoulli"), (Space((4,), "real"), "normal")):
        with pytest.raises(
            ValueError, match=f"only discretized-logistic has components, not {name}"
        ):
            rp.build("vae", space, mixture=3)
