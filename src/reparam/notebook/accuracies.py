"""Accuracies with few labels, of probes and of a transfer study, as a page shows them."""

from __future__ import annotations

from reparam.cli.probe import percent
from reparam.evaluation.probing import Probe, Probing
from reparam.notebook.elements import element, heading, piece, table
from reparam.transfer_study import Transfer
from reparam.wording import counted

BELOW = "percent of test examples, ± standard deviation over draws of labels"


def probing_html(found: Probing) -> str:
    """A row for each number of labels, a column for each kind of features."""
    kinds = list(dict.fromkeys(probe.features for probe in found.probes))
    numbers = list(dict.fromkeys(probe.labels for probe in found.probes))
    rows = [[str(n), *(_cell(found[n, kind]) for kind in kinds)] for n in numbers]
    title = heading("Probing", f"{found.data}, {counted(len(found.seeds), 'draw')} of labels")
    listed = table(("labels", *kinds), rows, range(1 + len(kinds)))
    return piece(title, listed, element("p", element("small", BELOW)))


def transfer_html(found: Transfer) -> str:
    """A row for each model and what was measured of it, a column for each number of labels."""
    rows = [
        [entry.label, features, *(_cell(entry[n, features]) for n in found.labels)]
        for entry in found.entries
        for features in entry.features
    ]
    title = heading("Transfer", f"{counted(len(found.entries), 'model')} on {found.data.name}")
    head = ("model", "what", *(f"{n} labels" for n in found.labels))
    listed = table(head, rows, range(2, len(head)))
    return piece(title, listed, element("p", element("small", BELOW)))


def _cell(probe: Probe) -> str:
    return percent(probe.mean, probe.spread)
