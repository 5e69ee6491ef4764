"""The adversarial autoencoder: codes that a critic cannot tell from draws of a prior."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reparam.distributions.priors import Prior
from reparam.model import Descend, Distribution, Generator, Loss, Player, Space, Stage
from reparam.models.autoencoder import Autoencoder, Reconstruction
from reparam.objectives.latent_penalties import CriticPrior
from reparam.rounding import Rounding


class AdversarialAutoencoder(Autoencoder, Generator):
    """x′ = g(f(x)) near x, and codes f(x) spread as p(z); new x is g(z), z ~ p(z).

    loss = Σ (x − x′)² + γ E[D(f(x))] with a critic D of codes whose logit, at its best, is
    ln q(z) − ln p(z), so that the mean is KL(q(z) ‖ p(z)) of the distribution q(z) of codes. The
    encoder is deterministic, the first form of the paper; with a normal posterior the same penalty
    makes a VAE (preset ``aae`` with ``posterior=normal``).

    Args:
        space: what x is.
        encoder, decoder, loss: as of ``Autoencoder``.
        prior: p(z) to be drawn from; it stays as it is.
        penalty: the critic of codes and its weight γ.

    Shape: x (B, *space.shape), code (B, L).

    Likelihood: none: a deterministic encoder gives no bound. Draws are decoded means, of whole
        numbers rounded at random.

    Reference: Makhzani et al. 2016, "Adversarial autoencoders", section 2.
    https://arxiv.org/abs/1511.05644

    >>> import reparam as rp
    >>> model = rp.build("aae", rp.Space((9,), "real"), latent_dim=2)
    >>> model.sample(5).shape, model.encode(torch.zeros(4, 9)).shape
    (torch.Size([5, 9]), torch.Size([4, 2]))
    """

    keeps = "last"

    def __init__(
        self,
        space: Space,
        encoder: nn.Module,
        decoder: nn.Module,
        prior: Prior,
        penalty: CriticPrior,
        loss: Reconstruction = "auto",
    ) -> None:
        (entries,) = prior.event_shape
        if penalty.latent_dim != entries:
            raise ValueError(
                f"penalty: expected a critic of {entries} latent dimensions, as the prior has, got "
                f"one of {penalty.latent_dim}"
            )
        super().__init__(space, encoder, decoder, entries, loss)
        self.p_z, self.prior_penalty = prior.requires_grad_(False), penalty
        self.rounding = Rounding(space)

    @property
    def stages(self) -> tuple[Stage, ...]:
        *first, _ = super().stages
        model = Player("model", (self.encoder, self.decoder))
        return (*first, Descend(players=(model, *self.prior_penalty.players)))

    def prior(self, c: Tensor | None = None) -> Distribution:
        """p(z), of one row."""
        return self.p_z(c)

    def loss(self, x: Tensor, c: Tensor | None = None, player: str = "model") -> Loss:
        if player == "model":
            return super().loss(x, c)
        with torch.no_grad():
            code = self.encode(x, c)
        return Loss(self.prior_penalty.play(code, self.prior()), {})

    def _penalized(self, loss: Loss, code: Tensor) -> Loss:
        logit = self.prior_penalty.logits(code)
        objective = self.prior_penalty.add(logit, loss.objective, loss.terms)
        return loss._replace(objective=objective)

    def draw(self, n: int, c: Tensor | None, generator: torch.Generator | None) -> Tensor:
        z = self.prior().repeat(n).sample(generator)
        return self.rounding(self.decode(z), generator)
