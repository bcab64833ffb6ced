"""Each private part of Optuna that a study stands on is there; a version without one is refused in one line."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from optuna.storages import InMemoryStorage, RDBStorage
from optuna.storages._rdb import models as tables

from kansearch.errors import KansearchError
from kansearch.space import parse_space
from kansearch.study.optuna_parts import VERSIONS, backend_of, check_optuna, get_trials_of, models, storage_of
from kansearch.study.steady import SteadyStorage
from kansearch.study.study import Study
from tests.helpers import SMALL_SPACE, start_trial

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study.create(tmp_path, parse_space(SMALL_SPACE, "small.yaml"))


def test_study_storage() -> None:
    storage = InMemoryStorage()
    assert storage_of(optuna.create_study(storage=storage)) is storage


def test_cached_storage_backend(study: Study) -> None:
    assert isinstance(backend_of(storage_of(study._optuna)), SteadyStorage)


def test_rdb_storage_get_trials(study: Study) -> None:
    """Optuna's own reading goes through it, and so through our waiting."""
    assert get_trials_of(RDBStorage) is RDBStorage._get_trials
    start_trial(study)
    assert len(study._optuna.get_trials()) == 1


def test_rdb_models(study: Study) -> None:
    assert models() is tables
    record = start_trial(study)
    assert study._optuna.get_trials()[0].user_attrs["config"] == record.config


@pytest.mark.parametrize(
    ("owner", "name", "part"),
    [
        (tables, "TrialValueModel", "optuna.storages._rdb.models.TrialValueModel"),
        (tables.TrialValueModel, "value_to_stored_repr", "TrialValueModel.value_to_stored_repr"),
        (RDBStorage, "_get_trials", "RDBStorage._get_trials"),
    ],
)
def test_a_version_without_a_part_is_refused_when_a_study_is_opened(
    study: Study, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, part: str
) -> None:
    monkeypatch.delattr(owner, name)
    check_optuna.cache_clear()  # it is made once a process
    with pytest.raises(KansearchError) as error:
        Study.open(study.folder.parent, "small")
    assert str(error.value) == (
        f"optuna {optuna.__version__} has no `{part}`, which kansearch needs; install one that has: "
        f"pip install '{VERSIONS}'"
    )


def test_a_study_without_its_storage_and_a_storage_without_its_backend_are_told(study: Study) -> None:
    cached = storage_of(study._optuna)
    del study._optuna._storage
    with pytest.raises(KansearchError, match=r"has no `Study\._storage`"):
        storage_of(study._optuna)
    del cached._backend  # type: ignore[attr-defined]
    with pytest.raises(KansearchError, match=r"has no `_CachedStorage\._backend`"):
        backend_of(cached)


@pytest.mark.parametrize(("revision", "way"), [("v2.6.0.a", "storage upgrade"), ("v9.0.0.a", "install that version")])
def test_a_database_of_another_optuna_is_told_in_one_line(study: Study, revision: str, way: str) -> None:
    study.close()
    with closing(sqlite3.connect(study.folder / "study.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    with pytest.raises(KansearchError, match=way) as error:
        Study.open(study.folder.parent, "small")
    assert "\n" not in str(error.value)
    assert str(error.value).startswith("cannot use the study's storage sqlite:///")
