"""draw_figure: what one section of the page draws, as an SVG that needs no page around it."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from typing import Any, NamedTuple

from markupsafe import Markup
from PIL import Image

from reparam.data import Data
from reparam.evaluation.modes import evaluating
from reparam.report.colors import class_colors
from reparam.report.pictures import Picture
from reparam.report.section import Figure, Section, Shown
from reparam.report.sections import SECTIONS
from reparam.report.selection import class_names
from reparam.report.trained import TrainedModel
from reparam.wording import did_you_mean

COLORS = 128  # of an image within a plot
WIDEST = 880  # pixels: figures beyond are reduced, and rows of them end
X, Y = "\0x", "\0y"  # where a block will be: no text of XML has such a character
MARGIN, GAP, LINE = 12, 18, 17  # pixels: around all, between figures, from line to line
LETTER = 6.4  # pixels that a letter takes on average
SMALL_GAP, SMALL_SIDE = 6, 80  # pixels: between tiles that are no larger than this
BESIDE = ("thumbnails", "distances", "outcomes")  # for the pointer of a page, or folded away there
PNG = re.compile(r"base64,([^\"]+)")
OWN_RULES = re.compile(r"\.(dots|under|origin|cluster|triangle|marginal)\b")  # of drawings by hand
STYLE = """
svg.figure:root { background: var(--page); }
.figure { font: 12.5px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans",
 sans-serif; font-variant-numeric: tabular-nums; color: var(--ink); }
.figure text { fill: currentColor; font-family: inherit !important; }
.figure .label { font-weight: 650; }
.figure :is(.caption, .time) { fill: var(--soft); }
.figure .time { text-anchor: middle; font-size: 11.5px; }
.figure .pixels { image-rendering: pixelated; }
"""


@dataclass
class Group:
    """Figures that belong together, with their captions.

    Args:
        label: what they are of; empty: that needs no words.
        figures: captions, often none, and figures.
        note: what else there is to say.
        columns: what the columns of the figures are.
    """

    label: str = ""
    figures: list[tuple[str, Figure]] = field(default_factory=list)
    note: str = ""
    columns: Sequence[str] = ()


class Block(NamedTuple):
    """A part of the drawing: its width, its height, and the element at a place."""

    width: float
    height: float
    element: str  # with X and Y


def figure_names(shown: Shown) -> dict[str, str]:
    """The sections that may have a figure of these data, by name their title."""
    return {
        section.id: section.title
        for section in SECTIONS
        if section.drawn and section.applies(shown)
    }


def draw_figure(name: str, data: Data, entries: Sequence[TrainedModel], *, seed: int = 0) -> Markup:
    """What one section of a report draws of trained models, as an ``<svg>`` element.

    Args:
        name: of the section, as in ``figure_names``.
        data: what the models were trained on; the test split is shown.
        entries: the models; those that the section measures have ``scores``.
        seed: of the examples chosen and of everything drawn.

    Raises:
        ValueError: no such figure, or none of these models.

    >>> import reparam as rp
    >>> data = rp.load_data("digits")
    >>> model = rp.build("pca", data.space, latent_dim=2)
    >>> history = rp.fit(model, data, progress=False)
    >>> draw_figure("filters", data, [TrainedModel("PCA", model, {}, history)])[:4]
    Markup('<svg')
    """
    shown = Shown(data, entries, seed)
    section = section_named(name, shown)
    with evaluating([entry.model for entry in entries]):
        groups = [group for group in _groups(section.build(shown)) if group.figures]
    if not groups:
        labels = ", ".join(entry.label for entry in entries)
        raise ValueError(f"figure: {name} has nothing to show of {labels}")
    if len(groups) == 1 == len(entries):
        groups[0].label = ""
    return _drawn(section.title, groups, _colors(data))


def scores_needed(name: str) -> dict[str, Any] | None:
    """What ``evaluate`` is asked for where the figure shows scores; None where it shows none."""
    about = next((section for section in SECTIONS if section.id == name), None)
    if about is None or not about.measured:
        return None
    return {"coded": True} if about.coded else {}


def section_named(name: str, shown: Shown) -> Section:
    """The section; ValueError with the names that there are for an unknown one."""
    known = figure_names(shown)
    if name not in known:
        raise ValueError(
            f"figure: expected one of {', '.join(known)}, got {name!r}{did_you_mean(name, known)}"
        )
    return next(section for section in SECTIONS if section.id == name)


# ---------------------------------------------------------------------------------------- finding


def _groups(content: Any) -> list[Group]:
    """The figures anywhere in the content of a section, by the object that names them."""
    groups = [Group()]
    _collect(content, groups)
    return groups


def _collect(content: Any, groups: list[Group]) -> None:
    if _is_figure(content):
        groups[-1].figures.append(("", content))
    elif _is_captioned(content):
        groups[-1].figures.append(content)
    elif parts := _parts(content):
        title = getattr(content, "label", "") or getattr(content, "title", "")
        if isinstance(title, str) and title:
            groups.append(Group(title))
        if isinstance(note := getattr(content, "note", ""), str) and note:
            groups[-1].note = note
        groups[-1].columns = getattr(content, "columns", ()) or groups[-1].columns
        for part in parts:
            _collect(part, groups)
    elif isinstance(content, list | tuple):
        for part in content:
            _collect(part, groups)


def _parts(content: Any) -> list[Any]:
    """The fields of a named tuple or a dataclass, but for what is beside the figures."""
    names: Sequence[str] = ()
    if isinstance(content, tuple) and hasattr(content, "_fields"):
        names = content._fields
    elif dataclasses.is_dataclass(content) and not isinstance(content, Picture):
        names = [part.name for part in dataclasses.fields(content)]
    return [getattr(content, name) for name in names if name not in BESIDE]


def _is_figure(content: Any) -> bool:
    return isinstance(content, Picture) or (
        isinstance(content, Markup) and content.lstrip().startswith("<svg")
    )


def _is_captioned(content: Any) -> bool:
    pair = isinstance(content, tuple) and len(content) == 2 and isinstance(content[0], str)
    return pair and not hasattr(content, "_fields") and _is_figure(content[1])


# ---------------------------------------------------------------------------------------- drawing


def _drawn(title: str, groups: Sequence[Group], colors: str) -> Markup:
    """Groups one under another: label, rows of figures, note."""
    elements: list[str] = []
    y, right = float(MARGIN), 0.0
    for group in groups:
        for block_row in _rows(group):
            x, height = float(MARGIN), max(block.height for block in block_row)
            for block in block_row:
                elements.append(block.element.replace(X, f"{x:g}").replace(Y, f"{y:g}"))
                right = max(right, x + block.width)
                x += block.width + _gap(block)
            y += height + _gap(block_row[0])
    width, height = round(right + MARGIN), round(y - GAP + MARGIN)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'class="figure" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{escape(title)}">'
    )
    text = "\n".join([head, f"<style>{colors}{STYLE}</style>", *elements, "</svg>\n"])
    return Markup(text)  # noqa: S704  (its text is escaped)


def _gap(block: Block) -> float:
    return SMALL_GAP if block.height <= SMALL_SIDE and block.width <= SMALL_SIDE else GAP


def _rows(group: Group) -> Iterator[list[Block]]:
    """The blocks of a group in rows that are not too wide."""
    if group.label:
        yield [_text(group.label, "label")]
    row: list[Block] = []
    for caption, figure in group.figures:
        block = _figure(caption, figure)
        if row and sum(b.width + _gap(b) for b in row) + block.width > WIDEST:
            yield row
            row = []
        row.append(block)
    yield row
    if group.columns:
        yield [_times(group.columns, row[0].width)]
    if group.note:
        yield [_text(group.note, "caption")]


def _text(text: str, kind: str, width: float = WIDEST) -> Block:
    """Lines of text, which begin at the left."""
    lines = textwrap.wrap(text, max(12, int(width / LETTER))) or [""]
    spans = "".join(
        f'<tspan x="0" y="{12 + LINE * i}">{escape(line)}</tspan>' for i, line in enumerate(lines)
    )
    element = f'<text class="{kind}" transform="translate({X} {Y})">{spans}</text>'
    return Block(min(width, max(map(len, lines)) * LETTER), LINE * len(lines), element)


def _times(columns: Sequence[str], width: float) -> Block:
    """What the columns of the picture above are, each in its middle."""
    each = width / len(columns)
    texts = "".join(
        f'<text class="time" x="{each * (i + 0.5):.1f}" y="10">{escape(str(column))}</text>'
        for i, column in enumerate(columns)
    )
    return Block(width, LINE, f'<g transform="translate({X} {Y})">{texts}</g>')


def _figure(caption: str, figure: Figure) -> Block:
    """A figure under its caption."""
    block = _picture(figure) if isinstance(figure, Picture) else _plot(figure)
    if not caption:
        return block
    text = _text(caption, "caption", max(block.width, 96))
    top = f'<g transform="translate({X} {Y})">{_at(text, 0)}{_at(block, text.height)}</g>'
    return Block(max(block.width, text.width), text.height + block.height, top)


def _at(block: Block, y: float) -> str:
    return block.element.replace(X, "0").replace(Y, f"{y:g}")


def _picture(picture: Picture) -> Block:
    scale = min(1.0, WIDEST / picture.width)
    width, height = picture.width * scale, picture.height * scale
    kind = ' class="pixels"' if picture.crisp and scale == 1 else ""
    element = (
        f'<image{kind} x="{X}" y="{Y}" width="{width:g}" height="{height:g}" '
        f'aria-label="{escape(picture.alt)}" xlink:href="{picture.source}"/>'
    )
    return Block(width, height, element)


def _plot(plot: Markup) -> Block:
    """An ``<svg>`` element of the page, as one within another."""
    head, _, rest = str(plot).partition(">")
    box = re.search(r'viewBox="([^"]+)"', head)
    assert box is not None, "plots of sections have a viewBox"
    width, height = map(float, box[1].split()[2:])
    asked = re.search(r"width:(\d+)px", head)
    shown = min(WIDEST, float(asked[1]) if asked else width)
    scaled = height * shown / width
    head = re.sub(r'\s(style|width|height|xmlns)="[^"]*"', "", head)
    place = f' x="{X}" y="{Y}" width="{shown:g}" height="{scaled:g}">'
    return Block(shown, scaled, head + place + _without_rows(PNG.sub(_lighter, rest)))


def _lighter(found: re.Match[str]) -> str:
    """An image within a plot with a palette: maps of heat have few colors that can be told."""
    file = io.BytesIO()
    with Image.open(io.BytesIO(base64.b64decode(found[1]))) as image:
        pixels = image.convert("RGBA")
    opaque = pixels.getchannel("A").getextrema() == (255, 255)  # of which palettes are better
    (pixels.convert("RGB") if opaque else pixels).quantize(COLORS).save(file, "PNG", optimize=True)
    return f"base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def _without_rows(text: str) -> str:
    """Without what only the pointer of a page looks up."""
    return re.sub(r' data-(rows|class)="[^"]*"', "", text)


def _colors(data: Data) -> str:
    """The colors of pages and of the classes, in light and dark, and how maps look."""
    folder = files("reparam.report")
    theme = folder.joinpath("theme.css").read_text(encoding="utf-8")
    page = folder.joinpath("style.css").read_text(encoding="utf-8")
    names = len(class_names(data))
    light, dark = (
        "".join(f"--class-{i}:{color};" for i, color in enumerate(class_colors(names, dark=on)))
        for on in (False, True)
    )
    maps = "\n".join(line for line in page.splitlines() if OWN_RULES.match(line))
    return (
        f"{theme[: theme.index('* {')]}:root {{ {light} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n{maps}\n"
    )
