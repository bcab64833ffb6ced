"""Functions that several commands share: opening a study, where to print."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from kansearch.bench.portfolio import portfolio
from kansearch.console import (
    terminal,
)
from kansearch.errors import InputError, UnknownStudyError
from kansearch.space import SearchSpace
from kansearch.study.history import History
from kansearch.study.storage import check_driver
from kansearch.study.study import Study, home_option

if TYPE_CHECKING:
    from kansearch.report.writer import ReportWriter
    from kansearch.tracking.writer import MlflowWriter

__all__ = [
    "check_name",
    "check_tracking",
    "console_for",
    "first_trials",
    "open_comparable",
    "open_study",
    "print_json",
    "say_what_is_behind",
]

_TRACKING = ("sqlite", "http", "https", "file", "postgresql", "mysql", "mssql", "databricks")

_TRAINING = {"batch_size", "augment", "pixels"}
"""Settings of the data that change how a network is trained, and not on what it is measured."""
_NOTHING_SHOWN = Console(quiet=True)


def open_study(home: Path, name: str) -> Study:
    check_name(home, name)
    return Study.open(home, name)


def open_comparable(names: Sequence[str], home: Path) -> list[Study]:
    """Open studies whose figures can be compared. Raises InputError for those of other objectives or other data."""
    twice = next((name for index, name in enumerate(names) if name in names[:index]), None)
    if twice is not None:
        raise InputError(f"study '{twice}' is named twice")
    first, *others = studies = [open_study(home, name) for name in names]
    for study in others:
        both = f"studies '{first.name}' and '{study.name}'"
        if dict(study.objectives) != dict(first.objectives):
            told = [", ".join(f"{way} {name}" for name, way in each.objectives.items()) for each in (first, study)]
            raise InputError(f"{both} have other objectives: {told[0]}; and {told[1]}")
        data, other = _data(first), _data(study)
        differ = next((name for name in data | other if data.get(name) != other.get(name)), None)
        if differ is not None:
            raise InputError(f"{both} are of other data: {differ} {data.get(differ)} and {other.get(differ)}")
    return studies


def _data(study: Study) -> dict[str, Any]:
    """The data that a study's networks are trained and measured on."""
    return study.space.data.model_dump(mode="json", exclude=_TRAINING)


def check_name(home: Path, name: str) -> None:
    """A study is named, not reached by a path."""
    if "/" in name:
        path = Path(name)
        elsewhere = f"`--home {shlex.quote(str(path.parent))}` names another folder of studies"
        hint = f"did you mean '{path}'?" if path.name == str(path) else elsewhere
        raise UnknownStudyError(f"no study '{name}' in {home}: a study's name has no '/'; {hint}")


def check_tracking(uri: str | None) -> None:
    """A new study keeps its tracking store for good."""
    scheme = (uri or "sqlite:").partition(":")[0].partition("+")[0]
    if scheme not in _TRACKING:
        raise InputError(f"--tracking-uri {uri}: must begin with one of {', '.join(_TRACKING)}")
    check_driver(uri or "")


def first_trials(space: SearchSpace, console: Console | None) -> History | None:
    """Return the first trials of a new study by its `search.start`, if there are any, and say where they come from."""
    start = portfolio(space)
    if console is not None and start.line:
        console.print(start.line, highlight=False, markup=False, soft_wrap=True)
    return History(warm_start=start.document()) if start.proposals else None


def say_what_is_behind(study: Study, report: ReportWriter, writer: MlflowWriter, again: str) -> None:
    """Print on stderr if the report or MLflow could not be written; the command `again` writes what MLflow lacks."""
    if report.problem is not None:
        tries = f"kansearch report {study.name}{home_option(study.folder.parent)}"
        print(f"the report could not be written ({report.problem}); `{tries}` tries again", file=sys.stderr)
    if writer.problem is not None:
        print(f"MLflow is behind the study ({writer.problem}); `{again}` writes what is missing", file=sys.stderr)


def print_json(document: Any) -> None:
    """A list has one element a line, which for thousands of trials is much faster than indenting them."""
    if isinstance(document, list):
        print("[" + ",\n ".join(map(json.dumps, document)) + "]")
    else:
        print(json.dumps(document, indent=2))


def console_for(as_json: bool) -> Console:
    return _NOTHING_SHOWN if as_json else terminal()
