"""Configurations as vectors, for the surrogate: hyperparameters of all branches, and what follows from them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kansearch.bench.counting import BLOCKS, Sizes, features, plain_sizes
from kansearch.space import Choice, Distribution, Scalar, SearchSpace
from kansearch.space.unit import coordinate
from trials.data.datasets import data_shape

__all__ = ["Encoder"]


class Encoder:
    """Vectors of one space's configurations.

    A number, and an option of a choice between numbers, is its coordinate in [0, 1]; 1/2 where another branch was
    taken. Any other choice is 0 or 1 for each option. Hyperparameters of one name in several branches, such as each
    optimizer's `lr`, share one more coordinate. After those come the logarithms of the network's parameters and FLOPs,
    of a layer's planes, the last convolution's channels and the classifier's inputs, on scales of about 1. `blocks`:
    which ones the networks were built of.
    """

    def __init__(self, space: SearchSpace, blocks: int = BLOCKS) -> None:
        self._distributions = space.hyperparameters()
        self._shared = _shared(self._distributions)
        shape = data_shape(space.data)
        self._blocks = blocks
        self._shape = (shape.channels, shape.size[0], shape.classes)

    def sizes(self, config: Mapping[str, Any]) -> Sizes:
        """Parameters and FLOPs of a configuration's network, exact."""
        return plain_sizes(config["model"], *self._shape, self._blocks)

    def vector(self, hyperparameters: Mapping[str, Scalar], config: Mapping[str, Any]) -> NDArray[np.float64]:
        """`hyperparameters` by name, and the document of the `TrialConfig` that they give."""
        sizes, basis = self.sizes(config), config["model"]["basis"]
        planes = features(basis) + (basis["name"] != "none" and config["model"]["base_branch"])
        derived = (
            math.log10(sizes.parameters) / 3,
            math.log10(sizes.flops) / 3,
            math.log2(1 + planes) / 3,
            math.log2(sizes.channels) / 3,
            math.log2(sizes.inputs) / 5,
        )
        return np.array([*self._coordinates(hyperparameters), *derived])

    def matrix(self, pairs: Sequence[tuple[Mapping[str, Scalar], Mapping[str, Any]]]) -> NDArray[np.float64]:
        """The vectors of many, one in each row."""
        return np.stack([self.vector(*pair) for pair in pairs])

    def _coordinates(self, hyperparameters: Mapping[str, Scalar]) -> Iterator[float]:
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
