"""What every encoder can be asked about its inside; ``inspection`` has what it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from reparam.inspection import Filters, HiddenUnits, Noise, Station


class Inspectable:
    """What every encoder can be asked; those that have it override the answer."""

    def pooled(self, code: Tensor) -> Tensor:
        """Real codes as vectors (B, E): of a grid of them their mean over its places."""
        return code.flatten(2).mean(2) if code.ndim == 4 else code.flatten(1)

    def stack(self) -> tuple[nn.Module, ...]:
        """The layers that make the code, in the order in which x passes them; () of others."""
        return ()

    @property
    def noise(self) -> Noise | None:
        """What ``reconstruct`` was trained to undo; None for a codec trained on x as it is."""
        return None

    def filters(self) -> Filters | None:
        """One picture of weights per entry of the code; None where no single layer has them."""
        return None

    def log_slope(self, x: Tensor, c: Tensor | None = None) -> Tensor | None:
        """log |det ∂code/∂x| of real x, (B,); None where a code has not as many entries."""
        return None

    def stations(self, code: Tensor, c: Tensor | None = None) -> list[Station]:
        """Codes on their way to data, member by member; none where there is but one step."""
        return []

    def hidden_units(self, x: Tensor, c: Tensor | None = None) -> HiddenUnits | None:
        """Activations of the units whose mean a penalty holds; None where none does."""
        return None
