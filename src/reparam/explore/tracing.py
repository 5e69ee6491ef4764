"""From a graph of ATen operations to the few steps that the page runs."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.utils import _pytree as pytree

from reparam.explore.layout import Operand, common_dims, offsets, strided
from reparam.explore.storage import Constant, Kind

SERVE = "serve it instead (reparam explore RUN)"
MOST_POSITIONS = 2**24  # of one tensor, beyond which a page would run out of memory


class Unknown(Exception):
    """An operation, or a form of it, that the page does not know; in which part, if a forward."""

    def __init__(self, operation: str = "", part: str = "") -> None:
        super().__init__(operation)
        self.operation, self.part = operation, part


class Value(NamedTuple):
    """A tensor that depends on the inputs: which entries of a buffer it is made of, (*shape)."""

    buffer: int
    positions: Tensor
    dtype: torch.dtype


Handler = Callable[..., Any]
WIDE = {torch.float64, torch.int64, torch.int32}  # what float32 does not hold
IGNORED = frozenset(("_assert_tensor_metadata", "_assert_scalar", "sym_constrain_range_for_size"))


class Tracer:
    """Runs a graph on positions instead of numbers, and writes down what the numbers go through.

    Args:
        exported: of a function of a code and perhaps a condition, with static shapes.
        handlers: by the name of an ATen operation, ``handler(tracer, node, args, kwargs)``.

    Attributes:
        steps: (operation, output buffer, input buffers, parameters) in order.
        buffers: the size of each, and its precision.
        inputs: the buffers of code and condition.
        constants: buffers with numbers of the model.
        products: multiplications and additions of matrices and convolutions.
    """

    def __init__(self, exported: ExportedProgram, handlers: Mapping[str, Handler]) -> None:
        self.exported, self.handlers = exported, handlers
        self.steps: list[list[Any]] = []
        self.buffers: list[tuple[int, Kind]] = []
        self.inputs: list[int] = []
        self.constants: dict[int, Constant] = {}
        self.products = 0
        self._known: dict[tuple[Any, ...], int] = {}
        self._values: dict[fx.Node, Any] = {}

    def run(self) -> int:
        """Walk the graph; the buffer of its output."""
        result: Any = None
        self._start()
        for node in self.exported.graph.nodes:
            if node.op == "output":
                *changed, result = self._found(node.args[0])
                if changed:
                    raise Unknown("a buffer that decode changes", "the model's decode")
            elif node.op == "call_function":
                self._values[node] = self._call(node)
        if isinstance(result, Tensor):  # a decoder that looks at no code
            result = Value(self.constant(result), self._whole(result.shape), result.dtype)
        return self.buffer_of(result)

    def _start(self) -> None:
        specs = {spec.arg.name: spec for spec in self.exported.graph_signature.input_specs}
        for node in self.exported.graph.nodes:
            if node.op != "placeholder":
                continue
            spec, found = specs[node.name], node.meta.get("val")
            if spec.kind == InputKind.USER_INPUT:
                self._values[node] = None
                if isinstance(found, Tensor):
                    value = self.new(found.shape, found.dtype)
                    self.inputs.append(value.buffer)
                    self._values[node] = value
            elif spec.target in self.exported.state_dict:
                self._values[node] = self.exported.state_dict[spec.target]
            else:
                self._values[node] = self.exported.constants[spec.target]

    def _found(self, arguments: Any) -> Any:
        """Arguments with what they refer to in place of nodes."""
        return fx.node.map_arg(arguments, self._values.__getitem__)

    def _call(self, node: fx.Node) -> Any:
        args, kwargs = self._found((node.args, dict(node.kwargs)))
        target: Any = node.target
        if target is operator.getitem:
            return args[0][args[1]]
        name = self.name_of(node)
        if name in IGNORED:
            return None
        drawn = torch.Tag.nondeterministic_seeded in getattr(target, "tags", ())
        symbolic = [v for v in pytree.tree_leaves((args, kwargs), _is_value) if _is_value(v)]
        if not symbolic and not drawn:
            return target(*args, **kwargs)
        handler = self.handlers.get(name)
        if handler is None or drawn:
            raise self._unknown(node)
        try:
            return handler(self, node, args, kwargs)
        except Unknown:
            raise self._unknown(node) from None

    @staticmethod
    def name_of(node: fx.Node) -> str:
        """Of its ATen operation, without its overload."""
        return str(node.target).removeprefix("aten.").split(".")[0]

    @staticmethod
    def refuse_values(*args: Any) -> None:
        """Where an operation takes no arguments that depend on the inputs."""
        if any(map(_is_value, pytree.tree_leaves(args, _is_value))):
            raise Unknown

    @staticmethod
    def on_cpu(args: Any) -> Any:
        return pytree.tree_map_only(Tensor, Tensor.cpu, args)

    def _unknown(self, node: fx.Node) -> Unknown:
        part = ""
        for path, kind in (node.meta.get("nn_module_stack") or {}).values():
            if path.count("."):
                name = kind if isinstance(kind, str) else kind.__name__
                part = f"{path.removeprefix('model.')} ({name.rpartition('.')[2]})"
        return Unknown(self.name_of(node), part)

    # Buffers

    def new(self, shape: Sequence[int], dtype: torch.dtype) -> Value:
        """A buffer that a step is to fill."""
        positions = self._whole(shape)
        self.buffers.append((positions.numel(), "f64" if dtype in WIDE else "f32"))
        return Value(len(self.buffers) - 1, positions, dtype)

    def _whole(self, shape: Sequence[int]) -> Tensor:
        count = math.prod(shape)
        if count > MOST_POSITIONS:
            raise ValueError(
                f"model: expected tensors of at most {MOST_POSITIONS} entries in a page, got "
                f"{tuple(shape)}; {SERVE}"
            )
        return torch.arange(count).view(tuple(shape))

    def constant(self, value: Tensor, weight: bool = False) -> int:
        """The buffer of numbers of the model, the same for the same tensor."""
        value = value.detach().cpu().contiguous()
        if not (value.is_floating_point() or value.dtype == torch.bool):
            value = value.double()
        key = (value.dtype, weight, tuple(value.shape), value.numpy().tobytes())
        if key not in self._known:
            made = Constant(value, weight)
            self.buffers.append((value.numel(), made.kind))
            self._known[key] = len(self.buffers) - 1
            self.constants[self._known[key]] = made
        return self._known[key]

    def buffer_of(self, value: Value) -> int:
        """A buffer that holds the entries of a value in their order and nothing else."""
        flat = value.positions.flatten()
        whole = self.buffers[value.buffer][0] == len(flat)
        if whole and torch.equal(flat, torch.arange(len(flat))):
            return value.buffer
        moved = self.new(value.positions.shape, value.dtype)
        self.step("gather", moved, [value.buffer], offsets=offsets(value.positions))
        return moved.buffer

    def step(self, name: str, out: Value, reads: Sequence[int], **parameters: Any) -> Value:
        self.steps.append([name, out.buffer, list(reads), parameters])
        return out

    # Entry by entry

    def each(self, name: str, shape: Sequence[int], dtype: torch.dtype, *inputs: Any) -> Value:
        """A step of two or three values, constants or numbers that are broadcast to ``shape``."""
        out = self.new(shape, dtype)
        seen = {dtype, *(value.dtype for value in inputs if isinstance(value, Value))}
        seen |= {value.dtype for value in inputs if isinstance(value, Tensor) and value.ndim}
        # Numbers take the precision of the tensors beside them, here as in torch.
        precision = torch.float64 if seen & WIDE else torch.float32
        operands = [self._operand(value, tuple(shape), precision) for value in inputs]
        dims = common_dims(tuple(shape), operands)
        starts = [operand.start for operand in operands]
        buffers = [operand.buffer for operand in operands]
        return self.step("zip", out, buffers, f=name, dims=dims, starts=starts)

    def _operand(self, value: Any, shape: tuple[int, ...], precision: torch.dtype) -> Operand:
        if isinstance(value, Value):
            found = strided(value.positions.expand(shape))
            if found is None:
                buffer = self.buffer_of(value)
                positions = torch.arange(value.positions.numel()).view(value.positions.shape)
                found = strided(positions.expand(shape))
                assert found is not None
                return Operand(buffer, *found)
            return Operand(value.buffer, *found)
        wide = torch.float64 if isinstance(value, float) else None
        value = torch.as_tensor(value, dtype=wide)
        value = value if value.dtype == torch.bool else value.to(precision)
        if value.numel() > 1 and bool((value == value.flatten()[0]).all()):
            value = value.flatten()[0]
        positions = torch.arange(value.numel()).view(value.shape)
        found = strided(positions.expand(shape))
        assert found is not None
        return Operand(self.constant(value), *found)

    def map(self, name: str, value: Value, dtype: torch.dtype, *parameters: float) -> Value:
        out = self.new(value.positions.shape, dtype)
        return self.step("map", out, [self.buffer_of(value)], f=name, p=list(parameters))

    def reduce(self, name: str, value: Value, dims: Sequence[int], keep: bool, dtype: Any) -> Value:
        """Over some dimensions; ``keep`` leaves them, of size 1."""
        shape = value.positions.shape
        gone = {d % len(shape) for d in dims} if len(shape) else set()
        others = [d for d in range(len(shape)) if d not in gone]
        order = [*sorted(gone), *others]  # first what goes: inner loops run over what stays
        moved = value._replace(positions=value.positions.permute(order))
        count = math.prod(shape[d] for d in gone)
        kept = [1 if d in gone else shape[d] for d in range(len(shape)) if keep or d not in gone]
        out = self.new(kept, dtype)
        return self.step("reduce", out, [self.buffer_of(moved)], f=name, count=count)


def _is_value(leaf: object) -> bool:
    return isinstance(leaf, Value)
