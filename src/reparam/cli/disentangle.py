"""The command that scores how far latents follow known factors, or those of other seeds."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from reparam.cli.examples import encoder
from reparam.cli.look import check_drawing
from reparam.cli.options import PATH, Force, Seed, option
from reparam.cli.runs import HERE, Where
from reparam.cli.tables import named, score_table, show, show_notes
from reparam.progress import bar
from reparam.wording import listed

if TYPE_CHECKING:
    from reparam.data import Data, Split
    from reparam.evaluation import Score, ScoreTable
    from reparam.evaluation.disentanglement.information import Bins
    from reparam.evaluation.disentanglement.inputs import FactorKind

Given = Annotated[
    Path,
    PATH,
    Parameter(
        help="Folder of a run, or an .npz with the arrays codes (or z) and factors, perhaps "
        "factor_names and rates; of several, which are models of the same rows, UDR."
    ),
]
Split_ = Annotated[
    Literal["test", "all"], Parameter(name="--split", help="Of a run's data: all are the grid.")
]
Metrics = Annotated[
    list[str] | None,
    option("--metric", metavar="NAME", help="A metric, none: all; may be repeated."),
]
Numbers = Annotated[
    list[str] | None,
    option("--ordered", metavar="FACTOR", help="A factor of numbers; may be repeated."),
]
Circular = Annotated[
    list[str] | None,
    option("--circular", metavar="FACTOR", help="A factor that turns; may be repeated."),
]
BINS = "20"
HOW_TO_GIVE = (
    "has no known factors; train on data with them (columns named with --factor, or arrays factors "
    "and factor_names in an .npz), give an .npz with codes and factors, or several runs for UDR"
)


@dataclass(frozen=True)
class Coding:
    """Codes of rows, with what is known of them.

    Args:
        z: (N, L).
        factors: (N, F), where known.
        names: of the factors.
        rates: mean KL of each latent, (L,), where there is one.
        rows: which rows they are: two codings of the same rows have it in common.
        split: what the rows are called.
        data: of a run.
    """

    z: Any
    factors: Any
    names: list[str] | None
    rates: Any
    rows: object
    split: str
    data: Data | None = None


@dataclass(frozen=True)
class Asked:
    """Which rows are asked for, and whether they need factors."""

    split: Literal["test", "all"]
    n: int
    seed: int
    where: Where
    factors: bool

    def of(self, path: Path) -> Coding:
        """The codes of a run's data, or in an archive."""
        if path.suffix.lower() == ".npz" and not path.is_dir():
            self._refuse_choices_of_runs(path)
            return _of_archive(path, self)
        if path.is_file():
            raise ValueError(f"{path}: expected the folder of a run, or an .npz with codes")
        return _of_run(path, self)

    def _refuse_choices_of_runs(self, path: Path) -> None:
        """ValueError for what an archive has not: splits, and data that may have moved."""
        given = {"split": self.split != "test", "data": self.where.moved is not None}
        for name in (name for name, is_given in given.items() if is_given):
            raise ValueError(f"{name}: applies to a run only, {path} is an archive; leave it out")


def disentangle(
    source: Given,
    /,
    *others: Given,
    split: Split_ = "test",
    n: Annotated[int, Parameter(name="-n", help="At most so many rows, drawn at random.")] = 10_000,
    metrics: Metrics = None,
    ordered: Numbers = None,
    circular: Circular = None,
    bins: Annotated[str, Parameter(help="Of histograms; levels: as many as a factor has.")] = BINS,
    trees: Annotated[
        Literal["lightgbm", "gradient boosting"] | None,
        Parameter(help="Of DCI; none: LightGBM where it is installed."),
    ] = None,
    sap: Annotated[
        Literal["own", "reference"], Parameter(help="Which SAP; reference: as published.")
    ] = "own",
    out: Annotated[
        Path | None,
        PATH,
        Parameter(alias="-o", help="Also draw which latent tells of which factor: a .png or .svg."),
    ] = None,
    seed: Seed = 0,
    force: Force = False,
    json: Annotated[Path | None, PATH, Parameter(help="Also write the scores there.")] = None,
    where: Where = HERE,
) -> None:
    """Score how far latents follow known factors one by one; of several runs, each other's."""
    from reparam.atomic import check_place
    from reparam.checkpoint import write_json
    from reparam.evaluation.disentanglement.information import Bins
    from reparam.limits import convert
    from reparam.model import positive_count

    if json is not None:
        check_place(json)
    if out is not None:
        check_drawing(out, force)
    if others:
        _refuse_choices_of_factors(
            out=out,
            metric=metrics,
            ordered=ordered,
            circular=circular,
            bins=bins != BINS,
            trees=trees,
            sap=sap != "own",
        )
    positive_count("n", n)
    width = convert("bins", bins, Bins)
    asked, paths = Asked(split, n, seed, where, factors=not others), [source, *others]
    found = [asked.of(path) for path in paths]
    first = found[0]
    kinds = {**(first.data.factor_kinds if first.data else {}), **_kinds(ordered, circular)}
    if others:
        scores = _of_seeds(found, paths, seed)
    else:
        choices = {"bins": width, "predictor": trees, "form": sap, "seed": seed}
        scores = _of_factors(first, metrics, kinds, choices)
    try:
        _tell(scores, first)
    finally:  # neither a stream nor a disk that fails loses what was measured
        if json is not None:
            write_json(json, _content(scores, paths, first))
    if out is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said already
            _draw(out, scores, first, kinds, width, seed)


def _refuse_choices_of_factors(**given: object) -> None:
    """ValueError for what says how factors are compared, where none are."""
    for name in (name for name, choice in given.items() if choice):
        raise ValueError(
            f"{name}: applies to codes with factors, and several runs are compared without, by "
            "UDR; leave it out"
        )


def _of_run(path: Path, asked: Asked) -> Coding:
    """Codes of a run's data; refused before any work where they lack the factors."""
    from reparam.evaluation.disentanglement.of_models import rated_codes, refuse_codes
    from reparam.evaluation.modes import evaluating
    from reparam.evaluation.rows import subset

    opened = asked.where.open(path)
    model = encoder(opened, own=True)
    refuse_codes(model)
    data = opened.data()
    if asked.factors and data.factor_names is None:
        raise ValueError(f"{path}: {HOW_TO_GIVE}")
    if asked.split == "all":
        rows = _of_all(data, asked.n, asked.seed)
    else:
        rows = subset(data.splits[asked.split], asked.n, asked.seed)
    with evaluating([model]):
        z, rates = rated_codes(model, rows, asked.seed)
    names = None if data.factor_names is None else list(data.factor_names)
    return Coding(z, rows.factors, names, rates, data.fingerprint(), asked.split, data)


def _of_all(data: Data, n: int, seed: int) -> Split:
    """At most ``n`` rows of all three splits; the others, which may be streamed, are not read."""
    import torch

    from reparam.data import Split
    from reparam.evaluation.rows import subset

    splits = list(data.splits.values())
    count = sum(map(len, splits))
    number = subset(Split(torch.arange(count)[:, None]), n, seed).x[:, 0]
    parts, start = [], 0
    for split in splits:
        inside = number[(number >= start) & (number < start + len(split))]
        if len(inside):
            parts.append(split.take(inside - start))
        start += len(split)
    factors = [part.factors for part in parts if part.factors is not None]
    together = torch.cat(factors) if len(factors) == len(parts) else None
    return Split(torch.cat([part.x for part in parts]), factors=together)


def _of_archive(path: Path, asked: Asked) -> Coding:
    """Somebody's codes, perhaps as ``encode`` wrote them."""
    import numpy as np

    from reparam.data.numpy_files import read_arrays

    arrays, pickled = read_arrays(path)
    z, factors = arrays.get("codes", arrays.get("z")), arrays.get("factors")
    lacking = ["codes (or z)"] * (z is None) + ["factors"] * (asked.factors and factors is None)
    if z is None or lacking:
        there = listed(sorted(arrays), 10) or "none"
        unread = f"; {listed(pickled, 10)} hold Python objects and are not read" if pickled else ""
        raise ValueError(
            f"{path}: has no array {' and no '.join(lacking)}; there are {there}{unread}"
        )
    names = arrays.get("factor_names")
    source = arrays.get("row", arrays.get("path", np.arange(len(z) if z.ndim else 0)))
    if z.ndim and len(z) > asked.n:
        kept = np.sort(np.random.default_rng(asked.seed).permutation(len(z))[: asked.n])
        if factors is not None and (not factors.ndim or len(factors) != len(z)):
            raise ValueError(f"{path}: factors are not of the {len(z)} rows that the codes have")
        z, factors = z[kept], None if factors is None else factors[kept]
    return Coding(
        z,
        factors,
        None if names is None else [str(name) for name in names.ravel()],
        arrays.get("rates"),
        source.tolist(),
        "rows",
    )


def _of_factors(
    coding: Coding,
    metrics: list[str] | None,
    kinds: dict[str, FactorKind],
    choices: dict[str, Any],
) -> ScoreTable:
    from reparam.evaluation import ScoreTable
    from reparam.evaluation.disentanglement import disentanglement

    codes, factors, asked = coding.z, coding.factors, metrics or "all"
    with bar("measuring") as watch:
        scores = disentanglement(
            codes, factors, asked, kinds, coding.names, coding.rates, watch=watch, **choices
        )
    of_split = {name: replace(score, split=coding.split) for name, score in scores.items()}
    return ScoreTable(of_split | _ceiling(coding))


def _of_seeds(found: list[Coding], paths: list[Path], seed: int) -> ScoreTable:
    from reparam.evaluation import ScoreTable
    from reparam.evaluation.disentanglement import udr

    for path, coding in zip(paths, found, strict=True):
        if coding.rows != found[0].rows:
            raise ValueError(f"{path}: its codes are of other rows than those of {paths[0]}")
    score = udr([c.z for c in found], [c.rates for c in found], seed=seed)
    return ScoreTable(udr=replace(score, split=found[0].split))


def _kinds(ordered: list[str] | None, circular: list[str] | None) -> dict[str, FactorKind]:
    """What was said of factors, by name."""
    for name in ordered or ():
        if name in (circular or ()):
            raise ValueError(f"ordered: {name!r} is named as circular, too; leave one of them out")
    said: dict[str, FactorKind] = dict.fromkeys(ordered or (), "numbers")
    return said | dict.fromkeys(circular or (), "circular")


def _ceiling(coding: Coding) -> dict[str, Score]:
    """The largest MIG that there could be, by counting equal images in all of a run's data."""
    from reparam.evaluation.disentanglement import mig_ceiling

    data = coding.data
    if data is None or data.space.kind not in ("binary", "levels") or coding.names is None:
        return {}
    if any(split.streamed or split.factors is None for split in data.splits.values()):
        return {}
    grid = _of_all(data, sum(map(len, data.splits.values())), seed=0)
    return {
        "mig_ceiling": replace(mig_ceiling(grid.x, grid.factors, data.factor_names), split="all")
    }


def _tell(scores: ScoreTable, coding: Coding) -> None:
    show(score_table(scores))
    show_notes(dict.fromkeys(note for score in scores.values() for note in score.notes))


def _content(scores: ScoreTable, paths: list[Path], coding: Coding) -> dict[str, Any]:
    """The scores as JSON, with the matrices that they were found from and what their columns are.

    The columns of that of UDR are models.
    """
    matrices = {name: score.matrix for name, score in scores.items() if score.matrix is not None}
    return {
        "sources": [str(path) for path in paths],
        "factors": _factor_names(coding) if len(paths) == 1 else None,
        "scores": {name: score.to_json() for name, score in scores.items()},
        "matrices": {
            name: [[None if x != x else x for x in row] for row in matrix.tolist()]
            for name, matrix in matrices.items()  # UDR has NaN on the diagonal
        },
    }


def _factor_names(coding: Coding) -> tuple[str, ...]:
    """Those of the factors that were not left out."""
    from reparam.evaluation.disentanglement.inputs import read

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # said already
        return read(coding.z, coding.factors, names=coding.names, rates=coding.rates).names


def _draw(
    out: Path,
    scores: ScoreTable,
    coding: Coding,
    kinds: dict[str, FactorKind],
    bins: Bins,
    seed: int,
) -> None:
    """What each latent tells of each factor, its importance where measured, and codes by level."""
    import numpy as np

    from reparam.atomic import write_atomically
    from reparam.evaluation.disentanglement.following import FactorInformation
    from reparam.evaluation.disentanglement.inputs import read
    from reparam.report.factor_matrix import draw_factor_matrix

    names = None if coding.data is None else coding.data.level_names
    trees = scores.get("dci_informativeness")
    coded = read(coding.z, coding.factors, kinds, coding.names, coding.rates)
    told = FactorInformation.of(coded, coding.rates, bins, names, seed)
    importance = None if trees is None else np.asarray(trees.matrix)
    write_atomically(out, draw_factor_matrix(told, importance).savefig)
    show(f"matrix in {named(out)}")
