"""Configurations as vectors, for the surrogate: hyperparameters of all branches, and what follows from them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kansearch.bench.counting import BLOCKS, Sizes, features, plain_sizes
from kansearch.space import Scalar, SearchSpace
from kansearch.space.vectors import Coordinates
from trials.data.datasets import data_shape

__all__ = ["Encoder"]


class Encoder:
    """Vectors of one space's configurations.

    First come the hyperparameters (`kansearch.space.vectors`). Then come the logarithms of the network's parameters and
    FLOPs, of a layer's planes, the last convolution's channels and the classifier's inputs, on scales of about 1.
    `blocks`: which ones the networks were built of.
    """

    def __init__(self, space: SearchSpace, blocks: int = BLOCKS) -> None:
        self._coordinates = Coordinates(space.hyperparameters())
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
        return np.array([*self._coordinates.of(hyperparameters), *derived])

    def matrix(self, pairs: Sequence[tuple[Mapping[str, Scalar], Mapping[str, Any]]]) -> NDArray[np.float64]:
        """The vectors of many, one in each row."""
        return np.stack([self.vector(*pair) for pair in pairs])
