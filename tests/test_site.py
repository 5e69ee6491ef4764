"""What the site is made of: every public name has its page, links are led, nothing is fetched."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import reparam as rp

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module", autouse=True)
def modules():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "site"))
        yield
        for name in ("reference", "repository", "check"):
            sys.modules.pop(name, None)


def test_every_public_name_stands_on_one_page_and_says_what_it_is():
    import reference

    names = [name for found in reference.placed().values() for name, _ in found]
    assert sorted(names) == sorted({*rp.__all__, *(set(reference.DOORS) & set(names))})
    assert reference.page_of("VAE", "reparam.models.vae").title == "Variational autoencoders"
    assert reference.page_of("dci", "reparam.evaluation.disentanglement").title == "Evaluation"
    assert "](vaes.md#reparam.models.vae.VAE)" in reference.written()["reference/index.md"]


def test_a_name_that_stands_nowhere_or_says_nothing_is_refused(monkeypatch):
    import reference

    with pytest.raises(reference.Unplaced, match="page_of of reparam.elsewhere stands on no page"):
        monkeypatch.setattr(rp, "page_of", reference.page_of, raising=False)
        reference.page_of("page_of", "reparam.elsewhere")
    monkeypatch.setattr(rp, "VAE", type("VAE", (rp.VAE,), {}))
    with pytest.raises(reference.Unplaced, match="VAE: expected a docstring"):
        reference.first_sentence("VAE", "reparam.models.vae")


def test_cells_are_plain_text_but_for_code():
    import reference

    assert reference.in_cell("q* in [0, 1] | `a*b`") == "q\\* in \\[0, 1\\] \\| `a*b`"


def test_links_to_the_repository_lead_to_pages():
    import repository

    linked: dict[str, str] = {}
    text = "[a](../src/reparam/terms.py) [b](../benchmarks/README.md#x) [c](flows.md) [d](../no.py)"
    led = repository.site_links(text, "docs/how-to/../vaes.md", "vaes.md", linked)
    source = "source/src/reparam/terms.py.md"
    assert led == f"[a]({source}) [b](benchmarks.md#x) [c](flows.md) [d](../no.py)"
    assert list(linked) == [source] and "TERMS = {" in linked[source]


def test_a_notebook_becomes_a_page():
    import json

    import repository

    cells = [
        {"cell_type": "markdown", "source": ["# Title"]},
        {
            "cell_type": "code",
            "source": ["1 + 1"],
            "outputs": [{"data": {"text/plain": ["2"]}}, {"text": ["said"]}],
        },
    ]
    path = Path(repository.__file__).with_name("made.ipynb")
    page = repository.of_notebook(_Text(path, json.dumps({"cells": cells})))
    assert page.startswith("# Title\n\n```python\n1 + 1\n```\n\n```text\n2\n```\n\n```text\nsaid")


class _Text:
    """A file that is nowhere."""

    def __init__(self, path: Path, text: str) -> None:
        self.name, self._text = path.name, text

    def read_text(self, encoding: str) -> str:
        return self._text


def test_what_a_page_fetches_from_elsewhere_is_found(tmp_path):
    import check

    own = '<a href="https://arxiv.org/abs/1312.6114">p</a><img src="a.png"><link rel="x" href="a">'
    (tmp_path / "a.html").write_text(own)
    (tmp_path / "a.css").write_text("a { background: url(b.png) }")
    assert check.main(tmp_path) == 0
    for name, text in (
        ("b.html", '<script src="//elsewhere/x.js"></script>'),
        ("b.html", '<link rel="stylesheet" href="https://elsewhere/x.css">'),
        ("b.css", "@import 'https://elsewhere/x.css'"),
        ("b.svg", '<svg><style>@font-face{src:url("http://elsewhere/f")}</style></svg>'),
    ):
        (tmp_path / name).write_text(text)
        assert check.main(tmp_path) == 1, text
        (tmp_path / name).unlink()
    (tmp_path / "a.html").unlink()
    (tmp_path / "a.css").unlink()
    assert check.main(tmp_path) == 1  # a site without pages is none


def test_the_version_stands_in_one_place_and_in_the_changelog():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert rp.__version__ not in project.split("[project.optional-dependencies]")[0]
    assert f"## {rp.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "version: " not in (ROOT / "CITATION.cff").read_text("utf-8").replace(
        "cff-version: ", ""
    )
