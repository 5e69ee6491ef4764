"""The autoencoder: a code and its reconstruction, no likelihood."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from reparam.bijections.elementwise import Standardise
from reparam.model import Code, Codec, Loss, Space, Stage

Reconstruction = Literal["auto", "squared_error", "cross_entropy"]


class Autoencoder(Codec):
    """x′ = g(f(x)), trained to be near x.

    loss = Σ (x − x′)² in network units (levels divided by K−1, real data standardised), or the
    cross-entropy Σ −x ln σ(x′) − (1−x) ln(1−σ(x′)) of values in [0, 1].

    Args:
        space: what x is.
        encoder: network from x in network units to the code (B, latent_dim).
        decoder: network from the code to (B, *space.shape), or any shape of as many entries.
        latent_dim: entries of the code.
        loss: ``"squared_error"``, ``"cross_entropy"`` (binary and levels data), or ``"auto"``:
            cross-entropy for binary data, squared error otherwise.

    Shape: x (B, *space.shape), code (B, latent_dim).

    Likelihood: none. Cross-entropy on grey values is none either.

    Reference: Hinton & Salakhutdinov 2006, "Reducing the dimensionality of data".

    >>> import torch
    >>> import reparam as rp
    >>> space = rp.Space((9,), "real")
    >>> model = rp.Autoencoder(space, nn.Linear(9, 2), nn.Linear(2, 9), latent_dim=2)
    >>> model.reconstruct(torch.ones(5, 9)).shape
    torch.Size([5, 9])
    """

    def __init__(
        self,
        space: Space,
        encoder: nn.Module,
        decoder: nn.Module,
        latent_dim: int,
        loss: Reconstruction = "auto",
    ) -> None:
        super().__init__(space)
        if loss not in ("auto", "squared_error", "cross_entropy"):
            raise ValueError(f"loss: expected auto, squared_error or cross_entropy, got {loss!r}")
        if loss == "cross_entropy" and space.kind == "real":
            raise ValueError("loss: cross_entropy needs binary or levels data, got real data")
        if loss == "auto":
            loss = "cross_entropy" if space.kind == "binary" else "squared_error"
        self.standardise = Standardise(space)
        self.encoder, self.decoder = encoder, decoder
        self.latent_dim, self.term = latent_dim, loss

    @property
    def stages(self) -> tuple[Stage, ...]:
        return (*self.standardise.stages, *super().stages)

    @property
    def code_space(self) -> Space:
        return Space((self.latent_dim,), "real")

    def loss(self, x: Tensor, c: Tensor | None = None, player: str = "model") -> Loss:
        x, c = self.prepare(x, c)
        target = self.standardise.scaled(x)
        output = self._output(self._code(target))
        if self.term == "cross_entropy":
            error = F.binary_cross_entropy_with_logits(output, target, reduction="none")
        else:
            error = (output - target).square()
        error = error.flatten(1).sum(1)
        return Loss(error.mean(), {self.term: error})

    def encode(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        x, c = self.prepare(x, c)
        return self._code(self.standardise.scaled(x))

    def decode(self, code: Code, c: Tensor | None = None) -> Tensor:
        output = self._output(self.prepare_code(code))
        if self.term == "cross_entropy":
            output = output.sigmoid()
        return self.standardise.inverse(output)[0]

    def _code(self, x: Tensor) -> Tensor:
        code = self.encoder(x)
        if tuple(code.shape[1:]) != (self.latent_dim,):
            raise ValueError(
                f"encoder: expected codes of shape (B, {self.latent_dim}), got {tuple(code.shape)}"
            )
        return code

    def _output(self, code: Tensor) -> Tensor:
        return self.decoder(code).to(self.anchor.dtype).reshape(len(code), *self.space.shape)
