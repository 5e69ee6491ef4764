"""Masked autoencoders: what is hidden and found again, clips, and what a step costs.

    python benchmarks/masked.py steps                      # beside all tokens, and a loop by hand
    REPARAM_DATA=… python benchmarks/masked.py hidden --budget 900 --out runs/masked
    python benchmarks/masked.py video --budget 300 --out runs/masked

steps     a step of `mae` on 28 × 28 with patches of 4 × 4 at ratio .75 beside the same encoder and
          decoder on all tokens; `fit` of it beside the same loss in a loop by hand
hidden    `mae` and `simmim` on MNIST: error of hidden entries of 500 test images beside their
          mean and linear regression from visible entries, at 60, 75, 85 and 95 % hidden
video     `mae` on moving digits at ratio .9, with tubes and with independent masks: error of
          hidden entries under the masks of each, and probes of the codes
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch
from results import Quantity, Result, at_least, at_most, show
from resumable import trained
from rounds import descend_by_hand, machine, measured, parser, quotients, tell
from torch import Tensor

import reparam as rp
from reparam.data import Data
from reparam.evaluation.denoising import linear_repair, repair
from reparam.evaluation.hidden import Hidden
from reparam.evaluation.representation import linear_probe
from reparam.evaluation.rows import subset

LEVELS, ROWS, LINEAR_ROWS = (0.6, 0.75, 0.85, 0.95), 500, 100
PATCH, CLIP = {"patch": 4}, {"patch": "2x4x4", "ratio": 0.9}

VISIBLE = Quantity("training `mae`: a step / one of all tokens", at_most(0.45))
HAND = Quantity("training `mae`: loop by hand / `fit`", at_least(0.97))


def steps(asked: argparse.Namespace) -> Iterator[Result]:
    """Of batches of 128."""
    space = rp.Space((1, 28, 28), "levels", levels=256)
    x = torch.randint(256, (40 * 128, 1, 28, 28), generator=torch.Generator().manual_seed(0))
    yield beside_all_tokens(space, x[:128].float(), asked)
    valid = rp.Split(x[:128].byte())
    yield beside_by_hand(rp.Data(rp.Split(x.byte()), valid, valid, space, "random"), asked)


def beside_all_tokens(space: rp.Space, batch: Tensor, asked: argparse.Namespace) -> Result:
    """Forward and backward passes of one batch."""
    model = rp.build("mae", space, seed=0, **PATCH)

    def masked() -> None:
        model.zero_grad()
        model(batch).objective.backward()

    def whole() -> None:
        model.zero_grad()
        patches = model.patches(batch / 255)
        found = model.decoder(model.encoder(patches))
        (found - patches).square().mean().backward()

    seconds = measured({"masked": masked, "all tokens": whole}, asked)
    tell(seconds)
    return VISIBLE.found(quotients(seconds, "masked", "all tokens"))


def beside_by_hand(data: Data, asked: argparse.Namespace) -> Result:
    """Trainings of an epoch of 40 batches."""

    def by_fit() -> None:
        own = rp.build("mae", data.space, seed=0, **PATCH)
        fields = {"epochs": 1, "batch_size": 128, "lr": 1e-3, "weight_decay": 0.0, "warmup": 0}
        rp.fit(own, data, schedule="constant", betas=(0.9, 0.999), progress=False, **fields)

    def by_hand() -> None:
        own = rp.build("mae", data.space, seed=0, **PATCH)
        parts = (data.train.x, data.valid.x)
        descend_by_hand(own.parameters(), lambda x: own(x).objective, *parts, batch=128, epochs=1)

    seconds = measured({"fit": by_fit, "by hand": by_hand}, asked)
    tell(seconds, 40)
    return HAND.found(quotients(seconds, "by hand", "fit"))


def hidden_errors(model: rp.Codec, data: Data) -> None:
    """A row of a table for each share hidden: the model, the mean, linear regression."""
    noise, known = model.noise, Hidden(model.space, data.train)
    assert noise is not None
    split, few = (subset(data.test, rows, 0) for rows in (ROWS, LINEAR_ROWS))
    for level in LEVELS:
        found = repair(model, noise, split, data.train, level, hidden=known)
        linear = linear_repair(noise, few, known, level, model.anchor.device)
        cells = [
            f"{score.value:.4f} ± {score.stderr or 0:.4f}"
            for score in (found.repaired, found.corrupted, linear)
        ]
        print(f"{level:.2f} | " + " | ".join(cells), flush=True)


def hidden(arguments: argparse.Namespace) -> None:
    data = rp.load_data(arguments.data)
    for preset in arguments.presets:
        name = f"{preset}-{arguments.data}"
        fields = {"budget": arguments.budget, "progress": False}
        model, history = trained(preset, data, arguments.out / name, PATCH, **fields)
        print(f"{name}: {history.rows[-1]['step']:.0f} steps; share | model | mean | linear")
        assert isinstance(model, rp.Codec)
        hidden_errors(model, data)


def video(arguments: argparse.Namespace) -> None:
    data = rp.load_data("moving-digits")
    models = {}
    for tubes in (True, False):
        name, parameters = "tubes" if tubes else "independent", CLIP | {"tubes": tubes}
        fields = {"budget": arguments.budget, "progress": False}
        model, history = trained("mae", data, arguments.out / name, parameters, **fields)
        print(f"{name}: {history.rows[-1]['step']:.0f} steps")
        models[name] = model
    known = Hidden(data.space, data.train)
    for name, model in models.items():
        assert isinstance(model, rp.Codec)
        errors = [
            repair(model, one.noise, data.test, data.train, CLIP["ratio"], hidden=known).repaired
            for one in models.values()
        ]
        said = ", ".join(
            f"{error.value:.4f} ± {error.stderr or 0:.4f} of {masks}"
            for masks, error in zip(models, errors, strict=True)
        )
        probe = linear_probe(model, data.train, data.test)
        assert probe is not None
        print(f"{name}: hidden error under masks {said}; probe {probe.value:.3f}", flush=True)


def main() -> None:
    arguments = parser(__doc__, rounds=15)
    arguments.add_argument("what", choices=("steps", "hidden", "video"))
    arguments.add_argument("--budget", type=float, default=900.0)
    arguments.add_argument("--data", default="mnist")
    arguments.add_argument("--presets", nargs="+", default=["mae", "simmim"])
    arguments.add_argument("--out", type=Path, default=Path("runs/masked"))
    given = arguments.parse_args()
    if given.what == "steps":
        print(machine(given))
        show(steps(given), given.json)
    else:
        {"hidden": hidden, "video": video}[given.what](given)


if __name__ == "__main__":
    main()
