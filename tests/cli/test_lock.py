"""One process, and one thread, trains in a folder at a time; the lock vanishes with its holder."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import reparam as rp
from reparam.atomic import Unwritable
from reparam.lock import LOCK_FILE, InUse, locked

HOLD = """
import sys, time
from pathlib import Path
from reparam.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""
QUICK = {"epochs": 2, "progress": False}


@pytest.fixture(autouse=True)
def no_report(monkeypatch):
    """Pictures take longer than all else here, and are no part of it."""
    monkeypatch.setattr("reparam.comparison.write_page", lambda *_, **__: None)


@contextmanager
def held_by_a_process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process in the folder; it is killed at the end, so that its lock file stays."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def held_by_a_thread(folder: Path) -> Iterator[None]:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with locked(folder):
            held.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(60)
    try:
        yield
    finally:
        done.set()
        thread.join()


def table(n: int = 60, seed: int = 0) -> rp.Data:
    return rp.load_data(np.random.default_rng(seed).normal(size=(n, 4)))


def small(data: rp.Data) -> rp.Model:
    return rp.build("ae", data.space, latent_dim=2, hidden=(4,))


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != LOCK_FILE
    }


def test_another_process_is_named_and_a_dead_one_holds_nothing(tmp_path):
    run = tmp_path / "run"
    with held_by_a_process(run) as holder:
        with pytest.raises(InUse, match=rf"run: is being trained by process {holder.pid}; wait"):
            with locked(run):
                pass
    assert (run / LOCK_FILE).exists(), "else this does not test a lock file that was left"
    with locked(run), locked(run):  # within a thread as often as wanted
        with pytest.raises(InUse, match=f"process {os.getpid()}, in another of its threads"):
            in_a_thread(lambda: locked(run).__enter__())
    assert run.exists() and not list(run.iterdir())
    with locked(tmp_path / "new"):
        pass
    assert not (tmp_path / "new").exists()  # nothing came into it


def in_a_thread(call) -> None:
    """What a call raises in another thread, raised here."""
    raised: list[BaseException] = []

    def guarded() -> None:
        try:
            call()
        except BaseException as error:  # for the thread that asked
            raised.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


def test_waiting_for_a_holder_that_ends(tmp_path):
    with held_by_a_process(tmp_path) as holder:
        threading.Timer(0.2, holder.kill).start()
        with locked(tmp_path, wait=60):
            assert holder.wait(60) == -signal.SIGKILL


def test_what_stands_where_the_lock_file_belongs_is_named(tmp_path):
    (tmp_path / LOCK_FILE).mkdir()
    with pytest.raises(Unwritable, match=rf"{tmp_path}/\.lock: cannot be written to: Is a dir"):
        with locked(tmp_path):
            pass


def test_a_folder_that_was_made_again_keeps_the_lock_of_its_new_holder(tmp_path):
    run = tmp_path / "run"
    with locked(run):
        shutil.rmtree(run)
        with held_by_a_process(run):
            with locked(tmp_path):  # whatever ends here
                pass
            assert (run / LOCK_FILE).exists()
            kept = (run / LOCK_FILE).read_text()
    assert (run / LOCK_FILE).read_text() == kept


@pytest.mark.parametrize("left", [False, True], ids=["none", "lock file left"])
def test_nobody_trains_where_somebody_does(tmp_path, left):
    data, run = table(), tmp_path / "run"
    rp.fit(small(data), data, out=run, **QUICK)
    before = contents(run)
    with held_by_a_thread(run):
        for train in (
            lambda: rp.fit(small(data), data, out=run, force=True, **QUICK),
            lambda: rp.fit(small(data), data, out=run, **QUICK),
            lambda: rp.resume(run, data=data, epochs=9, progress=False),
        ):
            with pytest.raises(InUse, match="is being trained"):
                train()
        assert contents(run) == before
        rp.evaluate(rp.load(run), data)  # who only reads may
    if left:
        (run / LOCK_FILE).touch()
    rp.resume(run, data=data, epochs=3, progress=False)
    rp.fit(small(data), data, out=run, force=True, **QUICK)
    assert not (run / LOCK_FILE).exists()


def test_the_lock_is_held_until_the_run_ends(tmp_path, monkeypatch):
    monkeypatch.setattr("reparam.train.loop.SECONDS_BETWEEN_NEWS", 0.0)
    data, seen = table(), []

    def watch(news: object) -> None:
        with pytest.raises(InUse):
            in_a_thread(lambda: locked(tmp_path / "run").__enter__())
        seen.append(news)

    rp.fit(small(data), data, out=tmp_path / "run", watch=watch, epochs=2)
    count = len(seen)
    rp.resume(tmp_path / "run", data=data, watch=watch, epochs=4)
    assert 0 < count < len(seen)


def test_a_fit_that_runs_is_neither_overwritten_nor_resumed(tmp_path, reparam):
    """With real processes and a real kill; the run goes on from where it was."""
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(60, 4)))
    run = tmp_path / "run"
    fit = ["fit", "ae", tmp_path / "x.npy", "hidden=4", "latent_dim=2", "-o", run]
    command = [sys.executable, "-m", "reparam", *map(str, fit), "--epochs", "10000000"]
    with subprocess.Popen([*command, "--save-every", "0.1"], stderr=subprocess.PIPE) as process:
        try:
            while not (run / "model.safetensors").exists():
                assert process.poll() is None, process.communicate()
                time.sleep(0.05)
            for words in ([*fit, "--force"], ["resume", run], fit):
                code, _, err = reparam(*words)
                assert code == 2 and err.count("\n") == 1
                assert f"run: is being trained by process {process.pid}; " in err
            code, _, err = reparam("evaluate", run)
            assert code == 0, err
        finally:
            process.kill()
    code, out, err = reparam("resume", run, "--epochs", 1)
    assert code == 0, err


@pytest.mark.parametrize("what", ["removed", "replaced by another run"])
def test_a_folder_that_is_taken_away_while_training(tmp_path, monkeypatch, what):
    monkeypatch.setattr("reparam.train.loop.SECONDS_BETWEEN_NEWS", 0.0)
    data, run = table(), tmp_path / "run"

    def watch(news: rp.News) -> None:
        if news.step == 2:
            shutil.rmtree(run)
            if what != "removed":
                rp.fit(small(data), data, out=run, **QUICK)

    with pytest.raises(ValueError, match=f"run: was {what} while it was being trained") as refusal:
        rp.fit(small(data), data, out=run, watch=watch, epochs=3)
    assert "\n" not in str(refusal.value)
    if what == "removed":
        assert not run.exists()
    else:
        rp.resume(run, data=data, epochs=3, progress=False)


# ------------------------------------------------------------------------------- comparisons


def compare(data: rp.Data, out: Path, **options: object) -> rp.Comparison:
    asked = {"epochs": 1, "samples": 2} | options
    return rp.compare(data, ["ae latent_dim=2 hidden=4", "pca"], out=out, **asked)


def test_a_comparison_has_its_folder_and_its_runs_to_itself(tmp_path, monkeypatch):
    monkeypatch.setattr("reparam.comparison_runs.WAIT", 0.1)
    monkeypatch.setattr("reparam.comparison.WAIT", 0.1)
    data = table()
    compare(data, tmp_path)
    before = contents(tmp_path)
    for place in (tmp_path, tmp_path / "pca"):
        with held_by_a_thread(place):
            for force in (False, True):
                with pytest.raises(InUse, match=f"{place}: is being trained"):
                    compare(data, tmp_path, force=force)
    assert contents(tmp_path) == before
    (tmp_path / LOCK_FILE).touch()  # of one that was killed, as was
    (tmp_path / ".report.html.abcdefgh").mkdir()  # what it was writing
    shutil.rmtree(tmp_path / "pca")
    (tmp_path / "pca").mkdir()  # it was killed before the run began
    (tmp_path / "pca" / LOCK_FILE).touch()
    assert len(compare(data, tmp_path).found) == 1
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_run_stays_locked_until_it_is_measured(tmp_path, monkeypatch):
    data, seen = table(), []

    def watch(doing: str, done: float) -> None:
        name = "pca" if "pca" in doing else "ae_latent_dim=2_hidden=4"
        for folder in (tmp_path, tmp_path / name):
            if doing.startswith("measuring"):
                with pytest.raises(InUse):
                    in_a_thread(lambda folder=folder: locked(folder).__enter__())
                seen.append(folder)

    compare(data, tmp_path, watch=watch)
    assert len(set(seen)) == 3


def refused(folder: Path) -> bool:
    """Whether another thread, as another process, is kept away from a folder."""
    try:
        in_a_thread(lambda: locked(folder).__enter__())
    except InUse:
        return True
    return False


def test_what_is_measured_stays_locked_until_the_report_is_written(tmp_path, monkeypatch):
    data, asked = table(), []
    ae, pca = tmp_path / "ae_latent_dim=2_hidden=4", tmp_path / "pca"

    def watch(doing: str, done: float) -> None:
        if "pca" in doing:
            asked.append(refused(ae))

    def write_page(*arguments: object, **options: object) -> None:
        asked.extend(refused(folder) for folder in (tmp_path, ae, pca))

    monkeypatch.setattr("reparam.comparison.write_page", write_page)
    compare(data, tmp_path, watch=watch)
    assert all(asked) and len(asked) > 4
    asked.clear()
    (pca / "scores.json").unlink()
    assert compare(data, tmp_path, watch=watch).found == (ae,)  # nor does taking over differ
    assert all(asked) and len(asked) > 4
    assert not list(tmp_path.rglob(LOCK_FILE))


def test_runs_are_locked_in_the_order_in_which_they_end(tmp_path, monkeypatch):
    """The last one ends first here; scores belong to their models all the same."""
    data, seen = table(), []

    class Backwards:
        def __init__(self, **options: object) -> None:
            pass

        def __call__(self, calls):
            for call, arguments, options in reversed(list(calls)):
                yield call(*arguments, **options)
                seen.append([refused(path) for path in (tmp_path / "pca", tmp_path)])

    monkeypatch.setattr("reparam.comparison.joblib.Parallel", Backwards)
    entries = compare(data, tmp_path, jobs=2).entries
    assert seen == [[True, True]] * 2
    assert [type(entry.model).__name__ for entry in entries] == ["Autoencoder", "RealPCA"]
    assert [entry.history.ended for entry in entries] == ["all epochs", "solved"]


@pytest.mark.parametrize("what", ["removed", "replaced", "trained on"])
def test_a_run_that_is_another_one_by_the_end_fails_alone(tmp_path, what):
    """By who asks for no lock; here that is the thread that holds it."""
    data, run, done_so = table(), tmp_path / "ae_latent_dim=2_hidden=4", []

    def watch(doing: str, done: float) -> None:
        if doing.startswith("training pca") and not done_so:
            done_so.append(what)
            if what == "removed":
                shutil.rmtree(run)
            elif what == "replaced":
                rp.fit(small(data), data, out=run, force=True, **QUICK)
            else:
                rp.resume(run, data=data, epochs=9, progress=False)

    with pytest.raises(ValueError) as failed:
        compare(data, tmp_path, watch=watch)
    assert str(failed.value).startswith("1 of 2 runs failed: ae latent_dim=2 hidden=4 (seed 0): ")
    assert f"{run}: was removed, replaced or trained on since it was" in str(failed.value)
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert set(scores["models"]) == {"pca"}


def test_what_came_into_a_comparison_meanwhile_stays(tmp_path):
    data = table()

    def watch(doing: str, done: float) -> None:
        if doing.startswith("measuring ae") and not (tmp_path / "pca").exists():
            rp.fit(small(data), data, out=tmp_path / "pca", **QUICK)

    with pytest.raises(ValueError, match="1 of 2 runs failed: pca .*holds a run already"):
        compare(data, tmp_path, watch=watch)
    assert type(rp.load(tmp_path / "pca")).__name__ == "Autoencoder"


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_workers_end_with_the_comparison_that_started_them(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(60, 4)))
    words = ["compare", str(tmp_path / "x.npy"), "-o", str(tmp_path / "c"), "--jobs", "2"]
    models = ["--model", "ae latent_dim=2 hidden=4", "--model", "ae latent_dim=3 hidden=4"]
    options = ["--epochs", "10000000", "--save-every", "0.1"]
    runs = [tmp_path / "c" / f"ae_latent_dim={size}_hidden=4" for size in (2, 3)]
    with subprocess.Popen(
        [sys.executable, "-m", "reparam", *words, *models, *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        while not all((run / "model.safetensors").exists() for run in runs):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.kill()
    for run in runs:
        with locked(run, wait=60):  # its worker has ended
            assert {path.name for path in run.iterdir() if path.name.startswith(".")} == {LOCK_FILE}
    with locked(tmp_path / "c"):
        pass
