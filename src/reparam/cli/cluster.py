"""The command that clusters examples by their codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from reparam.cli.examples import Input, Label, Out, Part, encoder, examples_of
from reparam.cli.options import Force, Seed
from reparam.cli.runs import HERE, Run, Where
from reparam.cli.tables import score_table, show, show_notes, told
from reparam.wording import counted

if TYPE_CHECKING:
    from torch import Tensor

    from reparam.cli.outputs import Result
    from reparam.data import DataRecord, Split
    from reparam.data.contents import Array
    from reparam.use.clusters import Clusters

TYPICAL = 12  # examples of each cluster in a picture


def cluster(
    run: Run,
    examples: Input = None,
    /,
    *,
    k: Annotated[
        int | Literal["auto"],
        Parameter(name="-k", help="How many; auto: those of the lowest BIC, up to 20."),
    ] = "auto",
    method: Annotated[
        Literal["kmeans", "mixture"] | None,
        Parameter(help="k-means, or a mixture of normals; none: the mixture where k is auto."),
    ] = None,
    out: Out = "clusters.csv",
    split: Part = "test",
    label: Label = None,
    seed: Seed = 0,
    force: Force = False,
    where: Where = HERE,
) -> None:
    """Cluster training examples by their codes, and tell the cluster of others.

    A picture has a row for each cluster, the most typical examples first.
    """
    from reparam.cli.outputs import Target, emit
    from reparam.use.clusters import cluster as of_codes

    opened = where.open(run)
    record, model = opened.record, encoder(opened, own=True)
    target = Target.of(out, force, record, examples)
    rows = examples_of(examples, opened, label, None, part=split)
    named = rows if examples is not None else split
    found = of_codes(model, opened.data(), k, method=method, split=named, seed=seed)
    result = _result(rows, found, record, target.folder)
    emit(result, target, record)
    many = counted(len(found.sizes), "cluster")
    show(f"{counted(len(rows), 'example')} in {many} in {told(target.name)}")
    show(f"sizes: {', '.join(map(str, found.sizes.tolist()))}")
    if found.scores:
        show(score_table(found.scores))
    show_notes(_notes(found, model.conditional))


def _result(rows: Split, found: Clusters, record: DataRecord, folder: bool) -> Result:
    """The cluster of each example and its distance from the center; for folders the images."""
    from reparam.cli.folders import places
    from reparam.cli.outputs import Result, beside, padded

    typical = [chosen for chosen in found.typical(TYPICAL) if len(chosen)]
    width = max(map(len, typical))
    below = [
        place._replace(name=f"{number}/{place.name}")
        for number, place in zip(found.assigned.tolist(), places(rows), strict=True)
    ]
    if folder:
        return Result({"x": rows.x}, places=below)
    arrays: dict[str, Tensor | Array] = {
        "cluster": found.assigned,
        "distance": found.distance,
        **beside(rows, record),
    }
    tiles = [rows.x[chosen] for chosen in typical]
    return Result(arrays, tiles=lambda: padded(tiles, width, record.low), width=width)


def _notes(found: Clusters, conditional: bool) -> list[str]:
    notes = []
    if found.bic and len(found.sizes) == max(found.bic):
        notes.append("BIC is lowest for the most clusters that were tried; -k takes more.")
    if conditional:
        notes.append("The model is told its condition, so that codes need not hold it.")
    return notes
