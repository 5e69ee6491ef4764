"""Decoders as short programs that a web page runs without a server."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.module_tracker import ModuleTracker

from reparam.explore.operations import HANDLERS, KEPT
from reparam.explore.reuse import needed, shared
from reparam.explore.storage import stored
from reparam.explore.tracing import SERVE, Tracer
from reparam.model import Decoder, Model

MOST_OPERATIONS = 4000  # of a decode: what goes through x entry by entry has more


@dataclass(frozen=True)
class Program:
    """What a page needs to decode: steps, and the numbers they are made with.

    Args:
        header: steps, buffers and shapes, as ``engine.js`` reads them; it can be written as JSON.
        blob: the constants, most of them in half precision.
        products: multiplications and additions of matrices and convolutions in one decode.
        weights: how many numbers there are in them.

    >>> import reparam as rp
    >>> model = rp.build("vae", rp.Space((9,), "binary"), latent_dim=2, hidden=(4,))
    >>> program = program_of(model)
    >>> program.products, program.weights  # 2 × 4 + 4 × 9
    (44, 44)
    >>> [step[0] for step in program.header["steps"]]
    ['linear', 'map', 'linear', 'map']
    """

    header: Mapping[str, Any]
    blob: bytes
    products: int
    weights: int

    @property
    def json(self) -> str:
        return json.dumps(self.header, separators=(",", ":"))

    @property
    def base64(self) -> str:
        return base64.b64encode(self.blob).decode("ascii")


def engine() -> str:
    """The source of ``engine.js``, which defines the class ``Program`` of the page."""
    return files("reparam.explore").joinpath("engine.js").read_text(encoding="utf-8")


def program_of(model: Model) -> Program:
    """``model.decode`` of one code, and of one condition where the model takes any.

    Weights of linear maps, convolutions and embeddings are rounded to half precision, with a power
    of two for each output that would leave its range; all other numbers keep float32 at least.

    Args:
        model: a ``Decoder`` whose ``decode`` consists of operations that the page knows.

    Raises:
        ValueError: no decoder, or one with a part that the page cannot run, which is named.
    """
    name = type(model).__name__
    if not isinstance(model, Decoder):
        raise ValueError(
            f"model: expected one that decodes codes, as vae, ae or pca, got {name}; {SERVE}"
        )
    training = model.training
    model.eval()
    try:
        graph = _graph_of(model)
        tracer = Tracer(graph, HANDLERS)
        with torch.no_grad():
            output = tracer.run()
    finally:
        model.train(training)
    return _program(model, tracer, output)


def _program(model: Decoder, tracer: Tracer, output: int) -> Program:
    """What was traced, in as few numbers and buffers as it needs."""
    steps = needed(tracer.steps, output)
    read = {buffer for step in steps for buffer in step[2]} | {output}
    constants = {at: made for at, made in tracer.constants.items() if at in read}
    own = [*tracer.inputs, *constants, output]
    places = shared(steps, tracer.buffers, own)
    buffers = {places[at]: tracer.buffers[at] for at in places}
    blob, entries = stored({places[at]: made for at, made in constants.items()})
    inputs = [places[at] for at in tracer.inputs]
    header = {
        "code": {"buffer": inputs[0], "shape": list(model.code_space.shape)},
        "condition": _condition(model, inputs[1] if len(inputs) > 1 else None),
        "output": {"buffer": places[output], "shape": list(model.space.shape)},
        "buffers": [list(buffers[at]) for at in range(len(buffers))],
        "constants": entries,
        "steps": [
            [name, places[out], [places[at] for at in reads], p] for name, out, reads, p in steps
        ],
    }
    weights = sum(made.value.numel() for made in constants.values() if made.weight)
    return Program(header, blob, tracer.products, weights)


def _condition(model: Decoder, buffer: int | None) -> dict[str, Any] | None:
    if not model.conditional or buffer is None:
        return None
    if model.space.attributes is not None:
        return {"buffer": buffer, "kind": "attributes", "count": model.space.attributes}
    return {"buffer": buffer, "kind": "label", "count": model.space.classes}


class _Decoding(nn.Module):
    def __init__(self, model: Decoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, code: Tensor, c: Tensor | None = None) -> Tensor:
        return self.model.decode(code, c)


class _Counting(TorchDispatchMode):
    """Stops what takes too many operations, and says in which part it was."""

    def __init__(self, tracker: ModuleTracker) -> None:
        super().__init__()
        self.tracker, self.count = tracker, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        if self.count > MOST_OPERATIONS:
            part = max(self.tracker.parents - {"Global"}, key=len, default="decode")
            raise ValueError(
                f"model: expected a decode of at most {MOST_OPERATIONS} operations in a page, got "
                f"more, the last of them in {part.removeprefix('_Decoding.model.')}; {SERVE}"
            )
        return func(*args, **(kwargs or {}))


def _refuse_walks(model: Decoder, code: Tensor, c: Tensor | None) -> None:
    """ValueError of decoders of very many operations, before their graph takes minutes."""
    with ModuleTracker() as tracker, _Counting(tracker):
        _Decoding(model)(code, c)


def _graph_of(model: Decoder) -> ExportedProgram:
    """``decode`` as a graph of ATen operations, those that are kept whole in ``KEPT``."""
    indices = model.code_space.kind == "levels"
    code = model.anchor.new_zeros((1, *model.code_space.shape))
    c = None
    if model.conditional and model.space.attributes is not None:
        precise = code.device.type != "mps"  # which has no float64
        c = torch.zeros(1, model.space.attributes, device=code.device)
        c = c.double() if precise else c
    elif model.conditional:
        c = torch.zeros(1, dtype=torch.int64, device=code.device)
    code = code.long() if indices else code
    table = torch.export.default_decompositions()
    for operation in list(table):
        if operation.name().removeprefix("aten::").split(".")[0] in KEPT:
            table.pop(operation)
    try:
        with torch.no_grad():
            _refuse_walks(model, code, c)
            exported = torch.export.export(_Decoding(model), (code, c), strict=False)
            return exported.run_decompositions(table)
    except ValueError:
        raise
    except Exception as error:
        first = str(error).strip().split("\n")[0]
        raise ValueError(
            f"model: {type(model).__name__}.decode has no fixed graph ({first}); {SERVE}"
        ) from error
