"""CUDA MPS on the nodes of a cluster that was joined: one daemon a node, which ends when the driver does.

On each node an actor without a CPU or GPU starts a keeper, a process that is nobody's child. The keeper starts the
daemon of `mps.py` and reads from a pipe whose other end the actor holds. The pipe closes however actor or driver end,
by SIGKILL too, and the keeper then ends the daemon. A daemon whose keeper was killed is ended by the next keeper there.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from kansearch.cluster.mps import PIPES, Daemon, folders
from kansearch.cluster.nodes import Node, on_node

__all__ = ["ClusterMps", "NodeMps", "end_abandoned", "keep"]

_LOCK = "keeper.lock"
"""In a daemon's folder; its keeper holds it as long as it lives."""
_END_SECONDS = 40.0


@dataclass(frozen=True)
class NodeMps:
    """CUDA MPS on one node: one of the two fields is None."""

    pipes: str | None
    """Directory for CUDA_MPS_PIPE_DIRECTORY of the workers on that node."""
    problem: str | None
    """Why there is none."""


class ClusterMps:
    """Within `with`, nodes of the cluster get daemons; at its end they are gone. The workers should be gone before."""

    def __init__(self) -> None:
        self._actors: dict[str, Any] = {}
        self._answers: dict[str, Any] = {}

    def __enter__(self) -> ClusterMps:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import ray

        ended = [actor.end.remote() for actor in self._actors.values()]
        if ended:
            ray.wait(ended, num_returns=len(ended), timeout=_END_SECONDS)
        for actor in self._actors.values():
            ray.kill(actor)  # its keeper ends the daemon, if it could not be asked
        self._actors.clear()

    def start(self, nodes: Iterable[Node]) -> None:
        """Start a daemon on each of `nodes`, of `ray.nodes()`, that has a GPU and none yet. Returns at once."""
        import ray

        for node in nodes:
            name = str(node["NodeID"])
            if node["Resources"].get("GPU") and name not in self._actors:
                actor = ray.remote(num_cpus=0, max_restarts=0)(_NodeActor)
                self._actors[name] = actor.options(scheduling_strategy=on_node(name)).remote()
                self._answers[name] = self._actors[name].start.remote()

    def found(self, seconds: float) -> Mapping[str, NodeMps]:
        """The nodes that have answered by their ids; waits so long for those that haven't."""
        import ray

        references = list(self._answers.values())
        ready, _ = ray.wait(references, num_returns=len(references), timeout=seconds) if references else ([], [])
        found = {}
        for name, answer in self._answers.items():
            if answer in ready:
                try:
                    found[name] = NodeMps(**ray.get(answer))
                except ray.exceptions.RayError as error:
                    found[name] = NodeMps(None, f"{type(error).__name__}: {str(error).splitlines()[-1].strip()}")
        return found


class _NodeActor:
    """The actor of one node."""

    def __init__(self) -> None:
        self._keeper: subprocess.Popen[str] | None = None

    def start(self) -> dict[str, str | None]:
        """Fields of a `NodeMps`."""
        if PIPES in os.environ:
            return {"pipes": os.environ[PIPES], "problem": None}
        self._keeper = subprocess.Popen(
            [sys.executable, "-c", "from kansearch.cluster.node_mps import keep; keep()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,
            text=True,
        )
        self._keeper.wait()
        line = self._keeper.stdout.readline() if self._keeper.stdout else ""
        return dict(json.loads(line)) if line else {"pipes": None, "problem": "the daemon's keeper did not start"}

    def end(self) -> None:
        """End the daemon, and wait until it is gone."""
        if self._keeper is not None and self._keeper.stdin and self._keeper.stdout:
            self._keeper.stdin.close()
            self._keeper.stdout.read()


def keep() -> None:
    """Keep a daemon until stdin ends or SIGTERM comes; prints one line, the fields of its `NodeMps` as JSON."""
    if os.fork():
        os._exit(0)  # Ray ends the children of a worker that it ends
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    end_abandoned()
    daemon = Daemon()
    try:
        daemon.folder.mkdir(mode=0o700)
        with _locked(daemon.folder):
            try:
                problem = daemon.start()
                _answer(NodeMps(None if problem else str(daemon.folder), problem))
                if problem is None:
                    sys.stdin.read()
            finally:
                daemon.end()
    except OSError as error:
        _answer(NodeMps(None, f"{error.filename}: {error.strerror}"))


def _answer(found: NodeMps) -> None:
    print(json.dumps(asdict(found)), flush=True)


def end_abandoned() -> None:
    """End this user's daemons whose keepers are gone."""
    for folder in folders():
        try:
            if folder.lstat().st_uid == os.getuid() and (folder / _LOCK).exists():
                with _locked(folder):
                    Daemon(folder).end()
        except OSError:
            continue  # its keeper lives, or another one was faster


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a daemon's folder. Raises OSError where another process does."""
    with (folder / _LOCK).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
