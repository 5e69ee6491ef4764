"""Files of the repository beside ``docs/``: those that are pages, and links to all others.

A link such as ``../src/reparam/model.py`` works where the repository is looked at. On the site it
leads to a page with that file.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from pathlib import Path
from posixpath import normpath, relpath

ROOT = Path(__file__).parents[1]
# Files that are pages, by where they stand on the site.
PAGES = {
    "tour.md": "README.md",
    "benchmarks.md": "benchmarks/README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
}
RESULTS = {
    f"benchmarks-{path.stem.removeprefix('results-')}.md": f"benchmarks/{path.name}"
    for path in sorted((ROOT / "benchmarks").glob("results-*.md"))
}
PAGES |= RESULTS
NOTEBOOKS = {"quickstart.md": "docs/quickstart.ipynb"}
INSTEAD = {path: page for page, path in PAGES.items()}
LINK = re.compile(r"(\]\()([^)#\s:]+)((?:#[^)\s]*)?\))")


def written() -> dict[str, str]:
    """The pages in Markdown, by path."""
    pages = {page: (ROOT / path).read_text(encoding="utf-8") for page, path in PAGES.items()}
    notebooks = {page: ROOT / path for page, path in NOTEBOOKS.items() if (ROOT / path).exists()}
    pages |= {page: of_notebook(path) for page, path in notebooks.items()}
    there = {*pages, *NOTEBOOKS}
    linked: dict[str, str] = {}
    for page, text in pages.items():
        pages[page] = site_links(text, PAGES.get(page, NOTEBOOKS.get(page, page)), page, linked)
    for path in sorted((ROOT / "docs").rglob("*.md")):
        name = path.relative_to(ROOT / "docs").as_posix()
        if name not in there:
            site_links(path.read_text(encoding="utf-8"), f"docs/{name}", name, linked)
    return pages | linked


def site_links(text: str, source: str, page: str, linked: dict[str, str]) -> str:
    """The page with its links to other files of the repository led to where they are on the site.

    Args:
        text: what stands in ``source``, whose links are relative to it.
        source: a path in the repository.
        page: where it stands on the site.
        linked: is given the pages of files that are linked and are no pages themselves.
    """

    def led(match: re.Match[str]) -> str:
        target = normpath((Path(source).parent / match[2]).as_posix())
        path = INSTEAD.get(target) or target.removeprefix("docs/")
        if target not in INSTEAD and not target.startswith("docs/"):
            if not (ROOT / target).is_file():
                return match[0]  # no file: the build says so
            path = f"source/{target}.md"
            code = (ROOT / target).read_text(encoding="utf-8")
            kind = Path(target).suffix.removeprefix(".")
            linked[path] = (
                f"---\nsearch: {{exclude: true}}\n---\n# {target}\n\n````{kind}\n{code}\n````\n"
            )
        return f"{match[1]}{relpath(path, Path(page).parent.as_posix() or '.')}{match[3]}"

    return LINK.sub(led, text)


def of_notebook(path: Path) -> str:
    """A notebook as a page: its text, its code, and what it showed."""
    said = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            said.append(text)
        elif cell["cell_type"] == "code":
            said += [f"```python\n{text}\n```", *map(_output, cell["outputs"])]
    there = f"[The same as a notebook]({path.name})"
    return "\n\n".join([*(part for part in said if part), there]) + "\n"


def _output(output: dict[str, object]) -> str:
    data = output.get("data", {"text/plain": output.get("text", "")})
    assert isinstance(data, dict)
    if "image/png" in data:
        content = "".join(data["image/png"]).replace("\n", "")
        assert b64decode(content)
        return f'<img alt="What the cell shows" src="data:image/png;base64,{content}">'
    if "text/html" in data:
        return f'<div class="output" markdown="0">{"".join(data["text/html"])}</div>'
    return "```text\n" + "".join(data.get("text/plain", "")) + "\n```"
