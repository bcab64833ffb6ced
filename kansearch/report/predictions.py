"""Predicted against true values, and what is left of them, of confirmed trials that predict numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from kansearch.report.data import StudyData
from kansearch.report.palette import series_of
from kansearch.report.plot import Plot
from kansearch.report.scales import fitted
from kansearch.report.svg import dots, polyline
from kansearch.study.confirmed import Confirmed
from kansearch.study.figures import describe

__all__ = ["Prediction", "predictions"]

_MOST = 6
_WIDTH, _HEIGHT = 400, 300


@dataclass(frozen=True)
class Prediction:
    """One target of a confirmed trial, with the samples of all its seeds."""

    title: str
    against_true: Markup
    """Predicted against true values; where both are equal is a line."""
    residuals: Markup
    """Predicted less true values against true ones."""


def predictions(data: StudyData) -> list[Prediction]:
    """Return those of the confirmed trials, in their order, at most `_MOST`; none where classes are predicted.

    Confirmations of earlier versions kept no samples: they are left out.
    """
    colours = series_of({row.trial.stored.basis for row in data.confirmed})
    found = (
        _drawn(row, target, pairs, colours[row.trial.stored.basis].colour)
        for row in data.confirmed
        for target, pairs in _pairs(row)
    )
    return [each for each, _ in zip(found, range(_MOST), strict=False)]


def _pairs(row: Confirmed) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    """Yield each target's name, and true and predicted values of all seeds."""
    of_runs = [run.test.get("per_target") or [] for run in row.complete]
    for targets in zip(*of_runs, strict=True):
        pairs = [(true, predicted) for target in targets for true, predicted in target.get("pairs", [])]
        if pairs:
            yield targets[0]["target"], pairs


def _drawn(row: Confirmed, target: str, pairs: Sequence[tuple[float, float]], colour: str) -> Prediction:
    values = fitted([value for pair in pairs for value in pair])
    ends = [min(map(min, pairs)), max(map(max, pairs))]
    seeds = len(row.complete)
    over = f"{seeds} seeds" if seeds > 1 else "one seed"
    title = f"trial {row.trial.number}, {describe(row.trial.stored)}: {target}, {over}"
    left = [(true, predicted - true) for true, predicted in pairs]
    plots = []
    for points, line, up, name in (
        (pairs, [(end, end) for end in ends], values, "predicted"),
        (left, [(end, 0.0) for end in ends], fitted([0.0, *(rest for _, rest in left)]), "predicted - true"),
    ):
        plot = Plot(values, up, f"true {target}", name, _WIDTH, _HEIGHT)
        body = [dots(plot.points(points), f"small {colour}"), polyline(plot.points(line), "control")]
        plots.append(plot.draw(body, f"{title}: {name} against true values"))
    return Prediction(title, *plots)
