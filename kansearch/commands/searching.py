"""`launch` and `resume`: search, then print the front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from kansearch.cluster.launch import SearchOptions, launch, resume
from kansearch.commands.common import (
    check_name,
    check_tracking,
    console_for,
    first_trials,
    open_study,
    print_json,
    say_what_is_behind,
)
from kansearch.commands.verdict import print_closing
from kansearch.console import SearchDisplay, front_table
from kansearch.engine.warm_start import warm_start
from kansearch.errors import InputError, KansearchError
from kansearch.report.sketch import front_sketch
from kansearch.report.writer import ReportWriter
from kansearch.space import SearchSpace
from kansearch.space.samplers import SAMPLERS
from kansearch.study.front import front_of, hypervolume, knee
from kansearch.study.history import History
from kansearch.study.records import TrialRecord
from kansearch.study.study import PICTURES, Study, home_option
from kansearch.tracking.writer import MlflowWriter

__all__ = ["none_completed", "run_launch", "run_resume", "search_options"]


def search_options(
    home: Path,
    address: str | None,
    max_concurrent: int | None,
    data_dir: Path | None,
    trusted: Sequence[str] | None = None,
) -> SearchOptions:
    return SearchOptions(home, address, max_concurrent, data_dir, tuple(trusted or ()))


def run_launch(
    space: SearchSpace,
    options: SearchOptions,
    places: Mapping[str, str | None],
    source: str | None,
    as_json: bool,
) -> None:
    """`places` are those of `launch`."""
    check_tracking(places["tracking_uri"])
    console, report, writer = console_for(as_json), ReportWriter(), MlflowWriter()

    def history() -> History | None:
        if source is None:
            return first_trials(space, console)
        return _from_study(space, open_study(options.home, source), console)

    study = launch(space, options, [SearchDisplay(console), report, writer], history=history, **places)
    _finish(study, options.home, console, report, writer, as_json)


def _from_study(space: SearchSpace, other: Study, console: Console) -> History:
    """Return what the new study takes from another, and tell the user. Raises InputError."""
    sampler = space.search.sampler
    if SAMPLERS[sampler].exhaustive:
        raise InputError(
            f"{sampler} runs every configuration anyway, so --from has nothing to give it; use another sampler"
        )
    start = warm_start(other.records(), space, other.space)
    if not start.observations and not start.proposals:
        raise InputError(f"study '{other.name}' has nothing for this one: {start.skipped or 'no complete trial'}")
    known, first = len(start.observations), len(start.proposals)
    console.print(
        f"from study {other.name}: {known} results known, {first} configurations to try first", highlight=False
    )
    if start.skipped:
        console.print(f"left out: {start.skipped}", highlight=False, markup=False, soft_wrap=True)
    return History(warm_start={"study": other.name, **asdict(start)})


def run_resume(name: str, overrides: Sequence[str], options: SearchOptions, as_json: bool) -> None:
    check_name(options.home, name)
    console, report, writer = console_for(as_json), ReportWriter(), MlflowWriter()
    study = resume(name, overrides, options, [SearchDisplay(console), report, writer])
    _finish(study, options.home, console, report, writer, as_json)


def _finish(
    study: Study, home: Path, console: Console, report: ReportWriter, writer: MlflowWriter, as_json: bool
) -> None:
    """Print the front and what to type next; complain if report or MLflow are behind, or if no trial completed."""
    records = study.records()
    front = front_of(records, study.objectives)
    say_what_is_behind(study, report, writer, again=f"kansearch resume {study.name}{home_option(home)}")
    if as_json:
        print_json(_front_document(study, [record.document() for record in front]))
    if not front:
        raise KansearchError(none_completed(study.name, records))
    unfinished = sum(record.state == "running" for record in records)
    if unfinished:
        again = f"`kansearch resume {study.name}{home_option(home)}` with a larger budget goes on"
        console.print(f"trials unfinished: {unfinished}; {again}", highlight=False, soft_wrap=True)
    failed = sum(record.state == "fail" for record in records)
    if failed:
        why = f"`kansearch trials {study.name}{home_option(home)}` says why"
        console.print(f"{failed} of {len(records)} trials failed; {why}", highlight=False, soft_wrap=True)
    _print_front(console, study, home)


def none_completed(name: str, records: Sequence[TrialRecord]) -> str:
    """Say that a study has no complete trial, and why."""
    reasons = [record.reason for record in records if record.reason]
    return f"no trial of study '{name}' completed; the last one said: {reasons[-1] if reasons else '-'}"


def _front_document(study: Study, front: list[dict[str, Any]]) -> dict[str, Any]:
    usage = study.usage
    return {
        "study": study.name,
        "finished": study.finished(),
        "front": front,
        "packing": study.packing,
        "busy": usage.busy,
        "gpu_idle": usage.idle,
    }


def _print_front(console: Console, study: Study, home: Path) -> None:
    records = study.records()
    front = front_of(records, study.objectives)
    table = front_table(front, study.objectives, knee(front, study.objectives))
    table.title = f"Front of {study.name}: {len(front)} trials, hypervolume {hypervolume(front, study.objectives):.4f}"
    console.print(table)
    if console.is_terminal:
        for line in front_sketch(records, study.objectives, console.encoding):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    if study.usage.line is not None:
        console.print(f"\n{study.usage.line}", highlight=False, markup=False, soft_wrap=True)
    print_closing(study, console)
    where, best = home_option(home), f"{study.name}-best"
    console.print(f"report: {study.folder / PICTURES[0]}", highlight=False, markup=False, soft_wrap=True)
    console.print("\nNext:", highlight=False)
    for command in (
        f"kansearch dashboard {study.name}{where}",
        f"kansearch confirm {study.name}{where} --seeds 5",
        f"kansearch export {study.name}{where} --pick knee -o {best}.yaml",  # {study.name}.yaml may be the space
        f"kansearch retrain {best}.yaml{where} -o {study.name}-model",
    ):
        console.print(f"  {command}", highlight=False, markup=False, soft_wrap=True)
