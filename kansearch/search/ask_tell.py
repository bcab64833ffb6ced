"""`AskTell`: what a search does whoever runs its trials. It proposes, commits what comes back, and stops weak trials.

    ask()             number and configuration of the next trial to run, until `exhausted`
    tell(number, …)   one epoch's measurements; True: stop this trial now
    fail(number, …)   the trial ended badly

Ray Tune (`kansearch.search.searcher`) and a simulated clock (`kansearch.search.simulator`) drive it alike. It remembers
nothing that the study doesn't hold: trials that a driver left running are handed out first, under the same number, to
go on from their checkpoints, and the scheduler's rungs are rebuilt from what the trials reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from kansearch.errors import KansearchError
from kansearch.search.feasibility import Feasibility
from kansearch.search.halving import build_halving
from kansearch.search.sampler import OptunaSuggest
from kansearch.study.records import TrialRecord
from kansearch.study.study import Study
from trials.results import EpochResult

__all__ = ["AskTell"]

_EPOCH_FIELDS = tuple(field.name for field in fields(EpochResult))
_MOST_REFUSED_IN_A_ROW = 1000


class AskTell:
    """Ask and tell on a study, within its budget of finished trials.

    Args:
        study: where trials live.
        max_concurrent: trials that run at once.
        stopping: whether no trial may be started any more.
        changed: called with the record of a trial after each change that was committed.
    """

    def __init__(
        self,
        study: Study,
        max_concurrent: int,
        stopping: Callable[[], bool],
        changed: Callable[[TrialRecord], None],
    ) -> None:
        self._study = study
        self._space = study.space
        self._max_concurrent = max_concurrent
        self._stopping = stopping
        self._changed = changed
        self._finished = study.finished()
        self._left_running = study.unfinished()
        self._feasibility = Feasibility({str(name): bound for name, bound in self._space.constraints.items()})
        self._live: set[int] = set()
        self.halving = build_halving(self._space.search, study.objectives)
        if self.halving is not None:
            self.halving.replay(study.records())

    @property
    def live(self) -> frozenset[int]:
        """Numbers of the trials that run now."""
        return frozenset(self._live)

    @property
    def exhausted(self) -> bool:
        """Whether no more trials are to be asked for."""
        return self._stopping() or self._finished + len(self._live) >= self._space.search.trials

    def ask(self) -> tuple[int, dict[str, Any]] | None:
        """The next trial to run; None while as many as may run do."""
        if len(self._live) >= self._max_concurrent:
            return None
        number, config = self._next()
        self._live.add(number)
        return number, config

    def _next(self) -> tuple[int, dict[str, Any]]:
        for _ in range(_MOST_REFUSED_IN_A_ROW):
            trial = self._left_running.pop(0) if self._left_running else self._study.ask()
            config = self._space.sample(OptunaSuggest(trial))
            document = config.model_dump(mode="json")
            record = self._study.start(trial, document)
            excess = self._feasibility.excess(config)
            if all(amount <= 0 for amount in excess.values()):
                self._changed(record)
                return trial.number, document
            self._changed(self._study.refuse(trial, excess, self._feasibility.reason(excess)))
        raise KansearchError(
            f"{_MOST_REFUSED_IN_A_ROW} configurations in a row break the constraints "
            f"{dict(self._space.constraints)}: widen them, or narrow the space"
        )

    def tell(self, number: int, result: Mapping[str, Any]) -> bool:
        """Commit one epoch of a live trial. True: it is to be stopped, and is noted as pruned."""
        record = self._study.add_epoch(number, {name: result.get(name) for name in _EPOCH_FIELDS})
        if record.epochs >= record.config["epochs"]:
            self._end(self._study.complete(number))
            return False
        reason = self._weak(record)
        if reason is not None:
            self._end(self._study.prune(number, reason))
            return True
        self._changed(record)
        return False

    def _weak(self, record: TrialRecord) -> str | None:
        """Why the trial is to be stopped, if it is. A verdict is committed before it is carried out."""
        verdict = self.halving.decide(record) if self.halving is not None else None
        if self.halving is None or verdict is None:
            return None
        self._study.note_rungs(record.number, self.halving.noted(record.number))
        return None if verdict.goes_on else f"stopped by {self._space.search.scheduler} at {verdict}"

    def fail(self, number: int, reason: str) -> None:
        """Commit that a live trial ended badly."""
        self._end(self._study.fail(number, reason))

    def _end(self, record: TrialRecord) -> None:
        self._live.remove(record.number)
        self._finished += 1
        self._changed(record)
