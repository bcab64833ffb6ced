"""Measure what schedulers and samplers are worth, on simulated searches: hypervolume against device-seconds.

    share       hypervolume / hypervolume of the known front, after a number of device-seconds
    cost        device-seconds until the final hypervolume of random search with full trials (the same seed's), as a
                share of its device-seconds; a search that doesn't get there counts with all it spent
    wins        share of seeds whose hypervolume is above random search's after as many device-seconds

Intervals are 95 %: mean ± t · s / √n over the seeds, Student's t (scipy.stats.t). That of wins is
Clopper and Pearson's. A trial's reports may be noisy; hypervolume is of what it would report without noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from typing import Any

from kansearch.bench.problems import PROBLEMS, Benchmark
from kansearch.bench.simulator import Run, hypervolume_of, simulate
from kansearch.bench.telling import TELLINGS
from kansearch.space import SearchSettings
from kansearch.space.samplers import sampler_problem

__all__ = ["SAMPLERS", "SCHEDULERS", "Interval", "Row", "bench", "interval", "share_interval", "unable"]

_UNLIMITED = 10**9  # trials: device-seconds end these searches

SCHEDULERS: dict[str, dict[str, Any]] = {
    "none": {},
    "halving, factor 2": {"scheduler": "halving", "reduction_factor": 2},
    "halving, factor 3": {"scheduler": "halving", "reduction_factor": 3},
    "halving, factor 4": {"scheduler": "halving", "reduction_factor": 4},
    "halving, 3 brackets": {"scheduler": "halving", "reduction_factor": 3, "brackets": 3},
    "asha": {"scheduler": "asha", "reduction_factor": 3},
    "tpe": {"sampler": "tpe"},
    "tpe, halving": {"sampler": "tpe", "scheduler": "halving", "reduction_factor": 3},
}
"""With random proposals, so that the scheduler alone makes the difference; at the end with learned ones."""

SAMPLERS: dict[str, dict[str, Any]] = {
    "random": {},
    "random, halving": {"scheduler": "halving"},
    "tpe, halving": {"sampler": "tpe", "scheduler": "halving"},
    "tpe start, halving": {"sampler": "tpe", "scheduler": "halving", "start": "portfolio"},
    "front, halving": {"sampler": "front", "scheduler": "halving"},
    "front start, halving": {"sampler": "front", "scheduler": "halving", "start": "portfolio"},
    "tpe 3/4, halving": {"sampler": "tpe", "scheduler": "halving", "random_share": 0.25},
    "tpe alone, halving": {"sampler": "tpe", "scheduler": "halving", "random_share": 0.0},
    "tpe, hidden": {"sampler": "tpe", "scheduler": "halving", "told": "hidden"},
    "tpe, projected": {"sampler": "tpe", "scheduler": "halving", "told": "projected"},
    "nsga2, halving": {"sampler": "nsga2", "scheduler": "halving"},
    "nsga3, halving": {"sampler": "nsga3", "scheduler": "halving"},
    "qmc, halving": {"sampler": "qmc", "scheduler": "halving"},
}
"""gp is not among them: a suggestion takes it more than half a second. grid needs a grid. Of tpe half of the proposals
are drawn at random, of front a quarter, but where it says otherwise; start: the first proposals are a portfolio of the
recordings of other data sets (`kansearch.bench.portfolio`); hidden and projected say what it is told of stopped trials
(`kansearch.bench.telling`)."""


@dataclass(frozen=True)
class Interval:
    """A mean over seeds, with its 95 % interval mean ± half."""

    mean: float
    half: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} ± {self.half:.3f}"


@dataclass(frozen=True)
class Row:
    """One candidate on one problem."""

    problem: str
    candidate: str
    device_seconds: float
    trials: float
    complete: float
    quarter: Interval
    final: Interval
    cost: Interval
    wins: float
    wins_from: float
    wins_to: float

    def document(self) -> dict[str, Any]:
        """Return the row as JSON."""
        return asdict(self)


def bench(
    candidates: Mapping[str, Mapping[str, Any]],
    *,
    seeds: int,
    device_seconds: float,
    conditional: bool,
    limit: float = 1.0,
    problems: Sequence[Benchmark] = PROBLEMS,
    jobs: int = 1,
    done: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """Measure `candidates`, the first of which is random search with full trials, on each problem; `jobs` processes.

    Those whose sampler cannot search a problem's space are left out there.
    """
    rows = []
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        run_all = map if jobs == 1 else pool.map
        for problem in problems:
            able = {name: each for name, each in candidates.items() if unable(problem, each, conditional) is None}
            for row in _rows(problem, able, seeds, device_seconds, conditional, limit, run_all):
                done(row)
                rows.append(row)
    return rows


def unable(problem: Benchmark, candidate: Mapping[str, Any], conditional: bool) -> str | None:
    """Why a candidate cannot search a problem's space; None if it can."""
    return sampler_problem(replace(problem.space(conditional), search=_settings(candidate, 0)))


def _settings(candidate: Mapping[str, Any], seed: int) -> SearchSettings:
    chosen = {key: value for key, value in candidate.items() if key != "told"}
    base = {"sampler": "random", "scheduler": "none", "start": "none", "trials": _UNLIMITED, "seed": seed}
    settings = {**base, **chosen}
    return SearchSettings.model_validate(settings)


def _rows(
    problem: Benchmark,
    candidates: Mapping[str, Mapping[str, Any]],
    seeds: int,
    device_seconds: float,
    conditional: bool,
    limit: float,
    run_all: Callable[..., Iterable[Run]],
) -> Iterator[Row]:
    best = hypervolume_of(problem.front(conditional))
    baseline: list[Run] = []
    for name, settings in candidates.items():
        spend = device_seconds * (limit if baseline else 1.0)
        runs = list(run_all(_run, [(problem, settings, seed, spend, conditional) for seed in range(seeds)]))
        baseline = baseline or runs
        yield _row(problem.name, name, runs, baseline, best, device_seconds, spend)


def _run(task: tuple[Benchmark, Mapping[str, Any], int, float, bool]) -> Run:
    problem, candidate, seed, device_seconds, conditional = task
    proposer = TELLINGS[candidate.get("told", "worse")]
    settings = _settings(candidate, seed)
    return simulate(problem, settings, device_seconds, conditional=conditional, proposer=proposer)


def _row(
    problem: str, name: str, runs: list[Run], baseline: list[Run], best: float, device_seconds: float, spend: float
) -> Row:
    pairs = list(zip(runs, baseline, strict=True))
    targets = [each.at(device_seconds) for each in baseline]
    costs = [min(run.reached(target), spend) / device_seconds for run, target in zip(runs, targets, strict=True)]
    wins = sum(run.at(spend) > base.at(spend) for run, base in pairs)
    wins_from, wins_to = share_interval(wins, len(pairs))
    return Row(
        problem=problem,
        candidate=name,
        device_seconds=spend,
        trials=sum(len(run.records) for run in runs) / len(runs),
        complete=sum(record.state == "complete" for run in runs for record in run.records) / len(runs),
        quarter=interval([run.at(device_seconds / 4) / best for run in runs]),
        final=interval([run.at(spend) / best for run in runs]),
        cost=interval(costs),
        wins=wins / len(pairs),
        wins_from=wins_from,
        wins_to=wins_to,
    )


def share_interval(count: int, of: int) -> tuple[float, float]:
    """Clopper and Pearson's 95 % interval of a share."""
    from scipy.stats import binomtest  # type: ignore[import-untyped]

    found = binomtest(count, of).proportion_ci()
    return float(found.low), float(found.high)


def interval(values: Sequence[float]) -> Interval:
    """Mean and half the width of its 95 % interval; nan for a single value."""
    from scipy.stats import t

    count, mean = len(values), sum(values) / len(values)
    if count < 2:
        return Interval(mean, math.nan)
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / (count - 1))
    return Interval(mean, float(t.ppf(0.975, count - 1)) * spread / math.sqrt(count))
