"""`confirm`: train the front again over several seeds, and say what is left of it on the test split."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from kansearch.cluster.launch import SearchOptions
from kansearch.commands.common import check_name, console_for, print_json, say_what_is_behind
from kansearch.console import plain_table
from kansearch.errors import KansearchError
from kansearch.report.writer import ReportWriter
from kansearch.seeds.confirm import command, confirm
from kansearch.space import Direction
from kansearch.study.confirmed import Confirmed, confirmed, knee_of
from kansearch.study.confirmed_table import caveats, cells, headings
from kansearch.study.figures import describe, duration, values
from kansearch.study.seeds import SeedRecord, SeedStore
from kansearch.study.selection import selection_bias
from kansearch.study.study import PICTURES, Study, home_option
from kansearch.tracking.confirming import ConfirmationStore
from kansearch.tracking.writer import MlflowWriter

if TYPE_CHECKING:
    from kansearch.cluster.cluster import Cluster

__all__ = ["run_confirm"]

_REFRESH_SECONDS = 0.5


def run_confirm(name: str, picks: str, seeds: int, options: SearchOptions, as_json: bool) -> None:
    """Confirm the picks, then print those of them that completed beside what the search had measured."""
    check_name(options.home, name)
    console, report, writer = console_for(as_json), ReportWriter(), MlflowWriter(ConfirmationStore)
    study, chosen = confirm(name, picks, seeds, options, [ConfirmationDisplay(console), report, writer])
    say_what_is_behind(study, report, writer, again=command(name, picks, seeds, options))
    everything = confirmed(study.records(), SeedStore(study.folder).records(), study.objectives)
    numbers = {record.number for record in chosen}
    rows = [row for row in everything if row.trial.number in numbers]
    if as_json:
        print_json([row.document() for row in rows])
    if not any(row.complete for row in rows):
        raise KansearchError(f"no seed of study '{name}' completed; {'; '.join(_failures(rows))}")
    _print(console, study, rows, everything)


def _print(console: Console, study: Study, rows: Sequence[Confirmed], everything: Sequence[Confirmed]) -> None:
    table = confirmed_table(rows, study.objectives, knee_of(everything, study.objectives))
    table.title = (
        f"{study.name} on the test split, trained on all training images: mean ± 95 % interval of the mean over seeds"
    )
    console.print(table)
    if len(everything) > len(rows):
        others = f"{len(everything)} trials that are confirmed, those of earlier commands too"
        console.print(f"P(front) and the knee are among {others}", highlight=False)
    told = caveats(rows, study.name, home_option(study.folder.parent))
    for line in (*told, *selection_bias(rows, study.objectives), *_failures(rows)):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(f"report: {study.folder / PICTURES[0]}", highlight=False, markup=False, soft_wrap=True)


def _failures(rows: Sequence[Confirmed]) -> list[str]:
    return [f"trial {row.trial.number}: {row.reason}" for row in rows if row.reason]


def confirmed_table(rows: Sequence[Confirmed], objectives: Mapping[str, Direction], knee: int | None) -> Table:
    """One row a trial; the knee is marked."""
    table = plain_table()
    for heading in headings(objectives):
        table.add_column(heading, justify="right")
    table.add_column("configuration", overflow="fold")
    table.add_column("")
    for row in rows:
        mark = "knee" if row.trial.number == knee else ""
        table.add_row(*cells(row, objectives), describe(row.trial.stored), mark, style="bold" if mark else "")
    return table


class ConfirmationDisplay:
    """Shows a confirmation (`kansearch.cluster.launch.Observer`): a live table, or a line a training."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._records: dict[object, SeedRecord] = {}
        self._live: Live | None = None
        self._shown = 0.0

    def started(self, study: Study, records: Sequence[SeedRecord]) -> None:
        self._study = study
        self._records = {record.key: record for record in records}
        self._before = self._epochs()
        done = sum(record.state != "running" for record in records)
        if done:
            self._console.print(f"{done} trainings finished before, {len(records) - done} to do", highlight=False)

    def running(self, cluster: Cluster) -> None:
        self._began = time.monotonic()
        left = [record for record in self._records.values() if record.state == "running"]
        trials, seeds = len({record.number for record in left}), "training" if len(left) == 1 else "trainings"
        gpus = f", {cluster.gpus:g} GPUs" if cluster.gpus else ""
        self._console.print(
            f"confirming [bold]{self._study.name}[/]: {len(left)} {seeds} of {trials} trials, "
            f"{cluster.max_concurrent} at once on {cluster.cpus:g} CPUs{gpus}",
            highlight=False,
        )
        for note in cluster.notes:
            self._console.print(note, highlight=False, markup=False, soft_wrap=True)
        if self._console.is_terminal and self._live is None:
            self._live = Live(self._table(), console=self._console, auto_refresh=False, transient=True)
            self._live.start()

    def changed(self, record: SeedRecord) -> None:
        self._records[record.key] = record
        if self._live is None and record.state != "running":
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

    def _ended(self) -> int:
        return sum(record.state != "running" for record in self._records.values())

    def _epochs(self) -> int:
        return sum(record.epochs for record in self._records.values() if record.state != "fail")

    def _line(self, record: SeedRecord) -> str:
        text = f"on the test split {values(record.values)}" if record.state == "complete" else str(record.reason)
        place = f"{self._ended()}/{len(self._records)}"
        return escape(f"[{place}] trial {record.number} seed {record.seed} {record.state}: {text}")

    def _table(self) -> Table:
        wanted = sum(record.stored.epochs for record in self._records.values() if record.state != "fail")
        done, spent = self._epochs(), time.monotonic() - self._began
        new = done - self._before
        table = plain_table()
        for heading in ("done", "failed", "epochs", "elapsed", "left"):
            table.add_column(heading, justify="right", no_wrap=True)
        failed = sum(record.state == "fail" for record in self._records.values())
        left = duration(spent / new * (wanted - done)) if new > 0 else "-"
        place = f"{self._ended()}/{len(self._records)}"
        table.add_row(place, str(failed), f"{done:,}/{wanted:,}", duration(spent), left)
        return table
