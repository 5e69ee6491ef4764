"""Adversarial losses: what a critic and whoever it judges minimize, and penalties of its slope."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from reparam import numerics

AdversarialName = Literal["non-saturating", "saturating", "hinge", "wasserstein"]
LOGIT, NATS = "logit of the critic", "nats"
Judge = Callable[[Tensor], Tensor]  # x in network units → logits (B,)


@dataclass(frozen=True)
class AdversarialLoss:
    """Costs of logits D(x), elementwise: of the critic on real and drawn x, of the generator.

    The critic minimizes E_p[of_real(D(x))] + E_q[of_drawn(D(x))], p the data and q the draws. With
    the costs softplus(−D) and softplus(D) its optimum is D = ln p − ln q, σ(D) = p/(p+q), and the
    least cost is ln 4 − 2 JSD(p, q); there the saturating generator's gradient is that of
    2 JSD(p, q), the non-saturating one's that of KL(q ‖ p) − 2 JSD(p, q).

    Reference: Goodfellow et al. 2014, eq. 1 and section 3; Arjovsky & Bottou 2017, theorem 2.5, for
    the gradient of the non-saturating loss; Lim & Ye 2017, eq. 1 to 3 (hinge); Arjovsky et al.
    2017, eq. 2 (Wasserstein).
    https://arxiv.org/abs/1406.2661, https://arxiv.org/abs/1701.04862,
    https://arxiv.org/abs/1705.02894, https://arxiv.org/abs/1701.07875

    >>> loss = LOSSES["non-saturating"]
    >>> undecided = torch.zeros(1)
    >>> round((loss.of_real(undecided) + loss.of_drawn(undecided)).item(), 4)  # 2 ln 2
    1.3863
    """

    of_real: Callable[[Tensor], Tensor]
    of_drawn: Callable[[Tensor], Tensor]
    of_generator: Callable[[Tensor], Tensor]
    unit: str = ""  # of logits; nats where, at best, they are a log-ratio of densities


def _softplus_of_minus(logit: Tensor) -> Tensor:
    return F.softplus(-logit)


def _minus_softplus(logit: Tensor) -> Tensor:
    return -F.softplus(logit)


def _margin_above(logit: Tensor) -> Tensor:
    return F.relu(1 - logit)


def _margin_below(logit: Tensor) -> Tensor:
    return F.relu(1 + logit)


def _itself(logit: Tensor) -> Tensor:
    return logit


LOSSES: dict[str, AdversarialLoss] = {
    "non-saturating": AdversarialLoss(_softplus_of_minus, F.softplus, _softplus_of_minus, NATS),
    "saturating": AdversarialLoss(_softplus_of_minus, F.softplus, _minus_softplus, NATS),
    "hinge": AdversarialLoss(_margin_above, _margin_below, torch.neg),
    "wasserstein": AdversarialLoss(torch.neg, _itself, torch.neg),
}


def squared_slopes(critic: Judge, x: Tensor) -> tuple[Tensor, Tensor]:
    """Logits D(x), (B,), and ‖∂D/∂x‖² of each row, (B,), through which gradients flow.

    >>> x = torch.zeros(1, 2)
    >>> squared_slopes(lambda x: x @ torch.tensor([3.0, 4.0]), x)[1]
    tensor([25.])
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        logits = critic(x)
        (slope,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    return logits, slope.flatten(1).square().sum(1)


def gradient_penalty(critic: Judge, real: Tensor, drawn: Tensor) -> Tensor:
    """(‖∂D/∂x‖ − 1)² at a random point between each real row and a drawn one, (B,).

    Reference: Gulrajani et al. 2017, eq. 3. https://arxiv.org/abs/1704.00028

    >>> x = torch.zeros(1, 2)
    >>> gradient_penalty(lambda x: x @ torch.tensor([3.0, 4.0]), x, x + 1)
    tensor([16.])
    """
    share = numerics.noise(real[:, :1].flatten(1)[:, :1], "uniform")
    share = share.view(-1, *[1] * (real.ndim - 1))
    _, squares = squared_slopes(critic, torch.lerp(real, drawn, share))
    return (squares.clamp(min=torch.finfo(squares.dtype).tiny).sqrt() - 1).square()
