"""Heat maps: one scale for all rows, and what is infinitely odd as hot as can be."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image

from reparam.report.heat import HEAT, HeatRow, _hottest, heat_rows
from reparam.report.pictures import Brightness


def pixels(*parts):
    x = torch.zeros(1, 1, 2, 2)
    rows = [HeatRow(str(i), x, ["0"], part.view(1, 1, 2, 2)) for i, part in enumerate(parts)]
    picture = heat_rows(rows, Brightness(0, 1, None), "", "")
    return np.asarray(Image.open(io.BytesIO(picture.data)).convert("RGB")).astype(int)


def reach(page):
    """How near any of its pixels comes to the hottest color, which covers 94 % at most."""
    return np.abs(page - np.array(HEAT[-1])).max(2).min()


def test_an_infinite_part_is_as_hot_as_the_largest_of_another_row():
    cold = torch.tensor([0.0, 0.0, 0.0, 1.0])
    infinite = torch.tensor([0.0, 0.0, 0.0, torch.inf])
    hot = torch.full((4,), 9.0)
    page = pixels(infinite + cold, hot)
    assert reach(page) < 16
    upper, lower = np.array_split(page, 2)
    assert reach(upper) == reach(lower)
    assert reach(np.array_split(pixels(cold, hot), 2)[0]) > 60


def test_where_no_part_is_finite_or_above_0_there_is_a_scale():
    x = torch.zeros(1, 1, 2, 2)
    for part in (torch.inf, -torch.inf, 0.0, -1.0):
        row = HeatRow("", x, [""], torch.full((1, 1, 2, 2), part))
        assert _hottest([row]) == 1.0
