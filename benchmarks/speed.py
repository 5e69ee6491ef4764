"""Training throughput of the `vae` preset beside its peers, all sides interleaved in one run.

Network 784-512-256 and back, 20 latent dimensions, batch 128, Bernoulli, 60 000 binary 28 × 28
images, a validation pass over 10 000 more after every epoch on every side, Adam 1e-3.

    pip install -e '.[bench]'
    python benchmarks/speed.py

Sides: `fit` with its curves, checkpoints and best weights; the fastest loop one writes by hand
(data in memory indexed by a permutation, logits, fused Adam); the plainest one (DataLoader,
sigmoid, Adam); the trainer of pythae 0.1.2 on the same network, where it is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path

import torch
from rounds import descend_by_hand
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import reparam as rp

TRAIN, VALID, BATCH, LATENT = 60_000, 10_000, 128, 20
SPACE = rp.Space((1, 28, 28), "binary")


class PlainVAE(nn.Module):
    """The same network as the preset's, as one writes it by hand."""

    def __init__(self, sigmoid: bool) -> None:
        super().__init__()
        self.sigmoid = sigmoid
        self.encoder = nn.Sequential(
            nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 40)
        )
        self.decoder = nn.Sequential(
            nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 784)
        )

    def forward(self, x: Tensor) -> Tensor:
        mean, log_variance = self.encoder(x).chunk(2, 1)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        logits = self.decoder(z)
        if self.sigmoid:
            distortion = F.binary_cross_entropy(logits.sigmoid(), x, reduction="sum")
        else:
            distortion = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        rate = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum()
        return (distortion + rate) / len(x)


def fastest_loop(train: Tensor, valid: Tensor, epochs: int) -> float:
    model = PlainVAE(sigmoid=False).to(train.device)
    return descend_by_hand(model.parameters(), model, train, valid, BATCH, epochs)


def plainest_loop(train: Tensor, valid: Tensor, epochs: int) -> None:
    model = PlainVAE(sigmoid=True)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    loader = DataLoader(TensorDataset(train.float()), BATCH, shuffle=True)
    valid_loader = DataLoader(TensorDataset(valid.float()), BATCH)
    for _ in range(epochs):
        for (x,) in loader:
            loss = model(x)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            sum(model(x).item() for (x,) in valid_loader)


def reparam_fit(
    train: Tensor, valid: Tensor, epochs: int, device: str = "cpu", compiled: bool = False
) -> rp.History:
    images = [x.view(-1, 1, 28, 28) for x in (train, valid)]
    splits = [rp.Split(x) for x in (*images, images[1][:1])]
    data = rp.Data(*splits, space=SPACE, name="random")
    how = {"epochs": epochs, "device": device, "compile": compiled}
    with tempfile.TemporaryDirectory() as folder:
        return rp.fit(rp.build("vae", SPACE), data, out=Path(folder) / "run", **how)


def pythae_trainer(train: Tensor, valid: Tensor, epochs: int, device: str = "cpu") -> None:
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = PlainVAE(sigmoid=True).encoder

        def forward(self, x: Tensor) -> ModelOutput:
            mean, log_variance = self.net(x.flatten(1)).chunk(2, 1)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = PlainVAE(sigmoid=True).decoder

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.net(z).sigmoid())

    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENT, reconstruction_loss="bce")
    images = [x.float().view(-1, 1, 28, 28) for x in (train, valid)]
    sets = [BaseDataset(x, torch.zeros(len(x))) for x in images]
    silence = open(os.devnull, "w")  # its bars would cost the terminal more than itself
    with tempfile.TemporaryDirectory() as folder, redirect_stderr(silence), silence:
        trainer = BaseTrainer(
            model=VAE(config, Encoder(), Decoder()),
            train_dataset=sets[0],
            eval_dataset=sets[1],
            training_config=BaseTrainerConfig(
                output_dir=folder,
                num_epochs=epochs,
                learning_rate=1e-3,
                per_device_train_batch_size=BATCH,
                per_device_eval_batch_size=BATCH,
                optimizer_cls="Adam",
                no_cuda=device == "cpu",
            ),
        )
        trainer.train()


def sides() -> dict[str, Callable[[Tensor, Tensor, int], object]]:
    there: dict[str, Callable[[Tensor, Tensor, int], object]] = {
        "fit": reparam_fit,
        "fastest loop": fastest_loop,
        "plainest loop": plainest_loop,
    }
    if importlib.util.find_spec("pythae"):
        logging.disable(logging.CRITICAL)
        there["pythae 0.1.2"] = pythae_trainer
    return there


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3, help="per side and round")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    generator = torch.Generator().manual_seed(0)
    images = (torch.rand(TRAIN + VALID, 784, generator=generator) < 0.13).byte()
    train, valid = images.split((TRAIN, VALID))
    there = sides()
    for run in there.values():  # warm-up: imports, allocator, kernel selection
        run(train[:2000], valid[:1000], 1)
    seconds: dict[str, list[float]] = {name: [] for name in there}
    for _ in range(arguments.rounds):
        for name, run in there.items():
            start = time.perf_counter()
            run(train, valid, arguments.epochs)
            seconds[name].append(time.perf_counter() - start)
    report(seconds, arguments)


def report(seconds: dict[str, list[float]], arguments: argparse.Namespace) -> None:
    steps = arguments.epochs * (TRAIN // BATCH)
    print(
        f"torch {torch.__version__}, {arguments.threads} threads, {platform.machine()}, "
        f"{arguments.rounds} rounds of {arguments.epochs} epochs"
    )
    ratios = {}
    for name, taken in seconds.items():
        median = statistics.median(taken)
        pairs = [other / mine for other, mine in zip(taken, seconds["fit"], strict=True)]
        ratios[name] = statistics.median(pairs)
        print(
            f"{name:14s} {1000 * median / steps:6.2f} ms per step, "
            f"{TRAIN * arguments.epochs / median:8.0f} images/s; fit is {ratios[name]:.2f} times "
            f"as fast ({min(pairs):.2f} to {max(pairs):.2f})"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps({"seconds": seconds, "ratios": ratios}, indent=2))


if __name__ == "__main__":
    main()
