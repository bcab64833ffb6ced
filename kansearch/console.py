"""The output that a user sees in a terminal: the live table of a search, the front, lists of trials and studies.

Everything is printed to stdout through rich, which drops colour and live updates when stdout is no terminal.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from kansearch.space import Direction
from kansearch.study.figures import describe, duration, number, values
from kansearch.study.front import front_of, hypervolume
from kansearch.study.records import FINISHED, TrialRecord
from trials.metrics import METRICS, main_metric

if TYPE_CHECKING:
    from kansearch.cluster.cluster import Cluster
    from kansearch.study.study import Study

__all__ = [
    "SearchDisplay",
    "front_table",
    "layers_table",
    "list_presets",
    "list_trials",
    "per_class",
    "plain_table",
    "terminal",
]

_STYLES = {"complete": "green", "pruned": "dim", "fail": "red", "infeasible": "dim", "running": "cyan"}
_REFRESH_SECONDS = 0.5
_MOST_LAID_OUT = 500
_CLASSES_SHOWN = 20
_WIDEST = 1000  # no terminal: a row is a line, however long


def terminal() -> Console:
    """Stdout. Where it is no terminal, a row is one line and nothing is coloured."""
    console = Console()
    return console if console.is_terminal else Console(width=_WIDEST, color_system=None)


class SearchDisplay:
    """Shows a search (`kansearch.cluster.launch.Observer`): a live table, or a line for each ended trial."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._records: dict[int, TrialRecord] = {}
        self._states: Counter[str] = Counter()
        self._live: Live | None = None
        self._shown = 0.0
        self._began = time.monotonic()
        self._finished_before = 0

    def started(self, study: Study, records: Sequence[TrialRecord]) -> None:
        self._study = study
        self._objectives = study.objectives
        self._records = {record.number: record for record in records}
        self._states = Counter(record.state for record in records)
        self._finished_before = self._count(*FINISHED)
        if self._finished_before:
            left = self._count("running")
            self._console.print(
                f"{self._finished_before} trials finished before, {left} to go on with", highlight=False
            )

    def running(self, cluster: Cluster) -> None:
        self._began = time.monotonic()
        settings = self._study.space.search
        gpus = f", {cluster.gpus:g} GPUs" if cluster.gpus else ""
        nodes = f" of {cluster.nodes} nodes" if cluster.nodes > 1 else ""
        self._console.print(
            f"study [bold]{self._study.name}[/]: {settings.trials} trials, {settings.sampler} sampler, "
            f"{cluster.max_concurrent} at once on {cluster.cpus:g} CPUs{gpus}{nodes}",
            highlight=False,
        )
        for note in cluster.notes:
            self._console.print(note, highlight=False, markup=False, soft_wrap=True)
        if self._console.is_terminal and self._live is None:
            self._live = Live(self._table(), console=self._console, auto_refresh=False, transient=True)
            self._live.start()

    def changed(self, record: TrialRecord) -> None:
        if record.number in self._records:
            self._states[self._records[record.number].state] -= 1
        self._records[record.number] = record
        self._states[record.state] += 1
        if self._live is None and record.state in FINISHED:
            self._console.print(self._line(record), highlight=False, soft_wrap=True)

    def told(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def tick(self) -> None:
        if self._live is not None and time.monotonic() - self._shown > _REFRESH_SECONDS:
            self._live.update(self._table(), refresh=True)
            self._shown = time.monotonic()

    def ended(self, outcome: str) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _count(self, *states: str) -> int:
        return sum(self._states[state] for state in states)

    def _line(self, record: TrialRecord) -> str:
        place = f"{self._count(*FINISHED)}/{self._study.space.search.trials}"
        if record.state == "complete":
            text = f"{values(record.values)}; {describe(record.stored)}"
        else:
            text = record.reason or "no reason noted"
        return escape(f"[{place}] trial {record.number} {record.state}: {text}")

    def _table(self) -> Table:
        front = front_of(self._records.values(), self._objectives)
        best = main_metric(self._objectives)
        found = [record.metrics[best] for record in front if best in record.metrics]
        most = max if METRICS[best].maximize else min
        table = plain_table()
        headings = ("done", "running", "failed", f"best {best.replace('_', ' ')}", "front", "hypervolume", "elapsed")
        for heading in (*headings, "left"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_row(
            f"{self._count(*FINISHED)}/{self._study.space.search.trials}",
            str(self._count("running")),
            str(self._count("fail")),
            number(best, most(found)) if found else "-",
            str(len(front)),
            f"{hypervolume(front, self._objectives):.4f}",
            duration(time.monotonic() - self._began),
            self._time_left(),
        )
        return table

    def _time_left(self) -> str:
        spent = time.monotonic() - self._began
        done = self._count(*FINISHED) - self._finished_before
        bounds = []
        if done:
            bounds.append(spent / done * (self._study.space.search.trials - self._count(*FINISHED)))
        if self._study.space.search.time_budget is not None:
            bounds.append(max(0.0, self._study.space.search.time_budget - self._study.elapsed_seconds - spent))
        return duration(min(bounds)) if bounds else "-"


def front_table(front: Sequence[TrialRecord], objectives: Mapping[str, Direction], knee: TrialRecord | None) -> Table:
    """The front, one row a trial; the knee is marked."""
    table = plain_table()
    table.add_column("trial", justify="right")
    for name in objectives:
        table.add_column(name.replace("_", " "), justify="right")
    table.add_column("configuration", overflow="fold")
    table.add_column("")
    for record in front:
        mark = "knee" if record is knee else ""
        cells = [number(name, record.values[name]) for name in objectives]
        table.add_row(str(record.number), *cells, describe(record.stored), mark, style="bold" if mark else "")
    return table


def layers_table(summaries: Sequence[Mapping[str, Any]]) -> Table:
    """Return the findings of `kansearch inspect` as a table, one row a layer."""
    table = plain_table()
    for heading in ("layer", "basis", "edges", "function norm", "prunable", "inputs outside the grid"):
        table.add_column(heading, justify="left" if heading in ("layer", "basis") else "right")
    for each in summaries:
        outside = "-" if each["outside"] is None else f"{each['outside']:.1%}"
        figures = (f"{each['edges']:,}", f"{each['norm']:.3g}", f"{each['prunable']:.1%}", outside)
        table.add_row(each["layer"], each["basis"], *figures)
    return table


def list_trials(console: Console, records: Sequence[TrialRecord], objectives: Mapping[str, Direction]) -> None:
    """Every trial; one that is not complete shows its last measurement. A table that fits into a terminal, where rich
    can lay it out in reasonable time, else a line each."""
    headings = ("trial", "state", "epochs", *(name.replace("_", " ") for name in objectives), "time", "configuration")
    rows = [_trial_row(record, objectives) for record in records]
    if console.is_terminal and len(rows) <= _MOST_LAID_OUT:
        console.print(_trials_table(headings, rows))
        return
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    for row in (headings, *rows):
        cells = [cell.rjust(width) for cell, width in zip(row[:-1], widths, strict=False)]
        cells[1] = row[1].ljust(widths[1])
        console.file.write("   ".join([*cells, row[-1]]) + "\n")


def _trials_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = plain_table()
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "state" else "right")
    table.columns[-1].justify, table.columns[-1].overflow = "left", "fold"
    for trial, state, *cells in rows:
        table.add_row(trial, f"[{_STYLES[state]}]{state}[/]", *map(escape, cells))
    return table


def _trial_row(record: TrialRecord, objectives: Mapping[str, Direction]) -> tuple[str, ...]:
    shown = record.values or record.metrics
    cells = [number(name, shown[name]) if name in shown else "-" for name in objectives]
    text = record.reason or describe(record.stored)
    return (str(record.number), record.state, str(record.epochs), *cells, duration(record.seconds), text)


def plain_table() -> Table:
    """A table with a line under its headings and no other."""
    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, title_justify="left")


def list_presets(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """Every preset: its parameters here, what was published, and where."""
    table = plain_table()
    table.add_column("preset", no_wrap=True)
    for heading in ("parameters", "published", "accuracy"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("data set", no_wrap=True)
    table.add_column("source", overflow="fold")
    for row in rows:
        figures = row["published"]
        parameters = f"{figures['parameters']:,}" if "parameters" in figures else "-"
        accuracy = f"{figures['accuracy']:.4f}" if "accuracy" in figures else "-"
        cells = (row["name"], f"{row['parameters']:,}", parameters, accuracy, row["dataset"], row["source"])
        table.add_row(*map(escape, cells))
    console.print(table)
    console.print("Where ours differ from the published ones, `kansearch presets --json` explains why.")


def per_class(runs: Sequence[Mapping[str, Any]]) -> str:
    """The accuracy, or in segmentation the IoU, of each class, in the order of the labels, as a mean over the seeds; -
    for a class that doesn't occur. For many classes it is the range."""
    name = "per_class_iou" if "per_class_iou" in runs[0] else "per_class_accuracy"
    columns = [*zip(*(run[name] for run in runs), strict=True)]
    means = [None if None in column else sum(column) / len(column) for column in columns]
    if len(means) <= _CLASSES_SHOWN:
        return " ".join("-" if mean is None else f"{mean:.4f}" for mean in means)
    ranked = sorted((mean, label) for label, mean in enumerate(means) if mean is not None)
    return " to ".join(f"{mean:.4f} (class {label})" for mean, label in (ranked[0], ranked[-1]))
