"""`FrontSampler`: an Optuna sampler for several objectives, some of which are known before a trial runs.

    FrontSampler(known=[1], measure=lambda params: [size(params)])   any Optuna study whose objective 1 is known
    SAMPLERS["front"]                                                a search of kansearch

A proposal is the candidate of the largest expected hypervolume improvement (`kansearch.engine.improvement`). Objectives
that are known enter it exactly; the others are predicted by a forest (`kansearch.engine.forest`) from

    the hyperparameters     those of one name in several branches share a coordinate (`kansearch.space.vectors`)
    the known objectives    on the scale of costs
    the share of training   its logarithm: a trial that was stopped early teaches too, at each of its rungs

Trials that run count with what is predicted of them. Candidates are drawn from the whole space and around the front,
each known exactly before it is scored; what must not run is dropped. They are kept over some proposals, so that one
proposal has few to look at.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from optuna.samplers import BaseSampler, RandomSampler

from kansearch.engine.candidates import Candidates, Hyperparameters, SeenCandidates
from kansearch.engine.forest import Forest
from kansearch.engine.halving import crowding_distance
from kansearch.engine.improvement import Belief, boxes, expected_gain
from kansearch.engine.observations import RUNGS, Axis, Measure, Observations
from kansearch.space.vectors import Coordinates

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

__all__ = ["RUNGS", "Axis", "FrontSampler", "Measure"]

_Floats = NDArray[np.float64]
_FRESH, _FIRST, _KEPT = 4, 16, 40
"""Candidates of either kind that a proposal draws; times that many before the first one; proposals that each is kept
for."""
_BOXES = 2000
_LEAST_SPREAD = 1e-3


class _Candidate(NamedTuple):
    params: Hyperparameters
    vector: tuple[float, ...]


class FrontSampler(BaseSampler):
    """Proposes the configuration that promises the most hypervolume.

    Args:
        known: places of the objectives that are known before a trial runs.
        measure: their values for a configuration; None where it must not run. Without it every configuration may run.
        axes: how each objective counts; None: by its values, scaled by what was seen.
        candidates: draws configurations; None: like the trials that were seen.
        startup_trials: trials to learn from before it begins; it draws at random until then.
        random_share: share of the proposals that are drawn at random all the same.
        seed: of every draw; None: another one each time.
    """

    def __init__(
        self,
        *,
        known: Sequence[int] = (),
        measure: Measure = lambda params: (),
        axes: Sequence[Axis] | None = None,
        candidates: Candidates | None = None,
        startup_trials: int = 10,
        random_share: float = 0.25,
        seed: int | None = None,
    ) -> None:
        self._known, self._measure, self._axes = known, measure, axes
        self._candidates = candidates
        self._startup, self._random_share = startup_trials, random_share
        self._independent = RandomSampler(seed)
        self._rng = np.random.default_rng(seed)
        self._forget()

    def _forget(self) -> None:
        self._observed: Observations | None = None
        self._forest = Forest()
        self._drawn = deque[_Candidate](maxlen=_FRESH * _KEPT)
        self._varied = deque[_Candidate](maxlen=_FRESH * _KEPT)

    def reseed_rng(self) -> None:
        """Draw anew, for a process of its own."""
        self._rng = np.random.default_rng()
        self._independent.reseed_rng()

    def infer_relative_search_space(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Every hyperparameter that is known; a trial takes those that it asks for."""
        from kansearch.engine.samplers import optuna_distribution

        candidates = self._candidates or SeenCandidates(study.get_trials(deepcopy=False))
        return {name: optuna_distribution(each) for name, each in candidates.distributions.items()}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: optuna.trial.FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A value at random, where nothing was proposed."""
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def sample_relative(
        self, study: optuna.Study, trial: optuna.trial.FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Hyperparameters of the best candidate; empty where the trial is drawn at random."""
        if "fixed_params" in trial.system_attrs or not search_space or self._rng.random() < self._random_share:
            return {}
        trials = [each for each in study.get_trials(deepcopy=False) if each.number != trial.number]
        candidates = self._candidates or SeenCandidates(trials)
        observed = self._observations(study, candidates)
        observed.update([each for each in trials if each.state.is_finished() or candidates.whole(each.params)])
        if observed.count < self._startup:
            return {}
        self._draw(observed, candidates)
        return self._best(observed)

    def _observations(self, study: optuna.Study, candidates: Candidates) -> Observations:
        """The same until the space changes."""
        coordinates = Coordinates(candidates.distributions)
        if self._observed is None or self._observed.coordinates != coordinates:
            self._forget()
            axes = self._axes or [_axis(direction.name) for direction in study.directions]
            self._observed = Observations(coordinates, axes, self._known, self._measure, self._axes is None)
        return self._observed

    def _draw(self, observed: Observations, candidates: Candidates) -> None:
        """Draw candidates: some of the whole space, as many around the front."""
        front = observed.front()
        for kept in (self._drawn, self._varied):
            for _ in range(_FRESH if kept else _FIRST * _FRESH):
                if kept is self._drawn or not front:
                    params = candidates.draw(self._rng)
                else:
                    params = candidates.vary(front[int(self._rng.integers(len(front)))], self._rng)
                vector = observed.vector(params)
                if vector is not None:
                    kept.append(_Candidate(params, vector))

    def _best(self, observed: Observations) -> dict[str, Any]:
        """The hyperparameters of the candidate that promises most; empty where there is none."""
        pool = [each for each in (*self._drawn, *self._varied) if not observed.tried(each.params)]
        if not pool:
            return {}
        if observed.unknown:
            self._forest.fit(*observed.table(), self._rng)
        points = np.concatenate([observed.front_costs(), self._expected(observed, observed.running())])
        gains = expected_gain(self._beliefs(observed, [each.vector for each in pool]), *_boxes(points))
        return dict(pool[int(gains.argmax())].params)

    def _beliefs(self, observed: Observations, vectors: Sequence[tuple[float, ...]]) -> list[Belief]:
        """One belief for each objective: what is known or predicted of configurations."""
        found: dict[int, Belief] = {}
        for place, costs in zip(observed.known, observed.known_costs(vectors).T, strict=True):
            found[place] = Belief(costs, np.zeros(len(costs)))
        if observed.unknown:
            mean, spread = self._forest.predict(observed.full(vectors))
            for column, place in enumerate(observed.unknown):
                wide = np.maximum(spread[:, column], _LEAST_SPREAD)
                found[place] = Belief(mean[:, column], wide, observed.logarithmic(place))
        return [found[place] for place in sorted(found)]

    def _expected(self, observed: Observations, vectors: Sequence[tuple[float, ...]]) -> _Floats:
        """Costs (N, M) that configurations are expected to end with."""
        if not vectors:
            return np.zeros((0, len(observed.known) + len(observed.unknown)))
        return np.stack([each.median for each in self._beliefs(observed, vectors)], axis=1)


def _axis(direction: str) -> Axis:
    return Axis((lambda value: -value) if direction == "MAXIMIZE" else (lambda value: value))


def _boxes(points: _Floats) -> tuple[_Floats, _Floats]:
    """Boxes up to a reference of 1, of at most about `_BOXES`: a larger front is thinned where it is crowded."""
    import moocore

    points = points[(points < 1).all(axis=1)]
    if len(points):
        points = points[moocore.is_nondominated(points)]
    objectives = points.shape[1]
    most = int(_BOXES ** (1 / max(objectives - 1, 1)))
    if len(points) > most:
        distance = crowding_distance(points, np.arange(len(points), dtype=np.float64))
        points = points[np.sort(np.argsort(-distance, kind="stable")[:most])]
    return boxes(points, np.ones(objectives))
