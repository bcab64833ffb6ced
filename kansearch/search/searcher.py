"""Ray Tune's side of a search: `StudySearcher` asks for workers, `StudyScheduler` takes what they tell.

Both only translate Ray's ids and words for `kansearch.search.workers`; Ray Tune's own state is disposable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ray.tune import Callback, Stopper
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from kansearch.search.obstacles import check_alive
from kansearch.search.trainable import Report
from kansearch.search.workers import Workers

__all__ = ["Attendant", "StopAll", "StudyScheduler", "StudySearcher"]

_KILLED_FOR_MEMORY = "OutOfMemoryError"  # Ray's, when it kills a worker of a machine that runs out of memory
_LONGEST_CAUSE = 280


class _Disposable:
    """Ray Tune pickles what it is given into a snapshot that nothing here ever reads: leave nothing in it."""

    def __reduce__(self) -> tuple[type[object], tuple[()]]:
        return object, ()


class StudySearcher(_Disposable, Searcher):
    """Asks for one Ray Tune trial for each worker that is wanted.

    Args:
        workers: who runs what.
        configuration: of each worker.
    """

    def __init__(self, workers: Workers, configuration: dict[str, Any]) -> None:
        super().__init__()
        self._workers = workers
        self._configuration = configuration

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        """The configuration of another worker, None to be asked again later, or `FINISHED`, for good."""
        if self._workers.work.exhausted:
            return Searcher.FINISHED
        if not self._workers.missing:
            return None
        self._workers.started(trial_id)
        return dict(self._configuration)

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """`StudyScheduler` has taken it already."""

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """A worker has ended. `Attendant` has been told if it was lost."""

    def save(self, checkpoint_path: str) -> None:
        """The study is saved already."""


class StudyScheduler(_Disposable, FIFOScheduler):
    """Takes what each worker tells."""

    def __init__(self, workers: Workers, handles: dict[str, Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._workers = workers
        self._handles = handles

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        key = trial.trial_id
        if "worker" in result:
            handle = self._handles[key] = result["worker"]
            self._workers.ready(key, result["seat"], handle.hand.remote)
        self._workers.heard(key, Report.from_text(result["report"]) if "report" in result else None)
        return self.CONTINUE


class Attendant(_Disposable, Callback):
    """Tells of lost workers, of which Ray tells no `Searcher`; ends hung ones; calls `tick` at each step.

    Args:
        workers: who commits what happened.
        handles: of the workers' processes, by Ray Tune's id.
        tick: called some times a second.
    """

    def __init__(self, workers: Workers, handles: Mapping[str, Any], tick: Callable[[], None]) -> None:
        self._workers = workers
        self._handles = handles
        self._tick = tick

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        import ray

        self._tick()
        for key in self._workers.hung():
            ray.kill(self._handles[key])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        check_alive()  # or neither the trial nor its worker is to blame
        report = str(trial.get_error() or "")
        self._workers.gone(trial.trial_id, _cause(report), _KILLED_FOR_MEMORY in report)


class StopAll(_Disposable, Stopper):
    """Stops Ray Tune as soon as `stopping` says so; what runs then is left to be resumed."""

    def __init__(self, stopping: Callable[[], bool]) -> None:
        self._stopping = stopping

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._stopping()


def _cause(report: str) -> str:
    lines = [line.strip() for line in report.splitlines() if line.strip()]
    causes = [line for line in lines if "died" in line or "Error" in line or "killed" in line]
    return (causes[:1] or lines[-1:] or ["no report"])[0][:_LONGEST_CAUSE]
