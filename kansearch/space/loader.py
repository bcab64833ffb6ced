"""Reads search-space files: text -> nodes -> overrides -> presets written out -> checks -> `SearchSpace`.

Everything wrong with a file is raised at once, as a `SpaceError` of `file:line:column: path: reason`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kansearch.errors import SpaceError
from kansearch.space.check import Checker
from kansearch.space.distributions import Branch, Scalar, Tree
from kansearch.space.enqueue import enqueued_points
from kansearch.space.files import read_text
from kansearch.space.grammar import space_grammar
from kansearch.space.nodes import Broken, Issues, MapNode, Mark, compose, place
from kansearch.space.overrides import apply_override
from kansearch.space.presets import expand_presets
from kansearch.space.samplers import sampler_problem
from kansearch.space.search_space import GivenSuggest, RandomSuggest, SearchSpace, Suggest
from kansearch.space.settings import DEFAULT_OBJECTIVES, REGRESSION_OBJECTIVES, SearchSettings
from kansearch.space.tables import describe_tables
from kansearch.space.weights import pin_weights
from kansearch.space.wording import describe
from trials.config import TrialConfig
from trials.metrics import METRICS
from trials.task import task_problem

__all__ = ["load_space", "parse_space"]

_TRIED = 64  # random configurations that must be valid as a whole
_PARTS = ("study", "objectives", "constraints", "search", "enqueue")


def load_space(path: Path, overrides: Sequence[str] = ()) -> SearchSpace:
    """The search space in a file, after `--set`-style overrides.

    Raises InputError if the file cannot be read, SpaceError with everything wrong in it.
    """
    return parse_space(read_text(path), str(path), overrides)


def parse_space(text: str, file: str, overrides: Sequence[str] = ()) -> SearchSpace:
    """Read a search space as `load_space` does, from the file's text; `file` is its name in errors."""
    issues = Issues()
    root = _root(text, file, issues)
    grammar = space_grammar()
    if isinstance(root, MapNode):
        for override in overrides:
            root = apply_override(root, override, grammar, issues)
        root, pins = pin_weights(expand_presets(root, issues), issues)
        root, described = describe_tables(root, issues)
        tree = Checker(issues, grammar).check(grammar, root, "")
        if isinstance(tree, dict):
            _check_objectives(tree, root, issues)
            enqueued = _enqueued(tree, root, issues)
        if isinstance(tree, dict) and not issues.found:
            space = replace(_space(tree, root, text, file, (*overrides, *pins, *described)), enqueued=enqueued)
            _check_sampler(space, root, issues)
            _check_deterministic(space, root, issues)
            _check_together(space, root, issues)
            if not issues.found:
                space = _with_objectives(space, tree)
                _check_task(space, root, issues)
            if not issues.found:
                return space
    raise SpaceError(issues.found)


def _root(text: str, file: str, issues: Issues) -> MapNode | Broken:
    node = compose(text, file, issues)
    if isinstance(node, (MapNode, Broken)):
        return node
    if node is None:
        issues.add(Mark(file), "", "the file is empty; `kansearch spaces` lists search spaces to start from")
        return Broken(Mark(file))
    issues.add(node.mark, "", f"must be a mapping with keys such as study, data, model, got {describe(node)}")
    return Broken(node.mark)


def _check_objectives(tree: Mapping[str, Any], root: MapNode, issues: Issues) -> None:
    if tree.get("objectives") == {}:
        mark = root.entries["objectives"].node.mark
        issues.add(mark, "objectives", "at least one objective is needed, such as {accuracy: maximize}")


def _space(tree: Mapping[str, Any], root: MapNode, text: str, file: str, overrides: tuple[str, ...]) -> SearchSpace:
    objectives = tree.get("objectives", DEFAULT_OBJECTIVES)
    written = root.entries["objectives"].node if "objectives" in root.entries else None
    order: Any = written.entries if isinstance(written, MapNode) else objectives  # the first named comes first
    return SearchSpace(
        study=tree["study"],
        source=text,
        file=file,
        tree=_trial_part(tree),
        objectives={name: objectives[name] for name in order},
        constraints=tree.get("constraints", {}),
        search=SearchSettings.model_validate(tree.get("search", {})),
        overrides=overrides,
    )


def _enqueued(tree: Mapping[str, Any], root: MapNode, issues: Issues) -> tuple[Mapping[str, Scalar], ...]:
    return enqueued_points(tree.get("enqueue", ()), _trial_part(tree), root, issues)


def _trial_part(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {key: each for key, each in tree.items() if key not in _PARTS}


def _check_sampler(space: SearchSpace, root: MapNode, issues: Issues) -> None:
    problem = sampler_problem(space)
    if problem is not None:
        mark, path = place(root, ("search", "sampler"))
        issues.add(mark, path, problem)


def _check_deterministic(space: SearchSpace, root: MapNode, issues: Issues) -> None:
    """Note budgets and objectives that differ from run to run: they decide nothing in a deterministic search."""
    if not space.search.deterministic:
        return
    for name in ("time_budget", "device_budget"):
        if getattr(space.search, name) is not None:
            reason = "a deterministic search cannot end by the clock; bound search.trials or search.epochs_budget"
            issues.add(*place(root, ("search", name)), reason)
    for name in space.objectives:
        if METRICS[name].varies:
            reason = f"{name} differs from run to run, so a deterministic search cannot have it for an objective"
            issues.add(*place(root, ("objectives", name)), reason)


def _with_objectives(space: SearchSpace, tree: Mapping[str, Any]) -> SearchSpace:
    """The space with the objectives of a regression, where the file names none and the targets are numbers."""
    if "objectives" in tree or not space.data.regression:
        return space
    return replace(space, objectives=REGRESSION_OBJECTIVES)


def _check_task(space: SearchSpace, root: MapNode, issues: Issues) -> None:
    """Networks and objectives must be made for what the data set asks: a class for each sample, or for each pixel, or
    numbers."""
    from trials.data.datasets import data_shape

    try:
        shape = data_shape(space.data)
    except ValueError as error:
        issues.add(*place(root, ("data", "classes")), str(error))
        return
    for name in space.objectives:
        metric = METRICS[name]
        reason = None
        if metric.regression is not None and metric.regression != shape.regression:
            numbers = "numbers, not classes; minimize nrmse instead"
            classes = "classes, not numbers; maximize accuracy instead"
            reason = f"{space.dataset} asks for {numbers if shape.regression else classes}"
        elif metric.per_pixel and not shape.dense:
            reason = f"{space.dataset} has a class for each sample, not for each pixel; maximize accuracy instead"
        if reason is not None:
            issues.add(*place(root, ("objectives", name)), reason)
    for family in _families(space.tree.get("model", {})):
        problem = task_problem(family, shape.dense, rows=not shape.size)
        if problem is not None:
            issues.add(*place(root, ("model", "family")), problem)


def _families(model: Tree) -> list[str]:
    """The families of networks that can be drawn."""
    if isinstance(model, Branch):
        return [family for each in model.options.values() for family in _families(each)]
    return [str(model.get("family", "plain"))] if isinstance(model, Mapping) else []


def _check_together(space: SearchSpace, root: MapNode, issues: Issues) -> None:
    """Draw some configurations: fields that are right one by one may not go together."""
    at_random = RandomSuggest(random.Random(0))
    suggests: list[Suggest] = [at_random] * _TRIED
    suggests += [GivenSuggest(point, at_random) for point in space.enqueued]
    for suggest in suggests:
        try:
            TrialConfig.model_validate(space.values(suggest))
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                mark, path = place(root, detail["loc"])
                reason = str(detail.get("ctx", {}).get("error", detail["msg"]))
                issues.add(mark, path, f"values that can be drawn do not go together: {reason}")
            return
