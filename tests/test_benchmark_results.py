"""Benchmarks judge what they found, go on where they stopped, and run as their pages write them."""

from __future__ import annotations

import argparse
import doctest
import importlib.util
import json
import math
import os
import re
import select
import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from results import Quantity, Result, at_least, at_most, row, show
from turns import in_turn

FOLDER = Path(__file__).parents[1] / "benchmarks"

COMMAND = re.compile(r"python benchmarks/(\w+)\.py([^`\n#]*)")


def load(name):
    """A script under a name of its own: tests have modules that are called like some of them."""
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def everything():
    return load("all")


@pytest.mark.parametrize(
    ("goal", "values", "verdict"),
    [
        (at_least(0.97), [0.96, 0.98, 0.99], "reached, within the noise"),
        (at_least(0.97), [0.97, 0.98, 0.99], "reached"),
        (at_least(0.97), [0.5, 0.98, 0.98, 0.98, 0.98, 0.99, 0.99], "reached"),
        (at_least(0.97), [0.5, 0.6, 0.98, 0.98, 0.99, 0.99, 0.99], "reached, within the noise"),
        (at_least(0.97), [0.98], "reached, one run"),
        (at_most(0.97), [0.96, 0.98, 0.99], "not reached, within the noise"),
        (at_most(0.5), [0.96, 0.98], "not reached"),
        (None, [1.0], ""),
    ],
)
def test_a_goal_is_compared_with_the_median(goal, values, verdict):
    assert Quantity("speed", goal).found(values).verdict == verdict


def test_what_is_no_number_is_refused():
    for values in ([], [1.0, math.nan], [math.inf]):
        with pytest.raises(ValueError, match="speed: expected finite values"):
            Quantity("speed").found(values)


@pytest.mark.parametrize(
    ("value", "goal", "shown"),
    [(0.8496, 0.85, "0.8496"), (0.85, 0.85, "0.85"), (0.84, 0.85, "0.84"), (299.8, 300, "299.8")],
)
def test_what_is_not_the_goal_does_not_look_like_it(value, goal, shown):
    assert Quantity("speed", at_least(goal)).found([value]).median == shown


def test_a_cell_does_not_end_a_row():
    assert row(["log |J|", "two\nlines"]) == r"| log \|J\| | two lines |"


def test_the_slope_of_a_curve_is_that_of_its_upper_half(monkeypatch):
    growth = load("growth")
    failed, tried = doctest.testmod(growth)
    assert tried and not failed
    points = [growth.Point("rows", n, "compare", n / 1e3, 0.1) for n in (10, 100, 1000)]
    seconds, memory = growth.slopes(points)
    assert seconds.what == "`compare`, rows 10 … 1,000: slope of 0.01 … 1 s"
    assert seconds.verdict == "reached, one run" and seconds.values == [pytest.approx(1)]
    assert memory.verdict == "not measured: needs two sizes of more than 1 MB"


def test_what_is_kept_comes_back(tmp_path, capsys):
    found = [
        Quantity("a step / another", at_most(1.2)).found([1.1, 1.0, 1.3]),
        Quantity("a start", None, "s").found([123.4]),
        Quantity("a peer", at_least(4)).lacking("a peer"),
    ]
    show(found, tmp_path / "found.json")
    assert [
        Result.read(each) for each in json.loads((tmp_path / "found.json").read_text())
    ] == found
    lines = [
        row(["a step / another", "1.1 (1–1.3)", "≤ 1.2", "reached, within the noise"]),
        row(["a start", "123 s", "", ""]),
        row(["a peer", "", "≥ 4", "not measured: needs a peer"]),
    ]
    assert "\n".join(lines) in capsys.readouterr().out


@pytest.fixture
def works(tmp_path, monkeypatch):
    """Of a module that processes of their own can import."""
    text = (
        "def counting(hand_over, turns):\n    for _ in range(turns):\n        hand_over()\n\n"
        "def broken(hand_over):\n    hand_over()\n    raise RuntimeError('no kernel')\n"
    )
    (tmp_path / "some_works.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("some_works")
    del sys.modules["some_works"]


@pytest.mark.parametrize("cpu", [True, False])
def test_sides_take_turns_until_all_have_ended(works, cpu):
    sides = {str(n): partial(works.counting, turns=n) for n in (0, 3)}
    seconds = in_turn(sides, cpu)
    assert {name: len(taken) for name, taken in seconds.items()} == {"0": 1, "3": 4}
    assert all(second >= 0 for taken in seconds.values() for second in taken)


def test_a_side_that_fails_is_heard(works, capfd):
    with pytest.raises(RuntimeError, match="broken: failed"):
        in_turn({"broken": works.broken, "fine": partial(works.counting, turns=9)})
    assert "no kernel" in capfd.readouterr().err


def test_what_failed_stops_nothing_and_comes_again(everything, tmp_path, monkeypatch, capsys):
    """Each command in a process, as always; these are scripts of a line."""
    monkeypatch.setattr(everything, "FOLDER", tmp_path)
    monkeypatch.setattr(everything, "COMMANDS", {"bad": "bad.py", "good": "good.py --rounds 9"})
    result = Quantity("speed", at_least(1)).found([2.0])._asdict()
    (tmp_path / "bad.py").write_text("raise ValueError('no such thing')")
    write = "import json, sys; open(sys.argv[-1], 'w').write({!r}); assert '3' in sys.argv"
    (tmp_path / "good.py").write_text(write.format(json.dumps([result])))
    words = [
        "all.py",
        "--only",
        "bad",
        "good",
        "--json",
        str(tmp_path / "all.json"),
        "--rounds",
        "3",
    ]
    monkeypatch.setattr(sys, "argv", [*words, "--markdown"])
    with pytest.raises(SystemExit, match="1"):
        everything.main()
    shown = capsys.readouterr().out
    assert "| bad |  |  | failed: ValueError: no such thing | `python benchmarks/bad.py` |" in shown
    command = "`python benchmarks/good.py --rounds 3`"
    assert f"| speed | 2 | ≥ 1 | reached, one run | {command} |" in shown
    (tmp_path / "bad.py").write_text((tmp_path / "good.py").read_text().replace("assert", "#"))
    (tmp_path / "good.py").write_text("raise ValueError('measured again')")
    everything.main()
    shown = capsys.readouterr().out
    assert "failed" not in shown and shown.count("| speed |") == 2
    monkeypatch.setattr(everything, "commit", lambda: "another")
    with pytest.raises(SystemExit, match="1"):
        everything.main()
    assert "failed: ValueError: measured again" in capsys.readouterr().out
    monkeypatch.setattr(everything, "version", lambda _: "another")
    with pytest.raises(SystemExit, match="give another file"):
        everything.main()


def test_a_command_whose_time_is_up_is_ended_with_its_children(everything, tmp_path, monkeypatch):
    """The child holds a pipe, which is at its end once nobody holds it."""
    monkeypatch.setattr(everything, "FOLDER", tmp_path)
    monkeypatch.setattr(everything, "LIMIT", 1)
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    sleep = "import time; time.sleep(60)"
    words = [sys.executable, "-c", sleep]
    script = f"import subprocess; subprocess.run({words!r}, close_fds=False)"
    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", partial(popen, pass_fds=[writing]))
    assert everything.failure([sys.executable, "-c", script]) == "not finished within 1 s"
    os.close(writing)
    ready, _, _ = select.select([reading], [], [], 30)
    assert ready and os.read(reading, 1) == b""
    os.close(reading)


def commands():
    """Every command of the pages, and of the run of everything."""
    paths = [*FOLDER.glob("*.md"), *FOLDER.parent.glob("*.md"), *FOLDER.parent.glob("docs/**/*.md")]
    pages = [path.read_text(encoding="utf-8") for path in paths]
    found = {(name, words.strip()) for page in pages for name, words in COMMAND.findall(page)}
    of_all = (command.partition(".py") for command in load("all").COMMANDS.values())
    return sorted(found | {(name, words.strip()) for name, _, words in of_all})


class Parsed(Exception):
    """The words were understood."""


@pytest.mark.parametrize(("name", "words"), commands(), ids=lambda part: part[:60])
def test_commands_of_the_pages_can_be_typed(name, words, monkeypatch):
    assert (FOLDER / f"{name}.py").exists()
    if "parse_args" not in (FOLDER / f"{name}.py").read_text(encoding="utf-8"):
        assert not words, f"{name}.py takes no arguments"
        return
    parse = argparse.ArgumentParser.parse_args

    def parse_only(self, args=None, namespace=None):
        parse(self, args, namespace)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_only)
    given = [word for word in shlex.split(words) if "…" not in word]
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *given])
    with pytest.raises(Parsed):
        load(name).main()


def test_the_table_of_training_defaults_is_that_of_its_record_and_of_the_presets():
    """A default that changes is to be searched, and said to be; the page has what was found."""
    found = load("defaults")
    table = found.markdown(found.read(found.RECORD))
    assert table.count("\n") > 30
    assert table in (FOLDER / "results-autoencoders.md").read_text()
