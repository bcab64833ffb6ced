"""The Ray cluster a search runs on: one started here on loopback, or an existing one; and how many trials fit on it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kansearch.errors import KansearchError
from kansearch.search.join import join
from kansearch.search.nodes import check_nodes
from kansearch.space import SearchSettings

__all__ = ["Cluster", "ray_cluster", "shares"]

_LOOPBACK = "127.0.0.1"
_UNITS = 10_000
_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # no result.json, progress.csv, TensorBoard files beside the study
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # signals are the search's own
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",  # Ray Tune's snapshot is never read
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
    """What there is to run on, and each trial's share of it."""

    cpus: float
    gpus: float
    cpus_per_trial: float
    gpus_per_trial: float
    max_concurrent: int
    rooms: Sequence[tuple[float, float]]
    """CPUs and GPUs of each node."""
    accelerators: Sequence[str] = ()
    """What kinds of GPU there are, as Ray names them."""

    @property
    def nodes(self) -> int:
        """How many machines there are."""
        return len(self.rooms)

    def share(self, times: int) -> tuple[float, float]:
        """CPUs and GPUs of a trial that gets its share so many times, as far as some node has so much."""
        cpus, gpus = self.cpus_per_trial, self.gpus_per_trial
        fitting = [(cpu, gpu) for cpu, gpu in self.rooms if cpu >= cpus and gpu >= gpus]
        most_gpus, most_cpus = max(
            (min(gpus * times, 1.0 if gpus < 1 else gpu), min(cpus * times, cpu)) for cpu, gpu in fitting
        )
        return most_cpus, most_gpus


@contextmanager
def ray_cluster(
    settings: SearchSettings, address: str | None, max_concurrent: int | None, place: str
) -> Iterator[Cluster]:
    """Ray, started or joined; left again at the end.

    Args:
        settings: each trial's resources.
        address: of a cluster that runs already, `auto` for this machine's; None starts one here.
        max_concurrent: a bound on the trials that run at once, beside what fits.
        place: of the checkpoints, which every node must see.

    Raises:
        KansearchError: no such cluster, a trial needs more than any of its nodes has, or a node can't take part.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if address is None:
        _start_on_loopback()
    else:
        join(address, {name: os.environ[name] for name in _ENVIRONMENT})
    import ray

    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # a failed trial is told by the study
    try:
        nodes = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
        cluster = shares(settings, nodes, max_concurrent)
        if address is not None:
            check_nodes([node for node in nodes if _room(node, cluster.cpus_per_trial, cluster.gpus_per_trial)], place)
        yield cluster
    finally:
        ray.shutdown()


def _start_on_loopback() -> None:
    """Start Ray with every server on 127.0.0.1.

    `ray.init` replaces a loopback address by the machine's own, upon which Ray's servers listen on every interface; a
    Ray in which that replacement is called otherwise starts as it would by itself.
    """
    import ray
    from ray._private import services

    replaced = getattr(services, "resolve_ip_for_localhost", None)
    if replaced is not None:
        services.resolve_ip_for_localhost = lambda host: host
    try:
        ray.init(
            "local",
            include_dashboard=False,
            logging_level=logging.ERROR,
            log_to_driver=False,
            _node_ip_address=_LOOPBACK,
        )
    finally:
        if replaced is not None:
            services.resolve_ip_for_localhost = replaced
    token = Path.home() / ".ray" / "auth_token"  # Ray makes it readable for everybody
    if token.exists():
        token.chmod(0o600)


def shares(settings: SearchSettings, nodes: Sequence[Mapping[str, Any]], max_concurrent: int | None) -> Cluster:
    """A trial runs on one node: what fits is counted node by node."""
    resources = [_resources(node) for node in nodes]
    cpus, gpus = sum(cpu for cpu, _ in resources), sum(gpu for _, gpu in resources)
    wanted = settings.gpus_per_trial
    gpus_per_trial = (1.0 if gpus else 0.0) if wanted is None else wanted
    fits = sum(_room(node, settings.cpus_per_trial, gpus_per_trial) for node in nodes)
    if fits < 1:
        have = f"there are {cpus:g} and {gpus:g}"
        if len(resources) > 1:
            have = "its nodes have " + ", ".join(f"{cpu:g} and {gpu:g}" for cpu, gpu in resources)
        raise KansearchError(f"a trial needs {settings.cpus_per_trial:g} CPUs and {gpus_per_trial:g} GPUs; {have}")
    bounds = [fits, *(bound for bound in (settings.max_concurrent, max_concurrent) if bound is not None)]
    return Cluster(cpus, gpus, settings.cpus_per_trial, gpus_per_trial, min(bounds), resources, _accelerators(nodes))


def _resources(node: Mapping[str, Any]) -> tuple[float, float]:
    """CPUs and GPUs of one of `ray.nodes()`."""
    return node["Resources"].get("CPU", 0.0), node["Resources"].get("GPU", 0.0)


def _accelerators(nodes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Kinds of GPU: Ray counts each as a resource `accelerator_type:KIND`."""
    resources = {name for node in nodes for name in node["Resources"]}
    return sorted(name.partition(":")[2] for name in resources if name.startswith("accelerator_type:"))


def _room(node: Mapping[str, Any], cpus_per_trial: float, gpus_per_trial: float) -> int:
    """Trials that run at once on one node."""
    cpus, gpus = _resources(node)
    fits = _times(cpus, cpus_per_trial)
    if 0 < gpus_per_trial < 1:
        return min(fits, int(gpus) * _times(1.0, gpus_per_trial))  # Ray puts a share on one GPU
    return min(fits, _times(gpus, gpus_per_trial)) if gpus_per_trial else fits


def _times(whole: float, part: float) -> int:
    """How often `part` fits into `whole`, in Ray's units of 1/10,000: in floating point 1 // 0.1 is 9."""
    return round(whole * _UNITS) // max(1, round(part * _UNITS))
