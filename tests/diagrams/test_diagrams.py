"""Diagrams say what the model does: shapes by its calls, masks by enumeration, gradients by it."""

import itertools
import sys
import xml.etree.ElementTree as ET

import pytest
import torch
from PIL import Image

import reparam as rp
from reparam.cli.main import main
from reparam.diagrams import graphical
from reparam.diagrams.blocks import passes
from reparam.diagrams.canvas import Canvas
from reparam.diagrams.gradients import flows
from reparam.diagrams.masks import network_in, sees
from reparam.presets import PRESETS
from reparam.presets.places import USUAL


def built(name, **parameters):
    preset = PRESETS[name]
    space = next(s for s in USUAL if preset.accepts.refusal(s) is None)
    return rp.build(name, space, seed=0, **{**preset.small, **parameters})


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_drawn_and_stays_as_it_is(name):
    model = built(name)
    before = {n: v.clone() for n, v in model.state_dict().items()}
    state, training = torch.get_rng_state(), model.training
    root = ET.fromstring(str(rp.draw(model, "all")))
    assert root.tag.endswith("svg") and not list(root.iter("{http://www.w3.org/2000/svg}script"))
    assert model.training == training and torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(v, before[n]) for n, v in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize("network", ["mlp", "conv"])
def test_shapes_are_those_of_the_parts(network):
    model = rp.build("vae", rp.Space((1, 8, 8), "binary"), latent_dim=3, network=network)
    (_, x, encoder, code), (_, given, decoder, decoded) = passes(model)
    (encoder,), (decoder,) = encoder.values(), decoder.values()
    assert encoder.gives == tuple(model.encoder(torch.zeros(1, 1, 8, 8)).shape[1:])
    assert decoder.gives == tuple(model.decoder(torch.zeros(1, 3)).shape[1:])
    assert (x[1], code[1]) == ((1, 8, 8), tuple(model.encode(torch.zeros(1, 1, 8, 8)).shape[1:]))
    assert (encoder.takes, decoder.takes, given[1], decoded[1]) == (x[1], (3,), (3,), (1, 8, 8))
    assert encoder.parameters == sum(p.numel() for p in model.encoder.parameters())


def test_layers_of_a_perceptron_are_its_widths():
    model = rp.build("vae", rp.Space((9,), "binary"), latent_dim=2, hidden=(7, 5))
    _, _, encoder, _ = next(passes(model))
    assert [(7,), (5,), (4,)] == encoder["encoder"].shapes


@pytest.mark.parametrize("name", ["made", "nade", "fvbn", "image-transformer"])
def test_the_mask_is_that_of_enumeration(name):
    """Of 4 binary entries all x: entry j is seen by i if flipping it ever changes what i gets."""
    torch.manual_seed(0)
    model = rp.build(name, rp.Space((4,), "binary"), **PRESETS[name].small).double()
    network = network_in(model)
    with torch.no_grad():  # layers that start at 0 would hide what they see
        for p in network.parameters():
            p.add_(0.3 * torch.randn_like(p))
    network.eval()
    rows = torch.tensor(list(itertools.product((0.0, 1.0), repeat=4)), dtype=torch.float64)
    with torch.no_grad():
        outputs = network(rows)
        flipped = torch.zeros(4, 4, dtype=torch.bool)
        for j in range(4):
            other = rows.clone()
            other[:, j] = 1 - other[:, j]
            # A flip that is not seen may change the rounding of sums, by 1e-16.
            change = (network(other) - outputs).abs().flatten(2).amax((0, 1))
            flipped[:, j] = change > 1e-12
    assert torch.equal(sees(network, torch.arange(4)), flipped)
    ranks = network.ranks_of(0)
    assert torch.equal(flipped, ranks[None] < ranks[:, None])  # all before, and none else


def test_orders_other_than_the_raster_are_seen():
    model = rp.build("made", rp.Space((5,), "binary"), hidden=(64,), orders=3, seed=0)
    network = network_in(model)
    for member in range(3):
        ranks = network.ranks_of(member)
        seen = sees(network, torch.arange(5), member)
        assert torch.equal(seen, ranks[None] < ranks[:, None])
    assert any(not torch.equal(network.ranks_of(m), torch.arange(5)) for m in range(3))


def test_a_pixel_cnn_has_a_blind_spot_and_a_gated_one_has_none():
    entries = torch.tensor([5 * 9 + 4])
    seen = {}
    for name in ("pixel-cnn", "gated-pixel-cnn"):
        torch.manual_seed(0)
        model = rp.build(name, rp.Space((1, 9, 9), "binary"))
        seen[name] = sees(network_in(model), entries).view(9, 9)
    assert not any(mask.flatten()[5 * 9 + 4 :].any() for mask in seen.values())
    assert not seen["pixel-cnn"][4, 8]  # to the right in the row above
    assert seen["gated-pixel-cnn"][4, 8]


def test_gradients_flow_where_the_diagram_says():
    space = rp.Space((1, 8, 8), "binary")
    normal, indices = (built(n) for n in ("vae", "vq-vae"))
    assert flows(normal)[1] and not flows(indices)[1]
    assert "μ + σ ⊙ ε" in str(rp.draw(normal, "reparameterization"))
    full = rp.build("vae", space, posterior="full", latent_dim=2)
    assert "μ + C ε" in str(rp.draw(full, "reparameterization"))


def test_graphs_differ_by_capability():
    def dashed(name):
        return str(rp.draw(built(name))).count("edge dashed")

    assert [dashed(n) for n in ("vae", "hierarchical-vae", "made")] == [1, 2, 0]
    assert dashed("ladder-vae") == 3 + 2  # from x to each of three layers, and down between them
    assert dashed("cvae") == 2  # q(z|x, c)


@pytest.mark.parametrize(
    "name, parameters, made, found",
    [
        ("cvae", {}, "x", "z"),  # p(z) p(x|z, c), q(z|x, c)
        ("vae", {"conditional": True, "prior": "class"}, "zx", "z"),  # p(z|c)
        ("vq-vae", {"conditional": True, "second_stage": "made"}, "k", ""),  # the codec knows no c
        ("hierarchical-vae", {"conditional": True}, "x", "z₁"),  # q(z₂|z₁) has none
        ("ladder-vae", {"conditional": True}, "x", "z₃z₂z₁"),
        ("gated-pixel-cnn", {"conditional": True}, "x₁x₂x₃₅x₃₆", ""),
        ("nice", {"conditional": True}, "f", ""),
        ("ddpm", {"conditional": True}, "xₜ₊₁xₜx₀", ""),  # every step but the noise
    ],
)
def test_the_condition_goes_where_it_enters(name, parameters, made, found):
    space = rp.Space((1, 6, 6), "binary", classes=3)
    small = {k: v for k, v in PRESETS[name].small.items() if k != "second_stage"}
    model = rp.build(name, space, seed=0, **{**small, **parameters})
    canvas = Canvas()
    entered = graphical._entered(model, canvas, graphical._variables(model, canvas))
    names = {spot: name for name, spot in canvas.nodes.items()}
    assert ["".join(names[spot] for spot in spots) for spots in entered] == [made, found]


def test_what_a_model_has_not_is_refused(tmp_path):
    model = built("ae")
    with pytest.raises(ValueError, match="what: Autoencoder has no reparameterization; choose one"):
        rp.draw(model, "reparameterization")
    with pytest.raises(ValueError, match="what: expected graph, .* got 'graf'"):
        rp.draw(model, "graf")
    with pytest.raises(ValueError, match="path: expected a name ending in .svg"):
        rp.draw(model).save(tmp_path / "model.png")


def run(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["reparam", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def test_the_command(monkeypatch, tmp_path, capsys):
    out = tmp_path / "vae.svg"
    words = ("draw", "vae", "latent_dim=3", "--shape", "8x8", "-o", str(out), "--what", "all")
    assert run(monkeypatch, *words) == 0
    first = out.read_text()
    assert "1 × 8 × 8" in first and ET.fromstring(first) is not None
    assert run(monkeypatch, *words) == 2 and out.read_text() == first
    assert "--force" in capsys.readouterr().err
    assert run(monkeypatch, *words, "--force") == 0
    assert run(monkeypatch, "draw", "made", "digits", "-o", str(tmp_path / "made.svg")) == 0


@pytest.mark.parametrize(
    "words, message",
    [
        (("vae", "--what", "mask"), "VAE has no mask"),
        (("vaee",), "no such model"),
        (("vae", "digits", "photos"), "one source"),
        (("vae", "--shape", "8x8", "--kind", "log"), "expected binary, real, levels"),
        (("made", "lr=3"), "no parameter of made"),
    ],
)
def test_what_the_command_refuses_leaves_no_file(words, message, monkeypatch, tmp_path, capsys):
    out = tmp_path / "model.svg"
    assert run(monkeypatch, "draw", *words, "-o", str(out)) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1 and not out.exists()


def test_the_command_reads_data_as_fit_does(monkeypatch, tmp_path):
    for index, side in enumerate((9, 12, 12, 12)):
        Image.new("RGB", (side, 10 + index), (60 * index, 9, 9)).save(tmp_path / f"{index}.png")
    out = tmp_path / "drawn" / "vae.svg"
    words = ("vae", str(tmp_path), "--size", "8", "--what", "network", "-o", str(out))
    assert run(monkeypatch, "draw", *words) == 0 and "3 × 8 × 8" in out.read_text()


def test_the_command_draws_the_model_of_a_run(monkeypatch, tmp_path, capsys):
    data = rp.load_data("digits")
    model = rp.build("pca", data.space, latent_dim=3)
    rp.fit(model, data, out=tmp_path / "pca", progress=False)
    out = tmp_path / "pca.svg"
    assert run(monkeypatch, "draw", str(tmp_path / "pca"), "-o", str(out)) == 0
    assert out.read_text() == str(rp.draw(model))
    words = (str(tmp_path / "pca"), "latent_dim=2", "--force")
    assert run(monkeypatch, "draw", *words, "-o", str(out)) == 2
    assert "nothing beside a run" in capsys.readouterr().err
