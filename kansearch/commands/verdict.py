"""`verdict`: is a KAN better than the best plain network here, for several bounds of parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from kansearch.commands.common import open_comparable, print_json
from kansearch.console import plain_table, terminal
from kansearch.errors import InputError
from kansearch.space import Direction
from kansearch.study.confirmed import Confirmed, confirmed
from kansearch.study.records import TrialRecord
from kansearch.study.seeds import SeedStore
from kansearch.study.study import Study, home_option
from kansearch.study.verdict import (
    Arm,
    Verdict,
    arms,
    default_sizes,
    judged_objective,
    verdicts,
)
from kansearch.study.verdict_text import HEADINGS, cells, closing, effort, sentence, to_do

__all__ = ["Judged", "check_judged", "judge", "parse_sizes", "print_closing", "print_verdict", "trials_of"]

_UNITS = {"k": 1e3, "m": 1e6}


@dataclass(frozen=True)
class Judged:
    """Both arms of some studies, and the verdict for each bound."""

    kan: Arm
    plain: Arm
    found: Sequence[Verdict]


def judge(studies: Sequence[Study], bounds: Sequence[float]) -> Judged:
    """Judge the trials of studies of one data set together; without `bounds` for half decades."""
    kan, plain = arms({study.name: trials_of(study) for study in studies})
    sizes = bounds or default_sizes([*kan.contenders, *plain.contenders])
    return Judged(kan, plain, verdicts(kan, plain, studies[0].objectives, sizes))


def print_verdict(names: Sequence[str], sizes: str | None, home: Path, as_json: bool) -> None:
    """Print the verdicts on the trials of one study, or of several of one data set together."""
    studies = open_comparable(names, home)
    check_judged(studies[0].name, studies[0].objectives)
    judged = judge(studies, parse_sizes(sizes) if sizes else [])
    lines = [*effort(judged.kan, judged.plain), *to_do(judged.found, home_option(home))]
    if as_json:
        print_json({"verdicts": [each.document() for each in judged.found], "notes": lines})
        return
    console = terminal()
    if judged.found:
        table = plain_table()
        for heading in HEADINGS:
            table.add_column(heading, justify="right" if heading == HEADINGS[0] else "left", overflow="fold")
        for each in judged.found:
            table.add_row(*cells(each, several=len(studies) > 1))
        console.print(table)
        print(f"{sentence(judged.found)}.")
    for line in lines:
        print(line)


def print_closing(study: Study, console: Console) -> None:
    """Print in one sentence what a study tells of KANs against plain networks; nothing where it asks no such thing."""
    said = closing(study.name, *trials_of(study), study.objectives, home_option(study.folder.parent))
    if said is not None:
        console.print(said, highlight=False, markup=False, soft_wrap=True)


def parse_sizes(text: str) -> list[float]:
    """Parse `1k,3k,10k` to [1000, 3000, 10000]. Raises InputError for what is no number above 0."""
    found = []
    for part in text.split(","):
        digits, unit = part.strip().lower(), 1.0
        if digits[-1:] in _UNITS:
            digits, unit = digits[:-1], _UNITS[digits[-1]]
        try:
            found.append(float(digits) * unit)
        except ValueError:
            raise InputError(f"--sizes {text}: '{part}' is no number of parameters, such as 3000 or 3k") from None
        if not found[-1] > 0:
            raise InputError(f"--sizes {text}: a number of parameters must be above 0, got '{part}'")
    return found


def trials_of(study: Study) -> tuple[list[TrialRecord], list[Confirmed]]:
    """All trials, and those that were confirmed."""
    records = study.records()
    return records, confirmed(records, SeedStore(study.folder).records(), study.objectives)


def check_judged(name: str, objectives: Mapping[str, Direction]) -> None:
    """Raise InputError where no objective of study `name` can be judged."""
    if judged_objective(objectives) is None:
        wanted = ", ".join(objectives)
        raise InputError(f"study '{name}' has no objective that a test split measures; it has {wanted}")
