"""The pieces that everything shown in notebooks is made of: tables, facts, pictures, details."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from markupsafe import Markup, escape

from reparam.report.pictures import Picture
from reparam.terminal import printable

Text = str | Markup  # a plain string is escaped where it is put in

# Colors are the page's own, and grays that show on white and on black. What notebooks paint behind
# rows of tables is taken away, as it would hide text whose color is inherited.
STYLE = Markup(
    "<style>"
    ".reparam{font-size:13px;line-height:1.45;color:inherit;max-width:64em}"
    ".reparam table{border-collapse:collapse;border:0;margin:.3em 0 .5em;width:auto;"
    "display:block;overflow-x:auto;font-size:inherit;color:inherit}"
    ".reparam table tr,.reparam table tr:hover{background:transparent!important}"
    ".reparam table th,.reparam table td{padding:.12em 1.4em .12em 0;border:0;color:inherit;"
    "text-align:left!important;vertical-align:top;background:transparent;font-size:inherit;max-width:34em}"
    ".reparam table thead th{border-bottom:1px solid #8888;vertical-align:bottom}"
    ".reparam table tr.group th{padding-top:.6em;font-weight:normal;opacity:.7}"
    ".reparam table .n{text-align:right!important;white-space:nowrap;"
    "font-variant-numeric:tabular-nums}"
    ".reparam code{background:transparent;color:inherit;padding:0}"
    ".reparam small,.reparam .dim{opacity:.7;font-weight:normal}"
    ".reparam td small{white-space:nowrap}"
    ".reparam p,.reparam ul{margin:.2em 0}"
    ".reparam img{display:block;max-width:100%;margin:.4em 0;background:transparent}"
    ".reparam img.crisp{image-rendering:pixelated}"
    ".reparam summary{cursor:pointer;opacity:.8}"
    ".reparam .curves{display:flex;flex-wrap:wrap;gap:.4em 1.2em;margin:.4em 0}"
    "</style>"
)


def piece(*parts: Text) -> str:
    """Parts one below the other, with their style; each piece has it, as a cell may stand alone.

    >>> piece("a < b").endswith('<div class="reparam">a &lt; b</div>')
    True
    """
    return str(STYLE + Markup('<div class="reparam">{}</div>').format(joined(parts)))


def joined(parts: Iterable[Text]) -> Markup:
    """Parts as they are where they are markup, else escaped and on one line.

    >>> joined(["<b>", Markup("<i>"), "a\\x1b"])
    Markup('&lt;b&gt;<i>a\\\\x1b')
    """
    return Markup("").join(p if isinstance(p, Markup) else escape(printable(p)) for p in parts)


def element(tag: str, *parts: Text, of: str = "", title: str = "") -> Markup:
    """An element of a class, with words that a pointer above it shows.

    >>> element("td", "1", of="n")
    Markup('<td class="n">1</td>')
    """
    named = Markup(' class="{}"').format(of) if of else ""
    titled = Markup(' title="{}"').format(printable(title)) if title else ""
    return Markup("<{0}{1}{2}>{3}</{0}>").format(Markup(tag), named, titled, joined(parts))


def heading(name: Text, about: Text = "") -> Markup:
    """What is shown, and a few words of it."""
    behind = joined([" · ", element("span", about, of="dim")]) if about else ""
    return element("p", element("b", name), behind)


def table(
    head: Sequence[Text], rows: Iterable[Iterable[Text]], numbers: Collection[int] = ()
) -> Markup:
    """A table; an element of a row may be a cell already.

    Args:
        head: of the columns.
        rows: of cells each.
        numbers: which columns are at the right.
    """
    heads = [element("th", cell, of="n" if i in numbers else "") for i, cell in enumerate(head)]
    body = [
        element("tr", *(_cell(cell, i in numbers) for i, cell in enumerate(row))) for row in rows
    ]
    top = element("thead", element("tr", *heads)) if head else Markup("")
    return element("table", top, element("tbody", *body))


def _cell(content: Text, number: bool) -> Markup:
    if isinstance(content, Markup) and content.startswith(("<td", "<th")):
        return content
    return element("td", content, of="n" if number else "")


def facts(rows: Iterable[tuple[str, Text]]) -> Markup:
    """Two columns, what and which, without lines; what is empty is left out."""
    known = [(element("td", what, of="dim"), which) for what, which in rows if which]
    return table((), known)


def details(summary: str, *parts: Text) -> Markup:
    """What is folded away until somebody asks."""
    return element("details", element("summary", summary), *parts)


def bullets(texts: Iterable[str]) -> Markup:
    """A sentence each."""
    return element("ul", *(element("li", text) for text in texts))


def image(picture: Picture) -> Markup:
    """A picture in the page itself."""
    return Markup('<img class="{}" src="{}" width="{}" height="{}" alt="{}">').format(
        "crisp" if picture.crisp else "",
        picture.source,
        picture.width,
        picture.height,
        printable(picture.alt),
    )
