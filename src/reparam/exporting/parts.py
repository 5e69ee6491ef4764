"""The functions of a model that become graphs, and what goes in and comes out of each."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from reparam import __version__
from reparam.inspection import Classifies
from reparam.model import Decoder, Density, Encoder, Model
from reparam.space import Column, Space

Part = Literal["encoder", "decoder", "density", "classes"]
Asked = Literal["encoder", "decoder", "density", "classes", "all"]
MISSING = {
    "encoder": "makes no codes; export a vae, an ae or pca",
    "decoder": "makes no x of codes; export a vae, an ae or pca",
    "density": "finds log p(x) by draws, or not at all; export pca, made, a pixel-cnn or a flow",
    "classes": "says no classes of x; export a classifier",
}


@dataclass(frozen=True)
class Function:
    """One function of a model, as the graph that it becomes.

    Args:
        part: which one.
        reads: the name of its input beside c.
        gives: the name of its output.
        space: of the input.
        returns: the space of the output; None for log-probabilities.
    """

    part: Part
    reads: str
    gives: str
    space: Space
    returns: Space | None = None


class Forward(nn.Module):
    """A method of a model as the ``forward`` of a module, which is what exporters take."""

    def __init__(self, model: Model, part: Part) -> None:
        super().__init__()
        self.model, self.part = model, part

    def forward(self, given: Tensor, c: Tensor | None = None) -> Tensor:
        model: Any = self.model
        if self.part == "encoder":
            return model.encode(given, c)
        if self.part == "decoder":
            return model.decode(given, c)
        if self.part == "classes":
            return model.log_class_probs(given, c)
        return model.log_prob(given, c).value


def functions_of(model: Model, asked: Asked = "all") -> list[Function]:
    """What of a model becomes a graph.

    Raises:
        ValueError: an unknown part, one that this model does not have, or a model that has none.

    >>> import reparam as rp
    >>> model = rp.build("vae", rp.Space((9,), "binary"))
    >>> [(f.part, f.reads, f.gives) for f in functions_of(model)]
    [('encoder', 'x', 'z'), ('decoder', 'z', 'x')]
    """
    if asked not in get_args(Asked):
        raise ValueError(f"part: expected {', '.join(get_args(Asked))}, got {asked!r}")
    there = {function.part: function for function in _all_of(model)}
    name = type(model).__name__
    if asked != "all":
        if asked not in there:
            raise ValueError(f"part: {name} {MISSING[asked]}")
        return [there[asked]]
    if not there:
        raise ValueError(
            f"model: {name} has neither codes nor log p(x) without draws, so that there is nothing "
            "to export; export a vae, an ae, pca or a flow"
        )
    return list(there.values())


def _all_of(model: Model) -> list[Function]:
    x = model.space
    found = []
    if isinstance(model, Encoder):
        found.append(Function("encoder", "x", "z", x, model.code_space))
    if isinstance(model, Decoder):
        found.append(Function("decoder", "z", "x", model.code_space, x))
    if isinstance(model, Density) and not model.log_prob_draws and exact(model):
        found.append(Function("density", "x", "log_p", x))
    if isinstance(model, Classifies):
        found.append(Function("classes", "x", "log_class_probs", x))
    return found


def exact(model: Density) -> bool:
    """Whether log p(x) is one pass that draws nothing: no chain, no solver of an ODE.

    >>> import reparam as rp
    >>> space = rp.Space((9,), "real")
    >>> exact(rp.build("pca", space)), exact(rp.build("score-sde", space))
    (True, False)
    """
    return model.approximation == "tractable" and model.log_partition is None


def metadata(model: Model, function: Function) -> dict[str, str]:
    """What a file says of itself: how the model was built, and what its inputs have to be."""
    recipe = model.recipe or {"preset": None, "parameters": {}}
    missing = function.reads == "x" and model.takes_missing
    told = {
        "library": "reparam",
        "version": __version__,
        "part": function.part,
        "preset": recipe["preset"] or type(model).__name__,
        "parameters": json.dumps(recipe["parameters"], default=str),
        "space": json.dumps(asdict(model.space)),
        "kind": model.space.kind,
        f"input {function.reads}": describe(function.space, missing),
        f"output {function.gives}": _output(model, function),
        "checks": "none: what its inputs are not, as a label out of range, goes through",
    }
    if model.space.level_count is not None:
        told["levels"] = str(model.space.level_count)
    if model.class_names is not None:
        told["class_names"] = json.dumps(list(model.class_names))
    if model.conditional:
        told["input c"] = describe_condition(model)
    return told


def _output(model: Model, function: Function) -> str:
    if function.part == "density":
        unit = "in nats, of each row"
        continuous = model.space.kind in ("real", "mixed")
        return f"log p(x) {unit}" + (", a density in the columns that are real" * continuous)
    if function.part == "classes":
        return "log p(class | x) in nats, a column for each class"
    assert function.returns is not None
    if function.part == "decoder":
        return f"the mean of x given z, in the units of the data; {_shape(function.returns)}"
    return f"the code of x, its mean where q(z|x) has one; {_shape(function.returns)}"


def describe(space: Space, missing: bool = False) -> str:
    """What the entries of a tensor have to be, in a sentence.

    >>> describe(Space((1, 8, 8), "levels", 17))
    'shape (batch, 1, 8, 8), whole numbers 0 … 16'
    """
    if space.columns:
        words = ", ".join(f"{c.name} ({c.kind})" for c in space.columns)
    elif space.level_count is not None:
        words = f"whole numbers 0 … {space.level_count - 1}"
    else:
        words = "finite numbers"
    return f"{_shape(space)}, {words}{', or NaN where they are missing' if missing else ''}"


def describe_condition(model: Model) -> str:
    """What c has to be, in a sentence."""
    space = model.space
    if space.given is not None:
        return f"what is left of x ({space.given}), in the units of the data"
    if space.attributes is not None:
        return f"shape (batch, {space.attributes}): attributes, finite numbers"
    return f"shape (batch,): labels, whole numbers 0 … {(space.classes or 1) - 1} (int64)"


def _shape(space: Space) -> str:
    return f"shape (batch, {', '.join(map(str, space.shape))})"


def trial_rows(space: Space, n: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    """n rows of a space at random: what graphs are tried on.

    >>> trial_rows(Space((2,), "binary"), 3).unique().tolist()
    [0.0, 1.0]
    """
    if space.columns:
        columns = [_trial_column(c, n, dtype, seed + i) for i, c in enumerate(space.columns)]
        return torch.stack(columns, 1)
    generator = torch.Generator().manual_seed(seed)
    if space.level_count is None:
        return torch.randn(n, *space.shape, generator=generator, dtype=dtype)
    drawn = torch.randint(space.level_count, (n, *space.shape), generator=generator)
    return drawn.to(dtype)


def _trial_column(column: Column, n: int, dtype: torch.dtype, seed: int) -> Tensor:
    one = Space((1,), "real") if column.count is None else Space((1,), "levels", column.count)
    drawn = trial_rows(one, n, dtype, seed)[:, 0]
    return drawn.exp() if column.kind == "log" else drawn + column.low
