"""Diffusion models: samples and bounds on digits, known truths in the plane, and what steps cost.

    python benchmarks/diffusion.py digits vectors toys        # short trainings, about 8 minutes
    python benchmarks/diffusion.py steps                      # beside loops written by hand
    python benchmarks/diffusion.py peer                       # beside denoising-diffusion-pytorch
    REPARAM_DATA=… python benchmarks/diffusion.py mnist --budget 1200 --out runs/mnist

digits    a U-Net of width 32 and `vae`, each for --budget seconds: Fréchet distance of samples by
          10, 20, 50 deterministic steps and by all random ones, and bounds by the three variances
vectors   the fully connected network on digits: error of the noise, and the three bounds
toys      regret, mean log p* − log p by the probability flow (an estimate), of `score-sde`
mnist     one long run: every score of `evaluate`
steps     `fit` of `score-sde` beside the same network and averages in a loop by hand, a validation
          after the epoch in both; draws of `ddpm` beside the loop by hand; 50 steps and 1000
peer      a step of training beside denoising-diffusion-pytorch, its own U-Net having about as
          many weights
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import resumable
import torch
from results import Quantity, Result, at_least, missing, show
from rounds import machine, measured, parser, quotients, tell
from torch import Tensor, nn

import reparam as rp
from reparam.data import Data
from reparam.evaluation.samples import sample_scores
from reparam.models.diffusion import Diffusion
from reparam.nets.denoiser import denoiser

BATCH, SPACE = 128, rp.Space((1, 8, 8), "levels", 17)
VARIANCES = ("optimal", "beta", "posterior")
TIMES_OF_A_ROW = 20
HAND = Quantity("training `score-sde`: loop by hand / `fit`", at_least(0.97))
DRAWS = Quantity("draws of `ddpm` by 50 steps: loop by hand / ours", at_least(0.97))
FEWER = Quantity("draws of `ddpm`: 1000 steps / 50", at_least(15))
PEER = Quantity(  # networks of about as many weights
    "training `ddpm`, 3 × 32 × 32: denoising-diffusion-pytorch, its own U-Net of 5 times the "
    "operations / ours",
    at_least(1),
)
Sides = dict[str, Callable[[], object]]


def trained(preset: str, data: Data, budget: float, **parameters: object) -> rp.Model:
    model = rp.build(preset, data.space, **parameters)
    history = rp.fit(model, data, budget=budget, progress=False)
    row = history.rows[-1]
    print(f"{preset}: {row['step']:.0f} steps in {history.seconds:.0f} s", flush=True)
    return model.eval()


def frechet(model: rp.Generator, data: Data) -> str:
    score = sample_scores(model, data, "test")["frechet_distance"]
    return f"{score.value:.2f}"


def bounds(model: Diffusion, data: Data) -> None:
    """By the same noise for all, with the errors of the differences."""
    found = {}
    for kind in VARIANCES:
        model.variance = kind
        generator = torch.Generator().manual_seed(0)
        found[kind] = model.log_prob(
            data.test.x, samples=TIMES_OF_A_ROW, generator=generator
        ).value.double()
    model.variance = "optimal"
    for kind, value in found.items():
        mean, error = resumable.mean(value)
        apart = resumable.mean(value - found["optimal"])
        print(f"| {kind} | {-mean:.2f} ± {error:.2f} | {apart[0]:.2f} ± {apart[1]:.2f} |")


def digits(budget: float) -> None:
    data = rp.load_data("digits")
    vae = trained("vae", data, budget)
    assert isinstance(vae, rp.Generator)
    print(f"| vae | {frechet(vae, data)} |")
    model = trained("ddpm", data, budget)
    assert isinstance(model, Diffusion)
    samplers: list[rp.Sampler] = [rp.DDIM(steps=steps) for steps in (10, 20, 50)]
    for sampler in (*samplers, rp.DDPM(steps=50), rp.DDPM()):
        print(f"| {sampler} | {frechet(model.through(sampler), data)} |", flush=True)
    bounds(model, data)


def vectors(budget: float) -> None:
    data = rp.load_data("digits")
    model = rp.build("ddpm", data.space, network="mlp")
    history = rp.fit(model, data, budget=budget, progress=False)
    assert isinstance(model, Diffusion)
    best = min(row["valid/noise_error"] for row in history.rows if "valid/noise_error" in row)
    print(f"noise_error {best:.3f} after {history.rows[-1]['step']:.0f} steps")
    bounds(model, data)


def mixture(rows: int = 20_000) -> Data:
    """Three normals in the plane."""
    generator = torch.Generator().manual_seed(0)
    shares, scales = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.3, 0.5])
    means = torch.tensor([[-1.5, 0.0], [1.0, 1.0], [0.5, -1.5]])
    chosen = torch.multinomial(shares, rows, replacement=True, generator=generator)
    noise = torch.randn(rows, 2, generator=generator)
    x = means[chosen] + scales[chosen, None] * noise

    def log_density(x: Tensor) -> Tensor:
        square = (x.double()[:, None] - means).square().sum(2) / (2 * scales.double() ** 2)
        weights = shares.double().log() - 2 * scales.double().log() - math.log(2 * math.pi)
        return (weights - square).logsumexp(1)

    parts = [rp.Split(part) for part in x.split([rows - 4000, 2000, 2000])]
    space = rp.Space((2,), "real")
    return Data(*parts, space, "mixture", true_log_density=log_density)


def toys(budget: float) -> None:
    for name, data in {"mixture": mixture(), "rings": rp.load_data("rings")}.items():
        model = trained("score-sde", data, budget)
        assert isinstance(model, Diffusion)
        x = data.test.x[:1000]
        truth = data.true_log_probs("test")
        assert truth is not None
        regret = truth[: len(x)] - model.log_prob(x).value.double()
        mean, error = resumable.mean(regret)
        print(f"| {name} | {mean:.3f} ± {error:.3f} |", flush=True)


def mnist(budget: float, out: Path) -> None:
    data = rp.load_data("mnist")
    model, _ = resumable.trained("ddpm", data, out, {}, budget=budget)
    assert isinstance(model, Diffusion)
    found = rp.evaluate(model, data)
    for name, score in found.items():
        print(f"| {name} | {score.value:.4g} | {score.kind} |", flush=True)


def by_hand(network: nn.Module, x: Tensor, valid: Tensor) -> None:
    """An epoch as one writes it: the same network, noise, averages, clipping and optimizer."""
    average = [p.detach().clone() for p in network.parameters()]
    weights = [p.detach() for p in network.parameters()]
    optimizer = torch.optim.Adam(network.parameters(), 2e-3, fused=True)
    for step, rows in enumerate(torch.randperm(len(x)).split(BATCH)):
        loss = _error(network, x[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        torch._foreach_lerp_(average, weights, 1 - min(0.999, (1 + step) / (10 + step)))
    with torch.no_grad():
        sum(_error(network, part).item() for part in valid.split(500))


def _error(network: nn.Module, levels: Tensor) -> Tensor:
    """Of the noise, of levels with uniform noise, at times of a variance-preserving process."""
    x = 2 * (levels.float() + torch.rand(levels.shape)) / 17 - 1
    t, noise = torch.rand(len(x)), torch.randn_like(x)
    kept = torch.exp(-(0.1 * t + 9.95 * t.square()))[:, None, None, None]
    state = kept.sqrt() * x + (1 - kept).sqrt() * noise
    return (network(state, t) - noise).square().mean()


@torch.no_grad()
def draw_by_hand(model: Diffusion, n: int, steps: int) -> Tensor:
    signal, noise = (part.float() for part in model.schedule(torch.arange(1001) / 1000))
    x = torch.randn(n, *SPACE.shape)
    times = torch.linspace(0, 1000, steps + 1).round().long().flip(0)
    for t, s in zip(times[:-1], times[1:], strict=True):
        found = model.network(x, torch.full((n,), float(t) / 1000))
        clean = ((x - noise[t] * found) / signal[t]).clamp(-1, 1)
        found = (x - signal[t] * clean) / noise[t]
        x = signal[s] * clean + noise[s] * found
    return x


def steps(asked: argparse.Namespace) -> Iterator[Result]:
    """On random levels: what the numbers are makes no difference to what they cost."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(17, (6400, *SPACE.shape), generator=generator).to(torch.uint8)
    data = Data(*(rp.Split(part) for part in x.split([5400, 500, 500])), SPACE, "random")
    fields = {"epochs": 1, "batch_size": BATCH, "progress": False}
    network = denoiser(SPACE.shape)
    model = rp.build("ddpm", SPACE).eval()
    assert isinstance(model, Diffusion)
    quick, slow = model.through(rp.DDIM(steps=50)), model.through(rp.DDIM(steps=1000))
    sides: Sides = {
        "fit": lambda: rp.fit(rp.build("score-sde", SPACE), data, **fields),
        "loop by hand": lambda: by_hand(network, data.train.x, data.valid.x),
        "draws, 50 steps": lambda: quick.sample(64),
        "draws by hand, 50 steps": lambda: draw_by_hand(model, 64, 50),
        "draws, 1000 steps": lambda: slow.sample(64),
    }
    found = measured(sides, asked)
    tell(found)
    yield HAND.found(quotients(found, "loop by hand", "fit"))
    yield DRAWS.found(quotients(found, "draws by hand, 50 steps", "draws, 50 steps"))
    yield FEWER.found(quotients(found, "draws, 1000 steps", "draws, 50 steps"))


def peer(asked: argparse.Namespace) -> Iterator[Result]:
    """A step of Adam on images of 32 × 32, the peer's U-Net having about as many weights."""
    if lacks := missing("denoising_diffusion_pytorch"):
        yield PEER.lacking(lacks)
        return
    from denoising_diffusion_pytorch import GaussianDiffusion, Unet

    shape = (3, 32, 32)
    x = torch.rand(64, *shape)
    theirs = GaussianDiffusion(Unet(16, dim_mults=(1, 2, 4), flash_attn=False), image_size=32)
    space = rp.Space(shape, "levels", 256)
    widths = range(8, 129, 8)
    weights = sum(p.numel() for p in theirs.parameters())
    width = min(widths, key=lambda w: abs(_weights(shape, w) - weights))
    mine = rp.build("ddpm", space, width=width).train()
    levels = (255 * x).round()
    sides: Sides = {
        "ddpm": _stepping(mine, lambda: mine(levels).objective),
        "denoising-diffusion-pytorch": _stepping(theirs, lambda: theirs(x)),
    }
    print(f"weights: {_weights(shape, width)} (width {width}) and {weights}")
    found = measured(sides, asked)
    tell(found)
    yield PEER.found(quotients(found, "denoising-diffusion-pytorch", "ddpm"))


def _weights(shape: tuple[int, ...], width: int) -> int:
    return sum(p.numel() for p in denoiser(shape, width=width).parameters())


def _stepping(model: nn.Module, loss: Callable[[], Tensor]) -> Callable[[], object]:
    optimizer = torch.optim.Adam(model.parameters(), 1e-4, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        optimizer.step()

    return step


def main() -> None:
    arguments = parser(__doc__, 5)
    names = ("digits", "vectors", "toys", "mnist", "steps", "peer")
    arguments.add_argument("names", nargs="+", choices=names)
    arguments.add_argument("--budget", type=float, help="seconds of each training")
    arguments.add_argument("--out", type=Path, default=Path("runs/ddpm-mnist"))
    asked = arguments.parse_args()
    torch.set_num_threads(1 if asked.cpu else asked.threads)
    for name in asked.names:
        print(f"\n{name}", flush=True)
        if name == "digits":
            digits(asked.budget or 75)
        elif name == "vectors":
            vectors(asked.budget or 120)
        elif name == "toys":
            toys(asked.budget or 60)
        elif name == "mnist":
            mnist(asked.budget or 1200, asked.out)
        else:
            print(machine(asked))
            show((steps if name == "steps" else peer)(asked), asked.json)


if __name__ == "__main__":
    main()
