"""What is said of autoencoders: that they do not generate, memorize, and find PCA's subspace."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from reparam.evaluation.reconstruction import error_score, reconstruction_scores
from reparam.evaluation.representation import MOST_ROWS as OVERLAP_ROWS
from reparam.evaluation.representation import NEIGHBORS
from reparam.evaluation.rows import subset
from reparam.evaluation.scores import Score
from reparam.evaluation.subspaces import principal_angles
from reparam.evaluation.vectors import Vectors
from reparam.model import Codec, Encoder, Generator, LatentVariable, Model
from reparam.report import queries
from reparam.report.claims import roles
from reparam.report.claims.angles import Angles, angles_plot
from reparam.report.claims.compared import MOST_ROWS, Compared, higher, named, ratio, subsets
from reparam.report.claims.roles import Role
from reparam.report.claims.verdicts import (
    FAILS,
    HOLDS,
    NOT_FINITE,
    UNTOLD,
    Claim,
    Named,
    Part,
    above,
    absent,
    exceeds,
    lacking,
    plain,
    untold,
)
from reparam.report.trained import TrainedModel

MSE = "reconstruction_mse"
TOO_FEW = "a Fréchet distance takes more test and training rows than there are"
LINEAR = 1e-3  # of the largest code: what rounding may make of a linear encoder
HALF_ROWS = 3000  # of each half of the training data


def reconstruct_but_do_not_generate(c: Compared) -> Claim:
    parts = [_reconstructs(c), _against_mixture(c), _against_vae(c)]
    return Claim(1, "Autoencoders reconstruct, but do not generate.", parts)


def _reconstructs(c: Compared) -> Part:
    sentence = "An autoencoder restores x better than the training mean would."
    found = c.first(roles.plain_autoencoder, MSE)
    if found is None:
        return lacking(sentence, "ae")
    if c.data.space.columns:
        return untold(sentence, "mixed columns have no mean")
    vectors = Vectors(c.data.space, c.data.train.x)
    mean = c.data.train.x.double().mean(0, keepdim=True)
    parts = [vectors.errors(mean.expand_as(x), x) for x in c.data.test.x.split(1000)]
    constant = error_score(parts, vectors.unit, "test")
    return exceeds(sentence, MSE, Named("the mean", constant), named(found, MSE))


def _against_mixture(c: Compared) -> Part:
    sentence = "Its decoded N(0, I) is farther from the data than codes of a fitted mixture are."
    mixture = c.first(roles.generator_of_codes)
    if mixture is None:
        return lacking(sentence, "ae-gmm")
    assert isinstance(mixture.model, Generator)
    return _farther(c, sentence, mixture, c.draws(mixture.model).draws, mixture.label)


def _against_vae(c: Compared) -> Part:
    sentence = "Its decoded N(0, I) is farther from the data than decoded draws of a VAE's prior."
    vae = c.first(roles.plain_vae) or c.first(roles.vae)
    ae = c.first(roles.plain_autoencoder)
    if vae is None or ae is None:
        return lacking(sentence, *absent(ae=ae, vae=vae))
    assert isinstance(vae.model, Generator)
    means = c.draws(vae.model).means
    assert means is not None
    return _farther(c, sentence, ae, means, f"means of {vae.label}")


def _farther(c: Compared, sentence: str, ae: TrainedModel, others: Tensor, label: str) -> Part:
    assert isinstance(ae.model, Codec)
    code = torch.randn(len(others), *ae.model.code_space.shape, generator=c.generator)
    far, near = c.distance(queries.decode(ae.model, code, None)), c.distance(others)
    if far is None or near is None:
        return untold(sentence, TOO_FEW if c.quality is None else NOT_FINITE)
    of_noise = Named(f"{ae.label} of N(0, I)", far)
    return exceeds(sentence, "frechet_distance", of_noise, Named(label, near))


def memorize(c: Compared) -> Claim:
    sentence = (
        "An autoencoder with more parameters than data memorizes, a denoising one does so less; "
        "similar inputs get similar codes in a VAE."
    )
    return Claim(9, sentence, [_memorizes(c), _denoising_less(c), _similar(c), _one_number(c)])


def _over(c: Compared, role: Role = roles.plain_autoencoder) -> TrainedModel | None:
    """The first autoencoder with more parameters than the training data have numbers."""
    numbers = len(c.data.train) * c.data.space.dimension
    having = (e for e in c.of(role) if "parameters" in e.scores)
    return next((e for e in having if e.scores["parameters"].value > numbers), None)


def _wide(c: Compared) -> str:
    """Hidden layers, as one types them, of an autoencoder with more parameters than data."""
    d, numbers, width = c.data.space.dimension, len(c.data.train) * c.data.space.dimension, 256
    while 2 * (d * width + width * width) <= numbers and width < 8192:
        width *= 2
    return f"hidden={width},{width}"


def _errors(c: Compared, entry: TrainedModel) -> tuple[Score, Score]:
    """The squared errors of as many training rows as test rows."""
    assert isinstance(entry.model, Codec)
    train, test = subsets(entry.model, c.data, MOST_ROWS, c.seed)
    of_train = reconstruction_scores(entry.model, train, c.data.train, "train")[MSE]
    return of_train, reconstruction_scores(entry.model, test, c.data.train, "test")[MSE]


def _memorizes(c: Compared) -> Part:
    sentence = (
        "With more parameters than the training data have numbers it restores training rows "
        "better than others."
    )
    large = _over(c)
    if large is None:
        return lacking(sentence, f"ae {_wide(c)}")
    seen, unseen = _errors(c, large)
    of_test = Named(f"{large.label} on test rows", unseen)
    return exceeds(sentence, MSE, of_test, Named("on training rows", seen))


def _denoising_less(c: Compared) -> Part:
    sentence = "In a denoising one as large the error grows less from training rows to others."
    large, less = _over(c), _over(c, roles.denoising)
    if large is None or less is None:
        wide = _wide(c)
        models = ((f"ae {wide}", large), (f"denoising-ae {wide}", less))
        return lacking(sentence, *(name for name, one in models if one is None))
    grown = [Named(e.label, ratio(*reversed(_errors(c, e)))) for e in (large, less)]
    return exceeds(sentence, "growth", *grown)


def _similar(c: Compared) -> Part:
    sentence = "A VAE's codes keep more neighbors of x than an autoencoder's."
    return higher(c, sentence, "neighbor_overlap", roles.VAE, roles.AUTOENCODER)


def _one_number(c: Compared) -> Part:
    sentence = "Even a code of one number keeps more neighbors than chance does."
    name = "neighbor_overlap"
    found = (e for e in c.of(roles.vae) if name in e.scores and _size(e.model) == 1)
    one = next(found, None)
    if one is None:
        return lacking(sentence, "vae latent_dim=1")
    chance = NEIGHBORS / (min(OVERLAP_ROWS, len(c.data.test)) - 1)
    return above(sentence, name, named(one, name), chance, "by chance")


def _size(model: Model) -> int:
    return model.code_space.dimension if isinstance(model, Encoder) else 0


def find_the_subspace_of_pca(c: Compared) -> Claim:
    sentence = "A linear autoencoder finds the subspace of PCA, but not its axes."
    said = (
        "The columns of its decoder span the first principal components.",
        "They are not the principal axes themselves.",
    )
    found = c.first(lambda model: _linear(c, model) and roles.descends(model))
    pca = c.first(lambda model: _linear(c, model) and not roles.descends(model))
    if found is None or pca is None or _size(pca.model) < _size(found.model):
        size = 2 if found is None else _size(found.model)
        of_pca = f"pca latent_dim={size}"
        missing = [] if found is not None else [f"linear-ae latent_dim={size}"]
        fits = pca is not None and _size(pca.model) >= size
        missing += [] if fits else [of_pca]
        return Claim(10, sentence, [lacking(text, *missing) for text in said])
    if c.data.space.kind == "real" and not roles.parameter(pca.model, "standardize"):
        return Claim(10, sentence, [lacking(text, "pca standardize=true") for text in said])
    angles = _angles(c, found.model, pca.model)
    parts = [_spans(said[0], angles), _turned(said[1], angles)]
    figure = angles_plot(angles, found.label, c.entries.index(found))
    return Claim(10, sentence, parts, figure=figure)


def _linear(c: Compared, model: Model) -> bool:
    """Whether a codec is affine both ways: one matrix from codes, and codes of means are means."""
    if not isinstance(model, Codec) or isinstance(model, LatentVariable):
        return False
    filters = model.filters()
    if filters is None or filters.of != "decoder" or model.takes_missing:
        return False
    x = subset(c.data.train, MOST_ROWS, c.seed).x.double()  # of test rows there may be but one
    first, second = x[: len(x) // 2], x[len(x) // 2 : len(x) // 2 * 2]
    ends = (model.encode(first) + model.encode(second)) / 2
    apart = (model.encode((first + second) / 2) - ends).abs().max()
    return bool(apart <= LINEAR * ends.abs().max())


def _columns(model: Model) -> Tensor:
    assert isinstance(model, Codec)
    filters = model.filters()
    assert filters is not None
    return filters.weights.flatten(1).T.double().cpu()


def _angles(c: Compared, linear: Model, pca: Model) -> Angles:
    """Between decoder and PCA, and between PCA of one half of the training data and the other."""
    columns = _columns(linear)
    q = columns.shape[1]
    axes = _columns(pca)[:, :q]
    vectors = Vectors(c.data.space, c.data.train.x)
    halves = [_axes(vectors(half), q) for half in _halves(c)]
    return Angles(
        principal_angles(columns, axes),
        to_nearest(columns, axes),
        principal_angles(*halves),
        to_nearest(*halves),
    )


def _halves(c: Compared) -> tuple[Tensor, Tensor]:
    rows = subset(c.data.train, 2 * HALF_ROWS, c.seed).x
    order = torch.randperm(len(rows), generator=c.generator)
    first, second = rows[order].tensor_split(2)
    return first, second


def _axes(rows: Tensor, q: int) -> Tensor:
    """The first principal axes, (D, q)."""
    return torch.linalg.svd(rows - rows.mean(0), full_matrices=False)[2][:q].T


def to_nearest(columns: Tensor, axes: Tensor) -> Tensor:
    """The angle of every column to the axis that is nearest to it, (q,), in radians.

    >>> to_nearest(torch.tensor([[1.0], [1.0]]), torch.eye(2)).rad2deg().round().tolist()
    [45.0]
    """
    a, b = (t / t.norm(dim=0) for t in (columns, axes))
    return (a.T @ b).abs().clamp(max=1).max(1).values.acos()


def _spans(sentence: str, angles: Angles) -> Part:
    found, usual = (a.sin().square().mean().sqrt().item() for a in (angles.subspace, angles.halves))
    largest = (_degrees(a.max().item()) for a in (angles.subspace, angles.halves))
    numbers = (
        f"sines of the principal angles {found:.2g} in root mean square, the largest angle "
        f"{next(largest)}; between PCA of one half of the training data and of the other "
        f"{usual:.2g} and {next(largest)}"
    )
    if usual < found <= 2 * usual:
        reason = "the sines are one to two times those between halves of the data"
        return Part(sentence, UNTOLD, numbers, reason)
    return Part(sentence, HOLDS if found <= usual else FAILS, numbers)


def _turned(sentence: str, angles: Angles) -> Part:
    found, usual = angles.columns.median().item(), angles.axes_of_halves.median().item()
    numbers = (
        f"a column is {_degrees(found)} from the nearest axis, in the median; axes of one half of "
        f"the training data {_degrees(usual)} from those of the other"
    )
    if usual < found <= 2 * usual:
        reason = "the angle is one to two times that between axes of halves of the data"
        return Part(sentence, UNTOLD, numbers, reason)
    return Part(sentence, HOLDS if found > 2 * usual else FAILS, numbers)


def _degrees(angle: float) -> str:
    return f"{plain(float(f'{math.degrees(angle):.2g}'))}°"
