"""Decoders run in a page give what they give here, in headless Chromium."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import reparam as rp
from reparam.explore.program import Program, engine, program_of
from reparam.model import Space

CHROMIUM = Path("/usr/bin/chromium")
HANGS = 600_000  # milliseconds after which something waits for ever
CODES = 200


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    """A page from a file that has the engine and nothing else."""
    if not CHROMIUM.exists():
        pytest.skip("needs Chromium at /usr/bin/chromium")
    sync = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    path = tmp_path_factory.mktemp("page") / "page.html"
    policy = "default-src 'none'; script-src 'unsafe-inline'"
    head = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    path.write_text(f"{head}<script>{engine()}</script>", encoding="utf-8")
    with sync.sync_playwright() as p:
        made = p.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox"], timeout=HANGS
        )
        page = made.new_page()
        page.set_default_timeout(HANGS)
        page.goto(path.as_uri())
        yield page
        made.close()


RUN = """([header, text, codes, conditions]) => {
    const program = Program.fromBase64(header, text);
    return codes.map((code, i) => [...program.run(code, conditions && conditions[i])]);
}"""


def in_page(tab, program: Program, codes, c=None):
    header = json.loads(program.json)
    given = None if c is None else c.tolist()
    rows = tab.evaluate(RUN, [header, program.base64, codes.flatten(1).tolist(), given])
    return torch.tensor(rows, dtype=torch.float64).view(
        len(codes), *program.header["output"]["shape"]
    )


def drawn(model, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 1.5 * torch.randn(CODES, *model.code_space.shape, generator=generator)


def test_a_linear_decoder_of_digits(tab):
    torch.manual_seed(0)
    model = rp.build("vae", Space((1, 8, 8), "binary"), latent_dim=2, hidden=()).eval()
    codes = drawn(model)
    with torch.no_grad():
        wanted = model.decode(codes)
    found = in_page(tab, program_of(model), codes)
    torch.testing.assert_close(found, wanted.double(), rtol=0, atol=1 / 255)
