"""Where the values of a trial come from: the leaves and branches of a search space.

Choice(options)                    one of the listed plain values
IntRange(low, high, log, step)     an integer, both ends included
FloatRange(low, high, log, step)   a number, both ends included
Branch(options)                    one of several labelled subtrees, each with its own hyperparameters
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

__all__ = ["Branch", "Choice", "Distribution", "FloatRange", "IntRange", "Plain", "Scalar", "Tree"]

Scalar: TypeAlias = bool | int | float | str | None
Plain: TypeAlias = "Scalar | tuple[Scalar, ...]"


@dataclass(frozen=True)
class Choice:
    """One of `options`, in the order of the file."""

    options: tuple[Scalar, ...]


@dataclass(frozen=True)
class IntRange:
    """An integer of low, low + step, ... up to `high`; `log` spreads the draws evenly over orders of magnitude.

    A `high` that `step` doesn't reach is lowered to the last value that it does.
    """

    low: int
    high: int
    log: bool = False
    step: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "high", self.high - (self.high - self.low) % self.step)

    def reachable(self) -> range:
        """Every value that can be drawn."""
        return range(self.low, self.high + 1, self.step)


@dataclass(frozen=True)
class FloatRange:
    """A number in [low, high], on the grid low + k·step if `step` is given; `log` as in `IntRange`."""

    low: float
    high: float
    log: bool = False
    step: float | None = None

    def __post_init__(self) -> None:
        if self.step is not None:
            object.__setattr__(self, "high", self.at(self.count - 1))

    @property
    def count(self) -> int:
        """How many values the grid has. Decimal arithmetic, so that 0.3 is three steps of 0.1."""
        if self.step is None:
            raise ValueError("a range without a step has no grid")
        return int((Decimal(str(self.high)) - Decimal(str(self.low))) / Decimal(str(self.step))) + 1

    def at(self, index: int) -> float:
        """The value of the grid at `index`, counted from `low`."""
        return float(Decimal(str(self.low)) + index * Decimal(str(self.step)))


Distribution: TypeAlias = Choice | IntRange | FloatRange


@dataclass(frozen=True)
class Branch:
    """One of several subtrees, by label; only the taken one's hyperparameters are drawn."""

    options: Mapping[str, Tree]

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of the file."""
        return tuple(self.options)


Tree: TypeAlias = "Plain | Distribution | Branch | Mapping[str, Tree]"
