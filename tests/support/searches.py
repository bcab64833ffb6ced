"""Searches in the process of the test: one Ray for all of a module, and a tracking store that is made already."""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import pytest

from kansearch.cluster import cluster
from kansearch.space import SearchSettings
from kansearch.tracking.client import quiet_client
from tests.helpers import environment

__all__ = ["copy_mlflow_database", "shared_ray_fixture"]


@pytest.fixture(scope="module", name="shared_ray")
def shared_ray_fixture() -> Iterator[None]:
    """The Ray that a search starts, for all searches that a module runs in this process, until the module ends.

    A test of what a driver does when it starts, ends or is killed needs a driver, and a Ray, of its own.
    """
    with (
        mock.patch.dict(os.environ, environment()),
        cluster.ray_cluster(SearchSettings(), None, None, None),
        mock.patch.object(cluster, "local_ray", nullcontext),
    ):
        yield


def copy_mlflow_database(path: Path) -> None:
    """Write MLflow's database, if missing, as it is when it has just been made, which takes MLflow seconds."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(_mlflow_database(), path)


@functools.cache
def _mlflow_database() -> Path:
    with tempfile.TemporaryDirectory() as folder:
        quiet_client(f"sqlite:///{folder}/mlflow.db").search_experiments()
        kept = Path(tempfile.mkstemp(prefix="kansearch-mlflow-", suffix=".db")[1])
        shutil.copy(f"{folder}/mlflow.db", kept)
    return kept
