"""The README's commands run as they stand there, and tables of models are the registry's."""

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reparam.cli.main import app, main
from reparam.presets import PRESETS
from reparam.presets.__main__ import models, renewed, roles
from reparam.train import state

README = Path(__file__).parents[1] / "README.md"


def commands(page=README):
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(), flags=re.DOTALL)
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("reparam ")]


def make_data(folder):
    """What a reader of the README would have: photos of odd sizes in class folders, tables."""
    rng = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (folder / "photos" / name).mkdir(parents=True)
        for i in range(12):
            pixels = rng.integers(0, 256, (50 + i, 71 - i, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / name / f"{i}.png")
    rows = [
        f"{a:.1f},{b:.2f},{s}"
        for (a, b), s in zip(rng.normal(size=(80, 2)), rng.choice(["f", "m"], 80), strict=True)
    ]
    (folder / "people.csv").write_text("age,height,sex\n" + "\n".join(rows))
    towns, owners = rng.choice(["Bern", "Chur", ""], 80), rng.choice(["no", "yes"], 80)
    ages = ["" if i % 9 == 0 else str(age) for i, age in enumerate(rng.integers(20, 40, 80))]
    columns = range(80), ages, towns, [f"{v:.2f}" for v in np.exp(rng.normal(8, 1, 80))], owners
    rows = [",".join(map(str, row)) for row in zip(*columns, strict=True)]
    (folder / "survey.csv").write_text("id,age,town,income,owner\n" + "\n".join(rows))


@pytest.mark.filterwarnings("ignore:most of .* codes are idle")  # after so few steps
def test_commands_run_as_written(tmp_path, monkeypatch, capsys):
    make_data(tmp_path)
    monkeypatch.chdir(tmp_path)
    # As written, but for the amount of training and of importance samples, and smaller photos on
    # a page, of which those of 64 x 64 take longest of all.
    monkeypatch.setattr(state, "STEPS_BY_DEFAULT", 2)
    monkeypatch.setattr(state, "EPOCHS_AT_LEAST", 1)
    monkeypatch.setattr("reparam.comparison.BY_DEFAULT", {"epochs": 1})
    assert len(commands()) >= 10
    for line in commands():
        line = re.sub(r"--budget \d+s", "--epochs 1", line).replace("--epochs 700", "--epochs 2")
        line = re.sub(r"(compare photos/ --size) 64", r"\1 16", line)
        samples = (
            ["--samples", "3"] if re.match(r"reparam (compare|evaluate|classify)", line) else []
        )
        monkeypatch.setattr(sys, "argv", [*shlex.split(line), *samples])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code, f"{line}\n{capsys.readouterr().err}"


@pytest.mark.parametrize("page", sorted(README.parent.glob("docs/**/*.md")), ids=lambda p: p.name)
def test_commands_of_other_pages_have_what_they_need(page):
    for line in commands(page):
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
