"""How much of an objective's spread each hyperparameter explains by itself.

Functional analysis of variance of a random forest that predicts the objective (Hutter, Hoos and Leyton-Brown 2014;
`optuna.importance.FanovaImportanceEvaluator`). The forest needs the same hyperparameters in every trial, so a branch's
own are looked at among the trials that took the branch, beside those that every trial has. Objectives whose ratios
matter are taken by their logarithm.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from kansearch.report.data import StudyData, Trial
from kansearch.report.geometry import is_logarithmic, value_of

__all__ = ["LEAST_TRIALS", "MOST_TRIALS", "Importance", "importances"]

LEAST_TRIALS = 20
MOST_TRIALS, _MOST_OF_A_BRANCH = 200, 60
_TREES = 12
_SEED = 0


@dataclass(frozen=True)
class Importance:
    """The share of the objective's variance in [0, 1] that a hyperparameter explains; `trials` that have it."""

    name: str
    share: float
    trials: int
    everywhere: bool
    """Whether every complete trial has it."""


def importances(data: StudyData, objective: str) -> list[Importance]:
    """Return the importances, largest first.

    Hyperparameters in fewer than 20 complete trials are left out, as are those that never varied.
    """
    trials = [t for t in data.trials if t.record.state == "complete" and value_of(t.record, objective) is not None]
    found: list[Importance] = []
    common: list[str] = []
    for names, having in _groups(trials):
        everywhere = len(having) == len(trials)
        common = names if everywhere else common
        if len(having) >= LEAST_TRIALS:
            sample = _sample(having, MOST_TRIALS if everywhere else _MOST_OF_A_BRANCH)
            shares = _shares(sample, names if everywhere else [*common, *names], objective)
            found += [Importance(name, shares[name], len(having), everywhere) for name in names if name in shares]
    return sorted(found, key=lambda each: (-each.share, each.name))


def _groups(trials: Sequence[Trial]) -> list[tuple[list[str], list[Trial]]]:
    """Hyperparameters that the same trials have, with those trials; the group of all trials comes first."""
    having: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        for name in trial.hyperparameters:
            having[name].append(trial)
    groups: dict[tuple[int, ...], tuple[list[str], list[Trial]]] = {}
    for name, those in having.items():
        groups.setdefault(tuple(trial.record.number for trial in those), ([], those))[0].append(name)
    return sorted(groups.values(), key=lambda group: -len(group[1]))


def _sample(trials: Sequence[Trial], most: int) -> list[Trial]:
    return random.Random(_SEED).sample(list(trials), most) if len(trials) > most else list(trials)


def _shares(trials: Sequence[Trial], names: Sequence[str], objective: str) -> dict[str, float]:
    """Return the shares of those of `names` that vary among `trials`, which all have them.

    Empty where none varies, where the objective does not, or where fewer than 20 trials have the present ranges.
    """
    import optuna
    from optuna.importance import FanovaImportanceEvaluator

    varied = [name for name in names if len({str(trial.hyperparameters[name]) for trial in trials}) > 1]
    targets = {trial.record.number: _target(trial, objective) for trial in trials}
    if not varied or max(targets.values()) == min(targets.values()):
        return {}
    ranges = {name: trials[-1].distributions[name] for name in varied}  # an override may have changed some
    same = [t for t in trials if all(t.distributions[name] == ranges[name] for name in varied)]
    if len(same) < LEAST_TRIALS:
        return {}
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage())
    study.add_trials(
        [
            optuna.trial.create_trial(
                params={name: trial.hyperparameters[name] for name in varied},
                distributions=ranges,
                value=targets[trial.record.number],
            )
            for trial in same
        ]
    )
    evaluator = FanovaImportanceEvaluator(n_trees=_TREES, seed=_SEED)
    return {name: float(share) for name, share in evaluator.evaluate(study, varied).items()}


def _target(trial: Trial, objective: str) -> float:
    value = value_of(trial.record, objective) or 0.0
    return math.log10(max(value, 1e-12)) if is_logarithmic(objective) else value
