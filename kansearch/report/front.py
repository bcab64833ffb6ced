"""The front: every trial as a point, what no other beats joined by a line, published models beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from markupsafe import Markup

from kansearch.report.data import StudyData
from kansearch.report.geometry import axis_name, value_of
from kansearch.report.palette import Series, name_of, series_of
from kansearch.report.plot import Plot
from kansearch.report.progress import spread
from kansearch.report.scales import Scale
from kansearch.report.svg import element, marker, polyline, text
from kansearch.study.figures import describe, values
from kansearch.study.records import TrialRecord

__all__ = ["CROWD", "front_box", "front_plot", "front_plots", "legend", "sample", "tip"]

CROWD = 250
"""Complete trials from which on those behind the front are drawn smaller."""
_MOST_LABELS = 12
_WIDTH = 640.0
_LABEL_ROOM = 24.0  # between the labels of two points, in units of the drawing


def front_plots(data: StudyData, letters: int = 1) -> list[Markup]:
    """The first two objectives, then every other pair of them.

    `letters` is the least room of the first plot for the labels of its vertical axis.
    """
    across, up = data.geometry.axes
    pairs = [(second, first) for first, second in list(combinations(data.objectives, 2))[1:]]
    first = front_plot(data, across, up, letters=letters)
    return [first, *(front_plot(data, across, up, width=460) for across, up in pairs)]


def front_box(x: Scale, y: Scale, letters: int = 1, width: float = _WIDTH, names: tuple[str, str] = ("", "")) -> Plot:
    """The empty plot that a front is drawn on."""
    return Plot(x, y, *names, width, width * 0.62, letters)


def front_plot(data: StudyData, across: str, up: str, width: float = _WIDTH, letters: int = 1) -> Markup:
    """Every trial that was measured in both; a point's shape and colour say its basis."""
    geometry = data.geometry
    names = axis_name(across), axis_name(up)
    plot = front_box(geometry.extent(across), geometry.extent(up), letters, width, names)
    stopped = [record for record in data.records if record.state == "pruned"]
    series = _series(data)
    crowd = len(geometry.rest) > CROWD

    def points(records: Sequence[TrialRecord], class_: str, small: bool = False) -> list[Markup]:
        return [_point(plot, record, series[record.stored.basis], across, up, class_, small) for record in records]

    body = [
        *points(stopped, "stopped", small=True),
        polyline(plot.points(geometry.staircase(across, up)), "front"),
        *points(geometry.rest, "rest", crowd),
        *_references(plot, data, across, up),
        *points(data.front, "best"),
        element("g", _labels(plot, data, across, up), class_="labels"),
    ]
    return plot.draw(body, f"The front: {names[1]} against {names[0]}")


def _series(data: StudyData) -> Mapping[str, Series]:
    """The series of each basis that is drawn."""
    return series_of({record.stored.basis for record in data.records if record.state in ("complete", "pruned")})


def _point(
    plot: Plot, record: TrialRecord, series: Series, across: str, up: str, class_: str, small: bool = False
) -> Markup:
    x, y = value_of(record, across), value_of(record, up)
    if x is None or y is None:
        return Markup("")
    style = f"{class_} {series.colour} {series.shape}"
    return marker(*plot.at(x, y), series.shape, style, tip(record), small, data_trial=record.number)


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
            drawn.append(_label(plot, left, top, record, knee))
    return drawn


def _label(plot: Plot, x: float, y: float, record: TrialRecord, knee: bool) -> Markup:
    """Place the label above its point, or below it near the top edge; at the sides all of it stays inside the plot."""
    label = f"knee: {record.number}" if knee else str(record.number)
    half = 3.4 * len(label)
    x = min(max(x, plot.left + half), plot.right - half)
    above = y - 10 if y - 20 > plot.top else y + 20
    return text(x, above, label, "label knee" if knee else "label", "middle", data_trial=record.number)


_MOST_NAMED = 6
"""References whose names are drawn; those of more are in the table."""


def _references(plot: Plot, data: StudyData, across: str, up: str) -> list[Markup]:
    drawn = []
    for index, reference in enumerate(data.references):
        if across in reference.values and up in reference.values:
            x, y = plot.at(reference.values[across], reference.values[up])
            tip = f"{reference.name} ({reference.source})"
            drawn.append(marker(x, y, "ring", "reference", tip, data_reference=index))
            if len(data.references) <= _MOST_NAMED:
                drawn.append(text(x, y - 8, reference.name, "label", "middle", data_reference=index))
    return drawn


def legend(data: StudyData) -> list[tuple[Markup, str]]:
    """A sample of each mark, and what it means."""
    drawn = {record.stored.basis for record in data.complete}
    series = {basis: style for basis, style in _series(data).items() if basis in drawn}
    samples = [(sample(marker(8, 8, s.shape, f"best {s.colour} {s.shape}")), name_of(b)) for b, s in series.items()]
    samples.append((sample(polyline([(1, 8), (15, 8)], "front")), "the front"))
    if any(record.state == "pruned" for record in data.records):
        samples.append((sample(marker(8, 8, "circle", "stopped", small=True)), "stopped early, last measurement"))
    if data.references:
        samples.append((sample(marker(8, 8, "ring", "reference")), "published"))
    return samples


def sample(mark: Markup) -> Markup:
    """A mark in a legend, drawn about (8, 8)."""
    return element("svg", mark, class_="sample", viewBox="0 0 16 16", aria_hidden="true")
