"""Each hyperparameter against each objective: a small plot for each pair, complete trials as dots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from markupsafe import Markup

from kansearch.report.data import StudyData, Trial
from kansearch.report.geometry import axis_name, value_of
from kansearch.report.plot import Plot
from kansearch.report.scales import Linear, Log, Names, Scale
from kansearch.report.svg import dots, element
from kansearch.space.distributions import Choice, Distribution, IntRange
from trials.config.data import ALL
from trials.metrics import METRICS

__all__ = ["Panel", "panels", "scale_of", "shown"]

_BINS, _LEAST_IN_A_BIN = 6, 3
_MOST_NAMED = 8  # integers that are categories
_SCATTER = 0.55  # of a category's width
_LETTERS = 7  # room for 100,000 beside each axis, so that plots above each other have the same width


@dataclass(frozen=True)
class Panel:
    """The plots of one hyperparameter, one an objective, and how many complete trials have it."""

    name: str
    trials: int
    plots: Sequence[Markup]


def panels(data: StudyData, order: Sequence[str] = ()) -> list[Panel]:
    """Return a panel for every hyperparameter that a complete trial has, those named by `order` first."""
    complete = [trial for trial in data.trials if trial.record.state == "complete"]
    ranges = data.space.hyperparameters()
    names = [*(name for name in order if name in ranges), *(name for name in ranges if name not in order)]
    made = []
    for name in names:
        having = [trial for trial in complete if name in trial.hyperparameters]
        if having:
            made.append(Panel(name, len(having), [_plot(data, name, ranges[name], having, o) for o in data.objectives]))
    return made


def shown(value: Any) -> str:
    """An option as the space's file writes it."""
    if value == ALL:  # no other hyperparameter goes so far
        return "all"
    return (
        {None: "null", True: "true", False: "false"}[value]
        if value is None or value is True or value is False
        else str(value)
    )


def scale_of(distribution: Distribution, drawn: Sequence[Any]) -> Scale:
    """Return a scale from a distribution's lowest to its highest value. It includes values that were drawn before an
    override changed the distribution."""
    if isinstance(distribution, Choice):
        options = [shown(option) for option in distribution.options]
        return Names([*options, *sorted({shown(value) for value in drawn} - set(options))])
    if isinstance(distribution, IntRange) and len(distribution.reachable()) <= _MOST_NAMED:
        return Names([str(value) for value in sorted({*distribution.reachable(), *drawn})])
    low, high = min([distribution.low, *drawn]), max([distribution.high, *drawn])
    if distribution.log:
        return Log(low, high) if high > low else Log(low / 1.1, high * 1.1)
    margin = (high - low) * 0.04 or 0.5
    return Linear(low - margin, high + margin)


def _plot(data: StudyData, name: str, distribution: Distribution, having: Sequence[Trial], objective: str) -> Markup:
    x = scale_of(distribution, [trial.hyperparameters[name] for trial in having])
    named = METRICS[objective].short
    plot = Plot(x, data.geometry.extent(objective), name.rpartition(".")[2], named, 300, 190, letters=_LETTERS)
    front = {record.number for record in data.front}
    placed = [
        (trial.record.number in front, (plot.across(_place(x, trial, name)), plot.up(plot.y(value))))
        for trial in having
        if (value := value_of(trial.record, objective)) is not None
    ]
    rest, best = [point for on, point in placed if not on], [point for on, point in placed if on]
    body = [dots(rest, "small"), _medians(plot, x, [point for _, point in placed]), dots(best, "chosen")]
    return plot.draw(body, f"{axis_name(objective)} by {name}")


def _place(x: Scale, trial: Trial, name: str) -> float:
    """Where a trial lies; within a category, a little to the side, always the same way."""
    if not isinstance(x, Names):
        return x(trial.hyperparameters[name])
    aside = (trial.record.number * 0.618034) % 1.0 - 0.5
    return x(shown(trial.hyperparameters[name])) + aside * _SCATTER / len(x.labels)


def _medians(plot: Plot, x: Scale, points: Sequence[tuple[float, float]]) -> Markup:
    """A short line at the median of each category, or of each sixth of the range, with three trials or more."""
    bins = len(x.labels) if isinstance(x, Names) else _BINS
    width = (plot.right - plot.left) / bins
    path = ""
    for index in range(bins):
        left = plot.left + index * width
        inside = [
            top for across, top in points if left <= across < left + width or (index == bins - 1 and across >= left)
        ]
        if len(inside) >= _LEAST_IN_A_BIN:
            path += f"M{left + 0.1 * width:.1f} {median(inside):.1f}h{0.8 * width:.1f}"
    return element("path", d=path, class_="median")
