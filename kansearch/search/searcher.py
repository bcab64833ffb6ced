"""Ray Tune's side of a search: `StudySearcher` hands out trials, `StudyScheduler` takes their results, stops the weak.

Both only translate Ray's ids and words for `kansearch.search.ask_tell`; Ray Tune's own state is disposable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ray.tune import Callback, Stopper
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from kansearch.errors import ObstacleError
from kansearch.search.execution import Assignment, Work
from kansearch.search.obstacles import OBSTACLE, check_alive
from kansearch.search.trainable import FAILURE, KIND, MEMORY, Request
from kansearch.search.watchdog import Watchdog

__all__ = ["Attendant", "StopAll", "StudyScheduler", "StudySearcher"]

_KILLED_FOR_MEMORY = "OutOfMemoryError"  # Ray's, when it kills a worker of a machine that runs out of memory
_LONGEST_CAUSE = 280


class _Disposable:
    """Ray Tune pickles what it is given into a snapshot that nothing here ever reads: leave nothing in it."""

    def __reduce__(self) -> tuple[type[object], tuple[()]]:
        return object, ()


class StudySearcher(_Disposable, Searcher):
    """What Ray Tune runs next.

    Args:
        search: the search itself, or whatever else hands out work.
        request: makes the worker's request of what is to be run.
    """

    def __init__(self, search: Work, request: Callable[[Assignment], Request]) -> None:
        super().__init__()
        self._search = search
        self._request = request
        self._live: dict[str, int] = {}

    @property
    def live(self) -> Mapping[str, int]:
        """Number of each trial that runs now, by Ray's id."""
        return self._live

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        """The next trial to run, None to be asked again later, or `FINISHED`, for good."""
        if self._search.exhausted:
            return Searcher.FINISHED
        assignment = self._search.ask()
        if assignment is None:
            return None
        self._live[trial_id] = assignment.number
        return self._request(assignment).as_ray_config()

    def tell(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Commit one epoch, or the trial's failure. True: stop the trial."""
        number = self._live.get(trial_id)
        if number is None:
            return False  # the echo of a result that finished the trial
        if OBSTACLE in result:
            raise ObstacleError(str(result[OBSTACLE]))
        if FAILURE in result:
            del self._live[trial_id]
            give_up = self._search.out_of_memory if result[KIND] == MEMORY else self._search.fail
            give_up(number, str(result[FAILURE]))
            return False
        stop = self._search.tell(number, result)
        if number not in self._search.live:
            del self._live[trial_id]
        return stop

    def on_lost_worker(self, trial_id: str, report: str) -> None:
        """Commit that a trial's worker is gone, with Ray's report of it."""
        number = self._live.pop(trial_id, None)
        if number is None:
            return  # the trial had ended
        give_up = self._search.out_of_memory if _KILLED_FOR_MEMORY in report else self._search.lost
        give_up(number, f"worker lost: {_cause(report)}")

    def on_hung(self, trial_id: str, reason: str) -> None:
        """Commit that a trial is given up because it reports nothing more."""
        self._search.fail(self._live.pop(trial_id), reason)

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """`StudyScheduler` has told it already."""

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """Ray Tune is done with the trial. `StudyScheduler` or `Attendant` has committed how it ended."""

    def save(self, checkpoint_path: str) -> None:
        """The study is saved already."""


class StudyScheduler(_Disposable, FIFOScheduler):
    """Tells the search each result and stops the trial if it says so."""

    def __init__(self, searcher: StudySearcher) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._searcher = searcher

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        return self.STOP if self._searcher.tell(trial.trial_id, result) else self.CONTINUE


class Attendant(_Disposable, Callback):
    """Tells the searcher of lost workers, of which Ray tells no `Searcher`; kills hung ones; calls `tick` at each step.

    Args:
        searcher: who commits what happened.
        watchdog: who knows when a worker hangs.
        tick: called some times a second.
    """

    def __init__(self, searcher: StudySearcher, watchdog: Watchdog, tick: Callable[[], None]) -> None:
        self._searcher = searcher
        self._watchdog = watchdog
        self._tick = tick

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._tick()
        for trial_id, reason in self._watchdog.silent():
            if trial_id in self._searcher.live:
                self._searcher.on_hung(trial_id, reason)
            _kill(next(trial for trial in trials if trial.trial_id == trial_id))

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._watchdog.started(trial.trial_id)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        self._watchdog.heard(trial.trial_id, result.get("seconds"))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._watchdog.ended(trial.trial_id)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._watchdog.ended(trial.trial_id)
        check_alive()  # or neither the trial nor its worker is to blame
        self._searcher.on_lost_worker(trial.trial_id, str(trial.get_error() or ""))


class StopAll(_Disposable, Stopper):
    """Stops Ray Tune as soon as `stopping` says so; what runs then is left to be resumed."""

    def __init__(self, stopping: Callable[[], bool]) -> None:
        self._stopping = stopping

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._stopping()


def _kill(trial: Any) -> None:
    import ray

    actor = trial.temporary_state.ray_actor
    if actor is not None:
        ray.kill(actor)


def _cause(report: str) -> str:
    lines = [line.strip() for line in report.splitlines() if line.strip()]
    causes = [line for line in lines if "died" in line or "Error" in line or "killed" in line]
    return (causes[:1] or lines[-1:] or ["no report"])[0][:_LONGEST_CAUSE]
