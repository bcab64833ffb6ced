"""The table of all trials that trained: what each measured last, how long it took, and its configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kansearch.report.data import StudyData
from kansearch.report.geometry import value_of
from kansearch.study.figures import describe, number
from kansearch.study.records import State, TrialRecord

__all__ = ["Row", "headings", "rows"]

_SIZE = "parameters"
_COST = "seconds"


@dataclass(frozen=True)
class Row:
    """A trial: its figures, one for each of `headings`, its configuration in words, and what was noted on it."""

    number: int
    state: State
    figures: Sequence[str]
    configuration: str
    note: str


def headings(data: StudyData) -> list[str]:
    """Names of the figures: the objectives, then parameters, seconds and epochs."""
    return [name.replace("_", " ") for name in _columns(data)] + ["epochs"]


def rows(data: StudyData) -> list[Row]:
    """A row for each trial that was trained, by number; what broke a constraint never was."""
    return [
        Row(
            record.number,
            record.state,
            [*(_figure(record, name) for name in _columns(data)), f"{record.epochs:,}"],
            describe(record.stored),
            data.notes.get(record.number, ""),
        )
        for record in data.records
        if record.state != "infeasible"
    ]


def _columns(data: StudyData) -> list[str]:
    return list(dict.fromkeys([*data.objectives, _SIZE, _COST]))


def _figure(record: TrialRecord, name: str) -> str:
    """A trial that isn't complete shows what it measured last."""
    value = value_of(record, name)
    if value is None:
        return "-"
    return f"{value:,.1f}" if name == _COST else number(name, value)
