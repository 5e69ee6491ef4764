"""The page on adding a model, followed to the letter in a copy of this repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COPIED = ("src", "tests", "docs", "README.md", "pyproject.toml", ".mypy_cache")  # the last: seconds
FILE = re.compile(r"^\*\*\d\. [^`]*`([^`]+)`(?:(?!```).)*```python\n(.*?)```", re.M | re.S)


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """A copy with the page's files in it."""
    folder = tmp_path_factory.mktemp("followed")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name)
        elif (ROOT / name).exists():
            shutil.copy2(ROOT / name, folder / name)
    page = (ROOT / "docs/add-a-model.md").read_text(encoding="utf-8")
    written = dict(FILE.findall(page))
    assert len(written) == page.count("```python") == 3
    for name, text in written.items():
        assert not (folder / name).exists()
        (folder / name).write_text(text, encoding="utf-8")
    tables = re.search(r"^python (-m reparam.presets .*)$", page, re.M)
    assert run(folder, *tables[1].split()) == ""
    return folder, list(written)


def run(folder, *words):
    """What a module of Python says there; all of it where it fails."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    environment |= {"PYTHONPATH": str(folder / "src"), "REPARAM_TEST_ONLY": "mean-image"}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_its_files_pass_lint_and_types(followed):
    folder, written = followed
    run(folder, "-m", "ruff", "check", *written)
    run(folder, "-m", "ruff", "format", "--check", *written)
    run(folder, "-m", "mypy")


def test_its_model_keeps_the_contract_and_its_facts(followed):
    folder, written = followed
    told = run(
        folder,
        *(
            "-m",
            "pytest",
            "-vv",
            "--durations=15",
            "-k",
            "mean or tables_of_models",
            "-p",
            "no:cacheprovider",
        ),
        *("tests/test_contract.py", "tests/test_readme.py", *written),
    )
    passed = set(re.findall(r"::(\w+)\S* PASSED", told))
    assert {
        "test_kind_and_generator_of_log_prob",
        "test_compiled_loss_is_the_loss",
        "test_a_preset_says_what_it_builds",
        "test_tables_of_models_are_those_of_the_registry",
        "test_the_likelihood_is_the_entropy_of_the_means",
    } <= passed
    assert (
        "| `mean-image` |  | ✓ |  | ✓ |  | binary |" in (folder / "docs/vocabulary.md").read_text()
    )
