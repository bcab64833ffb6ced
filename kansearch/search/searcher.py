"""`StudySearcher`: Ray Tune asks it what to run and tells it what came out; the study decides and remembers.

Ray Tune's own state is disposable. Trials that a driver left running are handed out first, under the same number, to go
on from their checkpoints; then the sampler proposes new ones until the budget of finished trials is used up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from ray.tune import Callback, Stopper
from ray.tune.search import Searcher

from kansearch.errors import KansearchError
from kansearch.search.feasibility import Feasibility
from kansearch.search.sampler import OptunaSuggest
from kansearch.search.trainable import FAILURE, Request
from kansearch.study.records import TrialRecord
from kansearch.study.study import Study
from trials.results import EpochResult

__all__ = ["FailureCallback", "StopAll", "StudySearcher"]

_EPOCH_FIELDS = tuple(field.name for field in fields(EpochResult))
_MOST_REFUSED_IN_A_ROW = 1000


class _Disposable:
    """Ray Tune pickles what it is given into a snapshot that nothing here ever reads: leave nothing in it."""

    def __reduce__(self) -> tuple[type[object], tuple[()]]:
        return object, ()


class StudySearcher(_Disposable, Searcher):
    """Ask and tell between Ray Tune and a study.

    Args:
        study: where trials live.
        max_concurrent: trials that run at once.
        request: makes the worker's request from a trial's number and configuration.
        stopping: whether no trial may be started any more.
        changed: called with the record of a trial after each change that was committed.
    """

    def __init__(
        self,
        study: Study,
        max_concurrent: int,
        request: Callable[[int, dict[str, Any]], Request],
        stopping: Callable[[], bool],
        changed: Callable[[TrialRecord], None],
    ) -> None:
        super().__init__()
        self._study = study
        self._max_concurrent = max_concurrent
        self._request = request
        self._stopping = stopping
        self._changed = changed
        self._budget = study.space.search.trials
        self._finished = study.finished()
        self._left_running = study.unfinished()
        self._feasibility = Feasibility({str(name): bound for name, bound in study.space.constraints.items()})
        self._live: dict[str, int] = {}

    # -- asked by Ray Tune --------------------------------------------------------------------------------------------

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        """The next trial to run, None to be asked again later, or `FINISHED`."""
        if self._stopping() or self._finished + len(self._live) >= self._budget:
            return Searcher.FINISHED
        if len(self._live) >= self._max_concurrent:
            return None
        number, config = self._next()
        self._live[trial_id] = number
        return self._request(number, config).as_ray_config()

    def _next(self) -> tuple[int, dict[str, Any]]:
        for _ in range(_MOST_REFUSED_IN_A_ROW):
            trial = self._left_running.pop(0) if self._left_running else self._study.ask()
            config = self._study.space.sample(OptunaSuggest(trial))
            document = config.model_dump(mode="json")
            record = self._study.start(trial, document)
            excess = self._feasibility.excess(config)
            if all(amount <= 0 for amount in excess.values()):
                self._changed(record)
                return trial.number, document
            self._changed(self._study.refuse(trial, excess, self._feasibility.reason(excess)))
        raise KansearchError(
            f"{_MOST_REFUSED_IN_A_ROW} configurations in a row break the constraints "
            f"{dict(self._study.space.constraints)}: widen them, or narrow the space"
        )

    # -- told by Ray Tune ---------------------------------------------------------------------------------------------

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Commit one epoch, or the trial's failure."""
        if trial_id not in self._live:
            return  # the echo of a result that finished the trial
        number = self._live[trial_id]
        if FAILURE in result:
            self.on_failure(trial_id, str(result[FAILURE]))
            return
        record = self._study.add_epoch(number, {name: result.get(name) for name in _EPOCH_FIELDS})
        if record.epochs >= record.config["epochs"]:
            self._end(trial_id, self._study.complete(number))
        else:
            self._changed(record)

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """Ray Tune is done with the trial. `on_trial_result` or `FailureCallback` has committed how it ended."""

    def on_failure(self, trial_id: str, reason: str) -> None:
        """Commit that a live trial ended badly."""
        self._end(trial_id, self._study.fail(self._live[trial_id], reason))

    def _end(self, trial_id: str, record: TrialRecord) -> None:
        del self._live[trial_id]
        self._finished += 1
        self._changed(record)

    def save(self, checkpoint_path: str) -> None:
        """The study is saved already."""

    @property
    def live(self) -> Mapping[str, int]:
        """Number of each trial that runs now, by Ray's id."""
        return self._live


class FailureCallback(_Disposable, Callback):
    """Tells the searcher why Ray Tune gave up a trial, which Ray tells no `Searcher`; calls `tick` at each step."""

    def __init__(self, searcher: StudySearcher, tick: Callable[[], None]) -> None:
        self._searcher = searcher
        self._tick = tick

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._tick()

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
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
