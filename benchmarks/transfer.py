"""How much unlabeled data help when labels are few: scratch, PCA, autoencoders, MAE and others.

    python benchmarks/transfer.py digits --budget 60s --out runs/transfer-digits
    REPARAM_DATA=… python benchmarks/transfer.py mnist --budget 15m --jobs 2 --out runs/transfer
    python benchmarks/transfer.py mnist --labels all --seeds 1 --budget 15m --jobs 2 \\
        --out runs/transfer                                  # the same runs, with all labels

Every model trains once without labels for ``--budget``, then all are probed and fine-tuned with the
same few. Prints the table and what was to be reached, whoever wins. ``--out`` goes on where it was
interrupted, with more labels, seeds or models too, and holds ``report.html``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import reparam as rp
from reparam.cli.options import parse_seconds
from reparam.cli.probe import counts, parse_labels
from reparam.cli.tables import show
from reparam.cli.transfer import accuracy_table
from reparam.data.few_labels import Count
from reparam.evaluation.probing import POOLED, WHOLE, Probe
from reparam.presets.registry import PRESETS
from reparam.report.label_curves import TUNED, Learned
from reparam.transfer_study import Transfer

SIX = ("scratch", "pca latent_dim=32", "ae latent_dim=32", "vae latent_dim=32", "mae", "dino")
MORE = ("denoising-ae latent_dim=32", "simmim")
WITHIN = 0.001  # by how much fine-tuned MAE may be below scratch with all labels


def main() -> None:
    args = parsed()
    known = [text for text in args.models if text.split()[0] in {"scratch", *PRESETS}]
    for text in (text for text in args.models if text not in known):
        print(f"left out: {text}, which is no preset here")
    labels = counts(parse_labels(args.labels))
    found = rp.transfer(
        rp.load_data(args.data),
        known,
        out=args.out,
        labels=labels,
        seeds=args.seeds,
        jobs=args.jobs,
        budget=args.budget,
        epochs=None,
    )
    show(accuracy_table(found.entries, found.labels))
    for text in (*verdicts(found), f"curves: {args.out / 'report.html'}"):
        print(text)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", help="digits, mnist, or what else reparam reads")
    parser.add_argument("--models", nargs="+", default=SIX, help=f"also {', '.join(MORE)}")
    parser.add_argument("--labels", default="10,100,1000")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", type=parse_seconds, default=60.0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def verdicts(found: Transfer) -> Iterator[str]:
    """What was to be reached, number of labels by number of labels."""
    there = {entry.label.split()[0]: entry for entry in found.entries}
    for n in found.labels:
        if {"mae", "scratch"} <= there.keys():
            yield above_scratch(there["mae"][n, TUNED], there["scratch"][n, TUNED], n)
        if {"mae", "pca"} <= there.keys():
            pca, mae = there["pca"][n, WHOLE], there["mae"][n, TUNED]
            yield f"{n} labels: MAE fine-tuned {said(mae)}, PCA + logistic regression {said(pca)}"
        if {"mae", "dino"} <= there.keys():
            yield self_distilled(there["dino"], there["mae"], n)


def above_scratch(mae: Probe, scratch: Probe, n: Count) -> str:
    """Of all labels, one draw: not below by more than a thousandth; else above both spreads."""
    gain = mae.mean - scratch.mean
    if n == "all":
        least = f"more than {-100 * WITHIN:.1f} %"
        reached = gain >= -WITHIN
    else:
        spreads = (mae.spread or 0.0) + (scratch.spread or 0.0)
        least, reached = f"more than both spreads, {100 * spreads:.1f}", gain > spreads
    what = f"MAE {said(mae)} fine-tuned, scratch {said(scratch)}: {100 * gain:+.1f}"
    return f"{n} labels: {what}; {least}: {verdict(reached)}"


def self_distilled(dino: Learned, mae: Learned, n: Count) -> str:
    """The published ordering of linear probes: of pooled codes where there are such."""
    own, other = (one[n, POOLED if one.of(POOLED) else WHOLE] for one in (dino, mae))
    what = f"probe of DINO ({own.features}) {said(own)}, of MAE ({other.features}) {said(other)}"
    return f"{n} labels: {what}: {verdict(own.mean > other.mean)}"


def said(probe: Probe) -> str:
    spread = "" if probe.spread is None else f" ± {100 * probe.spread:.1f}"
    return f"{100 * probe.mean:.1f}{spread}"


def verdict(reached: bool) -> str:
    return "reached" if reached else "not reached"


if __name__ == "__main__":
    main()
