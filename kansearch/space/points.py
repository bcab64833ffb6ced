"""The inverse of drawing: the hyperparameters of a space that give a configuration, or why there are none.

    point_of(space.tree, {"model": {"basis": {"name": "bspline", "grid_size": 5}, "width": 16}}).hyperparameters
    {"model.basis": "bspline", "model.basis.bspline.grid_size": 5, "model.width": 16}

What a space leaves to a default is fixed at that. Of branches that can all hold the values, the first is taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kansearch.space.distributions import Branch, Choice, Distribution, FloatRange, IntRange, Scalar, Tree
from kansearch.space.grammar import OneOf, Record, Shape, trial_grammar
from kansearch.space.wording import listed, show, suggest

__all__ = ["Mismatch", "Point", "held", "point_of"]

_OFF_GRID = 1e-8  # steps that a number may lie off its grid, as in Optuna


@dataclass(frozen=True)
class Mismatch:
    """A value that a space does not hold: its dotted path in the configuration, and why."""

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True)
class Point:
    """Hyperparameters by name. They give the values that were asked for if there are no `mismatches`."""

    hyperparameters: Mapping[str, Scalar] = field(default_factory=dict)
    mismatches: tuple[Mismatch, ...] = ()


def point_of(tree: Mapping[str, Tree], values: Mapping[str, Any], ignore: frozenset[str] = frozenset()) -> Point:
    """The hyperparameters by which a space draws `values`.

    Args:
        tree: of the space, `SearchSpace.tree`.
        values: in the shape of a `TrialConfig` document. Of what they leave out no hyperparameter is given; a whole
            document, defaults included, is drawn again exactly.
        ignore: dotted paths in the configuration, each with all below it, where a value that the space does not hold
            is no mismatch: one that it fixes is not compared, one out of its range gives no hyperparameter.
    """
    return _Matcher(ignore).match(trial_grammar(), tree, values, _Place("", ""))


def held(distribution: Distribution, value: object) -> Scalar:
    """`value` as the distribution draws it, whatever type of number it has. ValueError, with the reason, if never."""
    if isinstance(distribution, Choice):
        for option in distribution.options:
            if _same(option, value):
                return option
        raise ValueError(f"{show(value)} is none of the options {listed(distribution.options)}")
    kind = "int" if isinstance(distribution, IntRange) else "float"
    words = f"{kind} [{show(distribution.low)}, {show(distribution.high)}]"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{show(value)} is not a number of {words}")
    if not distribution.low <= value <= distribution.high:
        raise ValueError(f"{show(value)} is outside {words}")
    number, nearest = _on_grid(distribution, value)
    if nearest is not None:
        step = f" with step {show(distribution.step)}" if distribution.step != 1 else ""
        raise ValueError(f"{show(value)} is not drawn by {words}{step}; the nearest value is {show(nearest)}")
    return number


def _on_grid(distribution: IntRange | FloatRange, value: int | float) -> tuple[int | float, int | float | None]:
    """A number within the range as it is drawn, and the nearest one that is, if it is not drawn itself."""
    steps = (value - distribution.low) / (distribution.step or 1)
    if isinstance(distribution, IntRange):
        drawn = value == int(value) and (int(value) - distribution.low) % distribution.step == 0
        return int(value), None if drawn else distribution.low + round(steps) * distribution.step
    drawn = distribution.step is None or math.isclose(steps, round(steps), rel_tol=0, abs_tol=_OFF_GRID)
    return float(value), None if drawn else distribution.at(round(steps))


def _same(first: Any, second: Any) -> bool:
    """Whether two plain values are the same setting: 1 is 1.0, but not true."""
    if isinstance(first, (list, tuple)) and isinstance(second, (list, tuple)):
        return len(first) == len(second) and all(map(_same, first, second))
    return isinstance(first, bool) == isinstance(second, bool) and bool(first == second)


@dataclass(frozen=True)
class _Place:
    """A value's path in a configuration, and its hyperparameter's name in a space, which holds branches' labels too."""

    path: str
    name: str

    def inner(self, key: str) -> _Place:
        return _Place(*(f"{each}.{key}" if each else key for each in (self.path, self.name)))

    def branch(self, label: str) -> _Place:
        return _Place(self.path, f"{self.name}.{label}")


class _Matcher:
    """Walks shape, tree and values side by side."""

    def __init__(self, ignore: frozenset[str]) -> None:
        self._ignore = ignore

    def match(self, shape: Shape, tree: Any, values: Any, at: _Place) -> Point:
        if isinstance(tree, Branch):
            return self._branch(shape, tree, values, at)
        if isinstance(shape, (Record, OneOf)) and isinstance(tree, Mapping) and isinstance(values, Mapping):
            return self._mapping(shape, tree, values, at)
        if not isinstance(tree, Distribution):
            return Point() if _same(tree, values) else self._refuse(at, _fixed(tree, values))
        try:
            return Point({at.name: held(tree, values)})
        except ValueError as error:
            return self._refuse(at, str(error))

    def _mapping(self, shape: Record | OneOf, tree: Mapping[str, Any], values: Mapping[str, Any], at: _Place) -> Point:
        if isinstance(shape, OneOf):
            key, name = shape.key, tree[shape.key]
            if not _same(values.get(key, name), name) and not self._ignored(at):
                return self._refuse(at.inner(key), _fixed(name, values[key]))
            values = {each: value for each, value in values.items() if each != key}
            shape = shape.members[name]
        return _joined(self._field(shape, tree, key, value, at.inner(key)) for key, value in values.items())

    def _field(self, record: Record, tree: Mapping[str, Any], key: str, value: Any, at: _Place) -> Point:
        if key not in record.fields:
            return self._refuse(at, f"unknown key '{key}'{suggest(key, record.fields)}")
        return self.match(record.fields[key], tree.get(key, record.fields[key].default), value, at)

    def _branch(self, shape: Shape, branch: Branch, values: Any, at: _Place) -> Point:
        if values == {}:
            return Point()  # nothing is said of it, so any branch will do
        if not self._ignored(at):
            return self._option(shape, branch, values, at)
        point = _Matcher(frozenset())._option(shape, branch, values, at)
        return Point() if point.mismatches else point

    def _option(self, shape: Shape, branch: Branch, values: Any, at: _Place) -> Point:
        """The first option that holds the values; if none does, why the nearest of their name does not."""
        near: list[Point] = []
        for label, option in branch.options.items():
            point = self.match(shape, option, values, at.branch(label))
            if not point.mismatches:
                return Point({at.name: label, **point.hyperparameters})
            if not isinstance(shape, OneOf) or _name(shape, option) == _name(shape, values):
                near.append(point)
        if near:
            return Point(mismatches=min((point.mismatches for point in near), key=len))
        name = _name(shape, values) if isinstance(shape, OneOf) else values
        return self._refuse(at, f"{show(name)} is none of the branches {listed(branch.labels)}")

    def _refuse(self, at: _Place, reason: str) -> Point:
        return Point() if self._ignored(at) else Point(mismatches=(Mismatch(at.path, reason),))

    def _ignored(self, at: _Place) -> bool:
        return any(at.path == each or at.path.startswith(f"{each}.") for each in self._ignore)


def _name(shape: OneOf, values: Any) -> Any:
    return values.get(shape.key) if isinstance(values, Mapping) else None


def _fixed(tree: Any, value: Any) -> str:
    wanted = f"{show(tree)}, which the space fixes" if not isinstance(tree, Mapping) else "a mapping"
    return f"{show(value)} is not {wanted}"


def _joined(points: Iterable[Point]) -> Point:
    hyperparameters: dict[str, Scalar] = {}
    mismatches: tuple[Mismatch, ...] = ()
    for point in points:
        hyperparameters |= point.hyperparameters
        mismatches += point.mismatches
    return Point(hyperparameters, mismatches)
