"""A comparison whose runs a Dask cluster trains has the scores of one that trains them here."""

from __future__ import annotations

import joblib
import numpy as np
import pytest

import reparam as rp

distributed = pytest.importorskip("distributed", reason="Dask is not installed")
dask = pytest.importorskip("dask")
PATIENT = {f"distributed.comm.timeouts.{name}": "600s" for name in ("connect", "tcp")}


def scores(comparison: rp.Comparison) -> dict[str, dict[str, float]]:
    return {
        entry.label: {n: s.value for n, s in entry.scores.items() if "second" not in n}
        for entry in comparison.entries
    }


def test_a_dask_cluster_trains_the_runs(tmp_path, monkeypatch):
    monkeypatch.setattr("reparam.comparison.write_page", lambda *_, **__: None)
    data = rp.load_data(np.random.default_rng(0).normal(size=(60, 4)))
    models = ["pca latent_dim=2", "ae latent_dim=2 hidden=8", "ae latent_dim=3 hidden=8"]
    options = dict(epochs=1, samples=2, device="cpu")
    here = rp.compare(data, models, out=tmp_path / "here", **options)
    local = dict(threads_per_worker=1, dashboard_address=None, memory_limit=None)
    with (
        dask.config.set(PATIENT),  # nor does what else the machine does matter
        distributed.LocalCluster(1, **local) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config("dask"),
    ):
        there = rp.compare(data, models, out=tmp_path / "there", jobs=2, **options)
        finished = cluster.scheduler.task_prefixes
        done = sum(prefix.state_counts["memory"] for prefix in finished.values())
    assert set(scores(here)) == set(scores(there)) == set(models)
    for model in models:
        # Equal but for the rounding of linear algebra in another number of threads.
        assert scores(there)[model] == pytest.approx(scores(here)[model], rel=1e-5)
    assert done >= len(models), f"the cluster computed {done} tasks"
