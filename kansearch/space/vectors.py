"""Configurations as vectors for a model: the hyperparameters of all branches, side by side.

    Coordinates(space.hyperparameters()).of({"model.basis": "gram", "model.basis.gram.degree": 3, ...})

A number, and an option of a choice between numbers, is its coordinate in [0, 1], 1/2 where another branch was taken.
Any other choice is 0 or 1 for each option. Numbers of one name in several branches, such as each optimizer's `lr`,
share one more coordinate: what is learned of one branch informs the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kansearch.space.distributions import Choice, Distribution, Scalar
from kansearch.space.unit import coordinate

__all__ = ["Coordinates"]


class Coordinates:
    """The coordinates of configurations over `distributions`, by name."""

    def __init__(self, distributions: Mapping[str, Distribution]) -> None:
        self._distributions = distributions
        self._shared = _shared(distributions)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Coordinates) and self._distributions == other._distributions

    def __hash__(self) -> int:
        return hash(tuple(self._distributions))

    def of(self, hyperparameters: Mapping[str, Scalar]) -> Iterator[float]:
        """The coordinates of one configuration, in the order of the distributions, then the shared ones."""
        for name, distribution in self._distributions.items():
            if isinstance(distribution, Choice) and not all(map(_is_number, distribution.options)):
                yield from (float(_holds(hyperparameters, name, option)) for option in distribution.options)
            else:
                yield self._coordinate(name, hyperparameters)
        for names in self._shared:
            taken = next((name for name in names if name in hyperparameters), names[0])
            yield self._coordinate(taken, hyperparameters)

    def _coordinate(self, name: str, hyperparameters: Mapping[str, Scalar]) -> float:
        return coordinate(self._distributions[name], hyperparameters[name]) if name in hyperparameters else 0.5


def _shared(distributions: Mapping[str, Distribution]) -> list[list[str]]:
    """Names of numeric hyperparameters that have the same last part and the same beginning, in several branches."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name, distribution in distributions.items():
        path, _, last = name.rpartition(".")
        above = path.rpartition(".")[0]
        if above in distributions and not isinstance(distribution, Choice):
            groups.setdefault((above, last), []).append(name)
    return [names for names in groups.values() if len(names) > 1]


def _is_number(value: Scalar) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _holds(hyperparameters: Mapping[str, Scalar], name: str, option: Scalar) -> bool:
    return name in hyperparameters and hyperparameters[name] == option
