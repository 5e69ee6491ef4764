"""Models of discrete codes: bounds on log p(x), use of the codes, and a peer.

    python benchmarks/discrete_codes.py digits collapse restarts    # scikit-learn's digits
    REPARAM_DATA=… python benchmarks/discrete_codes.py mnist        # beside pythae 0.1.2

digits     bounds of `vq-vae` under the uniform and a learned prior, of `fsq-vae` and `rq-vae`,
           beside `vae`
collapse   K = 512 codes with and without a start by k-means and restarts of idle codes
restarts   a codebook alone: vectors of 64 clusters of unequal size that all move away during the
           first 100 steps, as those of an encoder do
mnist      8 bit: bits/dim under both priors; error of reconstructions and perplexity beside
           pythae's VQVAE around the same layers, with the same batches and as many steps

Small networks (--channels) and short runs on the CPU, by one thread. Repeated, digits and collapse
go on where they stopped. The weights kept are those of the best validation.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import resumable
import torch
from classics import over_seeds, print_table
from torch import Tensor, nn
from vq import pythaes

import reparam as rp
from reparam.data import Data
from reparam.evaluation.rows import subset
from reparam.model import Batch, LatentVariable, Solve
from reparam.models.two_stage import ON_CODES
from reparam.models.two_stage_density import TwoStageDensity
from reparam.models.vq_vae import VQVAE
from reparam.nets.codebook import Codebook

BATCH = 64  # of mnist
LEARNED = {"second_stage": "pixel-cnn", "generator.width": 32, "generator.layers": 2}


def perplexity(code: Tensor, codes: int) -> tuple[float, int]:
    """exp of the entropy of all indices, and how many different ones there are."""
    counts = code.flatten().long().bincount(minlength=codes).double()
    share = counts / counts.sum()
    return math.exp(torch.special.entr(share).sum().item()), int((counts > 0).sum())


@torch.no_grad()
def bound(model: LatentVariable, x: Tensor) -> Tensor:
    """The bound on log p of every row by a draw from q(z|x)."""
    generator = torch.Generator().manual_seed(0)
    return torch.cat([model.log_prob(part, generator=generator).value for part in x.split(500)])


def trained(
    preset: str, data: Data, parameters: Mapping[str, Any], seed: int, lr: float, asked: Any
) -> tuple[rp.Model, rp.History]:
    words = [f"{name}={value}" for name, value in parameters.items()]
    folder = asked.out / f"epochs={asked.epochs}" / "-".join([preset, *words, f"lr={lr}-{seed}"])
    fields = {"epochs": asked.epochs, "seed": seed, "lr": lr, "device": "cpu", "progress": False}
    return resumable.trained(preset, data, folder, parameters, **fields)


def digits(asked: argparse.Namespace) -> None:
    data, size = rp.load_data("digits"), {"channels": asked.channels}
    sides = {
        "vae": {"latent_dim": 16},
        "vq-vae": {"codes": 64, **size, **LEARNED},
        "fsq-vae": {"sizes": (8, 8), **size, **LEARNED},
        "rq-vae": {"codes": 64, "depth": 2, **size, **LEARNED},
    }
    rows = []
    for preset, parameters in sides.items():
        found: dict[str, list[float]] = {}
        for seed in range(asked.seeds):
            lr = 1e-3 if preset == "vae" else asked.lr
            model, _ = trained(preset, data, parameters, seed, lr, asked)
            assert isinstance(model, LatentVariable)
            codec = model.codec if isinstance(model, TwoStageDensity) else model
            numbers = {"valid": bound(model, data.valid.x).mean().item()}
            numbers["test"] = bound(model, data.test.x).mean().item()
            if isinstance(codec, VQVAE):
                code = codec.encode(data.test.x)
                uniform = bound(codec, data.test.x).mean().item()
                rate = code[0].numel() * math.log(codec.coder.codes)
                numbers |= {"uniform": uniform, "distortion": -uniform - rate, "N ln K": rate}
                numbers["perplexity"] = perplexity(code, codec.coder.codes)[0]
            for name, value in numbers.items():
                found.setdefault(name, []).append(value)
        weights = sum(p.numel() for p in codec.parameters())
        names = ("test", "valid", "uniform", "distortion", "N ln K", "perplexity")
        cells = [_shown(found[name]) if name in found else "–" for name in names]
        rows.append([f"`{preset}`", f"{weights:,}", *cells])
    header = ["test bound", "valid bound", "test bound, uniform prior", "distortion"]
    print_table(["model", "weights", *header, "N ln K", "perplexity"], rows)


def collapse(asked: argparse.Namespace) -> None:
    data, rows = rp.load_data("digits"), []
    for start in ("k-means", "random"):
        for restart in (0.0, 0.05, 0.2):
            found: list[tuple[float, ...]] = []
            for seed in range(asked.seeds):
                parameters = {"codes": 512, "channels": asked.channels}
                parameters |= {"start": start, "restart": restart}
                model, _ = trained("vq-vae", data, parameters, seed, asked.lr, asked)
                assert isinstance(model, VQVAE)
                used = perplexity(model.encode(data.train.x), 512)
                restarts = model.coder.quantizers[0].restarts
                moved = 0.0 if restarts is None else float(restarts)
                found.append((*used, moved, bound(model, data.valid.x).mean().item()))
            cells = [_shown(values) for values in zip(*found, strict=True)]
            rows.append([start, f"{restart:g}", *cells])
    header = ["start", "restart", "perplexity", "codes in use", "restarts", "valid bound"]
    print_table(header, rows)


@torch.no_grad()
def restarts(asked: argparse.Namespace) -> None:
    centers, shares = torch.randn(64, 16), torch.arange(1, 65).float().reciprocal()

    def drawn(step: int) -> Tensor:
        chosen = torch.multinomial(shares, 2048, replacement=True)
        away = 3 * min(step / 100, 1)
        return centers[chosen] + away + 0.15 * torch.randn(2048, 16)

    rows = []
    for restart in (0.0, 0.05, 0.2, 0.4, 0.5):
        torch.manual_seed(1)
        book = Codebook(64, 16, restart=restart)
        book.start(torch.cat([drawn(0), drawn(0)]))
        for step in range(600):
            x = drawn(step)
            book.after_step(book.statistics(x, book(x)[0]))
        x = torch.cat([drawn(600) for _ in range(10)])
        code, vectors = book(x)
        error = (x - vectors).square().sum(1).mean().item()
        uses, used = perplexity(code, 64)
        cells = [f"{uses:.1f}", str(used), f"{error:.2f}", str(int(book.restarts))]
        rows.append([f"{restart:g}", *cells])
    print_table(["restart", "perplexity", "codes in use", "squared error", "restarts"], rows)


def _shown(values: Sequence[float]) -> str:
    return over_seeds(values) if len(values) > 1 else f"{values[0]:.4g}"


def descend(parameters: Sequence[nn.Parameter], losses: Any, lr: float) -> None:
    optimizer = torch.optim.Adam(parameters, lr, fused=True)
    for loss in losses:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()


def mnist(asked: argparse.Namespace) -> None:
    data = rp.load_data("mnist")
    test, order = subset(data.test, 1000, seed=0).x, torch.randperm(len(data.train))
    batches = [data.train.x[rows] for rows in order[: asked.steps * BATCH].split(BATCH)]
    model = rp.build("vq-vae", data.space, channels=asked.channels, **LEARNED).train()
    assert isinstance(model, TwoStageDensity) and isinstance(model.codec, VQVAE)
    codec = model.codec
    theirs = pythaes(codec).train()
    for stage in codec.stages:
        if isinstance(stage, Solve):
            stage.solve(codec, [Batch(x, None) for x in batches])

    def ours(player: str) -> Any:
        for x in batches:
            loss = model.loss(x, player=player)
            yield loss.objective
            model.after_step(loss, player)

    descend(list(codec.parameters()), ours("model of the codec"), asked.lr)
    descend(list(theirs.parameters()), (theirs({"data": x / 255}).loss for x in batches), asked.lr)
    descend(list(model.generator.parameters()), ours("model" + ON_CODES), 1e-3)
    model.eval(), theirs.eval()
    bits = [bound(m, test).mean().item() / -math.log(2) / test[0].numel() for m in (codec, model)]
    with torch.no_grad():
        found = theirs({"data": test / 255})
        sides = {
            "`vq-vae`": (codec.reconstruct(test) / 255, codec.encode(test)),
            "pythae": (found.recon_x, found.quantized_indices),
        }
    print(f"bits/dim: {bits[0]:.4f} under the uniform prior, {bits[1]:.4f} under pixel-cnn\n")
    rows = []
    for name, (x, code) in sides.items():
        mse = (x.view_as(test) - test / 255).square().mean().item()
        uses, used = perplexity(code, codec.coder.codes)
        rows.append([name, f"{mse:.5f}", f"{uses:.1f}", str(used)])
    print(f"{len(batches)} steps of {BATCH} images, {asked.channels} channels, lr {asked.lr:g}\n")
    print_table(["side", "test MSE, pixels in [0, 1]", "perplexity", "codes in use"], rows)


PARTS = {"digits": digits, "collapse": collapse, "restarts": restarts, "mnist": mnist}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="+", choices=list(PARTS))
    parser.add_argument("--epochs", type=int, default=40, help="of digits and collapse, each stage")
    parser.add_argument("--steps", type=int, default=400, help="of mnist, each stage")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--out", type=Path, default=Path("runs/discrete-codes"))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for name in asked.names:
        PARTS[name](asked)


if __name__ == "__main__":
    main()
