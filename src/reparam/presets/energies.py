"""Energy-based models: densities that are known up to a constant, which is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from torch import nn

from reparam.batching import is_small
from reparam.chains.partition import By
from reparam.config import TrainConfig
from reparam.limits import Count, Limited, NonNegative, Positive, Several, Share
from reparam.model import Space
from reparam.models.energy import EnergyModel
from reparam.models.rbm import RBM
from reparam.nets import Network, encoder
from reparam.presets.registry import PURE, Accepts, preset

FAMILY = "Energy-based models"
OBJECTIVE = "max −E(x) − log Z, its gradient by chains"


def averaged(space: Space) -> TrainConfig:
    """Averages of weights, as the last are kept; larger steps for small data."""
    lr = 1e-2 if is_small(space) else 3e-3
    return TrainConfig(batch_size=128, lr=lr, schedule="cosine", ema=0.999)


@dataclass(frozen=True)
class PartitionOptions(Limited):
    """How log Z is found.

    Args:
        partition: by a sum over all states, 2^20 at most; by annealed importance sampling; or auto,
            by the sum where it can be.
        runs: of annealing, each with a weight.
        temperatures: of each run of annealing.
    """

    partition: By = "auto"
    runs: Several = 200
    temperatures: Count = 1000


@dataclass(frozen=True)
class EnergyOptions(PartitionOptions):
    """The network that is the energy, and how log Z is found.

    Args:
        hidden: widths of the hidden layers.
        network: fully connected, convolutional, or by the size of the data.
    """

    hidden: tuple[Count, ...] = (256, 256)
    network: Network = "auto"


@preset(
    "rbm",
    paper="Smolensky 1986, Information processing in dynamical systems: harmony theory",
    train=averaged,
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
        chains: Markov chains that draw x while the model is trained.
        sweeps: Gibbs steps of each after a step of training.
        draw_sweeps: Gibbs steps of a draw.
    """
    how = (options.partition, options.runs, options.temperatures)
    return RBM(space, hidden, chains, sweeps, draw_sweeps, *how)


@preset(
    "ebm",
    paper="Du & Mordatch 2019, Implicit generation and modeling with energy-based models",
    train=TrainConfig(batch_size=128, lr=2e-3, schedule="cosine", clip=1.0, ema=0.999),
    small={
        "chains": 8,
        "sweeps": 2,
        "draw_sweeps": 20,
        "partition": "annealed",
        "runs": 8,
        "temperatures": 10,
    },
    when="Where an energy is wanted, any function of x, and a normalized density is not needed.",
    objective="max log p₀(x) − E(x) − log Z, its gradient by chains",
)
def ebm(
    space: Annotated[Space, Accepts(kinds=PURE)],
    options: EnergyOptions,
    *,
    chains: Count = 128,
    sweeps: Count = 20,
    draw_sweeps: Count = 1000,
    step: Positive = 0.02,
    noise: NonNegative | None = None,
    clip: Positive = 100.0,
    restart: Share = 0.05,
    decay: NonNegative = 1e-3,
) -> EnergyModel:
    """An energy-based model: a network and a fitted base, log Z estimated by annealing.

    Args:
        chains: Markov chains that draw x while the model is trained.
        sweeps: steps of each chain after a step of training.
        draw_sweeps: steps of a draw.
        step: of Langevin dynamics, along the gradient, in scales of the base; binary data
            take none.
        noise: of Langevin dynamics; none: the square root of 2 step, which draws of p itself.
        clip: the largest norm of a gradient in Langevin dynamics.
        restart: share of the chains that start anew after a step.
        decay: weight of the squared energies in the objective, against their running away.
    """
    net = encoder(space.shape, (1,), options.hidden, options.network, activation=nn.SiLU)
    chain = (chains, sweeps, draw_sweeps, step, noise, clip, restart, decay)
    how = (options.partition, options.runs, options.temperatures)
    return EnergyModel(space, net, *chain, *how)
