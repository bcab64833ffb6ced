"""`merge`: join studies of one space into a new one, and say what became of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from kansearch.commands.common import check_tracking, console_for, print_json, say_what_is_behind
from kansearch.console import front_table, plain_table
from kansearch.merge.merge import Locations, Merged, merge
from kansearch.report.writer import ReportWriter
from kansearch.study.front import front_of, hypervolume, knee
from kansearch.study.records import TrialRecord
from kansearch.study.study import Study, home_option
from kansearch.tracking.confirming import ConfirmationStore
from kansearch.tracking.writer import MlflowWriter

if TYPE_CHECKING:
    from kansearch.cluster.cluster import Cluster

__all__ = ["run_merge"]


def run_merge(home: Path, words: Sequence[str], name: str, places: Mapping[str, str | None], as_json: bool) -> None:
    """Merge, then print a line a source, what was left out, and the new study's front."""
    check_tracking(places["tracking_uri"])
    console, report, writer = console_for(as_json), ReportWriter(), MlflowWriter()
    confirming = MlflowWriter(ConfirmationStore)
    merged = merge(home, words, name, [_Display(console), report, writer], [confirming], Locations(**places))
    study, records = merged.study, merged.study.records()
    front = front_of(records, study.objectives)
    where = home_option(home)
    say_what_is_behind(study, report, writer, again=f"kansearch resume {name}{where}")
    if confirming.problem is not None:
        again = f"kansearch confirm {name}{where} --picks {merged.confirmations[0].number} --seeds 1"
        print(f"MLflow lacks confirmations ({confirming.problem}); `{again}` writes them", file=sys.stderr)
    if as_json:
        print_json(_document(merged, records, front))
    _print(console, merged, front)


class _Display:
    """Says that the study is there (`kansearch.cluster.launch.Observer`), before what may take minutes."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def started(self, study: Study, records: Sequence[TrialRecord]) -> None:
        line = f"study {study.name}: {_trials(len(records))}; its report and its runs in MLflow are being written"
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def running(self, cluster: Cluster) -> None: ...

    def changed(self, record: TrialRecord) -> None: ...

    def told(self, line: str) -> None: ...

    def tick(self) -> None: ...

    def ended(self, outcome: str) -> None: ...


def _print(console: Console, merged: Merged, front: Sequence[TrialRecord]) -> None:
    study = merged.study
    table = plain_table()
    table.add_column("study")
    for heading in ("trials", "complete", "front", "in another study", "unfinished"):
        table.add_column(heading, justify="right")
    for row in merged.sources:
        counts = (row.trials, row.complete, row.front, row.dropped, row.unfinished)
        table.add_row(escape(row.study), *map(str, counts))
    console.print(table)
    for line in _notes(merged, front):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if front:
        volume = hypervolume(front, study.objectives)
        console.print(f"\nFront of {study.name}: {_trials(len(front))}, hypervolume {volume:.4f}", highlight=False)
        table = front_table(front, study.objectives, knee(front, study.objectives))
        console.print(table)


def _trials(count: int) -> str:
    return "1 trial" if count == 1 else f"{count:,} trials"


def _notes(merged: Merged, front: Sequence[TrialRecord]) -> Iterator[str]:
    """Yield a line for each thing that was left out, and for each that holds from now on."""
    study, where = merged.study, home_option(merged.study.folder.parent)
    dropped, unfinished = (sum(getattr(row, name) for row in merged.sources) for name in ("dropped", "unfinished"))
    if dropped:
        yield f"in two studies with the same start, and taken once: {_trials(dropped)}"
    if unfinished:
        yield f"not ended, and left out: {_trials(unfinished)}"
    if merged.repeated:
        yield (
            f"trained in two studies with the same configuration and seed, and kept: {_trials(merged.repeated)}; "
            "give the next searches a --seed each"
        )
    if merged.constrained:
        bounds = ", ".join(f"{name} <= {bound:,.10g}" for name, bound in study.space.constraints.items())
        yield f"constraints: {bounds or 'none'}, the loosest of those that differ"
    if merged.settings:
        yield f"search settings are those of {merged.sources[0].study}; others differ in {', '.join(merged.settings)}"
    for name, reason in merged.out_of_reach.items():
        yield f"weights and tracebacks of {name} are out of reach: {reason}"
    if len(merged.weights) < len(front):
        yield f"weights came along for {len(merged.weights)} of the {len(front)} trials of the front"
    if merged.confirmations:
        confirmed = _trials(len({record.number for record in merged.confirmations}))
        yield f"confirmations came along: {len(merged.confirmations)}, of {confirmed}"
    yield f"`kansearch resume {study.name}{where} --trials N` goes on, N in all"


def _document(merged: Merged, records: Sequence[TrialRecord], front: Sequence[TrialRecord]) -> dict[str, Any]:
    study = merged.study
    return {
        "study": study.name,
        "sources": [asdict(row) for row in merged.sources],
        "trials": len(records),
        "finished": study.finished(),
        "dropped": sum(row.dropped for row in merged.sources),
        "unfinished": sum(row.unfinished for row in merged.sources),
        "repeated": merged.repeated,
        "constraints": dict(study.space.constraints),
        "confirmations": len(merged.confirmations),
        "weights": list(merged.weights),
        "front": [record.document() for record in front],
    }
