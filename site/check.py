"""``python site/check.py FOLDER``: a built site fetches nothing from another host.

Links to papers are no fetches; pictures, styles, fonts, scripts and frames are.
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

FOREIGN = re.compile(r"^\s*(https?:)?//", re.I)
IN_STYLES = re.compile(r"(?:url\(|@import)\s*[\"']?\s*((?:https?:)?//[^\s\"')]+)", re.I)
NO_FETCH = {"canonical", "next", "prev", "alternate"}  # relations that a browser does not follow


class Fetches(HTMLParser):
    """The addresses that a page makes a browser fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One element."""
        values = {name: value or "" for name, value in attrs}
        named = ["src", "srcset", "poster", "data"]
        if tag == "link" and values.get("rel") not in NO_FETCH:
            named.append("href")
        self.found += [values[name] for name in named if name in values]
        if values.get("class") == "mermaid":  # the theme would fetch a library for it
            self.found.append("//mermaid")


def foreign(path: Path) -> list[str]:
    """What a file of the site would fetch from elsewhere."""
    text = path.read_text(encoding="utf-8")
    found = IN_STYLES.findall(text) if path.suffix in {".css", ".html", ".svg"} else []
    if path.suffix == ".html":
        page = Fetches()
        page.feed(text)
        found += [address for address in page.found if FOREIGN.match(address)]
    return found


def main(folder: Path) -> int:
    """1 where something is fetched from elsewhere, 0 elsewhere."""
    pages = [path for path in folder.rglob("*") if path.suffix in {".html", ".css", ".svg"}]
    found = {path: foreign(path) for path in pages}
    for path, addresses in found.items():
        for address in addresses:
            print(f"{path.relative_to(folder)}: fetches {address}", file=sys.stderr)
    return int(not pages or any(found.values()))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
