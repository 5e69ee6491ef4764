from .bijections.base import Bijection, Chain, Inverse
from .bijections.masked_affine import MaskedAffine
from .bijections.planar import Planar, Radial
from .bijections.shape import Reverse
from .checkpoint import load, save
from .comparison import compare
from .config import TrainConfig
from .data import Data, Split, load_data
from .distributions.autoregressive_likelihood import AutoregressiveLikelihood
from .distributions.channel_mixture import ChannelMixture
from .distributions.hierarchies import (
    BottomUpPosterior,
    LadderPosterior,
    LayeredPrior,
    ResidualPosterior,
)
from .distributions.likelihoods import (
    Bernoulli,
    Categorical,
    ConditionalNormal,
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
    Encoder,
    Generator,
    LatentVariable,
    LogProb,
    Loss,
    Model,
    Space,
)
from .models.autoencoder import Autoencoder
from .models.autoregressive import Autoregressive
from .models.gaussian_mixture import GaussianMixture
from .models.pca import PCA
from .models.two_stage import TwoStage
from .models.vae import VAE
from .nets.hierarchy import BottomUp, FinestDecoder, LadderEncoder, TopDown
from .nets.masked import MADE, NADE
from .nets.pixelcnn import GatedPixelCNN, PixelCNN
from .nets.pixelcnnpp import PixelCNNPlusPlus
from .nets.pixelrnn import PixelRNN
from .nets.sparse import KSparse, Tied
from .nets.transformer import CausalTransformer
from .nets.very_deep import DeepDecoder, DeepEncoder, DeepEvidence, DeepTopDown
from .objectives.bounds import ELBO, IWAE, DReG
from .objectives.code_penalties import Contraction, Sparsity
from .objectives.controllers import IncrementalPIController, PIController
from .objectives.corruptions import GaussianNoise, Masking, SaltAndPepper
from .objectives.latent_penalties import DIP, MMD, CriticTotalCorrelation, TotalCorrelation
from .objectives.learned_weights import DimensionwiseLearnedWeights, LearnedWeights
from .objectives.weightings import Beta, Capacity, FreeBits, Schedule
from .presets import PRESETS, build, preset
from .train import History, fit, resume

__version__: str

__all__ = [
    "Autoencoder",
    "Autoregressive",
    "AutoregressiveLikelihood",
    "AutoregressivePrior",
    "Bernoulli",
    "Beta",
    "Bijection",
    "BottomUp",
    "BottomUpPosterior",
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
    "CriticTotalCorrelation",
    "DIP",
    "DReG",
    "Data",
    "DeepDecoder",
    "DeepEncoder",
    "DeepEvidence",
    "DeepTopDown",
    "Density",
    "DiagonalNormal",
    "DimensionwiseLearnedWeights",
    "DiscretizedLogistic",
    "DiscretizedNormal",
    "Distribution",
    "ELBO",
    "Encoder",
    "Filters",
    "FinestDecoder",
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
    "IncrementalPIController",
    "Inverse",
    "KSparse",
    "LadderEncoder",
    "LadderPosterior",
    "LatentVariable",
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
    "PIController",
    "PRESETS",
    "PixelCNN",
    "PixelCNNPlusPlus",
    "PixelRNN",
    "Planar",
    "Radial",
    "ResidualPosterior",
    "Reverse",
    "SaltAndPepper",
    "Schedule",
    "Score",
    "Space",
    "Sparsity",
    "Split",
    "StandardNormal",
    "Tied",
    "TopDown",
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
