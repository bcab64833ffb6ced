"""Published networks by name: `PRESETS`, a `Preset` each. Loads no torch.

PRESETS["kkan-small-gs10"].document()  # {"family": "kanc", "basis": {"name": "bspline", "grid_size": 10, ...}, ...}
"""

from __future__ import annotations

from trials.presets import alexnet, deep, dense, kanc, simple
from trials.presets.preset import Preset

__all__ = ["PRESETS", "Preset"]

PRESETS: dict[str, Preset] = {
    preset.name: preset for module in (kanc, alexnet, simple, deep, dense) for preset in module.PRESETS
}
