"""Generated bad inputs: whatever is wrong, one line says where and the exit code is 2.

Files are cut short, overwritten and shifted; JSON entries are removed, added and replaced; options
are given what they cannot be. A command that succeeds all the same must have done what it does
without the damage, where that can be told: models, states and archives carry checksums.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

import reparam as rp
from reparam import checkpoint
from reparam.cli.main import main


def generated(examples: int) -> Any:
    """So many examples, the same ones in every run; the first bad one is shown as it is."""
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
    )


def run(*words: object) -> tuple[int, str, str]:
    """A command in this process: exit code, output, errors."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["reparam", *map(str, words)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        warnings.catch_warnings(),
        pytest.raises(SystemExit) as ended,
    ):
        warnings.simplefilter("ignore")
        main()
    return ended.value.code or 0, out.getvalue(), err.getvalue()


def refused(result: tuple[int, str, str], *named: object) -> bool:
    """Whether a command ended with code 2 and one line that names something; else it succeeded."""
    code, _, err = result
    if code == 0:
        return False
    lines = err.strip().splitlines()
    assert code == 2, err
    assert len(lines) == 1 and lines[0].startswith("error: "), err
    assert any(str(name) in lines[0] for name in named), err
    return True


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@st.composite
def damaged(draw: Any, content: bytes) -> bytes:
    """Bytes cut short, overwritten, flipped, inserted or removed; never the same bytes."""
    n = len(content)
    # Headers and directories stand at the ends.
    place = draw(
        st.one_of(
            st.integers(0, min(n - 1, 400)), st.integers(0, n - 1), st.integers(n - n // 4, n - 1)
        )
    )
    how = draw(st.sampled_from(("cut", "flip", "overwrite", "insert", "remove")))
    if how == "cut":
        return content[:place]
    if how == "flip":
        bit = 1 << draw(st.integers(0, 7))
        return content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]
    piece = draw(
        st.one_of(
            st.sampled_from((b"\xff" * 8, b"\0" * 8, b"9" * 12, b"\n\n", b'"', b"nan", b"-1e999,")),
            st.binary(min_size=1, max_size=8),
        )
    )
    if how == "insert":
        return content[:place] + piece + content[place:]
    end = place + (len(piece) if how == "overwrite" else draw(st.integers(1, 200)))
    result = content[:place] + (piece if how == "overwrite" else b"") + content[end:]
    return result if result != content else content[:-1]


ODD = st.one_of(
    st.sampled_from((None, True, False, [], {}, [[]], [None], {"a": 1}, "", "\0", "none", 10**30)),
    st.integers(-3, 3),
    st.floats(allow_nan=True),
    st.text(max_size=5),
)


@st.composite
def tampered(draw: Any, content: Any) -> Any:
    """JSON with one entry, at any depth, removed, added or replaced."""
    content = json.loads(json.dumps(content))
    at = content
    while True:
        keys = sorted(at) if isinstance(at, dict) else list(range(min(len(at), 3)))
        if not keys:
            return content
        key = draw(st.sampled_from(keys))
        if isinstance(at[key], dict | list) and at[key] and draw(st.booleans()):
            at = at[key]
            continue
        how = draw(st.sampled_from(("remove", "add", "replace", "replace")))
        if isinstance(at, dict) and how == "remove":
            del at[key]
        elif isinstance(at, dict) and how == "add":
            at["color"] = draw(ODD)
        else:
            at[key] = draw(ODD)
        return content


# ------------------------------------------------------------------------------ data files

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good files of every format."""
    folder = tmp_path_factory.mktemp("files")
    x = RNG.normal(size=(30, 4))
    np.save(folder / "a.npy", x)
    np.savez(folder / "a.npz", x=x, y=np.arange(30) % 3)
    pixels = RNG.integers(0, 256, (40, 6, 5), np.uint8)
    np.savez_compressed(folder / "b.npz", x_train=pixels[:30], x_test=pixels[30:])
    rows = [f"{a:.3f},{b:.2e},{int(9 * c)},{'ab'[i % 2]}" for i, (a, b, c, _) in enumerate(x)]
    (folder / "a.csv").write_text("\n".join(["u,v,w,sort", *rows]))
    frame = pd.DataFrame(x, columns=list("uvwx")).assign(sort=["a", "b"] * 15)
    frame.to_parquet(folder / "a.parquet")
    return folder


@generated(30)
@given(data=st.data())
@pytest.mark.parametrize("name", ["a.npy", "a.npz", "b.npz", "a.csv", "a.parquet"])
def test_damaged_data_files(files, tmp_path_factory, name, data):
    good = files / name
    bad = tmp_path_factory.getbasetemp() / f"bad_{name}" / name
    bad.parent.mkdir(exist_ok=True)
    bad.write_bytes(data.draw(damaged(good.read_bytes())))
    label = ["--label", "sort"] if good.suffix in (".csv", ".parquet") else []
    before = contents(bad.parent)
    if not refused(run("data", bad, *label), bad) and good.suffix == ".npz":
        # Zip checks its entries: what passes was damaged where nothing is kept.
        assert rp.load_data(bad).fingerprint() == rp.load_data(good).fingerprint()
    assert contents(bad.parent) == before


@generated(30)
@given(data=st.data())
def test_damaged_images_are_skipped_by_name(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "images"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    suffix = data.draw(st.sampled_from((".png", ".jpg", ".gif", ".bmp", ".webp", ".tiff")))
    for index in range(5):
        pixels = np.random.default_rng(index).integers(0, 256, (9, 7), np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}{suffix}")
    bad = folder / f"1{suffix}"
    bad.write_bytes(data.draw(damaged(bad.read_bytes())))
    result = run("data", folder)
    if not refused(result, folder):  # such as a header that gives another size
        said = "".join(result[1].split())
        assert "examples train".replace(" ", "") in said
        if "skipped" in said:
            assert bad.name in said


# ------------------------------------------------------------------------------------ runs


@pytest.fixture(scope="module")
def good_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    np.save(folder / "x.npy", RNG.normal(size=(60, 5)).astype(np.float32))
    small = ["latent_dim=2", "hidden=4"]
    for name, words in {
        "vae": ["vae", folder / "x.npy", *small, "--ema", "0.9"],
        "ae-gmm": ["ae-gmm", folder / "x.npy", *(f"codec.{word}" for word in small)],
        "pca": ["pca", folder / "x.npy", "latent_dim=2"],
    }.items():
        code, _, err = run("fit", *words, "--epochs", 3, "-o", folder / name)
        assert code == 0, err
    return folder


def outcome(run_folder: Path, command: str) -> Any:
    """What a command on a run says and leaves, as far as it does not depend on time."""
    out = run_folder.parent / "out.npz"
    out.unlink(missing_ok=True)
    before = contents(run_folder)
    words = {
        "encode": ["encode", run_folder, "-o", out],
        "evaluate": ["evaluate", run_folder, "--samples", 2],
        "resume": ["resume", run_folder, "--epochs", 4],
    }[command]
    result = run(*words)
    if refused(result, run_folder):
        assert contents(run_folder) == before and not out.exists(), "something was written"
        return None
    if command == "encode":
        return np.load(out)["z"].tobytes()
    if command == "resume":
        tensors, _ = checkpoint.read_tensors(run_folder / "state.safetensors")
        return {name: value.numpy().tobytes() for name, value in tensors.items()}
    return "".join(line for line in result[1].splitlines() if "second" not in line)


@pytest.fixture(scope="module")
def undamaged(good_runs, tmp_path_factory) -> Any:
    """What a command does with a whole run."""
    found: dict[tuple[str, str], Any] = {}

    def of(name: str, command: str) -> Any:
        if (name, command) not in found:
            found[name, command] = outcome(copied(good_runs / name, tmp_path_factory), command)
            assert found[name, command] is not None
        return found[name, command]

    return of


def copied(good: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    bad = tmp_path_factory.getbasetemp() / "damaged" / "run"
    shutil.rmtree(bad, ignore_errors=True)
    shutil.copytree(good, bad)
    return bad


NAMES = st.sampled_from(("vae", "ae-gmm", "pca"))


@generated(40)
@given(data=st.data(), name=NAMES, command=st.sampled_from(("encode", "evaluate", "resume")))
@pytest.mark.parametrize("file", ["model.safetensors", "state.safetensors", "run.json"])
def test_damaged_files_of_a_run(good_runs, undamaged, tmp_path_factory, file, data, name, command):
    expected = undamaged(name, command)
    bad = copied(good_runs / name, tmp_path_factory)
    (bad / file).write_bytes(data.draw(damaged((bad / file).read_bytes())))
    if file != "run.json":  # no checksum: people may edit it
        assert outcome(bad, command) in (None, expected)
    elif command != "resume":  # as long as the epochs in it may say
        outcome(bad, command)


@generated(40)
@given(data=st.data(), name=NAMES, command=st.sampled_from(("encode", "evaluate", "resume")))
def test_tampered_run_json(good_runs, tmp_path_factory, data, name, command):
    bad = copied(good_runs / name, tmp_path_factory)
    content = json.loads((bad / "run.json").read_text())
    epochs = content["config"].pop("epochs")
    changed = data.draw(tampered(content))
    if isinstance(changed.get("config"), dict):
        changed["config"]["epochs"] = epochs
    (bad / "run.json").write_text(json.dumps(changed))
    outcome(bad, command)


@generated(40)
@given(data=st.data(), name=NAMES, command=st.sampled_from(("encode", "evaluate", "resume")))
@pytest.mark.parametrize("file", ["model.safetensors", "state.safetensors"])
def test_tampered_headers_and_tensors(good_runs, tmp_path_factory, file, data, name, command):
    """With a checksum that was made to match."""
    bad = copied(good_runs / name, tmp_path_factory)
    tensors, header = checkpoint.read_tensors(bad / file)
    if data.draw(st.booleans()):
        header = data.draw(tampered(header))
    else:
        key = data.draw(st.sampled_from(sorted(tensors)))
        value = tensors.pop(key)
        how = data.draw(st.sampled_from(("remove", "type", "shape", "axis")))
        if how == "type":
            tensors[key] = value.to(torch.int16)
        elif how == "shape":
            tensors[key] = value.flatten()[1:].contiguous() if value.numel() else value.new_zeros(3)
        elif how == "axis":
            tensors[key] = value[None].contiguous()
    checkpoint.write_tensors(bad / file, tensors, header)
    outcome(bad, command)


# --------------------------------------------------------------------------------- options

JUNK = st.one_of(
    st.sampled_from(
        ("", "-1", "0", "nan", "inf", "-inf", "1e400", "x", "none", "1_0", "٣", "9" * 40)
    ),
    st.one_of(st.integers(-5, 50), st.integers(min_value=10**13)).map(str),  # or they are tried
    st.floats().map(str),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6),
)
OPTIONS = (
    "--epochs", "--budget", "--batch-size", "--lr", "--warmup", "--schedule", "--weight-decay",
    "--clip", "--ema", "--patience", "--precision", "--save-every", "--seed", "--device", "--label",
    "--drop", "--kind", "--levels", "--binarize", "--size", "--test", "latent_dim", "hidden",
    "network", "likelihood", "beta",
)  # fmt: skip


@generated(120)
@given(option=st.sampled_from(OPTIONS), value=JUNK)
def test_odd_options(good_runs, tmp_path_factory, option, value):
    """What is odd is refused before anything is written, or it is a value like any other."""
    out = tmp_path_factory.getbasetemp() / "odd" / "run"
    shutil.rmtree(out.parent, ignore_errors=True)
    word = [option, value] if option.startswith("--") else [f"{option}={value}"]
    words = ["fit", "vae", good_runs / "x.npy", "-o", out, *word]
    with mock.patch("reparam.train.loop._run", side_effect=ValueError("it would train")):
        result = run(*words)
    said = option.removeprefix("--").replace("-", "_")
    known = (said, said.replace("_", "-"), "it would train", "out of memory")
    assert refused(result, *known)
    if "it would train" not in result[2]:
        assert not out.parent.exists(), "something was written"


@pytest.mark.parametrize(
    "words",
    [
        ["fit", "vae", "FILE", "-o", "OUT"],
        ["data", "FILE"],
        ["encode", "FILE"],
        ["resume", "FILE"],
        ["fit", "vae", "digits", "-o", "OUT", "--lr", "fast"],
        ["fit", "vae", "digits"],
        ["fot"],
        ["compare", "FILE", "-o", "OUT", "--jobs", "many"],
    ],
    ids=" ".join,
)
def test_words_that_make_no_sense_together(tmp_path, words):
    """Two of them in a process of its own: what is imported late, and what is not even parsed."""
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 and then nothing")
    places = {"FILE": str(tmp_path / "bad.npz"), "OUT": str(tmp_path / "out")}
    words = [places.get(word, word) for word in words]
    if words[0] in ("encode", "fot"):
        command = [sys.executable, "-m", "reparam", *words]
        done = subprocess.run(command, capture_output=True, text=True)
        found = done.returncode, done.stdout, done.stderr
    else:
        found = run(*words)
    assert refused(found, "bad.npz", "lr: ", "--out", "fot", "--jobs")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.npz"]
