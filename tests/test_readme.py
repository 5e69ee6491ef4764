"""The README's commands run as they stand there, and tables of models are the registry's."""

import re
import shlex
from pathlib import Path

import pytest
from page_commands import commands_of, make_data, run_cut, train_little

from reparam.cli.main import app
from reparam.presets import PRESETS
from reparam.presets.__main__ import models, renewed, roles

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.filterwarnings("ignore:most of .* codes are idle")  # after so few steps
def test_commands_run_as_written(tmp_path, monkeypatch, capsys):
    make_data(tmp_path)
    monkeypatch.chdir(tmp_path)
    train_little(monkeypatch)
    assert len(commands_of(README)) >= 10
    for line in commands_of(README):
        run_cut(line, monkeypatch, capsys)


@pytest.mark.parametrize("page", sorted(README.parent.glob("docs/**/*.md")), ids=lambda p: p.name)
def test_commands_of_other_pages_have_what_they_need(page):
    for line in commands_of(page):
        app.parse_args(shlex.split(line)[1:], exit_on_error=False, print_error=False)


@pytest.mark.parametrize("page", ["README.md", "docs/vocabulary.md"])
def test_tables_of_models_are_those_of_the_registry(page):
    text = (README.parent / page).read_text(encoding="utf-8")
    shown = [row for row in text.splitlines() if re.match(r"\| `", row)]
    assert all(any(f"`{name}`" in row for row in shown) for name in PRESETS)
    assert renewed(text) == text, "python -m reparam.presets README.md docs/vocabulary.md"


def test_no_cell_of_a_table_opens_another():
    for rows in (models().splitlines(), roles().splitlines()):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1


def test_roles_are_those_of_the_classes():
    rows = {row.split(" |")[0]: row for row in roles().splitlines()}
    assert rows["| `pca`"].endswith("| ✓ | ✓ |  | ✓ |  | real, mixed |")
    assert rows["| `ae-gmm`, `latent-diffusion`, `aae`"].endswith("| ✓ | ✓ |  |  |  |  |")
