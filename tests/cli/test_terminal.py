"""What the terminal gets: names of data and users as they are, in encodings that know few signs."""

import ast
import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import reparam as package
from reparam.cli.main import main
from reparam.cli.messages import complain
from reparam.cli.tables import comparison_table, key_values, named, rows_table, score_table, show
from reparam.evaluation import Score
from reparam.progress import bar
from reparam.terminal import SPELLED, spell_out

NASTY = ["[/red]", "[bold]", "a\x1b[2Jb", "\x9b31m", ":dog:", "\u202egnp.exe", "two\nlines", "\\"]
SHOWN = [
    "[/red]",
    "[bold]",
    r"a\x1b[2Jb",
    r"\x9b31m",
    ":dog:",
    r"\u202egnp.exe",
    r"two\nlines",
    "\\",
]
ROOT = Path(package.__file__).parent


def run_in(monkeypatch, encoding, *words):
    """Exit code and output of a command whose output stream has this encoding."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "argv", ["reparam", *map(str, words)])
    with pytest.raises(SystemExit) as exit_:
        main()
    stream.flush()
    return exit_.value.code or 0, stream.buffer.getvalue().decode(encoding)


@pytest.mark.parametrize("name, shown", list(zip(NASTY, SHOWN, strict=True)))
def test_names_are_shown_as_they_are_wherever_they_stand(name, shown, capsys):
    score = Score(1.0, "nats", 10, "test", stderr=0.1)
    table = comparison_table({name: {"elbo": score}}, 200)
    contents = [key_values({name: name}), rows_table(["h"], [[name]]), table, f"in {named(name)}"]
    for content in contents:
        show(content)
        printed = capsys.readouterr().out
        assert shown in printed and not set(printed) & set("\x1b\x9b\u202e"), printed
    show(score_table({"elbo": Score(1.0, name.replace("\n", " "), 10, "test")}))
    complain("error", f"is {name}")
    printed = capsys.readouterr().err
    assert shown.replace(r"\n", " ") in printed and printed.count("\n") == 1


def test_names_of_data_in_every_part_of_what_is_printed(reparam, tmp_path):
    rng = np.random.default_rng(0)
    rows = "".join(f'{a},{b},"{NASTY[i % 5]}"\n' for i, (a, b) in enumerate(rng.random((40, 2))))
    (tmp_path / "t.csv").write_text(f"speed [/s],dr\x1b[31mift,{NASTY[0]}\n" + rows)
    words = [tmp_path / "t.csv", "--label", NASTY[0]]
    code, out, err = reparam("data", *words)
    assert code == 0 and "\x1b" not in out and r"dr\x1b[31mift" in out and ":dog:" in out, err
    run = tmp_path / "r\x1b[31m[/b]"
    code, out, err = reparam("fit", "pca", *words, "latent_dim=1", "-o", run)
    assert code == 0 and "\x1b" not in out + err and r"r\x1b[31m[/b]" in "".join(out.split()), err
    code, _, err = reparam("evaluate", tmp_path / "no\x1b[2J")
    assert code == 2 and r"no\x1b[2J" in err and "\x1b" not in err


def test_scores_are_shown_in_ascii(runs, tmp_path, monkeypatch):
    code, out = run_in(monkeypatch, "ascii", "evaluate", runs / "vae", "--samples", 2)
    assert code == 0 and "+/-" in out and ">=" in out


@pytest.mark.parametrize(
    "encoding, shown",
    [
        ("ascii", r">= 1 +/- 2 \xe4 \u2119"),
        ("latin-1", r">= 1 ± 2 ä \u2119"),
        ("utf-8", "≥ 1 ± 2 ä ℙ"),
    ],
)
def test_signs_that_an_encoding_lacks_are_spelled(encoding, shown):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    spell_out(stream)
    stream.write("≥ 1 ± 2 ä ℙ")
    stream.flush()
    assert stream.buffer.getvalue().decode(encoding) == shown


SPEAKING = (
    "cli",
    "comparison.py",
    "data",
    "evaluation",
    "objectives",
    "train",
    "use",
    "wording.py",
)


def test_signs_that_are_printed_can_be_spelled():
    paths = [path for name in SPEAKING for path in [ROOT / name, *(ROOT / name).rglob("*.py")]]
    used = {sign: path for path in paths if path.is_file() for sign in _constants(path)}
    used = {sign: path for sign, path in used.items() if path.name != "cells.py"}  # it reads them
    assert {"≈", "–"} <= used.keys()
    assert not used.keys() - SPELLED.keys(), used


def _constants(path):
    """The signs beyond ASCII in all strings of a module that are no docstrings."""
    tree = ast.parse(path.read_text("utf-8"))
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield from (sign for sign in node.value if sign > "\x7f")


def test_help_and_class_names_in_ascii(tmp_path, monkeypatch):
    (tmp_path / "t.csv").write_text(
        "größe,y\n" + "".join(f"{i / 7},{'äß'[i % 2]}\n" for i in range(9))
    )
    code, out = run_in(monkeypatch, "ascii", "data", tmp_path / "t.csv", "--label", "y")
    assert code == 0 and r"gr\xf6\xdfe" in out and r"\xe4" in out
    assert run_in(monkeypatch, "ascii", "fit", "--help")[0] == 0
    assert run_in(monkeypatch, "ascii", "models")[0] == 0


def test_scores_are_kept_where_nothing_can_be_printed(runs, tmp_path, monkeypatch):
    class Closed(io.StringIO):
        def write(self, text):
            raise OSError("no space left on device")

    monkeypatch.setattr(sys, "stdout", Closed())
    words = ["evaluate", runs / "pca", "--json", tmp_path / "scores.json"]
    monkeypatch.setattr(sys, "argv", ["reparam", *map(str, words)])
    with pytest.raises(SystemExit):
        main()
    assert json.loads((tmp_path / "scores.json").read_text())["models"]


def test_a_bar_shows_names_as_they_are(monkeypatch):
    stream = io.StringIO()
    stream.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    with bar("measuring a\x07\x1b]0;title\x07") as watch:
        watch("on [/b]\x1b[2J", 0.5)
    assert r"a\x07\x1b]0;title\x07" in stream.getvalue() and r"[/b]\x1b[2J" in stream.getvalue()


def test_there_is_one_way_to_print():
    """All goes through the console of ``terminal``, and text through ``printable``."""
    for path in ROOT.rglob("*.py"):
        if path.name == "terminal.py":
            continue
        source = path.read_text("utf-8")
        assert not re.search(r"\bConsole\(|^\s*print\(", source, re.MULTILINE), path
        assert "rich.markup" not in source or path.name == "tables.py", path
        assert not re.search(r"std(out|err)\.write\(", source) or path.name in (
            "messages.py",
            "main.py",
        )
