"""``python site/wheel.py FOLDER``: the wheel in it has every file of the package, and nothing else.

Then it is installed beside the dependencies that are here, in an environment of its own, and used.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
IGNORED = {"__pycache__"}


def sources() -> set[str]:
    """Every file of the package, as the wheel is to name it."""
    files = (ROOT / "src" / "reparam").rglob("*")
    return {
        path.relative_to(ROOT / "src").as_posix()
        for path in files
        if path.is_file() and not IGNORED & set(path.parts)
    }


def contents(wheel: Path) -> set[str]:
    """What the wheel has of the package."""
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names), "no license"
    return {name for name in names if ".dist-info/" not in name}


def use(wheel: Path) -> None:
    """Installs it, and trains a model from another folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        venv.create(folder / "env", with_pip=True)
        python = folder / "env" / "bin" / "python"
        install = ["-m", "pip", "install", "-q", "--no-deps", wheel.resolve()]
        subprocess.run([python, *install], check=True)
        site = next((folder / "env" / "lib").glob("python*/site-packages"))
        here = next(path for path in sys.path if path.endswith("site-packages"))
        (site / "dependencies.pth").write_text(f"{here}\n")
        clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        for words in (
            [python, "-c", "import reparam, sys; assert sys.prefix in reparam.__file__"],
            [folder / "env" / "bin" / "reparam", "--help"],
            [folder / "env" / "bin" / "reparam", "fit", "pca", "digits", "-o", "pca"],
        ):
            subprocess.run(words, check=True, cwd=folder, env=clean, stdout=subprocess.DEVNULL)


def main(folder: Path) -> int:
    """0 where the wheel is whole."""
    (wheel,) = folder.glob("*.whl")
    there, wanted = contents(wheel), sources()
    for name in sorted(wanted - there):
        print(f"{wheel.name}: lacks {name}", file=sys.stderr)
    for name in sorted(there - wanted):
        print(f"{wheel.name}: has {name}, which is no file of the package", file=sys.stderr)
    if there != wanted:
        return 1
    use(wheel)
    print(f"{wheel.name}: {len(there)} files, installed and used")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
