"""The nearest configuration of a space to any configuration, as far as the space has what that has."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from kansearch.space import Branch, Choice, FloatRange, IntRange, Scalar, SearchSpace, Tree
from kansearch.space.points import held

__all__ = ["projected"]

_OWN = ("epochs", "seed")
_KEYS = ("name", "family")
"""Keys that name the member of a family of mappings."""


def projected(space: SearchSpace, config: Mapping[str, Any]) -> dict[str, Scalar]:
    """Hyperparameters of a space, by name, nearest to those of `config`, a document of a `TrialConfig`.

    Epochs and seed stay the search's own. What the space draws and `config` lacks is left out, as is an option or a
    branch of `config` that the space lacks: a learning rate of another optimizer says nothing.
    """
    parts = ((key, each) for key, each in space.tree.items() if key not in _OWN)
    return {name: value for key, each in parts if key in config for name, value in _nearest(each, config[key], key)}


def _nearest(tree: Tree, value: Any, name: str) -> Iterator[tuple[str, Scalar]]:
    if isinstance(tree, Branch):
        label = next((label for label, option in tree.options.items() if _named(option) == _named(value)), None)
        if label is not None:
            yield name, label
            yield from _nearest(tree.options[label], value, f"{name}.{label}")
    elif isinstance(tree, Mapping):
        if isinstance(value, Mapping) and _named(tree) in (None, _named(value)):
            for key, each in tree.items():
                if key in value:
                    yield from _nearest(each, value[key], f"{name}.{key}")
    elif isinstance(tree, Choice):
        yield from ((name, option) for option in _option(tree, value))
    elif isinstance(tree, (IntRange, FloatRange)) and _is_number(value):
        yield name, _number(tree, value)


def _named(tree: Any) -> Any:
    """The value that tells a branch's options apart."""
    if not isinstance(tree, Mapping):
        return tree
    return next((tree[key] for key in _KEYS if key in tree), None)


def _option(choice: Choice, value: Any) -> Sequence[Scalar]:
    """The option that is `value`, or the nearest of the numbers; empty where there is none."""
    try:
        return [held(choice, value)]
    except ValueError:
        numbers = [option for option in choice.options if _is_number(option)]
        return [min(numbers, key=lambda option: _distance(option, value))] if _is_number(value) and numbers else []


def _distance(first: float, second: float) -> float:
    """Distance of two numbers: by their ratio where both are positive."""
    return abs(math.log(first / second)) if first > 0 and second > 0 else abs(first - second)


def _number(span: IntRange | FloatRange, value: float) -> Scalar:
    clipped = min(max(value, span.low), span.high)
    if isinstance(span, IntRange):
        return span.low + round((clipped - span.low) / span.step) * span.step
    if span.step is None:
        return float(clipped)
    return span.at(round((clipped - span.low) / span.step))


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
