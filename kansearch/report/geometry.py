"""The geometry of the front: its points, the scales that they lie on, and the line that joins them. Draws nothing.

The page (`front`), the picture (`front_plot`) and the terminal (`sketch`) draw it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from kansearch.report.scales import Linear, Log, fitted
from kansearch.space import Direction
from kansearch.study.front import front_of, knee
from kansearch.study.records import TrialRecord
from trials.metrics import METRICS

__all__ = ["Geometry", "Reference", "axis_name", "finite", "is_logarithmic", "staircase", "value_of"]

Pairs = list[tuple[float, float]]


@dataclass(frozen=True)
class Reference:
    """A published model, measured on the same data set: what it is called, what it reached, where that is written."""

    name: str
    values: Mapping[str, float]
    source: str


@dataclass(frozen=True)
class Geometry:
    """Trials, and published models beside them, as points over their objectives."""

    records: Sequence[TrialRecord]
    objectives: Mapping[str, Direction]
    references: Sequence[Reference] = ()

    @cached_property
    def complete(self) -> list[TrialRecord]:
        """Records of the trials that have objectives."""
        return [record for record in self.records if record.state == "complete"]

    @cached_property
    def front(self) -> list[TrialRecord]:
        """Records of the front, sorted by the last objective, best first."""
        return front_of(self.records, self.objectives)

    @cached_property
    def rest(self) -> list[TrialRecord]:
        """Complete trials that are not on the front."""
        on_front = {record.number for record in self.front}
        return [record for record in self.complete if record.number not in on_front]

    @cached_property
    def knee(self) -> TrialRecord | None:
        """Knee of the front; None where the front is empty."""
        return knee(self.front, self.objectives) if self.front else None

    @property
    def axes(self) -> tuple[str, str]:
        """Names of the quantities that the front is drawn over: across and up. A single objective is drawn over the
        parameters."""
        names = list(self.objectives)
        if len(names) == 1:
            return ("parameters" if names[0] != "parameters" else "seconds"), names[0]
        return names[1], names[0]

    def extent(self, objective: str) -> Linear | Log:
        """A scale for an objective, on which the whole front lies, and every complete trial that is no outlier.

        A size is known of every trial that was measured once, so that all of them lie on it.
        """
        published = [reference.values[objective] for reference in self.references if objective in reference.values]
        if is_logarithmic(objective):
            return fitted([*_measured(self.records, objective), *published] or [1.0], log=True)
        typical = _middle(_measured(self.complete, objective) or [0.0, 1.0])
        return fitted([*_measured(self.front, objective), *typical, *published])

    def span(self, objective: str) -> Linear | Log:
        """A scale for an objective from one end of the front, not empty, to the other."""
        values = _measured(self.front, objective)
        low, high = min(values), max(values)
        if low == high:
            return fitted(values)
        return Log(low, high) if low > 0 and is_logarithmic(objective) else Linear(low, high)

    def hidden(self, objective: str) -> int:
        """Complete trials that `extent` puts on its edge."""
        scale = self.extent(objective)
        return sum(not scale.low <= value <= scale.high for value in _measured(self.complete, objective))

    def staircase(self, across: str, up: str) -> Pairs:
        """Corners of the front of these two objectives alone; empty where `across` is no objective."""
        if across not in self.objectives:
            return []
        directions = {name: self.objectives[name] for name in (up, across)}
        return staircase(front_of(self.complete, directions), across, up, directions, self.extent(across))


def staircase(
    front: Sequence[TrialRecord], across: str, up: str, directions: Mapping[str, Direction], scale: Linear | Log
) -> Pairs:
    """Corners of what the front of two objectives reaches. A corner is dominated.

    The last one is at the end of `scale` where `across` is worse: what is reached there stays reached.
    """
    falling = directions[across] == "maximize"
    points = [(x, y) for r in front if (x := value_of(r, across)) is not None and (y := value_of(r, up)) is not None]
    corners: Pairs = []
    for x, y in sorted(points, reverse=falling):
        if corners:
            corners.append((x, corners[-1][1]))
        corners.append((x, y))
    return [*corners, (scale.low if falling else scale.high, corners[-1][1])] if corners else []


def axis_name(objective: str) -> str:
    """An objective with its unit."""
    return METRICS[objective].label


def is_logarithmic(objective: str) -> bool:
    """Whether its ratios matter, not its differences."""
    return METRICS[objective].logarithmic


def value_of(record: TrialRecord, name: str) -> float | None:
    """An objective's value, or for a trial without, its last measurement; None if that is missing or not finite."""
    return finite(record.values[name] if name in record.values else record.metrics.get(name))


def finite(value: float | None) -> float | None:
    """Return a value, if it is a finite number."""
    return float(value) if value is not None and math.isfinite(value) else None


def _measured(records: Sequence[TrialRecord], objective: str) -> list[float]:
    return [value for record in records if (value := value_of(record, objective)) is not None]


def _middle(values: Sequence[float]) -> list[float]:
    """Between the quartiles, the whiskers of a box plot included."""
    ordered = sorted(values)
    low, high = ordered[len(ordered) // 4], ordered[(3 * len(ordered)) // 4]
    reach = 1.5 * (high - low)
    return [value for value in ordered if low - reach <= value <= high + reach]
