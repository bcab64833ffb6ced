"""A search space: what a file says, checked, and how a trial's configuration is drawn from it.

    space = load_space(Path("search_spaces/quickstart.yaml"))
    config = random_config(space, random.Random(0))

A hyperparameter's name is its dotted path in the file. A choice between mappings is a hyperparameter too, over the
labels of its branches, and a branch's own hyperparameters carry its label: `model.basis`, then
`model.basis.bspline.grid_size`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from pydantic import TypeAdapter, ValidationError

from kansearch.errors import InputError
from kansearch.space.distributions import Branch, Choice, Distribution, FloatRange, IntRange, Scalar, Tree
from kansearch.space.settings import ConstraintName, Direction, ObjectiveName, SearchSettings
from trials.config import DataConfig, DatasetConfig, TrialConfig

__all__ = ["GivenSuggest", "Noting", "RandomSuggest", "SearchSpace", "Suggest", "random_config"]


class Suggest(Protocol):
    """Who proposes values: a sampler's trial, or `RandomSuggest`. `name` is the hyperparameter's dotted path."""

    def categorical(self, name: str, options: Sequence[Scalar]) -> Scalar:
        """One of `options`."""

    def integer(self, name: str, low: int, high: int, log: bool, step: int) -> int:
        """One of low, low + step, ... high."""

    def float_(self, name: str, low: float, high: float, log: bool, step: float | None) -> float:
        """A number in [low, high], on the grid of `step` if there is one."""


@dataclass(frozen=True)
class SearchSpace:
    """A checked search-space file.

    `tree` is the part that makes a `TrialConfig`, with distributions for leaves. `enqueued` holds the hyperparameters
    of each configuration to try first, by name, but for those that the sampler is to propose. `source` is the exact
    text of the file and `overrides` what was set beside it: `parse_space(source, file, overrides)` gives the same space
    again.
    """

    study: str
    source: str
    file: str
    tree: Mapping[str, Tree]
    objectives: Mapping[ObjectiveName, Direction]
    constraints: Mapping[ConstraintName, float]
    search: SearchSettings
    enqueued: tuple[Mapping[str, Scalar], ...] = ()
    overrides: tuple[str, ...] = field(default=())

    @property
    def dataset(self) -> str:
        """Name of the data set, the same for every trial."""
        return self.data.dataset

    @property
    def data(self) -> DataConfig:
        """The data set, the same for every trial, with defaults for what is drawn."""
        data = self.tree["data"]
        assert isinstance(data, Mapping)  # the grammar allows no branches there
        plain = {key: each for key, each in data.items() if not isinstance(each, (Choice, IntRange, FloatRange))}
        checked: DataConfig = TypeAdapter(DatasetConfig).validate_python(plain)
        return checked

    def sample(self, suggest: Suggest) -> TrialConfig:
        """A configuration drawn with `suggest`, which is asked only for what the taken branches hold.

        Raises InputError if the drawn values do not go together.
        """
        try:
            return TrialConfig.model_validate(self.values(suggest))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise InputError(f"{self.file}: the drawn configuration is not valid: {place}: {first['msg']}") from None

    def values(self, suggest: Suggest) -> dict[str, Any]:
        """Draw as `sample` does, but return plain values that were not checked together."""
        return {key: _draw(each, key, suggest) for key, each in self.tree.items()}

    def hyperparameters(self) -> dict[str, Distribution]:
        """Every hyperparameter by name, those of all branches included; a branch is a choice between its labels."""
        return dict(_flat(self.tree, ""))


def random_config(space: SearchSpace, rng: random.Random) -> TrialConfig:
    """A configuration drawn at random, each hyperparameter on its own."""
    return space.sample(RandomSuggest(rng))


def _draw(tree: Tree, path: str, suggest: Suggest) -> Any:
    if isinstance(tree, Mapping):
        return {key: _draw(each, f"{path}.{key}", suggest) for key, each in tree.items()}
    if isinstance(tree, Branch):
        label = str(suggest.categorical(path, tree.labels))
        return _draw(tree.options[label], f"{path}.{label}", suggest)
    if isinstance(tree, Choice):
        return suggest.categorical(path, tree.options)
    if isinstance(tree, IntRange):
        return suggest.integer(path, tree.low, tree.high, tree.log, tree.step)
    if isinstance(tree, FloatRange):
        return suggest.float_(path, tree.low, tree.high, tree.log, tree.step)
    return tree


def _flat(tree: Tree, path: str) -> Iterator[tuple[str, Distribution]]:
    if isinstance(tree, Branch):
        yield path, Choice(tree.labels)
        for label, each in tree.options.items():
            yield from _flat(each, f"{path}.{label}")
    elif isinstance(tree, Mapping):
        for key, each in tree.items():
            yield from _flat(each, f"{path}.{key}" if path else key)
    elif isinstance(tree, (Choice, IntRange, FloatRange)):
        yield path, tree


class GivenSuggest:
    """Answers with the `given` hyperparameters, and asks `otherwise` for those that are left out."""

    def __init__(self, given: Mapping[str, Scalar], otherwise: Suggest) -> None:
        self._given = given
        self._otherwise = otherwise

    def categorical(self, name: str, options: Sequence[Scalar]) -> Scalar:
        """Return the given value, or ask `otherwise` where it is left out."""
        return self._given[name] if name in self._given else self._otherwise.categorical(name, options)

    def integer(self, name: str, low: int, high: int, log: bool, step: int) -> int:
        """Return the given value, or ask `otherwise` where it is left out."""
        if name in self._given:
            return cast(int, self._given[name])
        return self._otherwise.integer(name, low, high, log, step)

    def float_(self, name: str, low: float, high: float, log: bool, step: float | None) -> float:
        """Return the given value, or ask `otherwise` where it is left out."""
        if name in self._given:
            return cast(float, self._given[name])
        return self._otherwise.float_(name, low, high, log, step)


class RandomSuggest:
    """Draws each value at random from its distribution."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def categorical(self, name: str, options: Sequence[Scalar]) -> Scalar:
        """One of `options`, all alike."""
        return self.rng.choice(options)

    def integer(self, name: str, low: int, high: int, log: bool, step: int) -> int:
        """Uniform over the values, or over their logarithm, each value standing for half a unit to either side."""
        if not log:
            return self.rng.randrange(low, high + 1, step)
        drawn = math.exp(self.rng.uniform(math.log(low - 0.5), math.log(high + 0.5)))
        return min(max(round(drawn), low), high)

    def float_(self, name: str, low: float, high: float, log: bool, step: float | None) -> float:
        """Uniform over the range or the grid, or over the logarithm."""
        if step is not None:
            grid = FloatRange(low, high, step=step)
            return grid.at(self.rng.randrange(grid.count))
        drawn = math.exp(self.rng.uniform(math.log(low), math.log(high))) if log else self.rng.uniform(low, high)
        return min(max(drawn, low), high)


class Noting:
    """Answers as `suggest` does, and keeps each value in `noted`, by the name of its hyperparameter."""

    def __init__(self, suggest: Suggest) -> None:
        self._suggest = suggest
        self.noted: dict[str, Scalar] = {}

    def categorical(self, name: str, options: Sequence[Scalar]) -> Scalar:
        """One of `options`."""
        self.noted[name] = self._suggest.categorical(name, options)
        return self.noted[name]

    def integer(self, name: str, low: int, high: int, log: bool, step: int) -> int:
        """One of low, low + step, ... high."""
        value = self._suggest.integer(name, low, high, log, step)
        self.noted[name] = value
        return value

    def float_(self, name: str, low: float, high: float, log: bool, step: float | None) -> float:
        """A number in [low, high], on the grid of `step` if there is one."""
        value = self._suggest.float_(name, low, high, log, step)
        self.noted[name] = value
        return value
