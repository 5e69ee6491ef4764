"""Small comparisons, whose page is made where a test reads it."""

import numpy as np
import pytest

import reparam as rp
from reparam import comparison

AE, VAE = "ae latent_dim=2 hidden=4", "vae latent_dim=2 hidden=4"
QUICK = {"epochs": 1, "samples": 2}


def table(rows, columns=4):
    return rp.load_data(np.random.default_rng(0).normal(size=(rows, columns)))


@pytest.fixture(name="page")
def page_of_a_comparison():
    """Reads the page of a comparison."""
    return lambda folder: (folder / "report.html").read_text("utf-8")


@pytest.fixture(autouse=True)
def word_for_a_page(request):
    """The page is most of the work of so small a comparison: where none is read it is a word."""
    with pytest.MonkeyPatch.context() as patch:
        if "page" not in request.fixturenames:
            patch.setattr(comparison, "write_page", lambda path, *_, **__: path.write_text("-"))
        yield
