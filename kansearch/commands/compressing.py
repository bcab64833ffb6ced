"""`compress` and `grow`: a trained model made smaller, or larger."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from kansearch.commands.common import console_for, print_json
from kansearch.errors import InputError, SearchInterrupted
from kansearch.models.compress import compress, grow, step_cells, step_headings

if TYPE_CHECKING:
    from trials.results import EpochResult
    from trials.saved import Figures

__all__ = ["run_compress", "run_grow"]


def run_compress(
    source: Path,
    output: Path,
    prune: float,
    tolerance: float | None,
    channels: float,
    quantize: str | None,
    tables: bool,
    epochs: int | None,
    rate: float,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """epochs: None: 3 where something is pruned, else none."""
    from trials.saved import CompressionOptions

    if quantize not in (None, "int8"):
        raise InputError(f"--quantize {quantize}: int8 is what there is")
    epochs = (3 if prune or channels or tolerance is not None else 0) if epochs is None else epochs
    options = CompressionOptions(prune, tolerance, channels, quantize == "int8", tables, epochs, rate)
    console = console_for(as_json)
    report = _interruptible(lambda: compress(source, output, options, data_dir, *_shown(console, epochs)), output)
    _print(console, output, report, as_json)


def run_grow(source: Path, output: Path, epochs: int, rate: float, data_dir: Path | None, as_json: bool) -> None:
    console = console_for(as_json)
    report = _interruptible(lambda: grow(source, output, epochs, rate, data_dir, *_shown(console, epochs)), output)
    _print(console, output, report, as_json)


def _shown(console: Console, epochs: int) -> tuple[Callable[[Figures], None], Callable[[EpochResult], None]]:
    """Lines that say how far it is."""

    def step(figures: Figures) -> None:
        score = f"nRMSE {figures.nrmse:.4g}" if figures.accuracy is None else f"accuracy {figures.accuracy:.4f}"
        console.print(f"{figures.step}: {score}", highlight=False)

    def epoch(result: EpochResult) -> None:
        figures = f"train loss {result.train_loss:.4f}, {result.images_per_second:,.0f} images/s"
        console.print(f"fine-tuning, epoch {result.epoch}/{epochs}: {figures}", highlight=False)

    return step, epoch


def _interruptible(work: Callable[[], dict[str, Any]], output: Path) -> dict[str, Any]:
    try:
        return work()
    except KeyboardInterrupt:
        raise SearchInterrupted(f"interrupted; nothing was written to {output}", 130) from None


def _print(console: Console, output: Path, report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(report)
        return
    table = _table(step_headings(report["steps"]))
    for step in report["steps"]:
        table.add_row(*step_cells(step))
    console.print(table)
    if report.get("layers"):
        console.print(_layers(report["layers"]))
    console.print(f"written to {output}", highlight=False, markup=False, soft_wrap=True)


def _layers(layers: list[dict[str, Any]]) -> Table:
    """How each layer is computed, and the times that decided it."""
    ways = [way for way in ("exact", "table", "int8") if any(way in layer["microseconds"] for layer in layers)]
    table = _table(["layer", *[f"{way}, µs of 1 / 128" for way in ways], "table error", "computed by"])
    for layer in layers:
        times = [" / ".join(f"{time:,.0f}" for time in layer["microseconds"].get(way, [])) or "-" for way in ways]
        error = "-" if layer["table_error"] is None else f"{layer['table_error']:.0e}"
        reason = f" ({layer['reason']})" if layer["reason"] else ""
        table.add_row(layer["name"], *times, error, layer["chosen"] + reason)
    return table


def _table(headings: list[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="right" if index else "left")
    return table
