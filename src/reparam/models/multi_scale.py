"""Images on several scales: a small one, then ever larger ones that keep its pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from reparam import numerics
from reparam.chain_rule import ChainRule
from reparam.distributions.scales import Scales
from reparam.model import (
    Batch,
    Completer,
    Descend,
    LogProb,
    Loss,
    Model,
    Solve,
    Stage,
)
from reparam.models.autoregressive import Autoregressive, completed, late, refuse_late
from reparam.space import as_tensor

HALVED = "subsample:2"  # what each scale is given of itself: the scale before it


class MultiScaleAutoregressive(ChainRule, Completer):
    """p(x) = p(x₁) Π_k p(x_k | x_{k−1}), with x_{k−1} every second pixel of x_k either way.

    The pixels of a scale are part of the next one and are not coded again, so that every pixel has
    one factor: the product is a density of x, as exact as its parts. (In the paper the conditional
    network draws the large image anew, which gives no such product.) All scales are trained at
    once, on the sum of their losses, with no weight in common.

    Args:
        scales: autoregressive models of x₁, which may be conditional on labels or attributes, and
            of ever larger images, each with ``given`` the degradation ``subsample:2`` of itself.
            Of a condition c the larger ones know what x₁ says of it, p(x|c) = p(x₁|c) Π p(x_k|…).

    Shape: x (B, *scales[-1].space.shape), side n of x_k as ⌈n/2⌉ of x_{k−1}.

    Likelihood: exact if the conditionals are. ``per_dimension`` is the factor of each pixel where
        the pixel is. Each scale of real data is standardized by its own pixels; every factor is
        a density in the units of x, as the scale is counted at the pixels that it codes.

    Cost: a pass at each scale, together at most 4/3 of one over x; draws likewise.

    Reference: van den Oord et al. 2016, "Pixel recurrent neural networks", section 3.6. That pixels
    of a finer scale depend on each other sets it apart from Reed et al. 2017, "Parallel multiscale
    autoregressive density estimation", which draws most of them at once.
    https://arxiv.org/abs/1601.06759, https://arxiv.org/abs/1703.03664

    >>> import reparam as rp
    >>> model = rp.build("multi-scale-pixel-cnn", rp.Space((1, 2, 2), "binary"), width=4, layers=0)
    >>> [scale.space.shape for scale in model.scales], model.counted
    ([(1, 2, 2)], 4)
    """

    def __init__(self, scales: Sequence[Autoregressive]) -> None:
        first, last = scales[0], scales[-1]
        super().__init__(replace(first.space, shape=last.space.shape))
        _refuse_unlinked(scales)
        self.scales = nn.ModuleList(scales)
        self.conditional = first.conditional
        for scale in scales[1:]:  # there is always a y: none is to be drawn from training
            scale.told_of.rows = scale.told_of.rows[:1]

    @property
    def counted(self) -> int:
        return sum(scale.counted for scale in self._scales)

    @property
    def stages(self) -> tuple[Stage, ...]:
        solves = (
            _at(scale, self._factor(k), stage)
            for k, scale in enumerate(self._scales)
            for stage in scale.stages
            if isinstance(stage, Solve)
        )
        return (*solves, Descend())

    @property
    def class_frequencies(self) -> Tensor | None:
        return self._scales[0].class_frequencies

    def draw_condition(self, n: int, generator: torch.Generator | None = None) -> Tensor | None:
        return self._scales[0].draw_condition(n, generator)

    def loss(self, x: Tensor, c: Tensor | None = None, player: str = "model") -> Loss:
        x, c = self.prepare(x, c)
        losses = [scale(own, told, player) for scale, own, told in self._of_scales(x, c)]
        nll = torch.stack([loss.terms["nll"] for loss in losses]).sum(0)
        return Loss(nll.mean(), {"nll": nll})

    def density(
        self, x: Tensor, c: Tensor | None, samples: int, generator: torch.Generator | None
    ) -> LogProb:
        value, terms = x.new_zeros(()), None
        for scale, own, told in self._of_scales(x, c):
            found = scale.density(own, told, samples, generator)
            assert found.per_dimension is not None and found.kind == "exact"
            value = value + found.value
            terms = found.per_dimension + (0 if terms is None else _spread(terms, own))
        return LogProb(value, "exact", per_dimension=terms)

    def distribution(self, rows: int, c: Tensor | None = None) -> Scales:
        first, *others = self._scales
        return Scales(first.distribution(rows, c), tuple(others))

    def draw(self, n: int, c: Tensor | None, generator: torch.Generator | None) -> Tensor:
        first, *others = self._scales
        x = first.draw(n, c, generator)
        for scale in others:
            x = scale.keep_given(scale.draw(n, x, generator), x)
        return x

    def complete(
        self,
        x: Tensor,
        mask: Tensor,
        c: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """x with the entries outside ``mask`` drawn anew, scale by scale, in each in its order.

        As of one autoregressive model this is a draw of p(rest | given) where the given entries
        come first in that order, as the pixels of a smaller image do; elsewhere a given entry acts
        on the entries after it only.

        Args:
            x: (B, *shape); the entries outside the mask are not looked at.
            mask: bool, (*shape) or (B, *shape): the entries that are given; they stay bit for bit.
            c: labels, for a conditional model.
            generator: of the draws.

        Raises:
            ValueError: the mask is not bool, or of another shape.
        """
        x = as_tensor(x)
        given, held, c = self.prepare_given(x, mask, c)
        drawn = c
        for k, scale in enumerate(self._scales):
            own, known = (_every(part, self._factor(k)) for part in (given, held))
            if k and scale.degradation is not None:
                known = known | scale.degradation.known
            own = scale.keep_given(own, drawn)
            drawn = scale.complete(own, known, drawn, generator=generator)
        assert drawn is not None
        return completed(x, as_tensor(mask, "mask").to(drawn.device), drawn, self.space)

    def refuse_given(self, given: Tensor) -> None:
        given, varies = given.flatten(1), self._scales[-1].standardize.varies
        if varies is not None:  # a constant is known
            given = given | ~varies.flatten().to(given.device)
        refuse_late(late(given, self.ranks), self.space)

    @property
    def ranks(self) -> Tensor:
        """When each entry of x, flattened, comes: those of the smallest image first."""
        first, *others = self._scales
        found = first.network.ranks_of().view(first.space.shape)
        for scale in others:
            own = scale.network.ranks_of().view(scale.space.shape) + found.max() + 1
            own[..., ::2, ::2] = found
            found = own
        return found.flatten().argsort().argsort()  # without gaps

    @property
    def _scales(self) -> list[Autoregressive]:
        return [cast(Autoregressive, scale) for scale in self.scales]

    def _factor(self, k: int) -> int:
        """The n of which every n-th pixel of x is one of x_k."""
        return int(2 ** (len(self.scales) - 1 - k))

    def _of_scales(
        self, x: Tensor, c: Tensor | None
    ) -> Iterator[tuple[Autoregressive, Tensor, Tensor | None]]:
        """Each scale, its image and what is given of that."""
        for k, scale in enumerate(self._scales):
            own = _every(x, self._factor(k))
            yield scale, own, _every(own, 2) if k else c


def sides_of_scales(sides: tuple[int, int], scales: int | None) -> list[tuple[int, int]]:
    """Height and width at each scale, the smallest first.

    Args:
        sides: of the largest.
        scales: how many; None: halved as long as no side gets shorter than 4 pixels.

    Raises:
        ValueError: more than can be halved.

    >>> sides_of_scales((28, 28), None)
    [(7, 7), (14, 14), (28, 28)]
    >>> sides_of_scales((4, 9), 4)
    Traceback (most recent call last):
    ValueError: scales: expected at most 3 of images of 4 x 9, got 4
    """
    found = [sides]
    while min(found[0]) >= (8 if scales is None else 2) and len(found) != scales:
        height, width = found[0]
        found.insert(0, (-(-height // 2), -(-width // 2)))
    if scales is not None and len(found) < scales:
        height, width = sides
        most = len(found)
        raise ValueError(
            f"scales: expected at most {most} of images of {height} x {width}, got {scales}"
        )
    return found


def _refuse_unlinked(scales: Sequence[Autoregressive]) -> None:
    if scales[0].degradation is not None:
        raise ValueError("scales: expected a first one to which nothing of x is given")
    if not scales[0].space.is_image:
        raise ValueError(f"scales: expected models of images, got one of {scales[0].space.shape}")
    for small, large in zip(scales, scales[1:], strict=False):
        given, wanted = large.degradation, small.space.shape
        if given is None or (given.name, given.given) != (HALVED, wanted):
            raise ValueError(
                f"scales: expected one with given={HALVED} of shape {wanted} behind that one, got "
                f"{large.space.shape} with {None if given is None else given.name}"
            )
    if any(scale.network.members > 1 for scale in scales):
        raise ValueError("scales: expected networks of one order each, got an ensemble")


def _every(x: Tensor, factor: int) -> Tensor:
    return x[..., ::factor, ::factor].contiguous()


def _spread(small: Tensor, like: Tensor) -> Tensor:
    """Values of every second pixel where these are, 0 elsewhere."""
    large = small.new_zeros(like.shape)
    large[..., ::2, ::2] = small
    return large


class _Smaller:
    """Batches of one scale, cut anew in every pass."""

    def __init__(self, batches: Iterable[Batch], factor: int, told: bool) -> None:
        self.batches, self.factor, self.told = batches, factor, told

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.batches:
            yield Batch(_every(batch.x, self.factor), batch.c if self.told else None)


def _at(scale: Autoregressive, factor: int, stage: Solve) -> Solve:
    """A stage of one scale as one of the whole."""
    solve, labeled = stage.solve, scale.degradation is None
    height, width = scale.space.shape[1:]

    def at_scale(model: Model, batches: Iterable[Batch]) -> None:
        smaller = _Smaller(batches, factor, labeled)
        if factor > 1 and scale.space.kind == "real":
            _refuse_constant(smaller, height, width)
        solve(scale, smaller)

    return Solve(f"{stage.name} at {height} x {width}", at_scale)


def _refuse_constant(smaller: Iterable[Batch], height: int, width: int) -> None:
    """That is not to be said of all training data."""
    if numerics.constant_entries(batch.x for batch in smaller)[1].all():
        raise ValueError(
            f"scales: the {height} x {width} pixels of the smallest image are the same in every "
            "training row, so that nothing can be learned of them; take fewer scales"
        )
