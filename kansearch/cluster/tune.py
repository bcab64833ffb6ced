"""Ray Tune's side of a search: `StudySearcher` asks for workers, `StudyScheduler` takes what they tell.

Both only translate Ray's ids and words for `kansearch.cluster.workers`; Ray Tune's own state is disposable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ray.tune import Stopper
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from kansearch.cluster.trainable import Report
from kansearch.cluster.workers import Workers

__all__ = ["StudyCallback", "StudyScheduler", "StudySearcher"]

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
        """A worker has ended. `StudyScheduler` has been told if it was lost."""

    def save(self, checkpoint_path: str) -> None:
        """The study is saved already."""


class StudyScheduler(_Disposable, FIFOScheduler):
    """Takes what each worker tells, and hears of lost ones.

    Args:
        workers: who commits what happened.
        handles: takes the workers' processes, by Ray Tune's id.
        check: raises where the whole cluster is to blame for a lost worker.
    """

    def __init__(self, workers: Workers, handles: dict[str, Any], check: Callable[[], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._workers = workers
        self._handles = handles
        self._check = check

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        key = trial.trial_id
        if "worker" in result:
            handle = self._handles[key] = result["worker"]
            self._workers.ready(key, result["seat"], handle.hand.remote)
        self._workers.heard(key, Report.from_text(result["report"]) if "report" in result else None)
        return self.CONTINUE

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        self._check()  # or neither the trial nor its worker is to blame
        report = str(trial.get_error() or "")
        self._workers.gone(trial.trial_id, _cause(report), _KILLED_FOR_MEMORY in report)


class StudyCallback(_Disposable, Stopper):
    """Called at each step of Ray Tune: ends workers that hang, and everything as soon as `ended` says so.

    What runs then is left to be resumed.

    Args:
        workers: who commits what happened.
        handles: of the workers' processes, by Ray Tune's id.
        tick: called some times a second.
        ended: whether the search is to end.
    """

    def __init__(
        self, workers: Workers, handles: Mapping[str, Any], tick: Callable[[], None], ended: Callable[[], bool]
    ) -> None:
        self._workers = workers
        self._handles = handles
        self._tick = tick
        self._ended = ended

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        import ray

        self._tick()
        for key in self._workers.hung():
            ray.kill(self._handles[key])
        return self._ended()


def _cause(report: str) -> str:
    lines = [line.strip() for line in report.splitlines() if line.strip()]
    causes = [line for line in lines if "died" in line or "Error" in line or "killed" in line]
    return (causes[:1] or lines[-1:] or ["no report"])[0][:_LONGEST_CAUSE]
