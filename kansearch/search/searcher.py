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
from kansearch.search.ask_tell import AskTell
from kansearch.search.obstacles import OBSTACLE, check_nodes
from kansearch.search.trainable import FAILURE, Request

__all__ = ["FailureCallback", "StopAll", "StudyScheduler", "StudySearcher"]


class _Disposable:
    """Ray Tune pickles what it is given into a snapshot that nothing here ever reads: leave nothing in it."""

    def __reduce__(self) -> tuple[type[object], tuple[()]]:
        return object, ()


class StudySearcher(_Disposable, Searcher):
    """What Ray Tune runs next.

    Args:
        search: the search itself.
        request: makes the worker's request from a trial's number and configuration.
    """

    def __init__(self, search: AskTell, request: Callable[[int, dict[str, Any]], Request]) -> None:
        super().__init__()
        self._search = search
        self._request = request
        self._live: dict[str, int] = {}

    @property
    def live(self) -> Mapping[str, int]:
        """Number of each trial that runs now, by Ray's id."""
        return self._live

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        """The next trial to run, None to be asked again later, or `FINISHED`."""
        if self._search.exhausted:
            return Searcher.FINISHED
        proposal = self._search.ask()
        if proposal is None:
            return None
        self._live[trial_id] = proposal[0]
        return self._request(*proposal).as_ray_config()

    def tell(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Commit one epoch, or the trial's failure. True: stop the trial."""
        number = self._live.get(trial_id)
        if number is None:
            return False  # the echo of a result that finished the trial
        if OBSTACLE in result:
            raise ObstacleError(str(result[OBSTACLE]))
        if FAILURE in result:
            self.on_failure(trial_id, str(result[FAILURE]))
            return False
        stop = self._search.tell(number, result)
        if number not in self._search.live:
            del self._live[trial_id]
        return stop

    def on_failure(self, trial_id: str, reason: str) -> None:
        """Commit that a live trial ended badly."""
        self._search.fail(self._live.pop(trial_id), reason)

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """`StudyScheduler` has told it already."""

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """Ray Tune is done with the trial. `StudyScheduler` or `FailureCallback` has committed how it ended."""

    def save(self, checkpoint_path: str) -> None:
        """The study is saved already."""


class StudyScheduler(_Disposable, FIFOScheduler):
    """Tells the search each result and stops the trial if it says so."""

    def __init__(self, searcher: StudySearcher) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._searcher = searcher

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        return self.STOP if self._searcher.tell(trial.trial_id, result) else self.CONTINUE


class FailureCallback(_Disposable, Callback):
    """Tells the searcher why Ray Tune gave up a trial, which Ray tells no `Searcher`; calls `tick` at each step."""

    def __init__(self, searcher: StudySearcher, tick: Callable[[], None]) -> None:
        self._searcher = searcher
        self._tick = tick

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._tick()

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        check_nodes()  # or the trial is not to blame
        if trial.trial_id in self._searcher.live:
            self._searcher.on_failure(trial.trial_id, _reason(trial.get_error()))


class StopAll(_Disposable, Stopper):
    """Stops Ray Tune as soon as `stopping` says so; what runs then is left to be resumed."""

    def __init__(self, stopping: Callable[[], bool]) -> None:
        self._stopping = stopping

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._stopping()


def _reason(report: Any) -> str:
    lines = [line.strip() for line in str(report or "").splitlines() if line.strip()]
    causes = [line for line in lines if "died" in line or "Error" in line or "killed" in line]
    cause = (causes or lines or ["no report"])[-1 if not causes else 0]
    return f"worker lost: {cause}"[:300]
