"""Which trials `--picks` means: `front`, `knee,best`, `3,17,knee`."""

from __future__ import annotations

from collections.abc import Sequence

from kansearch.errors import InputError, KansearchError
from kansearch.study.front import front_of, knee
from kansearch.study.records import TrialRecord
from kansearch.study.study import Study

__all__ = ["pick_trials"]


def pick_trials(study: Study, picks: str) -> list[TrialRecord]:
    """Complete trials of a study, each once, in the order in which they are named.

    Args:
        study: with at least one complete trial.
        picks: names with commas between: `front` (all of it), `knee` (its balanced trial), `best` (by the first
            objective), `smallest` (by the last one), trial numbers.

    Raises:
        InputError: no such name or trial, or the trial is not complete. KansearchError: no trial is complete.
    """
    records = study.records()
    front = front_of(records, study.objectives)
    if not front:
        raise KansearchError(f"study '{study.name}' has no complete trial yet")
    chosen = [record for pick in picks.split(",") for record in _picked(pick.strip(), study, records, front)]
    return list({record.number: record for record in chosen}.values())


def _picked(
    pick: str, study: Study, records: Sequence[TrialRecord], front: Sequence[TrialRecord]
) -> Sequence[TrialRecord]:
    if pick.isascii() and pick.isdecimal():
        return [_by_number(records, int(pick))]
    if pick == "front":
        return front
    if pick == "knee":
        return [knee(front, study.objectives)]
    if pick == "smallest":
        return [front[0]]
    if pick == "best":
        name, direction = next(iter(study.objectives.items()))
        return [(max if direction == "maximize" else min)(front, key=lambda record: record.values[name])]
    raise InputError(f"--picks '{pick}': give front, knee, best, smallest or trial numbers, with commas between")


def _by_number(records: Sequence[TrialRecord], number: int) -> TrialRecord:
    if number >= len(records):
        raise InputError(f"--picks {number}: the study has trials 0 to {len(records) - 1}")
    record = records[number]
    if record.state != "complete":
        why = record.reason or "no reason noted"
        raise InputError(f"--picks {number}: the trial is {record.state}, not complete ({why})")
    return record
