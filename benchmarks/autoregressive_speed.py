"""Training of `made` and `pixel-cnn` beside the same networks written by hand, interleaved.

    python benchmarks/autoregressive_speed.py [made pixel-cnn] [--cpu]

Binary 28 × 28 images, the presets' default networks, fused Adam 1e-3, a validation pass after every
epoch. By hand: masked layers as one writes them (a whole window or matrix times its mask), one sum
of BCE with logits, data in memory indexed by a permutation. `fit` with its curves, checkpoints and
best weights. MADE's masks are those of the library's, so that both compute the same sums.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from results import Quantity, Result, at_least, show
from rounds import descend_by_hand, machine, measured, parser, quotients, tell
from torch import Tensor, nn
from torch.nn import functional as F

import reparam as rp

SPACE = rp.Space((1, 28, 28), "binary")
# Training rows, validation rows, batch, epochs.
SIZES = {"made": (12_800, 1_280, 128, 3), "pixel-cnn": (320, 32, 32, 1)}

GOALS = {
    name: Quantity(f"training `{name}`: loop by hand / `fit`", at_least(0.97)) for name in SIZES
}


class MaskedConv(nn.Conv2d):
    """A convolution that sees the rows above and its own row up to itself (B) or before it (A)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, before: bool = False) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2)
        mask = torch.ones(kernel, kernel)
        mask[kernel // 2, kernel // 2 + (not before) :] = 0
        mask[kernel // 2 + 1 :] = 0
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)


class MaskedLinear(nn.Linear):
    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask.clone())

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.mask, self.bias)


class PlainMADE(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        theirs = rp.MADE(SPACE.shape, 1, (500,), direct=True)
        assert theirs.direct is not None
        self.hidden = MaskedLinear(theirs.layers[0].masks[0])
        self.out = MaskedLinear(theirs.head.masks[0])
        self.direct = MaskedLinear(theirs.direct.masks[0])
        self.direct.register_parameter("bias", None)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        return self.out(self.hidden(x).relu()) + self.direct(x)


def plain_pixelcnn() -> nn.Module:
    middle = [layer for _ in range(5) for layer in (nn.ReLU(), MaskedConv(64, 64, 3))]
    return nn.Sequential(MaskedConv(1, 64, 7, before=True), *middle, nn.ReLU(), nn.Conv2d(64, 1, 1))


PLAIN: dict[str, Callable[[], nn.Module]] = {"made": PlainMADE, "pixel-cnn": plain_pixelcnn}


def by_hand(name: str, train: Tensor, valid: Tensor, batch: int, epochs: int) -> None:
    model = PLAIN[name]()

    def loss_of(x: Tensor) -> Tensor:
        logits = model(x).view_as(x)
        return F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)

    descend_by_hand(model.parameters(), loss_of, train, valid, batch, epochs)


def by_fit(name: str, train: Tensor, valid: Tensor, batch: int, epochs: int) -> None:
    splits = [rp.Split(x) for x in (train, valid, valid[:1])]
    data = rp.Data(*splits, space=SPACE, name="random")
    with tempfile.TemporaryDirectory() as folder:
        config = rp.TrainConfig(epochs=epochs, batch_size=batch, device="cpu")
        rp.fit(rp.build(name, SPACE), data, config, out=Path(folder) / "run", progress=False)


def weights(model: nn.Module) -> int:
    """Those that are not masked away."""
    kept = [
        m.mask.expand_as(m.weight).sum().item() if hasattr(m, "mask") else m.weight.numel()
        for m in model.modules()
        if isinstance(m, (nn.Linear, nn.Conv2d))
    ]
    return int(sum(kept))


def results(asked: argparse.Namespace) -> Iterator[Result]:
    for name in asked.models or SIZES:
        rows, more, batch, epochs = SIZES[name]
        generator = torch.Generator().manual_seed(0)
        images = (torch.rand(rows + more, *SPACE.shape, generator=generator) < 0.13).byte()
        given = name, *images.split((rows, more)), batch, epochs
        sides = {
            "by hand": lambda given=given: by_hand(*given),
            "fit": lambda given=given: by_fit(*given),
        }
        print(f"{name}, {weights(PLAIN[name]())} weights, a step:")
        seconds = measured(sides, asked)
        tell(seconds, epochs * (rows // batch))
        yield GOALS[name].found(quotients(seconds, "by hand", "fit"))


def main() -> None:
    arguments = parser(__doc__, rounds=5)
    arguments.add_argument("models", nargs="*", help=", ".join(SIZES))
    asked = arguments.parse_args()
    print(machine(asked))
    show(results(asked), asked.json)


if __name__ == "__main__":
    main()
