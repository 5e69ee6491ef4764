"""Small runs that the command line made."""

import pytest
from commands import succeed


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """A folder with one small run of each family, made by the command line itself."""
    folder = tmp_path_factory.mktemp("runs")
    for words in (
        ["fit", "vae", "digits", "latent_dim=2", "hidden=16", "-o", folder / "vae", "--epochs", 3],
        ["fit", "ae", "digits", "latent_dim=2", "hidden=16", "-o", folder / "ae", "--epochs", 3],
        ["fit", "pca", "digits", "-o", folder / "pca"],
        ["fit", "made", "digits", "hidden=16", "-o", folder / "made", "--epochs", 1],
    ):
        succeed(*words)
    return folder
