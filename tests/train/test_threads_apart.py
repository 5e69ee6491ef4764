"""Whoever trains has the process to itself, and leaves it as it was."""

from __future__ import annotations

import threading
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from torch import Tensor

import reparam as rp

OPTIONS: dict[str, Any] = {"epochs": 3, "progress": False}


@pytest.fixture(autouse=True)
def often(monkeypatch):
    monkeypatch.setattr("reparam.train.loop.SECONDS_BETWEEN_NEWS", 0.0)
    monkeypatch.setattr("reparam.comparison.write_page", lambda *_, **__: None)  # slow


def table() -> rp.Data:
    return rp.load_data(np.random.default_rng(0).normal(size=(60, 4)))


def small(data: rp.Data) -> rp.Model:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return rp.build("vae", data.space, latent_dim=2, hidden=(4,))


def weights(model: rp.Model) -> list[Tensor]:
    return [value.clone() for value in model.state_dict().values()]


def flushes_denormals() -> bool:
    return (torch.full((), torch.finfo(torch.float32).tiny / 4) * 1).item() == 0.0


def test_a_fit_in_another_thread_is_refused_in_one_line(tmp_path):
    data, refused = table(), []

    def other() -> None:
        for train in (
            lambda: rp.fit(small(data), data, **OPTIONS),
            lambda: rp.resume(tmp_path, data=data, progress=False),
        ):
            with pytest.raises(ValueError, match="^fit: another thread .* compare") as refusal:
                train()
            refused.append(str(refusal.value))

    def watch(news: rp.News) -> None:
        if news.step == 1:
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()

    alone, disturbed = small(data), small(data)
    rp.fit(alone, data, out=tmp_path, **OPTIONS)
    rp.fit(disturbed, data, watch=watch, **OPTIONS)
    assert len(refused) == 2 and not any("\n" in line for line in refused)
    for one, other_ in zip(weights(alone), weights(disturbed), strict=True):
        assert torch.equal(one, other_)
    rp.fit(small(data), data, **OPTIONS)  # and afterwards all is free


def test_a_fit_within_a_fit_disturbs_neither(tmp_path):
    data, inner = table(), []

    def watch(news: rp.News) -> None:
        if news.step == 2:
            model = small(data)
            rp.fit(model, data, **OPTIONS)
            inner.append(model)

    alone, outer = small(data), small(data)
    rp.fit(alone, data, **OPTIONS)
    rp.fit(outer, data, watch=watch, **OPTIONS)
    for model in (outer, *inner):
        for one, other in zip(weights(alone), weights(model), strict=True):
            assert torch.equal(one, other)
    assert len(inner) == 1


def test_an_exception_leaves_the_process_as_it_was():
    data, before = table(), torch.get_num_threads()
    torch.set_num_threads(2)
    state, inside = torch.get_rng_state(), []

    def watch(news: rp.News) -> None:
        inside.append((torch.get_num_threads(), flushes_denormals()))
        assert not torch.equal(torch.get_rng_state(), state)
        raise RuntimeError("mine")

    try:
        with pytest.raises(RuntimeError, match="mine"):
            rp.fit(small(data), data, watch=watch, **OPTIONS)
        assert inside[0][0] == 1 and inside[0][1]
        assert torch.get_num_threads() == 2 and not flushes_denormals()
        assert torch.equal(torch.get_rng_state(), state)
        rp.fit(small(data), data, **OPTIONS)
    finally:
        torch.set_num_threads(before)


def test_threads_of_a_comparison_take_turns(tmp_path):
    """joblib's threads, as those of a Dask worker: scores of a comparison one after the other."""
    data, before = table(), torch.get_num_threads()
    models = [f"vae latent_dim={size} hidden=4" for size in (1, 2)]
    asked: dict[str, Any] = {"epochs": 3, "samples": 2}
    straight = rp.compare(data, models, out=tmp_path / "a", **asked)
    torch.set_num_threads(4)
    try:
        with joblib.parallel_config("threading"):
            threaded = rp.compare(data, models, out=tmp_path / "b", jobs=2, **asked)
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)
    for one, other in zip(straight.entries, threaded.entries, strict=True):
        for first, second in zip(weights(one.model), weights(other.model), strict=True):
            assert torch.equal(first, second)
