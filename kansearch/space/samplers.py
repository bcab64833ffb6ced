"""Which samplers can search which spaces: some need the same hyperparameters in every trial, grid finitely many values.

tpe (grouped) and random draw a branch's hyperparameters as they draw others. The rest don't: gp and qmc would draw them
at random without saying so, nsga2 and nsga3 cross over only what all trials share, grid needs one list of names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from kansearch.space.distributions import Branch, Choice, FloatRange, IntRange, Tree
from kansearch.space.search_space import SearchSpace

__all__ = ["grid_size", "sampler_problem"]

_ANY_SPACE = frozenset({"tpe", "random"})
_LARGEST_GRID = 100_000


def sampler_problem(space: SearchSpace) -> str | None:
    """Why the space's sampler cannot search it; None if it can."""
    sampler = space.search.sampler
    branch = None if sampler in _ANY_SPACE else _first_branch(space.tree, "")
    if branch is not None:
        return f"{sampler} needs the same hyperparameters in every trial, but {branch} has branches; use tpe or random"
    return _grid_problem(space) if sampler == "grid" else None


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
