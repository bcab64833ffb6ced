"""`kansearch bench`: what schedulers and samplers are worth, on simulated searches. Nothing is trained."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from kansearch.search.bench import Row

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Measure schedulers and samplers on simulated searches."
)

Seeds = Annotated[int, typer.Option(min=2, help="Searches of each kind, a seed each.")]
Seconds = Annotated[float, typer.Option(min=1.0, help="Simulated device-seconds of a search.")]
Names = Annotated[list[str] | None, typer.Option("--problem", help="Only this problem; may be repeated.")]
Jobs = Annotated[int | None, typer.Option(min=1, help="Processes. Default: one a CPU core.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


@app.command()
def schedulers(
    seeds: Seeds = 20,
    device_seconds: Seconds = 16000.0,
    problem: Names = None,
    jobs: Jobs = None,
    as_json: Json = False,
) -> None:
    """Early stopping, with 0.4 of the device-seconds, against random proposals with full trials."""
    from kansearch.search.bench import SCHEDULERS

    bounds = {"seeds": seeds, "device_seconds": device_seconds, "conditional": True, "limit": 0.4}
    _run(SCHEDULERS, problem, jobs, as_json, **bounds)


@app.command()
def samplers(
    seeds: Seeds = 20,
    device_seconds: Seconds = 12000.0,
    problem: Names = None,
    jobs: Jobs = None,
    as_json: Json = False,
) -> None:
    """Samplers with halving, with 0.4 of the device-seconds, against random full trials; no branches."""
    from kansearch.search.bench import SAMPLERS

    bounds = {"seeds": seeds, "device_seconds": device_seconds, "conditional": False, "limit": 0.4}
    _run(SAMPLERS, problem, jobs, as_json, **bounds)


def _run(candidates: Any, names: list[str] | None, jobs: int | None, as_json: bool, **settings: Any) -> None:
    from kansearch.errors import InputError
    from kansearch.search.bench import bench
    from kansearch.search.problems import PROBLEMS

    known = {each.name: each for each in PROBLEMS}
    for name in names or ():
        if name not in known:
            raise InputError(f"no problem '{name}'; there are {', '.join(known)}")
    problems = [known[name] for name in names or known]
    if not as_json:
        print(_HEADING)
    done = (lambda row: None) if as_json else _print
    rows = bench(candidates, problems=problems, jobs=jobs or os.cpu_count() or 1, done=done, **settings)
    if as_json:
        print(json.dumps({**settings, "rows": [row.document() for row in rows]}, indent=2))


_HEADING = (
    "share: of the known front's hypervolume, after a quarter of the device-seconds and at the end\n"
    "cost: device-seconds until random search's final hypervolume, as a share of those random search had\n"
    "wins: seeds above random search after as many device-seconds. Mean ± 95 % interval over the seeds\n\n"
    f"{'problem':9}{'candidate':21}{'trials':>7}{'complete':>9}{'share at 1/4':>16}{'final share':>16}"
    f"{'cost':>16}{'wins':>6}"
)


def _print(row: Row) -> None:
    print(
        f"{row.problem:9}{row.candidate:21}{row.trials:7.0f}{row.complete:9.0f}{row.quarter!s:>16}{row.final!s:>16}"
        f"{row.cost!s:>16}{row.wins:6.0%}",
        flush=True,
    )
