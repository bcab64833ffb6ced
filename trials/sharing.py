"""What configurations gain by sharing a GPU, measured: their training steps one by one, and several at a time.

Each step is a CUDA graph, as a trial's is, on random images. Several at a time are streams of one process: what
processes under CUDA MPS come to, without starting them (`python -m tests.benchmarks.packing` compares the two).
L-BFGS, which waits for the host in each step, is left out.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

from trials.config import LBFGSConfig, TrialConfig
from trials.data.datasets import data_shape
from trials.data.splits import random_split
from trials.epoch import EagerEpoch, GraphedEpoch, build_epoch
from trials.memory import estimate_memory
from trials.optim import build_optimizer
from trials.results import Sharing
from trials.run import build_on

__all__ = ["measure_sharing"]

_STEPS = 32
_SECONDS = 0.05
"""Of each job alone: long against a step, short against a search."""
_DIFFERENT = 4
"""Configurations timed, each in some copies: each new one has its kernels compiled first, which takes seconds."""


def measure_sharing(configs: Sequence[TrialConfig], most: int, threads: int = 1) -> Sharing:
    """Estimate the memory of all configurations, and time copies of a few, `most` in all, on the first GPU.

    configs: from the smallest to the largest. threads: of a trial's CPU threads. The timed ones are spread evenly over
    them, each for as long as the others, so that the speed-ups are of device time; where memory ends, they are fewer.
    Raises ValueError or RuntimeError where a configuration cannot be built or trained.
    """
    device = torch.device("cuda")
    properties = torch.cuda.get_device_properties(device)
    needed = [estimate_memory(config, "cuda", threads) for config in configs]
    replayed = [config for config in configs if not isinstance(config.optimizer, LBFGSConfig)]
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, benchmark=False):
        jobs = _jobs(_spread(replayed), most, device)
    counts = [2**power for power in range(most.bit_length()) if 2**power <= len(jobs)]
    seconds = {count: _seconds(jobs, count, device) for count in counts}
    speed_ups = {count: seconds[1] / seconds[count] for count in counts}
    steps = [job.step_seconds for job in jobs]
    waiting = len(configs) - len(replayed)
    return Sharing(properties.name, properties.total_memory / 2**20, needed, speed_ups, steps, waiting)


def _spread(configs: Sequence[TrialConfig]) -> list[TrialConfig]:
    """`_DIFFERENT` of them, from the middles of as many equal parts; all, where there are fewer."""
    count = min(_DIFFERENT, len(configs))
    return [configs[(2 * part + 1) * len(configs) // (2 * count)] for part in range(count)]


class _Job:
    """Steps of one configuration that take it `_SECONDS` alone."""

    def __init__(self, epoch: GraphedEpoch) -> None:
        self._epoch = epoch
        self.steps = _STEPS
        self.run()
        torch.cuda.synchronize()
        start = time.perf_counter()
        self.run()
        torch.cuda.synchronize()
        self.step_seconds = (time.perf_counter() - start) / _STEPS
        self.steps = max(1, round(_SECONDS / self.step_seconds))

    def run(self) -> None:
        """On the current stream, without waiting for it. The learning rate is 0."""
        for done in range(self.steps):
            if done % _STEPS == 0:
                self._epoch.step.zero_()
            self._epoch.graph.replay()


def _jobs(configs: Sequence[TrialConfig], most: int, device: torch.device) -> list[_Job]:
    """`most` jobs, the configurations in turn; fewer where memory ends or a step is not replayed from a graph."""
    jobs: list[_Job] = []
    for number in range(most if configs else 0):
        try:
            epoch = _epoch(configs[number % len(configs)], device)
        except torch.OutOfMemoryError:
            break
        if isinstance(epoch, GraphedEpoch):
            jobs.append(_Job(epoch))
    return jobs


def _epoch(config: TrialConfig, device: torch.device) -> EagerEpoch:
    split = random_split(data_shape(config.data), _STEPS * config.data.batch_size, device)
    model = build_on(config, device)
    return build_epoch(config, model, build_optimizer(config.optimizer, model), split)


def _seconds(jobs: Sequence[_Job], at_once: int, device: torch.device) -> float:
    """Wall time in which all jobs are done, so many at a time."""
    queues = [jobs[first::at_once] for first in range(at_once)]
    with ThreadPoolExecutor(at_once) as pool:
        start = time.perf_counter()
        list(pool.map(lambda queue: _work(queue, device), queues))
        return time.perf_counter() - start


def _work(jobs: Sequence[_Job], device: torch.device) -> None:
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    with torch.cuda.stream(stream):
        for job in jobs:
            job.run()
    stream.synchronize()
