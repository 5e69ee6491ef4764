"""Missing cells drawn from p(x_missing | x_observed), against sums over all there are."""

from __future__ import annotations

import itertools

import pytest
import torch
from scipy import stats
from torch import Tensor

import reparam as rp
from reparam.model import Model, Space

COLUMNS = (
    rp.Column("owned", "binary"),
    rp.Column("rooms", "levels", 3, low=5),
    rp.Column("city", "category", 3),
)
SPACE = Space((3,), "mixed", columns=COLUMNS)
GRID = torch.tensor(list(itertools.product([0, 1], [5, 6, 7], [0, 1, 2])), dtype=torch.float64)
DRAWS = 4000


def randomized(
    name: str, space: Space = SPACE, deviation: float = 0.7, **parameters: object
) -> Model:
    """A model whose columns depend on each other."""
    model = rp.build(name, space, **parameters).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, deviation)
        if isinstance(model, rp.VAE):
            for parameter in model.encoder.parameters():
                parameter.mul_(0.2)
    return model.eval()


def log_p(model: Model) -> Tensor:
    """ln p(x) of all rows of ``GRID``; of a VAE by quadrature over its one latent dimension."""
    if isinstance(model, rp.LatentVariable):
        z = torch.linspace(-9, 9, 1501, dtype=torch.float64)[:, None]
        weight = model.prior().log_prob(z) + torch.log(z[1, 0] - z[0, 0])
        rows = [model.likelihood(z).log_prob(x.expand(len(z), -1)) + weight for x in GRID]
        return torch.stack(rows).logsumexp(1)
    assert isinstance(model, rp.Density)
    return model.log_prob(GRID).value


@pytest.mark.parametrize(
    "name, parameters, hidden",
    [
        ("vae", {"latent_dim": 1, "hidden": (6,)}, (0, 1)),
        ("vae", {"latent_dim": 1, "hidden": (6,)}, (0, 1, 2)),
        ("vae", {"latent_dim": 1, "hidden": (6,)}, (2,)),
        ("vae", {"latent_dim": 1, "hidden": (6,), "posterior": "iaf", "flows": 1}, (0, 1)),
        ("vae", {"latent_dim": 1, "hidden": (6,), "prior": "mixture", "components": 2}, (0, 2)),
        ("made", {"hidden": (6,)}, (1, 2)),
        ("made", {"hidden": (6,), "masks": 2}, (1, 2)),
        ("nade", {"hidden": 6}, (2,)),
        ("image-transformer", {"width": 4, "layers": 1, "heads": 1}, (1, 2)),
    ],
)
@torch.no_grad()
def test_draws_are_those_of_the_enumerated_conditional(name, parameters, hidden):
    model = randomized(name, **parameters)
    joint = log_p(model)
    assert joint.exp().sum().item() == pytest.approx(1, abs=1e-6)
    row = torch.tensor([1.0, 6.0, 2.0], dtype=torch.float64)
    given = torch.ones(3, dtype=torch.bool)
    given[list(hidden)] = False
    possible = ((GRID == row) | ~given).all(1)
    truth = joint[possible].softmax(0)
    x = torch.where(given, row, torch.nan)[None]
    found = rp.impute(model, x, draws=DRAWS, generator=torch.Generator().manual_seed(0))
    exact = name != "vae" or not given.any()  # of which it is a draw of p(x)
    assert (found.acceptance is None) == exact
    assert (found.x[0][:, given] == row[given]).all()
    counts = (found.x[0][:, None] == GRID[possible]).all(2).sum(0)
    assert counts.sum() == DRAWS  # nothing else is drawn
    # Cells that are expected less than five times are counted together.
    rare = truth * DRAWS < 5
    seen = torch.cat([counts[~rare], counts[rare].sum()[None]]).double()
    wanted = torch.cat([truth[~rare], truth[rare].sum()[None]]) * DRAWS
    kept = wanted > 0
    assert stats.chisquare(seen[kept], wanted[kept]).pvalue > 1e-4


def test_the_ratio_of_a_row_is_that_of_its_observed_cells():
    """A poor proposal is corrected: without steps the draws are those of q, not of p."""
    model = randomized("vae", latent_dim=1, hidden=(6,), deviation=1.0)
    x = torch.tensor([[torch.nan, 6.0, 2.0]], dtype=torch.float64)
    with torch.no_grad():
        joint = log_p(model)
    truth = joint[(GRID[:, 1:] == x[0, 1:]).all(1)].softmax(0)[1].item()
    found = rp.impute(model, x, draws=DRAWS, generator=torch.Generator().manual_seed(1))
    error = 4 * (truth * (1 - truth) / DRAWS) ** 0.5
    assert found.x[0, :, 0].mean().item() == pytest.approx(truth, abs=error)
    assert found.acceptance is not None and 0.05 < found.acceptance < 0.98


def test_given_cells_come_back_and_each_row_has_its_own_chain():
    model = randomized("vae", latent_dim=2, hidden=(6,))
    x = torch.tensor([[1, 6, torch.nan], [0, torch.nan, 1], [1, 5, 0]], dtype=torch.float64)
    found = rp.impute(model, x, draws=3, steps=2).x
    assert found.shape == (3, 3, 3)
    assert (found == x[:, None])[~x.isnan()[:, None].expand_as(found)].all()
    assert not found.isnan().any()


def test_what_cannot_be_drawn_is_refused():
    x = torch.tensor([[torch.nan, 6.0, 2.0]])
    with pytest.raises(ValueError, match="column 'rooms' of row 0 is given and comes after one"):
        rp.impute(randomized("made", hidden=(6,)).float(), x)
    with pytest.raises(ValueError, match="no p\\(x_missing"):
        rp.impute(randomized("ae", latent_dim=2, hidden=(6,)).float(), x)
    plain = rp.build("vae", Space((3,), "real"))
    with pytest.raises(ValueError, match="takes no missing cells"):
        rp.impute(plain, x)
    with pytest.raises(ValueError, match="draws"):
        rp.impute(randomized("vae", latent_dim=1).float(), x, draws=0)
