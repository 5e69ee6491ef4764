"""The matrix of latents and factors: winners, gaps and dead latents as they are."""

import torch
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from reparam.report.factor_matrix import FactorMatrix, draw_factor_matrix


def test_winners_gaps_and_dead_latents():
    told = torch.tensor([[0.1, 0.7], [0.0, 0.0], [0.8, 0.5]])
    panels = {"I/H": told, "importance": told / told.sum(0)}
    order = (2, 0, 1)
    shown = FactorMatrix(panels, ("shape", "x"), (False, True, False), order)
    first, second = draw_factor_matrix(shown).axes
    assert [t.get_text() for t in first.get_yticklabels()] == ["z2", "z0", "z1"]
    assert to_hex(first.get_yticklabels()[2].get_color()) == "#999999"
    assert [t.get_text() for t in first.get_xticklabels()] == ["shape\ngap 0.70", "x\ngap 0.20"]
    frames = [p for p in first.patches if isinstance(p, Rectangle) and not p.get_fill()]
    assert [f.get_xy() for f in frames] == [(-0.5, -0.5), (0.5, 0.5)]  # z2 for shape, z0 for x
    assert [t.get_text() for t in first.texts[:2]] == ["0.80", "0.50"]
    assert second.get_title(loc="left") == "importance"
