"""The batch file for SLURM: its shell is checked, and it really runs a search, with stand-ins for SLURM's commands."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kansearch.study.study import Study
from tests.helpers import ROOT, SMALL_SPACE, descendants, environment, epochs_done, wait_until
from tests.nodes import START_RAY

SCRIPT = ROOT / "deploy/slurm.sbatch"

SCONTROL = """#!/bin/sh
case "$1" in show) printf 'one\\ntwo\\n';; *) echo "$@" >> "$SEEN/scontrol";; esac
"""
SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do shift; done
exec "$@"
"""
HOSTNAME = """#!/bin/sh
echo 127.0.0.1 10.0.0.1
"""
RAY = f"""#!{sys.executable}
import os, sys
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "1"
sys.argv += ["--object-store-memory=80000000"]
if "--head" not in sys.argv:
    sys.argv += ["--node-ip-address=127.0.0.1"]
{START_RAY}
"""
PYTHON = f"""#!/bin/sh
exec {sys.executable} "$@"
"""


def test_its_shell_is_sound() -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run([shellcheck, SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.fixture
def cluster(tmp_path: Path) -> dict[str, str]:
    """What a job of two nodes finds: commands that stand in for SLURM's, and its variables."""
    folder = tmp_path / "bin"
    folder.mkdir()
    scripts = {"scontrol": SCONTROL, "srun": SRUN, "hostname": HOSTNAME, "ray": RAY}
    scripts |= {"python": PYTHON, "kansearch": PYTHON.replace('"$@"', '-m kansearch "$@"')}
    for name, text in scripts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o700)
    (tmp_path / "small.yaml").write_text(SMALL_SPACE)
    return environment(
        PATH=f"{folder}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        SLURM_JOB_ID=str(os.getpid()),
        SLURM_JOB_NODELIST="one,two",
        SLURM_SUBMIT_DIR=str(tmp_path),
        SLURM_CPUS_PER_TASK="1",
        RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",
        KANSEARCH_REQUEUE="1",
        SEEN=str(tmp_path),
    )


@contextmanager
def job(tmp_path: Path, env: dict[str, str], *options: str) -> Iterator[subprocess.Popen[str]]:
    words = ["bash", str(SCRIPT), "small.yaml", "mine", *options]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(words, cwd=tmp_path, env=env, stdout=log, stderr=log, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            for pid in (process.pid, *descendants(process.pid)):
                os.kill(pid, signal.SIGKILL)
            process.wait()


@pytest.mark.slow
def test_a_job_on_two_nodes_stops_cleanly_before_its_time_is_over_and_goes_on_when_it_is_submitted_again(
    tmp_path: Path, cluster: dict[str, str]
) -> None:
    home = tmp_path / "studies"

    with job(tmp_path, cluster, "--trials", "2", "--epochs", "60") as running:
        wait_until(lambda: epochs_done(home, "mine") >= 2 or running.poll() is not None)
        assert running.poll() is None, (tmp_path / "log").read_text()
        children = set(descendants(running.pid))
        running.send_signal(signal.SIGTERM)
        assert running.wait(120) == 143, (tmp_path / "log").read_text()
    log = (tmp_path / "log").read_text()
    assert "2 CPUs of 2 nodes" in log and "stopped by SIGTERM; go on with" in log
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    assert not Path(f"/tmp/kansearch-{os.getpid()}").exists()
    assert (tmp_path / "scontrol").read_text() == f"requeue {os.getpid()}\n"
    with job(tmp_path, cluster) as running:
        assert running.wait(300) == 0, (tmp_path / "log").read_text()
    assert [(record.state, record.epochs) for record in Study.open(home, "mine").records()] == [("complete", 60)] * 2
