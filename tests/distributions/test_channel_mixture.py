"""The mixture of logistics over whole pixels: its conditionals, its draws, its numerics."""

from __future__ import annotations

import itertools

import pytest
import torch
from frequencies import chi_square
from scipy import stats
from torch import Tensor

import reparam as rp
from reparam.model import Space

F64 = torch.float64
SPACE = Space((3, 1, 1), "levels", 4)


def mixture(sites: int = 1, components: int = 2) -> tuple[rp.ChannelMixture, Tensor]:
    torch.manual_seed(2)
    p_x = rp.ChannelMixture(SPACE, components)
    return p_x, torch.randn(1, p_x.parameter_shape[0], sites, dtype=F64)


def colors() -> Tensor:
    return torch.tensor(list(itertools.product(range(4), repeat=3)), dtype=F64)


def test_it_is_the_sum_over_components_of_products_of_discretized_logistics():
    p_x, parameters = mixture()
    x = colors()
    found = p_x.distribution(parameters.expand(64, -1, -1)).log_prob_terms(x[:, :, None])
    p = p_x.distribution(parameters)
    total = torch.zeros(64, dtype=F64)
    for k in range(2):
        value = p.logits[0, :, 0].softmax(0)[k].expand(64)
        for channel in range(3):
            location = p.location[0, k, channel, 0].expand(64)
            for index, (c, b) in enumerate([(1, 0), (2, 0), (2, 1)]):
                if c == channel:
                    location = location + p.coefficients[0, k, index, 0] * (x[:, b] / 1.5 - 1)
            logistic = stats.logistic(
                (1.5 * (1 + location)).numpy(), p.log_scale[0, k, channel].exp().numpy()
            )
            below = torch.as_tensor(logistic.cdf((x[:, channel] - 0.5).numpy()))
            above = torch.as_tensor(logistic.cdf((x[:, channel] + 0.5).numpy()))
            below, above = (
                below.masked_fill(x[:, channel] == 0, 0),
                above.masked_fill(x[:, channel] == 3, 1),
            )
            value = value * (above - below)
        total += value
    torch.testing.assert_close(found.sum(1).exp(), total, rtol=1e-9, atol=1e-12)
    # Each column is a conditional: summed over its own channel it gives 1.
    by_color = found.exp().view(4, 4, 4, 3)
    ones = torch.ones(4, 4, dtype=F64)
    torch.testing.assert_close(by_color[..., 2].sum(2), ones)
    torch.testing.assert_close(by_color[:, :, 0, 1].sum(1), ones[0])
    torch.testing.assert_close(by_color[:, 0, 0, 0].sum(), ones[0, 0])


def test_draws_come_as_often_as_they_are_probable():
    p_x, parameters = mixture()
    n = 20_000
    x = p_x.distribution(parameters.expand(n, -1, -1)).sample(torch.Generator().manual_seed(0))
    assert x.shape == (n, 3, 1)
    counts = torch.bincount(
        (x[..., 0] @ torch.tensor([16.0, 4.0, 1.0], dtype=F64)).long(), minlength=64
    )
    each = p_x.distribution(parameters.expand(64, -1, -1)).log_prob_terms(colors()[:, :, None])
    expected = n * each.sum(1).exp()
    assert chi_square(counts, expected) > 1e-4


@pytest.mark.parametrize("given", [(0,), (1,), (2,), (0, 1), (0, 2), ()], ids=str)
def test_the_rest_of_a_pixel_is_drawn_given_the_channels_before(given):
    """By enumeration: Π over the channels c that are not given of P(x_c | x_1 … x_{c−1})."""
    p_x, parameters = mixture()
    columns = p_x.distribution(parameters.expand(64, -1, -1)).log_prob_terms(colors()[:, :, None])
    drawn = [c for c in range(3) if c not in given]
    n, mask = 8000, torch.tensor([c in given for c in range(3)])[:, None]
    for values in itertools.product(range(4), repeat=len(given)):
        same = (colors()[:, list(given)] == torch.tensor(values, dtype=F64)).all(1)
        law = torch.where(same, columns[:, drawn].sum(1).exp(), 0.0)
        assert law.sum().item() == pytest.approx(1)
        x = torch.full((n, 3, 1), 9.0, dtype=F64)  # 9 is no level: it must not be looked at
        x[:, list(given), 0] = torch.tensor(values, dtype=F64)
        p = p_x.distribution(parameters.expand(n, -1, -1))
        found = p.rsample_rest(x, mask.expand(n, -1, -1), torch.Generator().manual_seed(0))
        assert torch.equal(found[:, list(given)], x[:, list(given)])
        index = (found[..., 0] @ torch.tensor([16.0, 4.0, 1.0], dtype=F64)).long()
        assert chi_square(torch.bincount(index, minlength=64), n * law) > 1e-4


def test_the_center_of_the_first_channel_is_its_mean():
    p_x, parameters = mixture(components=3)
    parameters[:, 1] -= 1.5  # a location at the lower end, where only one side is cut off
    p = p_x.distribution(parameters)
    x = colors()[:, :, None]
    law = p_x.distribution(parameters.expand(64, -1, -1)).log_prob_terms(x).sum(1).exp()
    torch.testing.assert_close(p.center[0, 0, 0], (law * x[:, 0, 0]).sum())
    assert p.center.shape == (1, 3, 1)
    assert (p.center >= 0).all() and (p.center <= 3).all()


def test_channels_matter_to_each_other_and_sites_do_not():
    p_x, parameters = mixture(sites=5)
    x = torch.zeros(1, 3, 5, dtype=F64)
    p = p_x.distribution(parameters)
    plain = p.log_prob_terms(x).view(3, 5)
    changed = x.clone()
    changed[0, 0, 2] = 3
    found = p.log_prob_terms(changed).view(3, 5)
    moved = found != plain
    assert moved[:, 2].all()
    assert moved.sum() == 3


def test_what_it_is_not_for_is_refused():
    with pytest.raises(ValueError, match="is one of images"):
        rp.ChannelMixture(Space((4,), "binary"))
    with pytest.raises(ValueError, match="components: expected a whole number .* 1, got 0"):
        rp.ChannelMixture(SPACE, 0)
    with pytest.raises(ValueError, match="binary data, got real"):
        rp.ChannelMixture(Space((1, 2, 2), "real"))
