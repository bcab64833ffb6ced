"""What a worker's message says is committed at once: whole, once, and read back by another process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from optuna.exceptions import UpdateFinishedTrialError
from sqlalchemy import event

from kansearch.bench.simulator import MemoryStudy
from kansearch.engine.proposer import Proposer
from kansearch.space import parse_space
from kansearch.study.study import Study
from tests.helpers import SMALL_SPACE, start_trial
from tests.test_study import epoch, reopened

RUNGS = {"1": (2, 3, True)}


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study.create(tmp_path, parse_space(SMALL_SPACE, "small.yaml"))


@contextmanager
def commits(study: Study) -> Iterator[list[object]]:
    """Notes each transaction that the study commits."""
    database, seen = study._opened.database, list[object]()
    assert database is not None

    def note(connection: object) -> None:
        seen.append(connection)

    event.listen(database.engine, "commit", note)
    yield seen
    event.remove(database.engine, "commit", note)


def each_end(study: Study) -> dict[str, Any]:
    results = [epoch(2, 0.6), epoch(3, 0.7)]
    return {
        "running": lambda number: study.add_epochs(number, results, RUNGS, 9.5),
        "complete": lambda number: study.complete(number, results, RUNGS, 9.5),
        "pruned": lambda number: study.prune(number, "weak", results, RUNGS, 9.5),
        "fail": lambda number: study.fail(number, "ValueError: no", results, RUNGS, 9.5),
    }


@pytest.mark.parametrize("state", ["running", "complete", "pruned", "fail"])
def test_epochs_rungs_seconds_and_end_are_one_transaction(study: Study, state: str) -> None:
    number = start_trial(study).number
    study.add_epochs(number, [epoch(1, 0.5)])
    with commits(study) as seen:
        record = each_end(study)[state](number)
    assert len(seen) == 1
    (again,) = reopened(study).records()
    for each in (record, again):
        assert (each.state, each.epochs, each.seconds, each.training_seconds) == (state, 3, 9.5, 6.0)
        assert {key: tuple(rung) for key, rung in each.rungs.items()} == RUNGS
        assert each.values == ({"accuracy": 0.7, "parameters": 321} if state == "complete" else {})
    assert again.reason == record.reason == {"pruned": "weak", "fail": "ValueError: no"}.get(state)


def test_a_study_in_memory_takes_the_same_messages() -> None:
    study = MemoryStudy(parse_space(SMALL_SPACE, "small.yaml"))
    for number, (state, end) in enumerate(each_end(study).items()):
        assert start_trial(study).number == number
        record = end(number)
        assert (record.state, record.epochs, record.seconds) == (state, 3, 9.5)
        assert study.records()[number] == record


def test_epochs_that_are_known_are_skipped_and_nothing_new_is_no_transaction(study: Study) -> None:
    number = start_trial(study).number
    study.add_epochs(number, [epoch(1, 0.1), epoch(2, 0.2)], RUNGS)
    again = reopened(study)
    again.add_epochs(number, [])  # reads the trial
    with commits(again) as seen:
        assert again.add_epochs(number, [epoch(1, 0.9), epoch(2, 0.9)]).epochs == 2
        assert again.add_epochs(number, []).epochs == 2
        assert not seen
    again.complete(number, [epoch(2, 0.9), epoch(3, 0.3), epoch(3, 0.4)])
    assert [row["accuracy"] for row in reopened(study).record(number).curve] == [0.1, 0.2, 0.3]


def test_seconds_are_those_of_the_epochs_until_others_are_told(study: Study) -> None:
    number = start_trial(study).number
    assert study.add_epochs(number, [epoch(1)]).seconds == 2.0
    assert study.note_loss(number, "worker lost", seconds=5.0).seconds == 5.0
    record = study.complete(number, [epoch(2)])
    assert (record.seconds, record.metrics["seconds"]) == (5.0, 5.0)
    assert reopened(study).record(number).seconds == 5.0


@pytest.mark.parametrize("state", ["complete", "pruned", "fail"])
def test_a_trial_that_has_ended_takes_no_other_end_and_no_epoch(study: Study, state: str) -> None:
    number = start_trial(study).number
    other = reopened(study)
    other.record(number), start_trial(other)
    other.add_epochs(number, [epoch(1)])
    study.fail(number, "because") if state != "fail" else study.complete(number, [epoch(1)])
    before = reopened(study).record(number)
    with pytest.raises(UpdateFinishedTrialError):
        each_end(other)[state](number)
    with pytest.raises(UpdateFinishedTrialError):
        each_end(other)["running"](number)
    assert reopened(study).record(number) == before


def test_an_end_that_was_committed_already_is_left_as_it_is(study: Study) -> None:
    """So a write is repeated whose answer was lost with the connection."""
    number = start_trial(study).number
    other = reopened(study)
    other.add_epochs(number, [epoch(1, 0.5)])
    other.complete(number)
    study.complete(number, [epoch(1, 0.9)])
    assert reopened(study).record(number).values["accuracy"] == 0.5


def test_refusals_are_one_transaction_and_keep_their_order(study: Study) -> None:
    proposer = Proposer(study.space, [])
    start_trial(study)
    refusals = [(proposer.refuse(proposer.propose(), {"parameters": n}), f"parameters {n}") for n in (7.0, 8.0, 9.0)]
    with commits(study) as seen:
        records = study.refuse_many(refusals)
        assert study.refuse_many([]) == []
    assert len(seen) == 1
    assert [(each.number, each.state, each.reason) for each in records] == [
        (1, "infeasible", "parameters 7.0"),
        (2, "infeasible", "parameters 8.0"),
        (3, "infeasible", "parameters 9.0"),
    ]
    assert reopened(study).records()[1:] == records
    assert [trial.constraints for trial in reopened(study).optuna_trials([1, 2, 3])] == [
        {"parameters": 7.0},
        {"parameters": 8.0},
        {"parameters": 9.0},
    ]
    assert start_trial(study).number == 4


def test_the_samplers_place_in_its_sequence_is_committed_with_the_trial(tmp_path: Path) -> None:
    """A driver that dies between a proposal and its trial leaves neither."""
    static = SMALL_SPACE.replace("{choice: [none, {name: rbf, grid_size: {int: [3, 5]}}]}", "none")
    study = Study.create(tmp_path, parse_space(static, "small.yaml", ["search.sampler=qmc"]))
    for count in range(2):  # qmc knows its space from the first trial that completed
        proposer = Proposer.of_study(study, study.records())
        study.complete(study.start(proposer.propose().proposal).number, [epoch(2, count / 10)])
    proposer = Proposer.of_study(study, study.records())
    third = proposer.propose()
    before = dict(study.sequence)
    with commits(study) as seen:
        study.start(third.proposal)
    assert len(seen) == 1 and before != study.sequence == reopened(study).sequence
    lost = proposer.propose()
    again = reopened(study)
    assert Proposer.of_study(again, again.records()).propose().config == lost.config
