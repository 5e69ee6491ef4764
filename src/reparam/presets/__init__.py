"""Named models: each file registers those in it, and is imported when one of them is asked for."""

from reparam.presets.registry import (
    PRESETS,
    Accepts,
    Preset,
    build,
    by_family,
    find_preset,
    preset,
    preset_of,
)

__all__ = [
    "PRESETS",
    "Accepts",
    "Preset",
    "build",
    "by_family",
    "find_preset",
    "preset",
    "preset_of",
]
