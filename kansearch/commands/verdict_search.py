"""`launch --verdict`: search KANs and plain networks each by itself, confirm the best of both, say which is better.

Each arm is a study, NAME-kan and NAME-plain, by `launch`; `confirm` trains the networks that are compared, `verdict`
compares them. All that was done is kept in the studies, so the same command goes on after a stop.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console

from kansearch.cluster.launch import Observer, SearchOptions, launch, resume
from kansearch.commands.common import check_name, check_tracking, console_for, say_what_is_behind
from kansearch.commands.confirming import confirm_picks
from kansearch.commands.searching import none_completed
from kansearch.commands.verdict import check_judged, judge, parse_sizes, print_verdict
from kansearch.console import SearchDisplay
from kansearch.engine.plan import least_parameters
from kansearch.errors import InputError, KansearchError, SearchInterrupted, UnknownStudyError
from kansearch.report.writer import ReportWriter
from kansearch.space import SearchSpace, parse_space
from kansearch.space.arms import arm_overrides, controls
from kansearch.study.figures import duration
from kansearch.study.records import TrialRecord
from kansearch.study.spread import LEAST_SEEDS
from kansearch.study.study import Study, home_option
from kansearch.study.verdict import ArmName
from kansearch.tracking.writer import MlflowWriter

__all__ = ["VerdictOptions", "arm_spaces", "run_verdict_search"]

_ARMS: dict[ArmName, str] = {"KAN": "kan", "plain": "plain"}
"""Both arms, with the ends of their studies' names."""
_NOUNS: dict[ArmName, str] = {"KAN": "KAN", "plain": "plain network"}


@dataclass(frozen=True)
class VerdictOptions:
    """The options of `--verdict`: bounds of parameters as text, and how many seeds confirm each network."""

    sizes: str | None = None
    seeds: int = 5


def run_verdict_search(
    space: SearchSpace, options: SearchOptions, places: Mapping[str, str | None], verdict: VerdictOptions, as_json: bool
) -> None:
    """Search both arms of a space with the same budget each, confirm, and print the verdicts.

    Args:
        space: with a plain network and a KAN among its models.
        options: where and how to run.
        places: those of `launch`, for both studies.
        verdict: bounds and seeds.
        as_json: print the verdicts as JSON and nothing else.

    Raises:
        InputError: the space has not both arms, a size is out of reach, or a study of an arm's name is another one.
        KansearchError: an arm has no complete trial, or the search can't run.
    """
    check_tracking(places["tracking_uri"])
    if verdict.seeds < LEAST_SEEDS:
        raise InputError(f"--seeds {verdict.seeds}: a verdict needs {LEAST_SEEDS} or more")
    bounds = sorted(parse_sizes(verdict.sizes)) if verdict.sizes else []
    spaces = arm_spaces(space, bounds)
    begun = [arm for arm in spaces if _begun(spaces[arm], options)]
    if bounds and not begun:
        _check_reached(spaces, bounds, verdict, options)
    console = console_for(as_json)
    for line in _told(space, spaces):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    with _going_on():
        for arm, each in spaces.items():
            _search(each, arm in begun, options, places, console)
        names = [each.study for each in spaces.values()]
        for study, picks in _compared(names, bounds, options):
            confirm_picks(study, picks, verdict.seeds, options, console)
    print_verdict(names, verdict.sizes, options.home, as_json)
    page = f"`kansearch report {' '.join(names)}{home_option(options.home)}` draws both fronts on one page"
    console.print(page, highlight=False, markup=False, soft_wrap=True)


def arm_spaces(space: SearchSpace, bounds: Sequence[float]) -> dict[ArmName, SearchSpace]:
    """The space of each arm: its networks alone, at most as large as the largest bound, nothing to begin with.

    What is tried first, by `enqueue` or a portfolio, would be search effort that one arm may have more of.

    Raises InputError where the space has not both, or does not search for what a verdict needs.
    """
    check_judged(space.study, space.objectives)
    if len(bounds) > 1 and "parameters" not in space.objectives:
        raise InputError(
            f"{space.file}: several --sizes need the objective parameters, or small networks are hardly searched: add "
            "`--set objectives.parameters=minimize`"
        )
    most = min([*bounds[-1:], space.constraints.get("parameters", math.inf)])
    shared = ["search.start=none", "enqueue=[]"]
    shared += [f"constraints.parameters={most:.0f}"] if bounds else []
    found: dict[ArmName, SearchSpace] = {}
    for arm, end in _ARMS.items():
        settings = [f'study="{space.study}-{end}"', *arm_overrides(space, arm), *shared]
        found[arm] = parse_space(space.source, space.file, [*space.overrides, *settings])
    return found


def _begun(space: SearchSpace, options: SearchOptions) -> bool:
    """Whether the study of an arm exists. Raises InputError where it is another one."""
    check_name(options.home, space.study)
    try:
        study = Study.open(options.home, space.study)
    except UnknownStudyError:
        return False
    try:
        same = study.space.source == space.source and study.overrides[: len(space.overrides)] == list(space.overrides)
    finally:
        study.close()
    if not same:
        raise InputError(
            f"study '{space.study}' in {options.home} is of another space, or of other settings: name another with "
            "`--study NAME`"
        )
    return True


def _check_reached(
    spaces: Mapping[ArmName, SearchSpace], bounds: Sequence[float], verdict: VerdictOptions, options: SearchOptions
) -> None:
    """Raise InputError for a bound that no network is small enough for, or whose arm would be empty as a whole."""
    least = {arm: least_parameters(space, data_dir=options.data_dir) for arm, space in spaces.items()}
    for bound, needed in ((bounds[0], min(least.values())), (bounds[-1], max(least.values()))):
        if bound < needed:
            have = ", ".join(f"{size:,.0f} are the fewest of a {_NOUNS[arm]}" for arm, size in least.items())
            raise InputError(f"--sizes {verdict.sizes}: {bound:,.0f} parameters are out of reach here: {have}")


def _told(space: SearchSpace, spaces: Mapping[ArmName, SearchSpace]) -> Iterator[str]:
    """Say what is to be searched."""
    settings = space.search
    time = "" if settings.time_budget is None else f" and at most {duration(settings.time_budget)}"
    most = spaces["KAN"].constraints.get("parameters")
    size = "" if most is None else f", networks of at most {most:,.0f} parameters"
    names = " and ".join(each.study for each in spaces.values())
    yield f"KAN or plain? Two searches with equal budgets, {names}: {settings.trials} trials each{time}{size}"
    left = controls(space)
    if left:
        yield f"in neither arm: {', '.join(left)}, controls with more than a fixed activation"
    if space.enqueued:
        yield "in neither arm: the configurations that the space enqueues, as they are not equal effort"


@contextmanager
def _going_on() -> Iterator[None]:
    """Say in the message of an interruption that the same command does the rest."""
    try:
        yield
    except SearchInterrupted as error:
        message = f"{error}, or with this `kansearch launch --verdict` again, which does all that is left"
        raise SearchInterrupted(message, error.exit_code) from error


def _search(
    space: SearchSpace, begun: bool, options: SearchOptions, places: Mapping[str, str | None], console: Console
) -> None:
    """Search an arm to the end of its budget; at once where that is used up."""
    report, writer = ReportWriter(), MlflowWriter()
    observers: list[Observer[TrialRecord]] = [SearchDisplay(console), report, writer]
    if begun:
        study = resume(space.study, (), options, observers)
    else:
        study = launch(space, options, observers, history=lambda: None, **places)
    say_what_is_behind(study, report, writer, again=f"kansearch resume {study.name}{home_option(options.home)}")
    records = study.records()
    if not any(record.state == "complete" for record in records):
        raise KansearchError(none_completed(study.name, records))


def _compared(names: Sequence[str], bounds: Sequence[float], options: SearchOptions) -> Iterator[tuple[str, str]]:
    """The networks to confirm: for each study the numbers of its trials, as `--picks` takes them."""
    compared: dict[str, set[int]] = {name: set() for name in names}
    for verdict in judge([Study.open(options.home, name) for name in names], bounds).found:
        if verdict.kan is not None and verdict.plain is not None:
            for contender in (verdict.kan, verdict.plain):
                compared[contender.study].add(contender.trial.number)
    for name, numbers in compared.items():
        if numbers:
            yield name, ",".join(map(str, sorted(numbers)))
