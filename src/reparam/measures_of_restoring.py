"""The scores of restorations, as ``measures`` has them."""

from __future__ import annotations

from reparam.score_columns import Measure

RESTORED = "Of 100 examples at most, 19 draws of each."
HIDDEN: dict[str, Measure] = {
    "hidden_mse": Measure(
        "Hidden MSE",
        "Hidden patches",
        "Mean squared error per hidden entry between x and its prediction from what is visible, at "
        "the share hidden in training; discrete data are divided by K − 1 first, columns of real "
        "tables by their training deviation. What is visible does not count.",
        "lower",
        headline="hidden\nMSE",
    ),
    "hidden_mse_of_mean": Measure(
        "MSE of the mean",
        "Hidden patches",
        "The same of the training mean of each hidden entry: what is to be beaten without a look "
        "at the example.",
    ),
    "hidden_mse_of_regression": Measure(
        "MSE of regression",
        "Hidden patches",
        "The same of the best linear prediction from what is visible, E(x_h|x_v) of a Gaussian "
        "with the training mean and covariance (with Ledoit and Wolf's ridge): a map of its own "
        "for each mask. Of few examples where x is large, and of none above 2048 entries.",
    ),
}
RESTORATION: dict[str, Measure] = {
    "restoration_mse": Measure(
        "MSE of draws",
        "Restoration",
        "Mean squared error per entry between x and a draw of it given what is left of it, y; "
        "discrete data are divided by K − 1 first. "
        f"{RESTORED} Draws of the true p(x|y) have twice the error of its mean.",
        "lower",
    ),
    "restoration_mean_mse": Measure(
        "MSE of the mean",
        "Restoration",
        "The same of the mean of 19 draws, which approximates E[x|y], the least error there is: "
        f"of true draws it is 1 + 1/19 times that. {RESTORED}",
        "lower",
        headline="restored\nMSE",
        claim="restores best, by mean squared error",
    ),
    "restoration_psnr": Measure(
        "PSNR of draws",
        "Restoration",
        "10 log₁₀(peak² / MSE) of each draw, averaged over draws and images; the peak is the "
        f"largest value, of real images the range of the training data. {RESTORED}",
        "higher",
    ),
    "restoration_mean_psnr": Measure(
        "PSNR of the mean",
        "Restoration",
        f"The same of the mean of 19 draws, averaged over images. {RESTORED}",
        "higher",
    ),
    "consistency": Measure(
        "Consistency",
        "Restoration",
        "‖A x̂ − y‖² per entry of y, x̂ a draw and A what made y of x: 0 where a draw explains what "
        "was given. Discrete data are divided by K − 1 first.",
        "lower",
    ),
    "spread": Measure(
        "Spread",
        "Restoration",
        "Standard deviation of the draws of an example: the root of the mean variance over the "
        "entries that y does not say. Of draws that are as unsure as they are wrong its square is "
        "19/20 of the error of their mean over the same entries.",
    ),
    "coverage": Measure(
        "Coverage",
        "Restoration",
        "Share of the entries that y does not say which lie within the middle 90 % of 19 draws, "
        "equal values in an order drawn by chance: 90 % on average where draws are of p(x|y), less "
        "where they are too sure, more where they are too unsure.",
        form="share",
    ),
    "color_mse": Measure(
        "Color of draws",
        "Restoration",
        "Squared error of a* and b* of CIELAB (sRGB, D65) of draws, the mean over pixels and the "
        "two channels; of images of red, green and blue.",
        "lower",
    ),
    "color_mean_mse": Measure(
        "Color of the mean",
        "Restoration",
        "The same of the mean of 19 draws.",
        "lower",
    ),
    "color_mse_of_gray": Measure(
        "Color of gray",
        "Restoration",
        "What a* = b* = 0 everywhere scores, as a reference: the same for every model.",
    ),
    "color_mse_of_average": Measure(
        "Color of the average",
        "Restoration",
        "What the mean a* and b* of all training pixels score, as a reference: the same for every "
        "model.",
    ),
}
