"""A recorded benchmark as a problem for simulated searches: `RecordedProblem("fashion_mnist")`.

Trials report what the surrogate (`kansearch.bench.surrogate`) says, with the noise of a seed; searches are judged by
what it says without. Device-seconds are those of the recording, whose runs shared the GPU.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kansearch.bench.counting import BLOCKS
from kansearch.bench.problems import OBJECTIVES
from kansearch.bench.surrogate import Surrogate, hyperparameters_of, load_surrogate
from kansearch.bench.table import FOLDER, Recording, load_recording, recordings
from kansearch.engine.feasibility import Feasibility
from kansearch.errors import KansearchError
from kansearch.space import SearchSpace
from trials.config import TrialConfig

__all__ = ["RecordedProblem", "recorded_problems"]

_FULL_TRIALS = 60
"""Trials to their end that the usual device-seconds are for."""


@dataclass(frozen=True)
class RecordedProblem:
    """The benchmark `name`, in a folder. It has one space, with branches; `conditional` changes nothing."""

    name: str
    folder: Path = FOLDER

    def space(self, conditional: bool) -> SearchSpace:
        """The recording's."""
        space = _recording(self).space
        if space.objectives != OBJECTIVES:
            raise KansearchError(f"recorded benchmark {self.name}: its objectives are {dict(space.objectives)}")
        return space

    def feasibility(self, conditional: bool) -> Feasibility:
        """The recording's constraints, on sizes counted by formula."""
        bounds = {str(name): bound for name, bound in self.space(conditional).constraints.items()}
        return _Counted(bounds, _surrogate(self))

    def curve(self, config: TrialConfig, rng: np.random.Generator | None = None) -> list[dict[str, Any]]:
        """Every epoch's result of a trial with `config`; without `rng` there is no noise."""
        document = config.model_dump(mode="json")
        row, seconds = _truth(self, json.dumps(document))
        return _surrogate(self).results(row, seconds, document, rng)

    def front(self, conditional: bool) -> list[dict[str, float]]:
        """The best that is known of the surrogate, without noise."""
        fitted = _recording(self).about["surrogate"]
        return [{"accuracy": accuracy, "parameters": size} for accuracy, size in fitted["front"]]

    def about(self) -> str:
        """Describe what was recorded, and how far off the surrogate is."""
        recording = _recording(self)
        about = recording.about
        held_out, call = about["surrogate"]["held_out"], about["calls"][0]
        changed = ", ".join(each for each in about["overrides"] if not each.startswith("epochs="))
        where = f"{recording.space.study} with {changed}" if changed else recording.space.study
        where += "" if recording.blocks == BLOCKS else ", networks built of the blocks of an earlier version"
        return (
            f"{self.name}: {about['runs']:,} runs of {about['configurations']:,} configurations of {where}, "
            f"{about['epochs']} epochs, {call['hardware']}, {call['workers']} at once; surrogate, on "
            f"{held_out['configurations']} configurations held out: last accuracy "
            f"{held_out['accuracy_median_error']:.2f} points off (median; mean {held_out['accuracy_mean_error']:.2f}), "
            f"rank correlation {held_out['rank_correlation']:.3f}; a seed makes "
            f"{held_out['accuracy_median_between_seeds']:.2f} points (median)"
        )

    def device_seconds(self, usual: float) -> float:
        """Device-seconds of 60 trials to their end, on average over the recording's complete runs."""
        recording = _recording(self)
        seconds = [float(run.curves["seconds"].sum()) for run in recording.runs if run.state == "complete"]
        return float(round(_FULL_TRIALS * np.mean(seconds)))


class _Counted(Feasibility):
    def __init__(self, bounds: Mapping[str, float], surrogate: Surrogate) -> None:
        super().__init__(bounds)
        self._surrogate = surrogate

    def excess(self, config: TrialConfig) -> dict[str, float]:
        sizes = self._surrogate.sizes(config.model_dump(mode="json"))
        return self.over({"parameters": sizes.parameters, "flops": sizes.flops})


def recorded_problems() -> list[RecordedProblem]:
    """The problem of each recorded benchmark that comes with kansearch."""
    return [RecordedProblem(name) for name in recordings()]


@cache
def _recording(problem: RecordedProblem) -> Recording:
    return load_recording(problem.name, problem.folder)


@cache
def _surrogate(problem: RecordedProblem) -> Surrogate:
    return load_surrogate(_recording(problem))


@lru_cache(maxsize=1000)
def _truth(problem: RecordedProblem, config: str) -> tuple[NDArray[np.float64], float]:
    """A trial's curve is asked for twice: as it starts, and as it completes."""
    document = json.loads(config)
    return _surrogate(problem).truth(hyperparameters_of(_recording(problem), document), document)
