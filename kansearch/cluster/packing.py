"""How many trials share a GPU: `gpus_per_trial: auto`, from what some of the space's configurations do on one.

    memory     the largest of them, but for one in twenty, times a margin, and a CUDA context for each
    cores      what a trial needs of them
    speed-up   the fewest that reach nearly the most; one where sharing gains next to nothing. Where some wait for the
               host in each step, the most that do, which speeds those up further

Nothing is measured here, and nothing started (`kansearch.cluster.gpu_sharing`, `kansearch.cluster.mps`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from trials.results import Sharing

__all__ = ["MOST", "Packing", "choose", "evened", "times"]

MOST = 16
"""Trials on one GPU: beyond, its throughput no longer rises (`python -m tests.benchmarks.packing`)."""
_NEARLY = 0.95
"""Share of the highest speed-up that is enough.

A few trials more at once would cost the sampler knowledge, and each trial time.
"""
_NEXT_TO_NOTHING = 1.1
_QUANTILE = 0.95
_MARGIN = 2.0
"""Factor on the estimated peak: trials on an H200 reserved 1.6 to 2.1 times as much, except the smallest."""
_CONTEXT_MIB = 900
"""Memory of a process beside its tensors (`trials.measure.memory.CONTEXT_MIB`)."""
_UNITS = 10_000
_SMALL_STEP = 2e10
"""FLOPs of a training step. On an H100 steps of at most 2.2e10, half below 1.4e9, gained 2.4 times by sharing."""


@dataclass(frozen=True)
class Packing:
    """A decision, and what it depends on."""

    per_gpu: int
    """Trials that share a GPU."""
    reason: str
    hardware: Sequence[Any]
    """CPUs, GPUs and kind of GPU of each node, and whether there is CUDA MPS."""

    @property
    def share(self) -> float:
        """Share of a GPU that each trial gets."""
        return _share(self.per_gpu)

    @property
    def line(self) -> str:
        """The decision in one line, for the user."""
        trials = "1 trial" if self.per_gpu == 1 else f"{self.per_gpu} trials"
        return f"gpus_per_trial auto: {trials} on a GPU; {self.reason}"

    def document(self) -> dict[str, Any]:
        """Return the decision as JSON, from which it can be made again."""
        return asdict(self)


def choose(sharing: Sharing, cores: int) -> tuple[int, str]:
    """Trials that share a GPU under CUDA MPS, and why.

    cores: trials for which there are CPU cores, beside one GPU.
    """
    memory = _fitting(sharing.trial_mib, sharing.memory_mib)
    bound = max(1, min(MOST, cores, memory))
    if not sharing.speed_ups:
        return bound, f"nothing could be timed, so as many as fit ({_bounds(cores, memory)})"
    speed_ups = {count: _between(sharing.speed_ups, count) for count in range(1, bound + 1)}
    highest = max(speed_ups.values())
    fastest, slowest = (1e3 * seconds for seconds in (min(sharing.step_seconds), max(sharing.step_seconds)))
    where = f"steps of {fastest:.2g} to {slowest:.2g} ms on {sharing.gpu}; {_bounds(cores, memory)}"
    if highest < _NEXT_TO_NOTHING:
        return 1, f"{bound} at a time run {speed_ups[bound]:.2f} times as fast as one by one ({where})"
    enough = [count for count, speed_up in speed_ups.items() if speed_up >= _NEARLY * highest]
    count, also = min(enough), ""
    if sharing.waiting:
        count, also = max(enough), ", and the line search of L-BFGS waits for the host"
    return count, f"which together run {speed_ups[count]:.1f} times as fast as one by one{also} ({where})"


def are_small(steps: Sequence[float]) -> bool:
    """Whether most training steps, FLOPs each, are so small that a GPU waits for the host between their kernels."""
    return sorted(steps)[len(steps) // 2] <= _SMALL_STEP


def fill(trial_mib: Sequence[float], memory_mib: float, cores: int, largest_step: float) -> tuple[int, str]:
    """Return how many trials fit on a GPU, and why: their steps are small.

    trial_mib: estimated peak memory of configurations. cores: as for `choose`. largest_step: FLOPs.
    """
    memory = _fitting(trial_mib, memory_mib)
    bounds = _bounds(cores, memory)
    return max(1, min(MOST, cores, memory)), f"steps of at most {largest_step / 1e9:.2g} GFLOP leave it idle ({bounds})"


def _bounds(cores: int, memory: int) -> str:
    return f"its cores would hold {cores}, its memory {memory}"


def _fitting(trial_mib: Sequence[float], memory_mib: float) -> int:
    """Trials whose memory a GPU holds."""
    largest = sorted(trial_mib)[math.ceil(_QUANTILE * len(trial_mib)) - 1]
    return int(memory_mib / (_MARGIN * largest + _CONTEXT_MIB))


def _between(speed_ups: Mapping[int, float], count: int) -> float:
    """The speed-up of any number at a time, on the line between its measured neighbours; beyond, the last one's."""
    import numpy as np

    known = sorted(speed_ups)
    return float(np.interp(count, known, [speed_ups[each] for each in known]))


def evened(share: float, rooms: Sequence[tuple[float, float]], cpus_per_trial: float, at_once: int) -> float:
    """The largest share of a GPU, `share` or more, with which as many trials run at once.

    Ray fills one GPU before it takes the next: so they spread evenly, and leave no memory unused.
    """
    if not 0 < share < 1:
        return share
    for per_gpu in range(1, times(1.0, share) + 1):
        fits = sum(min(times(cpus, cpus_per_trial), int(gpus) * per_gpu) for cpus, gpus in rooms)
        if fits >= at_once:
            return _share(per_gpu)
    return share


def times(whole: float, part: float) -> int:
    """How often `part` fits into `whole`, in Ray's units of 1/10,000: in floating point 1 // 0.1 is 9."""
    return round(whole * _UNITS) // max(1, round(part * _UNITS))


def _share(per_gpu: int) -> float:
    """Rounded down, or 1/6 would fit five times."""
    return _UNITS // per_gpu / _UNITS
