"""A process that trains for `retrain` on this machine, each seed into its folder.

It reads a `Job` and then seeds from a socket, and writes a `Message` for each epoch and for its failure. It ends when
its driver does.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from kansearch.errors import KansearchError
from kansearch.seeds.devices import ClusterJob, train_on_cluster
from kansearch.seeds.retraining import Retraining
from trials.files import first_line

__all__ = ["Job", "Message", "main"]


@dataclass(frozen=True)
class Job:
    """The job that a process is given before its seeds."""

    retraining: Retraining
    rank: int
    """Rank among the processes that train one model together."""
    device: str
    threads: int
    meeting: str
    """The file at which those processes meet."""


@dataclass(frozen=True)
class Message:
    """A message of a process: an epoch's result, as `train_seed` yields it, or why it can't be trained."""

    seed: int = 0
    result: Mapping[str, Any] = field(default_factory=dict)
    failure: KansearchError | None = None


def main() -> None:
    """Train what comes over the socket whose descriptor is the first argument, until its other end is closed."""
    connection: Connection[Any, Any] = Connection(int(sys.argv[1]))
    job: Job | ClusterJob = connection.recv()
    seeds: queue.SimpleQueue[int] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(connection, seeds), daemon=True).start()
    try:
        if isinstance(job, ClusterJob):
            train_on_cluster(job, lambda seed, result: connection.send(Message(seed, result)))
        else:
            _train_here(job, seeds, connection)
    except KansearchError as error:
        connection.send(Message(failure=error))
    except Exception as error:
        reason = first_line(error)
        connection.send(Message(failure=KansearchError(reason)))
    threading.Event().wait()  # the driver ends every process; one that ended by itself would be taken for lost


def _receive(connection: Connection[Any, Any], seeds: queue.SimpleQueue[int]) -> None:
    """Take seeds, and end the process with its driver, no matter what it is waiting for."""
    while True:
        try:
            seeds.put(connection.recv())
        except (EOFError, OSError):
            os._exit(1)


def _train_here(job: Job, seeds: queue.SimpleQueue[int], connection: Connection[Any, Any]) -> None:
    """Train seeds for ever."""
    from trials.data.functions import trust_data
    from trials.training import Processes, join, use_threads

    told = job.retraining
    use_threads(job.threads)
    trust_data(*told.trusted)
    processes = Processes(job.rank, told.processes)
    join(processes, job.device, job.meeting)
    while True:
        seed = seeds.get()
        for result in told.train(seed, told.folder(seed), device=job.device, processes=processes):
            if job.rank == 0:
                connection.send(Message(seed, result))
