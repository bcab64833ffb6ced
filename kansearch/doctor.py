"""`doctor`: does everything that a search needs work here? One line a check, with the way out where it doesn't."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kansearch.cluster.mps import control
from kansearch.errors import KansearchError
from trials.data.files import LAYOUTS, DataMissingError, locate
from trials.files import typed_line

__all__ = ["Check", "examine"]

_PACKAGES = ("torch", "torchvision", "ray", "optuna", "mlflow", "moocore", "scikit-learn")


@dataclass(frozen=True)
class Check:
    """One thing looked at. `ok` is None where it is information, or only some users need it."""

    name: str
    ok: bool | None
    found: str


def examine(home: Path, data_dir: Path | None) -> Iterator[Check]:
    """Every check, in the order in which a search would meet them."""
    yield Check("python", True, f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    for name in _PACKAGES:
        yield _guarded(name, partial(importlib.metadata.version, name))
    yield _guarded("trials package", _trials_package)
    yield Check("processors", True, f"{len(os.sched_getaffinity(0))} CPUs")
    yield _guarded("accelerators", _accelerators)
    yield Check("CUDA MPS", None, control() or "not found; trials on one GPU would take turns")
    yield _guarded("studies", lambda: _writable(home))
    for dataset in ("digits", *LAYOUTS):
        yield _data(dataset, data_dir)


def _guarded(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look())
    except (KansearchError, OSError, ImportError) as error:
        return Check(name, False, typed_line(error))


def _trials_package() -> str:
    from kansearch.installation import check_trials_package

    check_trials_package()
    return "the one beside kansearch"


def _accelerators() -> str:
    from trials.training import accelerators

    return ", ".join(accelerators()) or "no CUDA device; trials run on the CPU"


def _writable(home: Path) -> str:
    existing = next(path for path in (home.absolute(), *home.absolute().parents) if path.exists())
    with tempfile.TemporaryFile(dir=existing):  # looking leaves nothing behind
        free = shutil.disk_usage(existing).free / 2**30
    return f"{home.absolute()} is writable, {free:.0f} GiB free"


def _data(dataset: str, data_dir: Path | None) -> Check:
    try:
        folder = locate(dataset, data_dir, download=False)
    except DataMissingError:
        way_out = "a search would try to download it" if LAYOUTS[dataset].fetched else "name its folder with --data-dir"
        return Check(f"data {dataset}", None, f"not found; {way_out}")
    return Check(f"data {dataset}", True, str(folder) if folder else "part of scikit-learn")
