"""Which trial of a study is meant: by its place on the front, by bounds, or by its number."""

from __future__ import annotations

from collections.abc import Sequence

from kansearch.errors import InputError, KansearchError
from kansearch.study.figures import number
from kansearch.study.front import front_of, knee
from kansearch.study.records import TrialRecord
from kansearch.study.study import Study

__all__ = ["pick_trial"]

_PICKS = "give knee, best, smallest or a trial number"


def pick_trial(
    study: Study,
    pick: str | None = None,
    *,
    max_parameters: int | None = None,
    min_accuracy: float | None = None,
    force: bool = False,
) -> TrialRecord:
    """The trial that is meant.

    Args:
        study: with at least one complete trial, unless `force` names another by its number.
        pick: `knee` (nearest to the ideal point), `best` (first objective), `smallest` (last one), or a trial number.
            None: the best where parameters alone are bounded, the smallest where accuracy is, else the knee.
        max_parameters: of the complete trials with at most so many parameters.
        min_accuracy: of the complete trials with at least this validation accuracy, in [0, 1].
        force: take the trial of that number even if it is not complete.

    Raises:
        InputError: no such pick or trial, the trial is not complete, or a bound goes with a number.
        KansearchError: no trial is complete, or none is within the bounds.
    """
    records = study.records()
    if pick is not None and pick.isdecimal():
        if max_parameters is not None or min_accuracy is not None:
            raise InputError(f"--pick {pick} names one trial: --max-parameters and --min-accuracy choose among several")
        return _by_number(records, int(pick), force)
    if pick is None:
        pick = "smallest" if min_accuracy is not None else "knee" if max_parameters is None else "best"
    if pick not in ("knee", "best", "smallest"):
        raise InputError(f"--pick {pick}: {_PICKS}")
    complete = [record for record in records if record.state == "complete"]
    if not complete:
        raise KansearchError(f"study '{study.name}' has no complete trial yet")
    front = front_of(_within(complete, max_parameters, min_accuracy), study.objectives)
    if pick == "knee":
        return knee(front, study.objectives)
    if pick == "smallest":
        return front[0]
    name, direction = next(iter(study.objectives.items()))
    return (max if direction == "maximize" else min)(front, key=lambda record: record.values[name])


def _within(
    complete: Sequence[TrialRecord], max_parameters: int | None, min_accuracy: float | None
) -> list[TrialRecord]:
    kept = list(complete)
    if max_parameters is not None:
        least = min(record.metrics["parameters"] for record in kept)
        kept = [record for record in kept if record.metrics["parameters"] <= max_parameters]
        if not kept:
            have = f"the smallest has {number('parameters', least)}"
            raise KansearchError(f"no complete trial has at most {max_parameters:,} parameters: {have}")
    if min_accuracy is not None:
        most = max(record.metrics["accuracy"] for record in kept)
        kept = [record for record in kept if record.metrics["accuracy"] >= min_accuracy]
        if not kept:
            among = "" if max_parameters is None else f" with at most {max_parameters:,} parameters"
            raise KansearchError(f"no complete trial{among} has an accuracy of {min_accuracy}: the best has {most:.4f}")
    return kept


def _by_number(records: Sequence[TrialRecord], index: int, force: bool) -> TrialRecord:
    if index >= len(records):
        raise InputError(f"--pick {index}: the study has trials 0 to {len(records) - 1}")
    record = records[index]
    if record.state != "complete" and not force:
        reason = record.reason or "no reason noted"
        raise InputError(
            f"--pick {index}: the trial is {record.state}, not complete ({reason}); --force takes it all the same"
        )
    return record
