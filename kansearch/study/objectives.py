"""Objectives: which way each is better, and the common scale on which hypervolume is measured.

Hypervolume needs one reference point. Every objective is mapped to a cost in [0, 1] with fixed bounds, so that the
figure means the same in every study, at any time of a search, whatever its trials found:

    accuracy, IoU      1 - a
    losses             v / (1 + v)
    counts and sizes   log10(v) / log10(largest), largest = 1e9 parameters, 1e13 FLOPs, 1e6 MiB, 1e7 s
    images a second    1 - log10(1 + v) / 8
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from kansearch.space import Direction

__all__ = ["COSTS", "costs", "signed"]


def _logarithmic(largest: float) -> Callable[[float], float]:
    return lambda value: math.log10(max(value, 1.0)) / math.log10(largest)


def _ratio(value: float) -> float:
    return value / (1.0 + value)


COSTS: dict[str, Callable[[float], float]] = {
    "accuracy": lambda value: 1.0 - value,
    "mean_iou": lambda value: 1.0 - value,
    "validation_loss": _ratio,
    "train_loss": _ratio,
    "parameters": _logarithmic(1e9),
    "flops": _logarithmic(1e13),
    "peak_memory_mib": _logarithmic(1e6),
    "seconds": lambda value: math.log10(1.0 + value) / 7.0,
    "images_per_second": lambda value: 1.0 - math.log10(1.0 + value) / 8.0,
}
"""Cost in [0, 1] of an objective's value when it is wanted in its natural direction; 0 is best, 1 the reference."""

_NATURAL_MAXIMIZE = frozenset({"accuracy", "mean_iou", "images_per_second"})


def costs(objectives: Mapping[str, Direction], values: Mapping[str, float]) -> list[float]:
    """The point of `values` on the common scale, one cost in [0, 1] an objective, all to be minimised."""
    point = []
    for name, direction in objectives.items():
        cost = min(max(COSTS[name](values[name]), 0.0), 1.0)
        natural = (direction == "maximize") == (name in _NATURAL_MAXIMIZE)
        point.append(cost if natural else 1.0 - cost)
    return point


def signed(objectives: Mapping[str, Direction], rows: Sequence[Mapping[str, float]]) -> NDArray[np.float64]:
    """`(len(rows), len(objectives))` values, each signed so that less is better; nothing is clipped."""
    signs = [-1.0 if direction == "maximize" else 1.0 for direction in objectives.values()]
    return np.array([[sign * row[name] for sign, name in zip(signs, objectives, strict=True)] for row in rows])
