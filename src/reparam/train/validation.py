"""What is measured of the validation split while a model is trained, and who is shown it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from reparam import numerics
from reparam.model import Model
from reparam.train.collapse import collapse_of
from reparam.train.device import autocast
from reparam.train.random import seeded
from reparam.train.state import Training, validation_batches

Validated = Callable[[int, dict[str, float], Model], None]  # of the step, the terms, the model


@torch.no_grad()
def validate(training: Training, player: str) -> dict[str, float]:
    """Means of the unweighted terms over the validation split, always under the same noise."""
    model, config, ranks = training.model, training.config, training.ranks
    alone = len(training.valid) < ranks.size  # too few rows: every process reads them all
    rows = slice(None) if alone else ranks.share(len(training.valid))
    sums: dict[str, torch.Tensor] = {}
    model.eval()
    seed = config.seed if alone else ranks.seed(config.seed)
    with seeded(seed, training.device), autocast(config, training.device):
        for batch in validation_batches(model, training.valid, training.device, rows):
            loss = model(batch.x, batch.c, player, **batch.targets)
            terms = loss.terms | {"objective": loss.objective * len(batch.x)}
            for name, term in terms.items():
                sums[name] = sums.get(name, 0) + term.to(numerics.accumulator(term)).sum()
    model.train()
    if not alone:
        ranks.add_up(sums.values())
    return {name: value.item() / len(training.valid) for name, value in sums.items()}


@torch.no_grad()
def unused_codes(training: Training) -> str:
    """What ``collapse_of`` says of what was trained, with averaged weights where there are any."""
    with training.averaged():
        training.model.eval()
        found = collapse_of(training.part, training.valid)
        training.model.train()
    return found


def call_back(validated: Validated, training: Training, terms: dict[str, float]) -> None:
    """Show a validation to whoever asked."""
    if training.ranks.first:
        with aside(training):
            validated(training.step, terms, training.model)
        training.find_averaged()


@contextmanager
def aside(training: Training) -> Iterator[None]:
    """The model in evaluation, without random numbers or seconds of the training."""
    training.stop_clock()
    training.model.eval()
    try:
        with seeded(training.config.seed, training.device), torch.no_grad():
            yield
    finally:  # whoever handles its error finds the model as training has it
        training.model.train()
    training.start_clock()
