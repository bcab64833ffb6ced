"""The study on disk: what is written is read back, and one driver at a time writes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from kansearch.engine.proposer import Proposer
from kansearch.errors import InputError, KansearchError, StudyBusyError, UnknownStudyError
from kansearch.space import parse_space
from kansearch.study.lock import driver_lock, holder
from kansearch.study.study import Study, study_names
from tests.helpers import ROOT, SMALL_SPACE, assert_read_at_one_moment, start_trial

EPOCH: dict[str, Any] = {
    "train_loss": 1.0,
    "validation_loss": 1.1,
    "accuracy": 0.5,
    "images_per_second": 100.0,
    "seconds": 2.0,
    "learning_rate": 0.1,
    "parameters": 321,
    "flops": 1000,
    "peak_memory_mib": 10.0,
}


def epoch(number: int, accuracy: float = 0.5) -> dict[str, Any]:
    return {**EPOCH, "epoch": number, "accuracy": accuracy}


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study.create(tmp_path, parse_space(SMALL_SPACE, "small.yaml"))


def reopened(study: Study) -> Study:
    return Study.open(study.folder.parent, study.name)


def test_a_complete_trial_is_read_back_by_another_process(study: Study) -> None:
    number = start_trial(study).number
    study.add_epochs(number, [epoch(1, 0.7)])
    study.add_epochs(number, [epoch(2, 0.6)])
    study.complete(number)
    (record,) = reopened(study).records()
    assert record.state == "complete"
    assert record.values == {"accuracy": 0.6, "parameters": 321}, "the last epoch's, not the best one's"
    assert record.metrics["best_accuracy"] == 0.7
    assert record.metrics["best_epoch"] == 1
    assert record.epochs == 2
    assert record.seconds == 4.0
    assert record.config.data.dataset == "digits"
    assert json.loads(json.dumps(record.document()))["values"] == record.values


def test_epochs_repeated_by_a_resumed_trial_are_known_already(study: Study) -> None:
    number = start_trial(study).number
    for each in (epoch(1), epoch(2)):
        study.add_epochs(number, [each])
    again = reopened(study)
    for each in (epoch(1), epoch(2), epoch(3, 0.9)):
        assert again.add_epochs(number, [each]).epochs >= 2, "what is known is never forgotten"
    assert [(r["epoch"], r["accuracy"]) for r in reopened(study).record(number).curve] == [(1, 0.5), (2, 0.5), (3, 0.9)]


@pytest.mark.parametrize(("end", "state"), [("fail", "fail"), ("prune", "pruned")])
def test_a_reason_is_kept_and_values_are_not(study: Study, end: str, state: str) -> None:
    number = start_trial(study).number
    study.add_epochs(number, [epoch(1)])
    getattr(study, end)(number, "because")
    (record,) = reopened(study).records()
    assert (record.state, record.reason, record.values) == (state, "because", {})
    assert reopened(study).finished() == 1


def test_an_infeasible_trial_uses_no_budget_and_tells_the_sampler(study: Study) -> None:
    proposer = Proposer(study.space, [])
    study.refuse_many([(proposer.refuse(proposer.propose(), {"parameters": 7.0}), "parameters 107 > 100")])
    (record,) = reopened(study).records()
    assert (record.state, record.reason) == ("infeasible", "parameters 107 > 100")
    assert reopened(study).finished() == 0
    (trial,) = reopened(study).optuna_trials()
    assert trial.constraints == {"parameters": 7.0}
    assert trial.state.name == "PRUNED"


def test_trials_are_read_as_optuna_reads_them(study: Study) -> None:
    """`read_trials` against Optuna's own reading, for trials of every state."""
    complete, failed, pruned, running = (start_trial(study).number for _ in range(4))
    for number in (complete, failed, pruned):
        study.add_epochs(number, [epoch(1, 0.7)])
    study.add_epochs(pruned, (), {"1": (2, 3, False)})
    study.note_loss(running, "worker lost")
    study.complete(complete)
    study.fail(failed, "because")
    study.prune(pruned, "because")
    proposer = Proposer(study.space, [])
    study.refuse_many([(proposer.refuse(proposer.propose(), {"flops": 1.5}), "flops")])
    other = parse_space(SMALL_SPACE, "small.yaml", ["study=other"])
    start_trial(Study.create(study.folder.parent, other, storage_url=study.storage_url))
    for each in (study, reopened(study)):
        oracle = each._optuna.get_trials()
        assert each.optuna_trials() == oracle
        assert each.optuna_trials([1, 3]) == [oracle[1], oracle[3]]
        assert len(oracle) == 5
        assert [list(trial.params) for trial in each.optuna_trials()] == [list(trial.params) for trial in oracle]


def test_a_trial_that_ends_while_it_is_read_has_its_values_or_none(study: Study) -> None:
    assert_read_at_one_moment(study, epoch(1, 0.7))


def test_the_space_comes_back_with_its_overrides(tmp_path: Path) -> None:
    overrides = ["search.trials=9", "model.depth=2"]
    study = Study.create(tmp_path, parse_space(SMALL_SPACE, "small.yaml", overrides))
    again = reopened(study)
    assert again.space == study.space
    assert again.space.search.trials == 9
    again.add_overrides(["search.trials=11"])
    assert reopened(study).space.search.trials == 11
    with pytest.raises(InputError, match="objectives"):
        again.add_overrides(["objectives={accuracy: maximize}"])


def test_the_place_of_checkpoints_comes_back_and_is_the_folder_by_default(tmp_path: Path, study: Study) -> None:
    assert reopened(study).checkpoints == str(study.folder / "trials")
    space = parse_space(SMALL_SPACE, "small.yaml")
    made = Study.create(tmp_path / "other", space, checkpoints="s3://bucket/small-1")
    assert reopened(made).checkpoints == "s3://bucket/small-1"


def test_elapsed_time_adds_up_over_drivers(study: Study) -> None:
    study.add_elapsed(3.0)
    again = reopened(study)
    again.add_elapsed(4.5)
    assert reopened(study).elapsed_seconds == 7.5


def test_on_what_each_driver_ran_is_kept_with_the_time_spent_before_it(study: Study) -> None:
    assert study.sessions == []
    study.add_session({"max_concurrent": 2})
    study.add_elapsed(3.0)
    study.add_session({"max_concurrent": 8})
    sessions = reopened(study).sessions
    assert [(each["max_concurrent"], each["elapsed"]) for each in sessions] == [(2, 0.0), (8, 3.0)]
    assert sessions[0]["began"] <= sessions[1]["began"]
    assert datetime.fromisoformat(sessions[0]["began"]).tzinfo is not None


def test_a_study_is_made_once(study: Study) -> None:
    with pytest.raises(InputError, match="kansearch resume small"):
        Study.create(study.folder.parent, study.space)
    assert study_names(study.folder.parent) == ["small"]


def test_leftovers_of_a_driver_killed_at_its_start_are_no_study(study: Study) -> None:
    (study.folder / "study.json").unlink()
    again = Study.create(study.folder.parent, study.space)
    assert again.records() == []


def test_unknown_and_damaged_studies(study: Study) -> None:
    with pytest.raises(UnknownStudyError, match="studies there: small"):
        Study.open(study.folder.parent, "smal")
    foreign = '{"storage": "sqlite://", "tracking_uri": "sqlite://", "checkpoints": 3}'
    for text in ("{", "[]", "3", "{}", '{"storage": 1, "tracking_uri": 2}', foreign):
        (study.folder / "study.json").write_text(text)
        with pytest.raises(KansearchError, match="damaged"):
            reopened(study)


def test_a_study_without_its_database_is_told_and_not_made_anew(study: Study) -> None:
    for file in study.folder.glob("study.db*"):
        file.unlink()
    with pytest.raises(KansearchError, match="is gone"):
        reopened(study)
    assert not list(study.folder.glob("study.db*"))


def test_a_folder_that_was_copied_or_moved_has_its_own_database(study: Study, tmp_path: Path) -> None:
    add_complete(study, 0.5)
    study.close()
    copy = tmp_path / "elsewhere" / study.name
    shutil.copytree(study.folder, copy)
    copied = Study.open(copy.parent, study.name)
    add_complete(copied, 0.7)
    assert [len(reopened(each).records()) for each in (study, copied)] == [1, 2]
    shutil.rmtree(study.folder)
    assert [record.values["accuracy"] for record in reopened(copied).records()] == [0.5, 0.7]


def add_complete(study: Study, accuracy: float) -> None:
    number = start_trial(study).number
    study.add_epochs(number, [epoch(2, accuracy)])
    study.complete(number)


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    with pytest.raises(KansearchError) as caught:
        Study.create(tmp_path, parse_space(SMALL_SPACE, "small.yaml"), storage_url="nosuchdb://me:secret@localhost/x")
    assert "secret" not in str(caught.value)


def test_places_are_private_to_the_user(study: Study) -> None:
    assert (study.folder / "study.json").stat().st_mode & 0o077 == 0


def test_a_second_driver_is_refused_by_pid_and_a_dead_one_is_not_waited_for(study: Study) -> None:
    script = (
        "import sys, time; from pathlib import Path; from kansearch.study.lock import driver_lock\n"
        "with driver_lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(study.folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    with other.stdout as output:
        assert output.readline() == "held\n"
        assert holder(study.folder) is not None
        with pytest.raises(StudyBusyError, match=f"process {other.pid} on"), driver_lock(study.folder):
            pass
        other.kill()
        other.wait()
    assert holder(study.folder) is None
    with driver_lock(study.folder):
        assert f"process {os.getpid()}" in str(holder(study.folder))
    assert holder(study.folder) is None


def test_a_new_study_is_its_owners_alone_and_what_is_there_keeps_its_mode(tmp_path: Path) -> None:
    home = tmp_path / "shared"
    home.mkdir()
    home.chmod(0o755)
    before = os.umask(0o022)
    try:
        made = Study.create(home, parse_space(SMALL_SPACE, "small.yaml"))
        elsewhere = Study.create(tmp_path / "new" / "home", parse_space(SMALL_SPACE, "small.yaml"))
        with driver_lock(made.folder):
            start_trial(made)
    finally:
        os.umask(before)
    assert home.stat().st_mode & 0o777 == 0o755
    folders = (made.folder, elsewhere.folder, elsewhere.folder.parent, elsewhere.folder.parent.parent)
    assert {folder.stat().st_mode & 0o777 for folder in folders} == {0o700}
    files = {path.name: path.stat().st_mode & 0o777 for path in made.folder.iterdir()}
    assert files.keys() >= {"study.db", "study.db-wal", "space.yaml", "study.json", "driver.lock"}
    assert set(files.values()) == {0o600}
