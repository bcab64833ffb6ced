"""Decide how many trials share a GPU.

By what the study noted on this hardware, else by what was measured for any study on such a GPU (`remembered`), else by
a measurement: while an actor opens a GPU, configurations are drawn and their sizes counted here.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from kansearch.search.cluster import Cluster
from kansearch.search.gpus import visible_gpus
from kansearch.search.growth import NodesMps
from kansearch.search.mps import Mps
from kansearch.search.packing import MOST, Packing, choose
from kansearch.search.plan import Drawn, draw
from kansearch.search.remembered import Remembered, key_of
from kansearch.search.trainable import one_line
from kansearch.space import SearchSpace
from kansearch.study.study import Study
from trials.config import TrialConfig
from trials.results import Sharing

__all__ = ["packed"]

_DRAWN = 48
_SECONDS = 300.0
_SHARE_OF_BUDGET = 0.25
_POLL_SECONDS = 0.1
_WITHOUT = "without CUDA MPS trials on one GPU would take turns"


def packed(study: Study, cluster: Cluster, mps: Mps | NodesMps, stopping: Callable[[], bool]) -> Cluster:
    """The cluster with each trial's share of a GPU decided, and with CUDA MPS where trials share one.

    Args:
        mps: of this machine, or of a joined cluster's nodes.
        stopping: whether the search is to end; nothing is measured then.
    """
    if study.space.search.gpus_per_trial == "auto" and cluster.gpus:
        cluster = _decided(study, cluster, mps, stopping)
    if not 0 < cluster.gpus_per_trial < 1:
        return cluster
    mps.start()
    if mps.pipes is not None:
        return replace(cluster, mps=mps.pipes)
    problem = f"CUDA MPS did not start ({mps.problem})" if mps.problem else "there is no nvidia-cuda-mps-control here"
    note = f"{problem}, and {_WITHOUT}"
    if cluster.packing is None:
        return replace(cluster, notes=[*cluster.notes, note])
    return replace(cluster, notes=()).packed(replace(cluster.packing, per_gpu=1, reason=note))


def _decided(study: Study, cluster: Cluster, mps: Mps | NodesMps, stopping: Callable[[], bool]) -> Cluster:
    """With the packing that the study noted on the same hardware, or a new one."""
    hardware = [*cluster.hardware, mps.available]
    noted = study.packing
    if noted is not None and noted["hardware"] == hardware:
        return cluster.packed(Packing(**noted))
    try:
        packing = Packing(*_decide(study.space, cluster, mps, stopping), hardware)
    except _Unknown as error:  # the next driver tries again
        return cluster.packed(Packing(1, f"sharing could not be measured: {error}", hardware))
    study.packing = packing.document()
    return cluster.packed(packing)


def _decide(space: SearchSpace, cluster: Cluster, mps: Mps | NodesMps, stopping: Callable[[], bool]) -> tuple[int, str]:
    """Trials that share a GPU, and why. Raises _Unknown."""
    cores = cluster.trials_beside_a_gpu
    if not mps.available:
        return 1, f"there is no nvidia-cuda-mps-control here, and {_WITHOUT}"
    if cores < 2:
        return 1, "there are CPU cores for one"
    most, gpus, remembered = min(MOST, cores), visible_gpus(), Remembered()
    key = key_of(space, _DRAWN, most, gpus)
    sharing = remembered.get(key) if gpus else None
    if sharing is not None:
        count, reason = choose(sharing, cores)
        return count, f"{reason}, measured before"
    sharing = _measured(space, most, stopping)
    if gpus:
        remembered.put(key, sharing)
    return choose(sharing, cores)


class _Unknown(Exception):
    """Why nothing was measured."""


def _measured(space: SearchSpace, most: int, stopping: Callable[[], bool]) -> Sharing:
    """What configurations drawn from the space gain by sharing, measured in a Ray actor on a GPU. Raises _Unknown."""
    import ray

    longest = min(_SECONDS, _SHARE_OF_BUDGET * (space.search.time_budget or math.inf))
    deadline = time.monotonic() + longest

    def check(done: int = 0) -> None:
        if stopping():
            raise _Unknown("interrupted")
        if time.monotonic() > deadline:
            raise _Unknown(f"it took more than {longest:.0f} s")

    with _probe() as probe:
        configs, trial_mib = _trainable(draw(space, _DRAWN, check, device="cuda").drawn)
        try:
            task = probe.measure.remote(configs, trial_mib, most)
            while not ray.wait([task], timeout=_POLL_SECONDS)[0]:
                check()
            return Sharing(**ray.get(task))
        except ray.exceptions.RayError as error:
            cause = error.cause if isinstance(error, ray.exceptions.RayTaskError) else error
            raise _Unknown(one_line(cause)) from error


@contextmanager
def _probe() -> Iterator[Any]:
    """A `_Probe`, which starts meanwhile; its process is gone at the end."""
    import ray

    probe: Any = ray.remote(num_cpus=1, num_gpus=1, max_restarts=0)(_Probe).remote()
    try:
        yield probe
    finally:
        ray.kill(probe)


def _trainable(drawn: Sequence[Drawn]) -> tuple[list[dict[str, Any]], list[float]]:
    """Those that a search would train, from the smallest to the largest, as JSON, and the memory of each, MiB."""
    found = [(each.config, each.sizes) for each in drawn if each.trainable and each.config and each.sizes]
    if not found:
        raise _Unknown("no drawn configuration can be trained")
    found.sort(key=lambda pair: pair[1]["flops"])
    configs = [config.model_dump(mode="json") for config, _ in found]
    return configs, [sizes["peak_memory_mib"] for _, sizes in found]


class _Probe:
    """An actor: a process of its own on a GPU, which opens it at once."""

    def __init__(self) -> None:
        import os

        os.environ["CUDA_DEVICE_MAX_CONNECTIONS"] = "32"  # or more than 8 streams wait for each other
        from trials.sharing import open_gpu

        open_gpu()

    def measure(self, configs: Sequence[Mapping[str, Any]], trial_mib: Sequence[float], most: int) -> dict[str, Any]:
        """A `Sharing` by its fields."""
        from dataclasses import asdict

        from trials.sharing import measure_sharing

        checked = [TrialConfig.model_validate(config) for config in configs]
        return asdict(measure_sharing(checked, trial_mib, most))
