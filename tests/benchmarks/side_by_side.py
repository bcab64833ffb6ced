"""Trainings side by side on one device, each in a process of its own: `SideBySide`.

The processes share a GPU, under CUDA MPS where that is installed. A run whose process was lost is tried again once,
because under MPS another run may have been at fault. Each finished run is a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TextIO

from kansearch.cluster.mps import Mps
from tests.benchmarks.record_worker import work

__all__ = ["Order", "SideBySide", "key_of", "machine", "parse_lines", "started", "write"]

_PROGRESS_SECONDS = 15.0
_TRIES = 2


@dataclass(frozen=True)
class Order:
    """One training. Its labels tell it from all others, and `config` is a document of `TrialConfig`.

    With `test` it trains on the whole training split, and the test split is measured after each epoch.
    """

    labels: Mapping[str, Any]
    config: Mapping[str, Any]
    test: bool = False

    @property
    def key(self) -> str:
        """The labels in one line."""
        return key_of(self.labels)


def key_of(labels: Mapping[str, Any]) -> str:
    """What names an order, of its labels."""
    return json.dumps(labels, sort_keys=True)


class Worker:
    """A process, and the order that it is at."""

    def __init__(self, device: str, pipes: str | None) -> None:
        context = multiprocessing.get_context("spawn")
        self.orders, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=work, args=(theirs, device, pipes), daemon=True)
        self.process.start()
        theirs.close()
        self.order: Order | None = None
        self.ready = False
        self.since = time.monotonic()

    def begin(self, order: Order, data_dir: str | None) -> None:
        self.order, self.since = order, time.monotonic()
        with suppress(ConnectionError):  # a process that has ended is found by its closed connection
            self.orders.send({"config": dict(order.config), "data_dir": data_dir, "test": order.test})

    def end(self) -> None:
        """At once, whatever it is at."""
        self.process.kill()
        self.process.join()
        self.orders.close()


class SideBySide:
    """Hands out orders, and hands on what comes back.

    Args:
        given: `workers`, `device`, `data_dir`, `seconds`, `grace` and `run_limit`, as the command line has them.
        next_order: called when a process is free; None where there is nothing to do until another order is done.
        done: called with each order that is done, and its row.
        tell: called with the seconds since the start every 15 s; what it returns is printed.
        pipes: the folder of CUDA MPS, if it runs.
    """

    def __init__(
        self,
        given: argparse.Namespace,
        next_order: Callable[[], Order | None],
        done: Callable[[Order, Mapping[str, Any]], None],
        tell: Callable[[float], str],
        pipes: str | None,
    ) -> None:
        self._given, self._next_order, self._done, self._tell, self._pipes = given, next_order, done, tell, pipes
        self._again: list[Order] = []
        self._lost: Counter[str] = Counter()
        self._workers: list[Worker] = []
        self._idle = False

    def run(self) -> None:
        """Until there are no more orders, or no more time."""
        given, began, told = self._given, time.monotonic(), 0.0
        try:
            self._workers = [self._worker() for _ in range(given.workers)]
            while True:
                elapsed = time.monotonic() - began
                open_ = elapsed < given.seconds
                self._hand_out(open_)
                busy = any(worker.order is not None for worker in self._workers)
                if (not busy and (not open_ or self._idle)) or elapsed > given.seconds + given.grace:
                    return
                for connection in wait([worker.orders for worker in self._workers], timeout=0.5):
                    self._answer(next(worker for worker in self._workers if worker.orders is connection))
                self._give_up_hanging()
                if elapsed - told >= _PROGRESS_SECONDS:
                    told = elapsed
                    print(self._tell(elapsed), flush=True)
        finally:
            for worker in self._workers:
                worker.end()

    def _worker(self) -> Worker:
        return Worker(self._given.device, self._pipes)

    def _hand_out(self, open_: bool) -> None:
        self._idle = False
        for worker in self._workers:
            if open_ and worker.ready and worker.order is None:
                order = self._again.pop() if self._again else self._next_order()
                self._idle = order is None
                if order is None:
                    return
                worker.begin(order, self._given.data_dir)

    def _answer(self, worker: Worker) -> None:
        try:
            message = worker.orders.recv()
        except (EOFError, ConnectionError):
            self._replace(worker, f"its process ended with exit code {worker.process.exitcode}")
            return
        if message == "ready":
            worker.ready = True
            return
        if message.pop("lost"):
            self._replace(worker, message["reason"])
        elif worker.order is not None:
            order, worker.order = worker.order, None
            self._done(order, message)

    def _replace(self, worker: Worker, reason: str) -> None:
        """Another process instead; the order that it was at is tried again, at most once."""
        if not worker.ready:
            raise SystemExit(f"a worker could not start: {reason}")
        worker.end()
        self._workers[self._workers.index(worker)] = self._worker()
        order = worker.order
        if order is None:
            return
        self._lost[order.key] += 1
        if self._lost[order.key] < _TRIES:
            self._again.append(order)
        else:
            self._done(order, {"state": "fail", "reason": reason, "curve": {}})

    def _give_up_hanging(self) -> None:
        limit = self._given.run_limit
        for worker in list(self._workers):
            if worker.order is not None and time.monotonic() - worker.since > limit:
                self._done(worker.order, {"state": "fail", "reason": f"not done after {limit:g} s", "curve": {}})
                worker.order = None
                self._replace(worker, "")


def parse_lines(file: Path) -> list[dict[str, Any]]:
    """The rows of a file whose last line may have been cut off; none where there is no file."""
    lines = file.read_text().splitlines(keepends=True) if file.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def write(output: TextIO, row: Mapping[str, Any]) -> None:
    """One line, which is in the file when this returns."""
    output.write(json.dumps(row) + "\n")
    output.flush()


def machine(given: argparse.Namespace, mps: bool) -> dict[str, Any]:
    """What the first line of a file says of the machine."""
    return {
        "workers": given.workers,
        "mps": mps,
        "hardware": _gpu() if given.device == "cuda" else platform.processor() or platform.machine(),
        "cpus": os.cpu_count(),
        "versions": {"python": platform.python_version(), "torch": metadata.version("torch")},
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _gpu() -> str:
    """Asked of the driver's program: this process must not use the GPU before MPS runs."""
    words = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[0].strip()


@contextmanager
def started(given: argparse.Namespace) -> Iterator[Mps]:
    """The folder of the records, made, and CUDA MPS, where the device is a GPU and MPS is installed."""
    given.out.mkdir(parents=True, exist_ok=True)
    with Mps(given.out) as mps:
        if given.device == "cuda":
            mps.start()
        yield mps
