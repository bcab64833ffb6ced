"""What the commands do between parsing and the packages that do the work: call, then print."""

from __future__ import annotations

import json
import shlex
import signal
import sys
import webbrowser
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from kansearch.console import (
    SearchDisplay,
    front_table,
    layers_table,
    list_presets,
    list_trials,
    per_class,
    terminal,
)
from kansearch.deliver.presets import preset_config, preset_rows
from kansearch.errors import InputError, KansearchError, SearchInterrupted, UnknownStudyError
from kansearch.report.data import read_study
from kansearch.report.front_plot import front_png
from kansearch.report.html import write_html
from kansearch.report.writer import ReportWriter, write_pictures
from kansearch.search.launch import SearchOptions, launch, resume
from kansearch.search.warm_start import warm_start
from kansearch.sketch import front_sketch
from kansearch.space import SearchSpace, load_config, shipped_spaces
from kansearch.study.front import front_of, hypervolume, knee
from kansearch.study.lock import holder
from kansearch.study.storage import check_driver
from kansearch.study.study import PICTURES, Study, home_option, study_names
from kansearch.tracking.writer import MlflowWriter
from trials.config import TrialConfig

_NOTHING_SHOWN = Console(quiet=True)
_PICTURES = (".png", ".svg", ".pdf")
_TRACKING = ("sqlite", "http", "https", "file", "postgresql", "mysql", "mssql", "databricks")


def search_options(
    home: Path,
    address: str | None,
    max_concurrent: int | None,
    data_dir: Path | None,
    trusted: Sequence[str] | None = None,
) -> SearchOptions:
    return SearchOptions(home, address, max_concurrent, data_dir, tuple(trusted or ()))


def open_study(home: Path, name: str) -> Study:
    _check_name(home, name)
    return Study.open(home, name)


def _check_name(home: Path, name: str) -> None:
    """A study is named, not reached by a path."""
    if "/" in name:
        path = Path(name)
        elsewhere = f"`--home {shlex.quote(str(path.parent))}` names another folder of studies"
        hint = f"did you mean '{path}'?" if path.name == str(path) else elsewhere
        raise UnknownStudyError(f"no study '{name}' in {home}: a study's name has no '/'; {hint}")


def print_json(document: Any) -> None:
    """A list has one element a line, which for thousands of trials is much faster than indenting them."""
    if isinstance(document, list):
        print("[" + ",\n ".join(map(json.dumps, document)) + "]")
    else:
        print(json.dumps(document, indent=2))


# -- searching -------------------------------------------------------------------------------------


def run_launch(
    space: SearchSpace,
    options: SearchOptions,
    places: Mapping[str, str | None],
    source: str | None,
    as_json: bool,
) -> None:
    """`places` are those of `launch`."""
    tracking_uri = places["tracking_uri"]
    scheme = (tracking_uri or "sqlite:").partition(":")[0].partition("+")[0]
    if scheme not in _TRACKING:  # a study keeps its tracking store for good
        raise InputError(f"--tracking-uri {tracking_uri}: must begin with one of {', '.join(_TRACKING)}")
    check_driver(tracking_uri or "")
    console, report, writer = _console(as_json), ReportWriter(), MlflowWriter()
    start = None if source is None else _warm_start(space, open_study(options.home, source), console)
    study = launch(space, options, [SearchDisplay(console), report, writer], warm_start=start, **places)
    _finish(study, options.home, console, report, writer, as_json)


def _warm_start(space: SearchSpace, other: Study, console: Console) -> dict[str, Any]:
    """What the new study takes from another, told to the user."""
    if space.search.sampler == "grid":
        raise InputError("grid runs every configuration anyway, so --from has nothing to give it; use another sampler")
    start = warm_start(other.records(), space, other.space)
    if not start.observations and not start.proposals:
        raise InputError(f"study '{other.name}' has nothing for this one: {start.skipped or 'no complete trial'}")
    known, first = len(start.observations), len(start.proposals)
    console.print(
        f"from study {other.name}: {known} results known, {first} configurations to try first", highlight=False
    )
    if start.skipped:
        console.print(f"left out: {start.skipped}", highlight=False, markup=False, soft_wrap=True)
    return {"study": other.name, **asdict(start)}


def run_resume(name: str, overrides: Sequence[str], options: SearchOptions, as_json: bool) -> None:
    _check_name(options.home, name)
    console, report, writer = _console(as_json), ReportWriter(), MlflowWriter()
    study = resume(name, overrides, options, [SearchDisplay(console), report, writer])
    _finish(study, options.home, console, report, writer, as_json)


def _console(as_json: bool) -> Console:
    return _NOTHING_SHOWN if as_json else terminal()


def _finish(
    study: Study, home: Path, console: Console, report: ReportWriter, writer: MlflowWriter, as_json: bool
) -> None:
    """Print the front and what to type next; complain if report or MLflow are behind, or if no trial completed."""
    records = study.records()
    front = front_of(records, study.objectives)
    if report.problem is not None:
        print(
            f"the report could not be written ({report.problem}); "
            f"`kansearch report {study.name}{home_option(home)}` tries again",
            file=sys.stderr,
        )
    if writer.problem is not None:
        print(
            f"MLflow is behind the study ({writer.problem}); "
            f"`kansearch resume {study.name}{home_option(home)}` writes what is missing",
            file=sys.stderr,
        )
    if as_json:
        print_json(_front_document(study, [record.document() for record in front]))
    if not front:
        reasons = [record.reason for record in records if record.reason]
        raise KansearchError(
            f"no trial of study '{study.name}' completed; the last one said: {reasons[-1] if reasons else '-'}"
        )
    failed = sum(record.state == "fail" for record in records)
    if failed:
        why = f"`kansearch trials {study.name}{home_option(home)}` says why"
        console.print(f"{failed} of {len(records)} trials failed; {why}", highlight=False, soft_wrap=True)
    _print_front(console, study, home)


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
    where, best = home_option(home), f"{study.name}-best"
    console.print(f"report: {study.folder / PICTURES[0]}", highlight=False, markup=False, soft_wrap=True)
    console.print("\nNext:", highlight=False)
    for command in (
        f"kansearch dashboard {study.name}{where}",
        f"kansearch export {study.name}{where} --pick knee -o {best}.yaml",  # {study.name}.yaml may be the space
        f"kansearch retrain {best}.yaml -o {study.name}-model",
    ):
        console.print(f"  {command}", highlight=False, markup=False, soft_wrap=True)


# -- looking ---------------------------------------------------------------------------------------


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
        print_json([record.document() for record in records])
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
        front_png(study.records(), study.objectives, path)
    except OSError as error:
        raise KansearchError(f"cannot draw {path}: {error.strerror or error}") from error


def write_report(study: Study, path: Path | None) -> None:
    """Into `path`; by default into the study's folder, with the pictures of its front."""
    if path is None:
        write_pictures(study)
    else:
        write_html(read_study(study), path)
    print(f"report of {study.name} written to {path or study.folder / PICTURES[0]}")


def print_checks(home: Path, data_dir: Path | None) -> None:
    from kansearch.doctor import examine

    marks = {True: "ok", False: "FAIL", None: "-"}
    bad = 0
    for check in examine(home, data_dir):
        bad += check.ok is False
        print(f"{marks[check.ok]:5} {check.name:20} {check.found}")
    if bad:
        raise KansearchError(f"{bad} checks failed")


# -- delivering ------------------------------------------------------------------------------------


def config_of(path: Path | None, preset: str | None, dataset: str | None) -> TrialConfig:
    """What is to be trained: a file's configuration, or a preset's."""
    if (path is None) == (preset is None):
        raise InputError("give either a file that `kansearch export` wrote, or --preset NAME")
    if preset is not None:
        return preset_config(preset, dataset)
    if dataset is not None:
        raise InputError("--dataset goes with --preset; a file names its data set itself, under config.data")
    assert path is not None
    return load_config(path)


def run_retrain(
    config: TrialConfig, output: Path, epochs: int | None, seeds: int, data_dir: Path | None, as_json: bool
) -> None:
    from kansearch.deliver.retrain import retrain

    if epochs is not None:
        config = config.model_copy(update={"epochs": epochs})
    console = _console(as_json)

    def progress(seed: int, result: dict[str, Any]) -> None:
        figures = f"train loss {result['train_loss']:.4f}, {result['images_per_second']:,.0f} images/s"
        console.print(f"seed {seed} epoch {result['epoch']}/{config.epochs}: {figures}", highlight=False)

    try:
        metrics = retrain(config, output, seeds, data_dir, progress)
    except KeyboardInterrupt:
        raise SearchInterrupted(f"interrupted; the same command goes on with what is in {output}", 130) from None
    if as_json:
        print_json(metrics)
        return
    dense = "mean_iou" in metrics
    second = f"mean IoU {metrics['mean_iou']:.4f}" if dense else f"macro F1 {metrics['f1']:.4f}"
    figures = f"accuracy {metrics['accuracy']:.4f}, {second}, {metrics['parameters']:,} parameters"
    console.print(f"test split, {seeds} {'seed' if seeds == 1 else 'seeds'}: {figures}", highlight=False)
    console.print(
        f"{'IoU' if dense else 'accuracy'} of each class: {per_class(metrics['runs'])}", highlight=False, soft_wrap=True
    )
    console.print(f"written to {output}", highlight=False, markup=False, soft_wrap=True)


def run_inspect(source: str, pick: str, output: Path | None, data_dir: Path | None, home: Path, as_json: bool) -> None:
    """`source` is a folder with a trained model, or else a study."""
    from kansearch.report.inspection import inspect

    if source in study_names(home) or not Path(source).is_dir():
        _inspect_trial(open_study(home, source), pick, output, data_dir, as_json)
        return
    out = output or Path(source) / "pictures"
    _show_layers(inspect(Path(source), out, data_dir), out, as_json)


def _inspect_trial(study: Study, pick: str, output: Path | None, data_dir: Path | None, as_json: bool) -> None:
    from kansearch.deliver.export import pick_trial
    from kansearch.report.inspection import inspect_trial
    from kansearch.tracking.artifacts import log_to_trial

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
    from kansearch.tracking.dashboard import dashboard

    study = open_study(home, name) if name else None
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
