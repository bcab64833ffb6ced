"""`report A B` and `compare A B`: studies of one data set beside each other, on a page and in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from kansearch.commands.common import open_comparable, print_json
from kansearch.commands.verdict import trials_of
from kansearch.console import plain_table, terminal
from kansearch.errors import KansearchError
from kansearch.report.comparison import FINDS, SIDES, find_cells, side_cells, write_comparison
from kansearch.study.comparison import Side, compare_studies
from kansearch.study.study import Study, home_option, study_names

__all__ = ["are_studies", "compare_in_terminal", "report_together"]


def are_studies(names: Sequence[Path], home: Path) -> bool:
    """Whether all of `names` name studies, and none a folder."""
    known = study_names(home)
    return all(str(name) in known and not name.is_dir() for name in names)


def report_together(names: Sequence[str], output: Path | None, home: Path) -> None:
    """Write the page of several studies, by default beside their folders, and print what it says in short."""
    studies = open_comparable(names, home)
    sides = _sides(studies)
    path = output or home / f"{'-'.join(names)}.html"
    write_comparison(sides, studies[0].objectives, list(_notes(sides)), path)
    _print(studies, sides)
    print(f"comparison of {', '.join(names)} written to {path}")


def compare_in_terminal(names: Sequence[str], home: Path, as_json: bool) -> None:
    """Print what the page of several studies says in short."""
    studies = open_comparable(names, home)
    sides = _sides(studies)
    if as_json:
        print_json({"studies": [side.document() for side in sides], "notes": list(_notes(sides))})
    else:
        _print(studies, sides)


def _sides(studies: Sequence[Study]) -> list[Side]:
    sides = compare_studies({study.name: trials_of(study) for study in studies}, studies[0].objectives)
    empty = next((side.name for side in sides if not side.front), None)
    if empty is not None:
        raise KansearchError(f"study '{empty}' has no complete trial yet")
    return sides


def _print(studies: Sequence[Study], sides: Sequence[Side]) -> None:
    console = terminal()
    table = plain_table()
    for heading in SIDES:
        table.add_column(heading, justify="left" if heading == SIDES[0] else "right")
    for side in sides:
        table.add_row(*side_cells(side, sides[0]))
    console.print(table)
    finds = plain_table()
    for heading in FINDS:
        finds.add_column(heading, overflow="fold")
    for side in sides:
        for find in side.finds:
            finds.add_row(*find_cells(side, find, studies[0].objectives))
    if finds.rows:
        console.print("\nfound by one alone:", highlight=False)
        console.print(finds)
    for line in (*_notes(sides), *_to_confirm(studies[0].folder.parent, sides)):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _notes(sides: Sequence[Side]) -> Iterator[str]:
    """Say what the figures do not."""
    yield "hypervolumes are of values at selection, with one reference point for all studies; one search each"
    trials = [side.complete for side in sides]
    if max(trials) > 1.25 * min(trials):
        yield f"complete trials differ ({', '.join(map(str, trials))}): who tried more has the better chance"


def _to_confirm(home: Path, sides: Sequence[Side]) -> Iterator[str]:
    """The commands that confirm what is not."""
    for side in sides:
        numbers = ",".join(str(find.trial.number) for find in side.finds if find.confirmed is None)
        if numbers:
            command = f"kansearch confirm {side.name}{home_option(home)} --seeds 5 --picks {numbers}"
            yield f"unconfirmed: `{command}` tells what is left of its finds"
