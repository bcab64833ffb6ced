"""The list that `kansearch presets` prints, and the complete configuration of a preset."""

from __future__ import annotations

import json
from dataclasses import asdict
from difflib import get_close_matches
from typing import Any

from kansearch.errors import InputError, SpaceError
from kansearch.space import parse_config
from trials.config import TrialConfig
from trials.presets import PRESETS, Preset

__all__ = ["preset_config", "preset_rows"]


def preset_rows() -> list[dict[str, Any]]:
    """Each preset as plain values, with its parameters, counted on torch's meta device."""
    from trials.training import count_preset

    return [_row(preset, count_preset(preset)) for preset in PRESETS.values()]


def _row(preset: Preset, parameters: int) -> dict[str, Any]:
    fields = asdict(preset)
    first = {"name": fields.pop("name"), "parameters": parameters, "published": dict(fields.pop("published"))}
    model = preset.document()
    return {
        **first,
        **{key: fields[key] for key in ("source", "explanation", "dataset", "pixels", "epochs")},
        "model": model,
    }


def preset_config(name: str, dataset: str | None) -> TrialConfig:
    """The configuration of a preset for a retraining, on `dataset` or the one that it was published on.

    Raises InputError for an unknown preset or data set.
    """
    if name not in PRESETS:
        close = get_close_matches(name, PRESETS, n=1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        raise InputError(f"no preset is named '{name[:100]}'; {hint}`kansearch presets` lists them")
    preset = PRESETS[name]
    data = {"dataset": dataset or preset.dataset, "pixels": preset.pixels}
    text = json.dumps({"config": {"data": data, "model": {"preset": name}, "epochs": preset.epochs}})
    try:
        return parse_config(text, f"preset {name}")
    except SpaceError as error:
        problems = "; ".join(f"{issue.path}: {issue.reason}" for issue in error.issues)
        way_out = "" if dataset else "; --dataset trains it on another one"
        raise InputError(f"preset {name}: {problems}{way_out}") from None
