"""MLflow's own server over HTTP, that is down, is killed, and comes back, while a search goes on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from kansearch.study.study import Study
from kansearch.tracking.store import MlflowStore
from kansearch.tracking.writer import MlflowWriter
from tests.chaos.mlflow import disagreements
from tests.helpers import SMALL_SPACE, run, succeed, trials, wait_until
from tests.support.searches import copy_mlflow_database
from tests.test_study import epoch
from tests.test_tracking import add_trial, make_study

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning"
)


class Server:
    """`mlflow server` on loopback, which may be killed and started again with the same store."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port: int = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self._port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        copy_mlflow_database(folder / "server.db")

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port)]
        store = ["--backend-store-uri", f"sqlite:///{self._folder}/server.db", "--workers", "1"]
        artifacts = ["--artifacts-destination", str(self._folder / "server-artifacts")]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *store, *artifacts],
                stdout=log,
                stderr=log,
                env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
                start_new_session=True,
            )
        wait_until(self._answers)

    def kill(self) -> None:
        """SIGKILL to the server and its workers."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/health", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path)
    yield made
    made.kill()


def test_a_server_that_is_down_killed_and_back_has_everything_in_the_end(tmp_path: Path, server: Server) -> None:
    study = make_study(tmp_path / "home", tracking_uri=server.address)
    number = add_trial(study, [0.1])
    writer = MlflowWriter()
    writer.started(study, study.records())
    wait_until(lambda: writer.problem is not None)  # down at the start
    server.start()
    wait_until(lambda: writer.problem is None)
    server.kill()
    writer.changed(study.add_epochs(number, [epoch(2, 0.3)]))
    wait_until(lambda: writer.problem is not None)  # killed during the search
    another = add_trial(study, [0.4], Study.complete)
    writer.changed(study.record(another))
    server.start()
    writer.changed(study.add_epochs(number, [epoch(3, 0.6)]))
    writer.changed(study.complete(number))
    wait_until(lambda: writer.problem is None)
    writer.ended("finished")
    assert writer.problem is None
    assert disagreements(study) == []


@pytest.mark.slow
def test_a_search_ends_well_without_its_server_and_resume_writes_what_is_missing(
    tmp_path: Path, server: Server
) -> None:
    (tmp_path / "small.yaml").write_text(SMALL_SPACE)
    done = run("launch", "small.yaml", "--trials", "2", "--tracking-uri", server.address, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("MLflow is behind the study ("), done.stderr
    assert done.stderr.endswith("`kansearch resume small` writes what is missing\n"), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert [record["state"] for record in trials("small", tmp_path)] == ["complete"] * 2
    server.start()
    succeed("resume", "small", cwd=tmp_path)
    assert disagreements(Study.open(tmp_path / "studies", "small")) == []


def test_a_run_that_a_killed_writer_left_empty_is_filled(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    number = add_trial(study, [0.1, 0.2], Study.complete)
    store = MlflowStore(study)
    store._trials._make(study.record(number))  # and no more: as when the driver is killed here
    again = MlflowStore(Study.open(tmp_path, "small"))
    again.write_trial(study.record(number))
    again.close(study.records(), "finished")
    assert disagreements(study) == []


def test_a_study_run_that_a_killed_writer_left_empty_is_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_study(tmp_path)

    def die(self: MlflowStore, run_id: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(MlflowStore, "_describe_parent", die)
        with pytest.raises(KeyboardInterrupt):
            MlflowStore(study)
    store = MlflowStore(study)
    store.close(study.records(), "finished")
    assert disagreements(study) == []
