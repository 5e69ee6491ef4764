"""Chromium without a window, for tests of pages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = Path("/usr/bin/chromium")
HANGS = 600_000  # milliseconds after which something waits for ever


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser; the test is skipped where there is none."""
    if not CHROMIUM.exists():
        pytest.skip(f"needs Chromium at {CHROMIUM}")
    sync = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with sync.sync_playwright() as p:
        made = p.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox"], timeout=HANGS
        )
        yield made
        made.close()
