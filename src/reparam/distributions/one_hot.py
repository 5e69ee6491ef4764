"""Categorical variables as distributions of z: one-hot vectors, relaxed where gradients need it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from reparam import numerics
from reparam.distributions.factorized import Factorized
from reparam.model import Distribution, Kind


@dataclass(frozen=True)
class OneHotMass(Factorized):
    """V categorical variables of K values each as V one-hot vectors in a row, (B, V·K).

    ``log_prob`` and ``kl`` are (B, V), a column for every variable. With a temperature τ, draws are
    softmax((logits + Gumbel noise) / τ), which have a gradient but no mass: what is computed from
    them is an estimate.

    Likelihood: exact without a temperature, none with one.

    >>> q = OneHotMass(torch.tensor([[[0.0, 0.0]]]))
    >>> q.log_prob_terms(torch.tensor([[0.0, 1.0]])).exp().item(), q.kl(q).item()
    (0.5, 0.0)
    """

    continuous = False

    logits: Tensor  # (B, V, K)
    temperature: float | None = None

    @property
    def kind(self) -> Kind:  # type: ignore[override]
        return "exact" if self.temperature is None else "estimate"

    @property
    def center(self) -> Tensor:
        return self.logits.softmax(2).flatten(1)

    @property
    def variance(self) -> Tensor:
        return self.center * (1 - self.center)

    def rsample(self, generator: torch.Generator | None = None) -> Tensor:
        uniform = numerics.noise(self.logits, "uniform", generator)
        tiny, eps = torch.finfo(uniform.dtype).tiny, torch.finfo(uniform.dtype).eps
        gumbel = -torch.log(-torch.log(uniform.clamp(tiny, 1 - eps)))
        if self.temperature is not None:
            return ((self.logits + gumbel) / self.temperature).softmax(2).flatten(1)
        chosen = (self.logits + gumbel).argmax(2)  # Gumbel-max: a draw of the categorical
        one_hot = F.one_hot(chosen, self.logits.shape[2]).to(self.logits.dtype)
        return one_hot.flatten(1)

    def log_prob_terms(self, x: Tensor) -> Tensor:
        return (x.view(-1, *self.logits.shape[1:]) * self.logits.log_softmax(2)).sum(2)

    def kl(self, other: Distribution) -> Tensor | None:
        if not isinstance(other, OneHotMass):
            return None
        log_q, log_p = self.logits.log_softmax(2), other.logits.log_softmax(2)
        return (log_q.exp() * (log_q - log_p)).sum(2)
