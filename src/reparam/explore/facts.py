"""All that the page has to know of what is explored, as plain data that JSON can hold."""

from __future__ import annotations

import base64
from typing import Any

import torch
from torch import Tensor

from reparam.explore.subject import IN_FILE, SHEET_IN_FILE, Subject
from reparam.model import Codec, Completer, Density, Generator, LatentVariable
from reparam.report.colors import class_colors
from reparam.report.pictures import grid
from reparam.report.selection import class_names, drawn_classes
from reparam.use.missing_part import why_not
from reparam.wording import name_of

LOW, HIGH = 0.005, 0.995  # quantiles of codes between which a slider moves
WIDER = 0.15  # of this range, on either side
SERVED, SHEET = 6_000_000, 900_000  # bytes of codes, and of small pictures, of a served page
THUMBNAIL = 28
MOST_AXES = 64  # sliders
REACH = 3.0  # strengths of an attribute that a slider goes to either side
HALF_AT_MOST = 65_504.0  # beyond which half precision has infinity alone
HALF_WHOLE = 2048  # up to which it has every integer
ROWS = 2_000_000  # bytes of rows of a table, to be seen under the pointer

OF_HIDDEN = (
    " The model learned to predict hidden patches alone: what it decodes of a whole example is no "
    "reconstruction."
)
Facts = dict[str, Any]


def facts(subject: Subject, in_file: bool = False) -> Facts:
    """What the page shows and asks by; ``in_file`` of a page that stands alone and is small.

    >>> import reparam as rp
    >>> digits = rp.load_data("digits")
    >>> model = rp.build("vae", digits.space, latent_dim=2)
    >>> found = facts(Subject(model, digits, "a run", most=50))
    >>> found["codes"]["width"], found["codes"]["alive"] <= 2
    (2, True)
    """
    model, data = subject.model, subject.data
    return {
        "name": subject.name,
        "data": data.name,
        "model": name_of(model),
        "x": _space(subject),
        "classes": _classes(subject),
        "condition": _condition(subject),
        "codes": _codes(subject, in_file) if subject.kind else None,
        "examples": _examples(subject, in_file),
        "draws": isinstance(subject.decoder, LatentVariable),
        "samples": isinstance(model, Generator),
        "completes": why_not(model) is None,
        "in_order": isinstance(model, Completer) and model.in_order,
        "density": isinstance(model, Density),
        "encodes": isinstance(subject.decoder, Codec),
    }


def packed(values: Tensor, half: bool = False) -> Facts:
    """Numbers as bytes in base64: float32, or float16 where that will do.

    >>> packed(torch.ones(1, 2))
    {'type': 'f32', 'shape': [1, 2], 'data': 'AACAPwAAgD8='}
    >>> [packed(torch.tensor([value]), half=True)["type"] for value in (6e4, 7e4)]
    ['f16', 'f32']
    """
    half = half and not bool((values.abs() > HALF_AT_MOST).any())
    numbers = values.to(torch.float16 if half else torch.float32).contiguous().numpy()
    text = base64.b64encode(numbers.tobytes()).decode("ascii")
    return {"type": "f16" if half else "f32", "shape": list(values.shape), "data": text}


def _space(subject: Subject) -> Facts:
    space = subject.data.space
    if subject.brightness is not None:
        channels, height, width = space.shape
        bright = subject.brightness
        bands = list(bright.bands) if bright.bands and channels > max(bright.bands) else None
        return {
            "image": True,
            "height": height,
            "width": width,
            "channels": channels,
            "bands": bands,
            "low": bright.low,
            "high": bright.high,
        }
    return {"image": False, "columns": _columns(subject)}


def _columns(subject: Subject) -> list[Facts]:
    """Each entry of a row: its name, the range of its values in training, names of its levels."""
    data = subject.data
    x = data.train.x.double()
    columns, names = data.space.columns, data.columns
    found: list[Facts] = []
    for index in range(data.space.dimension):
        values = x[:, index][x[:, index].isfinite()]
        low, middle, high = (
            torch.quantile(values[:100_000], torch.tensor([0.0, 0.5, 1.0]).double()).tolist()
            if len(values)
            else (0.0, 0.0, 1.0)
        )
        column = columns[index] if columns else None
        found.append(
            {
                "name": column.name if column else names[index] if names else f"x{index}",
                "kind": column.kind if column else data.space.kind,
                "names": list(column.names) if column and column.names else None,
                "base": column.low if column else 0,
                "low": low,
                "middle": middle,
                "high": high,
                "whole": data.space.kind in ("binary", "levels")
                or bool(column and column.count is not None),
            }
        )
    return found


def _classes(subject: Subject) -> list[Facts]:
    names = class_names(subject.data)
    light, dark = (class_colors(len(names), dark=dark) for dark in (False, True))
    return [
        {"name": name, "light": one, "dark": other}
        for name, one, other in zip(names, light, dark, strict=True)
    ]


def _condition(subject: Subject) -> Facts | None:
    """What decoding is told beside the code: a class, or a number for each attribute."""
    model, space = subject.model, subject.model.space
    if not model.conditional:
        return None
    c = subject.condition
    assert c is not None
    if space.attributes is None:
        named = [
            {"value": label, "name": name} for label, name in drawn_classes(model, subject.data)
        ]
        return {"kind": "class", "classes": named, "values": c.tolist()}
    ends = torch.quantile(c.double(), torch.tensor([0.0, 0.5, 1.0]).double(), dim=0)
    names = subject.data.attribute_names or tuple(f"attribute {i}" for i in range(c.shape[1]))
    return {
        "kind": "attributes",
        "attributes": [
            {"name": name, "low": low, "middle": middle, "high": high}
            for name, (low, middle, high) in zip(names, ends.T.tolist(), strict=True)
        ],
        "values": c.double().tolist(),
    }


def _predicts_hidden(subject: Subject) -> bool:
    noise = subject.decoder.noise if isinstance(subject.decoder, Codec) else None
    return noise is not None and noise.hides


def _codes(subject: Subject, in_file: bool) -> Facts:
    """The codes: how wide, of which entries, on which plane, and themselves where they are few."""
    codes, kind = subject.codes, subject.kind
    count, width = codes.shape
    half = in_file and (kind != "indices" or bool((codes <= HALF_WHOLE).all()))
    there = in_file or count * width * 4 <= SERVED  # a file has no server to ask for them
    found: Facts = {
        "kind": kind,
        "width": width,
        "all": packed(codes.float(), half) if there else None,
        "points": packed(subject.projection(subject.vectors)),
        "said": subject.projection.said + (OF_HIDDEN if _predicts_hidden(subject) else ""),
        "prior": subject.draws_codes,
    }
    if kind == "indices":
        decoder = subject.decoder
        assert decoder is not None
        return found | {"levels": decoder.code_space.level_count, "axes": [], "alive": 0}
    mean, deviation = subject.spread
    draws = subject.draws
    most = max(8, 20_000 // width) if in_file and kind != "noise" else len(draws)
    kept = draws[:most]
    return found | {
        "center": packed(subject.projection.center.float()),
        "plane": packed(subject.projection.axes.float()),
        "mean": packed(mean.float()),
        "deviation": packed(deviation.float()),
        "draws": packed(kept, half) if len(draws) else None,
        "directions": _directions(subject, half),
        **_axes(subject),
    }


def _directions(subject: Subject, half: bool) -> Facts | None:
    """What sliders of attributes add to the code, and how much each leaks."""
    found = subject.directions
    moving = [] if found is None else [one for one in found.each if one.step is not None]
    if not moving:
        return None
    quality, listed = subject.quality, []
    for one in moving:
        name, whole = one.attribute.name, one.attribute.whole_way
        measured = zip(("moves", "leaks"), quality.get(name, ()), strict=False)
        note = ", ".join(f"{verb} {value:z.2f}" for verb, value in measured if value is not None)
        group = one.attribute.kind == "class"
        reach = 1.0 if whole else REACH
        listed.append(
            {"name": name, "note": note, "said": one.said, "reach": reach, "group": group}
        )
    steps = torch.stack([one.step.flatten() for one in moving if one.step is not None])
    return {"names": listed, "vectors": packed(steps.float(), half)}


def _axes(subject: Subject) -> Facts:
    axes = subject.axes
    assert axes is not None
    order = axes.amount.argsort(descending=True, stable=True)
    order = torch.cat([order[axes.alive[order]], order[~axes.alive[order]]])
    seen = subject.codes.double()
    if len(subject.draws) and subject.kind != "noise":
        seen = torch.cat([seen, subject.draws.double()])
    shown = order[:MOST_AXES]
    ends = torch.quantile(seen[:, shown], torch.tensor([LOW, HIGH]).double(), dim=0)
    listed = []
    for place, index in enumerate(shown.tolist()):
        low, high = ends[:, place].tolist()
        room = max(WIDER * (high - low), 1e-6)
        listed.append(
            {
                "index": index,
                "amount": axes.amount[index].item(),
                "alive": bool(axes.alive[index]),
                "low": low - room,
                "high": high + room,
            }
        )
    return {
        "axes": listed,
        "alive": int(axes.alive.sum()),
        "unit": axes.unit,
        "order": axes.order,
    }


def _examples(subject: Subject, in_file: bool) -> Facts:
    """The examples that the map shows: their numbers, classes, and small pictures or rows."""
    split = subject.examples
    found: Facts = {
        "count": len(split),
        "numbers": subject.numbers.tolist(),
        "labels": None if split.labels is None else split.labels.tolist(),
        "sheet": None,
        "rows": None,
    }
    if subject.kind == "noise":
        return found | {"count": 0, "numbers": [], "labels": None}
    if subject.brightness is None:
        x = split.x.double()
        there = x.numel() * 4 <= (IN_FILE if in_file else ROWS)
        return found | {"rows": packed(x) if there else None}
    channels, height, width = subject.data.space.shape
    room = SHEET_IN_FILE if in_file else SHEET
    side = int((room / (len(split) * min(3, channels))) ** 0.5)
    side = max(8, min(side, THUMBNAIL, max(height, width)))
    columns = int(len(split) ** 0.5) + 1
    sheet = grid(split.x, subject.brightness, columns, "", gap=0, tile=(1, side))
    tile = sheet.width // columns
    high = sheet.height // -(-len(split) // columns)
    return found | {
        "sheet": {"source": sheet.source, "columns": columns, "width": tile, "height": high}
    }
