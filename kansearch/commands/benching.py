"""`kansearch bench`: what schedulers and samplers are worth, on simulated searches. Nothing is trained."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from kansearch.bench.problems import Benchmark
    from kansearch.bench.run import Row

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Measure schedulers and samplers on simulated searches."
)

Seeds = Annotated[int, typer.Option(min=2, help="Searches of each kind, a seed each.")]
Seconds = Annotated[
    float | None,
    typer.Option(
        min=1.0,
        help="Simulated device-seconds of random search. Default: schedulers 16000, samplers 12000; of a recorded "
        "benchmark as many as 60 full trials take.",
    ),
]
Names = Annotated[
    list[str] | None,
    typer.Option(
        "--on",
        "--problem",
        help="Search this: an analytic problem, or a recorded benchmark such as fashion_mnist. May be repeated. "
        "Default: the analytic ones.",
    ),
]
Jobs = Annotated[int | None, typer.Option(min=1, help="Processes. Default: one a CPU core.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


@app.command()
def schedulers(
    seeds: Seeds = 20,
    device_seconds: Seconds = None,
    problem: Names = None,
    jobs: Jobs = None,
    as_json: Json = False,
) -> None:
    """Early stopping, with 0.4 of the device-seconds, against random proposals with full trials."""
    from kansearch.bench.run import SCHEDULERS

    _run(SCHEDULERS, problem, jobs, as_json, device_seconds, 16000.0, seeds=seeds, conditional=True, limit=0.4)


@app.command()
def samplers(
    seeds: Seeds = 20,
    device_seconds: Seconds = None,
    problem: Names = None,
    jobs: Jobs = None,
    as_json: Json = False,
) -> None:
    """Samplers with halving, with 0.4 of the device-seconds, against random full trials.

    The analytic problems have no branches here, a recorded benchmark has.
    """
    from kansearch.bench.run import SAMPLERS

    _run(SAMPLERS, problem, jobs, as_json, device_seconds, 12000.0, seeds=seeds, conditional=False, limit=0.4)


def _run(
    candidates: Any,
    names: list[str] | None,
    jobs: int | None,
    as_json: bool,
    device_seconds: float | None,
    usual: float,
    **settings: Any,
) -> None:
    from kansearch.bench.run import bench, unable

    rows, done = [], (lambda row: None) if as_json else _print
    problems = _problems(names)
    if not as_json:
        print("".join(f"{about}\n\n" for problem in problems if (about := problem.about())) + _HEADING)
    for problem in problems:
        seconds = problem.device_seconds(usual) if device_seconds is None else device_seconds
        processes = jobs or os.cpu_count() or 1
        rows += bench(candidates, problems=[problem], jobs=processes, done=done, device_seconds=seconds, **settings)
        left_out = [name for name, each in candidates.items() if unable(problem, each, settings["conditional"])]
        if left_out and not as_json:
            print(f"{problem.name}: its space has branches, which cannot be searched by: {'; '.join(left_out)}")
    if as_json:
        print(json.dumps({**settings, "rows": [row.document() for row in rows]}, indent=2))


def _problems(names: list[str] | None) -> list[Benchmark]:
    from kansearch.bench.problems import PROBLEMS
    from kansearch.bench.recorded import recorded_problems
    from kansearch.errors import InputError

    there: list[Benchmark] = [*PROBLEMS, *recorded_problems()]
    known = {each.name: each for each in there}
    for name in names or ():
        if name not in known:
            raise InputError(f"no problem '{name}'; there are {', '.join(known)}")
    return [known[name] for name in names or (each.name for each in PROBLEMS)]


_HEADING = (
    "share: of the known front's hypervolume, after a quarter of the device-seconds and at the end\n"
    "cost: device-seconds until random search's final hypervolume, as a share of those random search had\n"
    "wins: seeds above random search after as many device-seconds\n"
    "Mean ± 95 % interval over the seeds; of wins from, to\n\n"
    f"{'problem':14}{'candidate':21}{'trials':>7}{'complete':>9}{'share at 1/4':>16}{'final share':>16}"
    f"{'cost':>16}{'wins':>17}"
)


def _print(row: Row) -> None:
    print(
        f"{row.problem:14}{row.candidate:21}{row.trials:7.0f}{row.complete:9.0f}{row.quarter!s:>16}{row.final!s:>16}"
        f"{row.cost!s:>16}{row.wins:6.0%} {row.wins_from:4.0%}, {row.wins_to:4.0%}",
        flush=True,
    )
