"""The table of lengths, of numbers that divide by nothing too."""

import io

import pytest
import torch
from rich.console import Console

from reparam.cli.code_lengths import Lengths
from reparam.coding import Compressed


@pytest.mark.parametrize(("model", "more"), [(40.0, "+24 (+60.00%)"), (0.0, "+64 (+inf%)")])
def test_lengths_stand_beside_the_models_number(model, more):
    lengths = Lengths(64, 64.0, {"gzip": 40}, model, "−log₂ p (exact)")
    written = io.StringIO()
    Console(width=120, file=written).print(lengths.table())
    (raw,) = (line for line in written.getvalue().splitlines() if line.startswith("raw"))
    assert raw.rstrip().endswith(more) and "1.0000" in raw


@pytest.mark.parametrize("model", [40.0, 0.0])
def test_a_sentence_says_how_much_longer_a_file_is(model):
    none = torch.zeros(4)
    coded = Compressed(bytes(9), "direct", 64, none, none, none, none)
    said = Lengths(64, 64.0, {}, model, "−log₂ p (exact)", coded).sentence()
    more, whole = ("60.00%", "80.00%") if model else ("inf%", "inf%")
    assert f"{more} longer than −log₂ p, not within 0.5%; with it {whole} longer" in said
