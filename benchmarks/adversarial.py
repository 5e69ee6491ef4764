"""Adversarial models: samples of digits, modes of a ring, and what a step costs.

    python benchmarks/adversarial.py digits ring           # short trainings, about 10 minutes
    python benchmarks/adversarial.py steps                 # beside loops written by hand
    REPARAM_DATA=… python benchmarks/adversarial.py mnist --budget 600 --out runs/gan-mnist

digits    `gan` for 1 400 steps with three seeds: Fréchet distance of averaged weights, shares of
          classes among 1 000 draws; `aae` beside `wae` and `vae-gan` beside `vae`, each of 4 000
          steps
binary    `gan` on digits cut at .5, its critic given 0 and 1 as they are, or with uniform noise
ring      `gan` on eight normals around a circle, and with r1=0 loss=saturating
mnist     one long convolutional run: every score of `evaluate`
steps     `fit` of `gan` beside the same networks in two loops by hand: one that computes only the
          gradients it needs, and one that lets every backward pass go all the way
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

import resumable
import torch
from results import Quantity, Result, at_least, show
from rounds import machine, measured, parser, quotients, tell
from torch import Tensor
from torch.nn import functional as F

import reparam as rp
from reparam.data import Data
from reparam.evaluation.copies import nearest_rows
from reparam.evaluation.samples import sample_scores
from reparam.evaluation.vectors import Vectors
from reparam.models.gan import GAN

STEPS, LONGER, BATCH, DRAWS = 1400, 4000, 64, 1000
HAND = Quantity("training `gan`: loop by hand / `fit`", at_least(0.97))
ALL = Quantity("training `gan`: loop of all gradients / `fit`", at_least(1.1))
COLUMNS = ("frechet_distance", "sample_recall", "sample_sharpness", "reconstruction_mse")


def trained(preset: str, data: Data, seed: int = 0, steps: int = 0, **how: object) -> rp.Model:
    """A model after so many steps, or seconds of ``budget``; the others are its parameters."""
    fields = {"budget": how.pop("budget")} if "budget" in how else {}
    if steps:
        fields |= {"epochs": max(1, round(steps / (len(data.train) // BATCH))), "batch_size": BATCH}
    torch.manual_seed(seed)
    model = rp.build(preset, data.space, **how)
    history = rp.fit(model, data, seed=seed, progress=False, **fields)
    print(f"{preset}: {history.rows[-1]['step']:.0f} steps in {history.seconds:.0f} s", flush=True)
    return model.eval()


def described(model: rp.Model, data: Data) -> str:
    """Some scores, as cells of a table."""
    scores = rp.evaluate(model, data)
    cells = [f"{scores[name].value:.3g}" if name in scores else "" for name in COLUMNS]
    return " | ".join(cells)


def shares(model: rp.Generator, data: Data) -> list[float]:
    """Of each class among draws, by their nearest training rows, over that in the data."""
    assert data.train.labels is not None
    vectors = Vectors(data.space, data.train.x)
    draws = model.sample(DRAWS, generator=torch.Generator().manual_seed(0))
    labels = data.train.labels[nearest_rows(vectors(draws), data.train, vectors)]
    drawn, real = (
        torch.bincount(part, minlength=10).double() for part in (labels, data.train.labels)
    )
    return (drawn / drawn.sum() / (real / real.sum())).tolist()


def digits() -> None:
    data = rp.load_data("digits")
    for seed in range(3):
        model = trained("gan", data, seed, STEPS)
        assert isinstance(model, rp.Generator)
        found = sample_scores(model, data, "test")["frechet_distance"].value
        least = min(shares(model, data))
        print(f"| gan, seed {seed} | {found:.2f} | rarest class {least:.2f} |", flush=True)
    pairs = {"wae": {"latent_dim": 8}, "aae": {"latent_dim": 8}, "vae": {}, "vae-gan": {}}
    print(f"| model | {' | '.join(COLUMNS)} |")
    for preset, parameters in pairs.items():
        model = trained(preset, data, steps=LONGER, **parameters)
        print(f"| {preset} | {described(model, data)} |", flush=True)


def binary() -> None:
    data = rp.load_data("digits", binarize=0.5)
    for dequantize in (False, True):
        found = []
        for seed in range(3):
            model = trained("gan", data, seed, STEPS, dequantize=dequantize)
            assert isinstance(model, rp.Generator)
            found.append(sample_scores(model, data, "test")["frechet_distance"].value)
        print(f"| dequantize={dequantize} | {' | '.join(f'{f:.2f}' for f in found)} |", flush=True)


def eight(rows: int = 8000) -> Data:
    """Normals of deviation .1 around a circle of radius 2."""
    generator = torch.Generator().manual_seed(0)
    angles = 2 * math.pi * torch.randint(8, (rows,), generator=generator) / 8
    x = 2 * torch.stack([angles.cos(), angles.sin()], 1)
    x = x + 0.1 * torch.randn(rows, 2, generator=generator)
    parts = [rp.Split(part) for part in x.split([rows - 2000, 1000, 1000])]
    return Data(*parts, rp.Space((2,), "real"), "eight normals")


def ring(budget: float) -> None:
    data = eight()
    for how in ({}, {"r1": 0.0, "loss": "saturating"}):
        model = trained("gan", data, budget=budget, **how)
        assert isinstance(model, rp.Generator)
        x = model.sample(DRAWS, generator=torch.Generator().manual_seed(0))
        angle = 8 * torch.atan2(x[:, 1], x[:, 0]) / (2 * math.pi)
        middle = 2 * math.pi * angle.round() / 8
        apart = x - 2 * torch.stack([middle.cos(), middle.sin()], 1)
        near = apart.norm(dim=1) < 0.4  # four deviations
        counts = torch.bincount(angle.round().long()[near] % 8, minlength=8)
        reached = int((counts >= DRAWS // 80).sum())  # a tenth of its share
        print(f"| {how or 'defaults'} | {reached} of 8 | {near.double().mean():.2f} |", flush=True)


def mnist(budget: float, out: Path) -> None:
    data = rp.load_data("mnist")
    model, _ = resumable.trained("gan", data, out, {"network": "conv"}, budget=budget)
    for name, score in rp.evaluate(model, data).items():
        print(f"| {name} | {score.value:.4g} | {score.kind} |", flush=True)


def by_hand(model: GAN, x: Tensor, valid: Tensor, all_the_way: bool) -> None:
    """An epoch as one writes it; ``all_the_way`` every backward pass computes all gradients."""
    networks = (model.generator, model.critic)
    optimizers = [torch.optim.Adam(n.parameters(), 1e-3, (0.0, 0.99), fused=True) for n in networks]
    weights = [p.detach() for n in networks for p in n.parameters()]
    average = [w.clone() for w in weights]
    for step, rows in enumerate(torch.randperm(len(x)).split(BATCH)):
        real = x[rows].float() / 8 - 1
        for optimizer, network in zip(optimizers, networks, strict=True):
            model.zero_grad(set_to_none=True)
            loss = _loss(model, real, network is model.critic, all_the_way)
            loss.backward(inputs=None if all_the_way else list(network.parameters()))
            optimizer.step()
        torch._foreach_lerp_(average, weights, 1 - min(0.999, (1 + step) / (10 + step)))
    with torch.no_grad():
        for part in valid.split(500):
            real = part.float() / 8 - 1
            _loss(model, real, False, False)
            model.critic(real).mean().item()


def _loss(model: GAN, real: Tensor, of_critic: bool, all_the_way: bool) -> Tensor:
    z = torch.randn(len(real), *model.code_space.shape)
    with torch.set_grad_enabled(torch.is_grad_enabled() and (all_the_way or not of_critic)):
        drawn = model.generator(z).tanh()
    if not of_critic:
        return F.softplus(-model.critic(drawn)).mean()
    real = real.requires_grad_()
    logits = model.critic(real)
    (slope,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
    cost = F.softplus(-logits) + F.softplus(model.critic(drawn))
    return (cost + 0.5 * slope.flatten(1).square().sum(1)).mean()


def steps(asked: argparse.Namespace) -> Iterator[Result]:
    """On random levels: what the numbers are makes no difference to what they cost."""
    space = rp.Space((1, 8, 8), "levels", 17)
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(17, (26_600, *space.shape), generator=generator).to(torch.uint8)
    data = Data(*(rp.Split(part) for part in x.split([25_600, 500, 500])), space, "random")
    model = rp.build("gan", space).train()
    assert isinstance(model, GAN)
    train, valid = data.train.x, data.valid.x
    fields = {"epochs": 1, "batch_size": BATCH, "progress": False}
    found = measured(
        {
            "fit": lambda: rp.fit(rp.build("gan", space), data, **fields),
            "loop by hand": lambda: by_hand(model, train, valid, all_the_way=False),
            "loop by hand, all gradients": lambda: by_hand(model, train, valid, all_the_way=True),
        },
        asked,
    )
    tell(found, len(train) // BATCH)
    yield HAND.found(quotients(found, "loop by hand", "fit"))
    yield ALL.found(quotients(found, "loop by hand, all gradients", "fit"))


def main() -> None:
    arguments = parser(__doc__, 5)
    names = ("digits", "binary", "ring", "mnist", "steps")
    arguments.add_argument("names", nargs="+", choices=names)
    arguments.add_argument("--budget", type=float, help="seconds of each training")
    arguments.add_argument("--out", type=Path, default=Path("runs/gan-mnist"))
    asked = arguments.parse_args()
    torch.set_num_threads(1 if asked.cpu else asked.threads)
    for name in asked.names:
        print(f"\n{name}", flush=True)
        if name == "digits":
            digits()
        elif name == "binary":
            binary()
        elif name == "ring":
            ring(asked.budget or 60)
        elif name == "mnist":
            mnist(asked.budget or 600, asked.out)
        else:
            print(machine(asked))
            show(steps(asked), asked.json)


if __name__ == "__main__":
    main()
