"""The taxonomy of generative models as a drawing, from the registry: an SVG that needs no page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files

from markupsafe import Markup

from reparam.evaluation.scores import Score, mark
from reparam.presets import PRESETS
from reparam.presets.places import Place, branches, places
from reparam.presets.registry import FAMILIES
from reparam.report.colors import MODELS
from reparam.report.numbers import number

OWN = "Models of your own"  # a family that no preset is of
WIDTH, MARGIN = 1180, 10
LEFT = (0, 148, 294, 440)  # of the root and of the branches, by depth
NODE, HALF = 120, 16  # width of a branch's box, and half its height
FAMILY = 622  # left of the families
LINE, ROW, GAP = 18, 22, 16  # heights: of a line of presets, of a trained model, between families
HEADED = 30  # height of the heads of the columns
# Right ends of the columns of numbers, behind which errors stand; their heads, and the scores they
# show, the first one that is there.
COLUMNS = (
    (960, "log p(x)", ("log_likelihood", "conditional_log_likelihood")),
    (1066, "Fréchet", ("frechet_distance",)),
    (WIDTH, "draws/s", ("samples_per_second",)),
)
LETTER, WIDEST = 7.6, 84  # units that a letter takes on average, and the longest number
STYLE = """
.tree { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans",
 sans-serif; font-variant-numeric: tabular-nums; }
.tree text { fill: var(--ink); }
.tree .edge { fill: none; stroke: var(--soft); stroke-opacity: 0.3; stroke-width: 1.5; }
.tree .edge.trained { stroke-opacity: 1; }
svg.tree:root { background: var(--page); }
.tree .node { fill: var(--card); stroke: var(--line); }
.tree .node.trained { stroke: var(--soft); }
.tree .branch { font-size: 13.5px; font-weight: 600; text-anchor: middle; }
.tree .family { font-weight: 650; }
.tree :is(.presets, .head, .settings, .mark, .error, .none) { fill: var(--soft); }
.tree .head { font-size: 12px; }
.tree .number, .tree .head { text-anchor: end; }
.tree .rule { stroke: var(--line); }
.tree .error { font-size: 11px; }
"""


@dataclass(frozen=True)
class Leaf:
    """A trained model in the tree.

    Args:
        label: what it is called.
        family: what the file of its preset calls the models in it.
        place: where it stands.
        scores: its scores, by name.
        color: of its dot, by number.
    """

    label: str
    family: str
    place: Place
    scores: Mapping[str, Score] = field(default_factory=dict)
    color: int = 0

    @property
    def numbers(self) -> list[tuple[str, str]]:
        """The heads of the columns, and what stands in them: mark, value and error, or a dash."""
        found = (_printed(*known) if (known := self.score(names)) else "—" for *_, names in COLUMNS)
        return [(head, text) for (_, head, _), text in zip(COLUMNS, found, strict=True)]

    def score(self, names: Sequence[str]) -> tuple[Score, str] | None:
        """The first of these scores that is there, with its name."""
        return next(((self.scores[n], n) for n in names if n in self.scores), None)


@dataclass(frozen=True)
class Group:
    """Presets of one family at one place, and the trained models among them.

    Args:
        family: its name.
        presets: names of those that were not trained, in lines.
        leaves: those that were.
    """

    family: str
    presets: Sequence[str]
    leaves: Sequence[Leaf]

    @property
    def height(self) -> int:
        return LINE + ROW * len(self.leaves) + LINE * len(self.presets)


@dataclass
class Node:
    """A branch of the tree, or the root: what hangs from it, and how high it stands."""

    name: str
    depth: int
    children: list[Node | tuple[Group, float]] = field(default_factory=list)

    @property
    def height(self) -> float:
        """In the middle of what hangs from it."""
        ends = [_height(self.children[0]), _height(self.children[-1])]
        return sum(ends) / 2

    @property
    def trained(self) -> bool:
        return any(_trained(child) for child in self.children)


def family_tree(leaves: Sequence[Leaf] = (), alone: bool = True) -> Markup:
    """The tree of all presets, with the numbers of trained models, as an ``<svg>`` element.

    Args:
        leaves: the trained models; none: presets alone.
        alone: whether it is a file of its own, with the colors of light and dark in it and a
            background; else it takes those of the page around it.

    >>> "Variational" in family_tree()
    True
    """
    root, bottom = _arranged(leaves)
    parts = [*_heads()] if leaves else []
    parts += _node(root)
    height = round(bottom + MARGIN)
    box = f"{-MARGIN} {-MARGIN} {WIDTH + 2 * MARGIN} {height + MARGIN}"
    size = f'width="{WIDTH + 2 * MARGIN}" height="{height + MARGIN}" ' if alone else ""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="tree" viewBox="{box}" {size}role="img" '
        f'aria-label="{escape(_said(leaves))}">'
    )
    style = f"<style>{_colors() if alone else ''}{STYLE}</style>"
    return Markup("\n".join([head + style, *parts, "</svg>"]))  # noqa: S704  (its text is escaped)


def _said(leaves: Sequence[Leaf]) -> str:
    """What there is to see, for readers who do not."""
    known = "; ".join(f"{leaf.label}: {', '.join(leaf.place)}" for leaf in leaves)
    return f"Taxonomy of the models by how they have log p(x). {known}".strip()


def _colors() -> str:
    """The colors of the pages, in light and dark, without the type and the boxes of these."""
    theme = files("reparam.report").joinpath("theme.css").read_text(encoding="utf-8")
    return theme[: theme.index("* {")]


# ------------------------------------------------------------------------------------- arranging


def _groups(place: Place, leaves: Sequence[Leaf]) -> Iterator[Group]:
    """The families that have a preset or a trained model at this place, in the usual order."""
    here = [leaf for leaf in leaves if leaf.place == place]
    trained = {leaf.label.split()[0] for leaf in here}
    by_family: dict[str, list[str]] = {}
    for name, found in places().items():
        if found == place:
            by_family.setdefault(PRESETS[name].family, []).append(name)
    names = dict.fromkeys([*FAMILIES, *by_family, *(leaf.family for leaf in here)])
    for family in names:
        mine = [leaf for leaf in here if leaf.family == family]
        rest = [name for name in by_family.get(family, ()) if name not in trained]
        if mine or rest:
            yield Group(family, list(_lines(rest)), mine)


def _lines(names: Sequence[str]) -> Iterator[str]:
    """The names, as many in a line as it holds."""
    line = ""
    for name in names:
        longer = f"{line} · {name}" if line else name
        if line and len(longer) * LETTER > WIDTH - FAMILY:
            yield line
            longer = name
        line = longer
    if line:
        yield line


def outline(leaves: Sequence[Leaf] = ()) -> list[tuple[Place, list[Group]]]:
    """What the tree shows, as a list: places, and the families that stand there."""
    return [(place, list(_groups(place, leaves))) for place in branches()]


def _arranged(leaves: Sequence[Leaf]) -> tuple[Node, float]:
    """The tree, every family at its height, and where it ends."""
    root = Node("maximum likelihood", 0)
    at = float(HEADED if leaves else 0)
    for place in branches():
        node = root
        for name in place:
            node = _child(node, name)
        for group in _groups(place, leaves):
            node.children.append((group, at))
            at += group.height + GAP
    return root, at - GAP


def _child(node: Node, name: str) -> Node:
    for child in node.children:
        if isinstance(child, Node) and child.name == name:
            return child
    child = Node(name, node.depth + 1)
    node.children.append(child)
    return child


def _height(child: Node | tuple[Group, float]) -> float:
    return child.height if isinstance(child, Node) else child[1] + LINE / 2


def _trained(child: Node | tuple[Group, float]) -> bool:
    return child.trained if isinstance(child, Node) else bool(child[0].leaves)


# --------------------------------------------------------------------------------------- drawing


def _node(node: Node) -> Iterator[str]:
    """The edges of a branch, what hangs from it, and its box."""
    left, middle = LEFT[node.depth], node.height
    right = left + NODE
    for child in sorted(node.children, key=_trained):  # these above the others
        end = LEFT[child.depth] if isinstance(child, Node) else FAMILY - 8
        kind = "edge trained" if _trained(child) else "edge"
        yield f'<path class="{kind}" d="{_curve(right, middle, end, _height(child))}"/>'
    for child in node.children:
        yield from _node(child) if isinstance(child, Node) else _group(*child)
    words = node.name.capitalize().split() if node.depth == 0 else [node.name.capitalize()]
    tall = HALF + 9 * (len(words) - 1)
    kind = "node trained" if node.trained else "node"
    yield (
        f'<rect class="{kind}" x="{left}" y="{middle - tall:.1f}" width="{NODE}" '
        f'height="{2 * tall}" rx="8"/>'
    )
    for index, word in enumerate(words):
        y = middle + 5 + 18 * (index - (len(words) - 1) / 2)
        yield f'<text class="branch" x="{left + NODE / 2:g}" y="{y:.1f}">{escape(word)}</text>'


def _curve(x: float, y: float, end: float, height: float) -> str:
    """From the right of a box to the left of what hangs from it, turning just before that."""
    bend = min(66.0, end - x)
    start = end - bend
    middle = start + bend / 2
    turn = f"C{middle:g} {y:.1f} {middle:g} {height:.1f} {end:g} {height:.1f}"
    return f"M{x:g} {y:.1f}H{start:g}{turn}"


def _group(group: Group, top: float) -> Iterator[str]:
    """The name of a family, its trained models with their numbers, and its other presets."""
    y = top + LINE - 5
    yield f'<text class="family" x="{FAMILY}" y="{y:.1f}">{escape(group.family)}</text>'
    y += (LINE + ROW) / 2
    for leaf in group.leaves:
        yield from _leaf(leaf, y)
        y += ROW
    y += (LINE - ROW) / 2
    for line in group.presets:
        yield f'<text class="presets" x="{FAMILY}" y="{y:.1f}">{escape(line)}</text>'
        y += LINE


def _leaf(leaf: Leaf, y: float) -> Iterator[str]:
    """A dot, the label, and the numbers that are there."""
    color = f"var(--model-{leaf.color % MODELS})"
    yield f'<circle cx="{FAMILY + 5}" cy="{y - 4.5:.1f}" r="4.5" fill="{color}"/>'
    name, _, settings = leaf.label.partition(" ")
    room = int((COLUMNS[0][0] - WIDEST - FAMILY - 16) / LETTER)
    shown = _shortened(settings, room - len(name) - 1)
    more = f'<tspan class="settings"> {escape(shown)}</tspan>' if shown else ""
    label = f"{escape(name)}{more}<title>{escape(leaf.label)}</title>"
    yield f'<text x="{FAMILY + 16}" y="{y:.1f}">{label}</text>'
    for right, _, names in COLUMNS:
        known = leaf.score(names)
        if known is None:
            yield f'<text class="number none" x="{right}" y="{y:.1f}">—</text>'
        else:
            yield from _number(*known, right, y)


def _sign(score: Score, name: str) -> str:
    """=, ≥, ≤ or ≈, and before it whether the number is of x given its condition."""
    return ("x|c " if name.startswith("conditional") else "") + mark(score, name)


def _printed(score: Score, name: str) -> str:
    """Mark, value and error in one line."""
    value, error = number(score, name)
    return f"{_sign(score, name)} {value}".strip() + (f" ± {error}" if error else "")


def _number(score: Score, name: str, right: float, y: float) -> Iterator[str]:
    """The value with its mark, ending where all end, and behind it, in small, its error."""
    value, error = number(score, name)
    sign = _sign(score, name)
    before = f'<tspan class="mark">{sign} </tspan>' if sign else ""
    yield f'<text class="number" x="{right}" y="{y:.1f}">{before}{value}</text>'
    if error:
        yield f'<text class="error" x="{right + 5}" y="{y:.1f}">± {error}</text>'


def _shortened(text: str, room: int) -> str:
    """The text, cut with an ellipsis where there is no room for it; "" where for none of it."""
    if len(text) <= room:
        return text
    return f"{text[: room - 1].rstrip()}…" if room > 3 else ""


def _heads() -> Iterator[str]:
    for right, title, _ in COLUMNS:
        yield f'<text class="head" x="{right}" y="10">{escape(title)}</text>'
    yield f'<path class="rule" d="M{FAMILY} 18H{WIDTH}"/>'
