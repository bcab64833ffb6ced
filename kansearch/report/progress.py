"""How the search went on: hypervolume of the front over finished trials and over device-seconds; learning curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from kansearch.report.data import StudyData
from kansearch.report.geometry import axis_name, is_logarithmic
from kansearch.report.palette import series_of
from kansearch.report.plot import Plot
from kansearch.report.scales import Linear, fitted
from kansearch.report.svg import marker, polyline, text
from kansearch.study.figures import describe
from kansearch.study.front import front_of, hypervolume
from kansearch.study.records import FINISHED, TrialRecord
from trials.metrics import main_metric

__all__ = ["curves_box", "curves_plot", "hypervolumes", "progress_plots", "spread", "time_unit"]

_MOST_CURVES = 12
_MOST_FAINT = 150
_LABEL_ROOM = 13.0

Row = tuple[int, float, float]


def hypervolumes(data: StudyData) -> list[Row]:
    """`(trials finished, device-seconds spent, hypervolume)`, a row more with each trial in the order of their ends."""
    finished = [trial for trial in data.trials if trial.record.state in FINISHED]
    finished.sort(key=lambda trial: (trial.ended is None, trial.ended or data.written, trial.record.number))
    front: list[TrialRecord] = []
    rows, spent, volume = [(0, 0.0, 0.0)], 0.0, 0.0
    for count, trial in enumerate(finished, start=1):
        spent += trial.record.seconds
        if trial.record.state == "complete":
            grown = front_of([*front, trial.record], data.objectives)
            if any(record is trial.record for record in grown):
                front, volume = grown, hypervolume(grown, data.objectives)
        rows.append((count, spent, volume))
    return rows


def progress_plots(data: StudyData) -> list[Markup]:
    """Over trials, and over device time."""
    rows = hypervolumes(data)
    volumes = [volume for _, _, volume in rows]
    trials = _steps([float(count) for count, _, _ in rows], volumes)
    unit, length = time_unit(rows[-1][1])
    spent = _steps([seconds / length for _, seconds, _ in rows], volumes)
    return [_volume_plot(trials, "finished trials"), _volume_plot(spent, f"device time of all trials ({unit})")]


def time_unit(seconds: float) -> tuple[str, float]:
    """Return the unit that labels an axis of that length, and how many seconds one unit is."""
    return ("s", 1.0) if seconds < 600 else ("min", 60.0) if seconds < 6 * 3600 else ("h", 3600.0)


def _steps(across: Sequence[float], volumes: Sequence[float]) -> list[tuple[float, float]]:
    """Corners of a step line, without those that lie on it."""
    corners = [(across[0], volumes[0])]
    for x, volume in zip(across[1:], volumes[1:], strict=True):
        if volume != corners[-1][1]:
            corners += [(x, corners[-1][1]), (x, volume)]
    return [*corners, (across[-1], volumes[-1])]


def _volume_plot(corners: Sequence[tuple[float, float]], across: str) -> Markup:
    highest = max((volume for _, volume in corners), default=0.0)
    reached = [volume for _, volume in corners if volume > 0]
    y = fitted([max(0.0, 2 * min(reached) - highest), highest]) if reached else Linear(0.0, 1.0)
    plot = Plot(Linear(0.0, corners[-1][0] or 1.0), y, across, "hypervolume (share of the box)", 400, 250)
    return plot.draw([polyline(plot.points(corners), "heavy blue")], f"Hypervolume over {across}")


def curves_plot(data: StudyData) -> Markup:
    """Epoch by epoch: the trials of the front, at most twelve of them, before a sample of all others."""
    metric, (front, others), plot = main_metric(data.objectives), _drawn(data), curves_box(data)
    body = [polyline(plot.points(_curve(record, metric)), "faint", data_trial=record.number) for record in others]
    return plot.draw([*body, *_front_curves(plot, front, metric)], f"Learning curves: {axis_name(metric)} by epoch")


def curves_box(data: StudyData) -> Plot:
    """The empty plot that curves are drawn on."""
    metric, (front, others) = main_metric(data.objectives), _drawn(data)
    epochs = max((record.epochs for record in data.records), default=1)
    values = [value for record in front or others for _, value in _curve(record, metric)]
    y = fitted(values or [0.1, 1.0], log=is_logarithmic(metric))
    return Plot(Linear(min(1, epochs - 1), epochs), y, "epoch", axis_name(metric), 640, 380, margin=40)


def _drawn(data: StudyData) -> tuple[list[TrialRecord], list[TrialRecord]]:
    """Trials of the front whose curves are drawn, and others whose curves lie behind them."""
    metric, chosen = main_metric(data.objectives), {record.number for record in data.front}
    others = [r for r in data.records if r.number not in chosen and _curve(r, metric)]
    return spread(data.front, _MOST_CURVES), spread(others, _MOST_FAINT)


def _front_curves(plot: Plot, front: Sequence[TrialRecord], metric: str) -> list[Markup]:
    series = series_of({record.stored.basis for record in front})
    drawn, ends = [], []
    for record in front:
        style, points = series[record.stored.basis], plot.points(_curve(record, metric))
        if not points:
            continue
        name = f"trial {record.number}: {describe(record.stored)}"
        every = max(1, len(points) // 6)
        drawn.append(polyline(points, style.colour, name, data_trial=record.number))
        look = f"best {style.colour} {style.shape}"
        drawn += [marker(x, y, style.shape, look, name, data_trial=record.number) for x, y in points[::-every]]
        ends.append((points[-1][1], str(record.number)))
    return [*drawn, *_numbers(plot, ends)]


def _numbers(plot: Plot, ends: Sequence[tuple[float, str]]) -> list[Markup]:
    """Trial numbers beside the ends of their curves, pushed apart where they would cover each other."""
    ends = sorted(ends, reverse=True)
    heights = [y for y, _ in ends]
    for index in range(1, len(heights)):  # up from the lowest one
        heights[index] = min(heights[index], heights[index - 1] - _LABEL_ROOM)
    least = plot.top
    for index in reversed(range(len(heights))):  # down again from the upper edge
        heights[index] = max(heights[index], least)
        least = heights[index] + _LABEL_ROOM
    return [
        text(plot.right + 10, y + 4, number, "label", data_trial=number)
        for y, (_, number) in zip(heights, ends, strict=True)
    ]


def _curve(record: TrialRecord, metric: str) -> list[tuple[int, float]]:
    return [(int(row["epoch"]), float(row[metric])) for row in record.curve if row.get(metric) is not None]


def spread(records: Sequence[Any], most: int) -> list[Any]:
    """At most `most` of them, evenly spread, both ends among them."""
    if len(records) <= most:
        return list(records)
    return [records[round(index * (len(records) - 1) / (most - 1))] for index in range(most)]
