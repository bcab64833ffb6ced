"""Looks, while a search runs, whether its cluster can still do it: nodes that die, workers that do not come up."""

from __future__ import annotations

import time
from collections.abc import Callable

from kansearch.cluster.cluster import fitting, resources_of
from kansearch.cluster.nodes import alive_nodes
from kansearch.errors import InterruptionError

__all__ = ["LateWorkers", "NodeWatch"]

_WATCH_SECONDS = 5.0
_LATE_SECONDS = 60.0


class NodeWatch:
    """Looks every few seconds whether a node of the cluster lives that has room for a worker.

    Without one Ray Tune would wait for ever.

    Args:
        cpus: CPUs of a worker.
        gpus: GPUs of a worker.
    """

    def __init__(self, cpus: float, gpus: float) -> None:
        self._needed = cpus, gpus
        self._next = time.monotonic() + _WATCH_SECONDS

    def __call__(self) -> None:
        """Look, if it is time to. Raises InterruptionError."""
        if time.monotonic() >= self._next:
            self.check()
            self._next = time.monotonic() + _WATCH_SECONDS

    def check(self) -> None:
        """Raise InterruptionError where no node is left that has room for a worker."""
        nodes = alive_nodes()
        if not nodes:
            raise InterruptionError("every node of the Ray cluster died")
        if not any(fitting(resources_of(node), *self._needed) for node in nodes):
            cpus, gpus = self._needed
            raise InterruptionError(
                f"no living node of the Ray cluster has {cpus:g} CPUs and {gpus:g} GPUs for a trial"
            )


class LateWorkers:
    """Tells the user, once, that workers have not come up for a minute.

    Args:
        late: how many workers were asked for longer ago than so many seconds and are not ready.
        tell: given the line.
    """

    def __init__(self, late: Callable[[float], int], tell: Callable[[str], None]) -> None:
        self._late, self._tell = late, tell
        self._told = False

    def __call__(self) -> None:
        """Look."""
        late = 0 if self._told else self._late(_LATE_SECONDS)
        if late:
            self._told = True
            self._tell(f"{late} workers wait for resources since {_LATE_SECONDS:g} s; {_free()}")


def _free() -> str:
    import ray

    free: dict[str, float] = ray.available_resources()  # type: ignore[no-untyped-call]
    all_: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    counts = [f"{free.get(kind, 0.0):g} of {all_[kind]:g} {kind}s" for kind in ("CPU", "GPU") if kind in all_]
    return f"the cluster has {' and '.join(counts)} free"
