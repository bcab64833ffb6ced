"""The comparison page: fronts of several studies over each other, and what each found that the others did not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from markupsafe import Markup

from kansearch.report.front import sample
from kansearch.report.geometry import Geometry, axis_name, staircase, value_of
from kansearch.report.html import environment, write_page
from kansearch.report.plot import Plot
from kansearch.report.scales import Linear, Log
from kansearch.report.svg import marker, polyline, shape_definitions
from kansearch.report.verdict import verdict_section
from kansearch.space import Direction
from kansearch.study.comparison import Find, Side
from kansearch.study.confirmed import Confirmed
from kansearch.study.figures import describe, duration, number, values
from kansearch.study.front import front_of

__all__ = ["FINDS", "SIDES", "find_cells", "side_cells", "write_comparison"]

SIDES = ("study", "trials", "complete", "time", "front", "hypervolume", "minus the first")
"""Headings of a table with a row for each study."""
FINDS = ("study", "trial", "better by", "adds", "on test", "found", "configuration")
"""Headings of a table with a row for each find."""
_LOOKS = (("blue", "circle"), ("red", "square"), ("green", "up"), ("purple", "diamond"), ("orange", "down"))


def side_cells(side: Side, first: Side) -> list[str]:
    """The cells of a study, one under each of `SIDES`."""
    difference = "" if side is first else f"{side.hypervolume - first.hypervolume:+.4f}"
    counts = [str(each) for each in (side.tried, side.complete)]
    return [side.name, *counts, duration(side.seconds), str(len(side.front)), f"{side.hypervolume:.4f}", difference]


def find_cells(side: Side, find: Find, objectives: Mapping[str, Direction]) -> list[str]:
    """The cells of a find, one under each of `FINDS`."""
    name = next(iter(objectives))
    gain = "nothing there" if find.gain is None else f"{name.replace('_', ' ')} {number(name, find.gain)}"
    again = "-" if find.confirmed is None else find.confirmed.written(name)
    found = values(find.trial.values)
    return [side.name, str(find.trial.number), gain, f"{find.volume:.4f}", again, found, describe(find.trial.stored)]


def write_comparison(
    sides: Sequence[Side], objectives: Mapping[str, Direction], notes: Sequence[str], path: Path
) -> None:
    """Write the page.

    Args:
        sides: the studies, each with a complete trial.
        objectives: direction of each.
        notes: sentences on what the figures do not say.
        path: of the file.

    Raises KansearchError where `path` can't be written.
    """
    page = {
        "shapes": shape_definitions(),
        "title": " and ".join(side.name for side in sides),
        "plot": _plot(sides, objectives) if len(objectives) > 1 else None,
        "legend": list(_legend(sides)),
        "sides": {"headings": SIDES, "rows": [side_cells(side, sides[0]) for side in sides]},
        "finds": {
            "headings": FINDS,
            "rows": [find_cells(side, find, objectives) for side in sides for find in side.finds],
        },
        "notes": notes,
        "verdict": verdict_section({side.name: (side.records, side.confirmed) for side in sides}, objectives),
    }
    write_page(path, environment().get_template("comparison.html.j2").render(page))


def _look(place: int) -> tuple[str, str]:
    return _LOOKS[place % len(_LOOKS)]


def _plot(sides: Sequence[Side], objectives: Mapping[str, Direction]) -> Markup:
    """Each study's front as a line, its other trials as small marks, confirmed means with their intervals."""
    whole = Geometry([record for side in sides for record in side.records], objectives)
    across, up = whole.axes
    plot = Plot(whole.extent(across), _holding(whole.extent(up), sides, up), axis_name(across), axis_name(up), 720, 440)
    drawn = [mark for place, side in enumerate(sides) for mark in _marks(plot, whole, side, place)]
    return plot.draw(drawn, f"The fronts of {', '.join(side.name for side in sides)}")


def _holding(scale: Linear | Log, sides: Sequence[Side], up: str) -> Linear | Log:
    """A scale that holds the confirmed means and their intervals, too."""
    rows = [(row.value(up), row.half.get(up) or 0.0) for side in sides for row in side.confirmed if row.complete]
    ends = [end for mean, half in rows for end in (mean - half, mean + half)]
    return replace(scale, low=min([scale.low, *ends]), high=max([scale.high, *ends]))


def _marks(plot: Plot, whole: Geometry, side: Side, place: int) -> Iterator[Markup]:
    (colour, shape), objectives = _look(place), whole.objectives
    own, (across, up) = Geometry(side.records, objectives), whole.axes
    for record in own.rest:
        at = plot.at(value_of(record, across), value_of(record, up))
        yield marker(*at, shape, f"rest {colour} {shape}", small=True)
    directions = {name: objectives[name] for name in (up, across)}
    corners = staircase(front_of(own.complete, directions), across, up, directions, whole.extent(across))
    yield polyline(plot.points(corners), f"heavy {colour}")
    for record in side.front:
        tip = f"{side.name} {record.number}: {values(record.values)}; {describe(record.stored)}"
        yield marker(*plot.at(value_of(record, across), value_of(record, up)), shape, f"best {colour} {shape}", tip)
    for row in (each for each in side.confirmed if each.complete):
        yield from _mean(plot, row, across, up, colour)


def _mean(plot: Plot, row: Confirmed, across: str, up: str, colour: str) -> Iterator[Markup]:
    """A confirmed mean with its interval, and a faint line to what was measured at selection."""
    x, y = row.value(across), row.value(up)
    half = row.half.get(up) or 0.0
    yield polyline([plot.at(x, y), plot.at(value_of(row.trial, across), value_of(row.trial, up))], "faint")
    yield polyline(plot.points([(x, y - half), (x, y + half)]), f"error {colour}")
    tip = f"trial {row.trial.number} on test: {up.replace('_', ' ')} {row.written(up)}"
    yield marker(*plot.at(x, y), "ring", "reference", tip)


def _legend(sides: Sequence[Side]) -> Iterator[tuple[Markup, str]]:
    for place, side in enumerate(sides):
        colour, shape = _look(place)
        yield sample(marker(8, 8, shape, f"best {colour} {shape}")), side.name
    if any(row.complete for side in sides for row in side.confirmed):
        mark = Markup("").join([polyline([(8, 1), (8, 15)], "error"), marker(8, 8, "ring", "reference")])
        yield sample(mark), "confirmed on test, 95 % interval of the mean"
