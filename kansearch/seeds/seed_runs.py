"""`SeedRuns`: the trainings of a confirmation, handed out one by one, each committed before it goes on.

It is to a confirmation what `kansearch.engine.ask_tell.AskTell` is to a search (`kansearch.engine.work.Work`). But the
list is fixed: nothing is proposed, nothing is stopped early.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kansearch.cluster.checkpoints import checkpoints_at
from kansearch.engine.retries import enlarged, given_up_for_memory, given_up_lost, noted_for_memory
from kansearch.engine.work import Assignment, epoch_of
from kansearch.space import SearchSettings
from kansearch.study.records import TrialRecord
from kansearch.study.seeds import SeedRecord, SeedStore
from kansearch.study.stored_config import StoredConfig
from kansearch.study.study import Study
from trials.results import TEST

__all__ = ["SeedRuns", "after", "unfinished"]


def unfinished(trials: Sequence[TrialRecord], seeds: int, kept: Sequence[SeedRecord]) -> list[SeedRecord]:
    """List the trainings of `trials` that are still to do, with `seeds` new seeds for each trial.

    The new seeds are `config.seed + 1`, `config.seed + 2`, and so on. The seed that the search had is none of them:
    with that seed the trial was good enough to be chosen.

    Trainings that were begun come first. The others follow: the first seed of every trial, then the second. A training
    that failed because the machine lost its workers is tried again, with new retries; other failures are results.
    """
    known = {record.key: record for record in kept}
    wanted = [_new(trial, offset) for offset in range(1, seeds + 1) for trial in trials]
    found = [known.get(record.key, record) for record in wanted]
    again = [replace(each, state="running", reason=None, losses=()) if each.lost else each for each in found]
    left = [each for each in again if each.state == "running"]
    return sorted(left, key=lambda each: each.key not in known)


def _new(trial: TrialRecord, offset: int) -> SeedRecord:
    seed = trial.config.seed + offset
    config = StoredConfig.of(trial.config.model_copy(update={"seed": seed}))
    return SeedRecord(trial.number, "running", stored=config, seed=seed)


def after(record: SeedRecord, results: Sequence[Mapping[str, Any]]) -> SeedRecord:
    """Return what is known of a training after more results of `train_seed`; those that are known are skipped."""
    new = [epoch_of(result) for result in results if result["epoch"] > record.epochs]
    record = replace(record, curve=[*record.curve, *new])
    test = results[-1].get(TEST)
    return record if test is None else replace(record, state="complete", test=test)


class SeedRuns:
    """A fixed list of trainings. Numbers are places in it.

    Args:
        study: whose trials are trained again.
        store: keeps what comes back.
        runs: what to train.
        max_concurrent: how many run at once.
        stopping: whether none may be started any more.
        changed: called with each record after a change that was committed.
    """

    overspent: str | None = None
    """There is no budget."""

    def __init__(
        self,
        study: Study,
        store: SeedStore,
        runs: Sequence[SeedRecord],
        max_concurrent: int,
        stopping: Callable[[], bool],
        changed: Callable[[SeedRecord], None],
    ) -> None:
        self._study = study
        self._store = store
        self._settings: SearchSettings = study.space.search
        self._runs = list(runs)
        self._waiting = deque(range(len(self._runs)))
        self._live: dict[int, int] = {}  # times the usual resources that each has
        self._max_concurrent = max_concurrent
        self._stopping = stopping
        self._changed = changed

    @property
    def live(self) -> frozenset[int]:
        """Numbers of the trainings that run now."""
        return frozenset(self._live)

    @property
    def exhausted(self) -> bool:
        """Whether there will be nothing more to ask for."""
        return self._stopping() or not (self._live or self._waiting)

    def ask(self) -> Assignment | None:
        """The next one to train; None while as many as may run do. One with twice the resources waits for room."""
        if not self._waiting:
            return None
        number = self._waiting[0]
        record = self._runs[number]
        double = enlarged(record.losses)
        shares = min(2, self._max_concurrent) if double else 1
        if sum(self._live.values()) + shares > self._max_concurrent:
            return None
        self._waiting.popleft()
        self._live[number] = shares
        self._commit(number, record)
        return Assignment(number, record.config, 2 if double else 1)

    def record(self, number: int) -> SeedRecord:
        """Return the record of a training."""
        return self._runs[number]

    def place(self, number: int) -> str:
        """Where the trainings of its trial keep their checkpoints, each under its seed."""
        return f"{self._study.confirm_checkpoints}/{self._runs[number].number:05d}"

    def rungs(self, number: int) -> list[int]:
        """Nothing is ever stopped."""
        return []

    def tell(self, number: int, results: Sequence[Mapping[str, Any]], seconds: float) -> bool:
        """Commit epochs, and with the last one the test split's figures. No training is ever stopped early."""
        before = self._runs[number]
        record = after(before, results)
        if record.state == "complete":
            self._end(number, replace(record, values=record.confirmed(self._study.objectives)))
        elif record.epochs > before.epochs:
            self._commit(number, record)
        return False

    def grow(self, max_concurrent: int) -> None:
        """Let more run at once."""
        self._max_concurrent = max_concurrent

    def fail(self, number: int, reason: str) -> None:
        """Commit that it ended badly."""
        self._end(number, replace(self._runs[number], state="fail", reason=reason))

    def lost(self, number: int, reason: str) -> None:
        """Its worker is gone: it is handed out again, at most `search.retries` times."""
        given_up = given_up_lost(self._runs[number].losses, reason, self._settings.retries)
        if given_up is None:
            self._again(number, reason)
        else:
            self.fail(number, given_up)

    def out_of_memory(self, number: int, reason: str) -> None:
        """It ran out of memory: it is handed out again once, with twice the resources."""
        given_up = given_up_for_memory(self._runs[number].losses, reason)
        if given_up is None:
            self._again(number, noted_for_memory(reason))
        else:
            self.fail(number, given_up)

    def _again(self, number: int, reason: str) -> None:
        del self._live[number]
        self._waiting.appendleft(number)
        record = self._runs[number]
        self._commit(number, replace(record, losses=[*record.losses, reason]))

    def _end(self, number: int, record: SeedRecord) -> None:
        del self._live[number]
        self._commit(number, record)
        if not record.lost:  # which may go on another time
            checkpoints_at(self.place(number)).forget(replace(record, number=record.seed))

    def _commit(self, number: int, record: SeedRecord) -> None:
        self._store.save(record)
        self._runs[number] = record
        self._changed(record)
