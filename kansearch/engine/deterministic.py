"""`Lockstep`: the same trials, regardless of the timing of their workers.

Each trial has a slot, as many as trials run at once. What workers report waits until it is its slot's turn. Slots take
turns, an epoch each. A slot whose trial has ended is given the next one before the turn passes on. So what is proposed,
compared and stopped depends on the results alone. A worker may run ahead of its turns; what it trained beyond the epoch
at which its trial was stopped is thrown away.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from kansearch.engine.ask_tell import AskTell
from kansearch.engine.work import Assignment

__all__ = ["Lockstep"]

_Event = Callable[[], bool]  # done in a slot's turn; whether the turn then passes on


class Lockstep:
    """Stands between workers and an `AskTell`, whose methods of the same names it has.

    Args:
        search: the search to drive; nobody else drives it.
        workers: the number of slots, on which the search depends as on its seed.
    """

    def __init__(self, search: AskTell, workers: int) -> None:
        self._search = search
        self._slots: list[int | None] = [None] * workers
        self._turn = 0
        self._events: dict[int, deque[_Event]] = {}
        self._heard: dict[int, int] = {}  # the last epoch of each trial
        self._handed_out: deque[Assignment] = deque()
        self._stopped: set[int] = set()
        for slot in range(workers):
            self._fill(slot)

    @property
    def live(self) -> frozenset[int]:
        """Numbers of the trials whose results are still wanted."""
        return frozenset(self._events)

    @property
    def overspent(self) -> str | None:
        """The same as `AskTell.overspent`."""
        return self._search.overspent

    @property
    def exhausted(self) -> bool:
        """Whether `AskTell.exhausted` holds and no trial waits here to be run."""
        return self._search.exhausted and not self._handed_out

    def ask(self) -> Assignment | None:
        """The next trial to run; None while there is none."""
        return self._handed_out.popleft() if self._handed_out else None

    def rungs(self, number: int) -> list[int]:
        """The same as `AskTell.rungs`."""
        return self._search.rungs(number)

    def tell(self, number: int, results: Sequence[Mapping[str, Any]], seconds: float | None = None) -> bool:
        """Take epochs of a trial. True: the trial must stop; perhaps it was stopped some epochs ago."""
        for result in results:
            epoch = int(result["epoch"])
            if number in self._events and epoch > self._heard.get(number, 0):
                self._heard[number] = epoch
                self._take(number, partial(self._tell, number, result, seconds))
        return number in self._stopped

    def grow(self, max_concurrent: int) -> None:
        """The number of slots stays: the search depends on it."""

    def fail(self, number: int, reason: str) -> None:
        """Take a trial's bad end."""
        self._take(number, lambda: self._fail(number, reason))

    def lost(self, number: int, reason: str) -> None:
        """A worker is gone. Its trial's turns wait for the next worker, which comes to the same results."""
        self._take(number, lambda: self._retry(number, lambda: self._search.lost(number, reason)))

    def out_of_memory(self, number: int, reason: str) -> None:
        """A trial ran out of memory. Its turns wait for the next worker, as in `lost`."""
        self._take(number, lambda: self._retry(number, lambda: self._search.out_of_memory(number, reason)))

    def _tell(self, number: int, result: Mapping[str, Any], seconds: float | None) -> bool:
        if self._search.tell(number, [result], seconds):
            self._stopped.add(number)
        return True

    def _fail(self, number: int, reason: str) -> bool:
        self._search.fail(number, reason)
        return True

    def _retry(self, number: int, give_up: Callable[[], None]) -> bool:
        """A trial that is to run again keeps its slot and its turn."""
        give_up()
        if number not in self._search.waiting:
            return True
        assignment = self._search.ask(crowded=True)
        assert assignment is not None and assignment.number == number, "the last one lost is the next one asked for"
        self._handed_out.append(assignment)
        return False

    def _take(self, number: int, event: _Event) -> None:
        if number in self._events:
            self._events[number].append(event)
            self._advance()

    def _advance(self) -> None:
        """Handle what waits, as far as the turns go."""
        while any(number is not None for number in self._slots) and self._search.overspent is None:
            number = self._slots[self._turn]
            if number is not None:
                if not self._events[number]:
                    return
                if not self._events[number].popleft()():
                    continue
                self._free(self._turn, number)
            self._fill(self._turn)
            self._turn = (self._turn + 1) % len(self._slots)

    def _free(self, slot: int, number: int) -> None:
        if number not in self._search.live:
            del self._events[number]
            self._slots[slot] = None

    def _fill(self, slot: int) -> None:
        if self._slots[slot] is not None or self._search.exhausted:
            return
        assignment = self._search.ask(crowded=True)
        if assignment is not None:
            self._slots[slot] = assignment.number
            self._events[assignment.number] = deque()
            self._handed_out.append(assignment)
