"""Autoencoders, VAEs and every explicit density around them: train, measure, compare and use.

Names are loaded when they are first used, so that ``import reparam`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from reparam.checkpoint import load, save
    from reparam.comparison import compare
    from reparam.config import TrainConfig
    from reparam.data import Data, Split, load_data
    from reparam.distributions.likelihoods import Bernoulli, DiscretizedLogistic, Normal
    from reparam.distributions.posteriors import DiagonalNormal
    from reparam.distributions.priors import StandardNormal
    from reparam.evaluation import Score, evaluate
    from reparam.model import (
        Codec,
        Density,
        Distribution,
        Generator,
        LatentVariable,
        LogProb,
        Loss,
        Model,
        Space,
        features,
    )
    from reparam.models.autoencoder import Autoencoder
    from reparam.models.objectives import ELBO, Beta
    from reparam.models.pca import PCA
    from reparam.models.vae import VAE
    from reparam.presets import PRESETS, build, preset
    from reparam.train import History, fit, resume

_HOME = {
    "checkpoint": ("load", "save"),
    "comparison": ("compare",),
    "config": ("TrainConfig",),
    "data": ("Data", "Split", "load_data"),
    "distributions.likelihoods": ("Bernoulli", "DiscretizedLogistic", "Normal"),
    "distributions.posteriors": ("DiagonalNormal",),
    "distributions.priors": ("StandardNormal",),
    "evaluation": ("Score", "evaluate"),
    "model": (
        "Codec",
        "Density",
        "Distribution",
        "Generator",
        "LatentVariable",
        "LogProb",
        "Loss",
        "Model",
        "Space",
        "features",
    ),
    "models.autoencoder": ("Autoencoder",),
    "models.objectives": ("ELBO", "Beta"),
    "models.pca": ("PCA",),
    "models.vae": ("VAE",),
    "presets": ("PRESETS", "build", "preset"),
    "train": ("History", "fit", "resume"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = ["__version__", *sorted(_MODULE_OF)]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'reparam' has no attribute {name!r}")
    value = getattr(import_module(f"reparam.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
