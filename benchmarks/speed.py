"""Training throughput of the `vae` preset beside its peers, which take turns of an epoch.

Network 784-512-256 and back, 20 latent dimensions, batch 128, Bernoulli, 60 000 binary 28 × 28
images, a validation pass over 10 000 more after every epoch on every side, Adam 1e-3.

    pip install -e '.[bench]'
    python benchmarks/speed.py

Sides, each in a process of its own: `fit` with its curves, checkpoints and best weights; the
fastest loop one writes by hand (data in memory indexed by a permutation, logits, fused Adam); the
plainest one (DataLoader, sigmoid, Adam); the trainer of pythae 0.1.2 on the same network, where it
is installed. Validation is by 1000 rows for the first two, by batches for the others.

Every side trains once, for as many epochs as there are rounds, after a small training that warms
up. What it takes to start is in its first round, which a median leaves out; ratios of whole runs
count it, and what comes after the last epoch.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from functools import partial
from pathlib import Path

import torch
from results import Quantity, Result, at_least, missing, show
from rounds import descend_by_hand, machine, parser, quotients
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from turns import in_turn

import reparam as rp

TRAIN, VALID, BATCH, LATENT = 60_000, 10_000, 128, 20
SPACE = rp.Space((1, 28, 28), "binary")
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


After = Callable[[], object]  # what follows every epoch


def nothing() -> None:
    """Follows an epoch where nobody waits."""


def fastest_loop(train: Tensor, valid: Tensor, epochs: int, after: After = nothing) -> float:
    model = PlainVAE(sigmoid=False).to(train.device)
    return descend_by_hand(model.parameters(), model, train, valid, BATCH, epochs, after)


def plainest_loop(train: Tensor, valid: Tensor, epochs: int, after: After = nothing) -> None:
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
        after()


def reparam_fit(
    train: Tensor,
    valid: Tensor,
    epochs: int,
    after: After = nothing,
    device: str = "cpu",
    compiled: bool = False,
    save_every: float = 30.0,
) -> rp.History:
    images = [x.view(-1, 1, 28, 28) for x in (train, valid)]
    splits = [rp.Split(x) for x in (*images, images[1][:1])]
    data = rp.Data(*splits, space=SPACE, name="random")
    how = {"epochs": epochs, "device": device, "compile": compiled, "save_every": save_every}
    how["validated"] = lambda step, terms, model: after()  # once an epoch
    with tempfile.TemporaryDirectory() as folder:
        return rp.fit(rp.build("vae", SPACE), data, out=Path(folder) / "run", **how)


def pythae_trainer(
    train: Tensor, valid: Tensor, epochs: int, after: After = nothing, device: str = "cpu"
) -> None:
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.training_callbacks import TrainingCallback

    class HandOver(TrainingCallback):
        def on_epoch_end(self, training_config: BaseTrainerConfig, **_: object) -> None:
            after()

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
            callbacks=[HandOver()],
        )
        trainer.train()


TRAININGS = {
    "fit": partial(reparam_fit, save_every=120.0),  # four sides share the seconds of its clock
    "fastest loop": fastest_loop,
    "plainest loop": plainest_loop,
    "pythae 0.1.2": pythae_trainer,
}


def side(after: After, name: str, epochs: int, part: int, threads: int) -> None:
    """A training by name, of which what comes before the first hand-over does not count."""
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    rows, more = (n // part for n in (TRAIN, VALID))
    images = (torch.rand(rows + more, 784, generator=generator) < 0.13).byte()
    train, valid = images.split((rows, more))
    run = TRAININGS[name]
    run(train[:2000], valid[:1000], 1)  # imports, allocator, kernels
    after()
    run(train, valid, epochs, after)


def results(asked: argparse.Namespace) -> Iterator[Result]:
    lacks = missing("pythae", "bench")
    names = [name for name in TRAININGS if not (lacks and name.startswith("pythae"))]
    how = {"epochs": asked.rounds, "part": asked.part, "threads": 1 if asked.cpu else asked.threads}
    turns = in_turn({name: partial(side, name=name, **how) for name in names}, asked.cpu)
    turns = {name: taken[1:] for name, taken in turns.items()}
    steps = TRAIN // asked.part // BATCH
    for name, taken in turns.items():
        assert len(taken) == asked.rounds + 1, f"{name} did not hand over after every epoch"
        median, whole = statistics.median(taken[:-1]), sum(taken) / asked.rounds
        print(f"{name}: {1e3 * median / steps:.2f} ms a step, {1e3 * whole / steps:.2f} in the run")
    for name, quantity in PEERS.items():
        epochs = {n: taken[:-1] for n, taken in turns.items()}
        there = name in turns
        yield quantity.found(quotients(epochs, name, "fit")) if there else quantity.lacking(lacks)
    for name, quantity in WHOLE.items():
        if name in turns:
            yield quantity.found([sum(turns[name]) / sum(turns["fit"])])
        else:
            yield quantity.lacking(lacks)


def main() -> None:
    arguments = parser(__doc__, rounds=6)
    arguments.add_argument("--part", type=int, default=1, help="an n-th of the images, at most 4")
    asked = arguments.parse_args()
    print(f"{machine(asked)} of an epoch")
    show(results(asked), asked.json)


if __name__ == "__main__":
    main()
