"""SQLite locked by another process: the search waits, or stops in one line after its patience; nothing is lost."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from kansearch.study.study import Study
from tests.helpers import SMALL_SPACE, command, environment, succeed, trials, wait_until
from tests.support.searches import copy_mlflow_database
from tests.test_engine import ONE_WORKER

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """The database is this process's own, as a backup or a forgotten shell may hold it."""
    with closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


def launched(folder: Path, **settings: str) -> subprocess.Popen[str]:
    """A search that has noted its first epochs."""
    (folder / "small.yaml").write_text(SMALL_SPACE)
    copy_mlflow_database(folder / "studies/mlflow.db")
    driver = subprocess.Popen(
        command("launch", "small.yaml", "--trials", "2", "--epochs", "40", *ONE_WORKER),
        cwd=folder,
        env=environment(**settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: (folder / "studies/small/study.json").exists())
    study = Study.open(folder / "studies", "small")
    wait_until(lambda: sum(record.epochs for record in study.records()) >= 2)
    return driver


def test_a_search_waits_for_its_database_and_goes_on(tmp_path: Path) -> None:
    driver = launched(tmp_path)
    with locked(tmp_path / "studies/small/study.db"):
        before = [record.epochs for record in Study.open(tmp_path / "studies", "small").records()]
        deadline = time.monotonic() + 7  # longer than one attempt
        wait_until(lambda: time.monotonic() > deadline)
        assert driver.poll() is None
        assert [record.epochs for record in Study.open(tmp_path / "studies", "small").records()] == before
    _, stderr = driver.communicate(timeout=300)
    assert driver.returncode == 0, stderr
    assert [(record["state"], record["epochs"]) for record in trials("small", tmp_path)] == [("complete", 40)] * 2


@pytest.mark.slow
def test_a_database_locked_for_too_long_stops_the_search_and_nothing_is_lost(tmp_path: Path) -> None:
    driver = launched(tmp_path, KANSEARCH_STORAGE_PATIENCE="2")
    path = tmp_path / "studies/small/study.db"
    with locked(path):
        before = Study.open(tmp_path / "studies", "small").records()
        _, stderr = driver.communicate(timeout=300)
    assert driver.returncode == 1
    assert stderr.splitlines()[-1] == (
        f"kansearch: waited 2 s for the study's storage sqlite:///{path}: database is locked; "
        "nothing is lost, go on with `kansearch resume small`"
    )
    assert "Traceback" not in stderr
    succeed("resume", "small", cwd=tmp_path)
    records = Study.open(tmp_path / "studies", "small").records()
    assert [(record.state, record.epochs) for record in records] == [("complete", 40)] * 2
    for record in before:
        assert list(records[record.number].curve)[: record.epochs] == list(record.curve)
