"""What a model cannot do, by what it is and what was measured of it."""

from __future__ import annotations

from collections.abc import Iterator

from reparam.evaluation.scores import Scores
from reparam.inspection import Classifies
from reparam.model import Codec, Density, Encoder, Generator, LatentVariable, Model

KINDS = {
    "lower bound": "log p(x) is a lower bound: the true value may be higher.",
    "estimate": "log p(x) is an estimate, neither exact nor a bound.",
}
SLOW = 10  # passes of a network for a draw, from which on it is said


def limits(model: Model, scores: Scores) -> Iterator[str]:
    """A sentence for each.

    >>> from reparam import Space, build
    >>> next(limits(build("ae", Space((9,), "real"), latent_dim=2), {}))
    'It has no likelihood: it cannot say how probable an x is.'
    """
    yield from _of_likelihood(model, scores)
    yield from _of_draws(model)
    yield from _of_codes(model)
    yield from _of_data(model)


def _of_likelihood(model: Model, scores: Scores) -> Iterator[str]:
    if not isinstance(model, Density):
        if not isinstance(model, Classifies):
            yield "It has no likelihood: it cannot say how probable an x is."
        return
    names = ("log_likelihood", "conditional_log_likelihood")
    known = next((scores[name] for name in names if name in scores), None)
    if known is not None and known.kind in KINDS:
        yield KINDS[known.kind]


def _of_draws(model: Model) -> Iterator[str]:
    if not isinstance(model, Generator):
        yield "It draws no new x."
    elif model.passes_per_draw >= SLOW:
        yield f"A draw takes {model.passes_per_draw:,} passes of its network, one after the other."


def _of_codes(model: Model) -> Iterator[str]:
    if not isinstance(model, Encoder):
        yield "It has no codes of given x."
        return
    if not isinstance(model, Codec):
        yield "It makes no x of its codes."
    elif isinstance(model, LatentVariable):
        yield "decode gives the mean of p(x|z), which is blurred where z leaves x open."
    elif model.code_space.dimension < model.space.dimension:
        yield "Reconstructions are means, and blurred where the code leaves x open."


def _of_data(model: Model) -> Iterator[str]:
    space = model.space
    if space.is_image:
        channels, height, width = space.shape
        of = {1: "gray", 3: "RGB"}.get(channels, f"of {channels} channels")
        yield f"It knows images of {height} × {width}, {of}, and no others."
    else:
        yield f"It knows rows of {space.dimension} entries in this order, and no others."
    if model.conditional:
        what = "labels" if space.attributes is None else "attributes"
        yield "It needs what is left of x." if space.given else f"It needs {what}, as in training."
    if not model.takes_missing:
        yield "It takes no missing values."
