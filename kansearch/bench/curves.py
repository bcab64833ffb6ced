"""Learning curves as rows of numbers: logarithms of error and losses, epoch after epoch.

    row = (log error_1 … log error_E, log validation loss_1 … E, log training loss_1 … E)

A run whose loss was not finite guesses from there on: error 1 - 1/classes, losses log(classes).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from kansearch.bench.table import RecordedRun

__all__ = ["diverged", "from_row", "to_row"]

_Floats = NDArray[np.float64]
_NAMES = ("accuracy", "validation_loss", "train_loss")
_LEAST = 1e-3


def diverged(run: RecordedRun) -> bool:
    """Whether it failed for its configuration, not for its machine."""
    return run.state == "fail" and (run.reason or "").startswith("TrialDiverged")


def to_row(run: RecordedRun, epochs: int, classes: int) -> _Floats:
    """(3 E,)."""
    chance = {"accuracy": 1 / classes, "validation_loss": math.log(classes), "train_loss": math.log(classes)}
    parts = []
    for name in _NAMES:
        values = np.full(epochs, chance[name])
        known = run.curves[name][:epochs]
        values[: len(known)] = known
        parts.append(1 - values if name == "accuracy" else values)
    row: _Floats = np.log(np.maximum(np.concatenate(parts), _LEAST))
    return row


def from_row(row: _Floats) -> Mapping[str, _Floats]:
    """Accuracy, validation and training loss, each (E,)."""
    error, validation, training = np.exp(row).reshape(3, -1)
    return {"accuracy": 1 - np.clip(error, 0, 1), "validation_loss": validation, "train_loss": training}
