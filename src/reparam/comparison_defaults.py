"""What a comparison trains where no models are asked for, and which of it the data do not allow."""

from __future__ import annotations

from reparam.model import Space
from reparam.presets import find_preset

# Every family, with a small code and a larger one; and what is exact where no cell is missing.
DEFAULT_PRESETS, DEFAULT_CODES, EXACT = ("pca", "ae", "vae"), (2, 16), "made"


def default_models(space: Space, rows: int | None = None, counted: int | None = None) -> list[str]:
    """Every default preset with codes smaller than x and, where PCA asks for it, than the data.

    Those that do not take such data are left out (``refused_defaults``). Mixed data have ``made``
    as well: else no density among them would be exact, as it is where no cell is missing.

    Args:
        space: what x is.
        rows: how many training examples there are, where that is known.
        counted: how many entries of x are no constants, where that is known.

    >>> default_models(Space((3,), "real"))[:2]
    ['pca latent_dim=2 standardize=true', 'ae latent_dim=2']
    >>> default_models(Space((9,), "binary"), rows=5)[:3]
    ['pca latent_dim=2', 'pca latent_dim=3', 'ae latent_dim=2']
    >>> from reparam.model import Column
    >>> columns = (Column("age", "levels", 90), Column("city", "category", 3))
    >>> default_models(Space((2,), "mixed", columns=columns))
    ['ae latent_dim=1', 'vae latent_dim=1', 'made']
    """
    chosen = []
    for name in DEFAULT_PRESETS:
        if find_preset(name).accepts.refusal(space) is not None:
            continue
        most = (counted or space.dimension) - 1
        if name == "pca" and rows is not None:  # n − 1 components would leave no noise at all
            most = min(most, rows - 2)
        codes = sorted({min(code, most) for code in DEFAULT_CODES if min(code, most) > 0})
        codes = codes if name == "pca" else codes or [1]
        # Columns of tables come in all units, as those of images do not.
        scaled = " standardize=true" if name == "pca" and space.has_reals else ""
        chosen += [f"{name} latent_dim={code}{scaled}" for code in codes]
    return [*chosen, EXACT] if space.columns else chosen


def refused_defaults(space: Space) -> tuple[str, ...]:
    """Which default presets do not take such data, and why, a note each; often none.

    >>> from reparam.model import Column
    >>> city = Column("city", "category", 3)
    >>> refused_defaults(Space((1,), "mixed", columns=(city,)))[0][:40]
    'Left out of the default models: pca, for'
    """
    refusals = {name: find_preset(name).accepts.refusal(space) for name in DEFAULT_PRESETS}
    named = "Left out of the default models: {}, for {}."
    return tuple(named.format(name, why) for name, why in refusals.items() if why is not None)
