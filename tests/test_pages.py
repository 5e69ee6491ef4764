"""The commands of every page of docs/ run, in a folder that has what their readers have.

`make docs` runs these; `make test` only looks whether they could be typed (tests/test_readme.py).
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from page_commands import LESS, lines_of, make_data, run_cut, train_little
from PIL import Image

DOCS = Path(__file__).parents[1] / "docs"
# Those with most to run first, so that no process is left with one of them at the end.
PAGES = sorted((p for p in DOCS.rglob("*.md") if lines_of(p)), key=lambda p: (-len(lines_of(p)), p))
# Runs that pages speak of and have not made themselves.
RUNS = (
    "reparam fit vae digits latent_dim=2 hidden=8 -o runs/vae",
    "reparam fit cvae digits latent_dim=2 hidden=8 -o runs/cvae",
    "reparam fit pixel-cnn digits layers=1 -o runs/pixels",
    "reparam fit ddpm digits width=16 times=5 -o runs/ddpm",
    "reparam fit vae survey.csv --drop id -o runs/survey",
    "reparam fit vae factors.npz latent_dim=2 hidden=8 -o runs/factors",
)
# What is not run, and why.
NOT_RUN = {
    r"pip |source ": "installs, which the tests of a clean clone do",
    r"make ": "is a target of the Makefile, which runs this",
    r"python -m reparam.presets|REPARAM_TEST_ONLY": "is followed by tests/test_add_a_model.py",
    r"torchrun ": "starts several processes; tests/train does",
    r".*--device cuda": "needs a GPU; benchmarks/gpu.py does",
    r"reparam explore runs/\S+( --port \d+)?( --no-browser)?$": "serves until it is stopped",
    r"reparam push |.*hf:": "needs the hub, an account and a network; its tests replace them",
    r"reparam transfer mnist": "trains fifteen models; tests/test_readme.py does as much",
    r"reparam disentangle runs/a ": "compares three runs, as tests/cli does",
    r"reparam (fit mae moving-digits|reconstruct runs/video)": "needs minutes; tests/models do",
}
# What would take minutes as it is written: a smaller thing of the same kind.
SMALLER = (
    (r"--families( --seeds 3)?( --budget 10m)?(?= )", "--model pca --model ae-gmm"),
    (r"\bbinarized-mnist\b", "digits --binarize 0.5"),
    (r"\bmnist\b", "digits"),
    (r"hidden=500", "hidden=24"),
    (r"runs=500 temperatures=5000", "runs=10 temperatures=20"),
    (r"--steps \d+", "--steps 5"),
    (r"--labels [\d,]+,1000(,all)?", "--labels 10,100"),
    (r"--box \d+,\d+,\d+,\d+", "--box 2,2,4,4"),
    (r"(fit ddpm \S+)(?!.*times=)", r"\1 times=5 width=16"),
    (r"(fit ebm \S+)(?!.*runs=)", r"\1 runs=10 temperatures=20 hidden=8 chains=16"),
    (r"--draws \d+", "--draws 2"),
    (r'--model "ddpm ', '--model "ddpm times=5 width=16 '),
    (r"--model ddpm", '--model "ddpm times=5 width=16"'),
    (r"--sampling-steps \d+", "--sampling-steps 4"),
)


def reason(line: str) -> str | None:
    """Why a line is not run; None where it is."""
    return next((why for words, why in NOT_RUN.items() if re.match(words, line)), None)


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """A folder with the files and runs that pages speak of."""
    folder = tmp_path_factory.mktemp("reader")
    make_data(folder)
    rng = np.random.default_rng(1)
    for name, side, count in (("mine", 8, 3), ("pictures", 4, 3)):
        (folder / name).mkdir()
        for i in range(count):
            pixels = rng.integers(0, 256, (side, side), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    mask = np.zeros((8, 8), np.uint8)
    mask[:4] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    shutil.copy(folder / "survey.csv", folder / "new.csv")
    rows = np.column_stack([rng.normal(size=(80, 3))])
    np.savetxt(folder / "table.csv", rows, delimiter=",", header="a,b,c", comments="", fmt="%.3f")
    holes = rng.integers(0, 17, (4, 1, 8, 8)).astype(float)
    holes[:, :, :4, :4] = np.nan
    np.save(folder / "holes.npy", holes)
    factors = np.stack(np.meshgrid(np.arange(3), np.arange(4), np.arange(60)), -1).reshape(-1, 3)
    names = np.array(["shape", "size", "angle"])
    codes = factors + rng.normal(size=factors.shape)
    np.savez(folder / "codes.npz", codes=codes, factors=factors, factor_names=names)
    np.savez(
        folder / "factors.npz", x=codes.astype(np.float32), factors=factors, factor_names=names
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train_little(patch)
        for line in RUNS:
            run_cut(f"{line} --epochs 1", patch)
    return folder


@pytest.mark.pages
@pytest.mark.filterwarnings("ignore:most of .* codes are idle")  # after so few steps
@pytest.mark.filterwarnings("ignore:ended at step .*, before the objective settled")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(DOCS).as_posix())
def test_commands_of_a_page_run(page, reader, tmp_path, monkeypatch, capsys):
    folder = shutil.copytree(reader, tmp_path / "reader")
    monkeypatch.chdir(folder)
    train_little(monkeypatch)
    if page.stem == "disentanglement":  # its run is of data with factors
        shutil.rmtree("runs/vae")
        Path("runs/factors").rename("runs/vae")
    for line in lines_of(page):
        if reason(line) is None:
            if line.startswith("python -c "):
                subprocess.run([sys.executable, *shlex.split(line)[1:]], check=True)
                continue
            assert line.startswith("reparam "), f"{line}: neither run nor in NOT_RUN"
            made = re.search(r"-o (\S+)", line)
            if made:  # what the page makes takes the place of what was there
                shutil.rmtree(made[1], ignore_errors=True)
                Path(made[1]).unlink(missing_ok=True)
            for written, smaller in SMALLER:
                line = re.sub(written, smaller, line)
            run_cut(line, monkeypatch, capsys)


def test_what_is_not_run_is_on_some_page():
    lines = [line for page in PAGES for line in lines_of(page)]
    assert all(any(re.match(words, line) for line in lines) for words in NOT_RUN)
    assert sum(reason(line) is None for line in lines) > 3 / 4 * len(lines)


def test_cuts_leave_what_is_no_amount():
    line = "reparam fit vae digits latent_dim=2 --budget 20s"
    for written, cut in LESS:
        line = re.sub(written, cut, line)
    assert line == "reparam fit vae digits latent_dim=2 --epochs 1"
