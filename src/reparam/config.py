"""How a model is trained: one frozen set of fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reparam.limits import BelowOne, Count, Limited, NonNegative, Positive, ProperShare, Whole

Augmentation = Literal["flip", "shift", "crop"]


@dataclass(frozen=True)
class TrainConfig(Limited):
    """The fields of ``fit``.

    Args:
        epochs: passes over the training data; None: as many as the budget allows, or without one
            as many as give 5 000 steps, at least 10.
        budget: seconds after which training ends, whatever the epochs; each of several descents
            gets an equal part; None: no limit.
        batch_size: examples per step (all of them, when there are fewer); None: a twentieth of
            them, about 16 at least and 128 at most, so that few examples make many steps as well.
        lr: learning rate of Adam; many presets have one of their own.
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
        augment: how images are moved at random, afresh in every step: ``"flip"`` left and right,
            ``"shift"`` by up to an eighth of the sides, or a pixel, ``"crop"`` to 0.8 of them or
            more; nothing but training sees it.
        compile: run the loss through ``torch.compile``; where it cannot be compiled it runs as it
            is, and the history's warnings say why.
        save_every: seconds between checkpoints.
        tensorboard: also write the curves for TensorBoard into the run's folder.
        seed: of weights, noise and data order.
        device: ``"auto"`` (CUDA, then MPS, then CPU) or a torch device.

    >>> TrainConfig(epochs=3).lr
    0.001
    """

    epochs: Count | None = None
    budget: Positive | None = None
    batch_size: Count | None = None
    lr: Positive = 1e-3
    betas: tuple[BelowOne, BelowOne] = (0.9, 0.999)
    warmup: Whole = 0
    schedule: Literal["constant", "cosine"] = "constant"
    weight_decay: NonNegative = 0.0
    clip: Positive | None = None
    ema: ProperShare | None = None
    patience: Count | None = None
    precision: Literal["float32", "float64", "bfloat16"] = "float32"
    augment: tuple[Augmentation, ...] = ()
    compile: bool = False
    save_every: NonNegative = 30.0
    tensorboard: bool = False
    seed: Whole = 0
    device: str = "auto"
