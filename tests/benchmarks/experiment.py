"""An experiment: trainings that are all known before, side by side, and a table of their records.

python -m tests.benchmarks.<experiment> RECORDS --minutes 8     goes on where the records in that folder end
python -m tests.benchmarks.<experiment> RECORDS --table         trains nothing

A call writes a file RECORDS/runs-<time>.jsonl: a line about the machine, then a line for each finished run. Files of
several calls, or of several machines, may lie in one folder.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from tests.benchmarks.side_by_side import Order, SideBySide, key_of, machine, parse_lines, started, write

__all__ = ["Records", "add_arguments", "experiment"]

_CURVE = ("train_loss", "validation_loss", "accuracy")
"""What is kept of each epoch."""


class Records:
    """What is done of an experiment: the rows of complete runs by their keys, and those of failed ones."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.failed: dict[str, dict[str, Any]] = {}
        for path in paths:
            for file in sorted(path.glob("*.jsonl")) if path.is_dir() else [path]:
                for row in parse_lines(file):
                    if "labels" in row:
                        self.add(row)

    def add(self, row: dict[str, Any]) -> None:
        """Note a row that is in a file."""
        (self.rows if row["state"] == "complete" else self.failed)[key_of(row["labels"])] = row

    def having(self, **labels: Any) -> list[dict[str, Any]]:
        """The complete rows with these labels."""
        wanted = labels.items()
        return [row for row in self.rows.values() if all(row["labels"].get(name) == value for name, value in wanted)]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that experiments share."""
    parser.add_argument("out", type=Path, help="folder of the records; a rerun leaves out what is there")
    parser.add_argument("--table", action="store_true", help="train nothing: print the table of the records alone")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="after so long no run is started any more")
    parser.add_argument(
        "--grace", type=float, default=90.0, metavar="SECONDS", help="after that, until unfinished runs are given up"
    )
    parser.add_argument("--earlier", nargs="+", type=Path, default=[], metavar="FILE|FOLDER", help="more records")
    parser.add_argument("--workers", type=int, default=16, help="trainings side by side")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--data-dir")
    parser.add_argument("--limit", type=int, help="training images, to try this out; all of them unless given")
    parser.add_argument("--epochs", type=int, help="of each run, to try this out; as written above unless given")
    parser.add_argument("--run-limit", type=float, default=600.0, metavar="SECONDS", help="of one run")


def experiment(
    given: argparse.Namespace, orders: Callable[[Records], list[Order]], table: Callable[[Records], str]
) -> None:
    """Train what is left of the orders, and print the table.

    orders: all that can be trained now, given what is done; asked again after each run.
    """
    given.seconds = 60 * given.minutes
    given.out.mkdir(parents=True, exist_ok=True)
    records = Records([given.out, *given.earlier])
    if not given.table and any(order.key not in records.rows for order in orders(records)):
        with started(given) as mps, _new_file(given.out).open("x") as output:
            header = machine(given, mps.pipes is not None)
            write(output, header)
            print(f"{header['hardware']}; CUDA MPS: {header['mps']} {mps.problem or ''}", flush=True)
            _train(given, orders, records, output, mps.pipes)
    print(table(records))


def _train(
    given: argparse.Namespace,
    orders: Callable[[Records], list[Order]],
    records: Records,
    output: TextIO,
    pipes: str | None,
) -> None:
    begun: set[str] = set()
    finished: list[float] = []

    def next_order() -> Order | None:
        left = (order for order in orders(records) if order.key not in records.rows and order.key not in begun)
        order = next(left, None)
        if order is not None:
            begun.add(order.key)
        return order

    def done(order: Order, row: Mapping[str, Any]) -> None:
        curve = {name: [_short(each) for each in row["curve"].get(name, ())] for name in _CURVE}
        whole = {"labels": dict(order.labels), "config": dict(order.config), **row, "curve": curve}
        write(output, whole)
        records.add(whole)
        finished.append(whole.get("wall_seconds", 0.0))

    def tell(seconds: float) -> str:
        known = orders(records)
        failed = sum(order.key in records.failed and order.key not in records.rows for order in known)
        there = sum(order.key in records.rows for order in known)
        return f"{seconds:5.0f} s: {there} of {len(known)} runs there, {failed} failed, {len(finished)} done here"

    SideBySide(given, next_order, done, tell, pipes).run()
    print(f"{len(finished)} runs done here, {sum(finished):.0f} s of processes", flush=True)


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _new_file(folder: Path) -> Path:
    return folder / f"runs-{datetime.now(UTC):%Y%m%dT%H%M%S}.jsonl"
