"""Headers that strangers wrote, with the right checksum: refused in a sentence, within seconds."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
import shutil
import time

import numpy as np
import pytest
import torch

import reparam as rp
from reparam import checkpoint
from reparam.model import Column, Space
from reparam.presets import PRESETS
from reparam.train import RunFolder

SECONDS = 15.0  # where a size counted up to has no end within hours; the slowest takes two
HOSTILE = [
    *(None, True, -1, 0, 2**20, 2**31, 2**63 - 1, 2**63, 2**64, 2**70, -(2**70), 0.5, 1e308),
    *("", "x", "1e9", "9" * 30, [], [[[]]], [2**70], [2**63 - 1] * 2, ["a"], [1] * 50),
    *({}, {"a": {"b": []}}, [{}]),
]
IMAGES = Space((1, 8, 8), "binary", classes=2)
MIXED = Space(
    (3,),
    "mixed",
    columns=(
        Column("a", "real"),
        Column("b", "levels", 5),
        Column("c", "category", 3, ("x", "y", "z")),
    ),
)
MODELS = [
    ("vae", MIXED),
    ("made", IMAGES),
    ("mae", IMAGES),
    ("gan", IMAGES),
]


def listed(value):
    """A value as JSON has it."""
    return json.loads(json.dumps(value))


def paths(value, at=()):
    """Where a header has values, those that contain others among them."""
    inside = value.items() if isinstance(value, dict) else []
    inside = enumerate(value) if isinstance(value, list) else inside
    for key, part in inside:
        yield (*at, key)
        yield from paths(part, (*at, key))


def put(value, at, new):
    value = copy.deepcopy(value)
    here = value
    for key in at[:-1]:
        here = here[key]
    here[at[-1]] = new
    return value


def cases(header, count, seed=0):
    """So many of all headers in which one value is hostile."""
    every = [(at, new) for at in paths(header) for new in HOSTILE]
    chosen = np.random.default_rng(seed).permutation(len(every))[:count]
    return [(every[i], put(header, *every[i])) for i in chosen.tolist()]


def settled(read, about):
    """Read what may be refused, in a sentence, soon; whether it was."""
    started = time.perf_counter()
    try:
        read()
    except ValueError as error:
        assert "\n" not in str(error) and 0 < len(str(error)) < 2000, about
        return True
    finally:
        assert time.perf_counter() - started < SECONDS, about
    return False


@pytest.mark.parametrize(("preset", "space"), MODELS, ids=[name for name, _ in MODELS])
def test_any_value_in_the_header_of_a_model(tmp_path, preset, space):
    model = rp.build(preset, space, **PRESETS[preset].small)
    file, tensors = tmp_path / "model.safetensors", model.state_dict()
    found = []
    for about, header in cases(listed(checkpoint.describe(model)), 120):
        checkpoint.write_tensors(file, tensors, header)
        found.append(settled(lambda: rp.load(file), about))
    assert sum(found) > len(found) / 2


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("made", {"masks": 10**9}),
        ("fvbn", {"orders": 10**9}),
        ("vq-vae", {"downsampling": 10**9}),
        ("very-deep-vae", {"blocks": 10**9}),
        ("pixel-cnn++", {"scales": 10**9}),
        ("mae", (1, 8, 2**40)),
        ("dino", (1, 2**62, 2**62)),
        ("pca", (2**70,)),
    ],
)
def test_sizes_that_are_counted_up_to_before_a_tensor_is_made(tmp_path, preset, changes):
    model = rp.build(preset, Space((4,), "real") if preset == "pca" else IMAGES)
    header = listed(checkpoint.describe(model))
    if isinstance(changes, dict):
        header["parameters"] |= changes
    else:
        header["space"]["shape"] = changes
    checkpoint.write_tensors(tmp_path / "model.safetensors", model.state_dict(), header)
    assert settled(lambda: rp.load(tmp_path), (preset, changes))


def test_numbers_that_no_part_refuses(tmp_path):
    """PyTorch raises TypeError where a size is no integer of 64 bits."""
    model = rp.build("vae", Space((4,), "real"), latent_dim=2)
    header = listed(checkpoint.describe(model))
    header["parameters"]["latent_dim"] = 2**63 - 1
    checkpoint.write_tensors(tmp_path / "model.safetensors", model.state_dict(), header)
    with pytest.raises(ValueError, match="does not describe a model that can be built: TypeError"):
        rp.load(tmp_path)


def test_weights_that_do_not_fit_are_named_once(tmp_path):
    model = rp.build("ae", Space((4,), "real"), latent_dim=2, hidden=(3, 3))
    header = listed(checkpoint.describe(model))
    header["parameters"]["hidden"] = [3] * 30
    checkpoint.write_tensors(tmp_path / "model.safetensors", model.state_dict(), header)
    with pytest.raises(ValueError, match=r"fit it again: decoder\S+ and 111 more missing; "):
        rp.load(tmp_path)


# ------------------------------------------------------------------------------- runs


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two players with an average of the weights, with an epoch to go."""
    folder = tmp_path_factory.mktemp("forged")
    data = rp.load_data(np.random.default_rng(0).integers(0, 2, (40, 6)), kind="binary")
    model = rp.build("aae", data.space, latent_dim=2, hidden=(4,))
    rp.fit(model, data, out=folder / "run", epochs=1, batch_size=16, ema=0.9, progress=False)
    known = RunFolder(folder / "run")
    known.change(dataclasses.replace(known.config(), epochs=2))
    return folder / "run", data


def resumed(run, folder):
    source, data = run

    def read():
        rp.resume(folder, data=data, budget=1.0, progress=False)

    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder)
    return read


def test_any_value_in_run_json(run, tmp_path):
    folder = tmp_path / "run"
    header = json.loads((run[0] / "run.json").read_text())
    for about, changed in cases(header, 100):
        if about[0][:2] in (("config", "epochs"), ("config", "compile")):
            continue  # what is asked for takes its time
        read = resumed(run, folder)
        (folder / "run.json").write_text(json.dumps(changed))
        settled(read, about)


def test_any_value_in_the_header_of_a_state(run, tmp_path):
    folder = tmp_path / "run"
    tensors, header = checkpoint.read_tensors(run[0] / "state.safetensors")
    for about, changed in cases(header, 100):
        read = resumed(run, folder)
        checkpoint.write_tensors(folder / "state.safetensors", tensors, changed)
        settled(read, about)


def test_tensors_of_a_state_that_are_of_another_shape_or_missing(run, tmp_path):
    """Each would fail where it is used, steps later, by a message of PyTorch's."""
    folder = tmp_path / "run"
    tensors, header = checkpoint.read_tensors(run[0] / "state.safetensors")
    of_each_kind = {re.sub(r"(?<=/)(\d+|\w+\.\S+)", "", name): name for name in tensors}
    for name in of_each_kind.values():
        tensor = tensors[name]
        for wrong in (None, torch.zeros(3).to(tensor.dtype), torch.zeros(0).to(tensor.dtype)):
            if name.startswith("strip/") or (wrong is not None and wrong.shape == tensor.shape):
                continue
            changed = {**tensors, name: wrong} if wrong is not None else {**tensors}
            if wrong is None:
                del changed[name]
            read = resumed(run, folder)
            checkpoint.write_tensors(folder / "state.safetensors", changed, header)
            assert settled(read, (name, wrong)), (name, wrong)


def test_a_run_asks_for_no_more_than_its_state_can_be_of(run, tmp_path):
    read = resumed(run, tmp_path / "run")
    header = json.loads((run[0] / "run.json").read_text())
    header["model"]["parameters"]["hidden"] = [50_000, 50_000]
    (tmp_path / "run" / "run.json").write_text(json.dumps(header))
    with pytest.raises(ValueError, match="the sizes it names ask for more than 67 MB"):
        read()
