"""The matrix of latents and factors: winners, gaps and dead latents as they are; codes by level."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from reparam.evaluation.disentanglement.following import FactorInformation
from reparam.evaluation.disentanglement.inputs import read
from reparam.report import plots
from reparam.report.factor_matrix import draw_factor_matrix
from reparam.report.level_means import HOLE, draw_level_means

LEVELS = np.stack(np.meshgrid(range(3), range(8)), -1).reshape(-1, 2).repeat(5, 0)


def information(share, z=None, **known):
    """With codes of their own, but shares that are said; z1 is dead."""
    codes = np.c_[LEVELS[:, 0], 0 * LEVELS[:, 0], 4.0 * LEVELS[:, 1]] if z is None else z
    coded = read(codes, LEVELS, known.pop("kinds", None), ("shape", "x"))
    share = np.asarray(share)
    return FactorInformation(coded, share, share[0] * 0, codes.std(0), False, **known)


def test_winners_gaps_and_dead_latents():
    told = np.array([[0.1, 0.7], [0.0, 0.0], [0.8, 0.5]])
    found = information(told, level_names={"shape": ("square", "ellipse", "heart")})
    first, second, shape, x = draw_factor_matrix(found, told / told.sum(0)).axes
    assert [t.get_text() for t in first.get_yticklabels()] == ["z2", "z0", "z1"]
    assert to_hex(first.get_yticklabels()[2].get_color()) == "#999999"
    assert [t.get_text() for t in first.get_xticklabels()] == ["shape\ngap 0.70", "x\ngap 0.20"]
    frames = [p for p in first.patches if isinstance(p, Rectangle) and not p.get_fill()]
    assert [f.get_xy() for f in frames] == [(-0.5, -0.5), (0.5, 0.5)]  # z2 for shape, z0 for x
    assert [t.get_text() for t in first.texts[:2]] == ["0.80", "0.50"]
    assert second.get_title(loc="left") == "importance by trees"
    assert second.texts[0].get_text() == "0.89"
    assert shape.get_title(loc="left") == "z2 by shape" and x.get_title(loc="left") == "z0 by x"
    assert [t.get_text() for t in shape.get_xticklabels()] == ["square", "ellipse", "heart"]
    assert len(draw_factor_matrix(found).axes) == 3


def test_of_latents_that_tell_as_much_the_one_that_is_drawn_below_is_framed():
    """z0 carries less than z2 and stands below it, but wins where both tell as much."""
    found = information([[0.6, 0.4], [0.0, 0.0], [0.6, 0.5]])
    first, *_ = draw_factor_matrix(found).axes
    frames = [p.get_xy() for p in first.patches if isinstance(p, Rectangle) and not p.get_fill()]
    assert found.order == [2, 0, 1] and found.winners.tolist() == [0, 2]
    assert frames == [(-0.5, 0.5), (0.5, -0.5)]


def test_levels_that_lack_leave_their_place_on_a_circle_empty():
    kept = np.isin(LEVELS[:, 1], (0, 1, 3, 6, 7))
    angle = 2 * np.pi * LEVELS[kept, 1] / 8
    coded = read(np.cos(angle)[:, None], LEVELS[kept], {"x": "circular"}, ("shape", "x"))
    share = np.array([[0.0, 1.0]])
    found = FactorInformation(coded, share, share[0] * 0, np.ones(1), False)
    axis = plots.panel(2, 2)[1]
    draw_level_means(axis, found, 1, "blue")
    x, y = axis.lines[-1].get_xydata().T
    wanted = 2 * np.pi * np.array([0, 1, 3, 6, 7]) / 8
    np.testing.assert_allclose(np.arctan2(y, x) % (2 * np.pi), wanted, atol=1e-12)
    assert axis.lines[-2].get_xydata()[-1] == pytest.approx([x[0], y[0]])  # the line is closed


def test_a_line_of_means_within_a_deviation():
    found = information([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    axis = plots.panel(2, 2)[1]
    draw_level_means(axis, found, 1, "blue")
    np.testing.assert_allclose(axis.lines[0].get_xydata(), [[k, 4 * k] for k in range(8)])
    assert [t.get_text() for t in axis.get_xticklabels()] == ["0", "2", "4", "6"]


def test_circles_have_levels_as_angles_and_codes_as_radius():
    """A code of cos: its mean at level k of 8 lies at 2πk/8, the largest on the outer circle."""
    codes = np.cos(2 * np.pi * LEVELS[:, [1]] / 8)
    found = information([[0.0, 1.0]], codes, kinds={"x": "circular"})
    axis = plots.panel(2, 2)[1]
    draw_level_means(axis, found, 1, "blue")
    x, y = axis.lines[-1].get_xydata().T
    turn = 2 * np.pi * np.arange(8) / 8
    np.testing.assert_allclose(np.hypot(x, y), HOLE + (1 - HOLE) * (np.cos(turn) + 1) / 2)
    np.testing.assert_allclose(np.arctan2(y, x) % (2 * np.pi), turn, atol=1e-12)
    labels = [t for t in axis.texts if t.get_text() in set("01234567") and t.get_fontsize() == 9]
    assert len(labels) == 8
    beyond = np.hypot(*np.array([t.get_position() for t in labels]).T)
    assert beyond == pytest.approx(np.full(8, 1.18))
