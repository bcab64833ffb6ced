"""`Proposer`: Optuna's sampler on a study in memory, which holds what the sampler is to learn from and nothing else.

A proposal is complete before the durable study hears of it, so that it is committed in one transaction, and a sampler
never waits for a database. Samplers whose cost grows with each trial they look at see a window of the search:

    tpe, gp, front   the best half-window by non-dominated rank, and the newest trials
    random           none: it learns nothing
    others           all; the place of nsga2 and nsga3 in their generations, and of qmc and grid in their
                     sequences, is in them
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kansearch.engine.feasibility import Feasibility
from kansearch.engine.front_search import RUNGS, rungs_of
from kansearch.engine.samplers import OptunaSuggest, build_sampler, optuna_distribution
from kansearch.space import Direction, SearchSpace
from kansearch.space.samplers import SAMPLERS
from kansearch.study.objectives import signed
from kansearch.study.records import Proposal, TrialRecord
from kansearch.study.study import Study
from trials.config import TrialConfig

if TYPE_CHECKING:
    import optuna

__all__ = ["Prior", "Proposed", "Proposer"]

Prior = tuple[Mapping[str, Any], Mapping[str, float]]
"""Hyperparameters of a trial of another study, and its objectives."""


@dataclass(frozen=True)
class Proposed:
    """A configuration that was proposed, and what the study is to keep of it. `key` is its trial's in memory."""

    proposal: Proposal
    key: int

    @property
    def config(self) -> TrialConfig:
        """The configuration."""
        return self.proposal.config


class Proposer:
    """Proposes configurations of a space.

    Args:
        space: the search space, with its sampler.
        trials: what the sampler is to know of a study.
        priors: what is known from elsewhere, for samplers that learn.
        proposed: how many trials the study has, if not those alone; it enters the seed.
        feasibility: counts sizes; by default on torch's meta device.
    """

    def __init__(
        self,
        space: SearchSpace,
        trials: Sequence[optuna.trial.FrozenTrial],
        priors: Sequence[Prior] = (),
        proposed: int | None = None,
        feasibility: Feasibility | None = None,
    ) -> None:
        self._space = space
        self._feasibility = feasibility or Feasibility({})
        self._window = SAMPLERS[space.search.sampler].window
        self._keys: dict[int, int] = {}
        self._proposed = len(trials) if proposed is None else proposed
        self._remember([*self._prior_trials(priors), *trials])

    @classmethod
    def of_study(cls, study: Study, records: Sequence[TrialRecord], feasibility: Feasibility | None = None) -> Proposer:
        """Go on where a study stands, whose trials are `records`; those outside of the window are not read."""
        names = [str(name) for name in study.objectives]
        ended = [
            _Ended(record.state != "running", [record.values[name] for name in names] if record.values else None)
            for record in records
        ]
        window = SAMPLERS[study.space.search.sampler].window
        numbers = (
            None if window is None else [records[index].number for index in _seen(ended, window, study.objectives)]
        )
        trials = study.optuna_trials(numbers)
        if SAMPLERS[study.space.search.sampler].rungs:
            known = {record.number: record for record in records if record.state != "infeasible"}
            trials = [
                _with_rungs(trial, known[trial.number], study.objectives) if trial.number in known else trial
                for trial in trials
            ]
        proposer = cls(study.space, trials, study.priors(), len(records), feasibility)
        for key, value in study.sequence.items():
            proposer._storage.set_study_system_attr(proposer._study_id, key, value)
        return proposer

    def propose(self, fixed: Mapping[str, Any] | None = None) -> Proposed:
        """A new configuration. Hyperparameters in `fixed` have the values given there."""
        self._move_window()
        if fixed:
            self._study.enqueue_trial(dict(fixed))
        with self._at_random_now_and_then():
            trial = self._study.ask()
            config = self._space.sample(OptunaSuggest(trial))
        self._proposed += 1
        key = self._key(trial.number)
        return Proposed(self._proposal(config, key), key)

    @contextmanager
    def _at_random_now_and_then(self) -> Iterator[None]:
        settings, sampler = self._space.search, self._study.sampler
        draw = np.random.default_rng([settings.seed, self._proposed]).random()
        usual = SAMPLERS[settings.sampler].random_share
        if usual is not None and draw < (usual if settings.random_share is None else settings.random_share):
            at_random = replace(self._space, search=settings.model_copy(update={"sampler": "random"}))
            self._study.sampler = build_sampler(at_random, self._proposed, self._feasibility.sizes)
        yield
        self._study.sampler = sampler

    def sequence(self) -> dict[str, Any]:
        """Where qmc stands; the study keeps it beside its trials."""
        attributes = self._storage.get_study_system_attrs(self._study_id)
        return {key: value for key, value in attributes.items() if key.startswith("qmc:")}

    def refuse(self, proposed: Proposed, excess: Mapping[str, float]) -> Proposal:
        """The configuration breaks a constraint, by so much; the sampler is told."""
        import optuna

        trial = optuna.Trial(self._study, proposed.key)
        for name, amount in excess.items():
            trial.set_constraint(name, amount)
        self._end(proposed.key, "PRUNED")
        return self._proposal(proposed.config, proposed.key)

    def started(self, proposed: Proposed, number: int) -> None:
        """The configuration runs as trial `number`."""
        self._keys[number] = proposed.key

    def ended(self, record: TrialRecord) -> None:
        """A trial that runs has ended."""
        key = self._keys.pop(record.number)
        if SAMPLERS[self._space.search.sampler].rungs:
            objectives = {str(name): direction for name, direction in self._space.objectives.items()}
            self._storage.set_trial_user_attr(key, RUNGS, rungs_of(record, objectives))
        self._end(key, *self.told(record))

    def told(self, record: TrialRecord) -> tuple[str, Sequence[float] | None]:
        """Optuna's state of a trial that has ended, and its values: a stopped one has none (see `build_sampler`)."""
        values = [record.values[str(name)] for name in self._space.objectives] if record.state == "complete" else None
        return record.state.upper(), values

    def _end(self, key: int, state: str, values: Sequence[float] | None = None) -> None:
        import optuna

        self._storage.set_trial_state_values(key, optuna.trial.TrialState[state], values)

    def _proposal(self, config: TrialConfig, key: int) -> Proposal:
        trial = self._storage.get_trial(key)
        return Proposal(config, trial.params, trial.distributions, trial.system_attrs, self.sequence())

    def _key(self, number: int) -> int:
        """The key of the trial that has this number in memory."""
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)

    # -- what the sampler sees ----------------------------------------------------------------------------------------

    def _remember(self, trials: Sequence[optuna.trial.FrozenTrial]) -> None:
        """Go on with a study in memory that has the running trials and those of the window, and a new sampler."""
        import optuna

        storage = optuna.storages.InMemoryStorage()
        study = optuna.create_study(
            storage=storage,
            sampler=build_sampler(self._space, self._proposed, self._feasibility.sizes),
            directions=list(self._space.objectives.values()),
        )
        study_id = storage.get_study_id_from_name(study.study_name)
        running = {key: number for number, key in self._keys.items()}
        for trial in self._shown(trials):
            rungs = {name: value for name, value in trial.user_attrs.items() if name == RUNGS}
            lean = optuna.trial.FrozenTrial(**{**_fields(trial), "user_attrs": rungs})
            key = storage.create_new_trial(study_id, template_trial=lean)
            if not trial.state.is_finished():
                number = trial.number if not running else running.get(self._key(trial.number), trial.number)
                self._keys[number] = key
        self._study, self._storage, self._study_id = study, storage, study_id

    def _move_window(self) -> None:
        if self._window is None:
            return
        trials = self._study.get_trials(deepcopy=False)
        if len(trials) - len(self._keys) > self._window + max(self._window // 2, 100):
            self._remember(trials)

    def _shown(self, trials: Sequence[optuna.trial.FrozenTrial]) -> Sequence[optuna.trial.FrozenTrial]:
        if self._window is None:
            return trials
        objectives = {str(name): direction for name, direction in self._space.objectives.items()}
        ended = [_Ended(trial.state.is_finished(), trial.values) for trial in trials]
        return [trials[index] for index in _seen(ended, self._window, objectives)]

    def _prior_trials(self, priors: Sequence[Prior]) -> list[optuna.trial.FrozenTrial]:
        import optuna

        known = self._space.hyperparameters()
        return [
            optuna.trial.create_trial(
                params=dict(hyperparameters),
                distributions={name: optuna_distribution(known[name]) for name in hyperparameters},
                values=[values[str(name)] for name in self._space.objectives],
            )
            for hyperparameters, values in priors
        ]


def _with_rungs(
    trial: optuna.trial.FrozenTrial, record: TrialRecord, objectives: Mapping[str, Direction]
) -> optuna.trial.FrozenTrial:
    import optuna

    return optuna.trial.FrozenTrial(**{**_fields(trial), "user_attrs": {RUNGS: rungs_of(record, objectives)}})


class _Ended(NamedTuple):
    """Whether a trial has ended, and its objectives if it is complete."""

    finished: bool
    values: Sequence[float] | None


def _seen(trials: Sequence[_Ended], window: int, objectives: Mapping[str, Direction]) -> list[int]:
    """Indices of the unfinished trials, and of `window` finished ones: half of them the best, the rest the newest."""
    finished = [index for index, trial in enumerate(trials) if trial.finished]
    if len(finished) <= window:
        return list(range(len(trials)))
    kept = set(_best(trials, window // 2, objectives))
    for index in reversed(finished):
        if len(kept) >= window:
            break
        kept.add(index)
    return [index for index, trial in enumerate(trials) if index in kept or not trial.finished]


def _best(trials: Sequence[_Ended], count: int, objectives: Mapping[str, Direction]) -> list[int]:
    """Indices of the complete trials of the lowest non-dominated rank; of equal ones the newest."""
    import moocore

    complete = [(index, trial.values) for index, trial in enumerate(trials) if trial.values is not None]
    if not complete or not count:
        return []
    rows = [dict(zip(objectives, values, strict=True)) for _, values in complete]
    order = np.lexsort((-np.arange(len(complete)), moocore.pareto_rank(signed(objectives, rows))))
    return [complete[place][0] for place in order[:count]]


def _fields(trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state,
        "value": None,
        "values": trial.values,
        "datetime_start": trial.datetime_start,
        "datetime_complete": trial.datetime_complete,
        "params": trial.params,
        "distributions": trial.distributions,
        "system_attrs": trial.system_attrs,
        "intermediate_values": {},
        "trial_id": -1,
    }
