"""Parallel coordinates: an axis for each hyperparameter that matters and each objective, a line for each trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from kansearch.report.data import StudyData, Trial
from kansearch.report.front import tip
from kansearch.report.geometry import value_of
from kansearch.report.hyperparameters import scale_of, shown
from kansearch.report.scales import Names, Scale
from kansearch.report.svg import drawing, element, polyline, text

__all__ = ["SHADES", "Parallel", "parallel_plot"]

SHADES = {
    "shade-0": "worst fifth",
    "shade-1": "fourth",
    "shade-2": "middle",
    "shade-3": "second",
    "shade-4": "best fifth",
    "front-line": "the front",
}
"""Classes of lines by the first objective, and what they mean."""

_FIFTHS = 5
_MOST_AXES, _STEP = 9, 104.0
_LEFT, _TOP, _BOTTOM, _HEIGHT = 56.0, 46.0, 330.0, 372.0
_NOT_THERE = _BOTTOM + 22


@dataclass(frozen=True)
class Parallel:
    """The plot, and what it was drawn of."""

    plot: Markup
    names: Sequence[str]
    """Hyperparameters and objectives, an axis each, from left to right."""
    lines: Mapping[int, Sequence[tuple[float, float]]]
    """Where each trial that trained passes the axes, by its number."""
    top: float = _TOP
    bottom: float = _BOTTOM
    """Where axes end and begin; a line passes below where its trial has no such hyperparameter."""


def parallel_plot(data: StudyData, order: Sequence[str]) -> Parallel:
    """Complete trials through the first nine hyperparameters of `order` that vary, then the objectives.

    A trial without a hyperparameter passes below its axis.
    """
    trained = [trial for trial in data.trials if trial.record.state != "infeasible"]
    complete = [trial for trial in trained if trial.record.state == "complete"]
    scales = _scales(data, trained, complete, order)
    points = {trial.record.number: _line(data, trial, scales) for trial in trained}
    shades = _shades(data, complete)
    front = {record.number for record in data.front}
    lines = [
        polyline(points[trial.record.number], f"shade-{shade}", data_trial=trial.record.number)
        for trial, shade in sorted(zip(complete, shades, strict=True), key=lambda pair: pair[1])
        if trial.record.number not in front
    ]
    best = [trial.record for trial in complete if trial.record.number in front]
    lines += [polyline(points[r.number], "front-line", tip(r), data_trial=r.number) for r in best]
    axes = [part for index, (name, scale) in enumerate(scales) for part in _axis(index, name, scale)]
    width = _LEFT * 2 + _STEP * (len(scales) - 1)
    plot = drawing(width, _HEIGHT, [*lines, *axes], "Parallel coordinates of complete trials")
    return Parallel(plot, [name for name, _ in scales], points)


def _scales(
    data: StudyData, trained: Sequence[Trial], complete: Sequence[Trial], order: Sequence[str]
) -> list[tuple[str, Scale]]:
    """An axis for each hyperparameter that varies among complete trials; all that trained lie on it."""
    ranges = data.space.hyperparameters()
    names = [*(name for name in order if name in ranges), *(name for name in ranges if name not in order)]
    scales: list[tuple[str, Scale]] = []
    for name in names:
        seen = {str(trial.hyperparameters[name]) for trial in complete if name in trial.hyperparameters}
        if len(seen) > 1 and len(scales) < _MOST_AXES:
            drawn = [trial.hyperparameters[name] for trial in trained if name in trial.hyperparameters]
            scales.append((name, scale_of(ranges[name], drawn)))
    return [*scales, *((name, data.geometry.extent(name)) for name in reversed(list(data.objectives)))]


def _shades(data: StudyData, complete: Sequence[Trial]) -> list[int]:
    """Fifths of the first objective, 0 the worst."""
    first, direction = next(iter(data.objectives.items()))
    sign = 1.0 if direction == "maximize" else -1.0
    measured = np.array([sign * trial.record.values[first] for trial in complete])
    ranks = np.argsort(np.argsort(measured, kind="stable"), kind="stable")
    return [int(rank) * _FIFTHS // len(complete) for rank in ranks]


def _line(data: StudyData, trial: Trial, scales: Sequence[tuple[str, Scale]]) -> list[tuple[float, float]]:
    return [(_LEFT + index * _STEP, _height(trial, name, scale)) for index, (name, scale) in enumerate(scales)]


def _height(trial: Trial, name: str, scale: Scale) -> float:
    value: Any = trial.hyperparameters.get(name)
    if name not in trial.hyperparameters:
        value = value_of(trial.record, name)
        if value is None:
            return _NOT_THERE
    aside = (
        ((trial.record.number * 0.618034) % 1.0 - 0.5) * 0.5 / len(scale.labels) if isinstance(scale, Names) else 0.0
    )
    share = scale(shown(value) if isinstance(scale, Names) else value) + aside
    return _BOTTOM - share * (_BOTTOM - _TOP)


def _axis(index: int, name: str, scale: Scale) -> list[Markup]:
    x = _LEFT + index * _STEP
    above, _, last = name.rpartition(".")
    drawn = [
        element("path", d=f"M{x:.0f} {_TOP:.0f}V{_BOTTOM:.0f}", class_="axis"),
        text(x, 16, above.rpartition(".")[2], "tick", "middle"),
        text(x, 32, last.replace("_", " ")[:18], "name", "middle"),
    ]
    for share, label in scale.ticks(4):
        drawn.append(text(x + 4, _BOTTOM - share * (_BOTTOM - _TOP) + 4, label, "tick halo"))
    return drawn
