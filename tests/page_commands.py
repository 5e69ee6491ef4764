"""Commands of pages, run as written but for the amount of training, and the data they speak of."""

from __future__ import annotations

import re
import shlex
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reparam.cli.main import main
from reparam.train import state
from reparam.use.missing_part import complete

LESS = (
    (r"--budget \S+", "--epochs 1"),
    (r"--(tuning-)?epochs \d+", r"--\1epochs 1"),
    (r"--size \d+", "--size 16"),
    (r"--seeds \d+", "--seeds 2"),
    (r"times=\d+", "times=8"),
    (r"--sampling-steps \d+", "--sampling-steps 4"),  # no more than there are times
    (r"(reparam resume .*--epochs) \d+", r"\1 2"),  # a finished run is trained on
)


def lines_of(page: Path) -> list[str]:
    """Every line of a page that a shell is to run, without its comment."""
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    joined = (block.replace("\\\n", " ") for block in blocks)
    lines = [line.split("#")[0].strip() for block in joined for line in block.splitlines()]
    return [line for line in lines if line]


def commands_of(page: Path) -> list[str]:
    """Those lines that are commands of this package."""
    return [line for line in lines_of(page) if line.startswith("reparam ")]


def train_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes what nobody limits short as well."""
    monkeypatch.setattr(state, "STEPS_BY_DEFAULT", 2)
    monkeypatch.setattr(state, "EPOCHS_AT_LEAST", 1)
    monkeypatch.setattr("reparam.comparison.BY_DEFAULT", {"epochs": 1})
    few = partial(complete, steps=5)  # of the chains of a report
    monkeypatch.setattr("reparam.report.sections.completions.complete", few)


def run_cut(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str] | None = None
) -> None:
    """Runs a command as written, but for the amount of training and of importance samples."""
    for written, cut in LESS:
        line = re.sub(written, cut, line)
    few = ["--samples", "3"] if re.match(r"reparam (compare|evaluate|classify)", line) else []
    monkeypatch.setattr(sys, "argv", [*shlex.split(line), *few])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code, f"{line}\n{capsys.readouterr().err if capsys else ''}"


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
