"""Preview a search by configurations drawn at random: their sizes, and which of them break a constraint.

Nothing is trained; `kansearch.cluster.duration` estimates the time.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from kansearch.engine.feasibility import Feasibility
from kansearch.engine.quantiles import parts
from kansearch.errors import InputError
from kansearch.space import RandomSuggest, Scalar, SearchSpace
from kansearch.space.search_space import Noting
from trials.config import TrialConfig
from trials.files import one_line

__all__ = ["Drawn", "Plan", "Share", "Spread", "draw", "drawing", "least_parameters"]


@dataclass(frozen=True)
class Drawn:
    """A configuration drawn at random."""

    hyperparameters: Mapping[str, Scalar]
    config: TrialConfig | None = None
    sizes: Mapping[str, float] | None = None
    """By the constraints' names; None where it cannot be built."""
    excess: Mapping[str, float] | None = None
    """How far above each bound it lies."""
    problem: str | None = None
    """Why it cannot be built."""

    @property
    def infeasible(self) -> bool:
        """Whether it breaks a constraint."""
        return any(amount > 0 for amount in (self.excess or {}).values())

    @property
    def trainable(self) -> bool:
        """Whether a search would train it."""
        return self.problem is None and not self.infeasible


@dataclass(frozen=True)
class Spread:
    """How a size is distributed: its least, 10 %, 50 %, 90 % and greatest value."""

    least: float
    tenth: float
    median: float
    ninetieth: float
    greatest: float


@dataclass(frozen=True)
class Share:
    """Counts of what becomes of configurations with one option of one hyperparameter, or a third of its range."""

    hyperparameter: str
    option: str
    drawn: int
    infeasible: int
    invalid: int


@dataclass(frozen=True)
class Plan:
    """Configurations drawn from a space, and what they tell of it."""

    space: SearchSpace
    drawn: Sequence[Drawn]

    @property
    def infeasible(self) -> int:
        """How many break a constraint."""
        return sum(each.infeasible for each in self.drawn)

    @property
    def trainable(self) -> list[Drawn]:
        """Those that a search would train."""
        return [each for each in self.drawn if each.trainable]

    def broken(self) -> dict[str, int]:
        """How many break each constraint."""
        over = Counter(name for each in self.drawn for name, amount in (each.excess or {}).items() if amount > 0)
        return {str(name): over[str(name)] for name in self.space.constraints}

    def invalid(self) -> dict[str, int]:
        """How many cannot be built, by the reason, the most frequent first."""
        return dict(Counter(each.problem for each in self.drawn if each.problem is not None).most_common())

    def spreads(self) -> dict[str, Spread]:
        """Quantiles of each size, over all configurations that can be built, infeasible ones included.

        The mapping is empty where none can be built.
        """
        import numpy as np

        known = [each.sizes for each in self.drawn if each.sizes is not None]
        return {
            name: Spread(*map(float, np.quantile([sizes[name] for sizes in known], (0, 0.1, 0.5, 0.9, 1))))
            for name in (known[0] if known else ())
        }

    def shares(self) -> list[Share]:
        """The `Share` of each option of each choice and each third of each range, in the order of the file."""
        return list(self._shares())

    def _shares(self) -> Iterator[Share]:
        for name, distribution in self.space.hyperparameters().items():
            having = [each for each in self.drawn if name in each.hyperparameters]
            for option, holds in parts(distribution):
                chosen = [each for each in having if holds(each.hyperparameters[name])]
                invalid = sum(each.problem is not None for each in chosen)
                yield Share(name, option, len(chosen), sum(each.infeasible for each in chosen), invalid)

    def document(self) -> dict[str, Any]:
        """Return the plan as JSON."""
        return {
            "study": self.space.study,
            "constraints": dict(self.space.constraints),
            "configurations": len(self.drawn),
            "trainable": len(self.trainable),
            "infeasible": self.infeasible,
            "broken": self.broken(),
            "invalid": [{"reason": reason, "configurations": count} for reason, count in self.invalid().items()],
            "sizes": {name: asdict(spread) for name, spread in self.spreads().items()},
            "choices": [asdict(share) for share in self.shares()],
        }


def draw(
    space: SearchSpace,
    count: int,
    progress: Callable[[int], None] = lambda done: None,
    data_dir: Path | None = None,
    device: str | None = None,
) -> Plan:
    """Return a plan of the first `count` configurations of `drawing`; `progress` learns how many there are so far."""
    drawn = []
    for each in islice(drawing(space, data_dir, device), count):
        drawn.append(each)
        progress(len(drawn))
    return Plan(space, drawn)


def drawing(space: SearchSpace, data_dir: Path | None = None, device: str | None = None) -> Iterator[Drawn]:
    """Yield configurations drawn at random by `search.seed`, each counted as a search would before it trains.

    device: on which peak memory is estimated, "cpu" or "cuda"; None: the GPU where there is one.
    """
    rng = random.Random(space.search.seed)
    feasibility = Feasibility({str(name): bound for name, bound in space.constraints.items()}, data_dir=data_dir)
    while True:
        yield _draw(space, rng, feasibility, data_dir, device)


def least_parameters(space: SearchSpace, count: int = 200, data_dir: Path | None = None) -> float:
    """Find about the fewest parameters that a network of a space can have; infinity where none can be built.

    Half of `count` configurations are drawn at random, half with the lowest integers.
    """
    rng, feasibility = random.Random(space.search.seed), Feasibility({}, data_dir=data_dir)
    least = math.inf
    for index in range(count):
        try:
            config = space.sample(_Lowest(rng) if index % 2 else RandomSuggest(rng))
        except InputError:
            continue
        sizes = feasibility.sizes(config, ["parameters"])
        least = least if sizes is None else min(least, sizes["parameters"])
    return least


class _Lowest(RandomSuggest):
    """Draws at random, but for integers, which are the lowest."""

    def integer(self, name: str, low: int, high: int, log: bool, step: int) -> int:
        return low


def _draw(
    space: SearchSpace, rng: random.Random, feasibility: Feasibility, data_dir: Path | None, device: str | None
) -> Drawn:
    from trials.training import measure

    suggest = Noting(RandomSuggest(rng))
    try:
        config = space.sample(suggest)
    except InputError as error:
        return Drawn(suggest.noted, problem=str(error).removeprefix(f"{space.file}: "))
    try:
        sizes = measure(config, device=device, threads=max(1, int(space.search.cpus_per_trial)), data_dir=data_dir)
    except (ValueError, RuntimeError) as error:
        return Drawn(suggest.noted, config, problem=one_line(error))
    return Drawn(suggest.noted, config, sizes, feasibility.over(sizes))
