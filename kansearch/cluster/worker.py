"""`Worker`: a Ray Tune trial that is a process, and runs one trial of the search after the other.

A worker starts once: Python, torch and the GPU's context cost seconds, a trial may cost less. Each call of `step` runs
the current trial on until the driver has something to decide, or two seconds are over, and returns what came of it.
Meanwhile the driver may `hand` it another trial: Ray runs that call before the next `step`.

    {"worker": handle, "seat": "node gpu"}    the first report: it is ready
    {"report": JSON}                          what a trial has done: `Report`
    {}                                        it has nothing to do
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import ray
from ray.tune import Trainable

from kansearch.cluster.trainable import REPORT_SECONDS, Report, Request, Training

__all__ = ["Worker"]

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.01, 0.2


class Worker(Trainable):
    """One process; Ray Tune's class trainable.

    Its configuration holds the arguments of `Training.prepare`.
    """

    def setup(self, config: dict[str, Any], training: Training) -> None:  # type: ignore[override]
        self._train = training.train
        mps = config["mps"]
        if isinstance(mps, Mapping):
            mps = mps.get(ray.get_runtime_context().get_node_id())
        self._seat: str | None = training.prepare(mps, config["gpus"], config["threads"])
        self._request: Request | None = None
        self._results: Iterator[dict[str, Any]] = iter(())
        self._reported = False  # the first epoch is told at once
        self._began = 0.0
        self._pause = _SHORTEST_PAUSE

    def hand(self, request: str | None) -> None:
        """Run another trial from now on, `Request.text`; None: nothing more of this one."""
        self._drop()
        if request is not None:
            self._request, self._began = Request.from_text(request), time.perf_counter()
            self._results, self._reported = self._train(self._request), False

    def step(self) -> dict[str, Any]:
        """Run on; what is to be told."""
        if self._seat is not None:
            seat, self._seat = self._seat, None
            context = ray.get_runtime_context()
            return {"worker": context.current_actor, "seat": f"{context.get_node_id()} {seat}"}
        if self._request is None:
            time.sleep(self._pause)
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            return {}
        self._pause = _SHORTEST_PAUSE
        return {"report": self._run(self._request).text}

    def cleanup(self) -> None:
        """Let go of the current trial."""
        self._drop()

    def _run(self, request: Request) -> Report:
        results: list[dict[str, Any]] = []
        start = time.perf_counter()
        while time.perf_counter() - start < REPORT_SECONDS:
            result = next(self._results, None)
            if result is None:
                break
            results.append(result)
            if not self._reported or result.get("epoch") in request.rungs:
                break
        self._reported = True
        ended = not results or "epoch" not in results[-1] or results[-1]["epoch"] >= request.config.epochs
        seconds = time.perf_counter() - self._began
        if ended:
            self._drop()
        return Report(request.assignment, results, ended, seconds)

    def _drop(self) -> None:
        """Close what runs, so that its memory is free before another begins."""
        close = getattr(self._results, "close", None)
        self._request, self._results = None, iter(())
        if close is not None:
            close()
