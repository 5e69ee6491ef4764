"""Named models. Importing this package registers those of every file in it."""

from importlib import import_module
from pkgutil import iter_modules

from reparam.presets.registry import PRESETS, Accepts, Preset, build, by_family, find_preset, preset

for _module in iter_modules(__path__):
    if _module.name != "__main__":
        import_module(f"{__name__}.{_module.name}")

__all__ = ["PRESETS", "Accepts", "Preset", "build", "by_family", "find_preset", "preset"]
