"""CUDA's daemon on each node of a cluster that was joined ends with its driver, however that ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kansearch.cluster.mps import folders
from kansearch.cluster.node_mps import end_abandoned
from tests.helpers import environment, stop, wait_until
from tests.nodes import local_cluster
from tests.test_mps import CONTROL, lives

KEEP = "from kansearch.cluster.node_mps import keep; keep()"

DRIVER = """
import json, sys, time
from kansearch.cluster.join import joined
from kansearch.cluster.nodes import alive_nodes
from kansearch.cluster.node_mps import ClusterMps

with joined(sys.argv[1], {}), ClusterMps() as mps:
    mps.start(alive_nodes())
    mps.start(alive_nodes())
    found = mps.found(60)
    print(json.dumps({name: [each.pipes, each.problem] for name, each in found.items()}), flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The PATH, on which a script stands in for NVIDIA's."""
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin/nvidia-cuda-mps-control"
    script.write_text(CONTROL)
    script.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return os.environ["PATH"]


@pytest.fixture(autouse=True)
def _no_folder_is_left() -> Iterator[None]:
    before = set(folders())
    yield
    wait_until(lambda: set(folders()) <= before, seconds=30)


@contextmanager
def keeper() -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A keeper and its daemon's folder. Nobody but this test talks to the keeper, which ends with it."""
    words = [sys.executable, "-c", KEEP]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, env=environment(), text=True) as started:
        assert started.wait() == 0, "the keeper itself is nobody's child"
        assert started.stdout
        answer = json.loads(started.stdout.readline())
        assert answer["problem"] is None
        yield started, Path(answer["pipes"])


def daemon(folder: Path) -> int:
    wait_until(lambda: (folder / "pid").exists() and (folder / "pid").read_text() != "")
    return int((folder / "pid").read_text().split()[0])


def holder(folder: Path) -> int:
    """The process that holds the lock of the folder: the keeper."""
    inode = (folder / "keeper.lock").stat().st_ino
    lines = (line.split() for line in Path("/proc/locks").read_text().splitlines())
    return next(int(words[4]) for words in lines if words[5].endswith(f":{inode}"))


@pytest.mark.usefixtures("path")
def test_a_daemon_ends_when_its_keeper_has_nobody_to_keep_it_for() -> None:
    with keeper() as (started, folder):
        pid = daemon(folder)
        assert lives(pid) and folder.stat().st_mode & 0o077 == 0
        assert started.stdin and started.stdout
        started.stdin.close()
        assert started.stdout.read() == ""
    assert not lives(pid) and not folder.exists()


@pytest.mark.usefixtures("path")
def test_a_daemon_ends_when_its_keeper_is_terminated() -> None:
    with keeper() as (started, folder):
        pid = daemon(folder)
        os.kill(holder(folder), signal.SIGTERM)
        assert started.stdout and started.stdout.read() == ""
    assert not lives(pid) and not folder.exists()


@pytest.mark.usefixtures("path")
def test_a_daemon_whose_keeper_was_killed_is_ended_by_the_next_and_no_other_is() -> None:
    with keeper() as (first, lost), keeper() as (_, kept):
        pid = daemon(lost)
        os.kill(holder(lost), signal.SIGKILL)
        assert first.stdout and first.stdout.read() == ""
        assert lives(pid) and lost.exists()
        end_abandoned()
        assert not lives(pid) and not lost.exists()
        assert lives(daemon(kept)) and kept.exists()


def test_one_that_does_not_start_is_told(tmp_path: Path) -> None:
    (tmp_path / "nvidia-cuda-mps-control").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "nvidia-cuda-mps-control").chmod(0o700)
    done = subprocess.run(
        [sys.executable, "-c", KEEP], env=environment(PATH=str(tmp_path)), capture_output=True, text=True
    )
    assert json.loads(done.stdout) == {"pipes": None, "problem": "nvidia-cuda-mps-control ended with exit code 3"}


def test_each_node_with_a_gpu_has_a_daemon_until_its_driver_ends_or_is_killed(path: str) -> None:
    """Ray is told of two GPUs that are not there. The head has none."""
    with local_cluster() as cluster:
        for _ in range(2):
            cluster.add(gpus=1, PATH=path)
        joining = environment(RAY_AUTH_TOKEN=cluster.token, RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0")

        @contextmanager
        def driver() -> Iterator[tuple[subprocess.Popen[str], list[Path]]]:
            words, pipe = [sys.executable, "-c", DRIVER, cluster.address], subprocess.PIPE
            with subprocess.Popen(words, stdin=pipe, stdout=pipe, env=joining, text=True) as started:
                assert started.stdout
                found = json.loads(started.stdout.readline())
                assert len(found) == 2 and all(problem is None for _, problem in found.values()), found
                yield started, [Path(pipes) for pipes, _ in found.values()]

        with driver() as (started, own):
            pids = [daemon(folder) for folder in own]
            assert len(set(pids)) == 2 and all(map(lives, pids))
            started.communicate("\n", timeout=60)
            assert started.returncode == 0
        assert not any(map(lives, pids)) and not any(folder.exists() for folder in own)

        with driver() as (started, own):
            pids = [daemon(folder) for folder in own]
            stop(started)
        wait_until(lambda: not any(map(lives, pids)) and not any(folder.exists() for folder in own))
