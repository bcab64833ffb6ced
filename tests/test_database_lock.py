"""Two copies of a study's folder on one database have one driver; a file system without locks is named."""

from __future__ import annotations

import errno
import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kansearch.errors import InterruptionError, KansearchError, StudyBusyError
from kansearch.space import parse_space
from kansearch.study.lock import driver_lock, holder, reader_lock
from kansearch.study.storage import sqlite_url
from kansearch.study.study import Study
from tests.helpers import SMALL_SPACE, environment, start_trial
from tests.postgres import PostgresServer, postgres_fixture

__all__ = ["postgres_fixture"]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

_DRIVER = """
import sys, time
from pathlib import Path
from kansearch.study.study import Study
study = Study.open(Path(sys.argv[1]), "small")
with study.lock_database():
    print("held", flush=True)
    time.sleep(600)
"""


def twins(folder: Path, url: str) -> tuple[Study, Study]:
    """A study, and the one that a copy of its folder opens."""
    study = Study.create(folder / "a", parse_space(SMALL_SPACE, "small.yaml"), url, "sqlite:///x")
    shutil.copytree(folder / "a", folder / "b")
    return study, Study.open(folder / "b", "small")


def other_driver(home: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _DRIVER, str(home)], env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def assert_one_driver(folder: Path, url: str) -> None:
    """Of two processes one holds the study, and is named; once it is killed the other one may."""
    study, copy = twins(folder, url)
    driver = other_driver(study.folder.parent)
    with driver:
        named = f"^study 'small' is being run by process {driver.pid} on "
        with pytest.raises(StudyBusyError, match=named) as busy, copy.lock_database():
            pass
        assert "\n" not in str(busy.value)
        driver.kill()
    with copy.lock_database():
        assert start_trial(copy).number == 0
    with study.lock_database():
        assert start_trial(study).number == 1


def test_copies_of_a_folder_on_one_postgresql_have_one_driver(tmp_path: Path, postgres: PostgresServer) -> None:
    assert_one_driver(tmp_path, postgres.database("one-driver"))


def test_copies_of_a_folder_on_one_sqlite_file_have_one_driver(tmp_path: Path) -> None:
    assert_one_driver(tmp_path, sqlite_url(tmp_path / "shared.db"))


def test_copies_with_a_database_each_are_two_studies(tmp_path: Path) -> None:
    study = Study.create(tmp_path / "a", parse_space(SMALL_SPACE, "small.yaml"), tracking_uri="sqlite:///x")
    study.close()
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    with study.lock_database(), Study.open(tmp_path / "b", "small").lock_database():
        pass


def test_two_studies_of_one_postgresql_have_a_driver_each(tmp_path: Path, postgres: PostgresServer) -> None:
    url = postgres.database("two-studies")
    spaces = [parse_space(SMALL_SPACE, "small.yaml", [f"study={name}"]) for name in ("first", "second")]
    first, second = (Study.create(tmp_path, space, url, "sqlite:///x") for space in spaces)
    with first.lock_database(), second.lock_database():
        assert [start_trial(each).number for each in (first, second)] == [0, 0]


def test_a_driver_takes_its_lock_again_after_a_restart_of_the_server(tmp_path: Path, postgres: PostgresServer) -> None:
    study, copy = twins(tmp_path, postgres.database("again"))
    with study.lock_database():
        start_trial(study)
        postgres.kill()
        postgres.start()
        assert start_trial(study).number == 1
        with pytest.raises(StudyBusyError), copy.lock_database():
            pass


def test_a_driver_whose_lock_another_took_while_the_server_was_away_ends(
    tmp_path: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KANSEARCH_STORAGE_PATIENCE", "1")
    study, copy = twins(tmp_path, postgres.database("taken"))
    with study.lock_database():
        start_trial(study)
        postgres.kill()
        postgres.start()
        with copy.lock_database():
            for write in (lambda: start_trial(study), lambda: study.fail(0, "no"), lambda: study.add_elapsed(1)):
                with pytest.raises(InterruptionError, match="study 'small' was taken over by process") as error:
                    write()
                assert "\n" not in str(error.value)
        assert [record.state for record in copy.records()] == ["running"], "the driver that lost wrote nothing"


def test_a_lock_that_was_given_back_is_free_at_once(tmp_path: Path, postgres: PostgresServer) -> None:
    study, copy = twins(tmp_path, postgres.database("free"))
    for each in (study, copy, study):
        with each.lock_database():
            each.add_elapsed(1.0)
    assert copy.elapsed_seconds == 3.0


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP])
def test_a_file_system_without_locks_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(file: object, kind: int) -> None:
        raise OSError(number, "no locks available")

    (tmp_path / "driver.lock").touch()
    monkeypatch.setattr(fcntl, "flock", refuse)
    for lock in (driver_lock, reader_lock):
        told = r"cannot lock .*: no locks available; .*`--home DIR`"
        with pytest.raises(KansearchError, match=told) as error, lock(tmp_path):
            pass
        assert not isinstance(error.value, StudyBusyError) and "\n" not in str(error.value)
    with pytest.raises(KansearchError, match="cannot lock"):
        holder(tmp_path)


def test_a_folder_that_is_gone_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(KansearchError, match=r"cannot write .*driver\.lock"), driver_lock(tmp_path / "none"):
        pass
