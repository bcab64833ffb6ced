"""One process compiles, the others wait: with real processes, and a stand-in for the compiler."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trials.kan.kernels import once
from trials.kan.kernels.once import compiled_once

WORKER = """
import os, sys, time
from pathlib import Path
from trials.kan.kernels.once import compiled_once

folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
for number in map(int, sys.argv[3:]):
    with compiled_once(("kernel", number), lambda: folder, lambda: "1"):
        binary = folder / f"binary-{number}"
        if not binary.exists():
            (folder / f"compiling-{number}-{os.getpid()}").touch()
            time.sleep(seconds)
            binary.write_text(str(os.getpid()))
    with compiled_once(("kernel", number), lambda: folder, lambda: "1"):
        assert binary.exists()
"""


def worker(folder: Path, seconds: float, *numbers: int) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-c", WORKER, str(folder), str(seconds), *map(str, numbers)]
    return subprocess.Popen(words, cwd=Path(__file__).parents[1])


def compiling(folder: Path, number: int) -> list[int]:
    """Processes that began to compile it."""
    return [int(path.name.rpartition("-")[2]) for path in folder.glob(f"compiling-{number}-*")]


@pytest.fixture(autouse=True)
def new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this process had launched nothing yet."""
    monkeypatch.setattr(once, "_loaded", set())


def test_of_all_processes_one_compiles_each_kernel(tmp_path: Path) -> None:
    orders = [(1, 2, 3), (3, 1, 2), (2, 3, 1), (3, 2, 1), (1, 3, 2), (2, 1, 3)]
    workers = [worker(tmp_path, 0.2, *order) for order in orders]
    assert [each.wait(60) for each in workers] == [0] * len(workers)
    assert [len(compiling(tmp_path, number)) for number in (1, 2, 3)] == [1, 1, 1]


def test_the_next_process_compiles_what_a_killed_one_began(tmp_path: Path) -> None:
    first = worker(tmp_path, 600, 1)
    while not compiling(tmp_path, 1):
        assert first.poll() is None
        time.sleep(0.02)
    second = worker(tmp_path, 0, 1)
    os.kill(first.pid, signal.SIGKILL)
    assert first.wait(60) == -signal.SIGKILL
    assert second.wait(60) == 0
    assert (tmp_path / "binary-1").read_text() == str(second.pid)


def test_a_kernel_that_does_not_compile_is_tried_again(tmp_path: Path) -> None:
    launched = []
    for fails in (True, True, False, False):
        try:
            with compiled_once("kernel", lambda: tmp_path, lambda: "1"):
                launched.append(fails)
                if fails:
                    raise ValueError("ptxas")
        except ValueError:
            pass
    assert launched == [True, True, False, False]


def test_nobody_waits_for_what_is_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with compiled_once("kernel", lambda: tmp_path, lambda: "1"):
        pass
    (lock,) = tmp_path.iterdir()
    with lock.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        monkeypatch.setattr(once, "_loaded", set())
        monkeypatch.setattr(fcntl, "flock", lambda file, kind: pytest.fail("waits") if kind == fcntl.LOCK_EX else None)
        with compiled_once("kernel", lambda: tmp_path, lambda: "1"):
            pass
    with compiled_once("kernel", lambda: pytest.fail("looks"), lambda: pytest.fail("looks")):
        pass  # the process itself launched it


def test_another_version_is_another_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in "121":
        monkeypatch.setattr(once, "_loaded", set())
        with compiled_once("kernel", lambda: tmp_path, lambda version=version: version):  # type: ignore[misc]
            pass
    assert len(list(tmp_path.iterdir())) == 2


def test_without_a_folder_or_locks_each_process_compiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    launched = []
    with compiled_once("no folder", lambda: tmp_path / "file", lambda: "1"):
        launched.append(1)

    def refuse(file: object, kind: int) -> None:
        raise OSError("no locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with compiled_once("no locks", lambda: tmp_path, lambda: "1"):
        launched.append(2)
    assert launched == [1, 2]
