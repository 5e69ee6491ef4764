"""Decoders as short programs that a web page runs without a server."""

from __future__ import annotations

import base64
import inspect
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.utils._python_dispatch import TorchDispatchMode

from reparam.evaluation.modes import evaluating
from reparam.explore.operations import HANDLERS, KEPT
from reparam.explore.reuse import needed, shared
from reparam.explore.storage import stored
from reparam.explore.tracing import SERVE, Tracer, Unknown
from reparam.model import Decoder, Model

Inputs = tuple[Tensor, Tensor | None]
PRODUCTS = ("linear", "conv", "matmul")
# Both measured by benchmarks/explore.py.
PRODUCTS_PER_MS, ENTRIES_PER_MS = 1_000_000, 200_000
SLOW = 150.0  # milliseconds beyond which a drag over the map is not followed any more
MOST_OPERATIONS = 2000  # of a decode: what goes through x entry by entry has more


@dataclass(frozen=True)
class Program:
    """What a page needs to decode: steps, and the numbers they are made with.

    Args:
        header: steps, buffers and shapes, as ``engine.js`` reads them; it can be written as JSON.
        blob: the constants, most of them in half precision.
        products: multiplications and additions of matrices and convolutions in one decode.
        entries: numbers that all other steps write in one.
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
    entries: int
    weights: int

    @property
    def milliseconds(self) -> float:
        """About what a decode takes in a browser on an idle machine."""
        return self.products / PRODUCTS_PER_MS + self.entries / ENTRIES_PER_MS

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
    with evaluating([model]):
        inputs = _inputs(model)
        _run_through(model, inputs)  # before the graph of a long walk takes minutes
        tracer = Tracer(_graph_of(model, inputs), HANDLERS)
        try:
            output = tracer.run()
        except Unknown as unknown:
            part = unknown.part or _run_through(model, inputs, unknown.operation)
            raise ValueError(
                "model: expected a decoder of operations that a page can run, got "
                f"{unknown.operation} in {part}; {SERVE}"
            ) from None
    return _program(model, tracer, output)


def _program(model: Decoder, tracer: Tracer, output: int) -> Program:
    """What was traced, in as few numbers and buffers as it needs."""
    steps = needed(tracer.steps, output)
    read = {buffer for step in steps for buffer in step[2]} | {output}
    constants = {at: made for at, made in tracer.constants.items() if at in read}
    own = list(dict.fromkeys([*tracer.inputs, *constants, output]))
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
    sizes = [tracer.buffers[out][0] for name, out, _, _ in steps if name not in PRODUCTS]
    weights = sum(made.value.numel() for made in constants.values() if made.weight)
    return Program(header, blob, tracer.products, sum(sizes), weights)


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


class _Found(Exception):
    """An operation has been run."""


class _Watch(TorchDispatchMode):
    """Stops what takes too many operations, or one of them, and says which part of a model runs it.

    Parts whose methods are called by other names than ``forward`` stand in no graph.
    """

    def __init__(self, model: Model, stop: str) -> None:
        super().__init__()
        self.parts = {id(part): (name, part) for name, part in model.named_modules() if name}
        self.stop, self.count = stop, 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        self.count += 1
        if str(func).split(".")[1] == self.stop:
            raise _Found(self._running())
        if self.count > MOST_OPERATIONS:
            raise ValueError(
                f"model: expected a decode of at most {MOST_OPERATIONS} operations in a page, got "
                f"more, the last of them in {self._running()}; {SERVE}"
            )
        return func(*args, **(kwargs or {}))

    def _running(self) -> str:
        """The part whose method is being run, innermost."""
        frame = inspect.currentframe()
        while frame is not None:
            name, part = self.parts.get(id(frame.f_locals.get("self")), ("", None))
            if part is not None:
                return f"{name} ({type(part).__name__})"
            frame = frame.f_back
        return "the model's decode"


def _run_through(model: Decoder, inputs: Inputs, stop: str = "") -> str:
    """The part that first runs an operation, if ``decode`` runs it by this name."""
    try:
        with _Watch(model, stop):
            model.decode(*inputs)
    except _Found as found:
        return str(found)
    except NotImplementedError as error:  # of branches and loops inside a graph, before any is run
        raise ValueError(
            f"model: {type(model).__name__}.decode has no fixed graph (it branches); {SERVE}"
        ) from error
    return "the model's decode"


def _inputs(model: Decoder) -> Inputs:
    """One code and one condition."""
    code = model.anchor.new_zeros((1, *model.code_space.shape))
    code = code.long() if model.code_space.kind == "levels" else code
    if not model.conditional:
        return code, None
    if model.space.attributes is None:
        return code, torch.zeros(1, dtype=torch.int64, device=code.device)
    wide = torch.float32 if code.device.type == "mps" else torch.float64  # which it has not
    return code, torch.zeros(1, model.space.attributes, dtype=wide, device=code.device)


def _graph_of(model: Decoder, inputs: Inputs) -> ExportedProgram:
    """``decode`` as a graph of ATen operations, those of ``KEPT`` whole."""
    table = torch.export.default_decompositions()
    for operation in list(table):
        if operation.name().removeprefix("aten::").split(".")[0] in KEPT:
            table.pop(operation)
    try:
        with warnings.catch_warnings():
            # torch copies its own graph by a name that it has deprecated: nobody here can mend it.
            warnings.filterwarnings("ignore", "`isinstance.treespec, LeafSpec", FutureWarning)
            exported = torch.export.export(_Decoding(model), inputs, strict=False)
            return exported.run_decompositions(table)
    except Exception as error:  # torch.export raises whatever stopped it, of many kinds
        first = str(error).strip().split("\n")[0]
        raise ValueError(
            f"model: {type(model).__name__}.decode has no fixed graph ({first}); {SERVE}"
        ) from error
