"""Training a convolutional VAE: `fit` beside the loop one writes by hand, bfloat16 beside float32.

Images of 3 x 64 x 64, stride-2 convolutions of 32-32-64-64 channels and back, batch 64.

    python benchmarks/convolutions.py

The network is the same object on both sides; the hand-written loop has its data in memory, a fused
Adam, and no report but a mean loss.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import rounds
import torch
from results import Quantity, Result, at_least, show
from torch import Tensor, nn

import reparam as rp
from reparam.train.device import lacks_bfloat16

ROWS, BATCH, LATENT = 640, 64, 10
SPACE = rp.Space((3, 64, 64), "binary")
HAND = Quantity("training convolutions, 3 × 64 × 64: loop by hand / `fit`", at_least(0.97))
HALF = Quantity("the same: `fit` in float32 / in bfloat16", at_least(1.25))


def networks() -> tuple[nn.Module, nn.Module]:
    down: list[nn.Module] = []
    for a, b in ((3, 32), (32, 32), (32, 64), (64, 64)):
        down += [nn.Conv2d(a, b, 4, 2, 1), nn.ReLU()]
    up: list[nn.Module] = []
    for a, b in ((64, 64), (64, 32), (32, 32)):
        up += [nn.ConvTranspose2d(a, b, 4, 2, 1), nn.ReLU()]
    encoder = nn.Sequential(
        *down, nn.Flatten(), nn.Linear(1024, 256), nn.ReLU(), nn.Linear(256, 2 * LATENT)
    )
    decoder = nn.Sequential(
        nn.Linear(LATENT, 256),
        nn.ReLU(),
        nn.Linear(256, 1024),
        nn.Unflatten(1, (64, 4, 4)),
        *up,
        nn.ConvTranspose2d(32, 3, 4, 2, 1),
    )
    return encoder, decoder


def ours(data: rp.Data, precision: str, epochs: int) -> float:
    torch.manual_seed(0)
    parts = (rp.DiagonalNormal(LATENT), rp.StandardNormal(LATENT), rp.Bernoulli(SPACE))
    model = rp.VAE(SPACE, *networks(), *parts)
    history = rp.fit(
        model, data, epochs=epochs, batch_size=BATCH, precision=precision, device="cpu"
    )
    return history.rows[-1]["valid/objective"]


def by_hand(train: Tensor, valid: Tensor, epochs: int) -> float:
    torch.manual_seed(0)
    encoder, decoder = networks()
    parameters = [*encoder.parameters(), *decoder.parameters()]

    def loss_of(x: Tensor) -> Tensor:
        mean, log_variance = encoder(x).chunk(2, 1)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        distortion = nn.functional.binary_cross_entropy_with_logits(decoder(z), x, reduction="sum")
        rate = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum()
        return (distortion + rate) / len(x)

    return rounds.descend_by_hand(parameters, loss_of, train, valid, BATCH, epochs)


def results(asked: argparse.Namespace) -> Iterator[Result]:
    generator = torch.Generator().manual_seed(0)
    images = (torch.rand(ROWS + 2 * BATCH, *SPACE.shape, generator=generator) < 0.2).byte()
    splits = images.split((ROWS, BATCH, BATCH))
    data = rp.Data(*(rp.Split(x) for x in splits), space=SPACE, name="random")
    sides = {
        "fit": lambda: ours(data, "float32", asked.epochs),
        "by hand": lambda: by_hand(splits[0], splits[1], asked.epochs),
    }
    slow = lacks_bfloat16(rp.TrainConfig(precision="bfloat16"), torch.device("cpu"))
    if not slow:
        sides["fit, bfloat16"] = lambda: ours(data, "bfloat16", asked.epochs)
    seconds = rounds.measured(sides, asked)
    rounds.tell(seconds, asked.epochs * (ROWS // BATCH))
    yield HAND.found(rounds.quotients(seconds, "by hand", "fit"))
    if slow:
        yield HALF.lacking("a CPU with instructions for bfloat16")
        return
    print("final losses", sides["fit"](), sides["fit, bfloat16"]())
    yield HALF.found(rounds.quotients(seconds, "fit", "fit, bfloat16"))


def main() -> None:
    parser = rounds.parser(__doc__, rounds=5)
    parser.add_argument("--epochs", type=int, default=3, help="per side and round, of 10 steps")
    asked = parser.parse_args()
    print(rounds.machine(asked))
    show(results(asked), asked.json)


if __name__ == "__main__":
    main()
