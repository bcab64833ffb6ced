"""Decide how many trials share a GPU: by what the study noted, or by a measurement on a GPU of the cluster."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kansearch.search.cluster import Cluster
from kansearch.search.mps import Mps
from kansearch.search.packing import MOST, Packing, choose
from kansearch.search.plan import draw
from kansearch.search.trainable import one_line
from kansearch.space import SearchSpace
from kansearch.study.study import Study
from trials.config import TrialConfig
from trials.results import Sharing

__all__ = ["packed"]

_DRAWN = 48
_SECONDS = 300.0
_SHARE_OF_BUDGET = 0.25
_POLL_SECONDS = 0.5
_WITHOUT = "without CUDA MPS trials on one GPU would take turns"


def packed(study: Study, cluster: Cluster, mps: Mps | None, stopping: Callable[[], bool]) -> Cluster:
    """The cluster with each trial's share of a GPU decided, and with CUDA MPS where trials share one.

    Args:
        mps: None where the workers are not ours to be given a daemon.
        stopping: whether the search is to end; nothing is measured then.
    """
    if study.space.search.gpus_per_trial == "auto" and cluster.gpus:
        cluster = _decided(study, cluster, mps, stopping)
    if mps is None or not 0 < cluster.gpus_per_trial < 1:
        return cluster
    mps.start()
    if mps.pipes is not None:
        return replace(cluster, mps=mps.pipes)
    problem = f"CUDA MPS did not start ({mps.problem})" if mps.problem else "there is no nvidia-cuda-mps-control here"
    note = f"{problem}, and {_WITHOUT}"
    if cluster.packing is None:
        return replace(cluster, notes=[*cluster.notes, note])
    return replace(cluster, notes=()).packed(replace(cluster.packing, per_gpu=1, reason=note))


def _decided(study: Study, cluster: Cluster, mps: Mps | None, stopping: Callable[[], bool]) -> Cluster:
    """With the packing that the study noted on the same hardware, or a new one."""
    hardware = [*cluster.hardware, mps is not None and mps.available]
    noted = study.packing
    if noted is not None and noted["hardware"] == hardware:
        return cluster.packed(Packing(**noted))
    try:
        packing = Packing(*_decide(study.space, cluster, mps, stopping), hardware)
    except _Unknown as error:  # the next driver tries again
        return cluster.packed(Packing(1, f"sharing could not be measured: {error}", hardware))
    study.packing = packing.document()
    return cluster.packed(packing)


def _decide(space: SearchSpace, cluster: Cluster, mps: Mps | None, stopping: Callable[[], bool]) -> tuple[int, str]:
    """Trials that share a GPU, and why. Raises _Unknown."""
    cores = cluster.trials_beside_a_gpu
    if mps is None:
        return 1, f"kansearch starts no CUDA MPS on a cluster that it joins, and {_WITHOUT}; give a number to share one"
    if not mps.available:
        return 1, f"there is no nvidia-cuda-mps-control here, and {_WITHOUT}"
    if cores < 2:
        return 1, "there are CPU cores for one"
    return choose(_measured(space, stopping), cores)


class _Unknown(Exception):
    """Why nothing was measured."""


def _measured(space: SearchSpace, stopping: Callable[[], bool]) -> Sharing:
    """What configurations drawn from the space gain by sharing, measured in a Ray task on a GPU. Raises _Unknown."""
    import ray

    trainable = [each for each in draw(space, _DRAWN).trainable if each.config is not None and each.sizes is not None]
    if not trainable:
        raise _Unknown("no drawn configuration can be trained")
    ordered = sorted(trainable, key=lambda each: each.sizes["flops"] if each.sizes else 0.0)
    configs = [each.config.model_dump(mode="json") for each in ordered if each.config]
    threads = max(1, int(space.search.cpus_per_trial))
    task = ray.remote(num_cpus=1, num_gpus=1, max_calls=1, max_retries=0)(_measure).remote(configs, threads)
    most, waited = min(_SECONDS, _SHARE_OF_BUDGET * (space.search.time_budget or math.inf)), 0.0
    while not ray.wait([task], timeout=_POLL_SECONDS)[0]:
        waited += _POLL_SECONDS
        if stopping() or waited > most:
            ray.cancel(task, force=True)
            raise _Unknown("interrupted" if stopping() else f"it took more than {most:.0f} s")
    try:
        return Sharing(**ray.get(task))
    except ray.exceptions.RayError as error:
        cause = error.cause if isinstance(error, ray.exceptions.RayTaskError) else error
        raise _Unknown(one_line(cause)) from error


def _measure(configs: Sequence[Mapping[str, Any]], threads: int) -> dict[str, Any]:
    """In a worker of its own, which ends afterwards: a `Sharing` by its fields."""
    import os
    from dataclasses import asdict

    os.environ["CUDA_DEVICE_MAX_CONNECTIONS"] = "32"  # or more than 8 streams wait for each other
    from trials.sharing import measure_sharing

    return asdict(measure_sharing([TrialConfig.model_validate(config) for config in configs], MOST, threads))
