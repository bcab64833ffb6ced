"""Runs kansearch as a user does, in a process of its own, and makes small studies without Ray."""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import event

from kansearch.engine.proposer import Proposer
from kansearch.study.records import TrialRecord
from kansearch.study.study import Study
from tests.support.commands import answer

ROOT = Path(__file__).resolve().parent.parent
PATH = str(ROOT)
"""What a command that a test runs may import, beside what is installed."""

SMALL_SPACE = """
study: small
data: {dataset: digits, limit: 200, validation: 0.25, batch_size: 32}
model:
  depth: 1
  width: {int: [2, 6]}
  basis: {choice: [none, {name: rbf, grid_size: {int: [3, 5]}}]}
optimizer: {name: adamw, lr: {float: [1e-3, 1e-2], log: true}}
epochs: 2
search: {sampler: random, scheduler: none, trials: 6, seed: 1}
"""


def start_trial(study: Study) -> TrialRecord:
    """A new running trial, with a configuration that the study's sampler proposed."""
    return study.start(Proposer(study.space, study.optuna_trials()).propose().proposal)


def assert_read_at_one_moment(study: Study, epoch: Mapping[str, Any]) -> None:
    """Reading a study gives what it held at one moment, though a trial ends between two of its queries."""
    other = Study.open(study.folder.parent, study.name)
    number = start_trial(study).number
    database, ended = other._opened.database, list[int]()
    assert database is not None
    engine = database.engine

    def end(connection: object, cursor: object, statement: str, *more: object) -> None:
        if "FROM trial_values" in statement and not ended:
            ended.append(number)
            study.complete(number, [epoch])

    event.listen(engine, "after_cursor_execute", end)
    try:
        (record,) = other.records()
    finally:
        event.remove(engine, "after_cursor_execute", end)
    assert ended == [number]
    assert (record.state, record.values) in (("running", {}), ("complete", study.records()[0].values))
    assert [each.state for each in other.records()] == ["complete"]


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "kansearch", *map(str, arguments)]


def environment(**extra: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": PATH, "RAY_TMPDIR": _ray_folder(), **extra}


@functools.cache
def _ray_folder() -> str:
    """A short path, because Ray puts Unix sockets there; removed at the end."""
    folder = tempfile.mkdtemp(prefix="kr-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def run(*arguments: str | Path, cwd: Path, timeout: float = 500) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; nothing is checked."""
    return subprocess.run(
        command(*arguments), cwd=cwd, env=environment(), capture_output=True, text=True, timeout=timeout
    )


def succeed(*arguments: str | Path, cwd: Path) -> str:
    """Run a command that must exit with 0; its stdout."""
    done = run(*arguments, cwd=cwd)
    assert done.returncode == 0, f"{arguments}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def start(*arguments: str | Path, cwd: Path) -> subprocess.Popen[str]:
    """Start a command whose driver the test will signal."""
    return subprocess.Popen(
        command(*arguments), cwd=cwd, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def trials(study: str, cwd: Path) -> list[dict[str, Any]]:
    """What `kansearch trials --json` says of a study in the folder `cwd`."""
    return list(json.loads(answer("trials", study, "--json", cwd=cwd)))


def wait_until(true: Callable[[], bool], seconds: float = 240) -> None:
    """Poll; fail when it doesn't become true in time, which is no measurement but a way not to hang."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.1)


def epochs_done(home: Path, study: str) -> int:
    """Count the epochs committed, read from outside while the search runs; 0 before there is a study."""
    return (
        sum(record.epochs for record in opened(home, study).records()) if (home / study / "study.json").exists() else 0
    )


@functools.cache
def opened(home: Path, study: str) -> Study:
    """Open a study for the tests that poll it: to open it costs 50 times as much as to read it."""
    return Study.open(home, study)


def stop(process: subprocess.Popen[str], number: int = signal.SIGKILL) -> tuple[str, str]:
    """Signal a process and wait for its end; its output."""
    process.send_signal(number)
    return process.communicate(timeout=200)


def descendants(pid: int) -> Iterator[int]:
    """Processes started by `pid`, by those, and so on."""
    parents = _parents()
    children = [child for child, parent in parents.items() if parent == pid]
    for child in children:
        yield child
        yield from descendants(child)


def _parents() -> Mapping[int, int]:
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        parents[int(path.parent.name)] = int(fields[1])
    return parents


def listening(pid: int) -> set[str]:
    """Addresses, as the kernel writes them in hexadecimal, that `pid` and its descendants accept connections on."""
    sockets = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":  # LISTEN
                sockets[f"socket:[{fields[9]}]"] = fields[1].rpartition(":")[0]
    found = set()
    for process in (pid, *descendants(pid)):
        for descriptor in Path(f"/proc/{process}/fd").glob("*"):
            try:
                found.add(sockets.get(os.readlink(descriptor), ""))
            except (FileNotFoundError, ProcessLookupError):
                continue  # it was closed while we looked
    return found - {""}


def command_line(pid: int) -> str:
    """As `ps` shows it; empty for a process that has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""
