"""Measure what configurations gain by sharing a GPU: their training steps one by one, and several at a time.

Each step is a CUDA graph, as a trial's is, on random images. Several at a time are streams of one process: what
processes under CUDA MPS come to, without starting them (`python -m tests.benchmarks.packing` compares the two).
Optimizers whose step is not one graph are left out: L-BFGS decides on the host between several.

    context    the process opens the GPU                    once, while the driver still counts sizes
    kernels    one eager step of each timed configuration   at the same time, in threads
    graphs     a copy of a network for each job, captured   one after the other
    steps      how long a step of each configuration takes
    shared     all jobs, so many at a time
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import nn

from trials.config import TrialConfig
from trials.config.data import MOST_AT_ONCE
from trials.data.datasets import data_shape, known_images
from trials.data.loader import training_batches
from trials.data.splits import Split, random_split
from trials.results import Sharing
from trials.training.epoch import GraphedEpoch, build_epoch
from trials.training.optim import build_optimizer, optimizer_record
from trials.training.run import build_on
from trials.training.step import backward, working_precision

__all__ = ["measure_sharing", "open_gpu"]

_STEPS = 32
_SECONDS = 0.025
"""Each job's work alone: long against a step, short against a search."""
_DIFFERENT = 4
"""Configurations timed, each in some copies: each new one has its kernels compiled first."""


def open_gpu() -> None:
    """Open the first GPU in this process, and load what each network needs there: half a second or more."""
    ones = torch.ones(8, 8, 8, 8, device="cuda")
    nn.functional.conv2d(ones, ones)
    torch.mm(ones[0, 0], ones[0, 0])
    torch.cuda.synchronize()


def measure_sharing(
    configs: Sequence[TrialConfig],
    trial_mib: Sequence[float],
    most: int,
    stage: Callable[[str], object] = lambda name: None,
) -> Sharing:
    """Time copies of a few configurations, `most` in all, on the first GPU.

    Args:
        configs: from the smallest to the largest. The timed ones are spread evenly over them, each for as long as the
            others, so that the speed-ups are of device time; where memory ends, they are fewer.
        trial_mib: the estimated peak memory of each, MiB.
        most: how many run at once at the most.
        stage: called with the name of each stage as it begins.

    Raises ValueError or RuntimeError where a configuration cannot be built or trained.
    """
    stage("context")
    open_gpu()
    device = torch.device("cuda")
    properties = torch.cuda.get_device_properties(device)
    replayed = [config for config in configs if optimizer_record(config.optimizer).epoch == "step"]
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, benchmark=False):
        stage("kernels")
        networks = _networks(_spread(replayed), device)
        stage("graphs")
        epochs = _epochs(networks, most)
        stage("steps")
        jobs = _timed(epochs)
    stage("shared")
    powers = [2**power for power in range(len(jobs).bit_length())]  # 1, 2, 4, ...
    counts = sorted({*powers, len(jobs)}) if jobs else []
    seconds = {count: _seconds(jobs, count, device) for count in counts}
    speed_ups = {count: seconds[1] / seconds[count] for count in counts}
    waiting = len(configs) - len(replayed)
    steps = [job.step_seconds for job in jobs]
    return Sharing(properties.name, properties.total_memory / 2**20, trial_mib, speed_ups, steps, waiting)


def _spread(configs: Sequence[TrialConfig]) -> list[TrialConfig]:
    """`_DIFFERENT` of them, from the middles of as many equal parts; all, where there are fewer."""
    count = min(_DIFFERENT, len(configs))
    return [configs[(2 * part + 1) * len(configs) // (2 * count)] for part in range(count)]


@dataclass(frozen=True)
class _Network:
    """A configuration's network on the GPU, with its kernels loaded, and random images for it."""

    config: TrialConfig
    model: nn.Module
    split: Split


def _networks(configs: Sequence[TrialConfig], device: torch.device) -> list[_Network]:
    """All that the GPU's memory holds, made at the same time: kernels are compiled without the interpreter's lock."""
    if not configs:
        return []
    with ThreadPoolExecutor(len(configs)) as pool:
        made = list(pool.map(lambda config: _network(config, device), configs))
    return [network for network in made if network is not None]


def _network(config: TrialConfig, device: torch.device) -> _Network | None:
    """None where memory ends."""
    batch = min(config.images_per_step, known_images(config.data) or MOST_AT_ONCE)
    try:
        split = random_split(data_shape(config.data), _STEPS * batch, device)
        model = build_on(config, device).train()
        images, labels = next(training_batches(split, batch, config.data.augment, config.seed, 0))
        precision = working_precision(config.numbers, device)
        backward(model, config.regularization, images, labels, precision, 1.0, config.accumulate, config.loss)
    except torch.OutOfMemoryError:
        return None
    model.zero_grad()
    return _Network(config, model, split)


def _epochs(networks: Sequence[_Network], most: int) -> list[GraphedEpoch]:
    """`most` copies, the networks in turn; fewer where memory ends or a step is not replayed from a graph."""
    epochs: list[GraphedEpoch] = []
    for number in range(most if networks else 0):
        network = networks[number % len(networks)]
        try:
            model = copy.deepcopy(network.model)
            optimizer = build_optimizer(network.config.optimizer, model)
            epoch = build_epoch(network.config, model, optimizer, network.split)
        except torch.OutOfMemoryError:
            break
        if isinstance(epoch, GraphedEpoch):
            epochs.append(epoch)
    return epochs


class _Job:
    """Steps of one configuration that take it `_SECONDS` alone.

    step_seconds: of one of its steps, from a copy that was timed already; None: time it.
    """

    def __init__(self, epoch: GraphedEpoch, step_seconds: float | None = None) -> None:
        self._epoch = epoch
        self.steps = 1
        self.run()  # the graph is loaded
        self.step_seconds = step_seconds or self._timed()
        self.steps = max(1, round(_SECONDS / self.step_seconds))

    def _timed(self) -> float:
        """Seconds of a step, over `_STEPS` of them."""
        self.steps = _STEPS
        torch.cuda.synchronize()
        start = time.perf_counter()
        self.run()
        torch.cuda.synchronize()
        return (time.perf_counter() - start) / _STEPS

    def run(self) -> None:
        """Run the steps on the current stream, without waiting for it. The learning rate is 0."""
        for done in range(self.steps):
            if done % _STEPS == 0:
                self._epoch.step.zero_()
            self._epoch.graph.replay()


def _timed(epochs: Sequence[GraphedEpoch]) -> list[_Job]:
    """A job of each epoch; copies of one configuration take as long as the first."""
    seconds: dict[int, float] = {}
    jobs = []
    for epoch in epochs:
        jobs.append(_Job(epoch, seconds.get(id(epoch.config))))
        seconds[id(epoch.config)] = jobs[-1].step_seconds
    torch.cuda.synchronize()
    return jobs


def _seconds(jobs: Sequence[_Job], at_once: int, device: torch.device) -> float:
    """Wall time in which all jobs are done, `at_once` at a time, s."""
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
