"""The front sampler of a kansearch search: its candidates, its axes, and what is known before a trial is trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from kansearch.engine.candidates import Hyperparameters, SpaceCandidates
from kansearch.engine.halving import values_at
from kansearch.engine.observations import RUNGS, Axis
from kansearch.errors import InputError
from kansearch.space import Direction, GivenSuggest, SearchSpace
from kansearch.space.samplers import Sizes
from kansearch.space.unit import UnitSuggest
from kansearch.study.objectives import costs
from kansearch.study.records import TrialRecord
from trials.metrics import METRICS

if TYPE_CHECKING:
    from kansearch.engine.front_sampler import FrontSampler

__all__ = ["RUNGS", "front_sampler", "rungs_of"]

_BETWEEN_RUNGS = 3


def front_sampler(space: SearchSpace, seed: int, sizes: Sizes) -> FrontSampler:
    """The front sampler of a space. Without its own share of random proposals: `Proposer` draws those."""
    from kansearch.engine.front_sampler import FrontSampler

    objectives = [str(name) for name in space.objectives]
    return FrontSampler(
        known=[place for place, name in enumerate(objectives) if METRICS[name].exact],
        measure=_Measure(space, sizes),
        axes=[_axis(str(name), direction) for name, direction in space.objectives.items()],
        candidates=SpaceCandidates(space),
        startup_trials=space.search.startup_trials,
        random_share=0.0,
        seed=seed,
    )


def rungs_of(record: TrialRecord, objectives: Mapping[str, Direction]) -> list[tuple[float, list[float]]]:
    """The attribute `RUNGS` of a trial: after 1, 3, 9, ... epochs, and at its end."""
    epochs = record.stored.epochs
    return [
        (epoch / epochs, list(values_at(record, epoch, objectives).values())) for epoch in _measured_at(record.epochs)
    ]


def _measured_at(epochs: int) -> Iterator[int]:
    epoch = 1
    while epoch < epochs:
        yield epoch
        epoch *= _BETWEEN_RUNGS
    if epochs:
        yield epochs


def _axis(name: str, direction: Direction) -> Axis:
    natural = (direction == "maximize") == METRICS[name].maximize
    return Axis(partial(_cost, name, direction), natural and not METRICS[name].logarithmic)


def _cost(name: str, direction: Direction, value: float) -> float:
    return costs({name: direction}, {name: value})[0]


class _Measure:
    """Values of the objectives that are known of a configuration; None where it is not valid, cannot be built, or
    breaks a constraint."""

    def __init__(self, space: SearchSpace, sizes: Sizes) -> None:
        self._space, self._sizes = space, sizes
        self._exact = [str(name) for name in space.objectives if METRICS[name].exact]
        self._bounds = {str(name): bound for name, bound in space.constraints.items()}
        self._names = sorted({*self._exact, *self._bounds})

    def __call__(self, params: Hyperparameters) -> Sequence[float] | None:
        try:
            config = self._space.sample(GivenSuggest(params, UnitSuggest({})))
        except InputError:
            return None
        sizes = self._sizes(config, self._names) if self._names else {}
        if sizes is None or any(sizes[name] > bound for name, bound in self._bounds.items()):
            return None
        return [sizes[name] for name in self._exact]
