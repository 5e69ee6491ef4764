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

import copy
import statistics
from collections.abc import Callable, Mapping

import torch
from rounds import Seconds, machine, measured, parser, ratio
from torch import Tensor, nn

import reparam as rp
from reparam.models.two_stage import ON_CODES
from reparam.models.vq_vae import VQVAE
from reparam.nets.codebook import nearest_code
from reparam.nets.quantize import VectorQuantizer

CODES, WIDTH, GRID, BATCH = 512, 64, 7, 128
SPACE = rp.Space((1, 28, 28), "levels", 256)
Sides = dict[str, Callable[[], object]]


def nearest(rows: int) -> Sides:
    """The sides on the same vectors; they agree, or what they took says nothing."""
    from vector_quantize_pytorch import VectorQuantize

    generator = torch.Generator().manual_seed(0)
    x, codes = (torch.randn(n, WIDTH, generator=generator) for n in (rows, CODES))
    theirs = VectorQuantize(WIDTH, CODES).eval()
    theirs.codebook.copy_(codes)
    product = torch.empty(rows, CODES)
    sides: Sides = {
        "ours": lambda: nearest_code(x, codes),
        "vector-quantize-pytorch": lambda: theirs(x[None])[1][0],
        "cdist, argmin": lambda: torch.cdist(x, codes).argmin(1),
        "unchunked addmm": lambda: torch.addmm(codes.square().sum(1), x, codes.T, alpha=-2).argmin(
            1
        ),
        "matrix product alone": lambda: torch.mm(x, codes.T, out=product),
    }
    found = [run() for run in list(sides.values())[:-1]]
    for other in found:
        assert isinstance(other, Tensor) and isinstance(found[0], Tensor)
        assert (other == found[0]).float().mean() > 0.999
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

    return {"ours": ours, "vector-quantize-pytorch": peers}


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


def show(title: str, seconds: Mapping[str, list[float]], of: str) -> None:
    print(f"\n{title}\n\n| side | ms | times as long as {of} | by the fastest rounds |")
    print("|---|---|---|---|")
    taken: Seconds = dict(seconds)
    for name, each in taken.items():
        fastest = min(each) / min(taken[of])
        median = 1e3 * statistics.median(each)
        print(f"| {name} | {median:.1f} | {ratio(taken, name, of)} | {fastest:.2f} |", flush=True)


PARTS = ("nearest", "quantizer", "model", "second-stage")


def main() -> None:
    arguments = parser(__doc__, rounds=9)
    arguments.add_argument("parts", nargs="*", help=", ".join(PARTS))
    arguments.set_defaults(threads=1)
    asked = arguments.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    print(machine(asked))
    for part in asked.parts or PARTS:
        if part == "nearest":
            for rows in (12_544, 100_000):
                found = measured(nearest(rows), asked)
                show(f"Nearest of {CODES} codes to {rows} vectors", found, "ours")
        elif part == "quantizer":
            show("A step of the quantizer", measured(quantizer(), asked), "ours")
        elif part == "model":
            show("A step of vq-vae", measured(whole_model(), asked), "ours")
        else:
            show("A step of the second stage", measured(second_stage(), asked), "a step")


if __name__ == "__main__":
    main()
