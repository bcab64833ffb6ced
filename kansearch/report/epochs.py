"""The values of trials as of an earlier epoch: budgets of epochs to look at, and what each trial had by then."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

from kansearch.report.geometry import Geometry, Reference, finite, value_of
from kansearch.space import Direction
from kansearch.study.records import TrialRecord
from trials.metrics import METRICS

__all__ = ["budgets", "changes", "geometry_as_of", "values_by_budget"]

_MOST_BUDGETS = 20
"""Budgets beside the rungs at which a scheduler compared trials."""


def budgets(records: Sequence[TrialRecord]) -> list[int]:
    """Return numbers of epochs, rising, the last one the most that any trial trained; all of them where they are few.

    Many are thinned out to steps of equal ratio, and the rungs.
    """
    most = max((record.epochs for record in records), default=0)
    if most <= _MOST_BUDGETS:
        return list(range(1, most + 1))
    rungs = {int(epoch) for record in records for epoch in record.rungs}
    steps = {round(most ** (index / (_MOST_BUDGETS - 1))) for index in range(_MOST_BUDGETS)}
    return sorted(epoch for epoch in steps | rungs if 1 <= epoch <= most)


def changes(name: str) -> bool:
    """Whether a metric of a trial has another value as of another epoch."""
    return METRICS[name].per_epoch or name == "seconds"


def values_by_budget(record: TrialRecord, name: str, epochs: Sequence[int]) -> list[float | None]:
    """Return a metric that `changes` as of each of `epochs` at which the trial went on; None where it wasn't measured.

    Seconds are the trial's less those of later epochs, so that its set-up counts from the start.
    """
    found: list[float | None] = []
    spent, measured, rows = record.seconds - record.training_seconds, None, list(record.curve)
    for epoch in itertools.takewhile(lambda epoch: epoch < record.epochs, epochs):
        while rows and rows[0]["epoch"] <= epoch:
            row = rows.pop(0)
            spent += float(row["seconds"])
            measured = measured if row.get(name) is None else row[name]
        found.append(spent if name == "seconds" else finite(measured))
    return found


def geometry_as_of(
    rows: Sequence[tuple[TrialRecord, Mapping[str, float | None]]],
    objectives: Mapping[str, Direction],
    references: Sequence[Reference],
    final: Sequence[TrialRecord],
) -> Geometry:
    """Return the geometry of trials with their values as of a budget, on whose scales the front of now lies too.

    Args:
        rows: those that trained so long, with the values that they had, objectives or not.
        objectives: of the study.
        references: published models.
        final: the front of now.
    """
    shown = [
        replace(record, state="complete", values={name: value for name, value in values.items() if value is not None})
        for record, values in rows
        if all(values.get(name) is not None for name in objectives)
    ]
    names = list(rows[0][1]) if rows else []
    beside = [Reference(str(r.number), {n: v for n in names if (v := value_of(r, n)) is not None}, "") for r in final]
    return Geometry(shown, objectives, [*references, *beside])
