"""What every score means: its title, direction, definition, and why a model may lack it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from reparam.model import Codec, Density, Generator, LatentVariable, Model

Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Column:
    """A column of the score table.

    Args:
        title: what stands above it.
        group: the columns it stands with.
        needs: the ability a model must have; ``Model`` for any.
        definition: one or two sentences.
        better: which direction is better; None where neither is.
        unit: shown with the title; None: the score's own.
        told: whether conditional models lack it, since their codes contain the condition.
    """

    title: str
    group: str
    needs: type
    definition: str
    better: Better | None = None
    unit: str | None = None
    told: bool = False


TOLD = "Not measured: codes of a conditional model already contain the condition"
WITHHELD = (
    "Withheld: the estimate is within a nat of ln M, the most that a mixture of M examples can "
    "show; or not measured"
)
REASONS = (TOLD, WITHHELD)
GIVEN_C = "Conditional models are told the condition of x."
LIKELIHOOD = "How probable the model finds data it has not seen"
COLUMNS = {
    "log_likelihood": Column(
        "Log-likelihood", "Density", Density, f"log p(x): {LIKELIHOOD}.", "higher"
    ),
    "bits_per_dim": Column(
        "Bits/dim",
        "Density",
        Density,
        "−log p(x) / (D ln 2): the bits that a code made with the model needs per entry of x, "
        "real entries that never vary left out.",
        "lower",
    ),
    "conditional_log_likelihood": Column(
        "Log-likelihood given c",
        "Density",
        Density,
        f"log p(x|c): {LIKELIHOOD}, once told c. Not comparable with log p(x).",
        "higher",
    ),
    "conditional_bits_per_dim": Column(
        "Bits/dim given c",
        "Density",
        Density,
        "−log p(x|c) / (D ln 2), once told c. Not comparable with bits/dim of log p(x).",
        "lower",
    ),
    "elbo": Column(
        "ELBO",
        "Latents",
        LatentVariable,
        "Evidence lower bound: minus distortion minus rate, from one draw of z. It lies below "
        "log p(x) by the posterior's misfit KL(q(z|x) ‖ p(z|x)); where the log-likelihood shown is "
        "itself a bound, the gap between the two is the least that the misfit can be.",
        "higher",
    ),
    "conditional_elbo": Column(
        "ELBO given c",
        "Latents",
        LatentVariable,
        "Evidence lower bound on log p(x|c), from one draw of z. Not comparable with one on "
        "log p(x).",
        "higher",
    ),
    "distortion": Column(
        "Distortion",
        "Latents",
        LatentVariable,
        "−log p(x|z), z ~ q(z|x): nats still needed for x once z is known. Traded against rate.",
    ),
    "rate": Column(
        "Rate",
        "Latents",
        LatentVariable,
        "KL(q(z|x) ‖ p(z)): nats of information about x in z. Traded against distortion.",
    ),
    "posterior_gap": Column(
        "Gap",
        "Latents",
        LatentVariable,
        "The log-likelihood shown minus the ELBO, KL(q(z|x) ‖ p(z|x)): where the former is a "
        "bound, the least that this misfit of the posterior can be.",
    ),
    "mutual_information": Column(
        "I(x; z)",
        "Latents",
        LatentVariable,
        "Nats about x in z under q(z|x), q(z) being a mixture of the posteriors of M examples, "
        "2,000 at most: a lower bound of ln M at most, withheld within a nat of it. The rate is "
        "this and KL(q(z) ‖ p(z)).",
        told=True,
    ),
    "aggregate_kl": Column(
        "KL(q(z) ‖ p(z))",
        "Latents",
        LatentVariable,
        "How far the codes of all data lie from the prior that samples are drawn from: the rate "
        "without I(x; z), so that it bounds from above what that bounds from below. The gap "
        "between bound and truth grows with I(x; z): models that differ in it do not compare.",
        told=True,
    ),
    "beta": Column(
        "β",
        "Latents",
        LatentVariable,
        "Weight of the rate relative to the distortion that training ended with, where it was "
        "scheduled, learned or controlled. Every score is unweighted.",
        None,
        "",
    ),
    "active_units": Column(
        "Active units",
        "Latents",
        LatentVariable,
        "Latent dimensions whose posterior mean varies over the data by more than 0.01 "
        "(Burda et al. 2016).",
        told=True,
    ),
    "reconstruction_mse": Column(
        "MSE",
        "Reconstruction",
        Codec,
        "Mean squared error per entry between x and its reconstruction; discrete data are "
        "divided by K − 1 first, columns of real tables by their training deviation. "
        f"{GIVEN_C}",
        "lower",
    ),
    "psnr": Column(
        "PSNR",
        "Reconstruction",
        Codec,
        "Peak signal-to-noise ratio of the reconstruction, 10 log₁₀(peak² / MSE), "
        f"averaged over images. {GIVEN_C}",
        "higher",
    ),
    "sharpness": Column(
        "Sharpness",
        "Reconstruction",
        Codec,
        "Variance of the Laplacian (four neighbors less four times the pixel) of reconstructions, "
        "means as they are, over that of their originals: 1 is as sharp, less is blurred, more has "
        f"edges or noise of its own. 500 images at most. {GIVEN_C}",
    ),
    "linear_probe_accuracy": Column(
        "Linear probe",
        "Representation",
        Codec,
        "Accuracy of logistic regression from codes to labels: fitted on training codes, "
        "measured on unseen ones.",
        "higher",
        "accuracy",
        told=True,
    ),
    "neighbor_overlap": Column(
        "Neighbors kept",
        "Representation",
        Codec,
        "Of the 10 nearest neighbors of each example in the data, how many are among its 10 "
        "nearest in code space (Lee & Verleysen 2009), among 1,000 examples at most; Euclidean "
        "distances, columns of real tables in training deviations.",
        "higher",
        told=True,
    ),
    "frechet_distance": Column(
        "Fréchet distance",
        "Samples",
        Generator,
        "Distance between the mean and covariance of features of data and of as many samples "
        "(5,000 at most). Features of a fixed random network: compare within this page only, "
        "these are not Inception's. Its floor is what training data score in place of samples, and "
        "falls as 1/n; fewer rows than twice the features are not measured.",
        "lower",
        "features²",
    ),
    "kernel_distance": Column(
        "Kernel distance",
        "Samples",
        Generator,
        "Unbiased squared maximum mean discrepancy of the same features, with the cubic kernel "
        "(x·y/F + 1)³ (Bińkowski et al. 2018): 0 on average where samples are of the law of the "
        "data, so that it may be negative.",
        "lower",
        "",
    ),
    "sample_precision": Column(
        "Precision",
        "Samples",
        Generator,
        "Share of samples within the manifold of the data: balls around all rows in feature space, "
        "each as large as the distance to its third nearest (Kynkäänniemi et al. 2019). How "
        "plausible samples are; real data do not reach 1 either.",
        "higher",
        "",
    ),
    "sample_recall": Column(
        "Recall",
        "Samples",
        Generator,
        "Share of the data within the manifold of as many samples, made in the same way: how much "
        "of the variety of the data is there. Real data do not reach 1 either.",
        "higher",
        "",
    ),
    "sample_sharpness": Column(
        "Sample sharpness",
        "Samples",
        Generator,
        "Variance of the Laplacian of samples over that of data: 1 is as sharp, less is blurred, "
        "more has edges or noise of its own.",
    ),
    "nearest_training": Column(
        "Nearest training",
        "Samples",
        Generator,
        "Mean distance of samples to their nearest training example over that of unseen data to "
        "theirs, 500 of each at most; Euclidean, columns of real tables in training deviations. "
        "Copies have 0, and noise lies above 1. Below 1 alone says little: what is smooth or "
        "average, as the mean of a class, is near many examples without being a copy of any.",
    ),
    "near_copies": Column(
        "Near copies",
        "Samples",
        Generator,
        "Share of samples that are nearer to a training example than all but a hundredth of unseen "
        "data are: 1 % on average where samples are as far as unseen data, less where distances "
        "are often equal, all of them where training examples are repeated. It takes 99 rows.",
        None,
        "",
    ),
    "label_entropy": Column(
        "Label entropy",
        "Samples",
        Generator,
        "Entropy of the classes of samples, as logistic regression on features of the training "
        "data sees them: less than that of the labels where classes are missing or rare. It takes "
        "five rows for every class.",
    ),
    "samples_per_second": Column(
        "Speed", "Samples", Generator, "Draws x ~ p(x) per second on this computer.", "higher"
    ),
    "parameters": Column(
        "Parameters", "Cost", Model, "Numbers that the model took from the training data.", None, ""
    ),
    "train_seconds": Column(
        "Training", "Cost", Model, "Wall-clock time of training on this computer.", "lower"
    ),
}


def column(name: str) -> Column:
    """The column of a score; one that is not known yet shows its own name.

    >>> column("precision_at_5").title
    'Precision at 5'
    """
    title = name.replace("_", " ").capitalize()
    return COLUMNS.get(name) or Column(title, "Other", Model, title + ".")


def order(name: str) -> int:
    """Where a score stands from left to right."""
    names = list(COLUMNS)
    return names.index(name) if name in COLUMNS else len(names)


def why_absent(model: Model, name: str) -> str:
    """Why a model has no such score, in a sentence."""
    about = column(name)
    of_likelihood = about.needs is Density or name.endswith("elbo")
    if not isinstance(model, about.needs):
        return _lacks(model, about.needs)
    if of_likelihood and name.startswith("conditional_") != model.conditional:
        return "This model " + ("uses" if model.conditional else "does not use") + " conditions"
    if about.told and model.conditional:
        return TOLD
    if name in ("mutual_information", "aggregate_kl"):
        layered = isinstance(model, LatentVariable) and model.layers
        return "Not measured for hierarchies" if layered else WITHHELD
    return "Not measured for this model"


def left_out(model: Model, names: Collection[str]) -> list[str]:
    """Which scores were deliberately not measured, or withheld, and why; often none.

    Args:
        model: that was measured.
        names: of the scores that it has.

    >>> from reparam.model import Space
    >>> from reparam.presets import build
    >>> left_out(build("pca", Space((9,), "real"), latent_dim=2), ["log_likelihood"])
    []
    """
    absent = {name: why_absent(model, name) for name in COLUMNS if name not in names}
    by_reason = {reason: [n for n, why in absent.items() if why == reason] for reason in REASONS}
    return [f"{why} ({', '.join(found)})" for why, found in by_reason.items() if found]


def _lacks(model: Model, needs: type) -> str:
    """What a model is not, for which a score is defined."""
    if needs is Density:
        what = "A plain autoencoder" if not isinstance(model, Generator) else "This generator"
        return f"{what} has no likelihood"
    if needs is LatentVariable:
        return "Defined for models with q(z|x) and p(z) only"
    if needs is Codec:
        return "This model has no codes, so it reconstructs nothing"
    return "This model does not generate"
