"""The section of class boundaries: lines that discriminate beside densities of the classes."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import reparam as rp
from reparam.report import TrainedModel, write_page
from reparam.report.section import Shown
from reparam.report.sections import class_boundaries as section


def shown_of(name: str = "two-moons", labels: bool = True, **options: Any) -> Shown:
    data = rp.load_data(name)
    splits = [split.take(slice(0, 400)) for split in data.splits.values()]
    if not labels:
        splits = [rp.Split(split.x) for split in splits]
    few = rp.Data(*splits, data.space, data.name, class_names=data.class_names)
    model = rp.build("pca", few.space, latent_dim=1, **options)
    history = rp.fit(model, few, progress=False)
    return Shown(few, [TrainedModel("Gaussians", model, {}, history)])


@pytest.fixture(scope="module")
def shown() -> Shown:
    return shown_of(per_class=True)


def test_lines_and_densities_stand_side_by_side_with_their_accuracies(shown):
    cards = section.build(shown)
    names = ["Logistic regression", "Linear support vectors", "Gaussians"]
    assert [card.label for card in cards] == names
    test, train = shown.data.test, shown.data.train
    scale = StandardScaler().fit(train.x)
    line = LogisticRegression().fit(scale.transform(train.x), train.labels)
    right = line.score(scale.transform(test.x), test.labels)
    assert cards[0].figures[0][0].startswith(f"The line that it learns: {100 * right:.1f} %")
    found = rp.classify(shown.entries[0].model, test.x).argmax(1)
    share = (found == test.labels).double().mean().item()
    caption = cards[2].figures[0][0]
    assert f"{100 * share:.1f} % right of 400 test examples" in caption
    assert re.search(r"\(\d+\.\d–\d+\.\d %\)$", caption)


def test_areas_are_of_the_class_that_is_the_most_probable(shown, monkeypatch):
    areas: list[Any] = []
    panel = section.plots.panel

    def keep(*size: float) -> Any:
        figure, axis = panel(*size)
        fill, lines = axis.contourf, axis.contour
        seen: dict[str, Any] = {"fill": [], "lines": []}
        areas.append(seen)
        axis.contourf = lambda *a, **k: seen["fill"].append(a) or fill(*a, **k)
        axis.contour = lambda *a, **k: seen["lines"].append(a) or lines(*a, **k)
        return figure, axis

    monkeypatch.setattr(section.plots, "panel", keep)
    section.build(shown)
    model = shown.entries[0].model
    x, y, margin, _ = areas[2]["fill"][0]  # of class 0
    at = torch.from_numpy(np.stack([x, y], -1)).flatten(0, 1)
    expected = rp.classify(model, at)[:, 0] - rp.classify(model, at)[:, 1]
    np.testing.assert_allclose(margin.ravel(), expected, rtol=1e-4, atol=1e-4)
    *_, density, levels = areas[2]["lines"][-1]  # of class 1, after a boundary for each class
    torch.testing.assert_close(
        torch.from_numpy(density).flatten().double(),
        model.log_prob(at, 1).value,
        rtol=1e-4,
        atol=1e-4,
    )
    assert levels == pytest.approx([density.max() - 2.0, density.max() - 0.5])
    assert [len(one["lines"]) for one in areas] == [2, 2, 4]  # no density of the linear ones


def test_colors_are_those_of_the_classes_in_both_themes(shown, tmp_path):
    page = write_page(tmp_path / "page.html", shown.data, shown.entries).read_text()
    (part,) = re.findall(r'<section id="class-boundaries".*?</section>', page, re.DOTALL)
    assert "var(--class-0)" in part and "var(--class-1)" in part and "#0103" not in page
    assert part.count("<svg") == 3


@pytest.mark.parametrize(
    "options",
    [{}, {"labels": False}, {"name": "checkerboard"}],
    ids=["no density of classes", "no labels", "no classes"],
)
def test_without_classes_or_a_model_that_knows_them_there_is_no_section(options):
    assert not section.SECTION.applies(shown_of(**options))
    assert section.SECTION.applies(shown_of(per_class=True))
