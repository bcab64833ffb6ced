"""A study's database is a plain Optuna study: whoever knows Optuna reads it without kansearch."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import optuna
import pytest

from kansearch.space import parse_space
from kansearch.study.study import Study
from tests.helpers import SMALL_SPACE, start_trial
from tests.test_study import epoch

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::optuna.exceptions.ExperimentalWarning"
)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study.create(tmp_path, parse_space(SMALL_SPACE, "small.yaml"))


def loaded(study: Study) -> optuna.Study:
    return optuna.load_study(study_name=study.name, storage=study.storage_url)


def test_optuna_reads_names_trials_values_and_attributes(study: Study) -> None:
    complete, pruned, running = (start_trial(study) for _ in range(3))
    study.complete(complete.number, [epoch(1, 0.5), epoch(2, 0.7)], {"1": (1, 3, True)}, seconds=4.5)
    study.prune(pruned.number, "stopped by halving", [epoch(1, 0.1)])
    read = loaded(study)
    assert read.metric_names == ["accuracy", "parameters"]
    assert [direction.name for direction in read.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert [trial.state.name for trial in read.trials] == ["COMPLETE", "PRUNED", "RUNNING"]
    first, second, third = read.trials
    assert first.values == [0.7, 321.0] and [trial.number for trial in read.best_trials] == [complete.number]
    assert first.user_attrs["config"]["optimizer"]["lr"] == first.params["optimizer.lr"]
    assert [each["accuracy"] for each in first.user_attrs["curve"]] == [0.5, 0.7]
    assert first.user_attrs["held_seconds"] == 4.5
    assert second.user_attrs["reason"] == "stopped by halving"
    assert third.user_attrs.keys() == {"config"} and third.number == running.number
    table = read.trials_dataframe(attrs=("number", "values"))
    assert list(table.columns) == ["number", "values_accuracy", "values_parameters"]


def test_objectives_of_an_older_study_are_named_when_a_driver_takes_it(study: Study) -> None:
    with closing(sqlite3.connect(study.folder / "study.db")) as connection, connection:
        connection.execute("DELETE FROM study_system_attributes")
    again = Study.open(study.folder.parent, study.name)
    again.records()
    assert loaded(study).metric_names is None, "reading changes nothing"
    with again.lock_database():
        assert loaded(study).metric_names == ["accuracy", "parameters"]
