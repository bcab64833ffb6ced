"""`Workers`: which worker runs which trial. Knows no Ray: a worker is a key, and a way to hand it a trial.

A worker that has nothing to do is given what the search proposes next. A trial with twice the resources takes the share
of a second worker of the same GPU, which waits meanwhile; until one GPU has two free workers, nobody gets anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from kansearch.cluster.interruptions import INTERRUPTION
from kansearch.cluster.trainable import FAILURE, KIND, MEMORY, Report, Request
from kansearch.cluster.watchdog import Watchdog
from kansearch.engine.work import Assignment, Work
from kansearch.errors import InterruptionError, KansearchError

__all__ = ["Workers"]

_MOST_FAILED_STARTS = 5


@dataclass
class _Worker:
    asked: float
    """When it was asked for, on the clock."""
    seat: str = ""
    """The GPU, or the machine, whose resources it has."""
    hand: Callable[[str | None], object] | None = None
    """None until it is ready."""
    number: int | None = None
    """The trial that it runs."""
    lent_to: str | None = None
    """The worker that has its share for the time being."""

    @property
    def free(self) -> bool:
        return self.hand is not None and self.number is None and self.lent_to is None


class Workers:
    """Hands out trials and commits what comes back.

    Args:
        work: what is to be run.
        request: makes a worker's request of it.
        watchdog: told what is handed out and heard.
        wanted: how many workers there are to be.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        work: Work,
        request: Callable[[Assignment], Request],
        watchdog: Watchdog,
        wanted: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.work = work
        self.wanted = wanted
        self._request = request
        self._watchdog = watchdog
        self._clock = clock
        self._workers: dict[str, _Worker] = {}
        self._parked: Assignment | None = None  # waits for two free workers of one GPU
        self._failed_starts = 0

    @property
    def missing(self) -> bool:
        """Whether another worker is to be started."""
        return len(self._workers) < self.wanted

    def started(self, key: str) -> None:
        """A worker is being started."""
        self._workers[key] = _Worker(self._clock())

    def late(self, seconds: float) -> int:
        """How many workers were asked for longer ago than this and are not ready."""
        now = self._clock()
        return sum(worker.hand is None and now - worker.asked > seconds for worker in self._workers.values())

    def ready(self, key: str, seat: str, hand: Callable[[str | None], object]) -> None:
        """A worker is ready. `hand` gives it a request's text, or None to take its trial away."""
        worker = self._workers[key]
        worker.seat, worker.hand = seat, hand
        self._failed_starts = 0

    def heard(self, key: str, report: Report | None) -> None:
        """Commit what a worker tells of its trial; then hand out what there is."""
        worker = self._workers[key]
        if report is not None and report.assignment == worker.number:
            self._watchdog.heard(
                report.assignment, [result["seconds"] for result in report.results if "epoch" in result]
            )
            stop = self._told(report)
            if stop or report.ended:
                self._freed(key)
                if not report.ended and worker.hand is not None:
                    worker.hand(None)
        self.hand_out()

    def hand_out(self) -> None:
        """Give trials to workers, as long as there are both."""
        while any(worker.free for worker in self._workers.values()):
            if self.work.exhausted:
                return
            assignment = self._parked or self.work.ask()
            if assignment is None:
                return
            self._parked = None
            if not self._seated(assignment):
                self._parked = assignment
                return

    def gone(self, key: str, cause: str, for_memory: bool) -> None:
        """Commit that a worker is lost, and its trial with it. Raises KansearchError where no worker comes up."""
        worker = self._workers.get(key)
        if worker is None:
            return
        number = worker.number
        self._freed(key)
        del self._workers[key]
        if worker.hand is None:
            self._failed_starts += 1
            if self._failed_starts >= _MOST_FAILED_STARTS:
                raise KansearchError(f"no worker comes up, {self._failed_starts} were tried; the last one: {cause}")
        if number is not None:
            (self.work.out_of_memory if for_memory else self.work.lost)(number, f"worker lost: {cause}")

    def hung(self) -> Iterator[str]:
        """Give up trials that have been silent for too long; the workers to be ended."""
        for number, reason in self._watchdog.silent():
            key = next((key for key, worker in self._workers.items() if worker.number == number), None)
            if key is not None:
                self._freed(key)
                self.work.fail(number, reason)
                del self._workers[key]
                yield key

    # -- one trial ----------------------------------------------------------------------------------------------------

    def _told(self, report: Report) -> bool:
        """Commit a report. True: the trial is to be stopped."""
        last = report.results[-1] if report.results else {FAILURE: "it ended without a result", KIND: "error"}
        if INTERRUPTION in last:
            raise InterruptionError(str(last[INTERRUPTION]))
        epochs = [result for result in report.results if "epoch" in result]
        stop = self.work.tell(report.assignment, epochs, report.seconds) if epochs else False
        if FAILURE in last and not stop:
            give_up = self.work.out_of_memory if last[KIND] == MEMORY else self.work.fail
            give_up(report.assignment, str(last[FAILURE]))
        return stop

    def _seated(self, assignment: Assignment) -> bool:
        """Give a trial to a worker, if one GPU has room for it."""
        free = {key: worker for key, worker in self._workers.items() if worker.free}
        for key, worker in free.items():
            peers = [other for other, each in free.items() if each.seat == worker.seat and other != key]
            others = sum(each.seat == worker.seat for each in self._workers.values()) - 1
            needed = min(assignment.shares - 1, others)
            if len(peers) >= needed:
                for other in peers[:needed]:
                    self._workers[other].lent_to = key
                self._give(worker, assignment)
                return True
        return False

    def _give(self, worker: _Worker, assignment: Assignment) -> None:
        assert worker.hand is not None, "a free worker is ready"
        worker.number = assignment.number
        self._watchdog.started(assignment.number)
        worker.hand(replace(self._request(assignment), assignment=assignment.number).text)

    def _freed(self, key: str) -> None:
        """A worker's trial has ended, and what was lent to it is free again."""
        worker = self._workers[key]
        if worker.number is not None:
            self._watchdog.ended(worker.number)
        worker.number = None
        for other in self._workers.values():
            if other.lent_to == key:
                other.lent_to = None
