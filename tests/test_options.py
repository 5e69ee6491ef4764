"""Options that presets share: what composes is built as its classes compose, the rest refused."""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from conftest import random_c, random_x

import reparam as rp
from reparam import nets
from reparam.cli.main import main
from reparam.comparison_runs import Candidate
from reparam.config import TrainConfig
from reparam.limits import Count, Limited, Share, check, convert
from reparam.model import Space
from reparam.presets import PRESETS
from reparam.presets.autoencoders import CodeOptions

L, H = 2, (6,)
BINARY = Space((7,), "binary", classes=3)
TINY = {"latent_dim": L, "hidden": H}


def composed(q_z: Any, p_z: Any, objective: Any, p_x: Any = None, **more: Any) -> rp.VAE:
    """The same VAE by its classes; ``p_z`` may ask for the encoder."""
    p_x = rp.Bernoulli(BINARY) if p_x is None else p_x
    given = BINARY if more.get("conditional") else None
    form: nets.Options = {"condition": given, "normalize": more.pop("normalize", False)}
    encoder = nets.encoder(BINARY.shape, q_z.parameter_shape, H, **form)
    decoder = nets.decoder(q_z.event_shape, p_x.parameter_shape, BINARY.shape, H, **form)
    prior = p_z(encoder, q_z) if callable(p_z) and not isinstance(p_z, torch.nn.Module) else p_z
    return rp.VAE(BINARY, encoder, decoder, q_z, prior, p_x, objective, **more)


def vamp(encoder: Any, q_z: Any) -> rp.VampPrior:
    return rp.VampPrior(encoder, q_z, BINARY.shape, 3)


def diagonal() -> rp.DiagonalNormal:
    return rp.DiagonalNormal(L)


def splines(context: int = 0) -> rp.AutoregressiveTransform:
    network = rp.MADE((L,), rp.Spline().parameters, (64,), context=context, gain=0.0)
    return rp.AutoregressiveTransform(rp.Spline(), network)


def reversed_between(one: Any, layers: int) -> list[Any]:
    return [part for _ in range(layers) for part in (one(), rp.Reverse())][:-1]


STANDARD = rp.StandardNormal(L)
COMPOSED = {
    "beta-vae posterior=full": lambda: composed(rp.FullNormal(L), STANDARD, rp.ELBO(rp.Beta(4.0))),
    "beta-tcvae conditional=true": lambda: composed(
        diagonal(), STANDARD, rp.ELBO(penalties=(rp.TotalCorrelation(5.0),)), conditional=True
    ),
    "iwae prior=vamp components=3": lambda: composed(diagonal(), vamp, rp.IWAE(5)),
    "free-bits-vae batch_norm=true": lambda: composed(
        diagonal(), STANDARD, rp.ELBO(rp.FreeBits(0.1)), normalize=True
    ),
    "sigma-vae prior=vamp components=3": lambda: composed(
        diagonal(), vamp, rp.ELBO(), rp.Normal(BINARY, "optimal")
    ),
    "wae prior=mixture components=3": lambda: composed(
        diagonal(), rp.MixturePrior(L, 3), rp.ELBO(rp.Beta(0.0), penalties=(rp.MMD(100.0),))
    ),
    "control-vae posterior=mixture components=3 likelihood=categorical": lambda: composed(
        rp.NormalMixture(L, 3), STANDARD, rp.ELBO(rp.PIController()), rp.Categorical(BINARY)
    ),
    "dl-vae prior=autoregressive": lambda: composed(
        diagonal(),
        rp.AutoregressivePrior(rp.MADE((L,), 2, (64,), gain=0.1)),
        rp.ELBO(rp.DimensionwiseLearnedWeights(L)),
    ),
    "annealed-vae posterior=categorical categories=3": lambda: composed(
        rp.GumbelSoftmax(L, 3), rp.UniformOneHot(L, 3), rp.ELBO(rp.Schedule(steps=1000))
    ),
    "cvae posterior=full batch_norm=true prior=flow-affine": lambda: composed(
        rp.FullNormal(L),
        rp.FlowPrior(L, rp.Chain(*reversed_between(lambda: rp.MaskedAffine(L), 4))),
        rp.ELBO(),
        conditional=True,
        normalize=True,
    ),
    "vae posterior=spline flows=2 prior=flow-spline": lambda: composed(
        rp.FlowPosterior(
            L, rp.Chain(*reversed_between(lambda: rp.Inverse(splines(context=2 * L)), 2))
        ),
        rp.FlowPrior(L, rp.Chain(*reversed_between(splines, 4))),
        rp.ELBO(),
    ),
}


def built(text: str, space: Space) -> Any:
    """A preset as ``compare --model`` names it, made small."""
    asked = Candidate.parse(text)
    known = PRESETS[asked.preset].parameters
    small = {name: value for name, value in TINY.items() if name in known}
    return rp.build(asked.preset, space, seed=1, **small | asked.parameters)


def step(model: Any, space: Space) -> float:
    """The loss of one batch, and one step of SGD down from it."""
    x, c = random_x(space, 8).float(), random_c(space, 8) if model.conditional else None
    torch.manual_seed(2)
    loss = model.train().loss(x, c)
    loss.objective.backward()
    torch.optim.SGD(model.parameters(), lr=1e-3).step()
    model.after_step(loss)
    return loss.objective.item()


@pytest.mark.parametrize("text", COMPOSED)
def test_presets_are_the_compositions_of_their_options(text):
    model, by_classes = built(text, BINARY), COMPOSED[text]()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    assert {n: v.shape for n, v in weights.items()} == {
        n: v.shape for n, v in by_classes.state_dict().items()
    }
    by_classes.load_state_dict(weights)
    assert step(model, BINARY) == step(by_classes, BINARY)
    after = model.state_dict()
    assert all(value.isfinite().all() for value in after.values())
    assert any(not torch.equal(after[name], value) for name, value in weights.items())


@pytest.mark.parametrize(
    ("text", "space"),
    [
        ("factor-vae conditional=true posterior=iaf flows=2 critic=8", BINARY),
        ("dip-vae codes=draws prior=flow-spline batch_norm=true", BINARY),
        ("info-vae posterior=radial", BINARY),
        ("capacity-vae prior=class conditional=true", BINARY),
        ("l-vae posterior=planar steps=0", BINARY),
        ("hierarchical-vae mixture=3 conditional=true", Space((7,), "levels", 5, classes=2)),
        ("very-deep-vae mixture=3 channels=4 blocks=1", Space((1, 8, 8), "levels", 5)),
        ("pixel-vae conditional=true posterior=full width=3", Space((1, 8, 8), "binary", None, 3)),
        ("sparse-ae corruption=gaussian amount=0.5", BINARY),
        ("k-sparse-ae corruption=masking k=1", BINARY),
        ("contractive-ae corruption=salt-and-pepper", BINARY),
        ("ae-gmm codec.corruption=masking codec.latent_dim=2", BINARY),
    ],
)
def test_more_that_composes_trains(text, space):
    assert np.isfinite(step(built(text, space), space))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("beta-tcvae posterior=full", "penalty: TotalCorrelation needs .*, got FullNormal"),
        ("cvae prior=vamp", "prior: VampPrior has pseudo-inputs without labels"),
        ("iwae posterior=categorical", "objective: .*GumbelSoftmax|posterior: "),
        ("free-bits-vae posterior=full", "weighting: FreeBits"),
        ("dl-vae posterior=iaf", "weighting: DimensionwiseLearnedWeights"),
        ("beta-vae prior=class", "prior: ClassConditional needs labels"),
        ("beta-vae posterior=categorical prior=vamp", "prior: VampPrior mixes diagonal normal"),
        ("wae posterior=categorical prior=mixture", "prior: "),
        ("factor-vae posterior=categorical", "penalty: "),
        ("sigma-vae prior=vamp batch_norm=true", "prior: VampPrior needs .*leave out batch_norm"),
        ("beta-vae mixture=2", "mixture: only discretized-logistic has components"),
        ("dip-vae likelihood=discretized-normal", "likelihood: discretized-normal is none of bin"),
        ("denoising-ae corruption=gaussian independent=true", "independent: Gaussian noise"),
        ("sigma-vae likelihood=normal", "likelihood: no parameter of sigma-vae"),
        ("cvae conditional=false", "conditional: no parameter of cvae"),
        ("made given=gray", "per_class; cvae, pixel-cnn, .*, gan, regression have given$"),
        ("ae-gmm latent_dim=3", r"latent_dim: .* \(did you mean codec.latent_dim\?\)"),
        ("beta-vae latent_dim=0", "^latent_dim: expected a whole number of at least 1, got '0'"),
        ("beta-vae beta=-1", "^beta: expected a number of at least 0, got '-1'"),
        ("beta-vae hidden=8,0", "^hidden: expected whole numbers of at least 1, .* got '8,0'"),
        ("vae posterior=normal", "^posterior: expected diagonal, full, .* got 'normal'"),
        ("ladder-vae latent_dims=()", r"^latent_dims: expected whole numbers .* got '\(\)'"),
    ],
)
def test_what_does_not_compose_is_refused_by_its_part(text, why):
    with pytest.raises(ValueError, match=why):
        built(text, BINARY)


def test_a_condition_needs_data_that_have_one():
    with pytest.raises(ValueError, match="conditional: expected data with labels or attributes"):
        built("beta-vae conditional=true", Space((7,), "binary"))


def test_own_parameters_come_first_and_all_are_told():
    for preset in PRESETS.values():
        assert all(p.meaning.endswith(".") for p in preset.parameters.values()), preset.name
        own = [n for n, p in preset.build.__annotations__.items() if n in preset.parameters]
        assert list(preset.parameters)[: len(own)] == own, preset.name
    assert list(PRESETS["beta-vae"].parameters)[0] == "beta"


def test_parts_have_options_of_their_own():
    space = Space((7,), "real")
    nested = rp.build("ae-gmm", space, seed=0, codec={"latent_dim": 3}, generator={"components": 2})
    flat = rp.build("ae-gmm", space, seed=0, **{"codec.latent_dim": "3", "generator.components": 2})
    assert nested.recipe == flat.recipe
    assert nested.recipe["parameters"] == {"codec.latent_dim": 3, "generator.components": 2}
    with pytest.raises(ValueError, match="codec.latent_dim: expected a whole number"):
        rp.build("ae-gmm", space, codec={"latent_dim": 0})


def test_compositions_are_trained_from_the_command_line(tmp_path):
    out = tmp_path / "run"
    words = ["fit", "beta-vae", "digits", "posterior=full", "latent_dim=2", "hidden=4"]
    argv = ["reparam", *words, "-o", str(out), "--epochs", "1"]
    with (
        mock.patch.object(sys, "argv", argv),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.suppress(SystemExit),
    ):
        main()
    recorded = json.loads((out / "run.json").read_text())["model"]
    assert recorded["parameters"]["posterior"] == "full"
    assert isinstance(rp.load(out).q_z, rp.FullNormal)


# ---------------------------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        ("none", Count | None, None),
        ("1e3", Count, 1000),
        (8.0, Count, 8),
        (np.int64(3), Count, 3),
        (np.float32(0.5), Share, 0.5),
        (1, Share, 1.0),
        ("YES", bool, True),
        ("0", bool, False),
        (8, tuple[Count, ...], (8,)),
        ([8, 4], tuple[Count, ...], (8, 4)),
    ],
)
def test_values_are_read(value, annotation, expected):
    found = convert("n", value, annotation)
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize("annotation", [Count, Share, Count | None, tuple[Count, ...]])
@pytest.mark.parametrize("value", ["x", "nan", "-1", "1_0", True, float("inf"), 10**30, {}, "8,-1"])
def test_odd_values_are_refused_by_name(value, annotation):
    with pytest.raises(ValueError, match="^n: expected .*, got "):
        convert("n", value, annotation)


def test_text_is_read_for_people_only():
    assert convert("lr", "0.1", Share) == 0.1
    with pytest.raises(ValueError, match="lr: expected a number above 0, got '0.1'"):
        TrainConfig(lr="0.1")
    with pytest.raises(
        ValueError, match="latent_dim: expected a whole number of at least 1, got 0"
    ):
        CodeOptions(latent_dim=0)


def test_json_is_held_to_the_same_limits():
    @dataclass(frozen=True)
    class Sizes(Limited):
        width: Count = 1

    assert check({"width": 3}, Sizes, "sizes") == Sizes(3)
    for content, message in (
        ({"width": 0}, "sizes.width: expected int >= 1"),
        ({"width": "3"}, "sizes.width: expected int, got str"),
        ({"depth": 3}, "sizes.depth is unknown"),
        ([], "sizes: expected object, got array"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            check(content, Sizes, "sizes")


def test_steps_are_those_of_the_optimizer_and_levels_those_of_gray():
    known = [p for preset in PRESETS.values() for p in preset.parameters.values()]
    steps = [p for p in known if "steps" in p.name and "sampling" not in p.name]
    assert steps and all(p.meaning.startswith("optimizer steps") for p in steps)
    assert not any("level" in p.name for p in known)
