"""`dashboard`: MLflow's own server on loopback, opened at a study's trials; `remote_page`: those on another server."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from kansearch.errors import KansearchError
from kansearch.study.storage import sqlite_url
from kansearch.study.study import Study
from kansearch.tracking.client import experiment_name, quiet_client
from kansearch.tracking.view import experiment_page, write_view
from trials.files import first_line

__all__ = ["dashboard", "remote_page"]

_HOST = "127.0.0.1"
_START_SECONDS = 60.0


@contextmanager
def dashboard(home: Path, study: Study | None, port: int | None) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Start MLflow's server; yield its address and its process; stop it at the end.

    Args:
        home: the folder of studies, whose MLflow store is served unless `study` has another.
        study: opened at its runs; None shows all of them.
        port: on loopback; None takes a free one.

    Raises:
        KansearchError: the port is busy, nothing has been tracked, the database is none, or the server doesn't start.
    """
    uri = study.tracking_uri if study else sqlite_url(home / "mlflow.db")
    if uri.startswith("sqlite:///"):
        _check_database(Path(uri.removeprefix("sqlite:///")), home)
    port = _claim_port(port)
    address = f"http://{_HOST}:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", _HOST, "--port", str(port), "--workers", "1"]
    command += ["--default-artifact-root", (home / "artifacts").absolute().as_uri()]
    log = home / "dashboard.log"
    process = _start(command, uri, log)
    try:
        _wait_until_it_answers(address, process, log)
        yield _page(uri, study, address), process
    finally:
        _stop(process)


def _check_database(path: Path, home: Path) -> None:
    if not path.exists():
        raise KansearchError(f"nothing has been tracked in {home} yet; launch a search first")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            connection.execute("SELECT name FROM sqlite_master").fetchall()
    except sqlite3.Error as error:
        raise KansearchError(f"cannot read {path}, MLflow's database: {error}") from error


def _start(command: list[str], uri: str, log: Path) -> subprocess.Popen[bytes]:
    """The server, in a process group of its own, so that no signal but ours reaches it and ours reaches all of it.

    The store's URI may hold a password: it is not put on the command line, which everybody can read.
    """
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_BACKEND_STORE_URI": uri}
    try:
        with log.open("wb") as output:
            return subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
            )
    except OSError as error:
        raise KansearchError(f"cannot write {log}: {error.strerror}") from error


def _claim_port(port: int | None) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port or 0))
        except OSError as error:
            raise KansearchError(f"port {port} on {_HOST} is busy; give another with --port, or none") from error
        return int(probe.getsockname()[1])


def _wait_until_it_answers(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            last = (log.read_text(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
            raise KansearchError(
                f"MLflow's server ended with exit code {process.returncode}: {last} (all of it: {log})"
            )
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=2):
                return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.2)
    raise KansearchError(f"MLflow's server did not answer within {_START_SECONDS:.0f} s; see {log}")


def remote_page(study: Study) -> str | None:
    """The address of a study's trials on the server that tracks it; None where no server does.

    Raises:
        KansearchError: the server doesn't answer.
    """
    uri = study.tracking_uri
    if not uri.startswith(("http://", "https://")):
        return None
    from mlflow.exceptions import MlflowException

    try:
        return _page(uri, study, uri)
    except MlflowException as error:
        raise KansearchError(f"this study is tracked by {uri}, which does not answer: {first_line(error)}") from error


def _page(uri: str, study: Study | None, server: str) -> str:
    """The address of a study's trials on a server that shows the store `uri`; the server's where there are none."""
    if study is None:
        return server
    client = quiet_client(uri)
    experiment = client.get_experiment_by_name(experiment_name(study.name))
    if experiment is None:
        return server
    write_view(client, experiment.experiment_id, study.objectives)  # of a study that has none yet
    return experiment_page(server, experiment.experiment_id)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the whole process group: a worker may outlive the server that started it."""
    _signal_group(process, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(10)
    _signal_group(process, signal.SIGKILL)
    process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
