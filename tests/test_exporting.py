"""Files of graphs are the model: what other programs run, they run on any number of rows."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

import reparam as rp
from reparam.exporting import writing
from reparam.exporting.parts import Function, functions_of, trial_rows
from reparam.model import Column, Space

BINARY = Space((1, 4, 4), "binary")
MIXED = Space(
    (4,),
    "mixed",
    columns=(
        Column("rooms", "levels", 4, low=2),
        Column("city", "category", 3),
        Column("owned", "binary"),
        Column("income", "log"),
    ),
)


def vae(**parameters):
    return rp.build("vae", BINARY, seed=0, latent_dim=2, hidden=(8,), **parameters)


def small(name, space, **parameters):
    return rp.build(name, space, seed=0, **parameters)


def trained_pca():
    x = torch.randn(40, 5, generator=torch.Generator().manual_seed(0))
    model = small("pca", Space((5,), "real"), latent_dim=2)
    rp.fit(model, x * torch.tensor([1.0, 100, 1e-2, 1, 1]) + 7, progress=False)
    return model


def moved_flow():
    """Couplings that do something: as they are built, they are the identity."""
    model = small("real-nvp", Space((4,), "real"), layers=2, hidden=(8,))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.3 * torch.randn(weight.shape, generator=generator)
    return model


# What a graph may hold, once each, as a conversion takes seconds: conditions and whole levels,
# indices and convolutions, columns of different kinds, statistics in double, log p(x), couplings.
GRAPHS = {
    "conditional": (
        lambda: small("cvae", Space((1, 4, 4), "levels", 17, classes=3), latent_dim=2, hidden=(8,)),
        ("encoder", "decoder"),
    ),
    "indices": (
        lambda: small("vq-vae", Space((1, 8, 8), "levels", 5), codes=4, channels=4),
        ("encoder", "decoder"),
    ),
    "mixed": (lambda: small("vae", MIXED, latent_dim=2, hidden=(8,)), ("decoder",)),
    "closed form": (trained_pca, ("density",)),
    "autoregressive": (lambda: small("made", Space((9,), "binary"), hidden=(8,)), ("density",)),
    "flow": (moved_flow, ("density",)),
}


@pytest.mark.parametrize(
    ("name", "part"), [(name, part) for name, (_, parts) in GRAPHS.items() for part in parts]
)
def test_files_of_onnx_give_what_the_model_gives(name, part, tmp_path):
    import onnxruntime

    model = GRAPHS[name][0]().eval()
    (file,) = rp.export(model, tmp_path, part=part)
    session = onnxruntime.InferenceSession(str(file.path))
    assert all(each.shape[0] == "batch" for each in session.get_inputs())
    x = trial_rows(model.space, 3, seed=5)  # others than those it was tried on
    c = torch.tensor([0, 2, 1]) if model.conditional else None
    with torch.no_grad():
        given = model.encode(x, c) if part == "decoder" else x
        method = {"encoder": "encode", "decoder": "decode", "density": "log_prob"}[part]
        wanted = getattr(model, method)(given, c)
    fed = {"z" if part == "decoder" else "x": given.numpy()}
    (found,) = session.run(None, fed if c is None else fed | {"c": c.numpy()})
    wanted = wanted.value if part == "density" else wanted
    # A file is promised to be within 1e-4 of the range; float32 sums differ by some 1e-6 of it.
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-4, atol=1e-4 * file.range)


def test_a_file_runs_where_neither_torch_nor_this_library_is(tmp_path):
    model = vae().eval()
    rp.export(model, tmp_path, part="decoder")
    program = (
        "import sys; sys.modules.update(torch=None, reparam=None)\n"
        "import json, numpy, onnxruntime\n"
        "s = onnxruntime.InferenceSession(sys.argv[1])\n"
        "z = numpy.array([[0.5, -1]], numpy.float32)\n"
        "x = s.run(['x'], {'z': z})[0]\n"
        "m = s.get_modelmeta().custom_metadata_map\n"
        "print(json.dumps([x.tolist(), m]))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "decoder.onnx")],
        capture_output=True,
        text=True,
        check=True,
    )
    x, told = json.loads(ran.stdout)
    with torch.no_grad():
        wanted = model.decode(torch.tensor([[0.5, -1.0]]))
    torch.testing.assert_close(torch.tensor(x), wanted, rtol=1e-5, atol=1e-6)
    assert told["preset"] == "vae" and told["kind"] == "binary" and told["levels"] == "2"
    assert told["input z"] == "shape (batch, 2), finite numbers, float32"
    assert json.loads(told["space"])["shape"] == [1, 4, 4]


def test_programs_of_torch_take_any_batch_and_say_what_they_are(tmp_path):
    model = vae().double().eval()
    (file,) = rp.export(model, tmp_path, part="encoder", formats=["torch"])
    extra = {"metadata.json": ""}
    program = torch.export.load(file.path, extra_files=extra).module()
    x = trial_rows(BINARY, 5, torch.float64)
    torch.testing.assert_close(program(x), model.encode(x), rtol=1e-12, atol=1e-12)
    assert json.loads(extra["metadata.json"])["part"] == "encoder"


def test_weights_and_mode_stay_as_they_are(tmp_path):
    model = vae().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    rp.export(model, tmp_path, formats=["torch"])
    assert model.training
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_a_graph_that_differs_is_not_left_behind(tmp_path, monkeypatch):
    model = vae().eval()
    trace = writing.trace

    def of_other_weights(model, function, inputs):
        return trace(rp.build("vae", BINARY, seed=1, latent_dim=2, hidden=(8,)), function, inputs)

    monkeypatch.setattr(writing, "trace", of_other_weights)
    with pytest.raises(ValueError, match=r"decoder\.pt2: differs from the model by .* of 1; noth"):
        rp.export(model, tmp_path, part="decoder", formats=["torch"])
    assert not list(tmp_path.iterdir())


def test_where_one_file_fails_none_is_written(tmp_path, monkeypatch):
    trace = writing.trace

    def no_decoder(model, function, inputs):
        if function.part == "decoder":
            raise ValueError("decoder: has no form")
        return trace(model, function, inputs)

    monkeypatch.setattr(writing, "trace", no_decoder)
    with pytest.raises(ValueError, match="no form"):
        rp.export(vae(), tmp_path / "new" / "one", formats=["torch"])
    assert not (tmp_path / "new" / "one").exists()
    (tmp_path / "encoder.pt2").write_text("before")
    with pytest.raises(ValueError, match="no form"):
        rp.export(vae(), tmp_path, formats=["torch"], force=True)
    assert (tmp_path / "encoder.pt2").read_text() == "before"
    assert {path.name for path in tmp_path.iterdir()} == {"encoder.pt2", "new"}


def test_missing_cells_are_in_the_graph_of_a_pca(tmp_path):
    columns = (Column("a", "real"), Column("b", "real"), Column("c", "log"))
    model = rp.build("pca", Space((3,), "mixed", columns=columns), latent_dim=2, seed=0)
    model.double()
    x = trial_rows(model.space, 17, torch.float64)
    x[2, 1], x[5] = torch.nan, torch.nan
    files = rp.export(model, tmp_path, formats=["torch"], x=x)
    assert [file.path.stem for file in files] == ["encoder", "decoder", "density"]
    assert all(file.difference < 1e-9 for file in files)


def test_what_cannot_be_compared_is_a_difference():
    model = vae().eval()
    function = Function("encoder", "x", "z", BINARY, model.code_space)
    x = trial_rows(BINARY, 2)
    for wrong in (lambda x: model.encode(x) * torch.nan, lambda x: model.encode(x) / 0):
        with pytest.raises(ValueError, match="differs from the model by inf"):
            writing.compare(model, function, wrong, (x,), "e.onnx")
    with pytest.raises(ValueError, match=r"shape \(1, 1\) for 1 rows, the model \(1, 2\)"):
        writing.compare(model, function, lambda x: model.encode(x)[:, :1], (x,), "e.onnx")
    assert writing.compare(model, function, model.encode, (x,), "e.onnx")[0] == 0


def test_another_index_is_refused_however_near():
    model = small("vq-vae", Space((1, 8, 8), "levels", 5), codes=4, channels=4).eval()
    (function,) = functions_of(model, "encoder")
    x = trial_rows(model.space, 1)

    def other(x):
        code = model.encode(x)
        return torch.where(code == code.flatten()[0], (code + 1) % 4, code)

    with pytest.raises(ValueError, match="expected at most 0, as these are indices"):
        writing.compare(model, function, other, (x,), "encoder.onnx")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"part": "tail"}, "part: expected encoder, decoder, density, classes, all, got 'tail'"),
        ({"part": "density"}, "part: VAE finds log p"),
        ({"part": "classes"}, "part: VAE says no classes of x; export a classifier"),
        ({"formats": ["jit"]}, "formats: expected some of onnx, torch, got"),
        ({"formats": []}, "formats: expected some of onnx, torch, got"),
        ({"x": torch.zeros(0, 1, 4, 4)}, "x: expected at least one row"),
        ({"x": torch.zeros(3, 2)}, "x: expected a tensor of shape"),
    ],
)
def test_what_cannot_be_exported_is_refused(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        rp.export(vae(), tmp_path / "out", **{"formats": ["torch"], **options})
    assert not (tmp_path / "out").exists()


def test_a_model_without_codes_or_density_says_so(tmp_path):
    ebm = rp.build("ebm", Space((2,), "real"))
    with pytest.raises(ValueError, match="model: EnergyModel has neither codes nor log p"):
        rp.export(ebm, tmp_path)


def test_missing_packages_are_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ValueError, match=r"pip install 'reparam\[onnx\]'"):
        rp.export(vae(), tmp_path)


def test_more_weights_than_a_file_holds_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "MOST_BYTES", 100)
    with pytest.raises(ValueError, match="onnx: expected at most .* GB of weights in a file"):
        rp.export(vae(), tmp_path)


def test_rows_at_random_are_of_every_kind_of_column():
    rows = trial_rows(MIXED, 200, torch.float64)
    model = small("vae", MIXED, latent_dim=2, hidden=(8,)).double()
    model.prepare(rows)  # refuses what is none
    assert [sorted(rows[:, i].unique().tolist()) for i in range(3)] == [
        [2, 3, 4, 5],
        [0, 1, 2],
        [0, 1],
    ]
    assert (rows[:, 3] > 0).all()


def test_the_command_says_how_near_files_are_and_overwrites_nothing(tmp_path, reparam):
    run, out = tmp_path / "run", tmp_path / "graphs"
    assert reparam("fit", "pca", "digits", "latent_dim=2", "-o", run)[0] == 0
    asked = ("export", run, "-o", out, "--torch")
    code, shown, _ = reparam(*asked, "--part", "encoder")
    assert code == 0 and "differs from the model by 0 of a range of" in " ".join(shown.split())
    before = (out / "encoder.pt2").read_bytes()
    code, _, message = reparam(*asked)
    assert code == 2 and "encoder.pt2: exists already; choose another folder" in message
    assert (out / "encoder.pt2").read_bytes() == before and len(list(out.iterdir())) == 1
    assert reparam(*asked, "--part", "decoder")[0] == 0
    assert reparam(*asked, "--part", "tail")[0] == 2


def test_where_data_are_gone_random_rows_do(tmp_path, reparam):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(60, 3)))
    run = tmp_path / "run"
    assert reparam("fit", "pca", tmp_path / "x.npy", "latent_dim=2", "-o", run)[0] == 0
    (tmp_path / "x.npy").unlink()
    code, shown, told = reparam("export", run, "-o", tmp_path / "out", "--torch")
    assert code == 0 and "Compared on random rows: " in " ".join((shown + told).split())
