"""Which worker runs which trial, without Ray: hand-out, ends, twice the resources, silence, workers that never come."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from kansearch.cluster.interruptions import INTERRUPTION
from kansearch.cluster.trainable import FAILURE, KIND, MEMORY, Report, Request
from kansearch.cluster.watchdog import Watchdog
from kansearch.cluster.workers import Workers
from kansearch.engine.work import Assignment
from kansearch.errors import InterruptionError, KansearchError
from kansearch.space import SearchSettings
from trials.config import TrialConfig


class List:
    """Work from a list, which notes what it is told."""

    overspent = None

    def __init__(self, *assignments: Assignment) -> None:
        self.waiting = deque(assignments)
        self.live: frozenset[int] = frozenset()
        self.told: list[tuple[Any, ...]] = []
        self.stop_at: int | None = None
        self.exhausted = False

    def ask(self) -> Assignment | None:
        assignment = self.waiting.popleft() if self.waiting else None
        if assignment is not None:
            self.live |= {assignment.number}
        return assignment

    def rungs(self, number: int) -> list[int]:
        return []

    def grow(self, max_concurrent: int) -> None: ...

    def tell(self, number: int, results: Sequence[Mapping[str, Any]], seconds: float) -> bool:
        self.told.append(("tell", number, [result["epoch"] for result in results], seconds))
        return results[-1]["epoch"] == self.stop_at

    def fail(self, number: int, reason: str) -> None:
        self._end("fail", number, reason)

    def lost(self, number: int, reason: str) -> None:
        self._end("lost", number, reason)

    def out_of_memory(self, number: int, reason: str) -> None:
        self._end("out of memory", number, reason)

    def _end(self, how: str, number: int, reason: str) -> None:
        self.live -= {number}
        self.told.append((how, number, reason))


CONFIG = TrialConfig.model_validate({"data": {"dataset": "digits"}})


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Crew:
    """Workers by name, each ready on its seat; `handed` is what each was given, None for a trial taken away."""

    def __init__(self, work: List, seats: Mapping[str, str], **settings: Any) -> None:
        self.clock = Clock()
        self.handed: list[tuple[str, int | None]] = []
        watchdog = Watchdog(SearchSettings(**settings), self.clock)
        self.workers = Workers(
            work, lambda each: Request(100, CONFIG, "", None, 1, 0.0), watchdog, len(seats), self.clock
        )
        for key, seat in seats.items():
            assert self.workers.missing
            self.workers.started(key)
            self.workers.ready(key, seat, lambda text, key=key: self._hand(key, text))
        assert not self.workers.missing

    def _hand(self, key: str, text: str | None) -> None:
        self.handed.append((key, None if text is None else Request.from_text(text).assignment))

    def hear(self, key: str, number: int, *results: dict[str, Any], ended: bool = False) -> None:
        self.workers.heard(key, Report(number, list(results), ended, 3.0))


def epoch(number: int) -> dict[str, Any]:
    return {"epoch": number, "seconds": 1.0}


def trials(*numbers: int) -> list[Assignment]:
    return [Assignment(number, CONFIG) for number in numbers]


def test_each_worker_gets_a_trial_and_the_next_one_when_it_ends() -> None:
    work = List(*trials(0, 1, 2))
    crew = Crew(work, {"a": "gpu", "b": "gpu"})
    crew.workers.heard("a", None)
    assert crew.handed == [("a", 0), ("b", 1)]
    crew.hear("a", 0, epoch(1))
    assert len(crew.handed) == 2, "it goes on"
    crew.hear("a", 0, epoch(2), ended=True)
    assert crew.handed[2:] == [("a", 2)]
    crew.hear("b", 1, epoch(1), ended=True)
    assert len(crew.handed) == 3, "there is no more"
    assert work.told == [("tell", 0, [1], 3.0), ("tell", 0, [2], 3.0), ("tell", 1, [1], 3.0)]


def test_a_worker_that_does_not_come_up_is_late() -> None:
    crew = Crew(List(), {"a": "gpu"})
    crew.workers.wanted = 3
    crew.workers.started("b")
    crew.clock.now = 40
    crew.workers.started("c")
    crew.clock.now = 70
    assert [crew.workers.late(60), crew.workers.late(20)] == [1, 2]
    crew.workers.ready("b", "gpu", lambda text: None)
    assert crew.workers.late(60) == 0


def test_a_trial_that_is_stopped_is_taken_away_and_what_it_still_says_is_not_heard() -> None:
    work = List(*trials(0, 1))
    work.stop_at = 3
    crew = Crew(work, {"a": "gpu"})
    crew.workers.heard("a", None)
    crew.hear("a", 0, epoch(1), epoch(2), epoch(3))
    assert crew.handed == [("a", 0), ("a", None), ("a", 1)]
    crew.hear("a", 0, epoch(4))
    assert work.told == [("tell", 0, [1, 2, 3], 3.0)]


@pytest.mark.parametrize(("kind", "how"), [("error", "fail"), (MEMORY, "out of memory")])
def test_a_failure_is_told_after_the_epochs_before_it(kind: str, how: str) -> None:
    work = List(*trials(0, 1))
    crew = Crew(work, {"a": "gpu"})
    crew.workers.heard("a", None)
    crew.hear("a", 0, epoch(1), {FAILURE: "ValueError: wrong", KIND: kind}, ended=True)
    assert work.told == [("tell", 0, [1], 3.0), (how, 0, "ValueError: wrong")]
    assert crew.handed == [("a", 0), ("a", 1)]


def test_an_interruption_stops_everything() -> None:
    crew = Crew(List(*trials(0)), {"a": "gpu"})
    crew.workers.heard("a", None)
    with pytest.raises(InterruptionError, match="no space"):
        crew.hear("a", 0, {INTERRUPTION: "no space"}, ended=True)


def test_nothing_is_handed_out_once_the_work_is_done() -> None:
    work = List(*trials(0))
    work.exhausted = True
    crew = Crew(work, {"a": "gpu"})
    crew.workers.heard("a", None)
    assert crew.handed == []


def test_twice_the_resources_are_two_workers_of_one_gpu_and_nobody_passes_by() -> None:
    work = List(*trials(0, 1, 2, 3), Assignment(4, CONFIG, shares=2), *trials(5))
    crew = Crew(work, {"a": "gpu 0", "b": "gpu 0", "c": "gpu 1", "d": "gpu 1"})
    crew.workers.heard("a", None)
    crew.hear("a", 0, epoch(1), ended=True)
    crew.hear("c", 2, epoch(1), ended=True)
    assert crew.handed == [("a", 0), ("b", 1), ("c", 2), ("d", 3)], "two are free, but not of one GPU"
    crew.hear("b", 1, epoch(1), ended=True)
    assert crew.handed[4:] == [("a", 4), ("c", 5)], "b lends its share"
    work.waiting.extend(trials(6, 7))
    crew.hear("d", 3, epoch(1), ended=True)
    assert crew.handed[6:] == [("d", 6)]
    crew.hear("a", 4, epoch(1), ended=True)
    assert crew.handed[7:] == [("a", 7)]
    work.waiting.extend(trials(8))
    crew.workers.heard("b", None)
    assert crew.handed[8:] == [("b", 8)], "what was lent is free again"


def test_a_worker_alone_on_its_gpu_has_nobody_to_lend_it_anything() -> None:
    crew = Crew(List(Assignment(0, CONFIG, shares=2)), {"a": "gpu 0", "b": "gpu 1"})
    crew.workers.heard("b", None)
    assert crew.handed == [("a", 0)]


def test_a_lost_worker_loses_its_trial_and_is_replaced() -> None:
    work = List(*trials(0, 1))
    crew = Crew(work, {"a": "gpu", "b": "gpu"})
    crew.workers.heard("a", None)
    crew.workers.gone("a", "killed", for_memory=False)
    crew.workers.gone("b", "killed", for_memory=True)
    assert work.told == [("lost", 0, "worker lost: killed"), ("out of memory", 1, "worker lost: killed")]
    assert crew.workers.missing
    crew.workers.gone("a", "told again", for_memory=False)
    assert len(work.told) == 2


def test_workers_that_never_come_up_end_the_search() -> None:
    crew = Crew(List(*trials(0)), {"a": "gpu"})
    crew.workers.gone("a", "killed", for_memory=False)
    for number in range(4):
        crew.workers.started(f"try {number}")
        crew.workers.gone(f"try {number}", "ImportError", for_memory=False)
    crew.workers.started("last")
    with pytest.raises(KansearchError, match=r"no worker comes up, 5 were tried; the last one: ImportError"):
        crew.workers.gone("last", "ImportError", for_memory=False)


def test_a_trial_is_watched_from_the_moment_it_is_handed_out() -> None:
    work = List(*trials(0))
    crew = Crew(work, {"a": "gpu", "b": "gpu"}, hang_minimum=10.0)
    crew.workers.heard("a", None)
    crew.clock.now = 120.0
    assert list(crew.workers.hung()) == []
    crew.clock.now = 121.0
    assert list(crew.workers.hung()) == ["a"]
    assert work.told == [("fail", 0, "hung: no report for 121 s, not one yet")]
    assert crew.workers.missing and list(crew.workers.hung()) == []
