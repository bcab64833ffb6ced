"""The Ray cluster a search runs on: one started here on loopback, or an existing one; and how many trials fit on it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from kansearch.cluster.join import joined
from kansearch.cluster.loopback import local_ray
from kansearch.cluster.nodes import alive_nodes, check_nodes
from kansearch.cluster.packing import Packing, evened, times
from kansearch.errors import KansearchError
from kansearch.space import SearchSettings

__all__ = ["Cluster", "fitting", "kind_of_gpu", "ray_cluster", "resources_of", "shares"]

_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # no result.json, progress.csv, TensorBoard files beside the study
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # signals are the search's own
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",  # Ray Tune's snapshot is never read
    "TUNE_MAX_PENDING_TRIALS_PG": "100000",  # all workers start at once; how many there are is the search's matter
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # a failure is a value, told by the study
    "TUNE_WARN_THRESHOLD_S": "10",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths keep their meaning in a worker
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # what a raylet says of a lost node, which Ray would print on stdout
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@dataclass(frozen=True)
class Cluster:
    """The resources to run on, and each trial's share of them."""

    cpus: float
    gpus: float
    cpus_per_trial: float
    gpus_per_trial: float
    max_concurrent: int
    rooms: Sequence[tuple[float, float]]
    """CPUs and GPUs of each node."""
    node_ids: Sequence[str] = ()
    """Ray's name of each node; empty where they are only planned."""
    kinds: Sequence[str] = ()
    """Kind of each node's GPUs, as Ray names it; empty where it has none."""
    bound: int | None = None
    """Bound on the trials that run at once, beside what fits."""
    packing: Packing | None = None
    """How `gpus_per_trial: auto` was decided."""
    mps: str | Mapping[str, str] | None = None
    """Where trials find CUDA MPS, if they share GPUs through it; on a joined cluster by the id of each node."""
    notes: Sequence[str] = ()
    """Lines that tell the user of all this."""

    @property
    def nodes(self) -> int:
        """How many machines there are."""
        return len(self.rooms)

    @property
    def per_trial(self) -> tuple[float, float]:
        """CPUs and GPUs of a trial."""
        return self.cpus_per_trial, self.gpus_per_trial

    @property
    def accelerators(self) -> list[str]:
        """Kinds of GPU in the cluster, as Ray names them."""
        return sorted({kind for kind in self.kinds if kind})

    @property
    def hardware(self) -> list[list[Any]]:
        """CPUs, GPUs and kind of GPU of each node, as JSON keeps it, in an order of their own."""
        return sorted([*room, kind] for room, kind in zip(self.rooms, self.kinds, strict=True))

    @property
    def trials_beside_a_gpu(self) -> int:
        """For how many trials there are CPU cores, beside each GPU of the node that has most."""
        return max((times(cpus / gpus, self.cpus_per_trial) for cpus, gpus in self.rooms if gpus), default=0)

    def divided(self, gpus_per_trial: float) -> Cluster:
        """The cluster with another share of a GPU for each trial: at least `gpus_per_trial`, as even as can be."""
        fits = sum(fitting(room, self.cpus_per_trial, gpus_per_trial) for room in self.rooms)
        at_once = fits if self.bound is None else min(fits, self.bound)
        share = evened(gpus_per_trial, self.rooms, self.cpus_per_trial, at_once)
        return replace(self, gpus_per_trial=share, max_concurrent=at_once)

    def packed(self, packing: Packing) -> Cluster:
        """The cluster with as many trials on a GPU as was decided."""
        divided = self.divided(packing.share)
        return replace(divided, packing=packing, notes=[*self.notes, packing.line])

    def grown(self, rooms: Sequence[tuple[float, float]], notes: Sequence[str]) -> Cluster:
        """The cluster with nodes that joined, and what the user must be told of others. Each trial's share stays."""
        room = sum(fitting(each, *self.per_trial) for each in rooms)
        at_once = self.max_concurrent + room
        return replace(
            self,
            cpus=self.cpus + sum(cpus for cpus, _ in rooms),
            gpus=self.gpus + sum(gpus for _, gpus in rooms),
            rooms=[*self.rooms, *rooms],
            max_concurrent=at_once if self.bound is None else min(at_once, max(self.bound, self.max_concurrent)),
            notes=notes,
        )

    def share(self, often: int) -> float:
        """GPUs of a trial that gets its share `often` times, as far as some node has that much."""
        cpus, gpus = self.cpus_per_trial, self.gpus_per_trial
        fitting = [gpu for cpu, gpu in self.rooms if cpu >= cpus and gpu >= gpus]
        return max(min(gpus * often, 1.0 if gpus < 1 else gpu) for gpu in fitting)


@contextmanager
def ray_cluster(
    settings: SearchSettings, address: str | None, max_concurrent: int | None, place: str | None
) -> Iterator[Cluster]:
    """Ray, started or joined; left again at the end.

    Args:
        settings: each trial's resources.
        address: of a cluster that runs already, `auto` for this machine's; None starts one here.
        max_concurrent: a bound on the trials that run at once, beside what fits.
        place: of the checkpoints, which every node must see; None where there are none to see.

    Raises:
        KansearchError: no such cluster, a trial needs more than any of its nodes has, or a node can't take part.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with local_ray() if address is None else joined(address, {name: os.environ[name] for name in _ENVIRONMENT}):
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # a failed trial is told by the study
        nodes = alive_nodes()
        cluster = shares(settings, nodes, max_concurrent)
        if address is not None:
            check_nodes([node for node in nodes if fitting(resources_of(node), *cluster.per_trial)], place)
        yield cluster


def shares(settings: SearchSettings, nodes: Sequence[Mapping[str, Any]], max_concurrent: int | None) -> Cluster:
    """A trial runs on one node: what fits is counted node by node. `auto` is one GPU until it is decided."""
    rooms = [resources_of(node) for node in nodes]
    cpus, gpus = sum(cpu for cpu, _ in rooms), sum(gpu for _, gpu in rooms)
    wanted = settings.gpus_per_trial
    gpus_per_trial = (1.0 if gpus else 0.0) if wanted == "auto" else wanted
    bound = min((bound for bound in (settings.max_concurrent, max_concurrent) if bound is not None), default=None)
    ids = [node.get("NodeID", "") for node in nodes]
    kinds = [kind_of_gpu(node) for node in nodes]
    cluster = Cluster(cpus, gpus, settings.cpus_per_trial, 0.0, 0, rooms, ids, kinds, bound).divided(gpus_per_trial)
    if cluster.max_concurrent < 1:
        have = f"there are {cpus:g} and {gpus:g}"
        if len(rooms) > 1:
            have = "its nodes have " + ", ".join(f"{cpu:g} and {gpu:g}" for cpu, gpu in rooms)
        raise KansearchError(f"a trial needs {settings.cpus_per_trial:g} CPUs and {gpus_per_trial:g} GPUs; {have}")
    return cluster


def resources_of(node: Mapping[str, Any]) -> tuple[float, float]:
    """CPUs and GPUs of one of `ray.nodes()`."""
    return node["Resources"].get("CPU", 0.0), node["Resources"].get("GPU", 0.0)


def kind_of_gpu(node: Mapping[str, Any]) -> str:
    """Kind of the GPUs of one of `ray.nodes()`, as Ray names it; empty where it has none."""
    prefix = "accelerator_type:"
    return next((name.removeprefix(prefix) for name in node["Resources"] if name.startswith(prefix)), "")


def fitting(room: tuple[float, float], cpus_per_trial: float, gpus_per_trial: float) -> int:
    """Trials that run at once on one node."""
    cpus, gpus = room
    fits = times(cpus, cpus_per_trial)
    if 0 < gpus_per_trial < 1:
        return min(fits, int(gpus) * times(1.0, gpus_per_trial))  # Ray puts a share on one GPU
    return min(fits, times(gpus, gpus_per_trial)) if gpus_per_trial else fits
