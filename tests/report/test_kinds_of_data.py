"""The page of every kind of data, and of models that want labels or have no real codes."""

import re

import pytest
import torch
from pages import build, data_of, entry

from reparam.model import Codec, Generator, Loss, Space
from reparam.report import write_page


def models(data):
    return [entry(name.upper(), build(name, data)) for name in ("pca", "ae", "vae")]


def space_and_x(kind):
    generator = torch.Generator().manual_seed(0)
    if kind == "rgb":
        x = torch.randint(0, 256, (40, 3, 20, 28), generator=generator)
        return Space((3, 20, 28), "levels", 256), x.to(torch.uint8)
    if kind == "odd binary":
        return Space((1, 13, 9), "binary"), torch.rand(40, 1, 13, 9, generator=generator).round()
    if kind == "real images":
        return Space((1, 6, 5), "real"), torch.randn(40, 1, 6, 5, generator=generator)
    if kind == "large":
        x = torch.randint(0, 256, (20, 3, 80, 64), generator=generator)
        return Space((3, 80, 64), "levels", 256), x.to(torch.uint8)
    width = {"table": 5, "long": 60, "two": 2}[kind]
    return Space((width,), "real"), torch.randn(40, width, generator=generator) * 9 + 3


@pytest.mark.parametrize("kind", ["rgb", "odd binary", "real images", "large", "table", "long"])
def test_every_kind_of_data(kind, tmp_path):
    space, x = space_and_x(kind)
    columns = ("weight", "a & b", "c", "d", "e") if kind == "table" else None
    data = data_of(x, space, columns=columns)
    text = write_page(tmp_path / "r.html", data, models(data)).read_text("utf-8")
    for section in ("reconstructions", "samples", "latent", "traversals"):
        assert f'<section id="{section}"' in text
    assert ('<section id="interpolations"' in text) == space.is_image
    assert kind != "table" or "a &amp; b" in text


def test_vectors_of_two_entries_and_few_rows(tmp_path):
    space, x = space_and_x("two")
    data = data_of(x[:3], space)
    page = write_page(tmp_path / "r.html", data, [entry("VAE", build("vae", data))])
    assert '<section id="samples"' in page.read_text("utf-8")


def test_a_single_row(tmp_path):
    data = data_of(torch.ones(1, 1, 4, 4), Space((1, 4, 4), "binary"))
    page = write_page(tmp_path / "r.html", data, [entry("VAE", build("vae", data))])
    assert '<section id="reconstructions"' in page.read_text("utf-8")


class ClassMeans(Codec, Generator):
    """A conditional model that insists on labels; its codes are two numbers, or indices."""

    conditional = True

    def __init__(self, space, indices=False):
        super().__init__(space)
        self.code_space = Space((2,), "levels", 4) if indices else Space((2,), "real")

    code_space = None

    def loss(self, x, c=None, player="model"):
        return Loss(x.mean(), {})

    def encode(self, x, c=None):
        x, c = self.prepare(x, c)
        code = x[:, :, 0, :2].flatten(1)
        return code.long() if self.code_space.kind == "levels" else code

    def decode(self, code, c=None):
        c = self._condition(c, len(code))
        return c.to(self.anchor).view(-1, 1, 1, 1).expand(-1, *self.space.shape)

    def draw(self, n, c, generator):
        return self.decode(torch.zeros(n, 2), c)


def labeled():
    x = torch.randint(0, 4, (30, 1, 4, 4), generator=torch.Generator().manual_seed(0))
    space = Space((1, 4, 4), "levels", 4, classes=3)
    return data_of(x.to(torch.uint8), space, torch.arange(30) % 3, class_names=("a", "b", "c"))


def test_conditional_models_get_their_labels(tmp_path):
    data = labeled()
    text = write_page(tmp_path / "r.html", data, [entry("C", ClassMeans(data.space))])
    assert '<section id="interpolations"' in text.read_text("utf-8")


def test_codes_without_straight_lines_have_no_latent_sections(tmp_path):
    data = labeled()
    path = write_page(tmp_path / "r.html", data, [entry("C", ClassMeans(data.space, indices=True))])
    text = path.read_text("utf-8")
    assert '<section id="reconstructions"' in text and '<section id="samples"' in text
    assert '<section id="latent"' not in text and '<section id="interpolations"' not in text


def test_maps_show_rows_from_everywhere(tmp_path, monkeypatch):
    """Data stored class by class: the first rows are of one class only."""
    monkeypatch.setattr("reparam.report.section.MOST_ROWS", 20)
    space = Space((1, 4, 4), "binary", classes=2)
    labels = torch.arange(100) // 50
    x = torch.rand(100, 1, 4, 4).round()
    data = data_of(x, space, labels, class_names=("first", "last"))
    path = write_page(tmp_path / "r.html", data, [entry("AE", build("ae", data))])
    html = path.read_text("utf-8")
    (first, rows), (last, others) = re.findall(
        r'dots"[^>]*data-class="(.)" data-rows="(.*?)"', html
    )
    assert (first, last) == ("0", "1")
    rows, others = rows.split(), others.split()
    # the rows of the map number those shown, in their order, so that classes stay in turn
    assert [*map(int, rows), *map(int, others)] == list(range(20))
    assert min(len(rows), len(others)) >= 4


def test_traversals_and_pairs_read_rows_from_everywhere(monkeypatch, tmp_path):
    seen = []

    def subset(split, count, seed):
        seen.append((count, seed))
        return rows.subset(split, count, seed)

    from reparam.evaluation import rows

    for part in ("section", "sections.sampled_columns"):
        monkeypatch.setattr(f"reparam.report.{part}.subset", subset)
    space, x = space_and_x("table")
    data = data_of(x, space)
    write_page(tmp_path / "r.html", data, [entry("VAE", build("vae", data))], seed=5)
    assert sorted(seen) == [(40, 5), (2000, 5)]


def test_columns_with_dollars_and_outputs_that_are_not_finite(tmp_path):
    space, x = space_and_x("two")
    data = data_of(x, space, columns=("price $x_$", "$\\bad$"))
    vae = build("vae", data)
    with torch.no_grad():
        next(vae.decoder.parameters()).fill_(float("nan"))
    text = write_page(tmp_path / "r.html", data, [entry("VAE", vae)]).read_text("utf-8")
    assert "price $x_$" in text
