"""The values of scores by example: which there are, and the file that keeps them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from reparam.checkpoint import read_tensors, refuse_other_run, write_tensors
from reparam.evaluation.scores import Scores

ROUNDING = 1e-9  # of a mean that another processor computes, relative to the largest value


def of_whole_split(scores: Scores, rows: int) -> Scores:
    """The scores, with values by example where these are all ``rows`` of the split, in its order.

    Values of rows drawn at random are nobody's pairs: another seed draws others.
    """
    partial = {
        name: replace(score, values=None)
        for name, score in scores.items()
        if score.values is not None and len(score.values) != rows
    }
    return scores | partial


def write_values(path: Path, scores: Scores, run: str = "") -> None:
    """Write the values of all scores of a run that have them, in float64, atomically.

    >>> import tempfile
    >>> from reparam.evaluation.scores import mean_score
    >>> scores = {"elbo": mean_score(torch.tensor([1.0, 3.0]), "nats", "test")}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_values(Path(folder, "values"), scores)
    ...     read_values(Path(folder, "values"), scores)["elbo"].values
    tensor([1., 3.], dtype=torch.float64)
    """
    found = {name: score.values for name, score in scores.items() if score.values is not None}
    write_tensors(path, {name: values.double() for name, values in found.items()}, {"run": run})


def read_values(path: Path, scores: Scores, run: str = "") -> Scores:
    """The scores with their values by example; as they are where no file was written.

    Raises:
        ValueError: a damaged file, or one of other scores than these, or of another run.
    """
    if not path.is_file():
        return scores
    tensors, header = read_tensors(path)
    refuse_other_run(header, run, path)
    found = {}
    for name, values in tensors.items():
        score = scores.get(name)
        fits = values.dtype == torch.float64 and score is not None and values.shape == (score.n,)
        if score is None or not fits or not _is_mean(score.value, values):
            raise ValueError(f"{path}: is not of these scores, by {name}; remove it and them")
        found[name] = replace(score, values=values)
    return scores | found


def _is_mean(value: float, values: torch.Tensor) -> bool:
    return abs(values.mean().item() - value) <= ROUNDING * values.abs().max().item()
