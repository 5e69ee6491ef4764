"""Every score: what it is called, counts and means, and how it is judged.

A new score is entered here, and nowhere else: tables, headlines and findings read it. Nothing but
the terms is imported, so that a command line can.
"""

from __future__ import annotations

from dataclasses import replace

from reparam.measures_of_factors import FACTORS
from reparam.measures_of_restoring import HIDDEN, RESTORATION
from reparam.score_columns import Measure as Measure

GIVEN_C = "Conditional models are told the condition of x."
LIKELIHOOD = "How probable the model finds data it has not seen"
MIXED = (
    "Of mixed data it is a density in the real columns and a probability in the others, over the "
    "cells that are there: values compare on the same columns and cells only."
)
FILE = (
    "Bits of a file of which a decoder has made the same x, headers included, names left out, over "
    "the entries of x: a length, no log-probability."
)
DISTANCES = (
    "Euclidean, columns of tables in training deviations, flags 0 or 1, names one-hot over √2, "
    "missing cells as the training mean or most frequent value."
)
SCORES: dict[str, Measure] = {
    "log_likelihood": Measure(
        "Log-likelihood",
        "Density",
        f"log p(x): {LIKELIHOOD}. {MIXED}",
        "higher",
        headline="log p(x)\nnats",
        claim="has the highest log-likelihood",
    ),
    "bits_per_dim": Measure(
        "Bits/dim",
        "Density",
        "−log p(x) / (D ln 2): the bits that a code made with the model needs per entry of x, "
        "real entries that never vary left out. Mixed data have none: bits of densities, of names "
        "and of flags are not of one kind.",
        "lower",
    ),
    "coded_bits_per_dim": Measure(
        "Bits/dim of a file",
        "Density",
        f"{FILE} Beside bits/dim it says what coding costs beyond it, and whether that number can "
        "be true: of a likelihood with a wrong sign, measure or sum there is no such file.",
        "lower",
    ),
    "regret": Measure(
        "Regret",
        "Density",
        "log p*(x) − log p(x), p* the density that the data were drawn of: the nats that an "
        "example costs for not knowing it. On average it is KL(p* ‖ p), 0 at best; on finitely "
        "many examples chance may bring it below 0. Its error is that of the difference example "
        "by example. Where log p(x) is a lower bound, this is an upper one.",
        "lower",
        headline="regret\nnats",
    ),
    "log_partition": Measure(
        "log Z",
        "Density",
        "The constant by which a density that is known up to it is normalized. By annealed "
        "importance sampling Ẑ is right on average, so that log Ẑ is too low on average and log "
        "p(x) too high: an estimate, no bound. Its error is that of the spread over runs.",
    ),
    "partition_effective_samples": Measure(
        "Effective runs",
        "Density",
        "(Σ w)² / Σ w² of the weights of the runs by which log Z was estimated: few of many say "
        "that it rests on few of them, and that its error may be larger than it seems.",
    ),
    "conditional_log_likelihood": Measure(
        "Log-likelihood given c",
        "Density",
        f"log p(x|c): {LIKELIHOOD}, once told c. Not comparable with log p(x). {MIXED}",
        "higher",
        headline="log p(x|c)\nnats",
        claim="has the highest log-likelihood given the condition",
    ),
    "conditional_bits_per_dim": Measure(
        "Bits/dim given c",
        "Density",
        "−log p(x|c) / (D ln 2), once told c. Not comparable with bits/dim of log p(x).",
        "lower",
    ),
    "conditional_coded_bits_per_dim": Measure(
        "Bits/dim of a file given c",
        "Density",
        f"{FILE} Who reads it is given c. Not comparable with bits/dim of a file without it.",
        "lower",
    ),
    "elbo": Measure(
        "ELBO",
        "Latents",
        "Evidence lower bound: minus distortion minus rate, from one draw of z. It lies below "
        "log p(x) by the posterior's misfit KL(q(z|x) ‖ p(z|x)); where the log-likelihood shown is "
        "itself a bound, the gap between the two is the least that the misfit can be.",
        "higher",
    ),
    "conditional_elbo": Measure(
        "ELBO given c",
        "Latents",
        "Evidence lower bound on log p(x|c), from one draw of z. Not comparable with one on "
        "log p(x).",
        "higher",
    ),
    "distortion": Measure(
        "Distortion",
        "Latents",
        "−log p(x|z), z ~ q(z|x): nats still needed for x once z is known. Traded against rate.",
    ),
    "rate": Measure(
        "Rate",
        "Latents",
        "KL(q(z|x) ‖ p(z)): nats of information about x in z. Traded against distortion.",
    ),
    "posterior_gap": Measure(
        "Gap",
        "Latents",
        "The log-likelihood shown minus the ELBO, KL(q(z|x) ‖ p(z|x)): where the former is a "
        "bound, the least that this misfit of the posterior can be.",
    ),
    "mutual_information": Measure(
        "I(x; z)",
        "Latents",
        "Nats about x in z under q(z|x), q(z) being a mixture of the posteriors of M examples, "
        "2,000 at most: a lower bound of ln M at most, withheld within a nat of it. The rate is "
        "this and KL(q(z) ‖ p(z)).",
        told=True,
    ),
    "aggregate_kl": Measure(
        "KL(q(z) ‖ p(z))",
        "Latents",
        "How far the codes of all data lie from the prior that samples are drawn from: the rate "
        "without I(x; z), so that it bounds from above what that bounds from below. The gap "
        "between bound and truth grows with I(x; z): models that differ in it do not compare.",
        told=True,
    ),
    "beta": Measure(
        "β",
        "Latents",
        "Weight of the rate relative to the distortion that training ended with, where it was "
        "scheduled, learned or controlled. Every score is unweighted.",
        None,
        "",
    ),
    "active_units": Measure(
        "Active units",
        "Latents",
        "Latent dimensions whose posterior mean varies over the data by more than 0.01 "
        "(Burda et al. 2016).",
        told=True,
        form="whole",
    ),
    "codes_in_use": Measure(
        "Codes in use",
        "Index codes",
        "How many of all K codes occur among the codes of the split; of several codebooks, one for "
        "each grid and level of depth, in all of them together.",
        None,
        "codes",
        form="whole",
    ),
    "perplexity": Measure(
        "Perplexity",
        "Index codes",
        "exp(H), H the entropy of the frequencies of the indices: how many equally frequent codes "
        "would be as uncertain. K at most; under a tenth of it the codebook has collapsed. Of "
        "several codebooks H is the mean over all indices.",
        None,
        "codes",
    ),
    "code_bits": Measure(
        "Code",
        "Index codes",
        "N log₂ K: bits of N indices of K codes as they are, which is their rate under a uniform "
        "prior.",
        None,
    ),
    "prior_bits": Measure(
        "Code under p(z)",
        "Index codes",
        "−log₂ p(z) of the indices of an example: the bits that a code made with the prior needs "
        "for them. They grow with the perplexity as well: few bits alone may be a collapse.",
        None,
    ),
    "reconstruction_mse": Measure(
        "MSE",
        "Reconstruction",
        "Mean squared error per entry between x and its reconstruction; discrete data are "
        "divided by K − 1 first, columns of real tables by their training deviation. Of mixed data "
        "it is per cell that is there: numbers in training deviations, flags 0 or 1, another name "
        f"an error of 1. {GIVEN_C}",
        "lower",
        headline="error\nMSE",
        claim="reconstructs best, by mean squared error",
    ),
    "psnr": Measure(
        "PSNR",
        "Reconstruction",
        "Peak signal-to-noise ratio of the reconstruction, 10 log₁₀(peak² / MSE), "
        f"averaged over images. {GIVEN_C}",
        "higher",
    ),
    "sharpness": Measure(
        "Sharpness",
        "Reconstruction",
        "Variance of the Laplacian (four neighbors less four times the pixel) of reconstructions, "
        "means as they are, over that of their originals: 1 is as sharp, less is blurred, more has "
        f"edges or noise of its own. 500 images at most. {GIVEN_C}",
    ),
    **HIDDEN,
    **RESTORATION,
    "accuracy": Measure(
        "Accuracy",
        "Classification",
        "Share of unseen examples whose label is the class that the model finds most probable.",
        "higher",
        "accuracy",
        headline="accuracy",
        claim="tells the most labels",
        form="share",
    ),
    "label_cross_entropy": Measure(
        "Cross-entropy of labels",
        "Classification",
        "−log p(y|x) of the labels of unseen examples: ln K where nothing is known of K equally "
        "frequent classes. It is no likelihood of x.",
        "lower",
    ),
    "linear_probe_accuracy": Measure(
        "Linear probe",
        "Representation",
        "Accuracy of logistic regression from codes to labels: fitted on training codes, "
        "measured on unseen ones.",
        "higher",
        "accuracy",
        told=True,
        headline="probe\naccuracy",
        claim="has the codes from which labels are read best",
        form="share",
    ),
    "pooled_probe_accuracy": Measure(
        "Linear probe of the pooled code",
        "Representation",
        "Accuracy of logistic regression from codes, each averaged over the places of its grid, to "
        "labels; the linear probe reads all places.",
        "higher",
        "accuracy",
        told=True,
        form="share",
    ),
    "neighbor_overlap": Measure(
        "Neighbors kept",
        "Representation",
        "Of the 10 nearest neighbors of each example in the data, how many are among its 10 "
        "nearest in code space (Lee & Verleysen 2009), among 1,000 examples at most. Distances in "
        f"the data: {DISTANCES}",
        "higher",
        told=True,
        form="share",
    ),
    "frechet_distance": Measure(
        "Fréchet distance",
        "Samples",
        "Distance between the mean and covariance of features of data and of as many samples "
        "(5,000 at most). Features of a fixed random network: compare within this page only, "
        "these are not Inception's. Its floor is what training data score in place of samples, and "
        "falls as 1/n; fewer rows than twice the features are not measured.",
        "lower",
        "features²",
        headline="Fréchet\ndistance",
        claim="has the smallest Fréchet distance between samples and data",
    ),
    "kernel_distance": Measure(
        "Kernel distance",
        "Samples",
        "Unbiased squared maximum mean discrepancy of the same features, with the cubic kernel "
        "(x·y/F + 1)³ (Bińkowski et al. 2018): 0 on average where samples are of the law of the "
        "data, so that it may be negative.",
        "lower",
        "",
    ),
    "sample_precision": Measure(
        "Precision",
        "Samples",
        "Share of samples within the manifold of the data: balls around all rows in feature space, "
        "each as large as the distance to its third nearest (Kynkäänniemi et al. 2019). How "
        "plausible samples are; real data do not reach 1 either.",
        "higher",
        "",
    ),
    "sample_recall": Measure(
        "Recall",
        "Samples",
        "Share of the data within the manifold of as many samples, made in the same way: how much "
        "of the variety of the data is there. Real data do not reach 1 either.",
        "higher",
        "",
    ),
    "sample_sharpness": Measure(
        "Sample sharpness",
        "Samples",
        "Variance of the Laplacian of samples over that of data: 1 is as sharp, less is blurred, "
        "more has edges or noise of its own.",
    ),
    "nearest_training": Measure(
        "Nearest training",
        "Samples",
        "Mean distance of samples to their nearest training example over that of unseen data to "
        f"theirs, 500 of each at most. {DISTANCES} "
        "Copies have 0, and noise lies above 1. Below 1 alone says little: what is smooth or "
        "average, as the mean of a class, is near many examples without being a copy of any.",
    ),
    "near_copies": Measure(
        "Near copies",
        "Samples",
        "Share of samples that are nearer to a training example than all but a hundredth of unseen "
        "data are: 1 % on average where samples are as far as unseen data, less where distances "
        "are often equal, all of them where training examples are repeated. It takes 99 rows.",
        None,
        "",
    ),
    "label_entropy": Measure(
        "Label entropy",
        "Samples",
        "Entropy of the classes of samples, as logistic regression on features of the training "
        "data sees them: less than that of the labels where classes are missing or rare. It takes "
        "five rows for every class.",
    ),
    "samples_per_second": Measure(
        "Speed",
        "Samples",
        "Draws x ~ p(x) per second on this computer.",
        "higher",
        form="whole",
    ),
    "shifted_auroc": Measure(
        "AUROC of −log p",
        "Out of distribution",
        "How often an image of another set has a lower log p(x) than a test image, ties counted "
        "half: 1 where log p(x) tells all of them from test images, 0 where it prefers each.",
        unit="",
    ),
    "typicality_auroc": Measure(
        "AUROC of typicality",
        "Out of distribution",
        "The same of |log p(x) − m|, m the mean of validation images: data have a log p(x) near "
        "their mean, and what lies far above it is as unlike them as what lies far below "
        "(Nalisnick et al. 2019). Other images may have the same log p(x): it fails there too.",
        unit="",
    ),
    **FACTORS,
    "parameters": Measure(
        "Parameters",
        "Cost",
        "Numbers that the model took from the training data.",
        unit="",
        form="whole",
    ),
    "train_seconds": Measure(
        "Training",
        "Cost",
        "Wall-clock time of training on this computer.",
        "lower",
        headline="training\nseconds",
    ),
}
HEADLINES = {name: about.headline for name, about in SCORES.items() if about.headline}
CLAIMS = {name: about.claim for name, about in SCORES.items() if about.claim}


def measure(name: str) -> Measure:
    """What a score is; that of a layer is the model's, one that is not known shows its own name.

    >>> measure("rate_layer_2").title, measure("precision_at_5").title
    ('Rate, layer 2', 'Precision at 5')
    """
    whole, _, layer = name.partition("_layer_")
    if layer and whole in SCORES:
        return replace(SCORES[whole], title=f"{SCORES[whole].title}, layer {layer}")
    title = name.replace("_", " ").capitalize()
    return SCORES.get(name) or Measure(title, "Other", title + ".")
