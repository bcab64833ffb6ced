"""A real Ray cluster refuses who has a wrong token; nodes that join are looked at, named if they cannot take part."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import ROOT, SMALL_SPACE, environment, stop
from tests.nodes import LocalCluster, local_cluster, path_with_shelf
from tests.test_cluster import refusal

DRIVER = """
import json, sys, time
from dataclasses import asdict
from pathlib import Path
from kansearch.cluster.cluster import ray_cluster
from kansearch.cluster.newcomers import Newcomers
from kansearch.space import SearchSettings

address, place = sys.argv[1:]
with ray_cluster(SearchSettings(), address, None, place) as cluster, Newcomers(cluster, place) as newcomers:
    print(json.dumps(cluster.node_ids), flush=True)
    refused = False
    while not refused:
        for each in newcomers.poll():
            print(json.dumps(asdict(each)), flush=True)
            refused = each.problem is not None
        time.sleep(0.2)
"""


@pytest.fixture(scope="module", name="cluster")
def cluster_fixture() -> Iterator[LocalCluster]:
    with local_cluster() as cluster:
        yield cluster


@pytest.fixture(name="folder")
def folder_fixture(tmp_path: Path, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a space. Drivers that a test starts have the cluster's token."""
    monkeypatch.setenv("RAY_AUTH_TOKEN", cluster.token)
    (tmp_path / "small.yaml").write_text(SMALL_SPACE)
    return tmp_path


def test_a_wrong_token_is_told(folder: Path, cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    told = refusal(folder, "--address", cluster.address)
    assert f"the Ray cluster at '{cluster.address}' does not accept our token: copy ~/.ray/auth_token" in told


def test_nodes_that_join_are_looked_at_and_one_with_other_code_is_named(folder: Path, cluster: LocalCluster) -> None:
    """A driver that runs gives it no trials, and the next launch is refused."""
    other, place = folder / "other", folder / "place"
    place.mkdir()
    for package in ("kansearch", "trials"):
        shutil.copytree(ROOT / package, other / package, ignore=shutil.ignore_patterns("__pycache__"))
    (other / "trials/training/step.py").write_text((other / "trials/training/step.py").read_text() + "# changed\n")
    env = environment(PYTHONPATH=path_with_shelf())
    words, pipe = [sys.executable, "-c", DRIVER, cluster.address, str(place)], subprocess.PIPE
    driver = subprocess.Popen(words, env=env, cwd=folder, stdout=pipe, stderr=pipe, text=True)
    try:
        first = line(driver)
        assert len(first) == 1
        cluster.add(gpus=2)
        joined = line(driver)
        assert joined["node_id"] not in first
        assert (joined["cpus"], joined["gpus"], joined["problem"]) == (1.0, 2.0, None)
        cluster.add(gpus=1, PYTHONPATH=str(other))
        refused = line(driver)
        name = refused["node_id"]
        assert name not in {*first, joined["node_id"]}
        assert refused["problem"].startswith(f"node 127.0.0.1 ({name[:8]}) has another package `trials`")
        assert refused["problem"].endswith("; it gets no trials")
        assert driver.wait(60) == 0
    finally:
        stop(driver)
    assert list(place.iterdir()) == [], "no note is left"
    told = refusal(folder, "--address", cluster.address)
    assert told.startswith(f"kansearch: node 127.0.0.1 ({name[:8]}) has another package `trials`")


def line(driver: subprocess.Popen[str]) -> Any:
    assert driver.stdout
    return json.loads(driver.stdout.readline())
