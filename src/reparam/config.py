"""How a model is trained: one frozen set of fields."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class TrainConfig:
    """The fields of ``fit``.

    Args:
        epochs: passes over the training data; None: as many as the budget allows, or without one
            as many as give 5 000 steps, at least 10.
        budget: seconds after which training ends, whatever the epochs; each of several descents
            gets an equal part; None: no limit.
        batch_size: examples per step (all of them, when there are fewer); None: a twentieth of
            them, about 16 at least and 128 at most, so that few examples make many steps as well.
        lr: learning rate of Adam.
        betas: decays of Adam's means of the gradient and of its square; a player may have others.
        warmup: steps over which the learning rate rises from 0.
        schedule: ``"constant"``, or ``"cosine"`` to 0 over the epochs.
        weight_decay: decoupled (AdamW), of the matrices and kernels of networks; biases, scales,
            embeddings and what is learned of an objective do not decay.
        clip: largest gradient norm; None: no clipping.
        ema: decay of an exponential moving average of the weights, which is then what is
            validated and kept; None: none.
        patience: validations without a better value after which training stops; there is one in
            every epoch, or in every 50 steps where epochs are shorter. Models that keep their last
            weights refuse it.
        precision: ``"float32"``, ``"float64"`` or ``"bfloat16"`` (autocast).
        compile: run the loss through ``torch.compile``, on CUDA as CUDA graphs; where it cannot
            be compiled it runs as it is, and the history's warnings say why.
        save_every: seconds between checkpoints.
        tensorboard: also write the curves for TensorBoard into the run's folder.
        seed: of weights, noise and data order.
        device: ``"auto"`` (CUDA, then MPS, then CPU) or a torch device.

    >>> TrainConfig(epochs=3).lr
    0.001
    """

    epochs: int | None = None
    budget: float | None = None
    batch_size: int | None = None
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    warmup: int = 0
    schedule: Literal["constant", "cosine"] = "constant"
    weight_decay: float = 0.0
    clip: float | None = None
    ema: float | None = None
    patience: int | None = None
    precision: Literal["float32", "float64", "bfloat16"] = "float32"
    compile: bool = False
    save_every: float = 30.0
    tensorboard: bool = False
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "warmup", "patience", "seed"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
                raise ValueError(f"{name}: expected a whole number, got {value!r}")
        for name in ("budget", "lr", "weight_decay", "clip", "ema", "save_every"):
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if value is not None and not (number and math.isfinite(value)):
                raise ValueError(f"{name}: expected a finite number, got {value!r}")
        for name in ("epochs", "budget", "batch_size", "clip", "patience"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name}: expected a positive number or None, got {value!r}")
        if not self.lr > 0:
            raise ValueError(f"lr: expected a positive number, got {self.lr!r}")
        if self.seed >= 2**63:
            raise ValueError(f"seed: expected less than 2^63, got {self.seed}")
        for name in ("warmup", "weight_decay", "save_every", "seed"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: expected at least 0, got {getattr(self, name)!r}")
        if self.ema is not None and not 0 < self.ema < 1:
            raise ValueError(f"ema: expected a number between 0 and 1, got {self.ema!r}")
        object.__setattr__(self, "betas", check_betas(self.betas))
        _one_of("schedule", self.schedule, ("constant", "cosine"))
        _one_of("precision", self.precision, ("float32", "float64", "bfloat16"))


def check_betas(betas: Sequence[float]) -> tuple[float, float]:
    """Adam's two decays, of a list as JSON has it too; ValueError where they are none."""
    two = isinstance(betas, (tuple, list)) and len(betas) == 2
    if not (two and all(type(beta) in (int, float) and 0 <= beta < 1 for beta in betas)):
        raise ValueError(f"betas: expected two numbers of at least 0 and below 1, got {betas!r}")
    return betas[0], betas[1]


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name}: expected one of {', '.join(allowed)}, got {value!r}")
