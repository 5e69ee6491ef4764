"""Named models. Importing this package registers them all."""

from reparam.presets import autoencoders, projections, vaes
from reparam.presets.registry import PRESETS, Accepts, Preset, build, find_preset, preset

__all__ = [
    "PRESETS",
    "Accepts",
    "Preset",
    "autoencoders",
    "build",
    "find_preset",
    "preset",
    "projections",
    "vaes",
]
