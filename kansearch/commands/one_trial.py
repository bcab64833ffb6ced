"""`kansearch trials STUDY NUMBER`: one trial whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from kansearch.cluster.checkpoints import checkpoints_at
from kansearch.commands.common import print_json
from kansearch.errors import InputError
from kansearch.study.figures import duration, number
from kansearch.study.records import FINISHED, TrialRecord
from kansearch.study.study import Study, home_option
from trials.metrics import METRICS

__all__ = ["note_trial", "noted", "print_trial"]

_MOST_EPOCHS = 30
"""A longer curve is thinned out to this many lines; `--json` has all of it."""
_MEASURED = [name for name, metric in METRICS.items() if metric.per_epoch and not metric.varies]
_CURVE = ("epoch", *reversed(_MEASURED), "learning_rate", "seconds")


def print_trial(study: Study, trial: int, as_json: bool) -> None:
    """Print a trial's outcome, configuration, curve and traceback, where its files lie and how to run it again.

    Raises:
        InputError: the study has no trial of that number.
    """
    record, note = _find(study, trial), study.notes().get(trial)
    checkpoints = checkpoints_at(study.checkpoints)
    error, again = checkpoints.error(record.number), _again(study, record)
    files = [f"{checkpoints}/{record.number:05d}/{name}" for name in checkpoints.kept(record.number)]
    if as_json:
        more = {"curve": list(record.curve), "rungs": dict(record.rungs), "losses": list(record.losses)}
        print_json(record.document() | noted(note) | more | {"traceback": error, "files": files, "again": again})
        return
    for line in _facts(study, record, note, files, again):
        print(line)
    print("\nconfiguration\n" + _indented(yaml.safe_dump(dict(record.stored.document), sort_keys=False).rstrip()))
    if record.curve:
        print("\ncurve\n" + _indented("\n".join(_curve(record.curve))))
    if error is not None:
        print("\ntraceback\n" + _indented(error.rstrip()))


def _find(study: Study, trial: int) -> TrialRecord:
    record = next((each for each in study.records() if each.number == trial), None)
    if record is None:
        raise InputError(f"study '{study.name}' has no trial {trial}; `kansearch trials {study.name}` lists them")
    return record


def noted(note: str | None) -> dict[str, str]:
    """The field of a trial's JSON object that holds its note, if it has one."""
    return {"note": note} if note else {}


def note_trial(study: Study, trial: int, text: str) -> None:
    """Keep a note on a trial, in place of the one that it has; an empty text takes that back.

    Raises:
        InputError: the study has no trial of that number.
        KansearchError: the note is kept, but MLflow did not take it.
    """
    from kansearch.tracking.client import describe_trial

    record, text = _find(study, trial), text.strip()
    study.write_note(trial, text)
    print(f"note on trial {trial} of {study.name} {'kept' if text else 'taken back'}")
    if record.state != "infeasible":  # that has no run
        describe_trial(study, trial, text)


def _facts(
    study: Study, record: TrialRecord, note: str | None, files: Sequence[str], again: Sequence[str]
) -> Iterator[str]:
    epochs = f"{record.epochs} of {record.stored.epochs} epochs"
    yield f"trial {record.number} of {study.name}: {record.state} after {epochs}"
    shown = record.values or record.metrics
    known = [name for name in study.objectives if name in shown]
    measured = ", ".join(f"{name.replace('_', ' ')} {number(name, shown[name])}" for name in known)
    in_epochs = f"{duration(record.training_seconds)} of them in epochs"
    facts = {
        "reason": record.reason,
        "note": (note or "").replace("\n", "\n" + " " * 14),
        "objectives": measured,
        "device time": f"{duration(record.seconds)}, {in_epochs}" if record.curve else "",
        "compared": "; ".join(_rung(int(epoch), *each) for epoch, each in record.rungs.items()),
        "workers lost": "; ".join(record.losses),
        "source": f"trial {record.first_number} of {record.source['study']}" if record.source else "",
        "files": ", ".join(files),
        "run again": " && ".join(again),
    }
    for name, text in facts.items():
        if text:
            yield f"{name:13} {text}"


def _rung(epoch: int, rank: int, compared: int, went_on: bool) -> str:
    return f"{rank} of {compared} at epoch {epoch}, {'went on' if went_on else 'stopped'}"


def _again(study: Study, record: TrialRecord) -> list[str]:
    """The commands that train the configuration once more, outside of the search."""
    name, home = f"trial-{record.number}", home_option(study.folder.parent)
    force = "" if record.state == "complete" else " --force"
    if record.state not in FINISHED and record.state != "infeasible":
        return [f"kansearch resume {study.name}{home}"]
    return [
        f"kansearch export {study.name} --pick {record.number}{force} -o {name}.yaml{home}",
        f"kansearch retrain {name}.yaml -o {name}",
    ]


def _curve(curve: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    names = [name for name in _CURVE if any(result.get(name) is not None for result in curve)]
    yield "  ".join(name.replace("_", " ").rjust(_width(name)) for name in names)
    count = min(len(curve), _MOST_EPOCHS)
    for line in [round(each * (len(curve) - 1) / max(count - 1, 1)) for each in range(count)]:
        yield "  ".join(_cell(name, curve[line].get(name)).rjust(_width(name)) for name in names)


def _width(name: str) -> int:
    return max(len(name), 8)


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name == "epoch":
        return str(value)
    return f"{value:.4f}" if name in METRICS and METRICS[name].share else f"{value:.4g}"


def _indented(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.splitlines())
