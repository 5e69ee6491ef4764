from .checkpoint import load, save
from .comparison import compare
from .config import TrainConfig
from .data import Data, Split, load_data
from .distributions.likelihoods import (
    Bernoulli,
    Categorical,
    DiscretizedLogistic,
    DiscretizedNormal,
    Normal,
)
from .distributions.posteriors import DiagonalNormal
from .distributions.priors import StandardNormal
from .evaluation import Score, evaluate
from .model import (
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
from .models.autoencoder import Autoencoder
from .models.objectives import ELBO, IWAE, Beta, DReG
from .models.pca import PCA
from .models.vae import VAE
from .presets import PRESETS, build, preset
from .train import History, fit, resume

__version__: str

__all__ = [
    "Autoencoder",
    "Bernoulli",
    "Beta",
    "Categorical",
    "Codec",
    "Data",
    "Density",
    "DReG",
    "DiagonalNormal",
    "DiscretizedLogistic",
    "DiscretizedNormal",
    "Distribution",
    "ELBO",
    "Generator",
    "History",
    "IWAE",
    "LatentVariable",
    "LogProb",
    "Loss",
    "Model",
    "Normal",
    "PCA",
    "PRESETS",
    "Score",
    "Space",
    "Split",
    "StandardNormal",
    "TrainConfig",
    "VAE",
    "build",
    "compare",
    "evaluate",
    "features",
    "fit",
    "load",
    "load_data",
    "preset",
    "resume",
    "save",
]
