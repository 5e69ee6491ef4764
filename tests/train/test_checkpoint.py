"""Files: whole or absent, read back exactly, and every damage refused by the file's name."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from safetensors import SafetensorError
from torch import nn

import reparam as rp
from reparam import checkpoint
from reparam.model import Space

SPACE = Space((5,), "levels", 9)


def saved(folder: Path, name: str = "vae") -> tuple[Any, Path]:
    torch.manual_seed(0)
    small = {"latent_dim": 2} if name == "pca" else {"latent_dim": 2, "hidden": (4,)}
    model = rp.build(name, SPACE, **small)
    rp.save(model, folder)
    return model, folder / "model.safetensors"


def header_of(file: Path) -> tuple[int, dict[str, Any]]:
    """Length and content of a safetensors header, read by hand."""
    content = file.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    return 8 + size, json.loads(content[8 : 8 + size])


# -------------------------------------------------------------------------- what is kept


def test_what_a_file_says(tmp_path):
    model, file = saved(tmp_path)
    _, header = header_of(file)
    described = json.loads(header["__metadata__"]["reparam"])
    assert described["preset"] == "vae"
    chosen = {"latent_dim": 2, "hidden": [4], "network": "auto", "likelihood": "auto"}
    assert {name: described["parameters"][name] for name in chosen} == chosen
    assert described["parameters"].keys() == rp.PRESETS["vae"].parameters.keys()
    assert described["precision"] == "float32"
    assert described["space"]["shape"] == [5]
    assert described["space"]["levels"] == 9
    assert described["version"] == rp.__version__
    assert header.keys() - {"__metadata__"} == model.state_dict().keys()


def test_tensors_of_every_sort_come_back(tmp_path):
    shared = torch.arange(6.0)
    tensors = {
        "scalar": torch.tensor(2.5, dtype=torch.float64),
        "empty": torch.zeros(0, 3),
        "also empty": torch.zeros(0),
        "bytes": torch.arange(5, dtype=torch.uint8),
        "truth": torch.tensor([True, False]),
        "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "integers": torch.tensor([-(2**40)], dtype=torch.int64),
        "not finite": torch.tensor([float("nan"), float("inf")]),
        "transposed": torch.arange(6.0).view(2, 3).T,
        "shared": shared,
        "shared again": shared,
        "a part of it": shared[2:4],
        "expanded": torch.ones(1).expand(4),
    }
    checkpoint.write_tensors(tmp_path / "f", tensors, {"größe": ["π", 1, None]})
    found, header = checkpoint.read_tensors(tmp_path / "f")
    assert found.keys() == tensors.keys()
    for name, value in tensors.items():
        assert found[name].dtype == value.dtype
        torch.testing.assert_close(found[name], value, rtol=0, atol=0, equal_nan=True)
    assert header["größe"] == ["π", 1, None]


def test_tied_weights_stay_tied(tmp_path):
    space = Space((4,), "real")

    def tied() -> Any:
        encoder, decoder = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
        decoder.weight = encoder.weight
        return rp.Autoencoder(space, encoder, decoder, latent_dim=4)

    model = tied()
    rp.save(model, tmp_path)
    back = rp.load(tmp_path, model=tied())
    assert back.decoder.weight is back.encoder.weight
    assert torch.equal(back.encoder.weight, model.encoder.weight)


def test_a_model_of_ones_own_needs_its_module(tmp_path):
    space = Space((4,), "real")
    model = rp.Autoencoder(space, nn.Linear(4, 2), nn.Linear(2, 4), latent_dim=2).double()
    rp.save(model, tmp_path)
    with pytest.raises(ValueError, match="holds a model that no preset builds; give it as model="):
        rp.load(tmp_path)
    blank = rp.Autoencoder(space, nn.Linear(4, 2), nn.Linear(2, 4), latent_dim=2)
    back = rp.load(tmp_path, model=blank)
    x = torch.randn(3, 4, dtype=torch.float64)
    assert torch.equal(back.reconstruct(x), model.reconstruct(x))
    wrong = rp.Autoencoder(space, nn.Linear(4, 3), nn.Linear(3, 4), latent_dim=3)
    with pytest.raises(ValueError, match="model.safetensors: its weights do not fit the model"):
        rp.load(tmp_path, model=wrong)


def test_saving_over_a_model_needs_force(tmp_path):
    model, file = saved(tmp_path)
    before = file.read_bytes()
    with pytest.raises(ValueError, match="exists already.*force"):
        rp.save(model, tmp_path)
    assert file.read_bytes() == before
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    rp.save(model, tmp_path, force=True)
    assert file.read_bytes() != before


# ------------------------------------------------------------------------------- damage


def refused(file: Path) -> bool:
    """Whether the file is refused by name; any other exception is a failure."""
    try:
        rp.load(file)
    except ValueError as error:
        assert str(file) in str(error), error
        return True
    return False


def test_truncated_files_are_refused(tmp_path):
    _, file = saved(tmp_path)
    content = file.read_bytes()
    end, _ = header_of(file)
    for size in {0, 1, 8, 20, end - 1, end, end + 1, len(content) // 2, len(content) - 1}:
        file.write_bytes(content[:size])
        assert refused(file), size
    file.write_bytes(content + b"\0")
    assert refused(file)


@pytest.mark.parametrize("name", ["vae", "pca"])
def test_flipped_bytes_are_refused(tmp_path, name):
    """Every byte of the header, and bytes all over the weights, one at a time."""
    _, file = saved(tmp_path, name)
    content = file.read_bytes()
    end, _ = header_of(file)
    places = [*range(0, end, 3), *range(end, len(content), max(1, (len(content) - end) // 150))]
    accepted = []
    for place in places:
        for bit in (0x01, 0x20, 0x80):
            spoiled = bytearray(content)
            spoiled[place] ^= bit
            file.write_bytes(bytes(spoiled))
            if not refused(file):
                accepted.append((place, bytes(content[max(0, place - 9) : place + 1])))
    assert accepted == []


def rewritten(file: Path, **changes: Any) -> None:
    tensors, header = checkpoint.read_tensors(file)
    checkpoint.write_tensors(file, tensors, header | changes)


@pytest.mark.parametrize(
    "changes,message",
    [
        ({"preset": "vea"}, "no such model.*did you mean vae"),
        ({"preset": 5}, "does not describe"),
        ({"preset": ["vae"]}, "does not describe"),
        ({"format": 99}, r"written by a newer reparam \(format 99\)"),
        ({"format": "1"}, "no format number"),
        ({"space": None}, "does not describe"),
        ({"space": {"shape": [5]}}, "does not describe"),
        ({"space": {"shape": [5, 5], "kind": "real"}}, "shape"),
        ({"space": {"shape": [], "kind": "real"}}, "shape"),
        ({"space": {"shape": "x", "kind": "real"}}, "does not describe"),
        ({"space": {"shape": [5], "kind": "complex"}}, "kind"),
        ({"space": {"shape": [5], "kind": "levels", "levels": "9"}}, "does not describe"),
        ({"space": {"shape": [6], "kind": "levels", "levels": 9}}, "do not fit the model"),
        ({"parameters": {"latent_dim": 3}}, "do not fit the model"),
        ({"parameters": {"latent_dim": -3}}, "latent_dim"),
        ({"parameters": {"latent_dim": "many"}}, "latent_dim: expected a whole number"),
        ({"parameters": {"color": 1}}, "color: no parameter of vae"),
        ({"parameters": [1]}, "does not describe"),
        ({"parameters": None}, "does not describe"),
    ],
    ids=str,
)
def test_tampered_headers_are_refused(tmp_path, changes, message):
    _, file = saved(tmp_path)
    rewritten(file, **changes)
    with pytest.raises(ValueError, match=message) as error:
        rp.load(tmp_path)
    assert str(file) in str(error.value)


def test_wrong_weights_are_refused(tmp_path):
    _, file = saved(tmp_path)
    tensors, header = checkpoint.read_tensors(file)
    name = next(n for n in tensors if tensors[n].ndim == 2)
    one_missing = {n: t for n, t in tensors.items() if n != name}
    for spoiled in (
        one_missing,
        {**tensors, name: tensors[name].T.contiguous()},
        {**tensors, "extra": torch.zeros(1)},
        {},
    ):
        checkpoint.write_tensors(file, spoiled, header)
        with pytest.raises(ValueError, match="model.safetensors: its weights do not fit"):
            rp.load(tmp_path)


def test_what_is_no_file_of_ours(tmp_path):
    from safetensors.torch import save_file

    with pytest.raises(ValueError, match="no such file; expected a folder that fit or save wrote"):
        rp.load(tmp_path / "nothing")
    with pytest.raises(ValueError, match="no such file"):
        rp.load(tmp_path)
    foreign = tmp_path / "foreign.safetensors"
    save_file({"w": torch.zeros(2)}, foreign)
    assert refused(foreign)
    for text in ("[]", "null", "{}", "{", '{"format": null}', '{"format": 1}', "1"):
        save_file({"w": torch.zeros(2)}, foreign, {"reparam": text})
        assert refused(foreign), text
    pickled = tmp_path / "pickle.safetensors"
    torch.save({"w": torch.zeros(2)}, pickled)
    assert refused(pickled)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"null"])
def test_damaged_json_is_refused(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ValueError, match="a.json: "):
        checkpoint.read_json(tmp_path / "a.json")
    with pytest.raises(ValueError, match="b.json: cannot be read"):
        checkpoint.read_json(tmp_path / "b.json")


def test_nan_is_no_json(tmp_path):
    with pytest.raises(ValueError):
        checkpoint.write_json(tmp_path / "a.json", {"value": float("nan")})
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------ atomic writing


class Stop(BaseException):
    """Something that nobody catches."""


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), Stop()])
def test_a_failing_write_leaves_the_old_file(tmp_path, error):
    target = tmp_path / "kept"
    checkpoint.write_text(target, "old")

    def half(temporary: str) -> None:
        Path(temporary).write_text("ne")
        raise error

    with pytest.raises(ValueError if isinstance(error, OSError) else Stop):
        checkpoint.write_atomically(target, half)
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]


def test_a_failing_move_leaves_the_old_file(tmp_path, monkeypatch):
    model, file = saved(tmp_path)
    before = file.read_bytes()

    def fails(*paths: Any) -> None:
        raise OSError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", fails)
    with pytest.raises(ValueError) as refusal:
        rp.save(model, tmp_path, force=True)
    assert str(refusal.value) == f"{file}: cannot be written: Permission denied"
    assert file.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize("kind", [OSError, SafetensorError])
def test_the_message_never_names_the_temporary_file(tmp_path, kind):
    def write(temporary: str) -> None:
        if kind is OSError:
            raise OSError(28, "No space left on device", temporary)
        raise kind(f"I/O error at {temporary}")

    with pytest.raises(ValueError, match="/f: cannot be written: ") as refusal:
        checkpoint.write_atomically(tmp_path / "f", write)
    assert "/.f." not in str(refusal.value)


def test_no_reader_ever_sees_half_a_file(tmp_path):
    """While the new content is written the old one is whole."""
    target = tmp_path / "f"
    checkpoint.write_text(target, "old")

    def write(temporary: str) -> None:
        Path(temporary).write_text("new")
        assert target.read_text() == "old"
        assert (
            Path(temporary).parent.parent == tmp_path
        )  # one file system, so that moving is atomic

    checkpoint.write_atomically(target, write)
    assert target.read_text() == "new"


def test_a_file_that_is_replaced_while_it_is_read(tmp_path, monkeypatch):
    """Header and tensors are of one file, the old or the new one."""
    file = tmp_path / "f"
    checkpoint.write_tensors(file, {"w": torch.zeros(9)}, {"which": "old"})
    opened, real = [], checkpoint.safe_open

    def safe_open(path: Path, framework: str) -> Any:
        opened.append(real(path, framework))
        if len(opened) > 1:
            return opened[-1]
        checkpoint.write_tensors(file, {"w": torch.ones(9)}, {"which": "new"})
        mixed = MagicMock()
        mixed.__enter__.return_value = mixed
        mixed.metadata, mixed.keys = opened[0].metadata, opened[0].keys
        mixed.get_tensor = real(path, framework).get_tensor
        return mixed

    monkeypatch.setattr(checkpoint, "safe_open", safe_open)
    tensors, header = checkpoint.read_tensors(file)
    assert (header["which"], tensors["w"].sum().item()) == ("new", 9.0)


def test_files_get_the_usual_permissions(tmp_path):
    checkpoint.write_text(tmp_path / "ours", "x")
    (tmp_path / "theirs").write_text("x")
    modes = {p.name: p.stat().st_mode for p in tmp_path.iterdir()}
    assert modes["ours"] == modes["theirs"]


def test_folders_that_cannot_be_made_are_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    model, _ = saved(tmp_path / "run")
    with pytest.raises(ValueError, match="file/below: cannot be written to"):
        rp.save(model, tmp_path / "file" / "below")
