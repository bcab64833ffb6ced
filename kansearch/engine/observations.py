"""The trials of a study as the front sampler learns from them: rows to learn from, and the points of its front.

Values become costs, to be minimised, and reach up to a reference of 1. With an `Axis` for each objective they are its
costs, on the scale of kansearch's hypervolume. Without one, a value is scaled: 0 is the best that was seen, 1 the worst
that is still of interest. That is the worst of the front, or the median if that is worse, and a tenth beyond.

The front is that of all trials. Rows are those of the front's and of the newest trials, so that a long study costs no
more than a short one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kansearch.engine.candidates import Hyperparameters
from kansearch.space.vectors import Coordinates

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

__all__ = ["RUNGS", "Axis", "Measure", "Observations"]

_Floats = NDArray[np.float64]
Measure = Callable[[Hyperparameters], Sequence[float] | None]
"""Values of the objectives that are known of a configuration before it runs; None: it must not run."""
RUNGS = "front:rungs"
"""Attribute of a trial: [share of its training, values of all objectives then] for each time that it was measured."""
_LEAST = 1e-4
_BEYOND = 0.1
_NEWEST = 750
"""Trials to learn from, beside those of the front."""


@dataclass(frozen=True)
class Axis:
    """How an objective's values count: their cost, 0 is best and 1 the reference.

    `logarithmic`: a cost's ratios matter, so that its logarithm is what is predicted.
    """

    cost: Callable[[float], float]
    logarithmic: bool = False


@dataclass(frozen=True, eq=False)
class _Seen:
    """One trial. Costs are not scaled yet.

    `rows` (R, D + 1) and `costs` (R, M) hold one row for each time that it was measured. The last column of `rows` is
    the logarithm of the share of training.
    """

    params: Hyperparameters
    vector: tuple[float, ...]
    rows: _Floats
    costs: _Floats
    final: tuple[float, ...] | None
    running: bool


class Observations:
    """The trials of one study.

    Args:
        coordinates: of the hyperparameters.
        axes: one for each objective.
        known: places of the objectives that are known before a trial runs.
        measure: their values.
        scaled: whether costs are scaled by what was seen.
    """

    def __init__(
        self, coordinates: Coordinates, axes: Sequence[Axis], known: Sequence[int], measure: Measure, scaled: bool
    ) -> None:
        self.coordinates, self._axes, self._measure, self._scaled = coordinates, axes, measure, scaled
        self.known = list(known)
        self.unknown = [place for place in range(len(axes)) if place not in self.known]
        self._seen: dict[int, _Seen | None] = {}
        self._tried: set[frozenset[tuple[str, object]]] = set()
        self._low, self._high = np.zeros(len(axes)), np.ones(len(axes))
        self._front: list[_Seen] = []

    def vector(self, params: Hyperparameters) -> tuple[float, ...] | None:
        """Coordinates of a configuration, and the costs that are known of it; None where it must not run."""
        values = self._measure(params)
        if values is None:
            return None
        known = (self._axes[place].cost(value) for place, value in zip(self.known, values, strict=True))
        return (*self.coordinates.of(params), *known)

    def update(self, trials: Sequence[FrozenTrial]) -> None:
        """Take up what the trials of the study say now."""
        for trial in trials:
            before = self._seen.get(trial.number)
            if trial.number not in self._seen or (before is not None and before.running and trial.state.is_finished()):
                self._seen[trial.number] = self._read(trial)
                self._tried.add(frozenset(trial.params.items()))
        self._trials = [each for each in self._seen.values() if each is not None]
        complete = [each for each in self._trials if each.final is not None]
        finals = np.array([each.final for each in complete]).reshape(len(complete), len(self._axes))
        self._front = [complete[place] for place in np.flatnonzero(_nondominated(finals))]
        if self._scaled and complete:
            self._scale(finals)

    def tried(self, params: Hyperparameters) -> bool:
        """Whether a trial has these hyperparameters."""
        return frozenset(params.items()) in self._tried

    @property
    def count(self) -> int:
        """Trials that can be learned from."""
        return sum(bool(len(each.rows)) for each in self._trials)

    def table(self) -> tuple[_Floats, _Floats]:
        """Rows to learn from.

        Returns:
            vectors with the logarithm of the share of training (R, D + 1), and the costs of the objectives that are not
            known (R, U), or the logarithms of those.
        """
        measured = [each for each in self._trials if len(each.rows)]
        taught = [*{id(each): each for each in (*self._front, *measured[-_NEWEST:])}.values()]
        costs = (np.concatenate([each.costs for each in taught]) - self._low) / (self._high - self._low)
        costs = np.where(np.isnan(costs), 1.0, np.minimum(costs, 1.0))
        latent = [self._latent(costs[:, place], place) for place in self.unknown]
        return np.concatenate([each.rows for each in taught]), np.stack(latent, axis=1)

    def full(self, vectors: Sequence[tuple[float, ...]]) -> _Floats:
        """Rows (N, D + 1) of configurations after all of their training."""
        return np.array([(*vector, 0.0) for vector in vectors])

    def known_costs(self, vectors: Sequence[tuple[float, ...]]) -> _Floats:
        """Costs (N, K) of the objectives that are known."""
        costs = np.array([vector[len(vector) - len(self.known) :] for vector in vectors])
        scaled: _Floats = (costs - self._low[self.known]) / (self._high - self._low)[self.known]
        return scaled

    def front_costs(self) -> _Floats:
        """Costs (N, M) of the complete trials that no other one dominates."""
        costs = np.array([each.final for each in self._front]).reshape(len(self._front), len(self._axes))
        return (costs - self._low) / (self._high - self._low)

    def front(self) -> list[Hyperparameters]:
        """Hyperparameters of the same trials."""
        return [each.params for each in self._front]

    def logarithmic(self, place: int) -> bool:
        """Whether the logarithm of an objective's cost is predicted."""
        return self._axes[place].logarithmic

    def running(self) -> list[tuple[float, ...]]:
        """Vectors of the trials that run."""
        return [each.vector for each in self._trials if each.running]

    def _latent(self, costs: _Floats, place: int) -> _Floats:
        return np.log(np.maximum(costs, _LEAST)) if self._axes[place].logarithmic else costs

    def _read(self, trial: FrozenTrial) -> _Seen | None:
        """None where nothing is known of a trial, or a constraint kept it from running."""
        ended = trial.state.is_finished()
        infeasible = any(amount > 0 for amount in trial.constraints.values())
        final = self._costs(trial.values) if trial.state.name == "COMPLETE" else None
        rungs = [(math.log(share), *self._costs(values)) for share, values in trial.user_attrs.get(RUNGS, [])]
        if final is not None and not any(share == 0 for share, *_ in rungs):
            rungs.append((0.0, *final))
        if trial.state.name == "FAIL":
            rungs = [(0.0, *[math.inf] * len(self._axes))]
        if ended and (not rungs or (infeasible and final is None)):
            return None
        if rungs and trial.state.name != "FAIL":  # what is known was measured too
            known = (rungs[-1][1 + place] for place in self.known)
            vector: tuple[float, ...] | None = (*self.coordinates.of(trial.params), *known)
        else:
            vector = self.vector(trial.params)
        if vector is None:
            return None
        rows = np.array([(*vector, share) for share, *_ in rungs]).reshape(len(rungs), len(vector) + 1)
        costs = np.array([values for _, *values in rungs]).reshape(len(rungs), len(self._axes))
        return _Seen(trial.params, vector, rows, costs, None if infeasible else final, not ended)

    def _costs(self, values: Sequence[float]) -> tuple[float, ...]:
        return tuple(axis.cost(value) for axis, value in zip(self._axes, values, strict=True))

    def _scale(self, finals: _Floats) -> None:
        nadir = np.max([each.final for each in self._front if each.final is not None], axis=0)
        low, high = finals.min(axis=0), np.maximum(nadir, np.median(finals, axis=0))
        high = np.where(high > low, high, low + np.maximum(np.abs(low), 1.0))
        self._low, self._high = low, high + _BEYOND * (high - low)


def _nondominated(points: _Floats) -> NDArray[np.bool_]:
    import moocore

    found: NDArray[np.bool_] = moocore.is_nondominated(points) if len(points) else np.zeros(0, dtype=bool)
    return found
