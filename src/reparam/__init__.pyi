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
from .inspection import Filters, HiddenUnits, Noise
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
from .models.corruptions import GaussianNoise, Masking, SaltAndPepper
from .models.mixture import GaussianMixture
from .models.objectives import ELBO, IWAE, Beta, DReG
from .models.pca import PCA
from .models.penalties import Contraction, Sparsity
from .models.two_stage import TwoStage
from .models.vae import VAE
from .nets.sparse import KSparse, Tied
from .presets import PRESETS, build, preset
from .train import History, fit, resume

__version__: str

__all__ = [
    "Autoencoder",
    "Bernoulli",
    "Beta",
    "Categorical",
    "Codec",
    "Contraction",
    "DReG",
    "Data",
    "Density",
    "DiagonalNormal",
    "DiscretizedLogistic",
    "DiscretizedNormal",
    "Distribution",
    "ELBO",
    "Filters",
    "GaussianMixture",
    "GaussianNoise",
    "Generator",
    "HiddenUnits",
    "History",
    "IWAE",
    "KSparse",
    "LatentVariable",
    "LogProb",
    "Loss",
    "Masking",
    "Model",
    "Noise",
    "Normal",
    "PCA",
    "PRESETS",
    "SaltAndPepper",
    "Score",
    "Space",
    "Sparsity",
    "Split",
    "StandardNormal",
    "Tied",
    "TrainConfig",
    "TwoStage",
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
