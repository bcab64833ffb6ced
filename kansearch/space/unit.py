"""Hyperparameters as coordinates: each distribution's values laid out evenly over [0, 1], and back.

    UnitSuggest({"model.width": 0.5, ...})   draws a configuration from a point of the unit cube
    coordinate(distribution, value)          where a value lies

A quasi-random point has one coordinate for every hyperparameter, of all branches; a draw asks for those that it needs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from kansearch.space.distributions import Choice, Distribution, FloatRange, IntRange, Scalar

__all__ = ["UnitSuggest", "coordinate"]


class UnitSuggest:
    """Answers with the values that lie at given `coordinates`, one in [0, 1] for each hyperparameter by name; notes in
    `asked` each that it gave. KeyError for a hyperparameter without one."""

    def __init__(self, coordinates: Mapping[str, float]) -> None:
        self._coordinates = coordinates
        self.asked: dict[str, Scalar] = {}

    def categorical(self, name: str, options: Sequence[Scalar]) -> Scalar:
        """One of `options`, each of which has an equal part of [0, 1]."""
        value = options[self._part(name, len(options))]
        self.asked[name] = value
        return value

    def integer(self, name: str, low: int, high: int, log: bool, step: int) -> int:
        """Each value has an equal part, or half a unit to either side of it on the scale of logarithms."""
        if log:
            drawn = math.exp(_between(math.log(low - 0.5), math.log(high + 0.5), self._coordinates[name]))
            value = min(max(round(drawn), low), high)
        else:
            value = low + step * self._part(name, (high - low) // step + 1)
        self.asked[name] = value
        return value

    def float_(self, name: str, low: float, high: float, log: bool, step: float | None) -> float:
        """Linear, in the logarithm, or each value of the grid with an equal part."""
        if step is not None:
            grid = FloatRange(low, high, step=step)
            value = grid.at(self._part(name, grid.count))
        elif log:
            value = math.exp(_between(math.log(low), math.log(high), self._coordinates[name]))
        else:
            value = _between(low, high, self._coordinates[name])
        value = min(max(value, low), high)
        self.asked[name] = value
        return value

    def _part(self, name: str, count: int) -> int:
        return min(int(self._coordinates[name] * count), count - 1)


def coordinate(distribution: Distribution, value: Scalar) -> float:
    """Where `value` lies in [0, 1]: in the middle of its part, where values are counted. ValueError if it is no option
    of a choice."""
    if isinstance(distribution, Choice):
        return (distribution.options.index(value) + 0.5) / len(distribution.options)
    assert isinstance(value, (int, float))
    low, high, log = distribution.low, distribution.high, distribution.log
    if isinstance(distribution, IntRange) and log:
        return _share(math.log(low - 0.5), math.log(high + 0.5), math.log(value))
    if isinstance(distribution, IntRange) or distribution.step is not None:
        step = distribution.step or 1
        return ((value - low) / step + 0.5) / (round((high - low) / step) + 1)
    return _share(math.log(low), math.log(high), math.log(value)) if log else _share(low, high, value)


def _between(low: float, high: float, share: float) -> float:
    return low + (high - low) * share


def _share(low: float, high: float, value: float) -> float:
    return (value - low) / (high - low) if high > low else 0.5
