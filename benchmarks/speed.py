"""Training throughput of the `vae` preset beside its peers, which take turns of 117 steps.

Network 784-512-256 and back, 20 latent dimensions, batch 128, Bernoulli, 60 000 binary 28 × 28
images, a validation pass over 10 000 more after every epoch on every side, Adam 1e-3.

    pip install -e '.[bench]'
    python benchmarks/speed.py

Sides: `fit` with its curves, checkpoints and best weights; the fastest loop one writes by hand
(data in memory indexed by a permutation, logits, fused Adam); the plainest one (DataLoader,
sigmoid, Adam); the trainer of pythae 0.1.2 on the same network, where it is installed.

Every side trains once, for as many epochs as there are rounds, and hands over to the next one four
times an epoch. A round is an epoch of each, with its validation, curves and checkpoints; what fit
takes to start and to end is in its first and last round, which a median leaves out. So the ratios
of whole runs are there as well.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from pathlib import Path

import torch
from results import Quantity, Result, at_least, missing, show
from rounds import clock_of, descend_by_hand, machine, parser, quotients
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from turns import in_turn

import reparam as rp

TRAIN, VALID, BATCH, LATENT = 60_000, 10_000, 128, 20
SPACE = rp.Space((1, 28, 28), "binary")
TURNS = 4  # in an epoch
PEERS = {
    "fastest loop": Quantity("training `vae`: fastest loop by hand / `fit`", at_least(0.97)),
    "plainest loop": Quantity("training `vae`: plainest loop by hand / `fit`"),
    "pythae 0.1.2": Quantity("training `vae`: pythae 0.1.2 / `fit`", at_least(1.40)),
}
WHOLE = {
    "fastest loop": Quantity("the same in whole runs, fastest loop / `fit`", at_least(0.97)),
    "pythae 0.1.2": Quantity("the same in whole runs, pythae 0.1.2 / `fit`", at_least(1.40)),
}


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


def find_sides(train: Tensor, valid: Tensor) -> dict[str, Callable[[int], object]]:
    """Who trains, by the number of epochs."""
    sides: dict[str, Callable[[int], object]] = {
        "fit": lambda epochs: reparam_fit(train, valid, epochs),
        "fastest loop": lambda epochs: fastest_loop(train, valid, epochs),
        "plainest loop": lambda epochs: plainest_loop(train, valid, epochs),
    }
    if not missing("pythae"):
        logging.disable(logging.CRITICAL)
        sides["pythae 0.1.2"] = lambda epochs: pythae_trainer(train, valid, epochs)
    return sides


def epochs_of(turns: dict[str, list[float]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each side by rounds; what comes after the last full turn is the last one's."""
    return {
        name: [sum(taken[TURNS * i : TURNS * (i + 1)]) for i in range(rounds - 1)]
        + [sum(taken[TURNS * (rounds - 1) :])]
        for name, taken in turns.items()
    }


def results(asked: argparse.Namespace) -> Iterator[Result]:
    generator = torch.Generator().manual_seed(0)
    rows, more = (n // asked.part for n in (TRAIN, VALID))
    images = (torch.rand(rows + more, 784, generator=generator) < 0.13).byte()
    train, valid = images.split((rows, more))
    clock, steps = clock_of(asked), rows // BATCH
    for warm in find_sides(train[:2000], valid[:1000]).values():  # imports, allocator, kernels
        warm(1)
    sides = find_sides(train, valid)
    works = {name: lambda run=run: run(asked.rounds) for name, run in sides.items()}
    seconds = epochs_of(in_turn(works, steps // TURNS, clock), asked.rounds)
    for name, taken in seconds.items():
        median, whole = statistics.median(taken) / steps, sum(taken) / (asked.rounds * steps)
        print(
            f"{name}: {1e3 * median:.2f} ms a step, {1e3 * whole:.2f} in the whole run", flush=True
        )
    lacks = {"pythae 0.1.2": missing("pythae", "bench")}
    for name, quantity in PEERS.items():
        values = quotients(seconds, name, "fit") if name in seconds else []
        yield quantity.found(values) if values else quantity.lacking(lacks[name])
    for name, quantity in WHOLE.items():
        if name in seconds:
            yield quantity.found([sum(seconds[name]) / sum(seconds["fit"])])
        else:
            yield quantity.lacking(lacks[name])


def main() -> None:
    arguments = parser(__doc__, rounds=6)
    arguments.add_argument("--part", type=int, default=1, help="an n-th of the images, for a trial")
    asked = arguments.parse_args()
    print(f"{machine(asked)} of an epoch")
    show(results(asked), asked.json)


if __name__ == "__main__":
    main()
