"""Self-distillation: a network says of one view of x what its own average says of another."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from reparam.bijections.standardization import standardization
from reparam.limits import BelowOne, Positive, Share, limited
from reparam.model import Batch, Encoder, Loss, Model, Solve, Space, Stage
from reparam.nets.patches import Patches
from reparam.nets.projection_head import ProjectionHead
from reparam.nets.vision_transformer import VisionTransformer
from reparam.objectives.views import Views

SHARES_DECAY = 0.99  # of the average of the teacher's outputs, which curves show


class Projected(nn.Module):
    """A head on the mean of tokens.

    Shape: patches (B, N, P) → (B, K).

    >>> patches = Patches((1, 4, 4), (1, 2, 2))
    >>> network = Projected(VisionTransformer(patches, 8, 1, 2), ProjectionHead(8, 16, 4, 10))
    >>> network(torch.zeros(3, 4, 4)).shape
    torch.Size([3, 10])
    """

    def __init__(self, tokens: VisionTransformer, head: ProjectionHead) -> None:
        super().__init__()
        self.tokens, self.head = tokens, head

    def features(self, patches: Tensor) -> Tensor:
        tokens: Tensor = self.tokens(patches)
        return tokens.mean(1)

    def forward(self, patches: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(patches))
        return logits


class SelfDistillation(Encoder):
    """Tokens of patches, learned by agreeing on two views of x, without labels or decoder.

    With f tokens of a transformer, averaged over their places, g(x) = head(f(x)) ∈ ℝᴷ and a teacher
    g_t of the same form,

        P_s(x) = softmax(g(x) / τ_s),    P_t(x) = softmax((g_t(x) − c) / τ_t),
        loss = ½ Σ_{(u, v)} −Σ_k P_t(u)_k ln P_s(v)_k,    (u, v) two views in both orders.

    The teacher has no gradient: after each step its weights are λ times themselves and 1 − λ times
    the student's, and c is m times itself and 1 − m times the mean of g_t over the views. Centering
    alone ends in uniform outputs, sharpening (τ_t < τ_s) alone in one prototype for all x; both
    together keep each other in balance. ``teacher_entropy`` is that of the mean output, by an
    average over steps, ``output_entropy`` the mean of that of single ones: where they meet, outputs
    do not depend on x.

    Weights of both start alike, with the head's directions centered on the training data: a
    deviation from the paper, whose outputs start nearly the same for all x.

    The code of x is the grid of the teacher's tokens of the whole x, as the published features are.

    Args:
        space: what x is, not mixed.
        patches: how it is cut.
        tokens: the student's transformer, from patches (B, N, P) to tokens (B, N, width).
        head: the student's, from their mean (B, width) to (B, K).
        views: how a view differs from x.
        student_temperature, teacher_temperature: τ_s, τ_t.
        momentum: λ, constant here; in the paper it rises to 1.
        center: m; 1 leaves the center at 0, as where there is none.

    Shape: x (B, *space.shape), code (B, width, rows, columns), frames one under another.

    Likelihood: none.

    Cost: of a step, the student on two views with gradients, and the teacher on both without.

    Reference: Caron et al. 2021, "Emerging properties in self-supervised vision transformers",
    eq. 1–4 and algorithm 1. https://arxiv.org/abs/2104.14294

    >>> import reparam as rp
    >>> model = rp.build("dino", rp.Space((1, 8, 8), "levels", levels=17))
    >>> model.encode(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 64, 4, 4])
    """

    keeps, encodes = "last", "finite"
    constant_terms = ("teacher_entropy",)

    @limited
    def __init__(
        self,
        space: Space,
        patches: Patches,
        tokens: VisionTransformer,
        head: ProjectionHead,
        views: Views | None = None,
        student_temperature: Positive = 0.1,
        teacher_temperature: Positive = 0.04,
        momentum: BelowOne = 0.996,
        center: Share = 0.9,
    ) -> None:
        super().__init__(space)
        self.patches, self.views = patches, Views() if views is None else views
        self.student = Projected(tokens, head)
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.student_temperature, self.teacher_temperature = (
            student_temperature,
            teacher_temperature,
        )
        self.momentum, self.center_momentum = momentum, center
        self.standardize = standardization(space)
        self.register_buffer("center", torch.zeros(head.count))
        self.register_buffer("shares", torch.zeros(head.count))  # of prototypes, up to a factor
        self.center: Tensor
        self.shares: Tensor

    @property
    def stages(self) -> tuple[Stage, ...]:
        return (*self.standardize.stages, Solve("head", self._center_head), *super().stages)

    @torch.no_grad()
    def _center_head(self, model: Model, batches: Iterable[Batch]) -> None:
        """Let the head's directions spread around 0 before the descent, in both networks.

        Else one direction that all x share leaves outputs nearly uniform once they are centered,
        and thousands of steps pass before they differ.
        """
        if self.shares.any():  # trained already
            return
        total, count = torch.zeros((), device=self.anchor.device), 0
        for batch in batches:
            directions = self.student.head.directions(self.student.features(self._cut(batch.x)))
            total, count = total + directions.sum(0), count + len(directions)
        for network in (self.student, self.teacher):
            network.head.shift(-total / count)

    @property
    def counted(self) -> int:
        return self.standardize.count

    @property
    def code_space(self) -> Space:
        frames, rows, columns = self.patches.grid
        return Space((self.teacher.tokens.width, frames * rows, columns), "real")

    @property
    def token_grid(self) -> tuple[int, int]:
        """Rows and columns of the tokens of x."""
        return self.code_space.shape[1], self.code_space.shape[2]

    def stack(self) -> tuple[nn.Module, ...]:
        return self.teacher.tokens.stack

    def loss(self, x: Tensor, c: Tensor | None = None, player: str = "model") -> Loss:
        x, c = self.prepare(x, c)
        views = self.views.draw(self.standardize.scaled(x), self.space, 2)
        patches = self.patches(self.standardize.masked(torch.cat(views)))
        with torch.no_grad():
            given = self._outputs(self.teacher, patches)
            p = self._sharpened(given)
        log_p = (self._outputs(self.student, patches) / self.student_temperature).log_softmax(1)
        error = -(p * log_p.roll(len(x), 0)).sum(1)  # of each view, the student on the other one
        entropy = torch.special.entr(p).sum(1)
        terms = {
            "distillation": _by_example(error),
            "output_entropy": _by_example(entropy),
            "teacher_entropy": self._entropy_of_shares(p).expand(len(x)),
        }
        count = p.new_full((), len(p))
        sums = {"outputs": given.sum(0), "shares": p.sum(0), "views": count}
        return Loss(error.mean(), terms, sums)

    def after_step(self, loss: Loss, player: str = "model") -> None:
        sums = loss.statistics
        for average, name, keep in (
            (self.center, "outputs", self.center_momentum),
            (self.shares, "shares", SHARES_DECAY),
        ):
            mean = sums[name] / sums["views"]
            average.lerp_(torch.where(mean.isfinite(), mean, average), 1 - keep)
        for slow, quick in self._pairs():
            # A gradient may have spoiled a weight, which is mended later; an average would not be.
            slow.lerp_(torch.where(quick.isfinite(), quick, slow), 1 - self.momentum)

    def encode(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        tokens = self.teacher.tokens(self._cut(x, c))
        return tokens.transpose(1, 2).reshape(-1, *self.code_space.shape).to(self.anchor.dtype)

    def attention(self, x: Tensor) -> Tensor:
        """How much each patch of x reads from each other in the last layer, (B, heads, N, N)."""
        return self.teacher.tokens.attention(self._cut(x))

    def assigned(self, x: Tensor) -> Tensor:
        """P_t(x), how much the teacher assigns the whole x to each prototype, (B, K)."""
        return self._sharpened(self._outputs(self.teacher, self._cut(x)))

    def _cut(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        x, _ = self.prepare(x, c, self.encodes)
        return self.patches(self.standardize.scaled(x))

    def _outputs(self, network: Projected, patches: Tensor) -> Tensor:
        return network(patches).to(self.anchor.dtype)

    def _sharpened(self, outputs: Tensor) -> Tensor:
        return ((outputs - self.center) / self.teacher_temperature).softmax(1)

    def _entropy_of_shares(self, p: Tensor) -> Tensor:
        """Of the teacher's mean output, by its average over the steps so far and these views."""
        mean = SHARES_DECAY * self.shares + (1 - SHARES_DECAY) * p.mean(0)
        return torch.special.entr(mean / mean.sum()).sum()

    def _pairs(self) -> Iterator[tuple[nn.Parameter, nn.Parameter]]:
        return zip(self.teacher.parameters(), self.student.parameters(), strict=True)


def _by_example(values: Tensor) -> Tensor:
    """The mean over both views of each example, (B,), of values (2B,)."""
    return values.view(2, -1).mean(0)
