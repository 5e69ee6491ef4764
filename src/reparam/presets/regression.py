"""The regression of x on what is left of it."""

from __future__ import annotations

from typing import Annotated, Literal

from reparam import nets
from reparam.batching import convolved
from reparam.limits import Count
from reparam.model import Space
from reparam.models.conditional import context_space
from reparam.models.regression import Regression
from reparam.nets.unet import Restorer
from reparam.presets.given import degraded
from reparam.presets.registry import PURE, Accepts, preset

FAMILY = "Regression"
OBJECTIVE = "min ‖x − x̂(y)‖²"


@preset(
    "regression",
    paper="Dong et al. 2014, Learning a deep convolutional network for image super-resolution",
    small={"hidden": (8,), "network": "mlp"},
    when="The blurred reference of restoring: the mean of all that x may have been.",
)
def regression(
    space: Annotated[Space, Accepts(PURE, vectors=False)],
    *,
    given: str = "downscale:2",
    network: Literal["auto", "mlp", "unet"] = "auto",
    hidden: tuple[Count, ...] = (512, 256),
    width: Count = 32,
) -> Regression:
    """A network that is trained on the squared error of x given what is left of it.

    Args:
        given: what is left of x: downscale:FACTOR, subsample:FACTOR, gray,
            mask:FILE|square|half|random or blur:WIDTH.
        network: fully connected, a U-Net, or by the size of the data.
        hidden: widths of the hidden layers of the fully connected one; () is linear.
        width: channels of the U-Net on its finest grid.
    """
    degradation = degraded(given, space)
    seen = context_space(space, degradation).given
    assert seen is not None
    if network == "auto":
        network = "unet" if convolved(space) else "mlp"
    if network == "mlp":
        return Regression(space, nets.encoder(seen, space.shape, hidden, "mlp"), degradation)
    return Regression(space, Restorer(space.shape, width, seen), degradation)
