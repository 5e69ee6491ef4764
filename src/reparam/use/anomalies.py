"""Anomalies: how odd a model finds each example, and in which of its entries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from reparam import numerics
from reparam.batching import draws_at_once, in_batches, rows_at_once, slices
from reparam.data import Data, Split
from reparam.distribution import weakest
from reparam.evaluation.likelihood import SAMPLES_AT_ONCE, rows_between_news
from reparam.evaluation.modes import evaluating
from reparam.evaluation.rows import batches, subset
from reparam.evaluation.scores import ScoreKind
from reparam.evaluation.vectors import Vectors
from reparam.model import (
    DRAWS_OF_A_ROW,
    Batch,
    Codec,
    Density,
    LatentVariable,
    Model,
    positive_count,
)
from reparam.models.invertible import Invertible
from reparam.progress import Watch, unwatched
from reparam.space import Space, as_tensor

By = Literal["auto", "log_prob", "reconstruction", "rate", "typicality"]
MOST_TYPICAL = 2000  # training rows, of whose log p(x) typicality takes the mean
DRAWS_OF_PARTS = 10  # of z at most, over which the parts of −log p(x|z) are averaged
CONDITIONAL = "log p(x) is log p(x|c), under the condition of each example."
WITH = {  # a preset that has the score
    "log_prob": "any density, as vae or made",
    "reconstruction": "any autoencoder or VAE, as ae",
    "rate": "any model with q(z|x) and p(z), as vae",
    "typicality": "any density, as vae or made",
}


@dataclass(frozen=True)
class AnomalyScores:
    """How odd each example is.

    Args:
        score: (N,), in float64 on the CPU; higher = odder.
        by: which score it is.
        unit: of the score.
        kind: of −log p(x), which a lower bound on log p(x) bounds from above; None of all others.
        parts: (N, *shape), what each entry contributes; None where there are none.
        parts_are: what these are, and whether they sum to the score.
        notes: what was decided on the way, one sentence each.
    """

    score: Tensor
    by: str
    unit: str
    kind: ScoreKind | None = None
    parts: Tensor | None = None
    parts_are: str = ""
    notes: tuple[str, ...] = ()


def anomaly_scores(
    model: Model,
    split: Any,
    by: By = "auto",
    samples: int = 50,
    seed: int = 0,
    *,
    train: Any = None,
    watch: Watch = unwatched,
) -> AnomalyScores:
    """How odd a model finds each example, by one score.

    **A likelihood alone can rank foreign data above the training data**: what is smoother than
    these, as blank images, may be more probable than any of them (Nalisnick et al. 2019). Compare
    several scores.

    - ``log_prob``: −log p(x) in nats, of a conditional model −log p(x|c) under the condition of
      each row; of a VAE minus the importance-weighted bound.
    - ``reconstruction``: the squared error of the reconstruction, summed over the entries: on
      x/(K−1) for levels, in training deviations for the columns of tables, 0 or 1 for names.
      Flows, which give every x back, have none.
    - ``rate``: KL(q(z|x) ‖ p(z)) in nats, in closed form, or the mean over ``samples`` draws.
    - ``typicality``: |log p(x) − m|, m the mean over training rows, at most 2000 of them, drawn at
      random: what is too probable is odd as well. Of a model that has learned its training rows by
      heart, m is too high; give validation rows as ``train``.

    The score of a row depends neither on the order nor on the company of the row: all draws are the
    same for every row. Entries that are missing contribute nothing, so that a row with many of them
    looks ordinary to all scores but typicality, to which it is odd.

    Args:
        model: any density or codec; it is measured in evaluation mode and left in its own.
        split: the examples, with the conditions that a conditional model takes; or data, of which
            the test split is measured; or x alone.
        by: which score; ``auto`` is ``log_prob`` where there is a likelihood, else
            ``reconstruction``.
        samples: draws for each row, where a score is found by draws.
        seed: of the draws.
        train: the training rows, which typicality and the deviations of the columns of tables are
            taken of; None: those of the data.
        watch: is told what is being measured and which share of the work is done.

    Raises:
        ValueError: a model without such a score, or rows that are not as its data.

    Reference: An & Cho 2015, "Variational autoencoder based anomaly detection using reconstruction
    probability"; Nalisnick et al. 2019, "Detecting out-of-distribution inputs to deep generative
    models using typicality", https://arxiv.org/abs/1906.02994

    >>> import reparam as rp
    >>> model = rp.build("made", rp.Space((2,), "binary"), hidden=(4,), seed=0)
    >>> found = anomaly_scores(model, [[0.0, 1.0], [1.0, 1.0], [0.0, 1.0]])
    >>> found.by, found.unit, found.kind, found.score[0].item() == found.score[2].item()
    ('log_prob', 'nats', 'exact', True)
    >>> bool(found.parts.sum(1).allclose(found.score))
    True
    """
    chosen = chosen_by(model, by)
    found = every_anomaly_score(
        model, split, (chosen,), samples, seed, train=train, parts_of=chosen, watch=watch
    )
    return found[chosen]


def known_scores(model: Model) -> tuple[By, ...]:
    """The scores that a model has, the one that ``auto`` means first; none of what has none.

    >>> from reparam.presets import build
    >>> known_scores(build("ae", Space((9,), "real"), latent_dim=2))
    ('reconstruction',)
    """
    found: list[By] = ["log_prob"] if isinstance(model, Density) else []
    hides = isinstance(model, Codec) and model.noise is not None and model.noise.hides
    if isinstance(model, Codec) and not (hides or isinstance(model, Invertible)):
        found.append("reconstruction")
    if isinstance(model, LatentVariable) and "rate" not in model.constant_terms:
        found.append("rate")
    return (*found, "typicality") if isinstance(model, Density) else tuple(found)


def needs_training(model: Model, by: str) -> bool:
    """Whether a score of a model takes training rows."""
    own_scale = _has_own_scale(model.space)
    return by == "typicality" or (by == "reconstruction" and not own_scale)


def chosen_by(model: Model, by: str) -> By:
    """The score that is asked for.

    Raises:
        ValueError: it is none, or the model does not have it.
    """
    known, name = known_scores(model), type(model).__name__
    if by not in get_args(By):
        raise ValueError(f"by: expected one of {', '.join(get_args(By))}, got {by!r}")
    if not known:
        raise ValueError(
            f"by: {name} has neither log p(x) nor reconstructions of given examples, so that it "
            "finds no anomalies; use an autoencoder, a VAE or another density, as vae"
        )
    if by != "auto" and by not in known:
        raise ValueError(
            f"by: {name} has no {by}, only {', '.join(known)}; take one of these, or {WITH[by]}"
        )
    return known[0] if by == "auto" else by  # type: ignore[return-value]


def column_parts(
    found: AnomalyScores, rows: Split, space: Space, train: Split | None
) -> Tensor | None:
    """The parts of a table's rows, as they compare between columns, (N, D); None where none are.

    −log p of a real column depends on its unit: in grams it is log 1000 higher than in kilograms.
    Here it is that of the column in training deviations, of the logarithm where that is modeled.

    Args:
        found: scores of the rows.
        rows: the examples.
        space: what they are.
        train: the training rows; None: parts stay in the columns' units.

    >>> rows, deviations = Split(torch.tensor([[7.0]])), Split(torch.tensor([[-1e3], [1e3]]))
    >>> found = AnomalyScores(torch.zeros(1), "log_prob", "nats", parts=torch.full((1, 1), 8.0))
    >>> round(column_parts(found, rows, Space((1,), "real"), deviations).item(), 3)  # 8 − ln 1000
    1.092
    """
    if found.parts is None or found.by != "log_prob" or train is None or space.is_image:
        return found.parts
    vectors, x = Vectors(space, train.x), rows.x.cpu().double()
    unit = torch.where(space.reals, vectors.scale.log(), 0.0).expand_as(x).clone()
    unit[:, vectors.log] += x[:, vectors.log].log()
    return torch.where(x.isnan(), 0.0, found.parts - unit)


def every_anomaly_score(
    model: Model,
    split: Any,
    by: Sequence[By],
    samples: int = 50,
    seed: int = 0,
    *,
    train: Any = None,
    parts_of: str = "",
    watch: Watch = unwatched,
) -> dict[str, AnomalyScores]:
    """Several scores of the same examples, by name; see ``anomaly_scores``.

    Args:
        model, split, samples, seed, train, watch: as there.
        by: which scores.
        parts_of: the one whose parts are found.
    """
    positive_count("samples", samples)
    rows, training = _rows(split, train)
    asked = _Asked(model, rows, training, samples, seed, watch)
    found: dict[str, AnomalyScores] = {}
    with evaluating([model]):
        for name in by:
            log_p = found.get("log_prob")
            if name == "log_prob":
                found[name] = _by_log_prob(asked, parts_of == name)
            elif name == "typicality":
                found[name] = _by_typicality(asked, log_p or _by_log_prob(asked, False))
            elif name == "reconstruction":
                found[name] = _by_reconstruction(asked, parts_of == name)
            else:
                found[name] = _by_rate(asked)
            _refuse_nan(found[name])
    return found


@dataclass(frozen=True)
class _Asked:
    model: Model
    split: Split
    train: Split | None
    samples: int
    seed: int
    watch: Watch

    @property
    def training(self) -> Split:
        if self.train is None:
            raise ValueError(
                "train: expected the training rows, which say what is usual, got none; give Data "
                "in place of a split, or train=data.train"
            )
        return self.train

    @property
    def noise(self) -> torch.Generator:
        """The same for every batch, so that every row has the same draws."""
        return torch.Generator(self.model.anchor.device).manual_seed(self.seed)

    def batches(self, split: Split, doing: str, cost: int = 1) -> Iterator[Batch]:
        """The rows of a split, and news of how far they are, at so many passes for each."""
        space = self.model.space
        rows = max(1, rows_at_once(space) // min(cost, SAMPLES_AT_ONCE))
        rows, done = min(rows, rows_between_news(space, cost)), 0
        for batch in batches(self.model, split, rows):
            self.watch(doing, done / len(split))
            yield batch
            done += len(batch.x)


def _rows(split: Any, train: Any) -> tuple[Split, Split | None]:
    """The examples and, where they are known, the training rows."""
    if isinstance(split, Data):
        return split.test, split.train if train is None else _rows(train, None)[0]
    if not isinstance(split, Split):
        x = as_tensor(split, "split")
        if not x.ndim:
            raise ValueError("split: expected examples (N, *shape), got a single number")
        split = Split(x)
    if isinstance(train, Data):
        train = train.train
    return split, None if train is None else _rows(train, None)[0]


def _by_log_prob(asked: _Asked, with_parts: bool) -> AnomalyScores:
    model = asked.model
    assert isinstance(model, Density)
    value, kind, factors = _log_prob(asked, asked.split, "log p(x)")
    against: ScoreKind = "upper bound" if kind == "lower bound" else kind
    notes = (CONDITIONAL,) if model.conditional else ()
    found = AnomalyScores(-value, "log_prob", "nats", against, notes=notes)
    if not with_parts:
        return found
    if factors is not None:
        said = "−log p of each entry given those before it; they sum to the score"
        return replace(found, parts=-factors, parts_are=said)
    parts = _distortions(asked) if isinstance(model, LatentVariable) else None
    if parts is None:
        return found
    said = (
        "−log p(x_i|z), the mean over draws of q(z|x): they sum to the distortion, not to the "
        "score, in which z counts too"
    )
    return replace(found, parts=parts, parts_are=said)


def _log_prob(asked: _Asked, split: Split, doing: str) -> tuple[Tensor, Any, Tensor | None]:
    """log p(x) of a split, its kind, and its factors by entry where it has them."""
    model, samples = asked.model, asked.samples
    assert isinstance(model, Density)
    passes = (samples if model.log_prob_draws else 1) * model.passes_per_sample
    found = [
        model.log_prob(x, c, samples=samples, generator=asked.noise, noise="shared")
        for x, c, _ in asked.batches(split, doing, passes)
    ]
    factors = [part.per_dimension for part in found if part.per_dimension is not None]
    whole = _wide(factors) if len(factors) == len(found) else None
    kind = weakest(part.kind for part in found)
    return _wide([part.value for part in found]), kind, whole


def _distortions(asked: _Asked) -> Tensor | None:
    """−log p(x_i|z) of each entry, (N, *shape); None where a likelihood has no term for each."""
    model, draws = asked.model, min(asked.samples, DRAWS_OF_PARTS)
    assert isinstance(model, LatentVariable)
    rows, parts = max(1, draws_at_once(model.space) // draws), []
    for x, c, _ in batches(model, asked.split, rows):
        x, c = model.prepare(x, c)
        posterior = model.posterior(x, c).repeat(draws)
        with numerics.shared_noise(len(x)):
            z = posterior.rsample(asked.noise)
        p_x = model.likelihood(z, _repeated(c, draws))
        terms = p_x.log_prob_terms(x.repeat_interleave(draws, 0))
        if terms.shape[1:].numel() != model.space.dimension:
            return None
        parts.append(-terms.cpu().double().view(len(x), draws, *x.shape[1:]).mean(1))
    return _wide(parts)


def _by_typicality(asked: _Asked, found: AnomalyScores) -> AnomalyScores:
    rows = subset(asked.training, MOST_TYPICAL, seed=0)
    values, _, _ = _log_prob(asked, rows, "log p(x) of training rows")
    values = values[~values.isneginf()]  # what has no probability at all is no typical row
    mean, n = values.mean(), len(values)
    if not n:
        raise ValueError(
            "train: expected rows that may occur, got log p(x) = -inf of all; give those that the "
            "model was trained on"
        )
    note = f"Typical is log p(x) = {mean:.2f} nats, the mean of {n} training rows."
    return AnomalyScores((-found.score - mean).abs(), "typicality", "nats", notes=(note,))


def _by_reconstruction(asked: _Asked, with_parts: bool) -> AnomalyScores:
    model = asked.model
    assert isinstance(model, Codec)
    known = asked.split if _has_own_scale(model.space) else asked.training
    vectors = Vectors(model.space, known.x)
    scores, parts = [], []
    for x, c, _ in asked.batches(asked.split, "reconstructions"):
        squares = vectors.squares(model.reconstruct(x, c), x)
        scores.append(squares.flatten(1).sum(1))
        parts += [squares] if with_parts else []  # as large as all x, in float64
    found = AnomalyScores(_wide(scores), "reconstruction", _error_unit(model.space))
    if not with_parts:
        return found
    said = "the squared error of each entry; they sum to the score"
    return replace(found, parts=_wide(parts), parts_are=said)


def _has_own_scale(space: Space) -> bool:
    """Whether errors need no deviations of training."""
    return space.columns is None and (space.kind != "real" or space.is_image)


def _error_unit(space: Space) -> str:
    if space.columns:
        return "squared errors, numbers in deviations, flags and names 0 or 1"
    if space.kind != "real":
        return "squared errors, values in [0, 1]"
    return "squared data units" if space.is_image else "squared errors in deviations"


def _by_rate(asked: _Asked) -> AnomalyScores:
    model = asked.model
    assert isinstance(model, LatentVariable)
    parts = [_rates(asked, model, x, c) for x, c, _ in asked.batches(asked.split, "rates")]
    return AnomalyScores(_wide(parts), "rate", "nats")


def _rates(asked: _Asked, model: LatentVariable, x: Tensor, c: Tensor | None) -> Tensor:
    """KL(q(z|x) ‖ p(z)) in a closed form, else the mean over draws that all rows share, (B,)."""
    x, c = model.prepare(x, c)
    posterior, prior = model.posterior(x, c), model.prior(c)
    exact = posterior.kl(prior)
    if exact is not None:
        return exact.cpu().double().flatten(1).sum(1)
    rows = max(1, draws_at_once(model.space) // _draws_of_a_row(asked))
    return in_batches(lambda x, c: _drawn_rates(asked, model, x, c), rows, x, c)


def _draws_of_a_row(asked: _Asked) -> int:
    """How many at a time, by the space alone: what a row's draws are depends on no other."""
    return min(asked.samples, DRAWS_OF_A_ROW, draws_at_once(asked.model.space))


def _drawn_rates(asked: _Asked, model: LatentVariable, x: Tensor, c: Tensor | None) -> Tensor:
    posterior, noise = model.posterior(x, c), asked.noise
    total = torch.zeros(len(x), dtype=torch.float64)
    for draws in slices(0, asked.samples, _draws_of_a_row(asked)):
        k = draws.stop - draws.start
        prior = model.prior(_repeated(c, k))
        with numerics.shared_noise(len(x)):
            _, rate = posterior.repeat(k).rsample_with_rate(prior, noise)
        total += rate.cpu().double().flatten(1).sum(1).view(-1, k).sum(1)
    return total / asked.samples


def _repeated(c: Tensor | None, times: int) -> Tensor | None:
    return None if c is None else c.repeat_interleave(times, 0)


def _wide(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat([part.detach().cpu().double() for part in parts])


def _refuse_nan(found: AnomalyScores) -> None:
    if wrong := int(found.score.isnan().sum()):
        raise ValueError(
            f"{found.by}: is nan for {wrong} of {len(found.score)} examples; the model has "
            "diverged, train it with a smaller lr"
        )
