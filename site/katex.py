"""Equations of the built site, set by KaTeX while it is built: pages need no script and no host.

``python site/katex.py fetch`` puts KaTeX into build/katex, ``python site/katex.py set`` sets every
equation of build/site. Without npm both do nothing but say so: equations stay as they were typed.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build" / "katex"
VERSION = "0.16.22"
SHA256 = "e9e0d167db3175481cbadaff38e8d90b130f6a3ddb451a47e43c577fd511f365"
WITHOUT = "npm and node are not here: the equations of the site stay as they were typed"


def fetch() -> None:
    """Packs the pinned version, and unpacks what is served and what sets equations."""
    if (FOLDER / VERSION).exists():
        return
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    subprocess.run(["npm", "pack", "--silent", f"katex@{VERSION}"], cwd=FOLDER, check=True)
    packed = FOLDER / f"katex-{VERSION}.tgz"
    found = hashlib.sha256(packed.read_bytes()).hexdigest()
    if found != SHA256:
        raise SystemExit(f"katex {VERSION}: expected sha256 {SHA256}, got {found}")
    with tarfile.open(packed) as archive:
        for member in archive.getmembers():
            name = member.name.removeprefix("package/dist/")
            if name in {"katex.js", "katex.min.css"} or name.startswith("fonts/"):
                member.name = name
                archive.extract(member, FOLDER, filter="data")
    packed.unlink()
    (FOLDER / VERSION).touch()


def set_equations() -> None:
    """An equation that KaTeX does not read ends the build."""
    script = Path(__file__).with_name("set_equations.cjs")
    subprocess.run(["node", script, FOLDER / "katex.js", ROOT / "build" / "site"], check=True)


if __name__ == "__main__":
    if shutil.which("npm") and shutil.which("node"):
        {"fetch": fetch, "set": set_equations}[sys.argv[1]]()
    else:
        print(WITHOUT, file=sys.stderr)
