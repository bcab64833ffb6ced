"""The front: every trial as a point, what no other beats joined by a line, published models beside them."""

from __future__ import annotations

from itertools import combinations

from markupsafe import Markup

from kansearch.report.data import StudyData
from kansearch.report.geometry import axis_name, value_of
from kansearch.report.palette import Series, basis_of, name_of, series_of
from kansearch.report.plot import Plot
from kansearch.report.progress import spread
from kansearch.report.svg import dots, element, marker, polyline, text
from kansearch.study.figures import describe, values
from kansearch.study.records import TrialRecord

__all__ = ["front_plot", "front_plots", "legend", "sample", "tip"]

_MOST_LABELS = 12
_CROWD = 250  # complete trials from which on those behind the front are drawn smaller
_LABEL_ROOM = 24.0  # between the labels of two points, in units of the drawing


def front_plots(data: StudyData) -> list[Markup]:
    """The first two objectives, then every other pair of them."""
    pairs = [data.geometry.axes, *((second, first) for first, second in list(combinations(data.objectives, 2))[1:])]
    return [front_plot(data, across, up, width=640 if index == 0 else 460) for index, (across, up) in enumerate(pairs)]


def front_plot(data: StudyData, across: str, up: str, width: float = 640) -> Markup:
    """Every trial that was measured in both; a point's shape and colour say its basis."""
    geometry = data.geometry
    x, y = geometry.extent(across), geometry.extent(up)
    plot = Plot(x, y, axis_name(across), axis_name(up), width, width * 0.62)
    series = series_of({basis_of(record) for record in data.complete})
    corners = plot.points(geometry.staircase(across, up))
    body = [_pruned(plot, data, across, up), *([polyline(corners, "front")] if corners else [])]
    crowd = len(geometry.rest) > _CROWD
    body += [_point(plot, record, series[basis_of(record)], across, up, "rest", crowd) for record in geometry.rest]
    body += _references(plot, data, across, up)
    body += [_point(plot, record, series[basis_of(record)], across, up, "best") for record in data.front]
    body += _labels(plot, data, across, up)
    return plot.draw(body, f"The front: {axis_name(up)} against {axis_name(across)}")


def _pruned(plot: Plot, data: StudyData, across: str, up: str) -> Markup:
    stopped = [record for record in data.records if record.state == "pruned"]
    pairs = [(value_of(record, across), value_of(record, up)) for record in stopped]
    return dots(plot.points((x, y) for x, y in pairs if x is not None and y is not None), "faint")


def _point(
    plot: Plot, record: TrialRecord, series: Series, across: str, up: str, class_: str, small: bool = False
) -> Markup:
    x, y = value_of(record, across), value_of(record, up)
    if x is None or y is None:
        return Markup("")
    return marker(*plot.at(x, y), series.shape, f"{class_} {series.colour} {series.shape}", tip(record), small)


def tip(record: TrialRecord) -> str:
    """Return the text that a point shows when it is pointed at."""
    return f"trial {record.number}: {values(record.values)}; {describe(record.stored)}"


def _labels(plot: Plot, data: StudyData, across: str, up: str) -> list[Markup]:
    """Trial numbers on the front, as far as there is room."""
    drawn: list[Markup] = []
    taken: list[tuple[float, float]] = []
    for record in sorted(spread(data.front, _MOST_LABELS), key=lambda each: each is not data.knee):
        x, y = value_of(record, across), value_of(record, up)
        if x is None or y is None:
            continue
        left, top = plot.at(x, y)
        if all(abs(left - other) > _LABEL_ROOM or abs(top - above) > 14 for other, above in taken):
            taken.append((left, top))
            knee = record is data.knee
            drawn.append(_label(plot, left, top, f"knee: {record.number}" if knee else str(record.number), knee))
    return drawn


def _label(plot: Plot, x: float, y: float, label: str, knee: bool) -> Markup:
    """Place the label above its point, or below it near the top edge; at the sides all of it stays inside the plot."""
    half = 3.4 * len(label)
    x = min(max(x, plot.left + half), plot.right - half)
    above = y - 10 if y - 20 > plot.top else y + 20
    return text(x, above, label, "label knee" if knee else "label", "middle")


_MOST_NAMED = 6
"""References whose names are drawn; those of more are in the table."""


def _references(plot: Plot, data: StudyData, across: str, up: str) -> list[Markup]:
    drawn = []
    for reference in data.references:
        if across in reference.values and up in reference.values:
            x, y = plot.at(reference.values[across], reference.values[up])
            drawn.append(marker(x, y, "ring", "reference", f"{reference.name} ({reference.source})"))
            if len(data.references) <= _MOST_NAMED:
                drawn.append(text(x, y - 8, reference.name, "label", "middle"))
    return drawn


def legend(data: StudyData) -> list[tuple[Markup, str]]:
    """A sample of each mark, and what it means."""
    series = series_of({basis_of(record) for record in data.complete})
    samples = [(sample(marker(8, 8, s.shape, f"best {s.colour} {s.shape}")), name_of(b)) for b, s in series.items()]
    samples.append((sample(polyline([(1, 8), (15, 8)], "front")), "the front"))
    if any(record.state == "pruned" for record in data.records):
        samples.append((sample(dots([(8, 8)], "faint")), "stopped early, last measurement"))
    if data.references:
        samples.append((sample(marker(8, 8, "ring", "reference")), "published"))
    return samples


def sample(mark: Markup) -> Markup:
    """A mark in a legend, drawn about (8, 8)."""
    return element("svg", mark, class_="sample", viewBox="0 0 16 16", aria_hidden="true")
