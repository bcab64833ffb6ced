"""The front: every trial as a point, what no other beats joined by a line, published models beside them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from markupsafe import Markup

from kansearch.report.data import StudyData, axis_name, is_logarithmic, value_of
from kansearch.report.palette import Series, basis_of, name_of, series_of
from kansearch.report.plot import Plot
from kansearch.report.progress import spread
from kansearch.report.scales import Linear, Log, fitted
from kansearch.report.svg import dots, element, marker, polyline, text
from kansearch.space import Direction
from kansearch.study.figures import describe, values
from kansearch.study.front import front_of
from kansearch.study.records import TrialRecord

__all__ = ["extent", "front_plot", "front_plots", "hidden", "legend", "sample", "staircase", "tip"]

_MOST_LABELS = 12
_CROWD = 250  # complete trials from which on those behind the front are drawn smaller
_LABEL_ROOM = 24.0  # between the labels of two points, in units of the drawing


def front_plots(data: StudyData) -> list[Markup]:
    """The first two objectives, then every other pair of them."""
    pairs = [data.axes, *((second, first) for first, second in list(combinations(data.objectives, 2))[1:])]
    return [front_plot(data, across, up, width=640 if index == 0 else 460) for index, (across, up) in enumerate(pairs)]


def front_plot(data: StudyData, across: str, up: str, width: float = 640) -> Markup:
    """Every trial that was measured in both; a point's shape and colour say its basis."""
    x, y = extent(data, across), extent(data, up)
    plot = Plot(x, y, axis_name(across), axis_name(up), width, width * 0.62)
    series = series_of({basis_of(record) for record in data.complete})
    on_front = {record.number for record in data.front}
    rest = [record for record in data.complete if record.number not in on_front]
    body = [_pruned(plot, data, across, up), *_staircase(plot, data, across, up)]
    crowd = len(rest) > _CROWD
    body += [_point(plot, record, series[basis_of(record)], across, up, "rest", crowd) for record in rest]
    body += _references(plot, data, across, up)
    body += [_point(plot, record, series[basis_of(record)], across, up, "best") for record in data.front]
    body += _labels(plot, data, across, up)
    return plot.draw(body, f"The front: {axis_name(up)} against {axis_name(across)}")


def extent(data: StudyData, objective: str) -> Linear | Log:
    """A scale for an objective, on which the whole front lies, and every complete trial that is no outlier.

    A size is known of every trial that was measured once, so that all of them lie on it.
    """
    published = [reference.values[objective] for reference in data.references if objective in reference.values]
    if is_logarithmic(objective):
        return fitted([*_measured(data.records, objective), *published] or [1.0], log=True)
    typical = _middle(_measured(data.complete, objective) or [0.0, 1.0])
    return fitted([*_measured(data.front, objective), *typical, *published])


def _measured(records: Sequence[TrialRecord], objective: str) -> list[float]:
    return [value for record in records if (value := value_of(record, objective)) is not None]


def _middle(values: Sequence[float]) -> list[float]:
    """Between the quartiles, the whiskers of a box plot included."""
    ordered = sorted(values)
    low, high = ordered[len(ordered) // 4], ordered[(3 * len(ordered)) // 4]
    reach = 1.5 * (high - low)
    return [value for value in ordered if low - reach <= value <= high + reach]


def hidden(data: StudyData, objective: str) -> int:
    """Complete trials that `extent` puts on its edge."""
    scale = extent(data, objective)
    return sum(not scale.low <= value <= scale.high for value in _measured(data.complete, objective))


def _pruned(plot: Plot, data: StudyData, across: str, up: str) -> Markup:
    stopped = [record for record in data.records if record.state == "pruned"]
    pairs = [(value_of(record, across), value_of(record, up)) for record in stopped]
    return dots(plot.points((x, y) for x, y in pairs if x is not None and y is not None), "faint")


def staircase(
    front: Sequence[TrialRecord], across: str, up: str, directions: Sequence[Direction]
) -> list[tuple[float, float]]:
    """Corners of what the front of two objectives reaches; `directions` of `across` and `up`. A corner is dominated."""
    points = [(x, y) for r in front if (x := value_of(r, across)) is not None and (y := value_of(r, up)) is not None]
    points.sort(reverse=directions[0] == "maximize")
    corners: list[tuple[float, float]] = []
    for x, y in points:
        if corners:
            corners.append((x, corners[-1][1]))
        corners.append((x, y))
    return corners


def _staircase(plot: Plot, data: StudyData, across: str, up: str) -> list[Markup]:
    """Draw the staircase of the front of these two objectives alone; empty where `across` is no objective."""
    directions: dict[str, Direction] = {up: data.objectives[up], across: data.objectives.get(across, "minimize")}
    if across not in data.objectives:
        return []
    front = front_of(data.complete, directions)
    corners = plot.points(staircase(front, across, up, (directions[across], directions[up])))
    return [polyline(continued(corners, plot, directions[across]), "front")]


def continued(corners: list[tuple[float, float]], plot: Plot, direction: Direction) -> list[tuple[float, float]]:
    """Continue the corners to the side of the plot where `across` is worse: what is reached there stays reached."""
    return [*corners, (plot.left if direction == "maximize" else plot.right, corners[-1][1])] if corners else []


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
