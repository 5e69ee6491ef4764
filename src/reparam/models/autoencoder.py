"""The autoencoder: a code and its reconstruction, no likelihood."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reparam.bijections.standardization import standardization
from reparam.inspection import Filters, HiddenUnits, Noise
from reparam.limits import Count, limited
from reparam.model import Batch, Codec, Loss, Model, Solve, Space, Stage
from reparam.nets.single import single_matrix
from reparam.nets.sparse import through_sigmoids
from reparam.objectives.code_penalties import CodePenalty, Sparsity
from reparam.objectives.column_errors import ColumnErrors
from reparam.objectives.corruptions import Corruption, noise_of

Reconstruction = Literal["auto", "squared_error", "cross_entropy"]


class Autoencoder(Codec):
    """x′ = g(f(x)), trained to be near x; denoising, sparse and contractive ones by its arguments.

    loss = Σ (x − x′)² in network units (levels divided by K−1, real data standardized), or the
    cross-entropy Σ −x ln σ(x′) − (1−x) ln(1−σ(x′)) of values in [0, 1]. With a corruption,
    x′ = g(f(x̃)) in the loss, of validation too, and the target is still the clean x; codes and
    reconstructions are those of what is given. A penalty adds weight · penalty to the objective,
    and its unweighted value to the terms. Of mixed data the loss is ``ColumnErrors``.

    Args:
        space: what x is.
        encoder: network from x in network units to the code (B, latent_dim).
        decoder: network from the code to (B, *space.shape), or any shape of as many entries; of
            mixed data to ``ColumnErrors(space).parameter_shape``.
        latent_dim: entries of the code.
        loss: ``"squared_error"``, ``"cross_entropy"`` (binary and levels data), or ``"auto"``:
            cross-entropy for binary data, squared error otherwise.
        corruption: from x (B, *space.shape) in network units to x̃; those of ``corruptions`` are
            known by name and level, as ``noise``.
        penalty: of codes, as ``Sparsity`` or ``Contraction``.

    Shape: x (B, *space.shape), code (B, latent_dim).

    Likelihood: none. Cross-entropy on gray values is none either.

    Reference: Hinton & Salakhutdinov 2006, "Reducing the dimensionality of data"; Vincent et al.
    2008, "Extracting and composing robust features with denoising autoencoders".

    >>> import torch
    >>> import reparam as rp
    >>> space = rp.Space((9,), "real")
    >>> model = rp.Autoencoder(space, nn.Linear(9, 2), nn.Linear(2, 9), latent_dim=2)
    >>> model.reconstruct(torch.ones(5, 9)).shape
    torch.Size([5, 9])
    """

    @limited
    def __init__(
        self,
        space: Space,
        encoder: nn.Module,
        decoder: nn.Module,
        latent_dim: Count,
        loss: Reconstruction = "auto",
        corruption: Callable[[Tensor], Tensor] | None = None,
        penalty: CodePenalty | None = None,
    ) -> None:
        super().__init__(space)
        if loss == "cross_entropy" and space.kind == "real":
            raise ValueError("loss: cross_entropy needs binary or levels data, got real data")
        if loss != "auto" and space.columns:
            raise ValueError(f"loss: of mixed data every column has its own (auto), got {loss}")
        self.columns = ColumnErrors(space) if space.columns else None
        self.takes_missing = space.kind == "mixed"
        if loss == "auto":
            loss = "cross_entropy" if space.kind == "binary" else "squared_error"
        self.standardize = standardization(space)
        self.encoder, self.decoder = encoder, decoder
        self.latent_dim, self.term = latent_dim, "column_error" if space.columns else loss
        self.corruption, self.penalty = corruption, penalty
        if (
            corruption is not None or loss == "squared_error"
        ):  # noise and such means leave the range
            self.encodes = "finite"
        if penalty is not None:
            penalty.refuse(encoder, decoder)
            self.couples_rows = penalty.couples_rows

    @property
    def stages(self) -> tuple[Stage, ...]:
        first = [Solve("column errors", self._learn_errors)] if self.columns else []
        return (*self.standardize.stages, *first, *super().stages)

    def _learn_errors(self, model: Model, batches: Iterable[Batch]) -> None:
        assert self.columns is not None
        self.columns.learn(self.standardize.scaled(self.prepare(b.x)[0]) for b in batches)

    @property
    def code_space(self) -> Space:
        return Space((self.latent_dim,), "real")

    def stack(self) -> tuple[nn.Module, ...]:
        layers = self.encoder if isinstance(self.encoder, nn.Sequential) else (self.encoder,)
        return tuple(layer for layer in layers if any(True for _ in layer.parameters()))

    @property
    def noise(self) -> Noise | None:
        if not isinstance(self.corruption, Corruption):
            return None
        return noise_of(self.corruption, self.standardize)

    def filters(self) -> Filters | None:
        if self.columns is not None:
            return None
        into_x, from_x = single_matrix(self.decoder), single_matrix(self.encoder)
        if into_x is not None:
            return Filters(into_x.detach().T.reshape(-1, *self.space.shape), "decoder")
        if from_x is not None:
            return Filters(from_x.detach().reshape(-1, *self.space.shape), "encoder")
        return None

    @torch.no_grad()
    def hidden_units(self, x: Tensor, c: Tensor | None = None) -> HiddenUnits | None:
        if not isinstance(self.penalty, Sparsity):
            return None
        x, c = self.prepare(x, c, self.encodes)
        code, hidden = through_sigmoids(self.encoder, self.standardize.scaled(x))
        hidden += through_sigmoids(self.decoder, code)[1]
        units = torch.cat([layer.flatten(1) for layer in hidden], 1)
        return HiddenUnits(units, self.penalty.rho, self.penalty.of_means, self.penalty.weight)

    def loss(self, x: Tensor, c: Tensor | None = None, player: str = "model") -> Loss:
        x, c = self.prepare(x, c)
        target = self.standardize.scaled(x)
        seen = self._corrupted(target)
        code, hidden = through_sigmoids(self.encoder, seen)
        output, hidden_too = through_sigmoids(self.decoder, self._checked(code))
        error = self._error(self._shaped(output), target)
        objective, terms = error.mean(), {str(self.term): error}
        if self.penalty is not None:
            value = self.penalty(self._encode_varying, seen, [*hidden, *hidden_too])
            objective = self.penalty.add(value, objective, terms)
        return self._penalized(Loss(objective, terms), code)

    def _penalized(self, loss: Loss, code: Tensor) -> Loss:
        """The loss with what else is asked of the codes."""
        return loss

    def _corrupted(self, target: Tensor) -> Tensor:
        """What the encoder sees in training: x̃, of which constants are no part."""
        if self.corruption is None:
            return target
        if isinstance(self.corruption, Corruption):
            noisy = self.corruption(target, self.standardize.varying)
        else:
            noisy = self.corruption(target)
        return self.standardize.masked(noisy)

    def _encode_varying(self, z: Tensor) -> Tensor:
        """The code as a function of the entries that vary: constants have no slope."""
        return self.encoder(self.standardize.masked(z))

    def encode(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        x, c = self.prepare(x, c, self.encodes)
        return self._checked(self.encoder(self.standardize.scaled(x)))

    def decode(self, code: Tensor, c: Tensor | None = None) -> Tensor:
        output = self._shaped(self.decoder(self.prepare_code(code)))
        if self.columns is not None:
            return self.standardize.inverse(self.columns.center(output) * self.standardize.top)[0]
        if self.term == "cross_entropy":
            output = output.sigmoid()
        return self.standardize.inverse(output)[0]

    def _error(self, output: Tensor, target: Tensor) -> Tensor:
        """The reconstruction error of each example, summed over its entries, (B,)."""
        if self.columns is not None:
            return self.standardize.masked(self.columns(output, target)).sum(1)
        if self.term == "cross_entropy":
            error = F.binary_cross_entropy_with_logits(output, target, reduction="none")
        else:
            error = self.standardize.masked((output - target).square())
        return error.flatten(1).sum(1)

    def _checked(self, code: Tensor) -> Tensor:
        if tuple(code.shape[1:]) != (self.latent_dim,):
            raise ValueError(
                f"encoder: expected codes of shape (B, {self.latent_dim}), got {tuple(code.shape)}"
            )
        return code

    def _shaped(self, output: Tensor) -> Tensor:
        shape = self.space.shape if self.columns is None else self.columns.parameter_shape
        return output.to(self.anchor.dtype).reshape(output.shape[0], *shape)
