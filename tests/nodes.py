"""A Ray cluster of several nodes on this machine, on loopback alone; each is a tree of processes to be killed."""

from __future__ import annotations

import atexit
import functools
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.helpers import ROOT, command_line, descendants, environment, wait_until

START_RAY = """
import sys
from ray._private import services
services.resolve_ip_for_localhost = lambda host: host  # or Ray's servers would listen on every interface
from ray.scripts.scripts import main
sys.argv[0] = "ray"
main()
"""
"""Code of the command `ray`."""
_SMALL = ("--block", "--disable-usage-stats", "--num-cpus=1", "--object-store-memory=80000000")
_NODE = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",
    "RAY_AUTH_MODE": "token",
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "3000",
}
"""A dead node is noticed within seconds, not within the minute that suits a cluster in use."""


class Node:
    """One `ray start`, in a temporary folder of its own."""

    def __init__(self, folder: Path, arguments: list[str], env: dict[str, str], before: list[str]) -> None:
        self.log = folder.with_suffix(".log")
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                [*before, sys.executable, "-c", START_RAY, "start", *_SMALL, *arguments, f"--temp-dir={folder}"],
                env=env,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until(self._started)

    def _started(self) -> bool:
        assert self._process.poll() is None, self.log.read_text()
        return "Ray runtime started." in self.log.read_text()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def workers(self) -> set[int]:
        """Processes of this node that run trials."""
        return {pid for pid in descendants(self.pid) if is_worker(pid)}

    def kill(self) -> None:
        """As if its machine lost power."""
        if self.alive:
            for pid in (self.pid, *descendants(self.pid)):
                _kill(pid)
            self._process.wait()


class LocalCluster:
    """A head node of one CPU, and as many more nodes as `add` starts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.token = secrets.token_hex(32)
        self.nodes: list[Node] = []
        self.address = f"127.0.0.1:{_free_port()}"
        port = self.address.rpartition(":")[2]
        self._start("head", ["--head", f"--port={port}", "--include-dashboard=false"], {}, [])

    def add(self, before: list[str] | None = None, gpus: int = 0, **env: str) -> Node:
        """Start one more node, with `before` in front of its command; Ray is told that it has `gpus` GPUs."""
        arguments = [f"--address={self.address}", f"--num-gpus={gpus}"]
        return self._start(f"node{len(self.nodes)}", arguments, env, before or [])

    def _start(self, name: str, arguments: list[str], env: dict[str, str], before: list[str]) -> Node:
        ours = {"RAY_AUTH_TOKEN": self.token, "PYTHONPATH": path_with_shelf()}
        variables = environment(**{**_NODE, **ours, **env})
        node = Node(self._folder / name, [*arguments, "--node-ip-address=127.0.0.1"], variables, before)
        self.nodes.append(node)
        return node

    @property
    def alive(self) -> list[Node]:
        return [node for node in self.nodes if node.alive]


@contextmanager
def local_cluster() -> Iterator[LocalCluster]:
    """A cluster that is gone at the end. Its folder has a short path, because Ray puts Unix sockets there."""
    with tempfile.TemporaryDirectory(prefix="kc-", ignore_cleanup_errors=True) as folder:
        cluster = LocalCluster(Path(folder))
        try:
            yield cluster
        finally:
            for node in reversed(cluster.nodes):
                node.kill()


@functools.cache
def path_with_shelf() -> str:
    """A PYTHONPATH on which kansearch lies, and `tests/shelf.py` as an installed package that fsspec finds."""
    folder = Path(tempfile.mkdtemp(prefix="kansearch-shelf-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    shutil.copy(ROOT / "tests/shelf.py", folder / "shelf.py")
    information = folder / "shelf-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: shelf\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[fsspec.specs]\nshelf = shelf:ShelfFileSystem\n")
    return f"{ROOT}{os.pathsep}{folder}"


def is_worker(pid: int) -> bool:
    line = command_line(pid)
    return "ray::" in line and "train" in line


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):  # with its parent
        os.kill(pid, signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
