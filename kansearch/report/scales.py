"""Scales: from a value to a share of an axis, and the ticks along it.

Linear(low, high)    nice steps of 1, 2 or 5
Log(low, high)       decades; 1, 2, 5 within them where there are few; linear ticks within less than half a decade
Names(labels)        one place for each label
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["Linear", "Log", "Names", "Scale", "fitted"]

_MARGIN = 0.04
_SUFFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"))


class Scale(Protocol):
    """The two functions that an axis needs: the places of values, and ticks."""

    def __call__(self, value: Any) -> float:
        """Share of the axis, 0 at its beginning and 1 at its end; values outside are put on the nearer end."""

    def ticks(self, count: int) -> list[tuple[float, str]]:
        """Shares of the axis and their labels, about `count` of them."""


@dataclass(frozen=True)
class Linear:
    """Equal steps, equal lengths."""

    low: float
    high: float

    def __call__(self, value: Any) -> float:
        return min(max((float(value) - self.low) / (self.high - self.low), 0.0), 1.0)

    def ticks(self, count: int) -> list[tuple[float, str]]:
        """Multiples of 1, 2 or 5 times a power of ten."""
        step = _nice_step((self.high - self.low) / max(count, 1))
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [(self(index * step), _written(index * step, decimals)) for index in range(first, last + 1)]


@dataclass(frozen=True)
class Log:
    """Equal ratios, equal lengths; both ends above 0."""

    low: float
    high: float

    def __call__(self, value: Any) -> float:
        share = math.log(max(float(value), self.low) / self.low) / math.log(self.high / self.low)
        return min(share, 1.0)

    def ticks(self, count: int) -> list[tuple[float, str]]:
        """Powers of ten, with what lies between them as there is room for `count`."""
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for parts in ((1, 2, 5), (1, 3), (1,)):
            inside = [part * 10.0**decade for decade in decades for part in parts]
            inside = [value for value in inside if self.low <= value <= self.high]
            if len(inside) <= count:
                break
        if len(inside) < 3 and self.high / self.low < 10:
            step = _nice_step((self.high - self.low) / max(count - 1, 1))
            inside = [index * step for index in range(math.ceil(self.low / step), int(self.high / step) + 1)]
        stride = max(1, math.ceil(len(inside) / max(count, 1)))
        return [(self(value), _logarithmic(value)) for value in inside[::stride]]


@dataclass(frozen=True)
class Names:
    """A place for each of `labels`, in their order; a value's place is its label's."""

    labels: Sequence[str]

    def __call__(self, value: Any) -> float:
        return (list(self.labels).index(str(value)) + 0.5) / len(self.labels)

    def ticks(self, count: int) -> list[tuple[float, str]]:
        """Every label."""
        return [(self(label), label) for label in self.labels]


def fitted(values: Sequence[float], log: bool = False) -> Linear | Log:
    """A scale on which `values`, not empty, all lie, with a margin; linear where a logarithm can't be taken."""
    low, high = min(values), max(values)
    if log and low > 0:
        around = max((high / low) ** _MARGIN, 1.05)
        return Log(low / around, high * around)
    margin = (high - low) * _MARGIN or abs(high) * _MARGIN or 0.5
    return Linear(low - margin, high + margin)


def _nice_step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next(times * power for times in (1, 2, 5, 10) if times * power >= least * 0.999)


def _written(value: float, decimals: int) -> str:
    if abs(value) >= 1e6:
        return _suffixed(value)
    return f"{value + 0.0:,.{decimals}f}" if decimals <= 4 else f"{value:g}"


def _logarithmic(value: float) -> str:
    if value < 1e-3:
        return f"{value:.0e}".replace("e-0", "e-")
    return _suffixed(value) if value >= 1e6 else f"{value:,.6g}"


def _suffixed(value: float) -> str:
    unit, letter = next(((unit, letter) for unit, letter in _SUFFIXES if abs(value) >= unit), (1.0, ""))
    return f"{value / unit:g}{letter}"
