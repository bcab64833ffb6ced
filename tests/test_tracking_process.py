"""The process that writes to MLflow: it delays no driver, dies with it, and outlives what is meant for it alone."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kansearch.engine.proposer import Proposer
from kansearch.study.study import Study
from kansearch.tracking.client import quiet_client
from kansearch.tracking.store import MlflowStore
from kansearch.tracking.writer import MlflowWriter
from tests.chaos.mlflow import disagreements
from tests.helpers import command_line, descendants, environment, wait_until
from tests.test_study import epoch
from tests.test_tracking import add_trial, make_study, runs_of

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning"
)

_DRIVER = """
import signal, sys
from pathlib import Path
from kansearch.study.study import Study
from kansearch.tracking.store import MlflowStore
from kansearch.tracking.writer import MlflowWriter

signals = []
signal.signal(signal.SIGINT, lambda *_: signals.append(1))
study = Study.open(Path(sys.argv[1]), "small")
writer = MlflowWriter()
writer.started(study, study.records())
for record in study.records():
    writer.changed(record)
print("started", flush=True)
sys.stdin.readline()
assert signals == [1], "SIGINT reached the driver"
writer.ended("interrupted")
print(writer.problem, [name for name in sys.modules if name == "mlflow"], flush=True)
"""


@pytest.fixture
def study(tmp_path: Path) -> Study:
    study = make_study(tmp_path)
    add_trial(study, [0.1, 0.4], Study.complete)
    return study


@pytest.fixture
def driver(study: Study) -> Iterator[subprocess.Popen[str]]:
    """A driver in a process group of its own, whose writer has its first records."""
    process = subprocess.Popen(
        [sys.executable, "-c", _DRIVER, str(study.folder.parent)],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n", process.communicate()
    wait_until(lambda: any(ignores(writer, signal.SIGTERM) for writer in writers(process.pid)))
    yield process
    process.kill()
    process.communicate()


def writers(pid: int) -> list[int]:
    return [child for child in descendants(pid) if "kansearch.tracking.process" in command_line(child)]


def ignores(pid: int, number: int) -> bool:
    """Whether a process has begun to ignore a signal, as the kernel tells."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, mask = line.partition(":")
        if name == "SigIgn":
            return bool(int(mask, 16) >> (number - 1) & 1)
    return False


def test_a_killed_driver_takes_the_writer_along(driver: subprocess.Popen[str]) -> None:
    (writer,) = writers(driver.pid)
    driver.kill()
    driver.wait()
    wait_until(lambda: not command_line(writer), 30)


def test_an_interrupt_of_the_terminals_process_group_leaves_the_writer_to_its_last_write(
    study: Study, driver: subprocess.Popen[str]
) -> None:
    os.killpg(driver.pid, signal.SIGINT)
    for writer in writers(driver.pid):
        os.kill(writer, signal.SIGINT)  # and of its own, as some schedulers do
        os.kill(writer, signal.SIGTERM)
    stdout, stderr = driver.communicate("\n", timeout=200)
    assert stdout == "None []\n", f"a problem, or mlflow in the driver: {stdout}{stderr}"
    runs = runs_of(study)
    assert {key: run.info.status for key, run in runs.items()} == {None: "KILLED", "0": "FINISHED"}


def test_a_writer_that_is_killed_is_a_problem_and_a_new_one_catches_up(study: Study) -> None:
    writer = MlflowWriter()
    writer.started(study, study.records())
    writer.changed(study.record(0))
    wait_until(lambda: bool(writers(os.getpid())))
    (process,) = writers(os.getpid())
    os.kill(process, signal.SIGKILL)
    wait_until(lambda: writer.problem is not None)
    assert writer.problem == "the process that writes to it ended with exit code -9"
    writer.changed(study.record(add_trial(study, [0.3])))
    writer.ended("finished")
    assert writer.problem is not None
    study.complete(1, [epoch(2, 0.5)])
    again = MlflowWriter()
    again.started(study, study.records())
    again.ended("finished")
    assert again.problem is None
    assert disagreements(study) == []


def test_a_configuration_that_broke_a_constraint_is_counted_and_has_no_run(study: Study) -> None:
    proposer = Proposer(study.space, study.optuna_trials())
    refused = [(proposer.refuse(proposer.propose(), {"parameters": 7.0}), "parameters 107 > 100") for _ in range(3)]
    study.refuse_many(refused)
    store, records = MlflowStore(study), study.records()
    store.write(records, records)
    store.close(records, "finished")
    runs = runs_of(study)
    assert runs.keys() == {None, "0"}
    assert runs[None].data.metrics["infeasible_trials"] == 3


def test_what_a_writer_makes_is_its_owners_alone(study: Study) -> None:
    home = study.folder.parent
    (home / "mlflow.db").unlink()
    home.chmod(0o755)
    before = os.umask(0o022)
    try:
        writer = MlflowWriter()
        writer.started(study, study.records())
        writer.ended("finished")
    finally:
        os.umask(before)
    assert writer.problem is None
    assert modes(home / "mlflow.db", home / "artifacts", study.folder) == [0o600, 0o700, 0o700]
    assert {path.stat().st_mode & 0o077 for path in (home / "artifacts").rglob("*")} == {0}


def modes(*paths: Path) -> list[Any]:
    return [path.stat().st_mode & 0o777 for path in paths]


def test_a_database_of_mlflow_whose_making_was_killed_is_made_anew(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/mlflow.db"
    words = [sys.executable, "-c", f"from kansearch.tracking.client import quiet_client; quiet_client({url!r})"]
    making = subprocess.Popen(words, env=environment())
    wait_until(lambda: any(path.stat().st_size > 2**16 for path in tmp_path.glob(".mlflow.db.*")))
    making.kill()
    making.wait()
    assert not (tmp_path / "mlflow.db").exists(), "the kill came in the middle"
    assert [each.name for each in quiet_client(url).search_experiments()] == ["Default"]
    assert stat.S_IMODE((tmp_path / "mlflow.db").stat().st_mode) == 0o600
