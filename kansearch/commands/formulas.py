"""`symbolic`: formulas from trained models, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from kansearch.commands.common import console_for, print_json
from kansearch.errors import InputError
from kansearch.models.symbolic import find_formulas

if TYPE_CHECKING:
    from trials.saved import WrittenFormula

__all__ = ["run_symbolic"]


def run_symbolic(
    models: Sequence[Path],
    target: str | None,
    output: Path | None,
    data_dir: Path | None,
    seconds: float,
    latex: bool,
    as_json: bool,
) -> None:
    if seconds <= 0:
        raise InputError(f"--seconds {seconds:g}: a time above 0 is needed")
    console = console_for(as_json)
    found, path = find_formulas(
        models, target, output, data_dir, seconds, lambda line: console.print(line, highlight=False, markup=False)
    )
    if as_json:
        print_json({"formulas": [each.row() for each in found]})
        return
    console.print(_table(found))
    for each in found if latex else ():
        console.print(each.latex, highlight=False, markup=False, soft_wrap=True)
    console.print(f"written to {path}", highlight=False, markup=False, soft_wrap=True)


def _table(found: Sequence[WrittenFormula]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("complexity", "nRMSE", "nRMSE on test", "the network's"):
        table.add_column(heading, justify="right")
    table.add_column("formula", overflow="fold")
    for each in found:
        test = "-" if each.test_error is None else f"{each.test_error:.3g}"
        figures = [str(each.complexity), f"{each.error:.3g}", test, f"{each.network_test_error:.3g}"]
        table.add_row(*figures, each.text)
    return table
