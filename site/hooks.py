"""What the site has beside ``docs/``: its navigation, its reference, its tables."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import navigation
import reference
import repository
import tables
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

LOG = logging.getLogger("mkdocs.hooks.reparam")
ASSETS = {"assets/site.css": Path(__file__).parent / "site.css"}
KATEX = repository.ROOT / "build" / "katex"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds what is generated, and sets the navigation of what is there."""
    written = {**reference.written(), **tables.written(), **repository.written()}
    for path, text in written.items():
        hidden = InclusionLevel.NOT_IN_NAV if path.startswith("source/") else None
        made = File.generated(config, path, content=text)
        made.inclusion = hidden or made.inclusion
        files.append(made)
    for path, source in ASSETS.items():
        files.append(File.generated(config, path, abs_src_path=str(source)))
    for source in sorted(KATEX.rglob("*")):
        if source.suffix in {".css", ".woff2"}:
            path = f"assets/katex/{source.relative_to(KATEX).as_posix()}"
            files.append(File.generated(config, path, abs_src_path=str(source)))
    there, missing = {file.src_uri for file in files}, []
    config.nav = navigation.present(navigation.NAVIGATION, there, missing)
    for path in missing:
        LOG.warning("%s is in the navigation of site/navigation.py, and is not there", path)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Leads links to files outside ``docs/`` to their pages."""
    path = page.file.src_uri
    if page.file.generated_by is not None:
        return markdown
    return repository.site_links(markdown, f"docs/{path}", path, {})
