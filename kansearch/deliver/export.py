"""`export`: the configuration of a chosen trial as a YAML file that `retrain` reads (`kansearch.space.load_config`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from kansearch.errors import InputError, KansearchError
from kansearch.study.front import front_of, knee
from kansearch.study.records import TrialRecord
from kansearch.study.study import Study

__all__ = ["export", "pick_trial"]

_HEADER = "# Trial "


def pick_trial(study: Study, pick: str) -> TrialRecord:
    """The trial that `pick` means.

    Args:
        study: a study with at least one complete trial.
        pick: `knee` (nearest to the ideal point), `best` (first objective), `smallest` (last one), or a trial number.

    Raises:
        InputError: no such pick or trial, or the trial is not complete. KansearchError: no trial is complete.
    """
    records = study.records()
    if pick.isdecimal():
        return _by_number(records, int(pick))
    front = front_of(records, study.objectives)
    if not front:
        raise KansearchError(f"study '{study.name}' has no complete trial yet")
    if pick == "knee":
        return knee(front, study.objectives)
    if pick == "smallest":
        return front[0]
    if pick == "best":
        name, direction = next(iter(study.objectives.items()))
        return (max if direction == "maximize" else min)(front, key=lambda record: record.values[name])
    raise InputError(f"--pick {pick}: give knee, best, smallest or a trial number")


def _by_number(records: Sequence[TrialRecord], number: int) -> TrialRecord:
    if number >= len(records):
        raise InputError(f"--pick {number}: the study has trials 0 to {len(records) - 1}")
    record = records[number]
    if record.state != "complete":
        raise InputError(
            f"--pick {number}: the trial is {record.state}, not complete ({record.reason or 'no reason noted'})"
        )
    return record


def export(study: Study, pick: str, path: Path) -> TrialRecord:
    """Write the picked trial's configuration, with where it comes from, to the YAML file `path`.

    Raises:
        InputError: as `pick_trial`; or `path` is a file that no export wrote, such as the search space.
        KansearchError: as `pick_trial`; or `path` can't be written.
    """
    record = pick_trial(study, pick)
    _spare(path)
    figures = ", ".join(f"{name} {value:g}" for name, value in record.values.items())
    header = (
        f"{_HEADER}{record.number} of study {study.name} (pick: {pick}).\n"
        f"# Measured on held-out images of the training split after {record.epochs} epochs: {figures}.\n"
        f"# Train it to the end and measure it on the test split: kansearch retrain {path} -o {path.stem}-model\n"
    )
    source = {"study": study.name, "trial": record.number, "pick": pick, "values": dict(record.values)}
    text = header + yaml.safe_dump({"source": source, "config": dict(record.config)}, sort_keys=False)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise KansearchError(f"cannot write {path}: {error.strerror}") from error
    return record


def _spare(path: Path) -> None:
    if path.is_file() and path.stat().st_size and not path.read_bytes().startswith(_HEADER.encode()):
        raise InputError(f"{path} exists and was not written by `kansearch export`; name another file")
