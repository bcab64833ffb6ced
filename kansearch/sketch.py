"""A front as a few lines of text, for the end of a search in a terminal."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from kansearch.space import Direction
from kansearch.study.front import front_of, knee
from kansearch.study.records import TrialRecord

__all__ = ["front_sketch"]

WIDTH, HEIGHT = 61, 11
"""Size of the plane, in characters."""
_RATIO = 10.0
"""A positive quantity that spans more than this is drawn on a logarithmic scale."""
_MARKS = {"unicode": list("·●◆│└─"), "ascii": list(".o#|+-")}


def front_sketch(
    records: Sequence[TrialRecord], objectives: Mapping[str, Direction], encoding: str = "utf-8"
) -> list[str]:
    """Lines of at most 80 characters: the first objective upwards over the last, complete trials, front and knee.

    No line where there is nothing to compare: fewer than two objectives, or fewer than two trials on the front.
    """
    front = front_of(records, objectives)
    names = list(objectives)
    if len(names) < 2 or len(front) < 2:
        return []
    across, up = names[-1], names[0]
    faint, point, best, wall, corner, floor = _marks(encoding)
    complete = [record for record in records if record.state == "complete"]
    x, y = (_Scale([record.values[name] for record in front]) for name in (across, up))
    plane = [[" "] * WIDTH for _ in range(HEIGHT)]
    layers = ((complete, faint), (front, point), ([knee(front, objectives)], best))
    for shown, mark in layers:
        for record in shown:
            column, row = x.place(record.values[across], WIDTH), y.place(record.values[up], HEIGHT)
            if column is not None and row is not None:
                plane[HEIGHT - 1 - row][column] = mark
    labels = {0: _short(y.high), HEIGHT - 1: _short(y.low)}
    lines = [f"{labels.get(row, ''):>9} {wall}{''.join(cells).rstrip()}" for row, cells in enumerate(plane)]
    ends = f"{_short(x.low)}{_short(x.high):>{WIDTH - len(_short(x.low))}}"
    legend = f"{up} over {across}{', log scale' if x.log else ''}   {point} front  {best} knee  {faint} other"
    return [*lines, f"{'':>9} {corner}{floor * WIDTH}", f"{'':>11}{ends}", f"{'':>11}{legend.replace('_', ' ')}"]


class _Scale:
    """A map from a quantity to a row or column, over the range of the front."""

    def __init__(self, values: Sequence[float]) -> None:
        self.low, self.high = min(values), max(values)
        self.log = self.low > 0 and self.high / self.low > _RATIO
        self._map: Callable[[float], float] = math.log if self.log else float

    def place(self, value: float, cells: int) -> int | None:
        """The cell, from 0; None outside the range."""
        if not self.low <= value <= self.high:
            return None
        low, high = self._map(self.low), self._map(self.high)
        return round((self._map(value) - low) / (high - low) * (cells - 1)) if high > low else 0


def _marks(encoding: str) -> list[str]:
    try:
        "".join(_MARKS["unicode"]).encode(encoding)
    except UnicodeEncodeError:
        return _MARKS["ascii"]
    return _MARKS["unicode"]


def _short(value: float) -> str:
    """A number in at most nine characters."""
    return f"{value:,.0f}" if abs(value) >= 100 and abs(value) < 1e7 else f"{value:.4g}"
