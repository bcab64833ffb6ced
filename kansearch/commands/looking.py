"""Commands that show what there is: spaces, studies, trials, fronts, reports, learned functions."""

from __future__ import annotations

import signal
import webbrowser
from pathlib import Path
from typing import Any

from kansearch.commands.common import open_study, print_json
from kansearch.commands.one_trial import noted
from kansearch.commands.verdict import print_closing
from kansearch.console import (
    front_table,
    layers_table,
    list_presets,
    list_trials,
    terminal,
)
from kansearch.errors import KansearchError
from kansearch.models.presets import preset_rows
from kansearch.report.data import read_study
from kansearch.report.front_plot import front_png
from kansearch.report.html import write_html
from kansearch.report.writer import write_pictures
from kansearch.space import shipped_spaces
from kansearch.study.front import front_of, knee
from kansearch.study.lock import holder
from kansearch.study.study import PICTURES, Study, study_names

__all__ = [
    "print_checks",
    "print_front",
    "print_presets",
    "print_spaces",
    "print_studies",
    "print_trials",
    "run_dashboard",
    "run_inspect",
    "write_report",
]

_PICTURES = (".png", ".svg", ".pdf")


def print_spaces() -> None:
    for name, description, _ in shipped_spaces():
        print(f"{name:20} {description}")


def print_presets(as_json: bool) -> None:
    rows = preset_rows()
    if as_json:
        print_json(rows)
    else:
        list_presets(terminal(), rows)


def print_studies(home: Path, as_json: bool) -> None:
    rows, problems = [], []
    for name in study_names(home):
        try:
            rows.append(_study_row(home, name))
        except KansearchError as error:
            problems.append(str(error))
    if as_json:
        print_json(rows)
    elif not rows and not problems:
        print(f"no studies in {home}")
    for row in [] if as_json else rows:
        running = f", run by {row['driver']}" if row["driver"] else ""
        print(f"{row['name']:24} {row['finished']}/{row['trials']} trials finished, front of {row['front']}{running}")
    if problems:
        raise KansearchError("; ".join(problems))


def _study_row(home: Path, name: str) -> dict[str, Any]:
    study = Study.open(home, name)
    return {
        "name": name,
        "finished": study.finished(),
        "trials": study.space.search.trials,
        "front": len(front_of(study.records(), study.objectives)),
        "objectives": dict(study.objectives),
        "driver": holder(study.folder),
    }


def print_trials(study: Study, as_json: bool) -> None:
    records = study.records()
    if as_json:
        notes = study.notes()
        print_json([record.document() | noted(notes.get(record.number)) for record in records])
    else:
        list_trials(terminal(), records, study.objectives)


def print_front(study: Study, plot: Path | None, as_json: bool) -> None:
    records = study.records()
    front = front_of(records, study.objectives)
    if plot is not None:
        _draw(study, plot)
    if as_json:
        print_json([record.document() for record in front])
    elif not front:
        raise KansearchError(f"study '{study.name}' has no complete trial yet")
    else:
        terminal().print(front_table(front, study.objectives, knee(front, study.objectives)))


def _draw(study: Study, path: Path) -> None:
    if path.suffix.lower() not in _PICTURES:
        raise KansearchError(f"cannot draw {path}: its name must end in {', '.join(_PICTURES)}")
    try:
        front_png(read_study(study).geometry, path)
    except OSError as error:
        raise KansearchError(f"cannot draw {path}: {error.strerror or error}") from error


def write_report(study: Study, path: Path | None) -> None:
    """Into `path`; by default into the study's folder, with the pictures of its front."""
    if path is None:
        write_pictures(study)
    else:
        write_html(read_study(study), path)
    print(f"report of {study.name} written to {path or study.folder / PICTURES[0]}")
    print_closing(study, terminal())


def print_checks(home: Path, data_dir: Path | None) -> None:
    from kansearch.doctor import examine

    marks = {True: "ok", False: "FAIL", None: "-"}
    bad = 0
    for check in examine(home, data_dir):
        bad += check.ok is False
        print(f"{marks[check.ok]:5} {check.name:20} {check.found}")
    if bad:
        raise KansearchError(f"{bad} checks failed")


def run_inspect(source: str, pick: str, output: Path | None, data_dir: Path | None, home: Path, as_json: bool) -> None:
    """`source` is a folder with a trained model, or else a study."""
    from kansearch.report.inspection import inspect

    if source in study_names(home) or not Path(source).is_dir():
        _inspect_trial(open_study(home, source), pick, output, data_dir, as_json)
        return
    out = output or Path(source) / "pictures"
    _show_layers(inspect(Path(source), out, data_dir), out, as_json)


def _inspect_trial(study: Study, pick: str, output: Path | None, data_dir: Path | None, as_json: bool) -> None:
    from kansearch.models.pick import pick_trial
    from kansearch.report.inspection import inspect_trial
    from kansearch.tracking.client import log_to_trial

    record = pick_trial(study, pick)
    out = output or study.folder / "pictures" / f"{record.number:05d}"
    summaries = inspect_trial(study, record, out, data_dir)
    log_to_trial(study, record.number, out, "pictures")
    _show_layers(summaries, out, as_json)


def _show_layers(summaries: list[dict[str, Any]], out: Path, as_json: bool) -> None:
    if as_json:
        print_json(summaries)
        return
    console = terminal()
    console.print(layers_table(summaries))
    console.print(f"pictures written to {out}", highlight=False, markup=False, soft_wrap=True)


def run_dashboard(home: Path, name: str | None, port: int | None, browser: bool) -> None:
    from kansearch.tracking.dashboard import dashboard, remote_page

    study = open_study(home, name) if name else None
    page = remote_page(study) if study else None
    if page is not None:
        print(f"{name} is tracked by a server that runs already: {page}")
        if browser:
            webbrowser.open(page)
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # both unwind the stack, which stops the server
    ended = None
    try:
        with dashboard(home, study, port) as (address, process):
            print(f"dashboard at {address} (Ctrl-C stops it)", flush=True)
            if browser:
                webbrowser.open(address)
            ended = process.wait()
    except KeyboardInterrupt:
        print("stopped")
    if ended is not None:
        raise KansearchError(f"MLflow's server ended by itself with exit code {ended}; see {home / 'dashboard.log'}")
