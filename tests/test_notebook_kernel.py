"""The quickstart from top to bottom, then progress and interrupts, all in one real kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

QUICKSTART = Path(__file__).parents[1] / "docs" / "quickstart.ipynb"
MOST_BYTES = 200_000
INTERRUPTED = """
import os, signal
def interrupt(*_):
    os.kill(os.getpid(), signal.SIGINT)
before = signal.getsignal(signal.SIGINT)
model = rp.build("vae", data.space, latent_dim=2, hidden=(4,), seed=0)
{call}
"""
RETURNED = """h = rp.fit(model, data, epochs=100_000, validated=interrupt)
print(h.ended, len(h.rows), model.training, signal.getsignal(signal.SIGINT) == before)
print(float(rp.evaluate(model, data, samples=1)["elbo"].value) > -300)"""
RAISED = """try:
    rp.fit(model, data, epochs=100_000, validated=interrupt, progress=False)
except KeyboardInterrupt:
    print("raised", model.training)"""
MANY = """
from reparam import progress
progress.SECONDS_BETWEEN_LINES = 0.0
with progress.bar("counting") as tell:
    for i in range(200):
        tell("on", i / 200)
"""


@pytest.fixture(scope="module")
def cells():
    notebook = nbformat.read(QUICKSTART, as_version=4)
    written = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert sum("epochs = 100\n" in cell.source for cell in written) == 1
    for cell in written:
        cell.source = cell.source.replace("epochs = 100\n", "epochs = 2\n")
        cell.outputs = []
    more = [INTERRUPTED.format(call=RETURNED), INTERRUPTED.format(call=RAISED), MANY]
    added = [nbformat.v4.new_code_cell(source) for source in more]
    notebook.cells += added
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    return {"quickstart": written, **dict(zip(("returned", "raised", "many"), added, strict=True))}


def printed(cell) -> str:
    return "".join(out.text for out in cell.outputs if out.output_type == "stream")


def test_the_quickstart_shows_tables_and_pictures(cells):
    kinds = [set(out.data) for c in cells["quickstart"] for out in c.outputs if "data" in out]
    assert sum("image/png" in kind for kind in kinds) == 6
    assert sum("text/html" in kind for kind in kinds) == 5  # data, model, history, scores, score


def test_progress_is_one_output_that_does_not_grow(cells):
    """A file of the notebook has the last line only, however often it was rewritten."""
    lines = [out.data["text/plain"] for out in cells["many"].outputs]
    assert len(lines) == 1 and "counting" in lines[0] and "100%" in lines[0]
    fit = next(c for c in cells["quickstart"] if "rp.fit" in c.source)
    bar = [o.data["text/plain"] for o in fit.outputs if o.output_type == "display_data"]
    assert len(bar) <= 1 and all("100%" in text for text in bar)
    assert not any(
        "widget" in kind
        for c in cells["quickstart"]
        for o in c.outputs
        for kind in o.get("data", {})
    )


def test_interrupting_the_kernel_returns_the_history_and_a_model_that_works(cells):
    assert printed(cells["returned"]) == "interrupted 1 False True\nTrue\n"


def test_without_progress_an_interrupt_is_raised_as_in_scripts(cells):
    """So that a search over many fits ends, and not only one of them."""
    assert printed(cells["raised"]) == "raised False\n"


def test_the_quickstart_is_committed_small_and_executed_in_order():
    notebook = nbformat.read(QUICKSTART, as_version=4)
    assert QUICKSTART.stat().st_size < MOST_BYTES
    counts = [c.execution_count for c in notebook.cells if c.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    text = QUICKSTART.read_text(encoding="utf-8")
    assert "Traceback" not in text and "/tmp" not in text and "/home" not in text
