"""Samplers, one record each: how it is built, which spaces it can search, and what it sees of a search.

Another sampler is a name of `SamplerName`, for the schema, and a record here. tpe (grouped), front and random draw a
branch's hyperparameters as they draw others. The rest don't, and need the same hyperparameters in every trial. gp and
qmc would draw them at random without saying so. nsga2 and nsga3 cross over only what all trials share. grid needs one
list of names, of finitely many values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kansearch.space.distributions import Branch, Choice, Distribution, FloatRange, IntRange, Tree
from kansearch.space.search_space import SearchSpace
from kansearch.space.settings import SamplerName
from trials.config import TrialConfig

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

__all__ = ["SAMPLERS", "SamplerRecord", "Sizes", "grid_size", "sampler_problem"]

Sizes = Callable[[TrialConfig, Collection[str]], Mapping[str, float] | None]
"""Counts the named sizes of a configuration's network; None where it cannot be built."""

_LARGEST_GRID = 100_000
_POPULATION = 20  # of nsga2 and nsga3; a study has some hundred trials, not Optuna's generations of 50


@dataclass(frozen=True, kw_only=True)
class SamplerRecord:
    """All that is to be known of a sampler."""

    build: Callable[[SearchSpace, int, Sizes], BaseSampler]
    """Make Optuna's sampler from the space, a seed that a resumed search has anew, and what counts a configuration's
    sizes."""
    branches: bool
    """Whether it searches spaces whose trials don't all have the same hyperparameters."""
    problem: Callable[[SearchSpace], str | None]
    """Why it cannot search a space for a reason of its own; None if it can."""
    window: int | None
    """Finished trials that it sees at least; half as many more before the window is moved on. None: it sees all."""
    random_share: float | None = None
    """Share of its proposals that are drawn at random, unless the settings say another one; None: it takes none."""
    rungs: bool = False
    """Whether it learns from what trials measured before their end."""
    exhaustive: bool
    """Whether it runs each configuration of the space once, whatever it is told."""
    learns: bool = True
    """Whether what trials measured changes what it proposes."""


def sampler_problem(space: SearchSpace) -> str | None:
    """Why the space's sampler cannot search it; None if it can."""
    sampler = space.search.sampler
    record = SAMPLERS[sampler]
    branch = None if record.branches else _first_branch(space.tree, "")
    if branch is not None:
        *some, last = (name for name, each in SAMPLERS.items() if each.branches)
        others = f"{', '.join(some)} or {last}"
        return f"{sampler} needs the same hyperparameters in every trial, but {branch} has branches; use {others}"
    return record.problem(space)


def _grid_problem(space: SearchSpace) -> str | None:
    if space.enqueued:
        return "grid runs every configuration anyway and would run those of enqueue twice; remove enqueue, or use tpe"
    for name, each in space.hyperparameters().items():
        if isinstance(each, FloatRange) and each.step is None:
            return f"grid needs finitely many values, but {name} is a range without a step; give it a step or a choice"
    if space.constraints:
        return "grid does not go with constraints, which would leave holes in it; use tpe or random"
    size = grid_size(space)
    if size < space.search.trials:
        return f"the grid has {size} configurations, fewer than search.trials = {space.search.trials}; lower that"
    return (
        None if size <= _LARGEST_GRID else f"the grid has {size:,} configurations, more than {_LARGEST_GRID:,}; use qmc"
    )


def grid_size(space: SearchSpace) -> int:
    """How many configurations a space holds, each of whose hyperparameters has finitely many values."""
    return math.prod(_count(each) for each in space.hyperparameters().values())


def _count(distribution: Choice | IntRange | FloatRange) -> int:
    if isinstance(distribution, Choice):
        return len(distribution.options)
    return len(distribution.reachable()) if isinstance(distribution, IntRange) else distribution.count


def _first_branch(tree: Tree, path: str) -> str | None:
    """Dotted path of a choice between branches that hold hyperparameters of their own."""
    if isinstance(tree, Mapping):
        found = (_first_branch(each, f"{path}.{key}" if path else key) for key, each in tree.items())
        return next((name for name in found if name is not None), None)
    return path if isinstance(tree, Branch) and any(map(_holds_any, tree.options.values())) else None


def _holds_any(tree: Tree) -> bool:
    if isinstance(tree, Mapping):
        return any(map(_holds_any, tree.values()))
    return isinstance(tree, (Branch, Choice, IntRange, FloatRange))


def _tpe(space: SearchSpace, seed: int, sizes: Sizes) -> BaseSampler:
    from optuna.samplers import TPESampler

    startup = space.search.startup_trials
    return TPESampler(n_startup_trials=startup, multivariate=True, group=True, constant_liar=True, seed=seed)


def _front(space: SearchSpace, seed: int, sizes: Sizes) -> BaseSampler:
    from kansearch.engine.front_search import front_sampler

    return front_sampler(space, seed, sizes)


def _random(space: SearchSpace, seed: int, sizes: Sizes) -> BaseSampler:
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=seed)


def _nsga2(space: SearchSpace, seed: int, sizes: Sizes) -> BaseSampler:
    from optuna.samplers import NSGAIISampler

    return NSGAIISampler(population_size=_POPULATION, seed=seed)


def _nsga3(space: SearchSpace, seed: int, sizes: Sizes) -> BaseSampler:
    from optuna.samplers import NSGAIIISampler

    return NSGAIIISampler(population_size=_POPULATION, seed=seed)


def _gp(space: SearchSpace, seed: int, sizes: Sizes) -> BaseSampler:
    from optuna.samplers import GPSampler

    return GPSampler(n_startup_trials=space.search.startup_trials, seed=seed, warn_independent_sampling=False)


def _qmc(space: SearchSpace, seed: int, sizes: Sizes) -> BaseSampler:
    from optuna.samplers import QMCSampler

    return QMCSampler(scramble=True, seed=space.search.seed, warn_independent_sampling=False)


def _grid(space: SearchSpace, seed: int, sizes: Sizes) -> BaseSampler:
    from optuna.samplers import GridSampler

    return GridSampler({name: _values(each) for name, each in space.hyperparameters().items()}, seed=space.search.seed)


def _values(distribution: Distribution) -> list[Any]:
    if isinstance(distribution, Choice):
        return list(distribution.options)
    if isinstance(distribution, IntRange):
        return list(distribution.reachable())
    assert distribution.step is not None
    return [distribution.at(index) for index in range(distribution.count)]


def _no_problem(space: SearchSpace) -> None:
    return None


SAMPLERS: dict[SamplerName, SamplerRecord] = {
    "tpe": SamplerRecord(
        build=_tpe,
        branches=True,
        problem=_no_problem,
        window=500,
        random_share=0.5,
        exhaustive=False,
    ),
    "front": SamplerRecord(
        build=_front,
        branches=True,
        problem=_no_problem,
        window=500,
        random_share=0.25,
        rungs=True,
        exhaustive=False,
    ),
    "random": SamplerRecord(
        build=_random,
        branches=True,
        problem=_no_problem,
        window=0,
        exhaustive=False,
        learns=False,
    ),
    "nsga2": SamplerRecord(
        build=_nsga2,
        branches=False,
        problem=_no_problem,
        window=None,
        exhaustive=False,
    ),
    "nsga3": SamplerRecord(
        build=_nsga3,
        branches=False,
        problem=_no_problem,
        window=None,
        exhaustive=False,
    ),
    "gp": SamplerRecord(
        build=_gp,
        branches=False,
        problem=_no_problem,
        window=200,
        exhaustive=False,
    ),
    "qmc": SamplerRecord(
        build=_qmc,
        branches=False,
        problem=_no_problem,
        window=None,
        exhaustive=False,
        learns=False,
    ),
    "grid": SamplerRecord(
        build=_grid,
        branches=False,
        problem=_grid_problem,
        window=None,
        exhaustive=True,
        learns=False,
    ),
}
"""The record of each sampler that the schema accepts."""
