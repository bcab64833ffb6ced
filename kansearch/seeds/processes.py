"""Retraining in processes of its own: seeds side by side, each on its GPU, or one model on several.

The processes write into the seeds' folders themselves, and are killed when nothing is left to do, something failed or
the driver was interrupted: what is in the folders can always be gone on with. On a cluster there is one process
alone, which is Ray's driver: so an interruption ends in one line, no matter what Ray does.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from kansearch.errors import InputError, KansearchError
from kansearch.seeds.devices import ClusterJob
from kansearch.seeds.retraining import Retraining
from kansearch.seeds.worker import Job, Message
from trials.results import CHECKPOINT, TEST

__all__ = ["train_in_processes"]

_END_SECONDS = 5.0
_LOST_SECONDS = 1.0
_WORK = "from kansearch.seeds.worker import main; main()"


def train_in_processes(
    retraining: Retraining, seeds: Sequence[int], tell: Callable[[int, Mapping[str, Any]], None]
) -> None:
    """Train the seeds, each into its folder, which exists.

    Args:
        tell: called with the seed and each result of `trials.training.train_seed`.

    Raises:
        InputError: there are fewer GPUs than processes that train one model.
        KansearchError: a process was lost, or training failed, with its reason.
    """
    waiting, left = deque(seeds), len(seeds)
    workers: list[_Worker] = []
    with tempfile.TemporaryDirectory() as scratch:
        try:
            for group, job in _jobs(retraining, seeds, scratch):
                workers.append(_Worker(group, job))
            for group in sorted({worker.group for worker in workers}):
                _hand(workers, group, waiting)
            while left:
                for worker in _ready(workers):
                    message = worker.receive()
                    if message.failure is not None:
                        _find_lost(workers)  # one that is lost makes others fail
                        raise message.failure
                    tell(message.seed, message.result)
                    if TEST in message.result:
                        left -= 1
                        _hand(workers, worker.group, waiting)
        finally:
            for worker in workers:
                worker.end()
            _remove_unfinished(retraining.folder(seed) for seed in seeds)


def _jobs(retraining: Retraining, seeds: Sequence[int], scratch: str) -> Iterator[tuple[int, Job | ClusterJob]]:
    """Yield each process's group and job. The processes of a group train one model together.

    Raises InputError where there are fewer GPUs than processes that train one model.
    """
    from trials.training import gpus

    if retraining.address is not None:
        yield 0, ClusterJob(retraining, seeds)
        return
    together, found = retraining.processes, gpus()
    if found and found < together:
        raise InputError(f"--gpus {together}: there are {found}")
    count = min(len(seeds), max(1, found // together)) * together
    threads = max(1, len(os.sched_getaffinity(0)) // count)
    for place in range(count):
        group, rank = divmod(place, together)
        yield group, Job(retraining, rank, f"cuda:{place}" if found else "cpu", threads, f"{scratch}/{group}")


class _Worker:
    """A process of `kansearch.seeds.worker`.

    Args:
        group: which of the processes train one model together.
        job: what it does.
    """

    def __init__(self, group: int, job: Job | ClusterJob) -> None:
        self.group = group
        self.connection: Connection[Any, Any]
        self.connection, theirs = Pipe()
        command = [sys.executable, "-P", "-c", _WORK, str(theirs.fileno())]
        self._process = subprocess.Popen(
            command,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | (_loopback() if isinstance(job, Job) else {}),
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # Ctrl-C in a terminal is for the driver
        )
        theirs.close()
        self._send(job)

    def hand(self, seed: int) -> None:
        """Give it a seed to train."""
        self._send(seed)

    def receive(self) -> Message:
        """The next message. Raises KansearchError where the process is gone."""
        try:
            message: Message = self.connection.recv()
        except (EOFError, OSError):
            raise self._lost() from None
        return message

    def check(self) -> None:
        """Raise KansearchError where the process is gone."""
        if self._process.poll() is not None:
            raise self._lost()

    def end(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()
        self.connection.close()

    def _send(self, value: Any) -> None:
        try:
            self.connection.send(value)
        except OSError:
            raise self._lost() from None

    def _lost(self) -> KansearchError:
        code = self._process.wait(_END_SECONDS)
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        return KansearchError(f"a training process ended {how}; the same command goes on")


def _ready(workers: Sequence[_Worker]) -> list[_Worker]:
    """Those that have something to say, or have ended."""
    found = wait([each.connection for each in workers])
    return [each for each in workers if each.connection in found]


def _find_lost(workers: Sequence[_Worker]) -> None:
    """Raise KansearchError where a process is gone, or is within a second.

    The others see its closed sockets a moment before the system reports its end.
    """
    give_up_at = time.monotonic() + (_LOST_SECONDS if len(workers) > 1 else 0)
    while True:
        for each in workers:
            each.check()
        if time.monotonic() >= give_up_at:
            return
        time.sleep(0.02)


def _hand(workers: Sequence[_Worker], group: int, waiting: deque[int]) -> None:
    """Give the next seed, if there is one, to each process of a group."""
    if waiting:
        seed = waiting.popleft()
        for worker in workers:
            if worker.group == group:
                worker.hand(seed)


def _loopback() -> dict[str, str]:
    """Environment variables that let NCCL and gloo listen on the loopback interface alone."""
    names = [name for _, name in socket.if_nameindex() if name.startswith("lo")]
    return {name: os.environ.get(name, names[0]) for name in ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME") if names}


def _remove_unfinished(folders: Iterable[Path]) -> None:
    """Remove what a process that was killed left of a checkpoint that it was writing."""
    for folder in folders:
        for path in folder.glob(f".*.{CHECKPOINT}"):
            path.unlink(missing_ok=True)
