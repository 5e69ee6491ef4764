"""The regression of x on what is left of it: the mean of all that x may have been."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reparam.bijections.units import Units
from reparam.degradation import Degradation
from reparam.model import Generator, Loss, Space, Stage
from reparam.models.conditional import Conditional


class Regression(Conditional, Generator):
    """x̂ = x₀ + f(y), trained on ‖x − x̂‖²: E[x|y] at the optimum, and blurred where x may differ.

    x₀ is the image nearest to the mean of the training data of which y is left. It has no noise:
    its draws given y are all alike, so that it is the reference for models that draw.

    Args:
        space: what x is, without columns of names.
        network: from what is seen of y (B, *context) to (B, *shape), in the units of networks.
        given: the degradation whose y is given.

    Shape: x (B, *space.shape), y (B, *given.given).

    Likelihood: none.

    Cost: one pass of the network.

    Reference: Dong et al. 2014, "Learning a deep convolutional network for image super-resolution",
    eq. 4; Kim et al. 2016, "Accurate image super-resolution using very deep convolutional
    networks", section 3.2, for what is added to x₀.
    https://arxiv.org/abs/1501.00092, https://arxiv.org/abs/1511.04587

    >>> import reparam as rp
    >>> space = rp.Space((1, 8, 8), "levels", levels=17)
    >>> model = rp.build("regression", space, given="downscale:2")
    >>> model.sample(3, torch.full((3, 1, 4, 4), 5.0)).shape
    torch.Size([3, 1, 8, 8])
    """

    def __init__(self, space: Space, network: nn.Module, given: Degradation) -> None:
        super().__init__(space, given=given)
        self.network, self.units = network, Units(space, dequantized=False)

    @property
    def stages(self) -> tuple[Stage, ...]:
        return (*self.units.stages, *self.condition_stages, *super().stages)

    @property
    def counted(self) -> int:
        return self.units.counted

    def loss(self, x: Tensor, c: Tensor | None = None, player: str = "model") -> Loss:
        x, c = self.prepare(x, c)
        assert c is not None
        error = (self.seen(x) - self._estimate(c)).square().flatten(1).sum(1)
        return Loss(error.mean(), {"squared_error": error})

    def expected(self, c: Tensor) -> Tensor:
        """x̂ of y (B, *given), in data units and not rounded."""
        y = self._condition(c, len(c))
        assert y is not None
        return self.keep_given(self.units.mean(self._estimate(y)), y)

    def draw(self, n: int, c: Tensor | None, generator: torch.Generator | None) -> Tensor:
        assert c is not None
        return self.keep_given(self.units.back(self._estimate(c)), c)

    def seen(self, x: Tensor) -> Tensor:
        return self.units(x, middle=True)[0].to(self.anchor.dtype)

    def _estimate(self, c: Tensor) -> Tensor:
        assert self.degradation is not None
        context = self.network_condition(c)
        nearest = context[:, : self.space.shape[0]]
        return self.units.entries(nearest + self.network(context).to(self.anchor.dtype))
