"""Evaluation: every score a model defines, each with its uncertainty and protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from reparam.buffers import OfData
from reparam.coding.leaves import coder
from reparam.data import Data, as_data, refuse_other_classes, refuse_unfit
from reparam.evaluation.by_example import of_whole_split
from reparam.evaluation.classification import classification_scores
from reparam.evaluation.code_use import code_use
from reparam.evaluation.denoising import hidden_scores
from reparam.evaluation.diagnosis import information_scores, layer_scores
from reparam.evaluation.disentanglement.of_models import factor_scores
from reparam.evaluation.file_length import coded_scores, rows_coded
from reparam.evaluation.latents import active_units
from reparam.evaluation.likelihood import (
    bits_per_dim,
    bound_scores,
    bound_terms,
    kind_of_bound,
    log_likelihood,
    partition_scores,
    posterior_gap,
    regret,
    rows_measured,
    usual_samples,
    with_partition,
)
from reparam.evaluation.modes import evaluating
from reparam.evaluation.random_features import Extractor
from reparam.evaluation.reconstruction import reconstruction_scores, sharpness
from reparam.evaluation.representation import linear_probe, neighbor_overlap
from reparam.evaluation.restoration import DRAWS, affordable_examples, given_to, model_scores
from reparam.evaluation.rows import chosen_rows
from reparam.evaluation.samples import (
    reference_scores,
    rows_compared,
    sample_scores,
    sampling_speed,
    too_few,
)
from reparam.evaluation.scores import Score, Scores, ScoreTable, finite
from reparam.inspection import Classifies
from reparam.model import Codec, Density, Encoder, Generator, LatentVariable, Model, positive_count
from reparam.progress import Watch, unwatched
from reparam.train import History
from reparam.train.collapse import has_indices

__all__ = ["Extractor", "Score", "ScoreTable", "Scores", "evaluate", "reference_scores", "too_few"]


def evaluate(
    model: Model,
    data: Any,
    *,
    split: str = "test",
    samples: int | None = None,
    seed: int = 0,
    coded: bool = False,
    history: History | None = None,
    extractor: Extractor | None = None,
    watch: Watch = unwatched,
) -> ScoreTable:
    """Measure everything the model defines, on one split of the data.

    Args:
        model: any model; it is measured in evaluation mode and left in the mode it was in.
        data: of the model's space. What is no ``Data`` is read and carved as ``fit`` does it: the
            same arrays give the rows that it did not train on. For test rows of your own give
            ``((x_train, y_train), (x_test, y_test))`` or a dictionary of splits.
        split: ``"test"``, ``"valid"`` or ``"train"``.
        samples: draws per example of a log-likelihood that is found by draws; None: by what they
            cost, 1000 at most (``usual_samples``). The score says how many, and of how many rows:
            of a diffusion model they are 20 of all times, and 2000 rows at most.
        seed: of all draws.
        coded: whether a file is made of the split, 2000 rows at most, read back, and measured:
            ``coded_bits_per_dim``, where ``reparam.coding`` knows how. It takes the extra
            ``compress``, and the time that ``compress`` takes.
        history: of the training, for ``train_seconds``.
        extractor: features in which samples are compared; None: ``RandomFeatures``.
        watch: is told what is being measured and which share of the work is done.

    Returns:
        Scores by name, a dictionary with ``to_frame``. What a model does not define is absent.

    Raises:
        ValueError: the data are not the model's, a score is NaN or infinite (which, by name), or
            ``coded`` is asked for and constriction is not installed.

    >>> import reparam as rp
    >>> data = rp.load_data("digits")
    >>> model = rp.build("pca", data.space, latent_dim=8)
    >>> _ = rp.fit(model, data, progress=False)
    >>> rp.evaluate(model, data)["log_likelihood"].kind
    'lower bound'
    """
    data = as_data(data, model.space)
    if split not in data.splits:
        raise ValueError(f"split: expected one of {', '.join(data.splits)}, got {split!r}")
    refuse_unfit(model, data, "train", split)
    refuse_other_classes(model, data)
    if samples is None:
        samples = usual_samples(model, len(data.splits[split])) if isinstance(model, Density) else 1
    positive_count("samples", samples)
    if coded:
        coder()  # without which there would be no file of any model
    with evaluating([model]):
        scores = _measured(_Asked(model, data, split, samples, seed, coded), extractor, watch)
    scores["parameters"] = Score(float(learned_numbers(model)), "numbers", len(data.train), "train")
    if history is not None:
        scores["train_seconds"] = Score(history.seconds, "s", len(data.train), "train")
    return ScoreTable(scores)


@dataclass(frozen=True)
class _Asked:
    """The arguments of ``evaluate`` that say what is measured."""

    model: Model
    data: Data
    split: str
    samples: int
    seed: int
    coded: bool


@dataclass(frozen=True)
class _Part:
    """Some of the scores: about how many rows pass through the model for them, and how."""

    what: str
    work: float
    measure: Callable[[Callable[[float], None]], Scores]


def _measured(asked: _Asked, extractor: Extractor | None, tell: Watch) -> Scores:
    """What the passes through the model give, part by part."""
    parts = list(_parts(asked, extractor))
    work, done = sum(part.work for part in parts), 0.0
    scores: Scores = {}
    for part in parts:
        tell(part.what, done / work)
        scores |= finite(part.measure(_within(tell, part, done, work)))
        done += part.work
    tell("measured", 1.0)
    drawn = isinstance(asked.model, LatentVariable) and asked.model.log_prob_draws
    gap = _gap(scores) if drawn else {}  # else both numbers are the same by definition
    return of_whole_split(scores | gap, len(asked.data.splits[asked.split]))


def _within(tell: Watch, part: _Part, done: float, work: float) -> Callable[[float], None]:
    return lambda share: tell(part.what, (done + share * part.work) / work)


def _parts(asked: _Asked, extractor: Extractor | None) -> Iterator[_Part]:
    """What the model defines, in the order of the scores."""
    model, name = asked.model, asked.split
    n = len(asked.data.splits[name])
    if isinstance(model, Density):
        passes = model.passes_per_sample * (asked.samples if model.log_prob_draws else 1)
        work = rows_measured(model, n, asked.samples) * passes
        yield _Part("likelihood", work, lambda tell: _likelihood_scores(model, asked, tell))
    if isinstance(model, Density) and asked.coded:
        work = 3 * rows_coded(model, n) * model.passes_per_draw * model.pass_cost
        yield _Part("a file", work, lambda tell: _file_scores(model, asked, tell))
    if isinstance(model, LatentVariable):
        yield _Part("bound", 2 * n, lambda _: _latent_scores(model, asked))
    if isinstance(model, Codec):
        yield _Part("reconstructions", 2 * n, lambda _: _reconstruction_scores(model, asked))
    if isinstance(model, Encoder) and has_indices(model):
        yield _Part("code use", n, lambda _: code_use(model, asked.data.splits[name], name))
    if isinstance(model, Classifies) and asked.data.splits[name].labels is not None:
        yield _Part("classes", n, lambda _: _class_scores(model, asked))
    elif isinstance(model, Encoder) and not model.conditional:
        yield _Part("codes", n + len(asked.data.train), lambda _: _probe_scores(model, asked))
        if asked.data.splits[asked.split].factors is not None:
            yield _Part("factors", 2 * n, lambda _: _factor_scores(model, asked))
    if isinstance(model, Generator):
        passes = model.passes_per_draw * model.pass_cost
        drawn = rows_compared(asked.data, asked.split, model) * (1 + passes)
        yield _Part("samples", drawn, lambda tell: _sample_scores(model, asked, extractor, tell))
    if isinstance(model, Generator) and given_to(model) is not None:
        drawn = DRAWS * min(n, affordable_examples(model)) * passes
        yield _Part("restorations", drawn, lambda _: _restoration_scores(model, asked))


def _likelihood_scores(model: Density, asked: _Asked, tell: Callable[[float], None]) -> Scores:
    examples, samples, seed = asked.data.splits[asked.split], asked.samples, asked.seed
    # The same rows whatever the seed, so that models and seeds are measured on the same.
    rows = chosen_rows(len(examples), rows_measured(model, len(examples), samples), seed=0)
    examples = examples if len(rows) == len(examples) else examples.take(rows)
    value = log_likelihood(model, examples, asked.split, samples, seed, tell)
    scores = {f"{_prefix(model)}log_likelihood": value}
    # Bits of a density and bits of names are no bits of an entry; where all is given there is none.
    if not model.space.columns and model.counted:
        scores[f"{_prefix(model)}bits_per_dim"] = bits_per_dim(value, model.counted)
    true = None if model.conditional else asked.data.true_log_probs(asked.split)
    if true is not None:
        scores["regret"] = regret(value, true[rows.to(true.device)])
    return scores | partition_scores(model)


def _file_scores(model: Density, asked: _Asked, tell: Callable[[float], None]) -> Scores:
    return coded_scores(model, asked.data.splits[asked.split], asked.split, tell)


def _prefix(model: Model) -> str:
    """Of a likelihood's name: log p(x|c) is another quantity than log p(x), up to c's entropy."""
    return "conditional_" if model.conditional else ""


def _latent_scores(model: LatentVariable, asked: _Asked) -> Scores:
    split, name, seed = asked.data.splits[asked.split], asked.split, asked.seed
    terms = bound_terms(model, split, seed)
    scores = bound_scores(terms, name, seed, model.draws, _prefix(model), kind_of_bound(model))
    elbo = f"{_prefix(model)}elbo"
    scores[elbo] = with_partition(scores[elbo], model)
    active = active_units(model, split, name)
    scores |= {} if active is None else {"active_units": active}
    scores |= layer_scores(model, split, terms["rate"], name, seed)
    further = None if name == "train" else asked.data.train
    return scores | information_scores(model, split, name, seed, further)


def _gap(scores: Scores) -> Scores:
    """What importance weighting gains over the ELBO: the posterior's misfit, or the least of it."""
    names = ("", "conditional_")
    for known, elbo in ((f"{p}log_likelihood", f"{p}elbo") for p in names):
        if known in scores and elbo in scores:
            return {"posterior_gap": posterior_gap(scores[known], scores[elbo])}
    return {}


def _reconstruction_scores(model: Codec, asked: _Asked) -> Scores:
    data, name = asked.data, asked.split
    if model.noise is not None and model.noise.hides:  # of the whole x it learned nothing
        return hidden_scores(model, data.splits[name], data.train, name, asked.seed)
    scores = reconstruction_scores(model, data.splits[name], data.train, name)
    sharp = sharpness(model, data.splits[name], name, asked.seed)
    return scores if sharp is None else scores | {"sharpness": sharp}


def _class_scores(model: Model, asked: _Asked) -> Scores:
    return classification_scores(model, asked.data.splits[asked.split], asked.split)


def _probe_scores(model: Encoder, asked: _Asked) -> Scores:
    data, name = asked.data, asked.split
    rows = (model, data.train, data.splits[name], name, asked.seed)
    found = {
        "linear_probe_accuracy": linear_probe(*rows),
        "pooled_probe_accuracy": linear_probe(*rows, pooled=True),
        "neighbor_overlap": neighbor_overlap(*rows),
    }
    return {title: score for title, score in found.items() if score is not None}


def _factor_scores(model: Encoder, asked: _Asked) -> Scores:
    return factor_scores(model, asked.data, asked.split, asked.seed)


def _sample_scores(
    model: Generator, asked: _Asked, extractor: Extractor | None, tell: Callable[[float], None]
) -> Scores:
    scores = sample_scores(model, asked.data, asked.split, extractor, asked.seed, tell)
    return scores | {"samples_per_second": sampling_speed(model, asked.seed)}


def _restoration_scores(model: Generator, asked: _Asked) -> Scores:
    return model_scores(model, asked.data, asked.split, asked.seed)


def learned_numbers(model: Model) -> int:
    """How many numbers the model took from the data: weights and solved statistics."""
    others = {name for name, p in model.named_parameters() if not p.requires_grad}
    for path, part in model.named_modules():
        if isinstance(part, OfData):  # as which entries are constants
            others |= {f"{path}.{name}" for name, _ in part.named_buffers()}
    learned = (t for name, t in model.state_dict().items() if name not in others)
    return sum(t.numel() for t in learned)
