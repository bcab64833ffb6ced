"""Decide how many trials share a GPU.

By what the study noted on this hardware, else by what was measured for any study on such a GPU (`remembered`). Else
configurations are drawn and their sizes counted here: if their steps are small, as many trials share a GPU as fit.
Larger ones are timed there, in an actor.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import Any

from kansearch.cluster.cluster import Cluster
from kansearch.cluster.growth import NodesMps
from kansearch.cluster.mps import Mps
from kansearch.cluster.packing import MOST, Packing, are_small, choose, fill
from kansearch.cluster.remembered import Remembered, key_of
from kansearch.cluster.utilization import visible_gpus
from kansearch.engine.plan import Drawn, drawing
from kansearch.space import SearchSpace
from kansearch.study.study import Study
from trials.config import TrialConfig
from trials.files import one_line
from trials.results import Sharing

__all__ = ["Sketch", "packed"]

_DRAWN = 48
_ENOUGH = 12
"""Configurations by which is decided where there was no time for more."""
_SECONDS = 300.0
_SHARE_OF_BUDGET = 0.25
_LEAST_SECONDS = 30.0
"""Even of a short budget: a search that knows nothing trains one trial at a time."""
_POLL_SECONDS = 0.1
_WITHOUT = "without CUDA MPS trials on one GPU would take turns"


class Sketch:
    """Configurations of a space with their sizes, drawn in a thread from now on: Ray starts meanwhile.

    Args:
        space: nothing is drawn where its `gpus_per_trial` is decided, or this machine has no GPU.
        stopping: whether the search is to end; nothing is drawn then.
    """

    def __init__(self, space: SearchSpace, stopping: Callable[[], bool]) -> None:
        share = max(_LEAST_SECONDS, _SHARE_OF_BUDGET * (space.search.time_budget or math.inf))
        self.check = _Deadline(min(_SECONDS, share), stopping)
        self._space = space
        self._drawn: Future[Sequence[Drawn]] = Future()
        self._thread: threading.Thread | None = None
        if space.search.gpus_per_trial == "auto" and visible_gpus():
            self._thread = threading.Thread(target=self._draw, name="sketch", daemon=True)
            self._thread.start()

    def drawn(self) -> Sequence[Drawn]:
        """Return 48 configurations, or those that were drawn in time, 12 at least. Raises _Unknown."""
        if self._thread is None:
            self._draw()
        return self._drawn.result()

    def _draw(self) -> None:
        drawn: list[Drawn] = []
        try:
            for each in islice(drawing(self._space, device="cuda"), _DRAWN):
                drawn.append(each)
                self.check()
            self._drawn.set_result(drawn)
        except _OutOfTime as error:
            if len(drawn) < _ENOUGH:
                self._drawn.set_exception(error)
            else:
                self._drawn.set_result(drawn)
        except BaseException as error:  # raised where the result is asked for
            self._drawn.set_exception(error)


def packed(
    study: Study, cluster: Cluster, mps: Mps | NodesMps, stopping: Callable[[], bool], sketch: Sketch | None = None
) -> Cluster:
    """The cluster with each trial's share of a GPU decided, and with CUDA MPS where trials share one.

    Args:
        sketch: of the study's space, where one was begun.
        mps: of this machine, or of a joined cluster's nodes.
        stopping: whether the search is to end; nothing is measured then.
    """
    if study.space.search.gpus_per_trial == "auto" and cluster.gpus:
        cluster = _decided(study, cluster, mps, sketch or Sketch(study.space, stopping))
    if not 0 < cluster.gpus_per_trial < 1:
        return cluster
    mps.start()
    if mps.pipes is not None:
        return replace(cluster, mps=mps.pipes)
    note = f"{_why_none(mps)}, and {_WITHOUT}"
    if cluster.packing is None:
        return replace(cluster, notes=[*cluster.notes, note])
    return replace(cluster, notes=()).packed(replace(cluster.packing, per_gpu=1, reason=note))


def _why_none(mps: Mps | NodesMps) -> str:
    return f"CUDA MPS did not start ({mps.problem})" if mps.problem else "there is no nvidia-cuda-mps-control here"


def _decided(study: Study, cluster: Cluster, mps: Mps | NodesMps, sketch: Sketch) -> Cluster:
    """With the packing that the study noted on the same hardware, or a new one."""
    hardware = [*cluster.hardware, mps.available]
    noted = study.packing
    if noted is not None and noted["hardware"] == hardware:
        return cluster.packed(Packing(**noted))
    try:
        packing = Packing(*_decide(study.space, cluster, mps, sketch), hardware)
    except _Unknown as error:  # the next driver tries again
        return cluster.packed(Packing(1, f"sharing could not be measured: {error}", hardware))
    study.packing = packing.document()
    return cluster.packed(packing)


def _decide(space: SearchSpace, cluster: Cluster, mps: Mps | NodesMps, sketch: Sketch) -> tuple[int, str]:
    """Trials that share a GPU, and why. Raises _Unknown."""
    cores = cluster.trials_beside_a_gpu
    if not mps.available:
        return 1, f"{_why_none(mps)}, and {_WITHOUT}"
    if cores < 2:
        return 1, "there are CPU cores for one"
    most, gpus, remembered = min(MOST, cores), visible_gpus(), Remembered()
    key = key_of(space, _DRAWN, most, gpus)
    sharing = remembered.get(key) if gpus else None
    if sharing is not None:
        count, reason = choose(sharing, cores)
        return count, f"{reason}, measured before"
    drawn = sketch.drawn()
    configs, trial_mib = _trainable(drawn)
    steps = [3.0 * each.sizes["flops"] * each.config.data.batch_size for each in configs if each.sizes and each.config]
    if gpus and are_small(steps):
        count, reason = fill(trial_mib, min(memory for _, memory in gpus), cores, max(steps))
        return count, reason if len(drawn) == _DRAWN else f"{reason}, by the {len(drawn)} configurations drawn in time"
    sharing = _measured(configs, trial_mib, most, sketch.check)
    if gpus:
        remembered.put(key, sharing)
    return choose(sharing, cores)


class _Unknown(Exception):
    """Why nothing was measured."""


class _OutOfTime(_Unknown):
    """Raised at the end of the time that the decision may take."""


class _Deadline:
    """Raises _Unknown where the search must end, _OutOfTime where `seconds` have passed."""

    def __init__(self, seconds: float, stopping: Callable[[], bool]) -> None:
        self._seconds, self._stopping = seconds, stopping
        self._end = time.monotonic() + seconds

    def __call__(self) -> None:
        if self._stopping():
            raise _Unknown("interrupted")
        if time.monotonic() > self._end:
            raise _OutOfTime(f"it took more than {self._seconds:.0f} s")


def _measured(drawn: Sequence[Drawn], trial_mib: Sequence[float], most: int, check: Callable[[], None]) -> Sharing:
    """Measure what configurations gain by sharing a GPU, in a Ray actor on one. Raises _Unknown."""
    import ray

    configs = [each.config.model_dump(mode="json") for each in drawn if each.config]
    with _probe() as probe:
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
    """A `_Probe`; its process is gone at the end."""
    import ray

    probe: Any = ray.remote(num_cpus=1, num_gpus=1, max_restarts=0)(_Probe).remote()
    try:
        yield probe
    finally:
        ray.kill(probe)


def _trainable(drawn: Sequence[Drawn]) -> tuple[list[Drawn], list[float]]:
    """Those that a search would train, from the smallest to the largest, and the memory of each, MiB."""
    found = [(each, each.sizes) for each in drawn if each.trainable and each.config and each.sizes]
    if not found:
        raise _Unknown("no drawn configuration can be trained")
    found.sort(key=lambda pair: pair[1]["flops"])
    return [each for each, _ in found], [sizes["peak_memory_mib"] for _, sizes in found]


class _Probe:
    """An actor: a process of its own on a GPU, which opens it at once."""

    def __init__(self) -> None:
        import os

        os.environ["CUDA_DEVICE_MAX_CONNECTIONS"] = "32"  # or more than 8 streams wait for each other
        from trials.training import open_gpu

        open_gpu()

    def measure(self, configs: Sequence[Mapping[str, Any]], trial_mib: Sequence[float], most: int) -> dict[str, Any]:
        """A `Sharing` by its fields."""
        from dataclasses import asdict

        from trials.training import measure_sharing

        checked = [TrialConfig.model_validate(config) for config in configs]
        return asdict(measure_sharing(checked, trial_mib, most))
