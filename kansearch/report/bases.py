"""The page's part on which basis earns its parameters. Each basis has its own front of accuracy (or loss) against
parameters, beside that of the plain networks, and its best within a number of parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from kansearch.report.data import StudyData
from kansearch.report.front import tip
from kansearch.report.geometry import axis_name, staircase, value_of
from kansearch.report.palette import name_of, series_of
from kansearch.report.plot import Plot
from kansearch.report.svg import dots, marker, polyline
from kansearch.space import Direction
from kansearch.study.figures import number
from kansearch.study.front import front_of
from kansearch.study.records import TrialRecord
from trials.metrics import METRICS

__all__ = ["BasisTable", "basis_plots", "basis_table", "quality_objective"]

_MOST_BUDGETS = 5
_SIZE = "parameters"


@dataclass(frozen=True)
class BasisTable:
    """The best value of each basis within each number of parameters; `best` says where it is the best of its column."""

    budgets: Sequence[str]
    rows: Sequence[tuple[str, int, Sequence[tuple[str, bool]]]]


def quality_objective(data: StudyData) -> str | None:
    """The first objective that is none of size; None if there is only size."""
    return next((name for name in data.objectives if not METRICS[name].size), None)


def basis_plots(data: StudyData, quality: str) -> list[tuple[str, Markup]]:
    """A plot for each basis but plain, on the same axes: its trials and its front, and the plain networks' front."""
    groups = _groups(data, quality)
    plain = groups.get("none", [])
    return [
        (name_of(basis), _plot(data, quality, basis, those, plain))
        for basis, those in groups.items()
        if basis != "none"
    ]


def _groups(data: StudyData, quality: str) -> dict[str, list[TrialRecord]]:
    """Complete trials by basis, plain first."""
    measured = [r for r in data.complete if value_of(r, quality) is not None and value_of(r, _SIZE) is not None]
    series = series_of({record.stored.basis for record in measured})
    groups: dict[str, list[TrialRecord]] = {basis: [] for basis in series}
    for record in measured:
        groups[record.stored.basis].append(record)
    return groups


def _plot(
    data: StudyData, quality: str, basis: str, those: Sequence[TrialRecord], plain: Sequence[TrialRecord]
) -> Markup:
    x, y = data.geometry.extent(_SIZE), data.geometry.extent(quality)
    plot = Plot(x, y, axis_name(_SIZE), axis_name(quality).partition(" (")[0], 330, 230)
    style = series_of({basis})[basis]
    directions: dict[str, Direction] = {quality: data.objectives[quality], _SIZE: "minimize"}
    own, control = _front(those, directions), _front(plain, directions)
    beside = {record.number for record in own}
    rest = [(value_of(r, _SIZE), value_of(r, quality)) for r in those if r.number not in beside]
    body = [
        polyline(plot.points(staircase(control, _SIZE, quality, directions, x)), "control"),
        dots(plot.points(rest), f"small {style.colour}"),
        polyline(plot.points(staircase(own, _SIZE, quality, directions, x)), style.colour),
    ]
    for record in own:
        at = plot.at(value_of(record, _SIZE), value_of(record, quality))
        body.append(
            marker(*at, style.shape, f"best {style.colour} {style.shape}", tip(record), data_trial=record.number)
        )
    return plot.draw(body, f"{name_of(basis)} against plain networks")


def _front(records: Sequence[TrialRecord], directions: dict[str, Direction]) -> list[TrialRecord]:
    """Return the front of quality against size, which need not both be objectives."""
    from dataclasses import replace

    rows = [replace(record, values={name: value_of(record, name) or 0.0 for name in directions}) for record in records]
    return front_of(rows, directions)


def basis_table(data: StudyData, quality: str) -> BasisTable:
    """Compare bases by budget; budgets are round numbers between the smallest and largest network that completed."""
    groups = _groups(data, quality)
    budgets = _budgets([value_of(record, _SIZE) or 0.0 for those in groups.values() for record in those])
    better = max if data.objectives[quality] == "maximize" else min
    best = {
        basis: [
            better((value_of(r, quality) or 0.0 for r in those if (value_of(r, _SIZE) or 0.0) <= budget), default=None)
            for budget in budgets
        ]
        for basis, those in groups.items()
    }
    winners = [
        better((v for v in column if v is not None), default=None) for column in zip(*best.values(), strict=True)
    ]
    rows = []
    for basis, row in best.items():
        cells = [
            ("-" if v is None else number(quality, v), v is not None and v == top)
            for v, top in zip(row, winners, strict=True)
        ]
        rows.append((name_of(basis), len(groups[basis]), cells))
    return BasisTable([f"{budget:,.0f}" for budget in budgets], rows)


def _budgets(sizes: Sequence[float]) -> list[float]:
    """Pick at most five of 1, 2, 5 times powers of ten, from above the smallest size to the first above the largest."""
    ladder = [part * 10.0**decade for decade in range(10) for part in (1, 2, 5)]
    above = next((index for index, rung in enumerate(ladder) if rung >= max(sizes)), len(ladder) - 1)
    inside = [rung for rung in ladder[: above + 1] if rung >= min(sizes)]
    if len(inside) <= _MOST_BUDGETS:
        return inside
    return [inside[round(index * (len(inside) - 1) / (_MOST_BUDGETS - 1))] for index in range(_MOST_BUDGETS)]
