"""Deterministic searches: the same trials whatever the timing, the losses and the order of the workers."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kansearch.bench.problems import PROBLEMS, simulated_space
from kansearch.bench.simulator import MemoryStudy
from kansearch.engine.ask_tell import AskTell
from kansearch.engine.deterministic import Lockstep
from kansearch.engine.work import Assignment
from kansearch.space import SearchSettings
from kansearch.study.records import TrialRecord

NOISY = next(problem for problem in PROBLEMS if problem.noise)
WORKERS = 4


def curve(assignment: Assignment) -> Iterator[Mapping[str, Any]]:
    """A worker's epochs. One that was lost begins anew, as it repeats what its checkpoint holds."""
    return iter(NOISY.curve(assignment.config, np.random.default_rng(assignment.number)))


def table(records: list[TrialRecord]) -> list[tuple[Any, ...]]:
    return [(r.number, r.state, r.reason, r.config, r.values, list(r.curve), dict(r.rungs)) for r in records]


def searched(settings: SearchSettings, delays: int, deterministic: bool = True, losses: float = 0.0) -> MemoryStudy:
    """A search whose workers report in an order that `delays` decides, and die now and then."""
    study = MemoryStudy(replace(simulated_space(True), search=settings))
    ask_tell = AskTell(study, WORKERS, lambda: False, lambda record: None)
    search = Lockstep(ask_tell, WORKERS) if deterministic else ask_tell
    rng = random.Random(delays)
    running: dict[int, Iterator[Mapping[str, Any]]] = {}
    while not search.exhausted or running:
        while len(running) < WORKERS and not search.exhausted and (assignment := search.ask()) is not None:
            running[assignment.number] = curve(assignment)
        number = rng.choice(sorted(running))
        result = next(running[number], None)
        if result is None:  # its last epoch was reported before
            del running[number]
        elif rng.random() < losses:
            del running[number]
            search.lost(number, "worker lost: here")
        elif search.tell(number, [result]):
            del running[number]
    return study


@pytest.mark.parametrize(
    "settings",
    [
        {"sampler": "tpe", "scheduler": "halving", "trials": 60},
        {"sampler": "random", "scheduler": "asha", "brackets": 2, "trials": 60},
        {"sampler": "tpe", "trials": 1000, "epochs_budget": 700},
        {"sampler": "random", "scheduler": "halving", "trials": 1000, "patience": 25},
    ],
    ids=str,
)
def test_the_timing_of_workers_changes_nothing(settings: dict[str, Any]) -> None:
    chosen = SearchSettings.model_validate({**settings, "retries": 1000, "seed": 5})
    first = table(searched(chosen, delays=1).records())
    assert len(first) >= 40 or "epochs_budget" in settings
    for delays, losses in ((2, 0.0), (3, 0.0), (4, 0.01)):
        assert table(searched(chosen, delays, losses=losses).records()) == first


def test_without_it_the_timing_does_change_the_trials() -> None:
    settings = SearchSettings(sampler="tpe", scheduler="halving", trials=60)
    tables = [table(searched(settings, delays, deterministic=False).records()) for delays in (1, 2)]
    assert tables[0] != tables[1]


def test_a_trial_that_ran_ahead_keeps_no_epoch_beyond_its_stop() -> None:
    settings = SearchSettings(sampler="random", scheduler="halving", trials=40)
    records = searched(settings, delays=3).records()
    pruned = [record for record in records if record.state == "pruned"]
    assert pruned
    for record in pruned:
        assert record.epochs in (1, 3, 9)
        assert not record.rungs[str(record.epochs)][2]


def test_a_failure_is_taken_in_its_turn_and_frees_the_slot() -> None:
    study = MemoryStudy(replace(simulated_space(True), search=SearchSettings(sampler="random", trials=6)))
    search = Lockstep(AskTell(study, 2, lambda: False, lambda record: None), 2)
    first, second = search.ask(), search.ask()
    assert first is not None and second is not None and search.ask() is None
    search.fail(second.number, "broken")
    assert study.record(second.number).state == "running", "the first slot's turn comes before"
    assert search.ask() is None
    search.tell(first.number, [next(curve(first))])
    record = study.record(second.number)
    assert (record.state, record.reason) == ("fail", "broken")
    third = search.ask()
    assert third is not None and third.number == 2


def test_a_lost_trial_is_handed_out_again_until_its_retries_are_used_up() -> None:
    study = MemoryStudy(replace(simulated_space(True), search=SearchSettings(sampler="random", trials=2, retries=1)))
    search = Lockstep(AskTell(study, 1, lambda: False, lambda record: None), 1)
    first = search.ask()
    assert first is not None
    search.lost(first.number, "worker lost: once")
    assert search.ask() == first
    search.lost(first.number, "worker lost: twice")
    record = study.record(first.number)
    assert (record.state, record.reason) == ("fail", "worker lost: twice (2 times)")
    assert list(record.losses) == ["worker lost: once"]
    following = search.ask()
    assert following is not None and following.number == 1
