"""Vector quantization beside its peers, all sides in turn on one thread.

    pip install -e '.[bench]'
    python benchmarks/vq.py [nearest quantizer model second-stage] [--cpu] [--rounds 7]

nearest        which of K = 512 codes of 64 numbers is nearest to each of 12 544 and of 100 000
               vectors: ours, vector-quantize-pytorch in evaluation, cdist and argmin, the whole
               matrix of distances by one addmm; the bound is the product of the matrices alone
quantizer      a step of training of the quantizer alone, moving averages included, beside
               vector-quantize-pytorch's
model          a step of Adam of `vq-vae` on 28 × 28 beside pythae's VQVAE around the same layers,
               both with codes by moving averages
second-stage   how much of a step of a pixel-cnn on codes is spent on encoding
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Iterator

import torch
from results import Quantity, Result, at_least, at_most, missing, show
from rounds import machine, measured, parser, quotients, tell
from torch import Tensor, nn

import reparam as rp
from reparam.models.two_stage import ON_CODES
from reparam.models.vq_vae import VQVAE
from reparam.nets.codebook import nearest_code
from reparam.nets.quantize import VectorQuantizer

CODES, WIDTH, GRID, BATCH = 512, 64, 7, 128
SPACE = rp.Space((1, 28, 28), "levels", 256)
Sides = dict[str, Callable[[], object]]
PEER, FEW, MANY = "vector-quantize-pytorch", 12_544, 100_000
OTHERS = {FEW: {PEER: 4}, MANY: {PEER: 4, "cdist, argmin": 2.5, "one addmm": 8}}
NEAREST = {
    (rows, side): Quantity(f"nearest code of {rows} vectors: {side} / ours", at_least(goal))
    for rows, goals in OTHERS.items()
    for side, goal in goals.items()
}
PRODUCT = Quantity(f"nearest code of {MANY} vectors: the matrix product alone / ours")
QUANTIZER = Quantity(f"training a quantizer: {PEER} / ours")
MODEL = Quantity("training `vq-vae`: pythae / ours", at_least(1.4))
ENCODING = Quantity("encoding / a step of its second stage", at_most(0.1))


def nearest(rows: int) -> Sides:
    """The sides on the same vectors; they agree, or what they took says nothing."""
    generator = torch.Generator().manual_seed(0)
    x, codes = (torch.randn(n, WIDTH, generator=generator) for n in (rows, CODES))
    product = torch.empty(rows, CODES)
    sides: Sides = {
        "ours": lambda: nearest_code(x, codes),
        "cdist, argmin": lambda: torch.cdist(x, codes).argmin(1),
        "one addmm": lambda: torch.addmm(codes.square().sum(1), x, codes.T, alpha=-2).argmin(1),
    }
    if not missing("vector_quantize_pytorch"):
        from vector_quantize_pytorch import VectorQuantize

        theirs = VectorQuantize(WIDTH, CODES).eval()
        theirs.codebook.copy_(codes)
        sides[PEER] = lambda: theirs(x[None])[1][0]
    found = [run() for run in sides.values()]
    for other in found:
        assert isinstance(other, Tensor) and isinstance(found[0], Tensor)
        assert (other == found[0]).float().mean() > 0.999
    sides["matrix product alone"] = lambda: torch.mm(x, codes.T, out=product)
    return {name: torch.no_grad()(run) for name, run in sides.items()}


def quantizer() -> Sides:
    """Forward, backward and the step of the averages."""
    from vector_quantize_pytorch import VectorQuantize

    z = torch.randn(BATCH * 2, WIDTH, GRID, GRID).requires_grad_()
    weight = torch.randn(z.shape)
    mine = VectorQuantizer(CODES, WIDTH)
    mine.start(z.detach().movedim(1, -1).flatten(0, 2)[: CODES * 8])
    theirs = VectorQuantize(
        WIDTH, CODES, accept_image_fmap=True, threshold_ema_dead_code=2, commitment_weight=0.25
    ).train()

    def ours() -> None:
        found = mine(z)
        ((found.vectors * weight).sum() + 0.25 * found.terms["commitment"].mean()).backward()
        mine.after_step(found.statistics)

    def peers() -> None:
        vectors, _, commitment = theirs(z)
        ((vectors * weight).sum() + commitment.sum()).backward()

    return {"ours": ours, PEER: peers}


def pythaes(model: VQVAE) -> nn.Module:
    """pythae's VQVAE around copies of our encoder and decoder, for x in [0, 1]."""
    from pythae.models import VQVAE as Theirs
    from pythae.models import VQVAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = copy.deepcopy(model.coder.encoder)

        def forward(self, x: Tensor) -> ModelOutput:
            return ModelOutput(embedding=self.net(x))

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = copy.deepcopy(model.coder.decoder)

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.net(z)[:, : model.space.shape[0]].sigmoid())

    config = VQVAEConfig(
        input_dim=tuple(model.space.shape),
        latent_dim=WIDTH,
        num_embeddings=model.coder.codes,
        use_ema=True,
    )
    return Theirs(config, Encoder(), Decoder())


def stepping(parameters: list[nn.Parameter], loss: Callable[[], Tensor]) -> Callable[[], object]:
    optimizer = torch.optim.Adam(parameters, 1e-4, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        optimizer.step()

    return step


def whole_model() -> Sides:
    """A step of training on the same batch of images."""
    x = torch.randint(256, (BATCH, *SPACE.shape), generator=torch.Generator().manual_seed(0))
    mine = rp.build("vq-vae", SPACE).train()
    assert isinstance(mine, VQVAE)
    peer, scaled = pythaes(mine).train(), x / 255
    images = x.to(torch.uint8)

    def our_loss() -> Tensor:
        found = mine.loss(images)
        mine.after_step(found)
        return found.objective

    return {
        "ours": stepping(list(mine.parameters()), our_loss),
        "pythae": stepping(list(peer.parameters()), lambda: peer({"data": scaled}).loss),
    }


def second_stage() -> Sides:
    """A step of the prior on codes, and the encoding in it."""
    model = rp.build("vq-vae", SPACE, second_stage="pixel-cnn").train()
    x = torch.randint(256, (BATCH, *SPACE.shape), dtype=torch.uint8)
    parameters = list(model.generator.parameters())
    step = stepping(parameters, lambda: model.loss(x, player="model" + ON_CODES).objective)
    return {"a step": step, "encoding": lambda: model.codes_of(x)}


def timed(sides: Sides, asked: argparse.Namespace) -> dict[str, list[float]]:
    seconds = measured(sides, asked)
    tell(seconds)
    return seconds


def find_nearest(asked: argparse.Namespace) -> Iterator[Result]:
    for rows in (FEW, MANY):
        print(f"nearest of {CODES} codes to {rows} vectors:")
        seconds = timed(nearest(rows), asked)
        for side in OTHERS[rows]:
            if side in seconds:
                yield NEAREST[rows, side].found(quotients(seconds, side, "ours"))
            else:
                yield NEAREST[rows, side].lacking(missing("vector_quantize_pytorch", "bench"))
    yield PRODUCT.found(quotients(seconds, "matrix product alone", "ours"))


def train_quantizer(asked: argparse.Namespace) -> Iterator[Result]:
    lacks = missing("vector_quantize_pytorch", "bench")
    if lacks:
        yield QUANTIZER.lacking(lacks)
        return
    print("a step of the quantizer:")
    yield QUANTIZER.found(quotients(timed(quantizer(), asked), PEER, "ours"))


def train_model(asked: argparse.Namespace) -> Iterator[Result]:
    lacks = missing("pythae", "bench")
    if lacks:
        yield MODEL.lacking(lacks)
        return
    print("a step of vq-vae:")
    yield MODEL.found(quotients(timed(whole_model(), asked), "pythae", "ours"))


def encode(asked: argparse.Namespace) -> Iterator[Result]:
    print("a step of the second stage:")
    yield ENCODING.found(quotients(timed(second_stage(), asked), "encoding", "a step"))


PARTS: dict[str, Callable[[argparse.Namespace], Iterator[Result]]] = {
    "nearest": find_nearest,
    "quantizer": train_quantizer,
    "model": train_model,
    "second-stage": encode,
}


def results(asked: argparse.Namespace) -> Iterator[Result]:
    torch.manual_seed(0)
    for part in asked.parts or PARTS:
        yield from PARTS[part](asked)


def main() -> None:
    arguments = parser(__doc__, rounds=9, threads=1)
    arguments.add_argument("parts", nargs="*", help=", ".join(PARTS))
    asked = arguments.parse_args()
    print(machine(asked))
    show(results(asked), asked.json)


if __name__ == "__main__":
    main()
