"""What a search may spend, what a silent worker may take: pure rules, without Ray and without waiting."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kansearch.bench.problems import PROBLEMS, simulated_space
from kansearch.bench.simulator import MemoryStudy, simulate
from kansearch.cluster.trainable import REPORT_SECONDS
from kansearch.cluster.watchdog import Watchdog
from kansearch.engine.ask_tell import AskTell
from kansearch.engine.budget import Budget
from kansearch.space import SearchSettings
from kansearch.study.front import front_of, hypervolume
from kansearch.study.records import TrialRecord

QUICK = PROBLEMS[0]
OBJECTIVES: Any = {"accuracy": "maximize", "parameters": "minimize"}


def trial(number: int, accuracy: float, parameters: int, state: Any = "complete", epochs: int = 2) -> TrialRecord:
    curve = [{"epoch": epoch, "seconds": 1.5, "accuracy": accuracy} for epoch in range(1, epochs + 1)]
    values = {"accuracy": accuracy, "parameters": float(parameters)} if state == "complete" else {}
    return TrialRecord(number, state, values=values, curve=curve)


def test_a_search_of_so_many_epochs_stops_there() -> None:
    run = simulate(QUICK, SearchSettings(sampler="random", trials=10**6, epochs_budget=500), device_seconds=1e9)
    assert sum(record.epochs for record in run.records) == 500
    assert any(record.state == "running" for record in run.records), "left for the launcher to note as pruned"


def test_a_search_of_so_many_device_seconds_stops_with_the_epoch_that_uses_them_up() -> None:
    run = simulate(QUICK, SearchSettings(sampler="random", trials=10**6, device_budget=900.0), device_seconds=1e9)
    spent = sum(record.seconds for record in run.records)
    longest = max(result["seconds"] for record in run.records for result in record.curve)
    assert 900 <= spent < 900 + longest


@pytest.mark.parametrize("patience", [5, 20])
def test_a_search_that_gets_nowhere_starts_no_more_trials(patience: int) -> None:
    settings = SearchSettings(sampler="random", scheduler="none", trials=10**6, patience=patience, seed=4)
    run = simulate(QUICK, settings, device_seconds=1e9, workers=1)
    ended = [record for record in run.records if record.state == "complete"]
    volumes = [hypervolume(front_of(ended[:count], OBJECTIVES), OBJECTIVES) for count in range(len(ended) + 1)]
    improved = [count for count in range(1, len(ended) + 1) if volumes[count] > volumes[count - 1] + 1e-9]
    assert len(ended) == improved[-1] + patience, "it ends exactly so many trials after the last one that helped"
    assert all(later - earlier <= patience for earlier, later in zip([0, *improved], improved, strict=False))


def test_a_budget_is_rebuilt_from_what_a_study_holds() -> None:
    settings = SearchSettings(trials=10, epochs_budget=11, patience=2)
    records = [trial(0, 0.5, 100), trial(1, 0.6, 90), trial(2, 0.4, 200), trial(3, 0.3, 50, "fail", 1)]
    grown = Budget(settings, OBJECTIVES)
    for record in records:
        for epochs in range(len(record.curve)):
            grown.spend(*(replace(record, curve=record.curve[:count]) for count in (epochs, epochs + 1)))
        grown.finish(record)
    rebuilt = Budget(settings, OBJECTIVES, [*records, trial(4, 0.1, 5, "running", 4)])
    assert (grown.finished, grown.epochs, grown.seconds) == (4, 7, 10.5)
    assert (rebuilt.finished, rebuilt.epochs, rebuilt.seconds) == (4, 11, 16.5)
    assert grown.full(0) and rebuilt.full(0), "two trials in a row that did not help"
    assert grown.overspent is None
    assert rebuilt.overspent == "the budget of 11 epochs"


def test_a_trial_that_helps_ends_the_waiting() -> None:
    budget = Budget(SearchSettings(trials=10, patience=1), OBJECTIVES, [trial(0, 0.5, 100), trial(1, 0.4, 100)])
    assert budget.full(1)
    budget.finish(trial(2, 0.9, 100))
    assert not budget.full(1)
    assert budget.full(7), "the trials that run take places"


# -- losses -----------------------------------------------------------------------------------------------------------


def asked(**settings: Any) -> tuple[MemoryStudy, AskTell]:
    space = replace(simulated_space(True), search=SearchSettings(sampler="random", scheduler="none", **settings))
    study = MemoryStudy(space)
    return study, AskTell(study, 2, lambda: False, lambda record: None)


def test_a_trial_without_memory_runs_once_more_with_twice_the_resources() -> None:
    study, search = asked(trials=3)
    first = search.ask()
    assert first is not None and first.shares == 1
    search.out_of_memory(first.number, "OutOfMemoryError: CUDA out of memory")
    again = search.ask()
    assert again == replace(first, shares=2)
    search.lost(first.number, "worker lost: gone")
    assert search.ask() == again, "another loss doesn't change what it needs"
    search.out_of_memory(first.number, "OutOfMemoryError: CUDA out of memory")
    record = study.record(first.number)
    assert record.state == "fail"
    assert record.reason == "out of memory: OutOfMemoryError: CUDA out of memory, with twice the resources too"


def test_a_search_waits_for_the_last_trial_to_be_asked_for_again() -> None:
    study, search = asked(trials=1)
    only = search.ask()
    assert only is not None
    assert search.ask() is None and not search.exhausted, "it may be lost"
    search.lost(only.number, "worker lost: gone")
    assert not search.exhausted
    assert search.ask() == only
    curve = QUICK.curve(only.config)
    for result in curve:
        assert not search.tell(only.number, [result])
    assert study.record(only.number).state == "complete"
    assert search.exhausted
    assert search.budget.epochs == len(curve), "epochs that a checkpoint repeats are counted once"


# -- silence ----------------------------------------------------------------------------------------------------------


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_silent_trial_is_given_up_after_so_many_of_its_slowest_epochs() -> None:
    clock = Clock()
    dog = Watchdog(SearchSettings(hang_factor=10.0, hang_minimum=60.0), clock)
    dog.started(1)
    for clock.now, seconds in ((20.0, 20.0), (25.0, 5.0)):
        dog.heard(1, [seconds])
    clock.now = 25.0 + 200.0 + REPORT_SECONDS
    assert list(dog.silent()) == []
    clock.now += 1.0
    assert list(dog.silent()) == [(1, "hung: no report for 203 s, its slowest epoch took 20.0 s")]
    assert list(dog.silent()) == [], "once"


def test_short_epochs_and_first_epochs_are_given_time() -> None:
    clock = Clock()
    dog = Watchdog(SearchSettings(hang_factor=10.0, hang_minimum=60.0), clock)
    dog.started(1)
    dog.heard(1, [0.01])
    dog.started(2)
    clock.now = 60.0 + REPORT_SECONDS
    assert list(dog.silent()) == []
    clock.now = 61.0 + REPORT_SECONDS
    assert [name for name, _ in dog.silent()] == [1]
    clock.now = 12 * 60.0
    assert list(dog.silent()) == []
    clock.now += 1
    assert list(dog.silent()) == [(2, "hung: no report for 721 s, not one yet")]


def test_nobody_is_given_up_without_a_limit_or_after_the_end() -> None:
    clock = Clock()
    unlimited = Watchdog(SearchSettings(hang_minimum=None), clock)
    unlimited.started(1)
    limited = Watchdog(SearchSettings(), clock)
    limited.started(2)
    limited.ended(2)
    clock.now = 1e9
    assert list(unlimited.silent()) == list(limited.silent()) == []
    limited.heard(2, [1.0])
    assert list(limited.silent()) == []
