"""Presets by name: one imports what it needs, and all are found whatever was imported before."""

from __future__ import annotations

import compileall
import json
import subprocess
import sys
from importlib import import_module

import pytest

import reparam as rp
from reparam.presets import PRESETS, preset
from reparam.presets.catalog import Catalog


def told(script):
    """What a new process makes of a script that prints JSON."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_sources_say_which_module_registers_which_preset():
    """Else the preset would be found by importing all."""
    assert PRESETS.sources == {name: one.build.__module__ for name, one in PRESETS.items()}
    assert len(PRESETS) == len(PRESETS.sources) > 60


def test_building_one_imports_no_other_family():
    """Of presets those of VAEs, and no model, network or part of others."""
    modules = told(
        "import json, sys, reparam as rp\n"
        "rp.build('vae', rp.Space((9,), 'binary'))\n"
        "print(json.dumps([m for m in sys.modules if m.startswith('reparam.')]))"
    )
    families = {m for m in modules if m in {one.build.__module__ for one in PRESETS.values()}}
    assert families == {"reparam.presets.vaes"}
    assert {m for m in modules if m.startswith("reparam.models.")} == {
        "reparam.models.conditional",
        "reparam.models.vae",
    }
    unused = ("diffusion", "chains", "data", "train", "inspection", "presets.flow_latents")
    apart = tuple(f"reparam.{name}" for name in (*unused, "objectives.latent_penalties"))
    assert not [m for m in modules if m.startswith(apart)]


@pytest.mark.parametrize("first", ["dynamic-vae", "gan", "no-such-model"])
def test_names_come_in_one_order_whichever_is_imported_first(first):
    names = told(
        "import json\n"
        "from reparam.presets import PRESETS\n"
        f"PRESETS.get({first!r})\n"
        "print(json.dumps(list(PRESETS)))"
    )
    assert names == list(PRESETS.sources)


def test_a_name_that_another_module_has_is_refused(monkeypatch):
    """Before that module is imported as well."""

    def build(space: rp.Space) -> rp.PCA:
        """A model."""
        return rp.PCA(space, 1)

    monkeypatch.setattr(PRESETS, "_registered", {})
    with pytest.raises(ValueError, match="gan: .*, reparam.presets.adversarial has registered"):
        preset("gan", paper="none")(build)
    preset("of-my-own", paper="none")(build)
    with pytest.raises(ValueError, match="of-my-own: expected a new name"):
        preset("of-my-own", paper="none")(build)
    assert PRESETS["of-my-own"].build is build


@pytest.mark.parametrize("compiled", [False, True])
def test_a_name_that_no_source_says_is_found_by_importing_all(tmp_path, monkeypatch, compiled):
    """As all are where an installation has compiled files alone."""
    package = tmp_path / f"animals{compiled}"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from pathlib import Path\nfrom reparam.presets.catalog import Catalog\n"
        "KNOWN = Catalog(__name__, Path(__file__).parent, 'known')\n"
        "def known(name):\n"
        "    return lambda made: KNOWN.register(name, made, made.__module__)\n"
    )
    said = 'from . import known\n\n@known("cat")\ndef cat():\n    pass\n'
    unsaid = "from . import known\n\nfor n in range(2):\n    known(f'dog {n}')(lambda: n)\n"
    (package / "cats.py").write_text(said)
    (package / "dogs.py").write_text(unsaid)
    if compiled:
        compileall.compile_dir(package, legacy=True, quiet=1)
        for source in package.glob("*.py"):
            source.unlink()
    monkeypatch.syspath_prepend(tmp_path)
    known: Catalog = import_module(package.name).KNOWN
    assert known["cat"].__name__ == "cat"
    assert (f"{package.name}.dogs" in sys.modules) == compiled
    assert "dog 1" in known and list(known) == ["cat", "dog 0", "dog 1"] and len(known) == 3
    assert repr(known) == "Catalog(cat, dog 0, dog 1)"
    with pytest.raises(KeyError):
        known["mouse"]
    del known["dog 0"]
    assert known.keys() == {"cat", "dog 1"}
