"""draw: a diagram of a model, or all that it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from reparam.diagrams.blocks import network_of
from reparam.diagrams.canvas import Canvas, Diagram
from reparam.diagrams.gradients import reparameterization_of
from reparam.diagrams.graphical import graph_of
from reparam.diagrams.masks import network_in, order_of
from reparam.model import LatentVariable, Model
from reparam.wording import did_you_mean

What = Literal["graph", "network", "mask", "reparameterization", "all"]


def draw(model: Model, what: What = "graph") -> Diagram:
    """A diagram of what a model is, drawn from the model: an SVG that notebooks show.

    Args:
        model: of any family, trained or not.
        what: ``"graph"``, the variables and what depends on what; ``"network"``, its blocks with
            the shapes that pass through them; ``"mask"``, what each entry sees in an autoregressive
            network; ``"reparameterization"``, how z is drawn and where gradients flow; ``"all"``,
            those of them that it has.

    Returns:
        What has ``save(path)``.

    Raises:
        ValueError: something that there is not, or that this model does not have.

    >>> import reparam as rp
    >>> model = rp.build("vae", rp.Space((1, 8, 8), "binary"), latent_dim=4)
    >>> "encoder" in str(draw(model, "network"))
    True
    """
    kinds = get_args(What)
    if what not in kinds:
        meant = did_you_mean(str(what), kinds)
        raise ValueError(f"what: expected {', '.join(kinds)}, got {what!r}{meant}")
    known = _known(model)
    name = type(model).__name__
    if what == "all":
        canvas = Canvas()
        for make in known.values():
            canvas.below(make())
        return canvas.diagram(f"Diagrams of {name}: {', '.join(known)}")
    if what not in known:
        has = ", ".join(known)
        raise ValueError(f"what: {name} has no {what}; choose one of {has}, or all")
    return known[what]().diagram(f"{what} of {name}")


def _known(model: Model) -> dict[str, Callable[[], Canvas]]:
    """By name what can be drawn of a model."""
    found: dict[str, Callable[[], Canvas]] = {
        "graph": lambda: graph_of(model),
        "network": lambda: network_of(model),
    }
    if network_in(model) is not None:
        found["mask"] = lambda: order_of(model)
    if isinstance(model, LatentVariable):
        found["reparameterization"] = lambda: reparameterization_of(model)
    return found
