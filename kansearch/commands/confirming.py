"""`confirm`: train the front again over several seeds, and say what is left of it on the test split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from kansearch.cluster.launch import SearchOptions
from kansearch.commands.common import check_name, console_for, print_json, say_what_is_behind
from kansearch.commands.progress import SeedsDisplay
from kansearch.commands.verdict import print_closing
from kansearch.console import plain_table
from kansearch.errors import KansearchError
from kansearch.report.writer import ReportWriter
from kansearch.seeds.confirm import command, confirm
from kansearch.space import Direction
from kansearch.study.confirmed import Confirmed, confirmed, knee_of
from kansearch.study.confirmed_table import caveats, cells, headings
from kansearch.study.figures import describe
from kansearch.study.records import TrialRecord
from kansearch.study.seeds import SeedStore
from kansearch.study.selection import selection_bias
from kansearch.study.study import PICTURES, Study, home_option
from kansearch.tracking.confirming import ConfirmationStore
from kansearch.tracking.writer import MlflowWriter

__all__ = ["confirm_picks", "run_confirm"]


def run_confirm(name: str, picks: str, seeds: int, options: SearchOptions, as_json: bool) -> None:
    """Confirm the picks, then print those of them that completed beside what the search had measured."""
    check_name(options.home, name)
    console = console_for(as_json)
    study, chosen = confirm_picks(name, picks, seeds, options, console)
    everything = confirmed(study.records(), SeedStore(study.folder).records(), study.objectives)
    numbers = {record.number for record in chosen}
    rows = [row for row in everything if row.trial.number in numbers]
    if as_json:
        print_json([row.document() for row in rows])
    if not any(row.complete for row in rows):
        raise KansearchError(f"no seed of study '{name}' completed; {'; '.join(_failures(rows))}")
    _print(console, study, rows, everything)


def confirm_picks(
    name: str, picks: str, seeds: int, options: SearchOptions, console: Console
) -> tuple[Study, list[TrialRecord]]:
    """Confirm the picks with a display, the report and MLflow."""
    report, writer = ReportWriter(), MlflowWriter(ConfirmationStore)
    study, chosen = confirm(name, picks, seeds, options, [SeedsDisplay(console), report, writer])
    say_what_is_behind(study, report, writer, again=command(name, picks, seeds, options))
    return study, chosen


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
    print_closing(study, console)
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
