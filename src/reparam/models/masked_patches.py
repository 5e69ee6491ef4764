"""Masked autoencoders: parts of x are hidden, and found again from what is left."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from reparam import numerics
from reparam.bijections.standardization import standardization
from reparam.inspection import Noise
from reparam.limits import ProperShare, limited
from reparam.model import Codec, Encoder, Loss, Space, Stage
from reparam.nets.patches import Patches
from reparam.space import looked_at

PatchError = Literal["squared", "absolute"]
EPSILON = 1e-6  # added to the variance of a patch, in network units


class MaskedEncoder(Encoder):
    """Tokens of patches, learned by predicting hidden patches from the visible ones.

    loss = 1/|H| Σ_{i ∈ H} e(x̂_i, x_i) over the entries i of hidden patches, in network units
    (levels divided by K−1, real data standardized), with e the squared or the absolute error. In
    every example round(rN) of N patches are hidden, at random. Padding, constants and what is
    missing are no part of it. The code of x is the grid of tokens of the whole x.

    With ``normalize_target`` every patch has its own mean taken off and is divided by its own
    deviation before it is a target. Then the output is no picture, and this class is what there
    is of the model; ``MaskedAutoencoder`` also decodes.

    An entry that is missing, NaN, hides its patch, and its token is that of hidden patches.

    Args:
        space: what x is, not mixed.
        patches: how it is cut.
        encoder: from patches (B, N, P) with hidden bool (B, N), or None, and how many are visible
            in every row, or None where rows differ, to tokens (B, N, width).
        decoder: from tokens of all places to patches (B, N, P).
        width: of the tokens.
        ratio: r, the share of patches that are hidden.
        error: ``"squared"`` or ``"absolute"``.
        normalize_target: whether a patch is predicted up to its mean and deviation.
        tubes: of clips, whether the same place is hidden in all frames.

    Shape: x (B, *space.shape), code (B, width, rows, columns), frames one under another.

    Likelihood: none.

    Raises:
        ValueError: no patch would be hidden, or none visible.

    Reference: He et al. 2022, "Masked autoencoders are scalable vision learners", section 3;
    Xie et al. 2022, "SimMIM", section 3; Tong et al. 2022, "VideoMAE", section 3.3, for tubes.
    https://arxiv.org/abs/2111.06377, https://arxiv.org/abs/2111.09886,
    https://arxiv.org/abs/2203.12602

    >>> import reparam as rp
    >>> model = rp.build("mae", rp.Space((1, 8, 8), "levels", levels=17), normalize_target=True)
    >>> model.encode(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 64, 4, 4])
    """

    judge = "masked_error"

    @limited
    def __init__(
        self,
        space: Space,
        patches: Patches,
        encoder: nn.Module,
        decoder: nn.Module,
        width: int,
        ratio: ProperShare = 0.75,
        error: PatchError = "squared",
        normalize_target: bool = False,
        tubes: bool = True,
    ) -> None:
        super().__init__(space)
        self.patches, self.encoder, self.decoder = patches, encoder, decoder
        self.width, self.ratio, self.error = width, ratio, error
        self.normalize_target, self.takes_missing = normalize_target, True
        frames = patches.grid[0]
        self.repeats = frames if tubes else 1  # of a mask
        self.masked_places = patches.count // self.repeats
        self.hidden_places = hidden_places(ratio, self.masked_places)
        self.standardize = standardization(space)

    @property
    def stages(self) -> tuple[Stage, ...]:
        return (*self.standardize.stages, *super().stages)

    @property
    def code_space(self) -> Space:
        frames, rows, columns = self.patches.grid
        return Space((self.width, frames * rows, columns), "real")

    @property
    def noise(self) -> Noise | None:
        places, unit = self.masked_places, "share of patches hidden"
        strongest = (places - 1) / places
        return Noise("hidden patches", unit, self.ratio, strongest, self.hide, True, places)

    @property
    def token_grid(self) -> tuple[int, int]:
        """Rows and columns of the tokens of x."""
        return self.code_space.shape[1], self.code_space.shape[2]

    def stack(self) -> tuple[nn.Module, ...]:
        return tuple(getattr(self.encoder, "stack", ()))

    def loss(self, x: Tensor, c: Tensor | None = None, player: str = "model") -> Loss:
        x, c = self.prepare(x, c)
        patches, missing = self._cut(x, looked_at() and bool(x.isnan().any()))
        visible: int | None = self._visible
        hidden = self._chosen(patches, self.hidden_places)
        if missing is not None:
            hidden, visible = hidden | missing.any(2), None
        found = self._predicted(patches, hidden, visible)
        counted = self._counted() & hidden[..., None]
        if missing is not None:
            counted = counted & ~missing
        error = found - self._target(patches, missing)
        error = error.abs() if self.error == "absolute" else error.square()
        total = torch.where(counted, error, 0.0).flatten(1).sum(1)
        error = total / counted.flatten(1).sum(1).clamp(min=1)
        return Loss(error.mean(), {"masked_error": error})

    def encode(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        x, c = self.prepare(x, c, self.encodes)
        patches, missing = self._cut(x, looked_at() or not self.training)
        hidden = None if missing is None else missing.any(2)
        return self._grid(self._tokens(patches, hidden, None))

    def attention(self, x: Tensor) -> Tensor:
        """How much each patch of x reads from each other in the last layer, (B, heads, N, N).

        Of a patch with a missing entry nothing is seen, but as of a patch of zeros, that it is
        there.
        """
        patches, missing = self._cut(self.prepare(x, None, self.encodes)[0], look=True)
        assert missing is not None
        patches = torch.where(missing.any(2, keepdim=True), 0.0, patches)
        weights: Tensor = self.encoder.attention(patches)  # type: ignore[operator]
        return weights

    def predicted_patches(self, x: Tensor, hidden: Tensor) -> Tensor:
        """What the model makes of all patches (B, N, P), in units of its targets.

        Args:
            x: (B, *shape), in data units.
            hidden: bool (B, N), patches that it does not see.
        """
        patches, missing = self._cut(self.prepare(x, None, self.encodes)[0], look=True)
        assert missing is not None
        hidden = hidden.to(missing.device) | missing.any(2)
        return self._predicted(patches, hidden, None)

    def hide(self, x: Tensor, level: float) -> Tensor:
        """x (B, *shape) with a share of its patches NaN, at random, but for constants.

        Of a level above 0 at least one patch is hidden, and always one visible.
        """
        x = (x if x.is_floating_point() else x.to(self.anchor.dtype)).to(self.anchor.device)
        if level == 0:
            return x
        chosen = min(max(round(level * self.masked_places), 1), self.masked_places - 1)
        hidden = self._chosen(self.patches(x), chosen)
        hidden = hidden[..., None] & self._counted().to(hidden.device)
        return torch.where(self.patches.inverse(hidden), torch.nan, x)

    @property
    def _visible(self) -> int:
        return self.patches.count - self.hidden_places * self.repeats

    def _chosen(self, patches: Tensor, hidden: int) -> Tensor:
        """Which patches are hidden, bool (B, N), so many of each mask."""
        uniform = numerics.noise(patches.new_empty(len(patches), self.masked_places), "uniform")
        least = uniform.topk(hidden, 1, largest=False, sorted=False).indices
        mask = torch.zeros_like(uniform, dtype=torch.bool).scatter_(1, least, True)
        return mask.repeat(1, self.repeats)  # frame by frame

    def _cut(self, x: Tensor, look: bool) -> tuple[Tensor, Tensor | None]:
        """Patches in network units with 0 in place of what is missing, and what is missing.

        Args:
            x: prepared.
            look: for missing entries; data that are trained on have none.
        """
        patches = self.patches(self.standardize.scaled(x))
        if not look:
            return patches, None
        missing = patches.isnan()
        return torch.where(missing, 0.0, patches), missing

    def _tokens(self, patches: Tensor, hidden: Tensor | None, visible: int | None) -> Tensor:
        if hidden is None:
            tokens: Tensor = self.encoder(patches, None, None)
            return tokens
        # Without what is hidden: a sum in which it counts 0 times would keep its infinity.
        patches = torch.where(hidden[..., None], 0.0, patches)
        tokens = self.encoder(patches, hidden, visible)
        return tokens

    def _predicted(self, patches: Tensor, hidden: Tensor, visible: int | None) -> Tensor:
        found: Tensor = self.decoder(self._tokens(patches, hidden, visible))
        return found

    def _counted(self) -> Tensor:
        """Which entries of patches are neither padding nor constants, bool (1, N, P)."""
        ones = self.standardize.masked(self.anchor.new_ones(1, *self.space.shape))
        return self.patches(ones) != 0

    def _target(self, patches: Tensor, missing: Tensor | None) -> Tensor:
        """What patches are to be predicted as, perhaps each by its own mean and deviation."""
        if not self.normalize_target:
            return patches
        counted = self._counted() if missing is None else self._counted() & ~missing
        weight = counted.to(patches)
        count = weight.sum(2, keepdim=True).clamp(min=1)
        centered = (patches - (patches * weight).sum(2, keepdim=True) / count) * weight
        variance = centered.square().sum(2, keepdim=True) / count
        return centered / (variance + EPSILON).sqrt()

    def _grid(self, tokens: Tensor) -> Tensor:
        return tokens.transpose(1, 2).reshape(-1, *self.code_space.shape)


class MaskedAutoencoder(MaskedEncoder, Codec):
    """A masked encoder whose output is x: hidden patches can be looked at.

    ``reconstruct`` returns what the model predicts of every patch. Only hidden ones are trained, so
    that it repairs x with missing entries, and is poor where nothing is missing. Arguments are
    those of ``MaskedEncoder``.

    Shape: x (B, *space.shape), code (B, width, rows, columns).

    Likelihood: none.

    Reference: He et al. 2022, "Masked autoencoders are scalable vision learners", section 3.
    https://arxiv.org/abs/2111.06377

    >>> import reparam as rp
    >>> model = rp.build("mae", rp.Space((1, 8, 8), "levels", levels=17), seed=0).eval()
    >>> x = torch.zeros(2, 1, 8, 8)
    >>> x[:, :, :3] = torch.nan  # two rows of patches
    >>> model.reconstruct(x).isnan().any()
    tensor(False)
    """

    def __init__(
        self,
        space: Space,
        patches: Patches,
        encoder: nn.Module,
        decoder: nn.Module,
        width: int,
        ratio: float = 0.75,
        error: PatchError = "squared",
        tubes: bool = True,
    ) -> None:
        super().__init__(space, patches, encoder, decoder, width, ratio, error, tubes=tubes)
        self.encodes = "finite"  # as a noisy x

    def decode(self, code: Tensor, c: Tensor | None = None) -> Tensor:
        tokens = self.prepare_code(code).flatten(2).transpose(1, 2)
        return self.standardize.inverse(self.patches.inverse(self.decoder(tokens)))[0]


def hidden_places(ratio: float, places: int) -> int:
    """round(rN), refused where that is none or all.

    >>> hidden_places(0.75, 49), hidden_places(0.9, 10)
    (37, 9)
    """
    hidden = round(ratio * places)
    if 1 <= hidden < places:
        return hidden
    whole = f"{places} patch" if places == 1 else f"{places} patches"
    fits = [share for share in range(1, 100) if 1 <= round(share / 100 * places) < places]
    remedy = (
        f"take one between {fits[0] / 100:g} and {fits[-1] / 100:g}"
        if fits
        else "make patches smaller"
    )
    raise ValueError(
        f"ratio: expected to hide one of the {whole} at least and leave one visible, got "
        f"{ratio:g}, which hides {hidden}; {remedy}"
    )
