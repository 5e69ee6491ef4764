"""reparam explore: what it refuses, what it writes, and how it ends."""

import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request

import pytest
from commands import succeed

pytest.importorskip("uvicorn", reason="needs uvicorn")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    tiny = ["--epochs", 1]
    succeed("fit", "vae", "digits", "hidden=8", "latent_dim=2", "-o", folder / "vae", *tiny)
    succeed("fit", "made", "digits", "hidden=8", "-o", folder / "made", *tiny)
    return folder


def test_a_page_is_written_once_and_says_its_size(runs, reparam, tmp_path):
    page = tmp_path / "explore.html"
    code, out, err = reparam("explore", runs / "vae", "--page", page)
    assert code == 0 and "MB" in out and not err
    text = page.read_text(encoding="utf-8")
    assert "class=" in text and "http-equiv" in text and "src=" not in text.split("<script", 1)[0]
    code, _, err = reparam("explore", runs / "vae", "--page", page)
    assert code == 2 and "exists already; choose another name or --force" in err
    assert reparam("explore", runs / "vae", "--page", page, "--force")[0] == 0


def test_bad_input_is_one_line_and_writes_nothing(runs, reparam, tmp_path):
    page = tmp_path / "explore.html"
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    cases = [
        ([runs / "made", "--page", page], "serve it instead"),
        ([runs / "vae", "--page", tmp_path / "x.png"], "page: expected a name ending in .html"),
        ([runs / "vae", "--port", port, "--no-browser"], f"port: {port} is in use"),
        ([runs / "vae", "--port", -1], "port: expected 0 to 65535"),
        ([runs / "vae", "--port", 70000], "port: expected 0 to 65535"),
        ([runs / "vae", "--host", "0.0.0.0"], "give --token auto"),
        ([runs / "vae", "--host", "", "--token", "auto"], "all addresses are 0.0.0.0"),
        ([runs / "vae", "--token", "two words"], "token: expected auto"),
        ([tmp_path / "nowhere"], "nowhere"),
    ]
    for words, sentence in cases:
        code, out, err = reparam("explore", *words)
        assert code == 2 and not out, words
        assert err.startswith("error:") and sentence in err and err.count("\n") == 1, err
    taken.close()
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_one_line_names_it(runs, reparam, monkeypatch):
    monkeypatch.setitem(sys.modules, "starlette", None)
    code, _, err = reparam("explore", runs / "vae")
    assert code == 2 and "pip install 'reparam[explore]'" in err and err.count("\n") == 1


WAITING = """
import pathlib, sys, time
for _ in range(1200):
    if pathlib.Path(sys.argv[1]).exists(): break
    time.sleep(.05)
"""


def test_it_serves_a_browser_that_runs_until_it_is_closed_and_ctrl_c_ends_it(runs, tmp_path):
    """At a free port, before the browser has ended."""
    script, closed = tmp_path / "browser.py", tmp_path / "closed"
    script.write_text(WAITING)
    browser = f"{sys.executable} {script} {closed} %s"
    process = subprocess.Popen(
        [sys.executable, "-m", "reparam", "explore", str(runs / "vae"), "--token", "sesame"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1", "COLUMNS": "200", "BROWSER": browser},
    )
    watchdog = threading.Timer(120, process.kill)
    watchdog.start()
    try:
        said = process.stdout.readline()
        address = said.split()[0]
        assert address.startswith("http://127.0.0.1:") and address.endswith("/?token=sesame")
        page = urllib.request.urlopen(address, timeout=30).read().decode()  # noqa: S310
        assert "<title>vae: digits</title>" in page
        closed.touch()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0 and err == "" and "no longer served" in out
    finally:
        closed.touch()
        watchdog.cancel()
        process.kill()
