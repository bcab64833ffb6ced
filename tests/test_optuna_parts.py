"""Each private part of Optuna that a study stands on is there; a version without one is refused in one line."""

from __future__ import annotations

import ast
import re
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.storages._rdb import models as tables
from optuna.trial import TrialState

from kansearch.errors import KansearchError
from kansearch.space import parse_space
from kansearch.study.optuna_parts import VERSIONS, check_optuna, joined, models
from kansearch.study.steady import SteadyStorage
from kansearch.study.study import Study
from tests.helpers import ROOT, SMALL_SPACE, start_trial
from tests.test_study import epoch

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study.create(tmp_path, parse_space(SMALL_SPACE, "small.yaml"))


def database_of(study: Study) -> SteadyStorage:
    database = study._opened.database
    assert database is not None
    return database


def test_rdb_models(study: Study) -> None:
    """What is inserted by Optuna's tables is what Optuna reads, and what it wrote is read by them."""
    assert models() is tables
    record = start_trial(study)
    (trial,) = study._optuna.get_trials()
    assert trial.user_attrs["config"] == record.stored.document and trial.params
    assert study.optuna_trials() == [trial]


def test_rdb_storage_engine(study: Study) -> None:
    with database_of(study).engine.connect() as connection:
        tables_there = {name for (name,) in connection.exec_driver_sql("SELECT name FROM sqlite_master")}
    assert tables_there >= {"studies", "trials", "trial_user_attributes"}


def test_rdb_storage_scoped_session(study: Study) -> None:
    """Optuna's methods write into the transaction of a connection, and only that thread's."""
    number, database = start_trial(study).number, database_of(study)
    trial_id = study._trials._id(number)
    with database.engine.connect() as connection:
        with joined(database, connection):
            connection.begin()
            database.set_trial_user_attr(trial_id, "a", 1)
            database.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.5, 3.0])
            with ThreadPoolExecutor(1) as other:
                seen = other.submit(database.get_trial, trial_id).result()
            assert (seen.state, "a" in seen.user_attrs) == (TrialState.RUNNING, False)
        connection.rollback()
    (trial,) = Study.open(study.folder.parent, "small").optuna_trials()
    assert (trial.state, trial.values, "a" in trial.user_attrs) == (TrialState.RUNNING, None, False)


def test_a_transaction_that_fails_in_the_middle_leaves_nothing(study: Study) -> None:
    number = start_trial(study).number
    trial_id, database = study._trials._id(number), database_of(study)

    def write() -> None:
        database.set_trial_user_attr(trial_id, "a", 1)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        database.write(write)
    assert "a" not in study._optuna.get_trials()[0].user_attrs
    assert study.complete(number, [epoch(2, 0.5)]).state == "complete"
    assert study.finished() == 1


@pytest.mark.parametrize(
    ("owner", "name", "part"),
    [
        (tables, "TrialValueModel", "optuna.storages._rdb.models.TrialValueModel"),
        (tables.TrialValueModel, "value_to_stored_repr", "TrialValueModel.value_to_stored_repr"),
    ],
)
def test_a_version_without_a_part_is_refused_when_a_study_is_opened(
    study: Study, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, part: str
) -> None:
    monkeypatch.delattr(owner, name)
    check_optuna.cache_clear()  # it is made once a process
    assert_refused(study, part)


@pytest.mark.parametrize("name", ["engine", "scoped_session"])
def test_a_storage_without_an_attribute_is_refused_when_a_study_is_opened(
    study: Study, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    init = RDBStorage.__init__

    def otherwise(storage: RDBStorage, url: str, **options: Any) -> None:
        init(storage, url, **options)
        vars(storage)[f"_{name}"] = vars(storage).pop(name)

    monkeypatch.setattr(RDBStorage, "__init__", otherwise)
    assert_refused(study, f"RDBStorage.{name}")


def assert_refused(study: Study, part: str) -> None:
    with pytest.raises(KansearchError) as error:
        Study.open(study.folder.parent, "small")
    assert str(error.value) == (
        f"optuna {optuna.__version__} has no `{part}`, which kansearch needs; install one that has: "
        f"pip install '{VERSIONS}'"
    )


def test_the_versions_are_those_that_are_installed_with_it() -> None:
    assert f'"{VERSIONS}"' in (ROOT / "pyproject.toml").read_text()


def test_nothing_private_of_optuna_is_used_but_in_one_module() -> None:
    """No import of a module of Optuna whose name begins with an underscore, and no such attribute of its objects."""
    found = set()
    for path in sorted((ROOT / "kansearch").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            module = getattr(node, "module", None) or ""
            if isinstance(node, ast.ImportFrom) and module.startswith("optuna") and "._" in module:
                found.add(path.name)
            private = isinstance(node, ast.Attribute) and re.match("_[a-z]", node.attr) is not None
            if private and ast.unparse(node.value) in ("study", "self._optuna", "storage", "trial", "RDBStorage"):
                found.add(path.name)
    assert found == {"optuna_parts.py"}


@pytest.mark.parametrize(("revision", "way"), [("v2.6.0.a", "storage upgrade"), ("v9.0.0.a", "install that version")])
def test_a_database_of_another_optuna_is_told_in_one_line(study: Study, revision: str, way: str) -> None:
    study.close()
    with closing(sqlite3.connect(study.folder / "study.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    with pytest.raises(KansearchError, match=way) as error:
        Study.open(study.folder.parent, "small")
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("cannot use the study's storage sqlite:///")
