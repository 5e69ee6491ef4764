"""The lines of Python that use a published model, of what it can do."""

from __future__ import annotations

from collections.abc import Iterator

from reparam.hub.published import Published
from reparam.inspection import Classifies
from reparam.model import Codec, Density, Encoder, Generator
from reparam.space import Space


def snippet(run: Published, name: str | None) -> str:
    """Python that runs as it stands, once the model is where ``name`` says."""
    place = f"hf:{name}" if name else "."
    given = "" if run.preset else ", model=model"
    lines = ["import reparam as rp", ""]
    if given:
        lines.append(f"# model: your own {run.label}, built as it was for training")
    lines.append(f'model = rp.load("{place}"{given})')
    return "\n".join([*lines, *_uses(run)])


def _uses(run: Published) -> Iterator[str]:
    model, shape = run.model, ", ".join(map(str, run.data.space.shape))
    if isinstance(model, Generator):
        yield f"samples = model.sample(16)  # (16, {shape})"
    asks = isinstance(model, Density | Encoder | Classifies)
    if not asks or (model.conditional and not run.public and not isinstance(model, Generator)):
        return
    told = model.conditional and model.space.given is None
    yield from _examples(run, told)
    if isinstance(model, Encoder):
        yield f"code = model.encode(x{', c' if told else ''})"
    if isinstance(model, Codec):
        yield f"again = model.decode(code{', c' if told or model.conditional else ''})"
    if isinstance(model, Density):
        samples = ", samples=100" if model.log_prob_draws else ""
        yield f"log_p = model.log_prob(x{', c' if told else ''}{samples}).value  # nats, (8,)"
    if isinstance(model, Classifies):
        yield "log_class_probs = model.log_class_probs(x)  # nats, (8, classes)"


def _examples(run: Published, told: bool) -> Iterator[str]:
    """x, and c where the model is told one."""
    model, source = run.model, run.recipe.get("source")
    if run.public:
        others = {k: v for k, v in run.recipe.items() if k != "source"}
        options = "".join(f", {k}={v!r}" for k, v in others.items())
        yield f"test = rp.load_data({source!r}{options}).test"
        yield "x = test.x[:8]"
        if told:
            yield f"c = test.{'labels' if model.space.attributes is None else 'attributes'}[:8]"
    elif isinstance(model, Generator):
        if told:
            yield "c = model.draw_condition(8)  # in place of yours"
            yield "x = model.sample(8, c)  # in place of yours"
        else:
            yield "x = model.sample(8)  # in place of yours"
    else:
        yield "import torch"
        yield ""
        yield "x = torch.zeros(8, *model.space.shape)  # in place of yours"
    if model.conditional and not told:
        yield "c = model.told(x, None)  # what is left of x"


def units(space: Space) -> str:
    """In which units x goes in and comes out."""
    if space.columns:
        return (
            "x is in the data's own units: a column holds numbers, flags of 0 and 1, or the "
            "number of a name; config.json has the columns in their order."
        )
    if space.kind == "real":
        return "x is in the data's own units: scaling happens inside the model."
    top = 1 if space.kind == "binary" else (space.levels or 1) - 1
    return f"x holds whole numbers from 0 to {top}: scaling happens inside the model."
