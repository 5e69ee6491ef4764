"""What the page does for each ATen operation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from reparam.explore.tracing import Handler, Tracer, Unknown, Value

Args = Sequence[Any]
Kwargs = Mapping[str, Any]

# What only moves entries is run on their positions: no list of ours says what each of them does.
MOVES = (
    "alias clone contiguous detach diagonal expand flip index index_select lift_fresh_copy permute "
    "pixel_shuffle pixel_unshuffle repeat repeat_interleave roll select slice split "
    "split_with_sizes squeeze t transpose unbind unfold unsqueeze upsample_nearest2d view "
    "_unsafe_view reshape flatten"
).split()
# Of one number: the page's name, and the defaults of its parameters.
MAPS: dict[str, tuple[str, tuple[Any, ...]]] = {
    name: (name, ())
    for name in (
        "relu silu sigmoid tanh exp log neg abs sqrt rsqrt reciprocal floor ceil round sign erf "
        "expm1 log1p sin cos trunc logical_not isnan isinf"
    ).split()
}
MAPS |= {
    "special_ndtr": ("ndtr", ()),
    "bitwise_not": ("logical_not", ()),
    "softplus": ("softplus", (1.0, 20.0)),
    "elu": ("elu", (1.0, 1.0, 1.0)),
    "leaky_relu": ("leaky_relu", (0.01,)),
}
ZIPS = {
    name: name
    for name in (
        "add sub mul div pow maximum minimum lt le gt ge eq ne logical_and logical_or remainder"
    ).split()
}
ZIPS |= {"bitwise_and": "logical_and", "bitwise_or": "logical_or"}
REDUCTIONS = {"sum": "sum", "mean": "sum", "amax": "max", "amin": "min", "argmax": "argmax"}
REDUCTIONS |= {"any": "max", "all": "min"}
# Where the argument stands whose entries are put into the first.
SOURCES = {"index_put": 2, "slice_scatter": 1, "select_scatter": 1, "scatter": 3}
LIKE = ("zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full")


def _shape(node: fx.Node) -> tuple[int, ...]:
    return tuple(node.meta["val"].shape)


def _dtype(node: fx.Node) -> torch.dtype:
    found: torch.dtype = node.meta["val"].dtype
    return found


def _move(tracer: Tracer, node: fx.Node, args: Args, kwargs: Kwargs) -> Any:
    value, *rest = args
    if not isinstance(value, Value):
        return _entry(tracer, node, args)
    tracer.refuse_values(rest, kwargs)
    target: Any = node.target
    positions = value.positions
    if positions.ndim == 4:  # enlarging takes no integers, of which float64 holds all there are
        positions = positions.double()
    moved = target(positions, *(tracer.on_cpu(rest)), **tracer.on_cpu(dict(kwargs)))
    if isinstance(moved, Tensor):
        return value._replace(positions=moved.long())
    return [value._replace(positions=part.long()) for part in moved]


def _reshape(tracer: Tracer, node: fx.Node, args: Args, kwargs: Kwargs) -> Value:
    value: Value = args[0]
    if isinstance(args[-1], torch.dtype):  # the same bits as another type
        raise Unknown
    return value._replace(positions=value.positions.reshape(_shape(node)))


def _entry(tracer: Tracer, node: fx.Node, args: Args) -> Value:
    """A row of a constant table, by an index that depends on the inputs."""
    table, index = args[0], args[1]
    if isinstance(index, list | tuple) and len(index) == 1:
        index = index[0]
    if not (isinstance(table, Tensor) and table.ndim == 2 and isinstance(index, Value)):
        raise Unknown
    return _embedding(tracer, node, (table, index), {})


def _embedding(tracer: Tracer, node: fx.Node, args: Args, kwargs: Kwargs) -> Value:
    table, index = args[0], args[1]
    if not (isinstance(table, Tensor) and isinstance(index, Value)):
        raise Unknown
    out = tracer.new(_shape(node), _dtype(node))
    # Half precision has no integers beyond 2048.
    kept = tracer.constant(table, weight=table.is_floating_point())
    inputs = [kept, tracer.buffer_of(index)]
    return tracer.step("rows", out, inputs, width=table.shape[1])


def _refuse_bits(tracer: Tracer, node: fx.Node) -> None:
    """Bitwise operations of integers; those of truth values are the logical ones."""
    if tracer.name_of(node).startswith("bitwise_") and _dtype(node) != torch.bool:
        raise Unknown


def _map(tracer: Tracer, node: fx.Node, args: Args, kwargs: Kwargs) -> Value:
    tracer.refuse_values(args[1:])
    _refuse_bits(tracer, node)
    name, defaults = MAPS[tracer.name_of(node)]
    given = [*args[1:], *defaults[len(args) - 1 :]]
    if kwargs or not all(map(math.isfinite, given)):  # as decimals of round; JSON has no infinity
        raise Unknown
    return tracer.map(name, args[0], _dtype(node), *map(float, given))


def _gelu(tracer: Tracer, node: fx.Node, args: Args, kwargs: Kwargs) -> Value:
    by_tanh = kwargs.get("approximate") == "tanh"
    return tracer.map("gelu_tanh" if by_tanh else "gelu", args[0], _dtype(node))


def _zip(tracer: Tracer, node: fx.Node, args: Args, kwargs: Kwargs) -> Value:
    _refuse_bits(tracer, node)
    name = tracer.name_of(node)
    left, right = (args[1], args[0]) if name == "rsub" else args[:2]
    shape, dtype = _shape(node), _dtype(node)
    scale = kwargs.get("alpha", args[2] if len(args) > 2 else 1)
    if scale != 1:
        if name == "rsub":
            raise Unknown
        right = tracer.each("mul", shape, dtype, right, scale)
    step = {"rsub": "sub"}.get(name) or ZIPS[name]
    rounding = kwargs.get("rounding_mode")
    if rounding == "floor":  # of the quotient before float32 rounds it up to the next integer
        step = "floor_divide"
    if name == "add" and dtype == torch.bool:
        step = "logical_or"
    out = tracer.each(step, shape, dtype, left, right)
    return tracer.map("trunc", out, dtype) if rounding == "trunc" else out


def _clamp(tracer: Tracer, node: fx.Node, args: Args, kwargs: Kwargs) -> Value:
    limits = dict(zip(("min", "max"), args[1:], strict=False)) | dict(kwargs)
    value: Value = args[0]
    for end, name in (("min", "maximum"), ("max", "minimum")):
        if limits.get(end) is not None:
            value = tracer.each(name, _shape(node), _dtype(node), value, limits[end])
    return value


def _addcmul(tracer: Tracer, node: fx.Node, args: Args, kwargs: Kwargs) -> Value:
    shape, dtype = _shape(node), _dtype(node)
    product = tracer.each("mul", shape, dtype, args[1], args[2])
    if kwargs.get("value", 1) != 1:
        product = tracer.each("mul", shape, dtype, product, kwargs["value"])
    return tracer.each("add", shape, dtype, args[0], product)


def _where(tracer: Tracer, node: fx.Node, args: Args, kwargs: Kwargs) -> Value:
    return tracer.each("where", _shape(node), _dtype(node), *args)


def _masked_fill(tracer: Tracer, node: fx.Node, args: Args, kwargs: Kwargs) -> Value:
    return tracer.each("where", _shape(node), _dtype(node), args[1], args[2], args[0])


def _like(tracer: Tracer, node: fx.Node, args: Args, kwargs: Kwargs) -> Tensor:
    value: Value = args[0]
    target: Any = node.target
    like = torch.zeros(value.positions.shape, dtype=value.dtype)
    made: Tensor = target(like, *args[1:], **(dict(kwargs) | {"device": None}))
    return made


def _to(tracer: Tracer, node: fx.Node, args: Args, kwargs: Kwargs) -> Value:
    value, dtype = args[0], _dtype(node)
    if dtype == torch.bool and value.dtype != torch.bool:
        return tracer.each("ne", _shape(node), dtype, value, 0)
    if not dtype.is_floating_point and value.dtype.is_floating_point:
        return tracer.map("trunc", value, dtype)
    return value._replace(dtype=dtype)  # its entries are rounded when they are next computed


def _linear(tracer: Tracer, node: fx.Node, args: Args, kwargs: Kwargs) -> Value:
    value, weight, bias = (*args, None)[:3]
    if not (isinstance(value, Value) and isinstance(weight, Tensor) and weight.ndim == 2):
        raise Unknown
    return _product(tracer, node, value, weight, bias)


def _product(tracer: Tracer, node: fx.Node, value: Value, weight: Tensor, bias: Any) -> Value:
    """x Wᵀ + b of rows x, with W (outputs, inputs)."""
    outputs, inputs = weight.shape
    out = tracer.new(_shape(node), _dtype(node))
    given = isinstance(bias, Tensor) and bias.ndim == 1 and len(bias) == outputs
    rows = value.positions.numel() // inputs
    buffers = [tracer.buffer_of(value), tracer.constant(weight, weight=True)]
    buffers += [tracer.constant(bias)] if given else []
    tracer.products += rows * inputs * outputs
    tracer.step("linear", out, buffers, rows=rows, inputs=inputs, outputs=outputs)
    if bias is None or given:
        return out
    return tracer.each("add", _shape(node), _dtype(node), out, bias)


def _addmm(tracer: Tracer, node: fx.Node, args: Args, kwargs: Kwargs) -> Value:
    if kwargs:
        raise Unknown
    bias, left, right = args
    if isinstance(left, Value) and isinstance(right, Tensor):
        return _product(tracer, node, left, right.T, bias)
    made = _batched(tracer, node, left, right)
    return tracer.each("add", _shape(node), _dtype(node), made, bias)


def _mm(tracer: Tracer, node: fx.Node, args: Args, kwargs: Kwargs) -> Value:
    left, right = args
    if isinstance(left, Value) and isinstance(right, Tensor):
        if right.ndim == 2 or len(right) == 1:
            return _product(tracer, node, left, right.reshape(right.shape[-2:]).T, None)
    return _batched(tracer, node, left, right)


def _batched(tracer: Tracer, node: fx.Node, left: Any, right: Any) -> Value:
    """Products of matrices that are both looked up, (batch, rows, inner) × (batch, inner, …)."""
    shape = _shape(node)
    batch, rows, columns = (1, *shape) if len(shape) == 2 else shape
    out = tracer.new(shape, _dtype(node))
    buffers = [
        tracer.buffer_of(side) if isinstance(side, Value) else tracer.constant(side)
        for side in (left, right)
    ]
    count = left.positions.numel() if isinstance(left, Value) else left.numel()
    inner = count // (batch * rows)
    tracer.products += count * columns
    sizes = {"batch": batch, "rows": rows, "inner": inner, "columns": columns}
    return tracer.step("matmul", out, buffers, **sizes)


def _conv2d(tracer: Tracer, node: fx.Node, args: Args, kwargs: Kwargs) -> Value:
    given = (*args, *(None, [1, 1], [0, 0], [1, 1], 1)[len(args) - 2 :])
    value, weight, bias, stride, padding, dilation, groups = given
    if not (isinstance(value, Value) and isinstance(weight, Tensor)) or isinstance(padding, str):
        raise Unknown
    if value.positions.ndim != 4 or len(value.positions) != 1:  # the page has one image at a time
        raise Unknown
    out = tracer.new(_shape(node), _dtype(node))
    buffers = [tracer.buffer_of(value), tracer.constant(weight, weight=True)]
    buffers += [] if bias is None else [tracer.constant(bias)]
    sizes = {
        "input": list(value.positions.shape[1:]),
        "output": list(_shape(node)[1:]),
        "kernel": list(weight.shape[2:]),
        "stride": list(stride),
        "padding": list(padding),
        "dilation": list(dilation),
        "groups": groups,
    }
    tracer.products += out.positions.numel() * math.prod(weight.shape[1:])
    return tracer.step("conv", out, buffers, **sizes)


def _cat(tracer: Tracer, node: fx.Node, args: Args, kwargs: Kwargs) -> Value:
    parts, dim = (*args, 0)[:2]
    shape = _shape(node)
    dim %= len(shape)
    out = tracer.new(shape, _dtype(node))
    buffers, sizes = [], []
    for part in parts:
        found = isinstance(part, Value)
        if not (part.positions if found else part).numel():  # of any shape, in torch
            continue
        buffers.append(tracer.buffer_of(part) if found else tracer.constant(part))
        sizes.append(math.prod((part.positions if found else part).shape[dim:]))
    return tracer.step("cat", out, buffers, sizes=sizes)


def _place(tracer: Tracer, node: fx.Node, args: Args, kwargs: Kwargs) -> Value:
    """Entries of one tensor in place of some of another: a move of the entries of both."""
    at = SOURCES[tracer.name_of(node)]
    base, source, rest = args[0], args[at], [*args[1:at], *args[at + 1 :]]
    tracer.refuse_values(rest, kwargs)
    added = bool(kwargs) or any(one is True for one in rest)  # 1 may be a dimension
    if added or not isinstance(source, Tensor | Value):
        raise Unknown
    parts = [part.positions if isinstance(part, Value) else part for part in (base, source)]
    sizes = [part.numel() for part in parts]
    both = tracer.new((sum(sizes),), _dtype(node))
    buffers = [
        tracer.buffer_of(part) if isinstance(part, Value) else tracer.constant(part)
        for part in (base, source)
    ]
    tracer.step("cat", both, buffers, sizes=sizes)
    kept, new = (
        found.view(part.shape)
        for found, part in zip(both.positions.split(sizes), parts, strict=True)
    )
    given = [*args]
    given[0], given[at] = kept.clone(), new
    target: Any = node.target
    return both._replace(positions=target(*tracer.on_cpu(given)))


def _reduce(tracer: Tracer, node: fx.Node, args: Args, kwargs: Kwargs) -> Value:
    value, name, rank = args[0], tracer.name_of(node), args[0].positions.ndim
    dims, keep = (*args[1:], *(None, False)[len(args) - 1 :])[:2]
    dims = kwargs.get("dim", dims)
    dims = [dims] if isinstance(dims, int) else dims or list(range(rank))
    keep = kwargs.get("keepdim", keep)
    if name in ("any", "all") and value.dtype != torch.bool:
        value = tracer.each("ne", value.positions.shape, torch.bool, value, 0)
    out = tracer.reduce(REDUCTIONS[name], value, dims, keep, _dtype(node))
    if name != "mean":
        return out
    count = value.positions.numel() / max(out.positions.numel(), 1)
    return tracer.each("div", _shape(node), _dtype(node), out, count)


def _best(tracer: Tracer, node: fx.Node, args: Args, kwargs: Kwargs) -> tuple[Value, Value]:
    """Largest entries along a dimension, and where they are."""
    if len(args) < 2:
        raise Unknown
    value, dim, keep = (*args, False)[:3]
    values, indices = (found.dtype for found in node.meta["val"])
    largest = tracer.reduce("max", value, [dim], keep, values)
    return largest, tracer.reduce("argmax", value, [dim], keep, indices)


def _softmax(tracer: Tracer, node: fx.Node, args: Args, kwargs: Kwargs) -> Value:
    value, dim = args[:2]
    shape, dtype = _shape(node), _dtype(node)
    centered = tracer.each(
        "sub", shape, dtype, value, tracer.reduce("max", value, [dim], True, dtype)
    )
    weights = tracer.map("exp", centered, dtype)
    total = tracer.reduce("sum", weights, [dim], True, dtype)
    if tracer.name_of(node) == "_softmax":
        return tracer.each("div", shape, dtype, weights, total)
    return tracer.each("sub", shape, dtype, centered, tracer.map("log", total, dtype))


def _logsumexp(tracer: Tracer, node: fx.Node, args: Args, kwargs: Kwargs) -> Value:
    value, dims, keep = (*args, False)[:3]
    dtype, shape = _dtype(node), tuple(value.positions.shape)
    dims = [dims] if isinstance(dims, int) else dims
    largest = tracer.reduce("max", value, dims, True, dtype)
    endless = tracer.map("isinf", largest, torch.bool)  # infinity less infinity is no number
    largest = tracer.each("where", largest.positions.shape, dtype, endless, 0.0, largest)
    weights = tracer.map("exp", tracer.each("sub", shape, dtype, value, largest), dtype)
    total = tracer.map("log", tracer.reduce("sum", weights, dims, True, dtype), dtype)
    kept = tuple(total.positions.shape)
    made = tracer.each("add", kept, dtype, total, largest)
    return made._replace(positions=made.positions.reshape(_shape(node)))


def _affine(tracer: Tracer, value: Value, factor: Tensor | None, shift: Tensor | None) -> Value:
    shape, dtype = value.positions.shape, value.dtype
    if factor is not None:
        value = tracer.each("mul", shape, dtype, value, factor.to(dtype))
    return value if shift is None else tracer.each("add", shape, dtype, value, shift.to(dtype))


def _batch_norm(
    tracer: Tracer, node: fx.Node, args: Args, kwargs: Kwargs
) -> tuple[Value, None, None]:
    value, weight, bias, mean, variance, _, epsilon = args
    factor = (variance.double() + epsilon).rsqrt()
    factor = factor if weight is None else factor * weight.double()
    shift = -mean.double() * factor
    shift = shift if bias is None else shift + bias.double()
    along = (-1, *[1] * (value.positions.ndim - 2))
    return _affine(tracer, value, factor.view(along), shift.view(along)), None, None


def _normalized(tracer: Tracer, value: Value, groups: int, epsilon: float) -> Value:
    """Each of so many equal parts of a value less its mean, divided by its deviation."""
    shape, dtype = value.positions.shape, value.dtype
    parts = value._replace(positions=value.positions.reshape(groups, -1))
    whole, count = tuple(parts.positions.shape), parts.positions.shape[1]
    total = tracer.reduce("sum", parts, [1], True, dtype)
    mean = tracer.each("div", (groups, 1), dtype, total, count)
    centered = tracer.each("sub", whole, dtype, parts, mean)
    squares = tracer.each("mul", whole, dtype, centered, centered)
    total = tracer.reduce("sum", squares, [1], True, dtype)
    variance = tracer.each("div", (groups, 1), dtype, total, count)
    inverse = tracer.map("rsqrt", tracer.each("add", (groups, 1), dtype, variance, epsilon), dtype)
    scaled = tracer.each("mul", whole, dtype, centered, inverse)
    return scaled._replace(positions=scaled.positions.reshape(shape))


def _layer_norm(
    tracer: Tracer, node: fx.Node, args: Args, kwargs: Kwargs
) -> tuple[Value, None, None]:
    value, normalized, weight, bias, epsilon = args
    groups = value.positions.numel() // math.prod(normalized)
    return _affine(tracer, _normalized(tracer, value, groups, epsilon), weight, bias), None, None


def _group_norm(
    tracer: Tracer, node: fx.Node, args: Args, kwargs: Kwargs
) -> tuple[Value, None, None]:
    value, weight, bias, rows, _, _, groups, epsilon = args
    along = (-1, *[1] * (value.positions.ndim - 2))
    factor, shift = (None if part is None else part.view(along) for part in (weight, bias))
    made = _normalized(tracer, value, rows * groups, epsilon)
    return _affine(tracer, made, factor, shift), None, None


SPECIAL: dict[str, Handler] = {
    "view": _reshape,
    "reshape": _reshape,
    "_unsafe_view": _reshape,
    "flatten": _reshape,
    "embedding": _embedding,
    "gelu": _gelu,
    "clamp": _clamp,
    "addcmul": _addcmul,
    "where": _where,
    "masked_fill": _masked_fill,
    "_to_copy": _to,
    "rsub": _zip,
    "linear": _linear,
    "addmm": _addmm,
    "mm": _mm,
    "bmm": _mm,
    "conv2d": _conv2d,
    "cat": _cat,
    "max": _best,
    "_softmax": _softmax,
    "_log_softmax": _softmax,
    "logsumexp": _logsumexp,
    "_native_batch_norm_legit_no_training": _batch_norm,
    "native_layer_norm": _layer_norm,
    "native_group_norm": _group_norm,
}


def _handlers() -> dict[str, Handler]:
    made: dict[str, Handler] = {}
    groups: list[tuple[Callable[..., Any], Any]] = [
        (_move, MOVES),
        (_map, MAPS),
        (_zip, ZIPS),
        (_reduce, REDUCTIONS),
        (_like, LIKE),
        (_place, SOURCES),
    ]
    for handler, names in groups:
        made |= dict.fromkeys(names, handler)
    return made | SPECIAL


HANDLERS = _handlers()
# Operations that stay whole when a graph is decomposed.
KEPT = HANDLERS.keys() - {"any", "all", "max"}
