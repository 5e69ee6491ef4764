"""Diffusion models: samples and bounds on digits, known truths in the plane, and what steps cost.

    python benchmarks/diffusion.py digits vectors toys        # short trainings, about 8 minutes
    python benchmarks/diffusion.py steps                      # beside loops written by hand
    python benchmarks/diffusion.py peer                       # beside denoising-diffusion-pytorch
    REPARAM_DATA=… python benchmarks/diffusion.py mnist --budget 1200s --out runs/mnist

digits    a U-Net of width 32 and `vae`, each for --budget seconds: Fréchet distance of samples by
          10, 20, 50 deterministic steps and by all random ones, and bounds by the three variances
vectors   the fully connected network on digits: error of the noise, and the three bounds
toys      regret, mean log p* − log p by the probability flow (an estimate), of `score-sde`
mnist     one long run: bits/dim, Fréchet distance, and a picture of samples
steps     `fit` and draws beside the same network and averages in a loop by hand; 50 steps and 1000
peer      a step of training beside denoising-diffusion-pytorch, whose U-Net has as many weights
"""

from __future__ import annotations

import copy
import math
import statistics
from collections.abc import Callable
from pathlib import Path

import resumable
import torch
from rounds import machine, measured, parser, ratio
from torch import Tensor, nn

import reparam as rp
from reparam.data import Data
from reparam.evaluation.samples import sample_scores
from reparam.models.diffusion import Diffusion
from reparam.nets.denoiser import denoiser

BATCH, SPACE = 128, rp.Space((1, 8, 8), "levels", 17)
VARIANCES = ("optimal", "beta", "posterior")
TIMES_OF_A_ROW = 20
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


class ByHand:
    """The training that one writes: the same network, noise, averages and optimizer."""

    def __init__(self, model: Diffusion, x: Tensor, valid: Tensor) -> None:
        self.network = copy.deepcopy(model.network).train()
        self.x, self.valid = (2 * rows.float() / 16 - 1 for rows in (x, valid))
        self.average = [p.detach().clone() for p in self.network.parameters()]
        self.optimizer = torch.optim.Adam(self.network.parameters(), 2e-3, fused=True)
        signal, noise = model.schedule(torch.arange(1001) / 1000)
        self.signal, self.noise = signal.float(), noise.float()

    def epoch(self, epochs: int) -> None:
        for step in range(epochs * (len(self.x) // BATCH)):
            loss = self.loss(self.x[torch.randint(len(self.x), (BATCH,))])
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            self.optimizer.step()
            with torch.no_grad():
                weights = [p.detach() for p in self.network.parameters()]
                torch._foreach_lerp_(
                    self.average, weights, 1 - min(0.999, (1 + step) / (10 + step))
                )
                if (step + 1) % (len(self.x) // BATCH) == 0:
                    self.loss(self.valid).item()

    def loss(self, x: Tensor) -> Tensor:
        t, noise = torch.randint(1, 1001, (len(x),)), torch.randn_like(x)
        level = [part[t].view(-1, 1, 1, 1) for part in (self.signal, self.noise)]
        found = self.network(level[0] * x + level[1] * noise, t / 1000)
        return (found - noise).square().mean()

    @torch.no_grad()
    def draw(self, n: int, steps: int) -> Tensor:
        x = torch.randn(n, *SPACE.shape)
        times = torch.linspace(0, 1000, steps + 1).round().long().flip(0)
        for t, s in zip(times[:-1], times[1:], strict=True):
            noise = self.network(x, torch.full((n,), float(t) / 1000))
            clean = ((x - self.noise[t] * noise) / self.signal[t]).clamp(-1, 1)
            noise = (x - self.signal[t] * clean) / self.noise[t]
            x = self.signal[s] * clean + self.noise[s] * noise
        return x


def steps(arguments: object) -> None:
    data = rp.load_data("digits")
    model = rp.build("ddpm", data.space)
    assert isinstance(model, Diffusion)
    hand = ByHand(model, data.train.x, data.valid.x)

    def fit() -> None:
        fresh = copy.deepcopy(model)
        fresh._measure = lambda *_: None  # type: ignore[method-assign]  # the loop has no variances
        rp.fit(fresh, data, epochs=3, progress=False, batch_size=BATCH)

    quick = model.eval().through(rp.DDIM(steps=50))
    sides: Sides = {
        "loop by hand, 3 epochs": lambda: hand.epoch(3),
        "fit, 3 epochs": fit,
        "draws by hand, 50 steps": lambda: hand.draw(64, 50),
        "draws, 50 steps": lambda: quick.sample(64),
        "draws, 1000 steps": lambda: model.through(rp.DDIM()).sample(64),
    }
    found = measured(sides, arguments)  # type: ignore[arg-type]
    print(machine(arguments))  # type: ignore[arg-type]
    for name, taken in found.items():
        print(f"| {name} | {statistics.median(taken):.3f} s |")
    print("loop by hand / fit:", ratio(found, "loop by hand, 3 epochs", "fit, 3 epochs"))
    print("draws by hand / draws:", ratio(found, "draws by hand, 50 steps", "draws, 50 steps"))
    print("1000 steps / 50:", ratio(found, "draws, 1000 steps", "draws, 50 steps"))


def peer(arguments: object) -> None:
    """A step of Adam on images of 32 × 32, the peer's U-Net having about as many weights."""
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
    found = measured(sides, arguments)  # type: ignore[arg-type]
    print(machine(arguments))  # type: ignore[arg-type]
    for name, taken in found.items():
        print(f"| {name} | {1000 * statistics.median(taken):.0f} ms |")
    print("peer / ours:", ratio(found, "denoising-diffusion-pytorch", "ddpm"))


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
            (steps if name == "steps" else peer)(asked)


if __name__ == "__main__":
    main()
