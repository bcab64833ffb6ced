"""CUDA's daemon is started, stopped and never left behind. A script stands in for NVIDIA's; its processes are real."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from kansearch.cluster import mps as module
from kansearch.cluster.mps import PIPES, Mps
from tests.helpers import SMALL_SPACE, command_line, environment, stop, wait_until

CONTROL = f"""#!{sys.executable}
import os, signal, sys
from pathlib import Path
noted = Path(os.environ["{PIPES}"], "pid")
if sys.argv[1:] == ["-d"]:
    if os.fork():
        sys.exit()
    os.setsid()
    noted.write_text(f"{{os.getpid()}} {{os.environ.get('CUDA_VISIBLE_DEVICES')}}")
    signal.pause()
elif sys.stdin.read().startswith("quit") and "STUBBORN" not in os.environ:
    os.kill(int(noted.read_text().split()[0]), signal.SIGTERM)
"""

SEARCH = """
import json, os, sys, time
from pathlib import Path
from kansearch.errors import SearchInterrupted
from kansearch.cluster import execution
from kansearch.cluster import launch as launcher
from kansearch.cluster.trainable import Training
from kansearch.space import load_space
from trials.results import EpochResult

def prepare(mps, gpus, threads):
    os.environ["PIPES"] = mps
    return os.environ["CUDA_VISIBLE_DEVICES"]

def train(request):
    seen = Path(folder, f"seen-{request.number}.json")
    gpu, pipes = os.environ["CUDA_VISIBLE_DEVICES"], os.environ["PIPES"]
    seen.with_suffix(".new").write_text(json.dumps([gpu, request.gpus, pipes]))
    seen.with_suffix(".new").rename(seen)
    for epoch in range(1, 100_000):
        measured = {"train_loss": 1.0, "validation_loss": 1.0, "accuracy": 0.5, "seconds": 0.001, "parameters": 10}
        yield EpochResult(epoch, 0.1, measured).row()
        time.sleep(0.1)

folder = os.getcwd()
execution.TRAINING = Training(prepare, train)
space = load_space(Path("small.yaml"), ["epochs=100000", "search.gpus_per_trial=0.1"])
try:
    launcher.launch(space, launcher.SearchOptions(Path("studies")), [])
except SearchInterrupted as error:
    sys.exit(error.exit_code)
"""


@pytest.fixture(autouse=True)
def _control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The script on PATH. A daemon that a failed test leaves is ended."""
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin/nvidia-cuda-mps-control"
    script.write_text(CONTROL)
    script.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv(PIPES, raising=False)
    yield
    with Mps(tmp_path):
        pass


def daemon(study: Path) -> int:
    """Process of the daemon that the note in the study's folder tells of."""
    noted = Path(json.loads((study / "mps.json").read_text())["folder"]) / "pid"
    wait_until(lambda: noted.exists() and noted.read_text() != "")
    return int(noted.read_text().split()[0])


def lives(pid: int) -> bool:
    return "nvidia-cuda-mps-control" in command_line(pid)


def test_a_daemon_lives_as_long_as_its_driver_needs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    with Mps(tmp_path) as mps:
        assert mps.available and mps.pipes is None and not (tmp_path / "mps.json").exists()
        mps.start()
        assert mps.pipes is not None and len(mps.pipes) < 60
        pid, folder = daemon(tmp_path), Path(mps.pipes)
        assert lives(pid) and folder.stat().st_mode & 0o077 == 0
        assert (folder / "pid").read_text() == f"{pid} None", "it numbers all devices, as Ray does"
    assert not lives(pid) and not folder.exists() and not (tmp_path / "mps.json").exists()


def test_a_daemon_that_does_not_quit_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUBBORN", "1")
    monkeypatch.setattr(module, "_END_SECONDS", 0.2)
    with Mps(tmp_path) as mps:
        mps.start()
        pid = daemon(tmp_path)
    wait_until(lambda: not lives(pid))


def test_one_that_does_not_start_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin/nvidia-cuda-mps-control").write_text("#!/bin/sh\nexit 3\n")
    with Mps(tmp_path) as mps:
        mps.start()
        assert mps.problem == "nvidia-cuda-mps-control ended with exit code 3"
        assert mps.pipes is None and not mps.available and not (tmp_path / "mps.json").exists()
    with Mps(tmp_path / "gone") as mps:
        mps.start()
        assert mps.problem == f"{tmp_path}/gone/mps.json: No such file or directory"


def test_the_users_own_daemon_is_used_and_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PIPES, "/tmp/theirs")
    with Mps(tmp_path) as mps:
        mps.start()
        assert mps.available and mps.pipes == "/tmp/theirs" and not (tmp_path / "mps.json").exists()


def test_a_killed_driver_leaves_a_daemon_that_the_next_one_ends(tmp_path: Path) -> None:
    code = "import sys, time; from pathlib import Path; from kansearch.cluster.mps import Mps; " + (
        "Mps(Path(sys.argv[1])).start(); time.sleep(600)"
    )
    driver = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], env=environment())
    wait_until((tmp_path / "mps.json").exists)
    pid = daemon(tmp_path)
    driver.kill()
    driver.wait()
    assert lives(pid)
    with Mps(tmp_path) as mps:
        assert not lives(pid) and mps.pipes is None


def test_no_other_process_and_no_other_folder_is_touched(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    with subprocess.Popen(["sleep", "600"], env={**os.environ, PIPES: str(kept)}) as other:
        (tmp_path / "mps.json").write_text(json.dumps({"folder": str(kept)}))
        with Mps(tmp_path):
            assert other.poll() is None and kept.exists()
        other.kill()
    for damaged in ("{", "[]", "{}", '{"folder": 1}'):
        (tmp_path / "mps.json").write_text(damaged)
        with Mps(tmp_path):
            assert not (tmp_path / "mps.json").exists()


def test_a_search_uses_two_gpus_evenly_and_ends_its_daemon_when_it_is_terminated(tmp_path: Path) -> None:
    """Ray is told of two GPUs that are not there; it numbers them for its workers all the same."""
    (tmp_path / "small.yaml").write_text(SMALL_SPACE)
    resources = environment(RAY_OVERRIDE_RESOURCES=json.dumps({"CPU": 4, "GPU": 2}), PATH=os.environ["PATH"])
    words = [sys.executable, "-c", SEARCH]
    driver = subprocess.Popen(words, cwd=tmp_path, env=resources, stderr=subprocess.PIPE, text=True)
    seen = [tmp_path / f"seen-{number}.json" for number in range(4)]
    wait_until(lambda: all(path.exists() for path in seen) or driver.poll() is not None)
    assert driver.poll() is None, driver.communicate()[1]
    devices, shares, pipes = zip(*(json.loads(path.read_text()) for path in seen), strict=True)
    assert Counter(devices) == {"0": 2, "1": 2}
    assert set(shares) == {0.5}
    study = tmp_path / "studies/small"
    pid = daemon(study)
    assert set(pipes) == {json.loads((study / "mps.json").read_text())["folder"]} and lives(pid)
    _, stderr = stop(driver, signal.SIGTERM)
    assert driver.returncode == 143, stderr
    assert not lives(pid) and not (study / "mps.json").exists() and not Path(pipes[0]).exists()
