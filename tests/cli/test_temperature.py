"""Samples of flows whose noise is scaled."""

import numpy as np


def test_a_temperature_scales_the_noise_of_a_flow_and_is_told(reparam, runs, tmp_path):
    run = tmp_path / "run"
    words = ["fit", "nice", "digits", "layers=1", "hidden=8", "--epochs", 1, "-o", run]
    assert reparam(*words)[0] == 0
    for name, more in (("one", []), ("cool", ["--temperature", 0.5]), ("zero", [])):
        more = ["--temperature", 0] if name == "zero" else more
        code, said, _ = reparam("sample", run, "-n", 20, "-o", tmp_path / f"{name}.npz", *more)
        assert code == 0 and ("at temperature" in said) == (name != "one")
        assert name != "cool" or "20 samples at temperature 0.5, not of p(x)," in said
    x = {name: np.load(tmp_path / f"{name}.npz")["x"] for name in ("one", "cool", "zero")}
    assert np.ptp(x["zero"], 0).max() == 0 < x["cool"].std(0).mean() < x["one"].std(0).mean()
    refused = tmp_path / "x.npz"
    for asked, part in ((-1, "at least 0"), ("nan", "at least 0")):
        code, _, err = reparam("sample", run, "--temperature", asked, "-o", refused)
        assert code == 2 and part in err and err.count("\n") == 1
    code, _, err = reparam("sample", runs / "vae", "--temperature", 0.7, "-o", refused)
    assert code == 2 and "only flows" in err and err.count("\n") == 1 and not refused.exists()
