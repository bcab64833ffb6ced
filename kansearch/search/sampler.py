"""From a search space to proposals: Optuna's samplers, and the adapter by which a space asks a trial for values."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kansearch.space import SearchSettings

if TYPE_CHECKING:
    import optuna

__all__ = ["OptunaSuggest", "build_sampler"]


def build_sampler(settings: SearchSettings, trials_so_far: int) -> optuna.samplers.BaseSampler:
    """The sampler of `settings`. `trials_so_far` enters its seed: a resumed search doesn't propose the same again."""
    import numpy as np
    import optuna

    seed = int(np.random.SeedSequence([settings.seed, trials_so_far]).generate_state(1)[0])
    if settings.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # multivariate, group, constant_liar
        return optuna.samplers.TPESampler(
            n_startup_trials=settings.startup_trials, multivariate=True, group=True, constant_liar=True, seed=seed
        )


class OptunaSuggest:
    """A search space's `Suggest`, answered by an Optuna trial."""

    def __init__(self, trial: optuna.Trial) -> None:
        self._trial = trial

    def categorical(self, name: str, options: Sequence[Any]) -> Any:
        return self._trial.suggest_categorical(name, options)

    def integer(self, name: str, low: int, high: int, log: bool, step: int) -> int:
        return self._trial.suggest_int(name, low, high, log=log, step=step)

    def float_(self, name: str, low: float, high: float, log: bool, step: float | None) -> float:
        return self._trial.suggest_float(name, low, high, log=log, step=step)
