"""Which configurations `tests.benchmarks.record` trains, and in which order: the same for the same space and seed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import qmc

from kansearch.space import Scalar, SearchSpace
from kansearch.space.unit import UnitSuggest
from trials.config import TrialConfig

__all__ = ["Draw", "Sequence", "order"]


@dataclass(frozen=True)
class Draw:
    """The configuration at `index`, from 0, of the sequence, and the hyperparameters that make it."""

    index: int
    hyperparameters: Mapping[str, Scalar]
    config: TrialConfig


class Sequence:
    """Scrambled Sobol' points (Owen 1998, doi 10.1006/jcom.1998.0487) of a space, a coordinate for each hyperparameter
    of every branch; so every first part of the sequence, 2^k points best, covers the space evenly."""

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._space, self._seed = space, seed
        self._names = list(space.hyperparameters())
        self._points = np.empty((0, len(self._names)))

    def at(self, index: int) -> Draw:
        """The configuration at `index`."""
        if index >= len(self._points):
            power = max(10, math.ceil(math.log2(index + 1)))
            self._points = qmc.Sobol(len(self._names), scramble=True, seed=self._seed).random_base2(power)
        suggest = UnitSuggest(dict(zip(self._names, self._points[index].tolist(), strict=True)))
        config = self._space.sample(suggest)
        return Draw(index, suggest.asked, config)


def order(configurations: int, repeated: int, seeds: int) -> Iterator[tuple[int, int]]:
    """(configuration, seed), both from 0: every configuration with seed 0, and among them the first `repeated` with the
    other seeds, evenly spread, each after its own first run. So whatever has been done is the first part of it all."""
    done = 0
    for number in range(configurations):
        yield number, 0
        while done < repeated and (done + 1) * configurations <= (number + 1) * repeated:
            yield from ((done, seed) for seed in range(1, seeds))
            done += 1
