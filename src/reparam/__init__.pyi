from .bijections.autoregressive import MaskedAffine
from .bijections.base import Bijection, Chain, Inverse
from .bijections.planar import Planar, Radial
from .bijections.shape import Reverse
from .checkpoint import load, save
from .comparison import compare
from .config import TrainConfig
from .data import Data, Split, load_data
from .distributions.autoregressive import AutoregressiveLikelihood
from .distributions.channel_mixture import ChannelMixture
from .distributions.conditionals import ConditionalNormal
from .distributions.deep_layers import DeepDecoder, DeepDescent, DeepEncoder, DeepPosterior
from .distributions.layers import (
    Ascent,
    Descent,
    LadderDescent,
    LadderEvidence,
    LayeredPosterior,
    LayeredPrior,
)
from .distributions.likelihoods import (
    Bernoulli,
    Categorical,
    DiscretizedLogistic,
    DiscretizedNormal,
    HeteroscedasticNormal,
    Normal,
)
from .distributions.posteriors import (
    DiagonalNormal,
    FlowPosterior,
    FullNormal,
    GumbelSoftmax,
    NormalMixture,
)
from .distributions.priors import (
    AutoregressivePrior,
    ClassConditional,
    FlowPrior,
    MixturePrior,
    StandardNormal,
    UniformOneHot,
    VampPrior,
)
from .editing import classify, interpolate, traverse, variations
from .evaluation import Score, evaluate, reference_scores
from .evaluation.annealing import annealed_log_prob
from .inspection import Filters, HiddenUnits, Noise
from .model import (
    Codec,
    Completer,
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
from .models.mixture import GaussianMixture
from .models.pca import PCA
from .models.two_stage import TwoStage
from .models.vae import VAE
from .nets.masked import MADE, NADE
from .nets.pixelcnn import GatedPixelCNN, PixelCNN
from .nets.pixelcnnpp import PixelCNNPlusPlus
from .nets.pixelrnn import PixelRNN
from .nets.sparse import KSparse, Tied
from .nets.transformer import CausalTransformer
from .objectives.bounds import ELBO, IWAE, DReG
from .objectives.code_penalties import Contraction, Sparsity
from .objectives.controllers import Controlled, DynamicControlled
from .objectives.corruptions import GaussianNoise, Masking, SaltAndPepper
from .objectives.latent_penalties import DIP, MMD, CriticTotalCorrelation, TotalCorrelation
from .objectives.learned_weights import DimensionwiseLearnedWeights, LearnedWeights
from .objectives.weightings import Beta, Capacity, FreeBits, Schedule
from .presets import PRESETS, build, preset
from .train import History, fit, resume

__version__: str

__all__ = [
    "Ascent",
    "Autoencoder",
    "Autoregressive",
    "AutoregressiveLikelihood",
    "AutoregressivePrior",
    "Bernoulli",
    "Beta",
    "Bijection",
    "Capacity",
    "Categorical",
    "CausalTransformer",
    "Chain",
    "ChannelMixture",
    "ClassConditional",
    "Codec",
    "Completer",
    "ConditionalNormal",
    "Contraction",
    "Controlled",
    "CriticTotalCorrelation",
    "DIP",
    "DReG",
    "Data",
    "DeepDecoder",
    "DeepDescent",
    "DeepEncoder",
    "DeepPosterior",
    "Density",
    "Descent",
    "DiagonalNormal",
    "DimensionwiseLearnedWeights",
    "DiscretizedLogistic",
    "DiscretizedNormal",
    "Distribution",
    "DynamicControlled",
    "ELBO",
    "Filters",
    "FlowPosterior",
    "FlowPrior",
    "FreeBits",
    "FullNormal",
    "GatedPixelCNN",
    "GaussianMixture",
    "GaussianNoise",
    "Generator",
    "GumbelSoftmax",
    "HeteroscedasticNormal",
    "HiddenUnits",
    "History",
    "IWAE",
    "Inverse",
    "KSparse",
    "LadderDescent",
    "LadderEvidence",
    "LatentVariable",
    "LayeredPosterior",
    "LayeredPrior",
    "LearnedWeights",
    "LogProb",
    "Loss",
    "MADE",
    "MMD",
    "MaskedAffine",
    "Masking",
    "MixturePrior",
    "Model",
    "NADE",
    "Noise",
    "Normal",
    "NormalMixture",
    "PCA",
    "PRESETS",
    "PixelCNN",
    "PixelCNNPlusPlus",
    "PixelRNN",
    "Planar",
    "Radial",
    "Reverse",
    "SaltAndPepper",
    "Schedule",
    "Score",
    "Space",
    "Sparsity",
    "Split",
    "StandardNormal",
    "Tied",
    "TotalCorrelation",
    "TrainConfig",
    "TwoStage",
    "UniformOneHot",
    "VAE",
    "VampPrior",
    "annealed_log_prob",
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
    "reference_scores",
    "resume",
    "save",
    "traverse",
    "variations",
]
