"""A classifier on the codes of an encoder: its head alone is trained, or everything."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reparam.conditions import check_labels
from reparam.limits import Count, Share, limited
from reparam.model import (
    ENCODED,
    Batch,
    Descend,
    Encoder,
    Loss,
    Model,
    Player,
    Solve,
    Space,
    Stage,
)
from reparam.nets import norm
from reparam.supervised import Supervised

Tune = Literal["linear", "all"]
Features = Literal["whole", "pooled"]
ALONE = 10.0  # times the learning rate, of a head whose features stay: its loss is convex
CONSTANT = 1e-5  # of its mean: a feature that deviates by less is rounding, and keeps its unit


class Classifier(Encoder, Supervised):
    """p(y|x) = softmax(W s(f(x)) + b): logits as codes, of features f that an encoder makes.

    loss = −log p(y|x) of the labels that come as ``Batch.target``. s standardizes each feature by
    its mean and deviation over the training rows. W and b start at 0, where all classes are equally
    probable, so that the head of a seed is the same whatever the encoder brings.

    The ``linear`` probe trains W and b alone, on the encoder as it is. ``all`` trains the encoder
    too, each layer at ``layer_decay`` times the rate of the one above it (``Encoder.stack``), as
    the first ones are the most general; a decay of 0 is the linear probe.

    Args:
        encoder: unconditional; of the codes that are indices only a ``linear`` probe can be made,
            of the vectors that they are embedded as, since they have no gradients.
        classes: of the labels; None: as many as the encoder's space has.
        tune: what is trained.
        features: what of a real code (C, H, W) is seen: the whole of it, or, ``pooled``, its mean
            over places (``Encoder.pooled``).
        layer_decay: rate of each layer, as a share of that of the next one.
        trained: whether the encoder brings what it learned; else its stages without gradients, as
            standardization, are solved before.

    Raises:
        ValueError: no labels, a conditional encoder, or ``all`` of codes without gradients.

    Shape: x (B, *space.shape), logits (B, classes), target (B,).

    Likelihood: none of x. The cross-entropy is −log p(y|x) of labels.

    Cost: a pass of the encoder; of a linear probe's training one over all data, where x stay.

    Reference: Clark et al. 2020, "ELECTRA", for layer-wise rates; He et al. 2022, "Masked
    autoencoders are scalable vision learners", section 4, for both ways of tuning.
    https://arxiv.org/abs/2003.10555, https://arxiv.org/abs/2111.06377

    >>> import reparam as rp
    >>> space = rp.Space((9,), "binary", classes=3)
    >>> model = Classifier(rp.build("ae", space, latent_dim=2))
    >>> model.log_class_probs(torch.ones(1, 9)).exp()  # of a head that has learned nothing
    tensor([[0.3333, 0.3333, 0.3333]], grad_fn=<ExpBackward0>)
    """

    judge = "cross_entropy"

    @limited
    def __init__(
        self,
        encoder: Encoder,
        classes: Count | None = None,
        tune: Tune = "all",
        features: Features = "whole",
        layer_decay: Share = 0.75,
        trained: bool = False,
    ) -> None:
        classes = _checked(encoder, encoder.space.classes if classes is None else classes)
        super().__init__(replace(encoder.space, classes=classes))
        self.encoder, self.tune, self.layer_decay = encoder, tune, layer_decay
        self.frozen = tune == "linear" or layer_decay == 0
        if not self.frozen and encoder.code_space.kind != "real":
            raise ValueError(
                f"tune: expected linear, as codes of {encoder.code_space.kind} have no gradients, "
                "got all; take tune=linear, or an encoder with real codes"
            )
        self.features = features
        width = self._width()
        self.scale = FeatureScale(width)
        self.head = nn.utils.skip_init(nn.Linear, width, classes)  # which would draw numbers
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.register_buffer("trained", torch.tensor(trained))
        self.trained: Tensor
        if not self.frozen:
            for module in self._tuned:  # also what the encoder moved without gradients
                module.requires_grad_(True)
        self.encodes, self.takes_missing = encoder.encodes, encoder.takes_missing
        self.normalized = norm.has_batch_norm(encoder)
        self.couples_rows = self.normalized and not self.frozen

    @property
    def code_space(self) -> Space:
        assert self.space.classes is not None
        return Space((self.space.classes,), "real")

    @property
    def _tuned(self) -> tuple[nn.Module, ...]:
        """The modules of the encoder that ``all`` moves, in the order in which x passes them."""
        return self.encoder.stack() or (self.encoder,)

    def stack(self) -> tuple[nn.Module, ...]:
        return (*self._tuned, self.head)

    @property
    def stages(self) -> tuple[Stage, ...]:
        first = [_of_encoder(stage) for stage in _solved_first(self.encoder)]
        return (*first, Solve("feature scale", _learn_scale), self._descent())

    def _descent(self) -> Descend:
        if self.frozen:
            head = Player("head", (self.head,), lr=ALONE)
            return Descend("linear probe", (head,), code=self._features_once)
        modules = self.stack()
        above = range(len(modules) - 1, -1, -1)  # layers between each of them and the logits
        rates = tuple(self.layer_decay**k for k in above)
        return Descend("fine-tuning", (Player("model", modules, rates=rates),))

    def train(self, mode: bool = True) -> Classifier:
        super().train(mode)
        if self.frozen:  # no dropout, and the statistics of batch normalization as they are
            self.encoder.eval()
        return self

    def loss(
        self,
        x: Tensor,
        c: Tensor | None = None,
        player: str = "model",
        target: Tensor | None = None,
    ) -> Loss:
        """The cross-entropy of the labels, and the share of them that another logit beats."""
        if not player.endswith(ENCODED):
            x, c = self.prepare(x, c)
            x = self._features(x)
        target = self._target(target, len(x))
        logits = self._logits(x)
        nats = F.cross_entropy(logits, target, reduction="none")
        terms = {"cross_entropy": nats, "error": (logits.argmax(1) != target).to(nats)}
        moved = self.couples_rows and self.training
        statistics = norm.statistics(self.encoder, len(x)) if moved else {}
        return Loss(nats.mean(), terms, statistics)

    def after_step(self, loss: Loss, player: str = "model") -> None:
        if loss.statistics:
            norm.after_step(self.encoder, loss.statistics)

    def encode(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """The logits of x, of which the largest is that of the class it seems to be of."""
        x, c = self.prepare(x, c, self.encodes)
        return self._logits(self._features(x))

    def log_class_probs(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """log p(y|x) of every class, (B, classes), in nats."""
        return self.encode(x, c).log_softmax(1)

    def _logits(self, features: Tensor) -> Tensor:
        return self.head(self.scale(features))

    def _features(self, x: Tensor) -> Tensor:
        asked = not self.frozen or x.requires_grad  # as by a map of what matters in x
        with torch.set_grad_enabled(torch.is_grad_enabled() and asked):
            return self._seen(self.encoder.encode(x))

    def _seen(self, code: Tensor) -> Tensor:
        """What the head sees of codes, (B, F)."""
        pools = self.features == "pooled" and self.encoder.code_space.kind == "real"
        return self.encoder.pooled(code) if pools else self.encoder.embed(code)

    def _features_once(self, x: Tensor) -> Tensor:
        return self._features(self.prepare(x)[0])

    def _width(self) -> int:
        code = torch.zeros(1, *self.encoder.code_space.shape).to(self.encoder.anchor)
        with torch.no_grad():
            return self._seen(code).shape[1]

    def _target(self, target: Tensor | None, rows: int) -> Tensor:
        if target is None:
            raise ValueError("target: expected the label of each row, got None")
        return check_labels(target, rows, self.space.classes, "target").to(self.anchor.device)


class FeatureScale(nn.Module):
    """s(h) = (h − m) / d, by the means and deviations of features over the training rows.

    Features that are constant there, but for rounding, keep their unit.

    Args:
        width: F.

    Shape: (B, F) → the same.

    >>> FeatureScale(2)(torch.ones(1, 2))
    tensor([[1., 1.]])
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))
        self.mean: Tensor
        self.deviation: Tensor

    def forward(self, features: Tensor) -> Tensor:
        return (features - self.mean) / self.deviation

    def learn(self, parts: Iterable[Tensor]) -> None:
        """Take mean and deviation of all rows, one pass over parts of them.

        Reference: Chan, Golub & LeVeque 1983, "Algorithms for computing the sample variance".
        """
        rows, mean, square = 0, torch.zeros(()), torch.zeros(())
        for part in parts:
            part = part.double()
            off, both = part.mean(0) - mean.to(part), rows + len(part)
            square = square.to(part) + part.var(0, unbiased=False) * len(part)
            square = square + off.square() * (rows * len(part) / both)
            mean = mean.to(part) + off * (len(part) / both)
            rows = both
        deviation = (square / rows).sqrt()
        varies = deviation > CONSTANT * mean.abs()
        self.mean.copy_(mean)
        self.deviation.copy_(torch.where(varies, deviation, 1.0))


def _checked(encoder: Encoder, classes: int | None) -> int:
    """How many classes there are; ValueError where no classifier can be made of an encoder."""
    if not isinstance(encoder, Encoder):
        raise ValueError(
            f"encoder: expected a model with codes, got {type(encoder).__name__}; take vae or mae"
        )
    if encoder.conditional:
        raise ValueError(
            f"encoder: expected an unconditional one, as labels must not be seen by what tells "
            f"them, got a conditional {type(encoder).__name__}; leave out conditional"
        )
    if classes is None:
        raise ValueError(
            "classes: expected data with class labels, got none; name their column, or use class "
            "folders"
        )
    return classes


def _solved_first(encoder: Encoder) -> list[Solve]:
    """What an encoder learns without gradients before its first step, as standardization."""
    found = []
    for stage in encoder.stages:
        if not isinstance(stage, Solve):
            break
        found.append(stage)
    return found


def _of_encoder(stage: Solve) -> Solve:
    """A stage of the encoder, which is left out where it brings what it learned."""

    def solve(model: Model, batches: Iterable[Batch]) -> None:
        assert isinstance(model, Classifier)
        if not model.trained:
            stage.solve(model.encoder, batches)

    return Solve(stage.name, solve)


@torch.no_grad()
def _learn_scale(model: Model, batches: Iterable[Batch]) -> None:
    assert isinstance(model, Classifier)
    model.encoder.eval()
    model.scale.learn(model._features_once(batch.x) for batch in batches)
    model.train(model.training)
