"""Normalization of activations."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MOMENTUM = 0.1  # share of a batch in the running statistics


class BatchNorm(nn.Module):
    """y = γ (x − m)/√(v + ε) + β, m and v by channel: of the batch in training, else running ones.

    Of one single value per channel there is no variance: the running statistics serve then, too.
    A pass moves nothing that is saved: ``statistics`` and ``after_step`` do, once per step.

    Args:
        width: channels, dimension 1 of x.

    Shape: (B, width, …) → the same.

    Reference: Ioffe & Szegedy 2015, algorithms 1 and 2.
    https://arxiv.org/abs/1502.03167

    >>> y = BatchNorm(3)(torch.arange(6.0).view(2, 3))
    >>> y.mean(0).abs().max().item() < 1e-6
    True
    """

    follows = ("running",)  # buffers that follow the weights, and are averaged where these are

    def __init__(self, width: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.scale, self.shift = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.register_buffer("running", torch.stack([torch.zeros(width), torch.ones(width)]))
        self.running: Tensor  # mean and variance
        self.batch: Tensor | None = None  # those of the last pass in training, not saved

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.batch = None
        if not self.training or x.numel() == len(self.scale):
            mean, variance = self.running
            return F.batch_norm(x, mean, variance, self.scale, self.shift, eps=self.eps)
        mean, variance = torch.zeros_like(self.running)
        # A momentum of 1 leaves in them the mean and the unbiased variance of this batch.
        y = F.batch_norm(x, mean, variance, self.scale, self.shift, True, 1.0, self.eps)
        self.batch = torch.stack([mean, variance])
        return y

    @torch.no_grad()
    def after_step(self, batch: Tensor) -> None:
        """Move the running statistics by what a batch had, of channels where both are finite."""
        finite = batch.isfinite().all(0)
        self.running.lerp_(torch.where(finite, batch, self.running), MOMENTUM)


def has_batch_norm(module: nn.Module) -> bool:
    return any(isinstance(part, BatchNorm) for part in module.modules())


def batch_norm(width: int, wanted: bool) -> list[nn.Module]:
    """What goes before an activation: batch normalization, or nothing."""
    return [BatchNorm(width)] if wanted else []


def statistics(model: nn.Module, rows: int) -> dict[str, Tensor]:
    """What the last pass of every normalization saw, as sums over rows that can be added up.

    A pass that saw too little is zero rows: other processes may have seen more.
    """
    found = {}
    for name, norm in _norms(model):
        seen = norm.running.new_zeros(3, norm.running.shape[1])
        if norm.batch is not None:
            seen[:2], seen[2] = norm.batch * rows, rows
        found[f"{name} × rows"] = seen
    return found


def after_step(model: nn.Module, statistics: dict[str, Tensor]) -> None:
    """Move every normalization by the mean of what was seen; by nothing where nothing was."""
    for name, norm in _norms(model):
        sums = statistics[f"{name} × rows"]
        norm.after_step(sums[:2] / sums[2])


def _norms(model: nn.Module) -> list[tuple[str, BatchNorm]]:
    return [(name, part) for name, part in model.named_modules() if isinstance(part, BatchNorm)]
