"""What is said of a file beside its length."""

import torch

from reparam.cli.code_lengths import back_and_dirty
from reparam.coding import Coded


def test_rows_without_bits_back_do_not_count_as_draws():
    back = torch.tensor([0.0, 80.0, 90.0], dtype=torch.float64)
    rows = torch.full_like(back, 500.0)
    expected = torch.full_like(back, 85.0)
    coded = Coded(b"", "bits back", 0, 0.0, 1, rows, rows, back, expected, first=1)
    assert back_and_dirty(coded) == [
        "1 of 3 rows went without bits back.",
        "Dirty bits: the popped z took 85.00 ± 5.00 bits a row by −log₂ q, 85.00 expected.",
    ]
