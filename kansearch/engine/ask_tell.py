"""`AskTell`: what a search does whoever runs its trials. It proposes, commits what comes back, and stops weak trials.

    ask()             the next trial to run; None while there is none
    tell(number, …)   measurements of epochs; True: stop this trial now
    fail(number, …)   the trial ended badly
    lost(number, …)   its worker is gone: it is handed out again, to go on from its checkpoint

Ray Tune (`kansearch.cluster.tune`) and a simulated clock (`kansearch.bench.simulator`) drive it alike. It remembers
nothing that the study doesn't hold. Trials that a driver left running are handed out first, under the same number, to
go on from their checkpoints. The scheduler's rungs and the budget are rebuilt from what the trials reported.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kansearch.engine.budget import Budget
from kansearch.engine.feasibility import Feasibility
from kansearch.engine.halving import build_halving
from kansearch.engine.proposer import Proposed, Proposer
from kansearch.engine.retries import enlarged, given_up_for_memory, given_up_lost, noted_for_memory
from kansearch.engine.work import Assignment, epoch_of
from kansearch.errors import KansearchError
from kansearch.study.records import Proposal, TrialRecord
from kansearch.study.study import Study

__all__ = ["AskTell"]

_MOST_REFUSED_IN_A_ROW = 1000


class AskTell:
    """Ask and tell on a study, within its budget.

    Args:
        study: where trials live.
        max_concurrent: trials that run at once.
        stopping: whether no trial may be started any more.
        changed: called with the record of a trial after each change that was committed.
        records: what the study holds, if that was read already.
        data_dir: where the data set's files are looked for, if their number is not known.
        feasibility: checks the constraints; by default sizes are counted on torch's meta device.
        proposer: makes the proposals.
    """

    def __init__(
        self,
        study: Study,
        max_concurrent: int,
        stopping: Callable[[], bool],
        changed: Callable[[TrialRecord], None],
        records: Sequence[TrialRecord] | None = None,
        data_dir: Path | None = None,
        feasibility: Feasibility | None = None,
        proposer: type[Proposer] = Proposer,
    ) -> None:
        self._study = study
        self._settings = study.space.search
        self._max_concurrent = max_concurrent
        self._stopping = stopping
        self._changed = changed
        records = study.records() if records is None else records
        self._waiting = deque(record.number for record in records if record.state == "running")
        self._chosen = deque(study.chosen(len(records)))
        self._live: dict[int, int] = {}  # times the usual resources that each has
        self._held: dict[int, float] = {}  # device-seconds of each before it was handed out
        bounds = {str(name): bound for name, bound in study.space.constraints.items()}
        threads = max(1, int(self._settings.cpus_per_trial))
        self._feasibility = feasibility or Feasibility(bounds, threads=threads, data_dir=data_dir)
        self._proposer = proposer.of_study(study, records, self._feasibility)
        self.budget = Budget(self._settings, study.objectives, records)
        self.halving = build_halving(self._settings, study.objectives)
        if self.halving is not None:
            self.halving.replay(records)

    @property
    def live(self) -> frozenset[int]:
        """Numbers of the trials that run now."""
        return frozenset(self._live)

    @property
    def waiting(self) -> frozenset[int]:
        """Numbers of the trials that go on as soon as they are asked for."""
        return frozenset(self._waiting)

    @property
    def overspent(self) -> str | None:
        """Which budget has ended, and with it the trials that run; None while none has."""
        return self.budget.overspent

    @property
    def exhausted(self) -> bool:
        """Whether there will be nothing more to ask for. A live trial may lose its worker and wait again."""
        if self._stopping() or self.overspent is not None:
            return True
        return not self._live and not self._waiting and self.budget.full(0)

    def ask(self, crowded: bool = False) -> Assignment | None:
        """The next trial to run; None while as many as may run do, or none may be started.

        A trial with twice the resources waits until there is room for it, and lets no other pass by; `crowded`: it
        does not.
        """
        occupied = len(self._live) if crowded else sum(self._live.values())
        if occupied >= self._max_concurrent:
            return None
        if not self._waiting and self.budget.full(len(self._live)):
            return None
        record = self._study.record(self._waiting[0]) if self._waiting else self._new()
        double = enlarged(record.losses)
        shares = min(2, self._max_concurrent) if double else 1
        if not crowded and occupied + shares > self._max_concurrent:
            return None
        if self._waiting:
            self._waiting.popleft()
        self._live[record.number] = shares
        self._held[record.number] = record.held_seconds or 0.0
        return Assignment(record.number, record.config, 2 if double else 1)

    def _new(self) -> TrialRecord:
        refused: list[tuple[Proposal, str]] = []
        while len(refused) < _MOST_REFUSED_IN_A_ROW:
            proposed = self._proposer.propose(self._chosen.popleft() if self._chosen else None)
            excess = self._feasibility.excess(proposed.config)
            if all(amount <= 0 for amount in excess.values()):
                self._refuse(refused)
                return self._start(proposed)
            refused.append((self._proposer.refuse(proposed, excess), self._feasibility.reason(excess)))
        self._refuse(refused)
        raise KansearchError(
            f"{_MOST_REFUSED_IN_A_ROW} configurations in a row break the constraints "
            f"{dict(self._study.space.constraints)}: widen them, or narrow the space"
        )

    def _refuse(self, refused: Sequence[tuple[Proposal, str]]) -> None:
        """Commit configurations that break the constraints, all at once."""
        for record in self._study.refuse_many(refused) if refused else ():
            self._changed(record)

    def _start(self, proposed: Proposed) -> TrialRecord:
        record = self._study.start(proposed.proposal)
        self._proposer.started(proposed, record.number)
        self._changed(record)
        return record

    def rungs(self, number: int) -> list[int]:
        """Epochs after which the scheduler judges a trial; all of them where a budget may end at each."""
        record = self._study.record(number)
        if self._settings.epochs_budget is not None or self._settings.device_budget is not None:
            return list(range(1, record.stored.epochs))
        if self.halving is None:
            return []
        return list(self.halving.epochs_of_rungs(record.first_number, record.stored.epochs))

    def tell(self, number: int, results: Sequence[Mapping[str, Any]], seconds: float | None = None) -> bool:
        """Commit epochs of a live trial, and the decision on it, in one transaction.

        seconds: device-seconds since it was handed out; None: those of its epochs. True: it is to be stopped, and is
        noted as pruned.
        """
        before = self._study.record(number)
        new = [epoch_of(result) for result in results if result["epoch"] > before.epochs]
        held = None if seconds is None else self._held.get(number, 0.0) + seconds
        record = replace(
            before, curve=[*before.curve, *new], held_seconds=before.held_seconds if held is None else held
        )
        self.budget.spend(before, record)
        if record.epochs >= record.stored.epochs:
            self._end(self._study.complete(number, new, seconds=held))
            return False
        decision = self.halving.decide(record) if self.halving is not None else None
        rungs = self.halving.noted(number) if self.halving is not None and decision is not None else None
        if decision is None or decision.goes_on:
            self._changed(self._study.add_epochs(number, new, rungs, held))
            return False
        self._end(self._study.prune(number, f"stopped by {self._settings.scheduler} at {decision}", new, rungs, held))
        return True

    def grow(self, max_concurrent: int) -> None:
        """Let more run at once."""
        self._max_concurrent = max_concurrent

    def fail(self, number: int, reason: str) -> None:
        """Commit that a live trial ended badly."""
        self._end(self._study.fail(number, reason))

    def lost(self, number: int, reason: str) -> None:
        """The worker of a live trial is gone. The trial is handed out again, at most `retries` times."""
        given_up = given_up_lost(self._study.record(number).losses, reason, self._settings.retries)
        if given_up is None:
            self._again(number, reason)
        else:
            self.fail(number, given_up)

    def out_of_memory(self, number: int, reason: str) -> None:
        """A live trial ran out of memory. It is handed out again once, with twice the resources."""
        given_up = given_up_for_memory(self._study.record(number).losses, reason)
        if given_up is None:
            self._again(number, noted_for_memory(reason))
        else:
            self.fail(number, given_up)

    def _again(self, number: int, reason: str) -> None:
        del self._live[number], self._held[number]
        self._waiting.appendleft(number)
        self._changed(self._study.note_loss(number, reason))

    def _end(self, record: TrialRecord) -> None:
        del self._live[record.number], self._held[record.number]
        self._proposer.ended(record)
        self.budget.finish(record)
        self._changed(record)
