"""`kansearch plan`: what a search would meet and how long it would take, as tables or one JSON document."""

from __future__ import annotations

import json
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kansearch.cluster.duration import Duration, estimate_duration
from kansearch.console import terminal
from kansearch.engine.plan import Plan, Share, draw
from kansearch.errors import KansearchError
from kansearch.space import SearchSpace
from kansearch.study.figures import duration
from trials.metrics import METRICS

__all__ = ["print_plan", "run_plan"]

_HEADINGS = ("least", "10 %", "median", "90 %", "most")


def run_plan(space: SearchSpace, configurations: int, data_dir: Path | None, as_json: bool) -> None:
    """Draw, count, time a few steps, print."""
    plan = draw(space, configurations, data_dir=data_dir)
    time, untimed = None, None
    try:
        time = estimate_duration(plan, data_dir)
    except KansearchError as error:
        untimed = str(error)
    if as_json:
        print(json.dumps({**plan.document(), "time": time and time.document(), "untimed": untimed}, indent=2))
    else:
        print_plan(terminal(), plan, time, untimed)


def print_plan(console: Console, plan: Plan, time: Duration | None, untimed: str | None) -> None:
    """Sizes, what a search would refuse, and the expected time; or, `untimed`, why there is none."""
    count = len(plan.drawn)
    noun = "configuration" if count == 1 else "configurations"
    _say(
        console, f"study {plan.space.study}: {count} {noun} drawn at random, {len(plan.trainable)} of them trainable\n"
    )
    if plan.spreads():
        console.print(_sizes(plan))
    for name, broken in plan.broken().items():
        _say(console, f"{broken / count:.1%} break {name} <= {plan.space.constraints[name]:,.0f}")
    for reason, invalid in plan.invalid().items():
        _say(console, f"{invalid / count:.1%} cannot be built: {reason}")
    if plan.infeasible or plan.invalid():
        console.print()
        console.print(_choices(plan))
    console.print()
    for line in _time(plan, time) if time else [f"no estimate of the time: {untimed}"]:
        _say(console, line)


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)


def _sizes(plan: Plan) -> Table:
    table = _table()
    table.add_column("")
    for heading in _HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    for name, spread in plan.spreads().items():
        values = (spread.least, spread.tenth, spread.median, spread.ninetieth, spread.greatest)
        table.add_row(METRICS[name].short, *(f"{value:,.0f}" if value >= 10 else f"{value:.1f}" for value in values))
    return table


def _choices(plan: Plan) -> Table:
    """Each option, or third of a range, with the share of its configurations that a search would not train."""
    table, before = _table(), ""
    table.add_column("hyperparameter")
    table.add_column("option")
    for heading in ("drawn", "infeasible", "cannot be built"):
        table.add_column(heading, justify="right", no_wrap=True)
    for share in plan.shares():
        name = "" if share.hyperparameter == before else share.hyperparameter
        table.add_row(escape(name), escape(share.option), str(share.drawn), *_percentages(share))
        before = share.hyperparameter
    return table


def _percentages(share: Share) -> tuple[str, str]:
    if not share.drawn:
        return "-", "-"
    return f"{share.infeasible / share.drawn:.0%}", f"{share.invalid / share.drawn:.0%}" if share.invalid else "-"


def _time(plan: Plan, time: Duration) -> list[str]:
    trials = plan.space.search.trials
    where = "a GPU" if time.device == "cuda" else "a CPU"
    images = "random images" if time.synthetic else "its own images"
    bound = f"; at most, as {plan.space.search.scheduler} stops weak trials early" if time.upper_bound else ""
    lines = [
        f"{trials} full-length trials, {time.concurrent} at once on this machine: about {duration(time.seconds)} "
        f"({duration(time.least)} to {duration(time.most)}){bound}",
        f"a trial: about {duration(time.trial_seconds)} on {where}; an estimate from {time.timed} configurations, "
        f"timed on {images}",
    ]
    if time.time_budget is not None:
        lines.append(_budget(trials, time, time.time_budget))
    return lines


def _budget(trials: int, time: Duration, budget: float) -> str:
    if not time.ends_by_budget:
        return f"the trials end first, before the time budget of {duration(budget)}"
    done = int(trials * budget / time.seconds)
    when = f"after about {done} trials" if done else "before a trial is done"
    return f"the time budget of {duration(budget)} ends first, {when}"
