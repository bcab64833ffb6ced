"""Whether several search spaces are one, so that their trials can be compared, and the space of all those trials.

The same hyperparameters with the same distributions, the same fixed values, data, epochs and objectives are one space.
What says how it was searched may differ: the study's name, `search`, `enqueue` and `constraints`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kansearch.errors import InputError
from kansearch.space.distributions import Branch, Choice, FloatRange, IntRange
from kansearch.space.grammar import OneOf, Record, Shape, trial_grammar
from kansearch.space.loader import parse_space
from kansearch.space.samplers import SAMPLERS, grid_size
from kansearch.space.search_space import SearchSpace
from kansearch.space.weights import PINNED
from kansearch.space.wording import show

__all__ = ["check_agreement", "differing_settings", "joined_space", "loosest"]

_SHOWN = 3
_ENDS = ("trials", "time_budget", "epochs_budget", "device_budget", "patience")
"""Settings that say when a search ends."""
_MISSING = object()


def check_agreement(spaces: Mapping[str, SearchSpace]) -> None:
    """Raise InputError, with the first keys that differ, unless the spaces, by the names of their studies, are one."""
    (name, first), *others = spaces.items()
    known = dict(_settings(first))
    for other, space in others:
        found = dict(_settings(space))
        differing = [key for key in dict.fromkeys([*known, *found]) if not _same(known, found, key)]
        if differing:
            shown = "; ".join(
                f"{key} is {_written(known, key)} in '{name}' and {_written(found, key)} in '{other}'"
                for key in differing[:_SHOWN]
            )
            more = f"; and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
            raise InputError(f"studies '{name}' and '{other}' are not of one space: {shown}{more}")


def loosest(spaces: Sequence[SearchSpace]) -> dict[str, float]:
    """The constraints that hold in all of the spaces, each with its loosest bound."""
    everywhere = [name for name in spaces[0].constraints if all(name in space.constraints for space in spaces)]
    return {str(name): max(space.constraints[name] for space in spaces) for name in everywhere}


def differing_settings(spaces: Sequence[SearchSpace]) -> list[str]:
    """Keys of `search` that are not the same in all spaces, but for those that say when a search ends."""
    told = [space.search.model_dump(mode="json") for space in spaces]
    return [key for key in told[0] if key not in _ENDS and any(each[key] != told[0][key] for each in told)]


def joined_space(spaces: Sequence[SearchSpace], study: str, trials: int) -> SearchSpace:
    """The space of a study that holds the trials of studies of `spaces`, which agree.

    It is the first one's, with the loosest constraints, and nothing to be tried first. Its search, of `trials` trials,
    is at its end; the other bounds were those of the single searches and hold no more.

    Raises:
        SpaceError: `study` is no name of a study.
    """
    first, bounds = spaces[0], loosest(spaces)
    if SAMPLERS[first.search.sampler].exhaustive:  # which holds no more
        trials = min(trials, grid_size(first))
    overrides = [f"study={json.dumps(study)}", f"search.trials={max(1, trials)}"]
    overrides += [f"search.{key}=null" for key in _ENDS[1:] if getattr(first.search, key) is not None]
    if bounds != first.constraints:
        overrides.append(f"constraints={json.dumps(bounds)}")
    if first.enqueued:
        overrides.append("enqueue=[]")
    return parse_space(first.source, first.file, [*first.overrides, *overrides])


def _settings(space: SearchSpace) -> Iterator[tuple[str, Any]]:
    """Each hyperparameter and each fixed value by its dotted key, defaults included, and each objective's direction."""
    yield from _flat(trial_grammar(), space.tree, "")
    for name, direction in sorted(space.objectives.items()):
        yield f"objectives.{name}", direction


def _flat(shape: Shape, tree: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, Branch):
        yield path, Choice(tree.labels)
        for label, each in tree.options.items():
            yield from _flat(shape, each, f"{path}.{label}")
    elif isinstance(shape, OneOf) and isinstance(tree, Mapping):
        name = tree.get(shape.key, shape.usual)
        yield f"{path}.{shape.key}", name
        yield from _flat(shape.members[str(name)], tree, path)
    elif isinstance(shape, Record) and isinstance(tree, Mapping):
        for key, field in shape.fields.items():
            value = tree.get(key, field.default)
            yield from _flat(field, value, f"{path}.{key}" if path else key)
    else:
        yield path, tuple(tree) if isinstance(tree, list) else tree


def _same(first: Mapping[str, Any], second: Mapping[str, Any], key: str) -> bool:
    """A file of weights is known by its hash, wherever it lies; 1 is 1.0, but not true."""
    one, other = first.get(key, _MISSING), second.get(key, _MISSING)
    if isinstance(one, str) and isinstance(other, str) and PINNED in one:
        return one.rpartition(PINNED)[2] == other.rpartition(PINNED)[2]
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _written(settings: Mapping[str, Any], key: str) -> str:
    value = settings.get(key, _MISSING)
    if isinstance(value, Choice):
        return f"choice {show(value.options)}"
    if isinstance(value, (IntRange, FloatRange)):
        kind = "int" if isinstance(value, IntRange) else "float"
        step = f" step {show(value.step)}" if value.step not in (None, 1) else ""
        return f"{kind} [{show(value.low)}, {show(value.high)}]{' log' if value.log else ''}{step}"
    return "not there" if value is _MISSING else show(value)
