"""The Ray cluster a search runs on: one started here on loopback, or an existing one; and how many trials fit on it."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kansearch.errors import KansearchError
from kansearch.space import SearchSettings

__all__ = ["Cluster", "ray_cluster"]

_LOOPBACK = "127.0.0.1"
_ANSWER_SECONDS = 10.0
_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # no result.json, progress.csv, TensorBoard files beside the study
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # signals are the search's own
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",  # Ray Tune's snapshot is never read
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # a failure is a value, told by the study
    "TUNE_WARN_THRESHOLD_S": "10",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths keep their meaning in a worker
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
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

    def share(self, times: int) -> tuple[float, float]:
        """CPUs and GPUs of a trial that gets its share so many times, as far as there is so much."""
        cpus, gpus = min(self.cpus_per_trial * times, self.cpus), self.gpus_per_trial * times
        return cpus, min(gpus, 1.0 if self.gpus_per_trial < 1 else self.gpus)


@contextmanager
def ray_cluster(settings: SearchSettings, address: str | None, max_concurrent: int | None) -> Iterator[Cluster]:
    """Ray, started or joined; left again at the end.

    Args:
        settings: each trial's resources.
        address: of a cluster that runs already, `auto` for this machine's; None starts one here.
        max_concurrent: a bound on the trials that run at once, beside what fits.

    Raises:
        KansearchError: no such cluster, or a trial needs more than it has.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray

    try:
        if address is None:
            _start_on_loopback()
        else:
            _check_that_it_answers(address)
            ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    except ConnectionError as error:
        raise KansearchError(f"no Ray cluster answers at '{address}': {error}") from error
    try:
        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        yield _shares(settings, resources, max_concurrent)
    finally:
        ray.shutdown()


def _check_that_it_answers(address: str) -> None:
    """Ray waits ten minutes for a host that doesn't answer; a user shouldn't."""
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if not separator or not port.isdecimal():
        return  # `auto`, or what Ray itself must judge
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ConnectionError(error) from error


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
        ray.init(include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False, _node_ip_address=_LOOPBACK)
    finally:
        if replaced is not None:
            services.resolve_ip_for_localhost = replaced
    token = Path.home() / ".ray" / "auth_token"  # Ray makes it readable for everybody
    if token.exists():
        token.chmod(0o600)


def _shares(settings: SearchSettings, resources: dict[str, float], max_concurrent: int | None) -> Cluster:
    cpus, gpus = resources.get("CPU", 0.0), resources.get("GPU", 0.0)
    wanted = settings.gpus_per_trial
    gpus_per_trial = (1.0 if gpus else 0.0) if wanted is None else wanted
    fits = cpus // settings.cpus_per_trial
    if gpus_per_trial:
        fits = min(fits, gpus // gpus_per_trial)
    if fits < 1:
        raise KansearchError(
            f"a trial needs {settings.cpus_per_trial:g} CPUs and {gpus_per_trial:g} GPUs; "
            f"there are {cpus:g} and {gpus:g}"
        )
    bounds = [int(fits), *(bound for bound in (settings.max_concurrent, max_concurrent) if bound is not None)]
    return Cluster(cpus, gpus, settings.cpus_per_trial, gpus_per_trial, min(bounds))
