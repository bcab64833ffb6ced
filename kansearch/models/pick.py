"""Which trials of a study are meant: by their place on the front, by bounds, or by their numbers."""

from __future__ import annotations

from collections.abc import Sequence

from kansearch.errors import InputError, KansearchError
from kansearch.study.figures import number
from kansearch.study.front import front_of, knee
from kansearch.study.records import TrialRecord
from kansearch.study.study import Study

__all__ = ["pick_trial", "pick_trials"]

_OF_FRONT = ("knee", "best", "smallest")


def pick_trial(
    study: Study,
    pick: str | None = None,
    *,
    max_parameters: int | None = None,
    min_accuracy: float | None = None,
    force: bool | None = None,
) -> TrialRecord:
    """The trial that is meant.

    Args:
        study: with at least one complete trial, unless `force` names another by its number.
        pick: `knee` (nearest to the ideal point), `best` (first objective), `smallest` (last one), or a trial number.
            None: the best where parameters alone are bounded, the smallest where accuracy is, else the knee.
        max_parameters: choose among the complete trials with at most this many parameters.
        min_accuracy: choose among the complete trials with at least this validation accuracy, in [0, 1].
        force: take the trial of that number even if it is not complete; None: no, and there is no option that would.

    Raises:
        InputError: no such pick or trial, the trial is not complete, or a bound goes with a number.
        KansearchError: no trial is complete, or none is within the bounds.
    """
    records = study.records()
    if pick is not None and _is_number(pick):
        if max_parameters is not None or min_accuracy is not None:
            raise InputError(f"--pick {pick} names one trial: --max-parameters and --min-accuracy choose among several")
        return _by_number(records, int(pick), f"--pick {pick}", force)
    if pick is None:
        pick = "smallest" if min_accuracy is not None else "knee" if max_parameters is None else "best"
    if pick not in _OF_FRONT:
        raise InputError(f"--pick {pick}: give knee, best, smallest or a trial number")
    complete = _complete(study, records)
    return _of_front(front_of(_within(complete, max_parameters, min_accuracy), study.objectives), pick, study)


def pick_trials(study: Study, picks: str) -> list[TrialRecord]:
    """Complete trials of a study, each once, in the order in which they are named.

    Args:
        study: with at least one complete trial.
        picks: names with commas between: `front` (all of it), `knee`, `best`, `smallest`, and trial numbers.

    Raises:
        InputError: no such name or trial, or the trial is not complete. KansearchError: no trial is complete.
    """
    records = study.records()
    front = front_of(_complete(study, records), study.objectives)
    chosen: list[TrialRecord] = []
    for pick in map(str.strip, picks.split(",")):
        if _is_number(pick):
            chosen.append(_by_number(records, int(pick), f"--picks {pick}"))
        elif pick == "front":
            chosen += front
        elif pick in _OF_FRONT:
            chosen.append(_of_front(front, pick, study))
        else:
            raise InputError(
                f"--picks '{pick}': give front, knee, best, smallest or trial numbers, with commas between"
            )
    return list({record.number: record for record in chosen}.values())


def _is_number(pick: str) -> bool:
    return pick.isascii() and pick.isdecimal()


def _complete(study: Study, records: Sequence[TrialRecord]) -> list[TrialRecord]:
    complete = [record for record in records if record.state == "complete"]
    if not complete:
        raise KansearchError(f"study '{study.name}' has no complete trial yet")
    return complete


def _of_front(front: Sequence[TrialRecord], pick: str, study: Study) -> TrialRecord:
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
        if not all("accuracy" in record.metrics for record in kept):
            raise InputError("--min-accuracy: the study's trials predict numbers, and have no accuracy")
        most = max(record.metrics["accuracy"] for record in kept)
        kept = [record for record in kept if record.metrics["accuracy"] >= min_accuracy]
        if not kept:
            among = "" if max_parameters is None else f" with at most {max_parameters:,} parameters"
            raise KansearchError(f"no complete trial{among} has an accuracy of {min_accuracy}: the best has {most:.4f}")
    return kept


def _by_number(records: Sequence[TrialRecord], index: int, option: str, force: bool | None = None) -> TrialRecord:
    if index >= len(records):
        raise InputError(f"{option}: the study has trials 0 to {len(records) - 1}")
    record = records[index]
    if record.state != "complete" and not force:
        way_out = "" if force is None else "; --force takes it all the same"
        reason = record.reason or "no reason noted"
        raise InputError(f"{option}: the trial is {record.state}, not complete ({reason}){way_out}")
    return record
