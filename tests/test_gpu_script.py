"""The benchmark of a GPU goes on where it stopped, and notices a device that computes otherwise."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import gpu
import gpu_contract
import gpu_training
from gpu_task import Row, Settings, Task

import reparam as rp

HERE = Settings("cpu", True, "a machine")


@pytest.fixture
def kept(tmp_path):
    return gpu.Kept.open(tmp_path / "gpu.json", HERE._asdict())


def test_the_script_runs_on_a_cpu_and_measures_nothing_twice(tmp_path, monkeypatch, capsys):
    file = tmp_path / "gpu.json"
    words = ["--device", "cpu", "--quick", "--out", str(file)]
    words += ["--parts", "contract", "step", "--presets", "k-sparse-ae", "pca"]
    gpu.main(words)
    shown = capsys.readouterr().out
    assert "k-sparse-ae | 0.0e+00: equal | 0.0e+00: equal" in shown
    assert "equal bit for bit" in shown and "seeded, 100.0% those of the CPU" in shown
    assert "CUDA only" in shown
    tasks = json.loads(file.read_text())["found"]
    steps = {f"step/vae, {how}" for how in gpu_training.HOW}
    assert set(tasks) == {"contract/k-sparse-ae", "contract/pca"} | steps
    assert not any(task["failed"] for task in tasks.values())
    monkeypatch.setattr(gpu, "measure", lambda *_: pytest.fail("measured again"))
    gpu.main(words)
    assert capsys.readouterr().out in shown  # the same table


def test_what_failed_comes_again_after_what_is_missing(kept):
    calls = []

    def broken():
        calls.append("broken")
        yield Row("first", "there")
        raise RuntimeError("no kernel\nand a long trace")

    def fine(name):
        return Task(name, lambda: calls.append(name) or [Row("found", "1")])

    gpu.run({"contract": [Task("broken", broken), fine("a")]}, kept)
    result = kept.found["contract/broken"]
    assert result["rows"] == [{"what": "first", "found": "there"}]  # kept, though it failed
    assert result["failed"] == "RuntimeError: no kernel"
    again = gpu.Kept.open(kept.file, HERE._asdict())
    tasks = {"contract": [Task("broken", broken), fine("a"), fine("b")]}
    gpu.run(tasks, again)
    assert calls == ["broken", "a", "b", "broken"]
    lines = gpu.table(tasks, again).splitlines()
    assert "| broken | there | RuntimeError: no kernel |  |" in lines
    assert "| b |  |  | 1 |" in lines


def test_a_part_ends_with_its_time(kept):
    """Also within a task, and where everything is caught."""

    def endless():
        while True:
            try:
                time.sleep(0.01)
            except Exception:  # as compilers do
                continue
        yield

    tasks = {"step": [Task("endless", endless), Task("next", lambda: [Row("found", "1")])]}
    start = time.perf_counter()
    gpu.run(tasks, kept, share=0.002)  # of 80 seconds
    assert time.perf_counter() - start < 20  # 0.16 s, on however busy a machine
    assert kept.found["step/endless"]["failed"].startswith("not finished within")
    assert "step/next" not in kept.found
    assert "the time was up" in gpu.table(tasks, kept)


def test_all_parts_together_fit_into_eight_minutes():
    assert sum(limit for _, limit in gpu.PARTS.values()) < 8 * 60


def test_nothing_follows_in_a_process_that_lost_its_device(kept):
    def lost():
        raise torch.AcceleratorError("CUDA error: an illegal memory access")

    tasks = {"contract": [Task("lost", lost), Task("next", lambda: pytest.fail("went on"))]}
    with pytest.raises(SystemExit, match="goes on with what follows"):
        gpu.run(tasks, kept)
    assert "illegal memory access" in kept.found["contract/lost"]["failed"]


def test_results_of_another_machine_are_not_mixed_in(kept):
    kept.put("contract/vae", {"rows": [], "failed": None, "seconds": 1.0})
    with pytest.raises(ValueError, match="give another file"):
        gpu.Kept.open(kept.file, HERE._asdict() | {"machine": "another"})


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_device_that_computes_otherwise_is_noticed(where, monkeypatch):
    """A copy stands for the device: one of its weights, or of its gradients, is off by 1 %."""
    data = gpu_contract.digits()
    model = gpu_contract.small("ae", data.space)

    def moved(self, *_):
        weight = next(self.parameters())
        if where == "loss":
            weight.data *= 1.01
        else:
            weight.register_hook(lambda gradient: 1.01 * gradient)
        return self

    monkeypatch.setattr(type(model), "to", moved)
    loss, gradient = gpu_contract.losses(model, data, "cpu")
    assert loss.found.endswith("DIFFERENT" if where == "loss" else "equal")
    assert gradient.found.endswith("DIFFERENT")


def test_two_weights_that_differ_are_not_equal():
    one = {"a": torch.zeros(2)}
    assert gpu_contract.equal_weights(one, {"a": torch.zeros(2)})
    assert not gpu_contract.equal_weights(one, {"a": torch.tensor([0.0, 1e-30])})
    assert not gpu_contract.equal_weights(one, {})
    assert gpu_contract.verdict(float("nan"), 1.0).endswith("DIFFERENT")


def test_steps_per_second_leave_the_start_out():
    history = rp.History(rows=[{"step": 50.0, "seconds": 60.0}, {"step": 150.0, "seconds": 62.0}])
    assert gpu_training.steps_per_second(history) == 50.0
