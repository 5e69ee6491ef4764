from .checkpoint import load, save
from .comparison import compare
from .config import TrainConfig
from .data import Data, Split, load_data
from .distributions.conditionals import ConditionalNormal
from .distributions.likelihoods import (
    Bernoulli,
    Categorical,
    DiscretizedLogistic,
    DiscretizedNormal,
    Normal,
)
from .distributions.posteriors import DiagonalNormal
from .distributions.priors import StandardNormal
from .edit import classify, interpolate, traverse
from .evaluation import Score, evaluate
from .inspection import Noise
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
from .models.autoregressive import Autoregressive
from .models.controllers import Controlled, DynamicControlled
from .models.corruptions import GaussianNoise, Masking, SaltAndPepper
from .models.learned_weights import DimensionwiseLearnedWeights, LearnedWeights
from .models.mixture import GaussianMixture
from .models.objectives import ELBO, IWAE, DReG
from .models.pca import PCA
from .models.penalties import Contraction, Sparsity
from .models.two_stage import TwoStage
from .models.vae import VAE
from .models.weightings import Beta, Capacity, FreeBits, Schedule
from .nets.masked import MADE, NADE
from .nets.pixelcnn import GatedPixelCNN, PixelCNN
from .nets.sparse import KSparse, Tied
from .presets import PRESETS, build, preset
from .train import History, fit, resume

__version__: str

__all__ = [
    "Autoencoder",
    "Autoregressive",
    "Bernoulli",
    "Beta",
    "Capacity",
    "Categorical",
    "Codec",
    "ConditionalNormal",
    "Contraction",
    "Controlled",
    "DReG",
    "Data",
    "Density",
    "DiagonalNormal",
    "DimensionwiseLearnedWeights",
    "DiscretizedLogistic",
    "DiscretizedNormal",
    "Distribution",
    "DynamicControlled",
    "ELBO",
    "FreeBits",
    "GaussianMixture",
    "GaussianNoise",
    "GatedPixelCNN",
    "Generator",
    "History",
    "IWAE",
    "KSparse",
    "LatentVariable",
    "LearnedWeights",
    "LogProb",
    "Loss",
    "MADE",
    "Masking",
    "Model",
    "NADE",
    "Noise",
    "Normal",
    "PCA",
    "PRESETS",
    "PixelCNN",
    "SaltAndPepper",
    "Schedule",
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
    "classify",
    "compare",
    "evaluate",
    "features",
    "fit",
    "interpolate",
    "load",
    "load_data",
    "preset",
    "resume",
    "save",
    "traverse",
]
