"""Findings of `kansearch confirm`: means over several seeds on the test split, with their intervals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from markupsafe import Markup

from kansearch.report.data import StudyData
from kansearch.report.front import sample
from kansearch.report.geometry import axis_name, is_logarithmic
from kansearch.report.palette import Series, name_of, series_of
from kansearch.report.plot import Plot
from kansearch.report.scales import Linear, Log, fitted
from kansearch.report.svg import marker, polyline, text
from kansearch.study.confirmed import Confirmed, knee_of
from kansearch.study.confirmed_table import caveats, cells, headings
from kansearch.study.figures import describe
from kansearch.study.selection import selection_bias
from trials.metrics import METRICS

__all__ = ["confirmation"]


def confirmation(data: StudyData) -> dict[str, Any] | None:
    """Return what the page shows of them; None where no seed of any trial is complete."""
    rows = [row for row in data.confirmed if row.complete]
    if not rows:
        return None
    knee = knee_of(rows, data.objectives)
    return {
        "published": list(_published(data, rows)),
        "plot": _plot(data, rows, knee),
        "legend": list(_legend(rows)),
        "headings": headings(data.objectives),
        "rows": [
            (cells(row, data.objectives), describe(row.trial.stored), row.trial.number == knee)
            for row in data.confirmed
        ],
        "notes": [
            *caveats(rows, data.name),
            *selection_bias(rows, data.objectives),
            *(f"trial {row.trial.number}: {row.reason}" for row in data.confirmed if row.reason),
        ],
    }


def _published(data: StudyData, rows: list[Confirmed]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each published network, if a confirmed trial has no more parameters.

    The row has the trial that was most accurate at selection: the test split did not choose it. A published accuracy is
    a single run. It lies above, below, or within the interval in which one more run of that trial lies.
    """
    told = [row for row in rows if "accuracy" in row.differences and "accuracy" in row.predicted]
    for reference in data.references:
        small = [row for row in told if row.value("parameters") <= reference.values["parameters"]]
        if not small:
            continue
        best = max(small, key=lambda row: row.trial.values["accuracy"])
        published, mean, half = reference.values["accuracy"], best.mean["accuracy"], best.predicted["accuracy"]
        place = "below" if published < mean - half else "above" if published > mean + half else "within"
        sizes = [f"{each:,.0f}" for each in (reference.values["parameters"], best.value("parameters"))]
        number = str(best.trial.number)
        yield reference.name, sizes[0], f"{published:.4f}", number, sizes[1], f"{mean:.4f} ± {half:.4f}", place


def _plot(data: StudyData, rows: list[Confirmed], knee: int | None) -> Markup:
    """Each trial's mean with its intervals, and faint where it lay at selection."""
    across, up = data.geometry.axes
    names = [METRICS[name].test_label or axis_name(name) for name in (across, up)]
    plot = Plot(_extent(rows, across), _extent(rows, up), names[0], names[1], 640, 380)
    series = series_of({row.trial.stored.basis for row in rows})
    body = [mark for row in rows for mark in _marks(plot, row, series[row.trial.stored.basis], across, up)]
    labels = [_label(plot, row, across, up, row.trial.number == knee) for row in rows]
    return plot.draw([*body, *labels], f"Confirmed: {names[1]} against {names[0]}")


def _extent(rows: list[Confirmed], name: str) -> Linear | Log:
    """Return a scale that holds the means, the ends of their intervals, and the values at selection."""
    ends = [end for row in rows for end in _interval(row, name)]
    return fitted([*ends, *(_at_selection(row, name) for row in rows)], log=is_logarithmic(name))


def _interval(row: Confirmed, name: str) -> tuple[float, float]:
    """Both ends are the mean where there is no interval."""
    mean, half = row.value(name), row.half.get(name) or 0.0
    return mean - half, mean + half


def _at_selection(row: Confirmed, name: str) -> float:
    return float(row.trial.values[name] if name in row.trial.values else row.trial.metrics.get(name, row.value(name)))


def _marks(plot: Plot, row: Confirmed, series: Series, across: str, up: str) -> Iterator[Markup]:
    x, y = row.value(across), row.value(up)
    chosen = plot.at(_at_selection(row, across), _at_selection(row, up))
    style = f"{series.colour} {series.shape}"
    tip = f"trial {row.trial.number}: {up.replace('_', ' ')} {row.written(up)}; {describe(row.trial.stored)}"
    yield polyline([chosen, plot.at(x, y)], "faint")
    yield marker(*chosen, series.shape, f"rest {style}", f"trial {row.trial.number} at selection", small=True)
    for ends in ([(end, y) for end in _interval(row, across)], [(x, end) for end in _interval(row, up)]):
        if ends[0] != ends[1]:
            yield polyline(plot.points(ends), f"error {series.colour}")
    yield marker(*plot.at(x, y), series.shape, f"best {style}", tip)


def _label(plot: Plot, row: Confirmed, across: str, up: str, knee: bool) -> Markup:
    x, y = plot.at(row.value(across), row.value(up))
    right = x < plot.right - 70
    label = f"knee: {row.trial.number}" if knee else str(row.trial.number)
    return text(x + (9 if right else -9), y + 4, label, "label knee" if knee else "label", "start" if right else "end")


def _legend(rows: list[Confirmed]) -> Iterator[tuple[Markup, str]]:
    for basis, series in series_of({row.trial.stored.basis for row in rows}).items():
        yield sample(marker(8, 8, series.shape, f"best {series.colour} {series.shape}")), name_of(basis)
    yield sample(marker(8, 8, "circle", "rest circle", small=True)), "at selection, on validation images"
    if any(row.half.get(name) for row in rows for name in row.half):
        yield sample(polyline([(8, 1), (8, 15)], "error")), "95 % interval of the mean"
