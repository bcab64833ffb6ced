"""Objectives: which way each is better, and the common scale on which hypervolume is measured.

Hypervolume needs one reference point. Every objective is mapped to a cost in [0, 1] with fixed bounds. So the figure
means the same in every study, at any time of a search, whatever its trials found:

    accuracy, IoU      1 - a
    R²                 1 - r, at most 1
    losses, RMSE, MAE  v / (1 + v)
    nRMSE              (log10(v) + 8) / 8: eight decades, 1 is the error of the mean
    counts and sizes   log10(v) / log10(largest), largest = 1e9 parameters, 1e13 FLOPs, 1e6 MiB, 1e7 s
    images a second    1 - log10(1 + v) / 8
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from kansearch.space import Direction
from trials.metrics import METRICS

__all__ = ["costs", "signed"]


def costs(objectives: Mapping[str, Direction], values: Mapping[str, float]) -> list[float]:
    """The point of `values` on the common scale, one cost in [0, 1] an objective, all to be minimised."""
    point = []
    for name, direction in objectives.items():
        cost = min(max(METRICS[name].cost(values[name]), 0.0), 1.0)
        natural = (direction == "maximize") == METRICS[name].maximize
        point.append(cost if natural else 1.0 - cost)
    return point


def signed(objectives: Mapping[str, Direction], rows: Sequence[Mapping[str, float]]) -> NDArray[np.float64]:
    """`(len(rows), len(objectives))` values, each signed so that less is better; nothing is clipped."""
    signs = [-1.0 if direction == "maximize" else 1.0 for direction in objectives.values()]
    return np.array([[sign * row[name] for sign, name in zip(signs, objectives, strict=True)] for row in rows])
