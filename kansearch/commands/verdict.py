"""`verdict`: is a KAN better than the best plain network here, for several bounds of parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from kansearch.commands.common import open_study, print_json
from kansearch.console import plain_table, terminal
from kansearch.errors import InputError
from kansearch.study.confirmed import Confirmed, confirmed
from kansearch.study.figures import describe, duration, number
from kansearch.study.records import TrialRecord
from kansearch.study.seeds import SeedStore
from kansearch.study.spread import LEAST_SEEDS
from kansearch.study.study import Study, home_option
from kansearch.study.verdict import (
    Arm,
    Contender,
    Verdict,
    arms,
    default_sizes,
    judged_objective,
    picks,
    sentence,
    unequal,
    verdicts,
)

__all__ = ["parse_sizes", "print_verdict"]

_UNITS = {"k": 1e3, "m": 1e6}
_SEEDS = 5


def print_verdict(names: Sequence[str], sizes: str | None, home: Path, as_json: bool) -> None:
    """Print the verdicts on the trials of one study, or of several of one data set together."""
    studies = [open_study(home, name) for name in names]
    _check_comparable(studies)
    kan, plain = arms({study.name: _trials_of(study) for study in studies})
    bounds = parse_sizes(sizes) if sizes else default_sizes([*kan.contenders, *plain.contenders])
    found = verdicts(kan, plain, studies[0].objectives, bounds)
    lines = [*_effort(kan, plain), *_to_do(found, home)]
    if as_json:
        print_json({"verdicts": [each.document() for each in found], "notes": lines})
        return
    console = terminal()
    if found:
        table = plain_table()
        for heading in ("at most", "KAN", "plain network", "KAN minus plain", "P(KAN better)", "answer"):
            table.add_column(heading, justify="right" if heading == "at most" else "left", overflow="fold")
        for each in found:
            table.add_row(*_cells(each, several=len(studies) > 1))
        console.print(table)
        print(f"{sentence(found)}.")
    for line in lines:
        print(line)


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


def _trials_of(study: Study) -> tuple[list[TrialRecord], list[Confirmed]]:
    """All trials, and those that were confirmed."""
    records = study.records()
    return records, confirmed(records, SeedStore(study.folder).records(), study.objectives)


def _check_comparable(studies: Sequence[Study]) -> None:
    first = studies[0]
    if judged_objective(first.objectives) is None:
        wanted = ", ".join(first.objectives)
        raise InputError(f"study '{first.name}' has no objective that a test split measures; it has {wanted}")
    for study in studies[1:]:
        if study.objectives != first.objectives:
            raise InputError(f"studies '{first.name}' and '{study.name}' have other objectives")
        if _data_sets(study) != _data_sets(first):
            raise InputError(f"studies '{first.name}' and '{study.name}' were made of other data sets")


def _data_sets(study: Study) -> set[str]:
    return {record.config.data.dataset for record in study.records() if record.stored.document}


def _cells(verdict: Verdict, several: bool) -> list[str]:
    difference = chance = "-"
    if verdict.difference is not None and verdict.half is not None:
        difference = f"{verdict.difference:+.4f} ± {number(verdict.objective, verdict.half)}"
        chance = f"{verdict.probability:.2f}"
    answer = {"KAN": "KAN", "plain": "plain", None: "can't be told"}[verdict.answer]
    pair = [_contender(each, verdict.objective, several) for each in (verdict.kan, verdict.plain)]
    return [f"{verdict.most:,.0f}", *pair, difference, chance, answer]


def _contender(contender: Contender | None, objective: str, several: bool) -> str:
    if contender is None:
        return "none"
    row, trial = contender.confirmed, contender.trial
    told = row is not None and contender.seeds >= LEAST_SEEDS
    value = row.written(objective) if row is not None and told else "unconfirmed"
    name = f"{contender.study} {trial.number}" if several else str(trial.number)
    return f"{name}: {value} with {contender.parameters:,} ({describe(trial.stored)})"


def _effort(kan: Arm, plain: Arm) -> Iterator[str]:
    """Search effort of both arms, and how to make it equal."""
    parts = [
        f"{arm.name} {len(arm.contenders)} complete of {arm.trials} trials in {duration(arm.seconds)}"
        for arm in (kan, plain)
    ]
    yield f"search effort: {', '.join(parts)}"
    if unequal(kan, plain):
        yield (
            "the arms did not get equal effort, which favours the one that got more: search each by itself, such as "
            "`kansearch launch SPACE --set model.basis=none --study NAME`, and name both studies here"
        )
    yield "one search an arm: the answers are of these networks on these test images, over other seeds"


def _to_do(found: Sequence[Verdict], home: Path) -> Iterator[str]:
    """Commands that train what the verdicts lack."""
    for study, numbers in picks(found):
        chosen = ",".join(map(str, numbers))
        yield (
            f"unconfirmed: `kansearch confirm {study}{home_option(home)} --seeds {_SEEDS} --picks {chosen}` trains the "
            "networks that are compared"
        )
