"""The parts of a hyperparameter's distribution that a table tells apart: its options, or thirds of its range."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import partial

from kansearch.space import Choice, Distribution, FloatRange, IntRange, Scalar
from trials.config.data import ALL

__all__ = ["parts"]

Part = tuple[str, Callable[[Scalar], bool]]


def parts(distribution: Distribution) -> list[Part]:
    """Label of each part, and whether a value lies in it.

    A range is cut into thirds of equal width on its own scale, linear or logarithmic; of integers, a third that holds
    none is left out.
    """
    if isinstance(distribution, Choice):
        return [(_text(option), partial(_same, option)) for option in distribution.options]
    if isinstance(distribution, IntRange):
        return _of_integers(distribution)
    names = ("low", "middle", "high")
    return [
        (
            f"{names[third]}: {_edge(distribution, third)} to {_edge(distribution, third + 1)}",
            _lies(distribution, third),
        )
        for third in range(3)
    ]


def _of_integers(distribution: IntRange) -> list[Part]:
    found = []
    for third in range(3):
        values = [value for value in distribution.reachable() if _third(distribution, value) == third]
        if values:
            label = str(values[0]) if len(values) == 1 else f"{values[0]} to {values[-1]}"
            found.append((label, _lies(distribution, third)))
    return found


def _lies(distribution: IntRange | FloatRange, third: int) -> Callable[[Scalar], bool]:
    return lambda value: isinstance(value, (int, float)) and _third(distribution, value) == third


def _third(distribution: IntRange | FloatRange, value: float) -> int:
    """0, 1 or 2."""
    scale = math.log if distribution.log else float
    low, high = scale(distribution.low), scale(distribution.high)
    return min(int(3 * (scale(value) - low) / (high - low)), 2) if high > low else 0


def _edge(distribution: FloatRange, third: int) -> str:
    low, high = distribution.low, distribution.high
    share = third / 3
    return f"{low * (high / low) ** share if distribution.log else low + (high - low) * share:.3g}"


def _same(option: Scalar, value: Scalar) -> bool:
    return type(value) is type(option) and value == option


def _text(option: Scalar) -> str:
    """Write the option as in a file."""
    if option == ALL:  # no other hyperparameter goes so far
        return "all"
    return option if isinstance(option, str) else json.dumps(option)
