"""A search on a simulated clock: the searcher, scheduler and study of a real one, without Ray and without waiting.

Workers take trials from `AskTell` and report an epoch each time one would have ended; what a trial reports is analytic
(`kansearch.bench.problems`) or recorded (`kansearch.bench.recorded`). The study is an Optuna study in memory. Same
arguments, same search.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kansearch.bench.problems import OBJECTIVES, Searchable
from kansearch.engine.ask_tell import AskTell
from kansearch.engine.proposer import Proposer
from kansearch.space import SearchSettings, SearchSpace
from kansearch.study.objectives import costs
from kansearch.study.records import TrialRecord
from kansearch.study.storage import Opened
from kansearch.study.study import Study

__all__ = ["MemoryStudy", "Run", "hypervolume_of", "simulate"]


class MemoryStudy(Study):
    """A study that is gone when its process is."""

    def __init__(self, space: SearchSpace) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage = optuna.storages.InMemoryStorage()
        directions = list(space.objectives.values())
        study = optuna.create_study(study_name=space.study, storage=storage, directions=directions)
        super().__init__(Path(space.study), "memory", "", Opened(study, storage))
        self.__dict__["space"] = space  # in place of the cached property


@dataclass(frozen=True)
class Run:
    """A simulated search: its trials, and the hypervolume after so many device-seconds, each time a trial completed."""

    records: Sequence[TrialRecord]
    seconds: Sequence[float]
    hypervolumes: Sequence[float]

    def at(self, seconds: float) -> float:
        """Hypervolume once `seconds` device-seconds are spent."""
        known = [volume for spent, volume in zip(self.seconds, self.hypervolumes, strict=True) if spent <= seconds]
        return known[-1] if known else 0.0

    def reached(self, hypervolume: float) -> float:
        """Device-seconds after which the hypervolume was that large; infinite if it never was."""
        pairs = zip(self.seconds, self.hypervolumes, strict=True)
        return next((spent for spent, volume in pairs if volume >= hypervolume), float("inf"))


def simulate(
    problem: Searchable,
    settings: SearchSettings,
    device_seconds: float,
    *,
    conditional: bool = True,
    workers: int = 4,
    proposer: type[Proposer] = Proposer,
) -> Run:
    """Search `problem` with `workers` workers until `device_seconds` are spent, or the budget of trials.

    Hypervolume counts complete trials alone, with the accuracy they would have without noise.
    """
    space = replace(problem.space(conditional), search=settings)
    study = MemoryStudy(space)
    clock = _Clock(problem, settings.seed)
    search = AskTell(
        study,
        workers,
        lambda: clock.spent >= device_seconds,
        clock.changed,
        feasibility=problem.feasibility(conditional),
        proposer=proposer,
    )
    clock.run(search, device_seconds)
    return Run(study.records(), clock.seconds, clock.hypervolumes)


class _Clock:
    """Plays back the curves of the running trials in the order of simulated time."""

    def __init__(self, problem: Searchable, seed: int) -> None:
        self._problem = problem
        self._seed = seed
        self.spent = 0.0
        self.seconds: list[float] = []
        self.hypervolumes: list[float] = []
        self._points: list[list[float]] = []

    def run(self, search: AskTell, device_seconds: float) -> None:
        now = 0.0
        due: list[tuple[float, int, int]] = []  # time, trial, epochs done by then
        curves = {}
        while self.spent < device_seconds:
            while not search.exhausted and (assignment := search.ask()) is not None:
                number = assignment.number
                curves[number] = self._problem.curve(assignment.config, np.random.default_rng([self._seed, number]))
                heapq.heappush(due, (now + curves[number][0]["seconds"], number, 1))
            if not due:
                return
            now, number, epoch = heapq.heappop(due)
            result = curves[number][epoch - 1]
            self.spent += result["seconds"]
            search.tell(number, [result])
            if search.overspent is not None:
                return
            if number in search.live:
                heapq.heappush(due, (now + result["seconds"], number, epoch + 1))
            else:
                del curves[number]

    def changed(self, record: TrialRecord) -> None:
        """Note the hypervolume after a trial that completed."""
        if record.state == "complete":
            last = self._problem.curve(record.config)[-1]
            self._points.append(costs(OBJECTIVES, last))
            self.seconds.append(self.spent)
            self.hypervolumes.append(_volume(self._points))


def hypervolume_of(points: Sequence[dict[str, float]]) -> float:
    """Hypervolume of objectives' values, for example a known front's, on the scale of every study."""
    return _volume([costs(OBJECTIVES, point) for point in points])


def _volume(points: Sequence[Sequence[float]]) -> float:
    import moocore

    return float(moocore.hypervolume(np.array(points), ref=[1.0] * len(OBJECTIVES)))
