"""A front as a few lines of text, for the end of a search in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kansearch.report.geometry import Geometry, value_of
from kansearch.report.scales import Log
from kansearch.space import Direction
from kansearch.study.records import TrialRecord

__all__ = ["front_sketch"]

WIDTH, HEIGHT = 61, 11
"""Size of the plane, in characters."""
_MARKS = {"unicode": list("·●◆│└─"), "ascii": list(".o#|+-")}


def front_sketch(
    records: Sequence[TrialRecord], objectives: Mapping[str, Direction], encoding: str = "utf-8"
) -> list[str]:
    """Lines of at most 80 characters: the front and its knee from end to end, and the complete trials beside them.

    No line where there is nothing to compare: fewer than two objectives, or fewer than two trials on the front.
    """
    geometry = Geometry(records, objectives)
    if len(objectives) < 2 or len(geometry.front) < 2 or geometry.knee is None:
        return []
    across, up = geometry.axes
    faint, point, best, wall, corner, floor = _marks(encoding)
    x, y = geometry.span(across), geometry.span(up)
    plane = [[" "] * WIDTH for _ in range(HEIGHT)]
    for shown, mark in ((geometry.rest, faint), (geometry.front, point), ([geometry.knee], best)):
        for record in shown:
            a, b = value_of(record, across), value_of(record, up)
            if a is not None and b is not None and x.low <= a <= x.high and y.low <= b <= y.high:
                plane[HEIGHT - 1 - round(y(b) * (HEIGHT - 1))][round(x(a) * (WIDTH - 1))] = mark
    labels = {0: _short(y.high), HEIGHT - 1: _short(y.low)}
    lines = [f"{labels.get(row, ''):>9} {wall}{''.join(cells).rstrip()}" for row, cells in enumerate(plane)]
    ends = f"{_short(x.low)}{_short(x.high):>{WIDTH - len(_short(x.low))}}"
    scale = ", log scale" if isinstance(x, Log) else ""
    legend = f"{up} over {across}{scale}   {point} front  {best} knee  {faint} other"
    return [*lines, f"{'':>9} {corner}{floor * WIDTH}", f"{'':>11}{ends}", f"{'':>11}{legend.replace('_', ' ')}"]


def _marks(encoding: str) -> list[str]:
    try:
        "".join(_MARKS["unicode"]).encode(encoding)
    except UnicodeEncodeError:
        return _MARKS["ascii"]
    return _MARKS["unicode"]


def _short(value: float) -> str:
    """A number in at most nine characters."""
    return f"{value:,.0f}" if abs(value) >= 100 and abs(value) < 1e7 else f"{value:.4g}"
