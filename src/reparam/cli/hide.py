"""Examples of which a part is hidden and repaired: which part, errors there, pictures of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reparam.cli.examples import WIDEST, codec
from reparam.cli.runs import OpenRun
from reparam.cli.tables import rows_table, show, show_notes, told
from reparam.wording import typed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from reparam.cli.folders import Place
    from reparam.cli.outputs import Target
    from reparam.data import DataRecord, Split
    from reparam.evaluation.scores import Score
    from reparam.inspection import Noise

OF_WHOLE = (
    "The model learned to predict hidden patches alone, and nothing is hidden here: --hide 0.75 "
    "hides some."
)


def repair_hidden(
    run: OpenRun,
    split: Split,
    noise: Noise | None,
    target: Target,
    places: Sequence[Place],
    seed: int,
) -> None:
    """Write examples, what is visible of them, and as they are repaired; and say how well.

    Args:
        run: whose model repairs.
        split: the examples, of which some entries may be missing.
        noise: that hides more; None: nothing more.
        target: where to write.
        places: of the examples in a folder.
        seed: of the noise.
    """
    from dataclasses import replace
    from functools import partial

    from reparam.cli.outputs import Result, beside, emit

    record = run.record
    seen = split.x if noise is None else corrupted(run, split, noise, seed)
    found = predicted(run, replace(split, x=seen, gray=None))
    repaired = with_given(seen, found)
    known = noise is not None or not bool(split.x.isnan().any())
    shown = [split.x, seen, repaired] if known else [seen, repaired]
    arrays: dict[str, Any] = {"x": repaired}
    if target.path.suffix.lower() == ".npz" and not target.folder:
        arrays = {"x": split.x, "visible": seen, "repaired": repaired, "predicted": found}
    arrays |= beside(split, record)
    tiles, width = partial(rows_of, shown, record), pictures_across(record, len(split))
    emit(Result(arrays, record.columns, tiles, width, places=places), target, record)
    hidden = "" if noise is None else f", {told_hidden(noise)}"
    show(f"{len(split)} repaired examples in {told(target.path)}{hidden}")
    show_notes(["What was given is as it was; the rest is predicted."])
    if noise is not None:
        show_hidden_errors(run, split.x, [seen], [found], [noise.level])


def hiding_noise(run: OpenRun, share: float, argument: str = "hide") -> Noise:
    """What the model of a run learned to predict, at this share hidden.

    Args:
        run: whose model.
        share: of patches hidden.
        argument: what messages call the share.

    Raises:
        ValueError: a model that did not, or a share that hides all or nothing.
    """
    from dataclasses import replace

    from reparam.use.missing_part import why_not

    noise = codec(run).noise
    if noise is None or not noise.hides:
        instead = "mae or simmim, which did"
        if why_not(run.model) is None:
            instead += f", or: reparam complete {typed(run.path)}"
        raise ValueError(
            f"{argument}: {type(run.model).__name__} did not learn to predict what is hidden; use "
            f"{instead}"
        )
    hidden = round(share * noise.parts)
    if not 1 <= hidden < noise.parts:
        ends = "to".join(f" {end / noise.parts:.3g} " for end in (1, noise.parts - 1)).strip()
        raise ValueError(
            f"{argument}: expected to hide one of the {noise.parts} patches at least and leave one "
            f"visible, a share of {ends}, got {share:g}, which hides {hidden}"
        )
    return replace(noise, level=share)


def corrupted(run: OpenRun, split: Split, noise: Noise, seed: int) -> Tensor:
    """x̃ of examples, each by noise of its own."""
    import torch

    from reparam.batching import rows_at_once
    from reparam.evaluation.rows import seeded_slices

    rows, device, parts = rows_at_once(run.model.space), run.model.anchor.device, []
    for part, own_noise in seeded_slices(len(split), rows, seed, device):
        with own_noise:
            parts.append(noise.corrupt(split.x[part], noise.level).cpu())
    return torch.cat(parts)


def predicted(run: OpenRun, split: Split) -> Tensor:
    """The reconstructions of examples, which may have entries that no x has."""
    import torch

    from reparam.evaluation.rows import batches
    from reparam.space import trusted

    model = codec(run)
    with torch.no_grad(), trusted():
        return torch.cat([model.reconstruct(x, c).cpu() for x, c, _ in batches(model, split)])


def with_given(seen: Tensor, found: Tensor) -> Tensor:
    """What was found of x where it is missing, and what was given everywhere else."""
    import torch

    return torch.where(seen.isnan(), found.to(seen), seen)


def told_hidden(noise: Noise) -> str:
    """How much is hidden, in words."""
    hidden = min(max(round(noise.level * noise.parts), 1), noise.parts - 1)
    return f"{hidden} of {noise.parts} patches hidden"


def show_hidden_errors(
    run: OpenRun,
    clean: Tensor,
    seen: Sequence[Tensor],
    found: Sequence[Tensor],
    shares: Sequence[float],
) -> None:
    """Errors of hidden entries: of their training means, of linear regression, as they were found.

    Args:
        run: whose data say what means are.
        clean: x.
        seen: x with NaN, of each share.
        found: predictions, of each share.
        shares: that are hidden.
    """
    from reparam.evaluation.hidden import Hidden
    from reparam.evaluation.reconstruction import error_score

    hidden = Hidden(run.model.space, run.data().train)
    few = slice(hidden.examples(len(seen)))
    errors = {"mean of training data": [hidden.errors(hidden.by_mean(x), x, clean) for x in seen]}
    if hidden.linear:
        parts = [hidden.linear_errors(x[few], clean[few]) for x in seen]
        errors["linear regression"] = parts
    pairs = zip(seen, found, strict=True)
    errors["repaired"] = [hidden.errors(predictions, x, clean) for x, predictions in pairs]
    scores = {name: [error_score([one], "", "shown") for one in of] for name, of in errors.items()}
    cells = [[name, *map(_cell, of)] for name, of in scores.items()]
    show(rows_table(["error of hidden entries", *(f"at {share:g}" for share in shares)], cells))
    show_notes([f"Mean squared errors of hidden entries: {hidden.vectors.unit}."])


def _cell(score: Score) -> str:
    return f"{score.value:.3g}" + ("" if score.stderr is None else f" ± {score.stderr:.1g}")


def pictures_across(record: DataRecord, examples: int) -> int:
    """How many are in a row of a picture: of clips the frames of one, else of examples."""
    from reparam.report.selection import frames

    many = frames(record.space, record.bands)
    return min(WIDEST, examples) if many == 1 else many


def rows_of(shown: Sequence[Tensor], record: DataRecord) -> Tensor:
    """Sets of as many examples one below the other; of clips a row for each."""
    import torch

    from reparam.cli.outputs import in_rows
    from reparam.report.selection import frames

    if frames(record.space, record.bands) == 1:
        return in_rows(shown, WIDEST)
    clips = torch.stack([x.to(shown[-1]) for x in shown], 1)  # (N, sets, frames, H, W)
    return clips.flatten(0, 2)[:, None]
