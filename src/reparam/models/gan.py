"""The generative adversarial network: draws that a critic cannot tell from data."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from reparam import numerics
from reparam.bijections.units import Units
from reparam.degradation import Degradation
from reparam.distributions.priors import StandardNormal
from reparam.inspection import Judgment
from reparam.limits import Count, NonNegative, limited
from reparam.model import Decoder, Descend, Distribution, Generator, Loss, Player, Space, Stage
from reparam.models.conditional import Conditional
from reparam.objectives.adversarial_losses import (
    LOGIT,
    LOSSES,
    AdversarialName,
    gradient_penalty,
    squared_slopes,
)
from reparam.rounding import Rounding

R1 = 1.0  # of every loss but Wasserstein's
WASSERSTEIN_STEPS, WASSERSTEIN_PENALTY = 5, 10.0


class GAN(Conditional, Decoder, Generator):
    """x = g(z), z ~ N(0, I), where a critic D tells such x from data and g is trained against it.

    D minimizes E[f(D(x))] + E[h(D(g(z)))] + γ/2 E‖∂D/∂x‖² (R1, at data), and g a cost of D(g(z));
    which costs, ``loss`` says. Both see x from −1 to 1, or standardized.

    Args:
        space: what x is, without columns of names.
        generator: network from z (B, latent_dim), and c, to x (B, *shape) in these units, of whole
            numbers before tanh.
        critic: network from such x, and c, to logits (B,).
        latent_dim: entries of z.
        loss: ``"non-saturating"``, ``"saturating"`` (the minimax game itself, whose gradient
            vanishes where the critic is sure), ``"hinge"``, or ``"wasserstein"`` with its gradient
            penalty of 10 and five steps of the critic for one of the generator.
        r1: γ; ``"auto"`` is 1, and 0 for ``"wasserstein"``, which takes no other.
        dequantize: whether whole numbers reach the critic with uniform noise; draws are then cut
            to whole numbers, else rounded at random.
        critic_lr: the critic's learning rate, as a multiple of the generator's.
        conditional: whether both networks take c.
        given: the degradation whose y both take in place of a class.

    Shape: x (B, *space.shape), z (B, latent_dim).

    Likelihood: none; the density of x that z and g imply is not known, nor need it exist.

    Cost: of a step two passes of the generator and three of the critic with their gradients, and
        for R1 the gradient of one of these.

    Reference: Goodfellow et al. 2014, "Generative adversarial nets", eq. 1, algorithm 1; R1 by
    Mescheder et al. 2018, eq. 9; Gulrajani et al. 2017, algorithm 1.
    https://arxiv.org/abs/1406.2661, https://arxiv.org/abs/1801.04406,
    https://arxiv.org/abs/1704.00028

    >>> import reparam as rp
    >>> model = rp.build("gan", rp.Space((2,), "real"), latent_dim=3)
    >>> model.sample(5).shape, model.decode(torch.zeros(4, 3)).shape
    (torch.Size([5, 2]), torch.Size([4, 2]))
    """

    keeps = "last"
    constant_terms = ("generator_loss", "critic_drawn")

    @limited
    def __init__(
        self,
        space: Space,
        generator: nn.Module,
        critic: nn.Module,
        latent_dim: Count,
        loss: AdversarialName = "non-saturating",
        r1: NonNegative | Literal["auto"] = "auto",
        dequantize: bool = False,
        critic_lr: NonNegative = 1.0,
        conditional: bool = False,
        given: Degradation | None = None,
    ) -> None:
        super().__init__(space, conditional, given)
        self.wasserstein = loss == "wasserstein"
        if self.wasserstein and r1 not in ("auto", 0):
            raise ValueError(
                f"r1: expected auto or 0 for loss=wasserstein, which has a penalty of its own, "
                f"got {r1:g}"
            )
        self.generator, self.critic = generator, critic
        self.p_z = StandardNormal(latent_dim)
        self.costs = LOSSES[loss]
        self.r1 = (0.0 if self.wasserstein else R1) if r1 == "auto" else r1
        self.critic_lr = critic_lr
        self.units, self.rounding = Units(space, dequantized=dequantize), Rounding(space)
        self.register_buffer("reals", space.reals, persistent=False)
        self.reals: Tensor
        self.some_real, self.all_real = bool(space.reals.any()), bool(space.reals.all())

    @property
    def stages(self) -> tuple[Stage, ...]:
        steps = WASSERSTEIN_STEPS if self.wasserstein else 1
        players = (
            Player("model", (self.generator,)),
            Player("critic", (self.critic,), self.critic_lr, steps),
        )
        return (*self.units.stages, *self.condition_stages, Descend(players=players))

    @property
    def counted(self) -> int:
        return self.units.counted

    @property
    def code_space(self) -> Space:
        return Space(self.p_z.event_shape, "real")

    def prior(self, c: Tensor | None = None) -> Distribution:
        """p(z), standard normal whatever c is."""
        return self.p_z(c)

    def loss(self, x: Tensor, c: Tensor | None = None, player: str = "model") -> Loss:
        x, c = self.prepare(x, c)
        z = numerics.noise(x.new_empty(len(x), *self.p_z.event_shape).to(self.anchor))
        if player == "critic":
            return self._critic_loss(x, c, z)
        drawn = self._judged(self.generated(z, c), c)
        cost = self.costs.of_generator(drawn)
        terms = {"generator_loss": cost}
        if not self.training:  # of whom the critic has not seen: it knows the training rows
            real = self._judged(self.units(x)[0], c)
            terms |= self._told(real, drawn)
        return Loss(cost.mean(), terms)

    def _critic_loss(self, x: Tensor, c: Tensor | None, z: Tensor) -> Loss:
        y = self.units(x)[0]
        with torch.no_grad():
            drawn_y = self.generated(z, c)
        drawn, penalty = self._judged(drawn_y, c), {}
        if self.r1:
            real, squares = squared_slopes(lambda y: self._judged(y, c), y)
            penalty = {"r1": self.r1 / 2 * squares}
        else:
            real = self._judged(y, c)
        if self.wasserstein:
            off = gradient_penalty(lambda y: self._judged(y, c), y, drawn_y)
            penalty = {"gradient_penalty": WASSERSTEIN_PENALTY * off}
        terms = self._told(real, drawn)
        objective = terms["critic_loss"].mean()
        for value in penalty.values():
            objective = objective + value.mean()
        return Loss(objective, terms | penalty)

    def _told(self, real: Tensor, drawn: Tensor) -> dict[str, Tensor]:
        """What the critic makes of both, (B,) each."""
        cost = self.costs.of_real(real) + self.costs.of_drawn(drawn)
        return {"critic_loss": cost, "critic_real": real, "critic_drawn": drawn}

    def _judged(self, y: Tensor, c: Tensor | None) -> Tensor:
        logits: Tensor = self._through(self.critic, y, c)
        return logits.to(self.anchor.dtype)

    def generated(self, z: Tensor, c: Tensor | None) -> Tensor:
        """g(z) in the units of the networks."""
        h: Tensor = self._through(self.generator, z, c).to(self.anchor.dtype)
        if not self.all_real:
            h = torch.where(self.reals, h, h.tanh()) if self.some_real else h.tanh()
        h = self.units.entries(h)
        if self.degradation is None or c is None or not self.degradation.knows:
            return h
        said = self.seen(self.degradation.pseudo_inverse(c)).to(h)
        return torch.where(self.degradation.known, said, h)

    def seen(self, x: Tensor) -> Tensor:
        return self.units(x, middle=True)[0]

    @property
    def judgment(self) -> Judgment:
        return Judgment(LOGIT, self.costs.unit, self.logits)

    def logits(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """What the critic says of x: above 0 where it takes it for data, (B,)."""
        x, c = self.prepare(x, c)
        return self._judged(self.units(x, middle=True)[0], c)

    def decode(self, code: Tensor, c: Tensor | None = None) -> Tensor:
        code = self.prepare_code(code)
        c = self._condition(c, code.shape[0])
        return self.keep_given(self.units.mean(self.generated(code, c)), c)

    def draw(self, n: int, c: Tensor | None, generator: torch.Generator | None) -> Tensor:
        z = numerics.noise(self.anchor.new_empty(n, *self.p_z.event_shape), "normal", generator)
        y = self.generated(z, c)
        if self.units.discrete:
            x = self.rounding(self.units.mean(y), generator)
        else:
            x = self.units.back(y)
        return self.keep_given(x, c)  # without what the way through other units rounds
