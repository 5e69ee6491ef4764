"""Energy-based models: densities that are known up to a constant, which is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from reparam.chains.partition import By
from reparam.config import TrainConfig
from reparam.limits import Count, Limited
from reparam.model import Space
from reparam.models.rbm import RBM
from reparam.presets.registry import Accepts, preset

FAMILY = "Energy-based models"


@dataclass(frozen=True)
class PartitionOptions(Limited):
    """How log Z is found.

    Args:
        partition: by a sum over all states, 2^20 at most; by annealed importance sampling; or auto,
            by the sum where it can be.
        runs: of annealing.
        temperatures: of each run of annealing.
    """

    partition: By = "auto"
    runs: Count = 200
    temperatures: Count = 1000


@preset(
    "rbm",
    paper="Smolensky 1986, Information processing in dynamical systems: harmony theory",
    train=TrainConfig(batch_size=128, lr=2e-3, schedule="cosine"),
    exact=("binary",),
    exact_where="of 20 units or fewer in one layer",
    small={"hidden": 4, "chains": 8, "draw_sweeps": 20},
    when="As the classic model of binary data whose hidden units are features.",
)
def rbm(
    space: Annotated[Space, Accepts(kinds=("binary",))],
    options: PartitionOptions,
    *,
    hidden: Count = 500,
    chains: Count = 256,
    sweeps: Count = 5,
    draw_sweeps: Count = 1000,
) -> RBM:
    """A restricted Boltzmann machine: exact up to 20 hidden units, else an estimate.

    Args:
        hidden: units of the hidden layer.
        chains: that draw of the model while it is trained.
        sweeps: Gibbs steps of each after a step of training.
        draw_sweeps: Gibbs steps of a draw.
    """
    how = (options.partition, options.runs, options.temperatures)
    return RBM(space, hidden, chains, sweeps, draw_sweeps, *how)
