"""The axes that a reader may draw the front over, with each trial's value on them by the budget of epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kansearch.report.data import StudyData
from kansearch.report.epochs import budgets, changes, geometry_as_of, values_by_budget
from kansearch.report.front import front_box
from kansearch.report.geometry import axis_name, value_of
from kansearch.report.scales import Linear, Log
from kansearch.study.records import TrialRecord
from trials.metrics import METRICS, main_metric

__all__ = ["Axis", "axes_of", "letters", "short", "written"]

_BESIDE = tuple(name for name, each in METRICS.items() if each.size or each.varies)
"""Sizes and costs, which any network has."""
_DIGITS = 6


@dataclass(frozen=True)
class Axis:
    """A metric that the front can be drawn over."""

    name: str
    maximize: bool
    values: Sequence[float | None]
    """Each trial's latest."""
    earlier: Sequence[Sequence[float | None]]
    """Each trial's value as of each budget at which it went on; empty where it is the same at all of them."""
    scales: Sequence[Linear | Log]
    """A scale for each budget, or one for all."""


def axes_of(data: StudyData, records: Sequence[TrialRecord]) -> tuple[list[int], list[Axis]]:
    """Return the budgets of epochs, and an axis for each objective and each size or cost that complete trials have."""
    epochs = budgets(records)
    names = _names(data)
    latest = {name: [value_of(record, name) for record in records] for name in names}
    earlier = {name: [values_by_budget(r, name, epochs) for r in records] for name in names if changes(name)}
    scales: dict[str, list[Linear | Log]] = {name: [] for name in earlier}
    for index, epoch in enumerate(epochs[:-1]):
        rows = [
            (record, {name: _as_of(latest[name][row], earlier.get(name, []), row, index) for name in names})
            for row, record in enumerate(records)
            if record.state == "complete" or (record.state == "pruned" and record.epochs >= epoch)
        ]
        geometry = geometry_as_of(rows, data.objectives, data.references, data.front)
        for name in earlier:
            scales[name].append(geometry.extent(name))
    return epochs, [
        Axis(
            name,
            data.objectives[name] == "maximize" if name in data.objectives else METRICS[name].maximize,
            latest[name],
            earlier.get(name, []),
            [*scales.get(name, []), data.geometry.extent(name)],
        )
        for name in names
    ]


def _names(data: StudyData) -> list[str]:
    """Names of the objectives and the axes that the front is drawn over, and of metrics beside them that vary."""
    if not data.complete:
        return []
    own = dict.fromkeys([*data.geometry.axes, *data.objectives])
    beside = dict.fromkeys([main_metric(data.objectives), *_BESIDE])
    varying = [name for name in beside if len({value_of(record, name) for record in data.complete} - {None}) > 1]
    return list(dict.fromkeys([*own, *varying]))


def _as_of(latest: float | None, earlier: Sequence[Sequence[float | None]], row: int, budget: int) -> float | None:
    return earlier[row][budget] if earlier and budget < len(earlier[row]) else latest


def letters(axes: Sequence[Axis]) -> int:
    """Return the longest label that any of the axes has when it stands upright, in letters."""
    return max((len(label) for axis in axes for scale in axis.scales for _, label in _ticks(scale)[1]), default=1)


def _ticks(scale: Linear | Log) -> tuple[list[tuple[float, str]], list[tuple[float, str]]]:
    """Ticks of a scale that lies across, and of one that stands upright."""
    plot = front_box(scale, scale)
    return plot.x_ticks(), plot.y_ticks()


def written(axis: Axis) -> Mapping[str, Any]:
    """Return the axis as the page's script reads it."""
    return {
        "name": axis.name,
        "label": axis_name(axis.name),
        "maximize": axis.maximize,
        "values": [short(value) for value in axis.values],
        "earlier": [[short(value) for value in values] for values in axis.earlier],
        "scales": [_scale(scale) for scale in axis.scales],
    }


def _scale(scale: Linear | Log) -> Mapping[str, Any]:
    across, up = ([(round(share, 4), label) for share, label in ticks] for ticks in _ticks(scale))
    return {"low": scale.low, "high": scale.high, "log": isinstance(scale, Log), "across": across, "up": up}


def short(value: float | None) -> float | int | None:
    """Return a value to six digits."""
    if value is None:
        return None
    rounded = float(f"{value:.{_DIGITS}g}")
    return int(rounded) if rounded.is_integer() else rounded
