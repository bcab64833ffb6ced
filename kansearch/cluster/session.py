"""On what a driver runs a search: the machine, the versions, how many trials at once. The study keeps it."""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path
from typing import Any

from kansearch import __version__
from kansearch.cluster.cluster import Cluster

__all__ = ["describe_session", "processor"]

_PACKAGES = ("torch", "ray", "optuna", "mlflow")
_PROCESSORS = Path("/proc/cpuinfo")


def describe_session(cluster: Cluster) -> dict[str, Any]:
    """Plain values; nothing that names the machine or its user. The processor is the driver's."""
    versions = {"kansearch": __version__, "python": platform.python_version()}
    return {
        "max_concurrent": cluster.max_concurrent,
        "nodes": cluster.nodes,
        "cpus": cluster.cpus,
        "gpus": cluster.gpus,
        "accelerators": list(cluster.accelerators),
        "processor": processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions | {name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def processor() -> str:
    """The processor's name where the system tells it, else its architecture."""
    lines = _PROCESSORS.read_text(errors="replace").splitlines() if _PROCESSORS.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
