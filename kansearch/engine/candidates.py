"""Where the front sampler's candidates come from: whole draws, and known configurations with something drawn anew.

SpaceCandidates    of a kansearch space, whose branches are known
SeenCandidates     of any Optuna study, whose conditions are read off its trials
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from kansearch.space import Choice, Distribution, FloatRange, GivenSuggest, IntRange, Scalar, SearchSpace
from kansearch.space.search_space import Noting
from kansearch.space.unit import UnitSuggest

if TYPE_CHECKING:
    import optuna

__all__ = ["Candidates", "Hyperparameters", "SeenCandidates", "SpaceCandidates"]

Hyperparameters = Mapping[str, Any]
"""Hyperparameters of one configuration, by name; those of branches that are not taken are left out."""
_REDRAWN = 3
"""The most hyperparameters of a varied configuration that are drawn anew."""
_NEWEST = 750
"""Trials of a plain study that say what it draws."""


class Candidates(Protocol):
    """Draws configurations of a space."""

    @property
    def distributions(self) -> Mapping[str, Distribution]:
        """Every hyperparameter by name, those of all branches included."""

    def draw(self, rng: np.random.Generator) -> Hyperparameters:
        """Draw a configuration."""

    def vary(self, known: Hyperparameters, rng: np.random.Generator) -> Hyperparameters:
        """Draw one to three hyperparameters of a known configuration anew, and what depends on them."""

    def whole(self, params: Hyperparameters) -> bool:
        """Whether these are all hyperparameters of a configuration. A trial that runs may go on to ask for more."""


class SpaceCandidates:
    """Candidates of a search space."""

    def __init__(self, space: SearchSpace) -> None:
        self._space = space
        self.distributions: Mapping[str, Distribution] = space.hyperparameters()

    def draw(self, rng: np.random.Generator) -> Hyperparameters:
        """Draw a configuration."""
        return self._drawn({}, rng)

    def vary(self, known: Hyperparameters, rng: np.random.Generator) -> Hyperparameters:
        """Draw one to three hyperparameters of a known configuration anew, and what depends on them."""
        return self._drawn(_some_left_out(known, list(known), rng), rng)

    def whole(self, params: Hyperparameters) -> bool:
        """A search draws configurations whole."""
        return True

    def _drawn(self, given: Mapping[str, Scalar], rng: np.random.Generator) -> Hyperparameters:
        places = dict(zip(self.distributions, rng.random(len(self.distributions)).tolist(), strict=True))
        noting = Noting(GivenSuggest(given, UnitSuggest(places)))
        self._space.values(noting)
        return noting.noted


class SeenCandidates:
    """Candidates like the trials of an Optuna study, each with the same hyperparameters as one of them.

    A choice decides about another hyperparameter if that is in every trial with one of its options and in no trial with
    another option. An integer decides if the other one is there above a value and not below, or the reverse. Values
    that decide are kept as they were in a trial; the rest is drawn. The newest trials tell.
    """

    def __init__(self, trials: Sequence[optuna.trial.FrozenTrial]) -> None:
        known: dict[str, optuna.distributions.BaseDistribution] = {}
        for trial in trials:
            known |= trial.distributions
        self.distributions: Mapping[str, Distribution] = {name: _ours(known[name]) for name in sorted(known)}
        newest = islice((each for each in reversed(trials) if each.params and each.state.is_finished()), _NEWEST)
        self._seen = [trial.params for trial in newest]
        names = [frozenset(params) for params in self._seen]
        self._wholes = set(names)
        self._deciding = {name for name in known if len(self._wholes) > 1 and self._decides(name, names)}

    def draw(self, rng: np.random.Generator) -> Hyperparameters:
        """Draw a configuration."""
        seen = self._seen[int(rng.integers(len(self._seen)))]
        return self._redrawn(seen, [name for name in seen if name not in self._deciding], rng)

    def vary(self, known: Hyperparameters, rng: np.random.Generator) -> Hyperparameters:
        """Draw one to three hyperparameters of a known configuration anew."""
        free = [name for name in known if name not in self._deciding]
        left = _some_left_out(known, free, rng)
        return self._redrawn(known, [name for name in free if name not in left], rng)

    def whole(self, params: Hyperparameters) -> bool:
        """Whether a finished trial has the same hyperparameters."""
        return frozenset(params) in self._wholes

    def _redrawn(self, params: Hyperparameters, names: Sequence[str], rng: np.random.Generator) -> Hyperparameters:
        places = UnitSuggest(dict(zip(names, rng.random(len(names)).tolist(), strict=True)))
        for name in names:
            _suggested(places, name, self.distributions[name])
        return {**params, **places.asked}

    def _decides(self, name: str, names: Sequence[frozenset[str]]) -> bool:
        """Whether the value of `name` decides which hyperparameters there are; `names`: those of each trial seen."""
        found: dict[Any, set[frozenset[str]]] = {}
        for params, there in zip(self._seen, names, strict=True):
            if name in params:
                found.setdefault(params[name], set()).add(there)
        others: frozenset[str] = frozenset().union(*(each for groups in found.values() for each in groups))
        if isinstance(self.distributions[name], Choice):
            always = frozenset().union(*(frozenset.intersection(*groups) for groups in found.values()))
            return any(other not in frozenset().union(*groups) for groups in found.values() for other in always)
        return isinstance(self.distributions[name], IntRange) and any(_apart(found, other) for other in others)


def _apart(found: Mapping[int, Collection[frozenset[str]]], other: str) -> bool:
    """Whether `other` is there on one side of an integer and is not on the other side."""
    having = [value for value, groups in found.items() if any(other in there for there in groups)]
    lacking = [value for value, groups in found.items() if any(other not in there for there in groups)]
    return bool(having and lacking) and (max(lacking) < min(having) or max(having) < min(lacking))


def _some_left_out(known: Hyperparameters, names: Sequence[str], rng: np.random.Generator) -> dict[str, Any]:
    count = min(int(rng.integers(1, _REDRAWN + 1)), len(names))
    out = {names[int(place)] for place in rng.choice(len(names), size=count, replace=False)} if names else set()
    return {name: value for name, value in known.items() if name not in out}


def _suggested(suggest: UnitSuggest, name: str, distribution: Distribution) -> Scalar:
    if isinstance(distribution, Choice):
        return suggest.categorical(name, distribution.options)
    low, high, log = distribution.low, distribution.high, distribution.log
    if isinstance(distribution, IntRange):
        return suggest.integer(name, distribution.low, distribution.high, log, distribution.step)
    return suggest.float_(name, low, high, log, distribution.step)


def _ours(distribution: optuna.distributions.BaseDistribution) -> Distribution:
    """The inverse of `kansearch.engine.samplers.optuna_distribution`."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(distribution, CategoricalDistribution):
        return Choice(tuple(distribution.choices))
    assert isinstance(distribution, (IntDistribution, FloatDistribution))
    if isinstance(distribution, IntDistribution):
        return IntRange(distribution.low, distribution.high, distribution.log, distribution.step)
    return FloatRange(distribution.low, distribution.high, distribution.log, distribution.step)
