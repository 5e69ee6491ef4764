"""Penalties of latent-variable models: what their codes are to be besides informative."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reparam import numerics
from reparam.distributions.densities import NormalDensity
from reparam.distributions.posteriors import DiagonalNormal, Posterior
from reparam.distributions.priors import Prior
from reparam.limits import Count, NonNegative, Positive, limited
from reparam.model import Distribution, Keeps, Player
from reparam.nets.norm import has_batch_norm
from reparam.objectives.penalties import Penalty

CRITIC = "critic"


class LatentPenalty(Penalty):
    """A penalty of latent-variable models, given draws, posteriors and the prior."""

    keeps: Keeps = "best"  # the last weights, where no bound says how good they are
    counts_rows: bool = False  # whether it needs to know how many training examples there are

    @abstractmethod
    def forward(self, x: Tensor, z: Tensor, q: Distribution, p: Distribution) -> Tensor:
        """(B,), given x in data units, z ~ q(z|x) (B, …), q(z|x) and p(z)."""

    @property
    def players(self) -> tuple[Player, ...]:
        """Who is trained beside the model for the penalty's sake."""
        return ()

    def play(self, z: Tensor, p: Distribution) -> Tensor:
        """What its player minimizes, a scalar, given z ~ q(z|x) (B, L) and p(z)."""
        return z.new_zeros(())

    def learn_rows(self, rows: int) -> None:  # noqa: B027
        """Take note of how many training examples there are."""

    def refuse(self, posterior: Posterior, prior: Prior) -> None:  # noqa: B027
        """ValueError where the penalty means nothing for such parts."""

    def _refuse_but_diagonal(self, posterior: Posterior, why: str) -> None:
        if not isinstance(posterior, DiagonalNormal):
            name = type(self).__name__
            raise ValueError(f"penalty: {name} needs {why}, got {type(posterior).__name__}")


class TotalCorrelation(LatentPenalty):
    """KL(q(z) ‖ Π_j q(z_j)) of the aggregate posterior, estimated in the batch (β-TCVAE).

    E log q(z) − Σ_j log q(z_j) with log q(z_i) ≈ log Σ_j W_ij q(z_i|x_j) over the batch of B rows.
    Of N training examples, with M = B − 1, the row's own posterior has the stratified weight 1/N,
    one other (N − M)/(NM) and the rest 1/M: every row of W sums to 1, and over all batches the
    estimate of q(z) is right on average. (Code that strides the flattened matrix by M + 1 = B puts
    the first weight into a column, not onto the diagonal.) Added to the negative ELBO with weight
    β − 1 it is the β-TCVAE's objective.

    Args:
        weight: β − 1.

    Shape: z (B, L) → (B,), each row's contribution; its mean is the estimate.

    Cost: B² densities of z. A batch of one has no other row and gets 0.

    Reference: Chen et al. 2018, eq. 4 and appendix C.1 (minibatch stratified sampling).
    https://arxiv.org/abs/1802.04942

    >>> weights = stratified_weights(4, 100)
    >>> [round(total, 6) for total in weights.sum(1).tolist()], round(weights[0, 0].item(), 4)
    ([1.0, 1.0, 1.0, 1.0], 0.01)
    """

    term = "total_correlation"
    couples_rows, counts_rows = True, True

    def __init__(self, weight: float = 5.0) -> None:
        super().__init__(weight)
        self.register_buffer("rows", torch.ones((), dtype=torch.int64))
        self.rows: Tensor

    def learn_rows(self, rows: int) -> None:
        self.rows.fill_(rows)

    def forward(self, x: Tensor, z: Tensor, q: Distribution, p: Distribution) -> Tensor:
        assert isinstance(q, NormalDensity)  # ``refuse`` lets no other through
        if len(z) == 1:
            return torch.zeros_like(z[:, 0])
        pairs = numerics.normal_log_prob(z.unsqueeze(1), q.mean, q.log_scale)  # (z, q, L)
        log_weights = stratified_weights(len(z), self.rows.clamp(min=len(z))).to(z).log()
        joint = (log_weights + pairs.sum(2)).logsumexp(1)
        marginals = (log_weights.unsqueeze(2) + pairs).logsumexp(1).sum(1)
        return joint - marginals

    def refuse(self, posterior: Posterior, prior: Prior) -> None:
        self._refuse_but_diagonal(posterior, "q(z_j|x) of every dimension")


def stratified_weights(batch: int, rows: Tensor | int) -> Tensor:
    """The weights of q(z_i|x_j) in an estimate of q(z_i), (B, B) float64, of N = ``rows``."""
    others = batch - 1
    device = rows.device if isinstance(rows, Tensor) else None
    own = torch.eye(batch, dtype=torch.float64, device=device)
    one_other = own.roll(1, 1)
    rest = (1 - own - one_other) / others
    return own / rows + one_other * (rows - others) / (rows * others) + rest


class CodeCritic(LatentPenalty):
    """A penalty on codes by a critic of them, whose logit D(z) estimates ln q(z) − ln r(z).

    The critic is a player of its own and minimizes the cross-entropy between codes, labeled 1, and
    draws of a reference r, labeled 0; the mean of D(z) over codes, KL(q ‖ r) where the critic is
    at its best, is added with the weight.

    Args:
        latent_dim: L.
        weight: γ.
        hidden: widths of the critic.
        lr: multiple of the model's learning rate.

    Shape: z (B, L) → (B,).
    """

    @limited
    def __init__(
        self,
        latent_dim: Count,
        weight: float = 10.0,
        hidden: Sequence[Count] = (256, 256),
        lr: Positive = 1.0,
    ) -> None:
        super().__init__(weight)
        self.lr, self.latent_dim = lr, latent_dim
        layers, width = [], latent_dim
        for wider in hidden:
            layers += [nn.Linear(width, wider), nn.LeakyReLU(0.2)]
            width = wider
        self.critic = nn.Sequential(*layers, nn.Linear(width, 1))

    @abstractmethod
    def reference(self, z: Tensor, p: Distribution) -> Tensor:
        """As many draws of r as there are codes."""

    def forward(self, x: Tensor, z: Tensor, q: Distribution, p: Distribution) -> Tensor:
        return self.logits(z)

    def logits(self, z: Tensor) -> Tensor:
        """D(z), (B,)."""
        return self.critic(z).to(z).squeeze(1)

    @property
    def players(self) -> tuple[Player, ...]:
        return (Player(CRITIC, (self,), lr=self.lr),)

    def play(self, z: Tensor, p: Distribution) -> Tensor:
        of_codes, of_others = self.logits(z), self.logits(self.reference(z, p))
        return 0.5 * (F.softplus(-of_codes) + F.softplus(of_others)).mean()

    def refuse(self, posterior: Posterior, prior: Prior) -> None:
        if posterior.event_shape != (self.latent_dim,):
            raise ValueError(
                f"penalty: {type(self).__name__} judges {self.latent_dim} latent dimensions, "
                f"got a posterior of {posterior.event_shape}"
            )


class CriticTotalCorrelation(CodeCritic):
    """KL(q(z) ‖ Π_j q(z_j)) by a critic that tells z from z with its columns shuffled (FactorVAE).

    The reference is the same codes with every column permuted by itself (the paper permutes a
    second batch). Arguments are those of ``CodeCritic``.

    Shape: z (B, L) → (B,).

    Reference: Kim & Mnih 2018, eq. 2 and 3, algorithm 1 and 2.
    https://arxiv.org/abs/1802.05983

    >>> CriticTotalCorrelation(3)(torch.ones(5, 9), torch.zeros(5, 3), None, None).shape
    torch.Size([5])
    """

    term = "total_correlation"

    def reference(self, z: Tensor, p: Distribution) -> Tensor:
        order = numerics.noise(z, "uniform").argsort(0)
        return z.gather(0, order)

    def refuse(self, posterior: Posterior, prior: Prior) -> None:
        if posterior.support != "real":
            raise ValueError(
                "penalty: CriticTotalCorrelation shuffles the columns of z, got "
                f"{posterior.support} vectors, whose columns belong together"
            )
        super().refuse(posterior, prior)


class CriticPrior(CodeCritic):
    """KL(q(z) ‖ p(z)) of the aggregate posterior, by a critic that tells codes from draws of p(z).

    What ``MMD`` does with a kernel. The critic may have the same logit everywhere only where both
    are the same. Nothing trains a prior that is learned: it stays as it starts. Arguments are those
    of ``CodeCritic``.

    Shape: z (B, L) → (B,).

    Reference: Makhzani et al. 2016, "Adversarial autoencoders", section 2, whose encoder ascends
    the cost of the critic that its codes are found out by; Tolstikhin et al. 2018 (WAE),
    algorithm 1; Mescheder et al. 2017, eq. 3.3, for the logit itself.
    https://arxiv.org/abs/1511.05644, https://arxiv.org/abs/1711.01558,
    https://arxiv.org/abs/1701.04722

    >>> CriticPrior(3)(torch.ones(5, 9), torch.zeros(5, 3), None, None).shape
    torch.Size([5])
    """

    term, keeps = "prior_kl", "last"

    def reference(self, z: Tensor, p: Distribution) -> Tensor:
        with torch.no_grad():
            return p.repeat(len(z) // p.rows).rsample()

    def refuse(self, posterior: Posterior, prior: Prior) -> None:
        _refuse_relaxed(posterior, "CriticPrior tells draws of q(z) from draws of p(z)")
        _refuse_normalized(prior, "CriticPrior")
        super().refuse(posterior, prior)


class DIP(LatentPenalty):
    """λ_od Σ_{i≠j} C_ij² + λ_d Σ_i (C_ii − 1)², C the covariance of the codes (DIP-VAE).

    Of posterior means (DIP-VAE-I) C = Cov_x(μ(x)); of draws (DIP-VAE-II) it is that of the
    aggregate posterior, Cov_x(μ(x)) + E_x Σ(x). Every row gets the batch's value.

    Args:
        codes: means or draws.
        off_diagonal: λ_od.
        diagonal: λ_d.

    Shape: (B, L) → (B,), in squared units of z.

    Reference: Kumar et al. 2018, eq. 6 and 7.
    https://arxiv.org/abs/1711.00848

    >>> q = NormalDensity(torch.tensor([[1.0, 1.0], [-1.0, -1.0]]), torch.zeros(2, 2))
    >>> DIP("means", 10.0, 5.0)(q.mean, q.mean, q, q)  # C is all ones
    tensor([20., 20.])
    """

    term = "dip"
    couples_rows = True

    @limited
    def __init__(
        self,
        codes: Literal["means", "draws"] = "means",
        off_diagonal: NonNegative = 10.0,
        diagonal: NonNegative = 10.0,
    ) -> None:
        super().__init__(1.0)
        self.codes, self.off_diagonal, self.diagonal = codes, off_diagonal, diagonal

    def forward(self, x: Tensor, z: Tensor, q: Distribution, p: Distribution) -> Tensor:
        centered = q.center - q.center.mean(0)
        covariance = centered.mT @ centered / len(z)
        if self.codes == "draws":
            variance = q.variance
            assert variance is not None  # ``refuse`` lets diagonal normals through only
            covariance = covariance + torch.diag(variance.mean(0))
        diagonal = covariance.diagonal()
        off = covariance.square().sum() - diagonal.square().sum()
        value = self.off_diagonal * off + self.diagonal * (diagonal - 1).square().sum()
        return value.expand(len(z))

    def refuse(self, posterior: Posterior, prior: Prior) -> None:
        self._refuse_but_diagonal(posterior, "means and variances of every dimension")


class MMD(LatentPenalty):
    """The squared maximum mean discrepancy between draws of q(z) and of p(z) (InfoVAE, WAE).

    The unbiased estimate with k(a, b) = Σ_s s/(s + ‖a − b‖²), s = 2L·{.1, .2, .5, 1, 2, 5, 10}.
    Every row gets the batch's value; a batch of one has no pairs and gets 0.

    Args:
        weight: λ.

    Shape: z (B, L) → (B,).

    Cost: B² distances, and B draws of the prior.

    Reference: Tolstikhin et al. 2018 (WAE), algorithm 2; Zhao et al. 2019 (InfoVAE), section 3.2.
    https://arxiv.org/abs/1711.01558, https://arxiv.org/abs/1706.02262

    >>> z = torch.tensor([[0.0], [1.0]])
    >>> bool(mmd_squared(z, z + 100) > mmd_squared(z, z + 1))
    True
    """

    term = "mmd"
    couples_rows = True

    def forward(self, x: Tensor, z: Tensor, q: Distribution, p: Distribution) -> Tensor:
        if len(z) == 1:
            return torch.zeros_like(z[:, 0])
        drawn = p.repeat(len(z) // p.rows).rsample()
        return mmd_squared(z, drawn).expand(len(z))

    def refuse(self, posterior: Posterior, prior: Prior) -> None:
        _refuse_relaxed(posterior, "MMD compares draws of q(z) with draws of p(z)")
        _refuse_normalized(prior, "MMD")


def _refuse_relaxed(posterior: Posterior, what: str) -> None:
    if posterior.relaxed:
        raise ValueError(
            f"penalty: {what}, got {type(posterior).__name__}, whose draws are relaxed in training "
            "and so differ even where q(z) is p(z)"
        )


def _refuse_normalized(prior: Prior, name: str) -> None:
    if has_batch_norm(prior):
        raise ValueError(
            f"penalty: {name} draws from the prior, got one with batch normalization, whose "
            "statistics would be those of these draws as well; leave out batch_norm"
        )


def mmd_squared(a: Tensor, b: Tensor) -> Tensor:
    """The unbiased estimate from n draws each, (n, L), by the kernel of ``MMD``."""
    n = len(a)
    within = (_kernel_sum(a, a) + _kernel_sum(b, b) - 14 * n) / (n * (n - 1))
    return within - 2 * _kernel_sum(a, b) / n**2


def _kernel_sum(a: Tensor, b: Tensor) -> Tensor:
    squares = (a.unsqueeze(1) - b.unsqueeze(0)).square().sum(2)
    scales = [2 * a.shape[1] * factor for factor in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)]
    return torch.stack([(s / (s + squares)).sum() for s in scales]).sum()
